"""Error against bits: what each method of compression makes of a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sparsecode._validation import check_array, check_real
from sparsecode.plotting._axes import (
    add_grid,
    add_legend,
    axes_or_new,
    check_labelled,
    set_log_height,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FrontierDisplay"]


class FrontierDisplay:
    """The error of each method against the bits it spends; lower and further left is better.

    Parameters
    ----------
    curves : mapping of str to (bits_fraction, error)
        For each method two arrays of one length: the bits as a fraction of the original's,
        positive, and the relative error, nonnegative. The order of the points is free.

    Attributes
    ----------
    curves : dict of str to tuple of two ndarray
        As given.
    ax_ : matplotlib Axes
        After `plot`: where it drew.
    figure_ : matplotlib Figure
        After `plot`: the figure of `ax_`.
    lines_ : list of matplotlib Line2D
        After `plot`: one curve for each method.

    Raises
    ------
    TypeError, ValueError
        If `curves` is no mapping, is empty, or holds anything else.

    Examples
    --------
    >>> from sparsecode.plotting import FrontierDisplay
    >>> display = FrontierDisplay({"low rank": ([0.1, 0.2, 0.4], [0.3, 0.1, 0.02])})
    >>> display.curves["low rank"][1]
    array([0.3 , 0.1 , 0.02])
    """

    ax_: Axes
    figure_: Any
    lines_: list[Any]

    def __init__(self, curves: Any) -> None:
        self.curves = {
            label: _check_curve(curve, f"curves[{label!r}]")
            for label, curve in check_labelled(curves, "curves").items()
        }

    def plot(self, ax: Axes | None = None, *, budget: float | None = None) -> Self:
        """Draw one curve a method; an error of zero has no place on the scale and is left out.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        budget : float, optional
            A fraction of the bits to mark with a vertical line.

        Returns
        -------
        FrontierDisplay
            Itself, with `ax_`, `figure_` and `lines_`.

        Raises
        ------
        ValueError
            If `budget` is not positive.
        """
        from matplotlib.ticker import PercentFormatter

        if budget is not None:
            budget = check_real(budget, "budget", low=0, open_low=True)
        self.ax_ = ax = axes_or_new(ax, (6.8, 4.2))
        self.figure_, self.lines_ = ax.figure, []
        for _, (bits, error), style in styled(self.curves):
            order = np.argsort(bits, kind="stable")
            order = order[error[order] > 0]
            self.lines_ += ax.plot(bits[order], error[order], **style)
        if budget is not None:
            ax.axvline(budget, color="0.4", linestyle="--", label=f"budget {budget:.3g}", zorder=1)
        ax.set(xlabel="bits, share of the original", ylabel="relative error")
        set_log_height(ax)
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
        add_grid(ax)
        add_legend(ax)
        return self


def _check_curve(curve: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(curve, (tuple, list)) or len(curve) != 2:
        raise TypeError(f"{name} has to be a pair (bits_fraction, error) of arrays")
    bits, error = (check_array(side, f"{name}[{i}]", ndim=1) for i, side in enumerate(curve))
    if bits.size != error.size:
        raise ValueError(f"{name} has {bits.size} bits_fraction but {error.size} errors")
    if bits.min() <= 0 or error.min() < 0:
        raise ValueError(f"{name} has to have positive bits_fraction and nonnegative errors")
    return bits, error
