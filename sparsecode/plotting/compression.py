"""Where the bits of a compressed network went, and what each layer lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from sparsecode._validation import check_real
from sparsecode.plotting._axes import COLORS, add_grid, check_axes, check_labelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CompressionDisplay"]


class CompressionDisplay:
    """The share of its bits that each layer was given, and its error, side by side.

    Parameters
    ----------
    layers : mapping of str to (share, error)
        For each layer, from the top: the bits it takes over those it took, positive, and its
        relative error, nonnegative.

    Attributes
    ----------
    layers : dict of str to tuple of two float
        As given.
    axes_ : pair of matplotlib Axes
        After `plot`: where it drew.
    figure_ : matplotlib Figure
        After `plot`: the figure of `axes_`.

    Raises
    ------
    TypeError, ValueError
        If `layers` is no mapping, is empty, or holds anything else.

    Examples
    --------
    >>> from sparsecode.plotting import CompressionDisplay
    >>> CompressionDisplay({"fc1": (0.2, 0.01), "fc2": (0.3, 0.02)}).layers["fc1"]
    (0.2, 0.01)
    """

    axes_: tuple[Axes, Axes]
    figure_: Any

    def __init__(self, layers: Any) -> None:
        self.layers = {
            name: _check_pair(pair, f"layers[{name!r}]")
            for name, pair in check_labelled(layers, "layers").items()
        }

    def plot(self, ax: Any = None) -> Self:
        """Draw two rows of bars; an error of zero has none.

        Parameters
        ----------
        ax : pair of matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        CompressionDisplay
            Itself, with `axes_` and `figure_`.
        """
        from matplotlib.ticker import PercentFormatter

        if ax is None:
            import matplotlib.pyplot as plt

            height = 1.2 + 0.24 * len(self.layers)
            _, ax = plt.subplots(1, 2, figsize=(9, height), layout="constrained", sharey=True)
        ax = tuple(ax) if isinstance(ax, Iterable) else (ax,)
        if len(ax) != 2:
            raise ValueError(f"ax has to be two axes, got {len(ax)}: plt.subplots(1, 2) makes them")
        left, right = (check_axes(each) for each in ax)
        self.axes_ = left, right
        self.figure_ = left.figure
        names, places = list(self.layers), range(len(self.layers))
        shares, errors = zip(*self.layers.values(), strict=True)
        left.barh(places, shares, color=COLORS[0])
        right.barh(places, errors, color=COLORS[1])
        left.set_yticks(places, names)
        left.invert_yaxis()
        right.tick_params(labelleft=False)
        left.set(xlabel="bits, share of the layer's own")
        right.set(xlabel="relative error of the outputs, squared")
        left.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
        if max(errors) > 0:
            right.set_xscale("log")
        for axes in self.axes_:
            add_grid(axes)
        right.set_ylim(left.get_ylim())
        return self


def _check_pair(pair: Any, name: str) -> tuple[float, float]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{name} has to be a pair (share, error)")
    share = check_real(pair[0], f"{name}[0]", low=0, open_low=True)
    return share, check_real(pair[1], f"{name}[1]", low=0)
