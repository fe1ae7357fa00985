"""A matrix beside its low-rank and its sparse part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sparsecode._validation import check_array, check_real
from sparsecode.plotting._axes import check_axes, check_cmap, parts_of, set_integer_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["DecompositionDisplay"]

COVERED = 0.995  # the share of the low-rank entries inside the colour scale


class DecompositionDisplay:
    """A matrix, its low-rank part and its sparse part: `matrix ~ low_rank + sparse`.

    All three are drawn in one colour scale, symmetric around zero, that is set by the low-rank
    part: corruption far larger than the rest saturates, which the arrows of the colour bar say,
    and does not wash out what it corrupts.

    Parameters
    ----------
    matrix, low_rank, sparse : array of shape (n_samples, n_features)
        What was split, and the two parts.

    Attributes
    ----------
    matrix, low_rank, sparse : ndarray of shape (n_samples, n_features)
        As given.
    axes_ : ndarray of shape (3,)
        After `plot`: the three matplotlib Axes.
    figure_ : matplotlib Figure
        After `plot`: the figure of `axes_`.
    images_ : list of three matplotlib AxesImage
        After `plot`: the pictures of the three.
    colorbar_ : matplotlib Colorbar
        After `plot`: the one of all three.

    Raises
    ------
    ValueError
        If the shapes differ or an entry is not finite.

    See Also
    --------
    DecompositionDisplay.from_estimator : Split rows by a fitted estimator.
    DecompositionDisplay.from_result : Take the split that a solver returned.

    Examples
    --------
    >>> from sparsecode.datasets import make_low_rank_plus_sparse
    >>> from sparsecode.plotting import DecompositionDisplay
    >>> parts = make_low_rank_plus_sparse(60, rank=2, density=0.05, random_state=0)
    >>> DecompositionDisplay(*parts).matrix.shape
    (60, 60)
    """

    axes_: np.ndarray
    figure_: Any
    images_: list[Any]
    colorbar_: Any

    def __init__(self, matrix: Any, low_rank: Any, sparse: Any) -> None:
        self.matrix = check_array(matrix, "matrix")
        self.low_rank = check_array(low_rank, "low_rank")
        self.sparse = check_array(sparse, "sparse")
        for name in ("low_rank", "sparse"):
            shape = getattr(self, name).shape
            if shape != self.matrix.shape:
                raise ValueError(f"{name} has shape {shape} but matrix {self.matrix.shape}")

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any = None) -> Self:
        """Split rows by a fitted estimator.

        Parameters
        ----------
        estimator : RobustPCA
            Fitted.
        X : array of shape (n_samples, n_features), optional
            Rows for `decompose`. By default the matrix of `fit`, as `low_rank_ + sparse_`.

        Returns
        -------
        DecompositionDisplay
            Ready to `plot`.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(estimator, "low_rank_")
        if X is None:
            low_rank, sparse = estimator.low_rank_, estimator.sparse_
            return cls(low_rank + sparse, low_rank, sparse)
        return cls(X, *estimator.decompose(X))

    @classmethod
    def from_result(cls, result: Any, X: Any = None) -> Self:
        """Take the split that a solver returned.

        Parameters
        ----------
        result : SplitResult
            What `principal_component_pursuit` returned, for one.
        X : array of shape (n_samples, n_features), optional
            The matrix that was split; the sum of the parts by default.

        Returns
        -------
        DecompositionDisplay
            Ready to `plot`.
        """
        low_rank, sparse = parts_of(result, "result", "low_rank", "sparse")
        X = low_rank + sparse if X is None else check_array(X, "X")
        return cls(X, low_rank, sparse)

    def plot(
        self, ax: Sequence[Axes] | None = None, *, limit: float | None = None, cmap: str = "RdBu_r"
    ) -> Self:
        """Draw the three panels.

        Parameters
        ----------
        ax : sequence of three matplotlib Axes, optional
            Where to draw; a new figure by default.
        limit : float, optional
            The colours run from `-limit` to `limit`. By default 99.5 % of the entries of the
            low-rank part lie inside; of the matrix, should that part be zero.
        cmap : str, default="RdBu_r"
            The colour map, best a diverging one.

        Returns
        -------
        DecompositionDisplay
            Itself, with `axes_`, `figure_`, `images_` and `colorbar_`.

        Raises
        ------
        ValueError
            If `ax` is not three axes, or `limit` is not positive.
        """
        if limit is None:
            limit = self._limit()
        check_cmap(cmap)
        limit = check_real(limit, "limit", low=0, open_low=True)
        # A panel of the matrix's own shape, unless that would be a sliver.
        box = float(np.clip(self.matrix.shape[0] / self.matrix.shape[1], 0.4, 1.8))
        self.axes_ = _three_axes(ax, box)
        self.figure_ = self.axes_[0].figure
        panels = {"matrix": self.matrix, "low rank": self.low_rank, "sparse": self.sparse}
        self.images_ = []
        for axes, (title, part) in zip(self.axes_, panels.items(), strict=True):
            axes.set_title(title)
            colors = {"cmap": cmap, "vmin": -limit, "vmax": limit}
            self.images_.append(axes.imshow(part, aspect="auto", **colors))
            axes.set_box_aspect(box)
            axes.tick_params(labelsize="small")
            set_integer_ticks(axes.xaxis, 4)
            set_integer_ticks(axes.yaxis, 5)
        for axes in self.axes_[1:]:
            axes.tick_params(labelleft=False)
        # Inside the last panel's frame of reference, the bar is as high as the panels.
        beside = self.axes_[2].inset_axes((1.05, 0, 0.06, 1))
        self.colorbar_ = self.figure_.colorbar(
            self.images_[0], cax=beside, extend=_extend(panels.values(), limit)
        )
        beside.tick_params(labelsize="small")
        return self

    def _limit(self) -> float:
        for part in (self.low_rank, self.matrix):
            size = np.abs(part)
            limit = float(np.quantile(size, COVERED)) or float(size.max())
            if limit > 0:
                return limit
        return 1.0


def _three_axes(ax: Sequence[Axes] | None, box: float) -> np.ndarray:
    if ax is None:
        import matplotlib.pyplot as plt

        size = (9.6, min(2.7 * box, 4.8) + 0.7)
        return plt.subplots(1, 3, figsize=size, layout="constrained")[1]
    axes = np.ravel(np.asarray(ax, dtype=object))
    if axes.size != 3:
        raise ValueError(f"ax has to be three axes, got {axes.size}: plt.subplots(1, 3) makes them")
    for each in axes:
        check_axes(each)
    return axes


def _extend(parts: Any, limit: float) -> str:
    below = any(part.min() < -limit for part in parts)
    above = any(part.max() > limit for part in parts)
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
