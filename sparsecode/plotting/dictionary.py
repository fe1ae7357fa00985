"""The atoms of a dictionary as a mosaic of small pictures, or of small curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sparsecode._validation import check_array, check_int
from sparsecode.plotting._axes import COLORS, axes_or_new, check_cmap, parts_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["DictionaryDisplay"]

SEPARATOR = "#E69F00"
CURVE = (2, 3)  # the height and width of a cell with a curve


class DictionaryDisplay:
    """The rows of a dictionary, each reshaped to a patch: atoms `d` drawn as `d / max|d|`.

    Zero is the middle of the colour scale in every patch, and each atom fills the scale on one
    side: signs and shapes can be compared, sizes cannot (atoms have unit norm anyway).

    Parameters
    ----------
    atoms : array of shape (n_components, n_features)
        One atom a row.
    patch_shape : tuple of int, (height, width), (height, width, 3) or (n,)
        The shape of one atom, in C order; its product is `n_features`. Atoms of signals, with one
        length alone, are drawn as curves.
    usage : array of shape (n_components,), optional
        How much each atom is used, for example by how many signals. Given, the most used atom
        comes first, at the top left.

    Attributes
    ----------
    atoms : ndarray of shape (n_components, n_features)
        As given.
    patch_shape : tuple of int
        As given.
    usage : ndarray of shape (n_components,) or None
        As given.
    ax_ : matplotlib Axes
        After `plot`: where it drew.
    figure_ : matplotlib Figure
        After `plot`: the figure of `ax_`.
    image_ : matplotlib AxesImage or None
        After `plot`: the mosaic of patches.
    lines_ : list of matplotlib Line2D
        After `plot`: the curves of signals, none for patches.

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit, or an entry is not finite.

    See Also
    --------
    DictionaryDisplay.from_estimator : Take the atoms of a fitted estimator.
    DictionaryDisplay.from_result : Take those that a solver returned.

    Examples
    --------
    >>> from sparsecode.operators import overcomplete_dct
    >>> from sparsecode.plotting import DictionaryDisplay
    >>> DictionaryDisplay(overcomplete_dct(100, 64), (8, 8)).atoms.shape
    (100, 64)
    """

    ax_: Axes
    figure_: Any
    image_: Any
    lines_: list[Any]

    def __init__(self, atoms: Any, patch_shape: tuple[int, ...], usage: Any = None) -> None:
        self.atoms = check_array(atoms, "atoms")
        self.patch_shape = _check_patch_shape(patch_shape, self.atoms.shape[1])
        self.usage = None if usage is None else check_array(usage, "usage", ndim=1)
        if self.usage is not None and self.usage.size != self.atoms.shape[0]:
            raise ValueError(
                f"usage has {self.usage.size} entries but atoms has {self.atoms.shape[0]} rows; "
                "give one number for each atom"
            )

    @classmethod
    def from_estimator(
        cls, estimator: Any, patch_shape: tuple[int, ...] | None = None, X: Any = None
    ) -> Self:
        """Take the atoms of a fitted estimator.

        Parameters
        ----------
        estimator : KSVD, SparseCoder, or another with `components_`
            Fitted.
        patch_shape : tuple of int, optional
            As for the class; by default that of atoms at every place, else a square patch, grey or,
            where only that fits, in colour.
        X : array of shape (n_samples, n_features), optional
            Signals: the atoms are ordered by how often they use each, by `transform`.

        Returns
        -------
        DictionaryDisplay
            Ready to `plot`.

        Raises
        ------
        ValueError
            If `patch_shape` is not given and `n_features` is no square, nor three times one.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(estimator, "components_")
        atoms = estimator.components_
        usage = None if X is None else _count_uses(estimator.transform(X), len(atoms))
        shape = patch_shape or getattr(estimator, "atom_shape_", None)
        return cls(atoms, shape or _square_patch(atoms.shape[1]), usage)

    @classmethod
    def from_result(cls, result: Any, patch_shape: tuple[int, ...] | None = None) -> Self:
        """Take the atoms that a solver returned, ordered by how many signals use each.

        Parameters
        ----------
        result : DictionaryResult or ConvolutionalResult
            What `ksvd` returned, for one.
        patch_shape : tuple of int, optional
            As for the class; by default that of atoms at every place, else a square patch, grey or,
            where only that fits, in colour.

        Returns
        -------
        DictionaryDisplay
            Ready to `plot`.

        Raises
        ------
        ValueError
            If `patch_shape` is not given and `n_features` is no square, nor three times one.
        """
        atoms, codes = parts_of(result, "result", "dictionary", "codes")
        if np.ndim(codes) > 2:  # of atoms at every place, which have a shape of their own
            patch_shape = patch_shape or atoms.shape[1:]
            atoms, codes = atoms.reshape(len(atoms), -1), codes.reshape(len(codes), -1)
        shape = patch_shape or _square_patch(atoms.shape[1])
        return cls(atoms, shape, _count_uses(codes, len(atoms)))

    def plot(self, ax: Axes | None = None, *, cmap: str = "gray") -> Self:
        """Draw the mosaic.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        cmap : str, default="gray"
            The colour map of grey patches; a diverging one ("RdBu_r") shows signs better. Colour
            patches need none: zero is a medium grey.

        Returns
        -------
        DictionaryDisplay
            Itself, with `ax_`, `figure_` and `image_`.
        """
        check_cmap(cmap)
        cells = self.patch_shape[:2] if len(self.patch_shape) > 1 else CURVE
        height, width = cells
        n_atoms = self.atoms.shape[0]
        # About as wide as high, in pixels and not in patches.
        n_columns = min(n_atoms, math.ceil(math.sqrt(n_atoms * height / width)))
        n_rows = math.ceil(n_atoms / n_columns)
        ratio = n_rows * height / (n_columns * width)
        high = min(5.5 * ratio, 7.0)
        self.ax_ = ax = axes_or_new(ax, (max(high / ratio, 2.5), high + 0.3))
        self.figure_, self.image_, self.lines_ = ax.figure, None, []
        box = (0, n_columns * width, n_rows * height, 0)
        if len(self.patch_shape) == 1:
            self.lines_ = _curves(ax, self._scaled_patches(), n_columns)
            ax.set_aspect("equal")
        else:
            picture = _mosaic(self._scaled_patches(), n_rows, n_columns)
            self.image_ = ax.imshow(picture, cmap=cmap, vmin=-1, vmax=1, extent=box, aspect="equal")
        _separate(ax, cells, n_atoms, n_columns)
        ax.set(xticks=[], yticks=[], xlim=box[:2], ylim=box[2:], facecolor="white")
        ax.spines[:].set_visible(False)
        order = "" if self.usage is None else ", most used first"
        size = " × ".join(map(str, self.patch_shape[:2]))
        ax.set_xlabel(f"{n_atoms} atoms of {size}{order}")
        return self

    def _scaled_patches(self) -> np.ndarray:
        atoms = self.atoms
        if self.usage is not None:
            atoms = atoms[np.argsort(-self.usage, kind="stable")]
        largest = np.abs(atoms).max(axis=1, keepdims=True)
        patches = atoms / np.where(largest > 0, largest, 1)
        patches = patches.reshape(-1, *self.patch_shape)
        return (patches + 1) / 2 if patches.ndim == 4 else patches  # colours are in [0, 1]


def _separate(ax: Axes, patch_shape: tuple[int, ...], n_atoms: int, n_columns: int) -> None:
    """Thin lines around each atom, in a colour that neither grey nor diverging maps have."""
    height, width = patch_shape[:2]
    n_full, n_last = divmod(n_atoms, n_columns)
    columns, rows = np.arange(n_columns + 1), np.arange(math.ceil(n_atoms / n_columns) + 1)
    bottom = (n_full + ((columns <= n_last) & (n_last > 0))) * height
    right = np.where(rows <= n_full, n_columns, n_last) * width
    thin = 1.0 if n_columns <= 20 else 0.5
    ax.vlines(columns * width, 0, bottom, color=SEPARATOR, linewidth=thin, clip_on=False)
    ax.hlines(rows * height, 0, right, color=SEPARATOR, linewidth=thin, clip_on=False)


def _curves(ax: Axes, atoms: np.ndarray, n_columns: int) -> list[Any]:
    """One curve a cell, with a thin line at zero; it fills nine tenths of the cell on one side."""
    height, width = CURVE
    rows, columns = np.divmod(np.arange(len(atoms)), n_columns)
    middle, left = (rows + 0.5) * height, columns * width
    ax.hlines(middle, left, left + width, color="0.8", linewidth=0.6)
    x = (np.arange(atoms.shape[1]) + 0.5) / atoms.shape[1] * width
    marker = "." if atoms.shape[1] == 1 else None
    return [
        ax.plot(x + i, m - 0.45 * height * atom, color=COLORS[0], linewidth=1.2, marker=marker)[0]
        for atom, i, m in zip(atoms, left, middle, strict=True)
    ]


def _mosaic(patches: np.ndarray, n_rows: int, n_columns: int) -> np.ndarray:
    """Patches side by side in one picture, row by row; NaN (or white) in the cells left over."""
    n_atoms, height, width, *colors = patches.shape
    blank = 1.0 if colors else np.nan
    cells = np.full((n_rows * n_columns, height, width, *colors), blank)
    cells[:n_atoms] = patches
    cells = cells.reshape(n_rows, n_columns, height, width, *colors).swapaxes(1, 2)
    return cells.reshape(n_rows * height, n_columns * width, *colors)


def _check_patch_shape(patch_shape: Any, n_features: int) -> tuple[int, ...]:
    try:
        shape = tuple(check_int(side, "patch_shape") for side in patch_shape)
    except TypeError:
        raise TypeError(f"patch_shape has to be a tuple of integers, got {patch_shape!r}") from None
    if len(shape) not in (1, 2, 3) or shape[2:] not in ((), (3,)):
        raise ValueError(f"patch_shape has to be (h, w), (h, w, 3) or (n,), got {patch_shape!r}")
    if math.prod(shape) != n_features:
        raise ValueError(
            f"patch_shape {shape} has {math.prod(shape)} entries but an atom has {n_features}"
        )
    return shape


def _square_patch(n_features: int) -> tuple[int, ...]:
    for colors in ((), (3,)):
        side = math.isqrt(n_features // math.prod(colors))
        if math.prod((side, side, *colors)) == n_features:
            return (side, side, *colors)
    raise ValueError(
        f"an atom of {n_features} entries is no square patch, grey or in colour; "
        "say what it is with patch_shape=(h, w), or (n,) for a curve"
    )


def _count_uses(codes: Any, n_atoms: int) -> np.ndarray:
    """Nonzeros of each atom; codes of atoms at every place hold all places of one together."""
    uses = np.asarray((codes != 0).sum(axis=0), dtype=np.float64)
    return uses.reshape(n_atoms, -1).sum(axis=1)
