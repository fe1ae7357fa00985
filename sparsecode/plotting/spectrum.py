r"""Singular values, and how many of them matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.linalg

from sparsecode._validation import check_array, check_bool, check_spectrum
from sparsecode.plotting._axes import (
    add_grid,
    add_legend,
    axes_or_new,
    check_label,
    check_labelled,
    name_of,
    set_integer_ticks,
    set_log_height,
    styled,
)
from sparsecode.solvers import effective_rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SpectrumDisplay"]


class SpectrumDisplay:
    r"""The singular values of one or more matrices, :math:`\sigma_1 \ge \sigma_2 \ge \dots`

    A spectrum that falls fast belongs to a matrix that few directions describe. The ring on each
    curve is at its effective rank, rounded; see `sparsecode.solvers.effective_rank`.

    Parameters
    ----------
    singular_values : mapping of str to array of shape (n,)
        Nonnegative, in descending order; one curve for each label.

    Attributes
    ----------
    singular_values : dict of str to ndarray
        As given.
    ax_ : matplotlib Axes
        After `plot`: where it drew.
    figure_ : matplotlib Figure
        After `plot`: the figure of `ax_`.
    lines_ : list of matplotlib Line2D
        After `plot`: one curve for each label.

    Raises
    ------
    TypeError, ValueError
        If `singular_values` is no mapping, is empty, or holds anything else.

    See Also
    --------
    SpectrumDisplay.from_matrix : Compute the singular values of a matrix.
    SpectrumDisplay.from_estimator : Take those of a fitted estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.plotting import SpectrumDisplay
    >>> display = SpectrumDisplay.from_matrix(np.diag([3.0, 2.0, 1.0]), label="W")
    >>> display.singular_values["W"]
    array([3., 2., 1.])
    """

    ax_: Axes
    figure_: Any
    lines_: list[Any]

    def __init__(self, singular_values: Any) -> None:
        self.singular_values = {
            label: check_spectrum(s, f"singular_values[{label!r}]")
            for label, s in check_labelled(singular_values, "singular_values").items()
        }

    @classmethod
    def from_matrix(cls, W: Any, *, label: str = "matrix") -> Self:
        """Compute all singular values of a matrix.

        Parameters
        ----------
        W : array of shape (m, n)
            The matrix.
        label : str, default="matrix"
            What the curve is called.

        Returns
        -------
        SpectrumDisplay
            Ready to `plot`.
        """
        label, W = check_label(label), check_array(W, "W")
        return cls({label: scipy.linalg.svdvals(W, check_finite=False)})

    @classmethod
    def from_estimator(cls, estimator: Any, *, label: str | None = None) -> Self:
        """Take the singular values of a fitted estimator.

        Parameters
        ----------
        estimator : RobustPCA, or another with `singular_values_`
            Fitted.
        label : str, optional
            What the curve is called; the name of the class by default.

        Returns
        -------
        SpectrumDisplay
            Ready to `plot`.

        Raises
        ------
        ValueError
            If the rank is zero: there is no singular value then.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(estimator, "singular_values_")
        return cls({name_of(estimator, label): estimator.singular_values_})

    def plot(self, ax: Axes | None = None, *, cumulative: bool = False) -> Self:
        r"""Draw the spectra.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        cumulative : bool, default=False
            False: the singular values, on a logarithmic scale, down to rounding error.
            True: the share of the energy that the leading `k` hold,
            :math:`\sum_{i \le k} \sigma_i^2 / \sum_i \sigma_i^2`.

        Returns
        -------
        SpectrumDisplay
            Itself, with `ax_`, `figure_` and `lines_`.
        """
        check_bool(cumulative, "cumulative")
        self.ax_ = ax = axes_or_new(ax, (6.4, 4.2))
        self.figure_, self.lines_ = ax.figure, []
        for _, s, style in styled(self.singular_values):
            rank = effective_rank(s)
            height = _energy_share(s) if cumulative else _above_rounding(s)
            curve, ring = (
                {"marker": "", "label": None},
                {"markersize": 9, "markerfacecolor": "white"},
            )
            ring |= {"marker": "o", "label": f"{style['label']}: effective rank {rank:.3g}"}
            self.lines_ += ax.plot(np.arange(1, s.size + 1), height, **{**style, **curve})
            nearest = max(round(rank), 1)
            ax.plot([nearest], [height[nearest - 1]], **{**style, **ring})
        if cumulative:
            ax.set(ylim=(0, 1.03), ylabel="share of the energy")
        else:
            ax.set_ylabel("singular value")
            set_log_height(ax)
        ax.set_xlabel("index")
        set_integer_ticks(ax.xaxis)
        add_grid(ax)
        add_legend(ax)
        return self


def _energy_share(s: np.ndarray) -> np.ndarray:
    if s[0] == 0:
        return np.zeros(s.size)
    energy = np.cumsum(np.square(s.astype(np.float64) / s[0]))
    return energy / energy[-1]


def _above_rounding(s: np.ndarray) -> np.ndarray:
    """NaN for what rounding alone can put there: its logarithm says nothing of the matrix."""
    return np.where(s > s[0] * (s.size * np.finfo(s.dtype).eps), s, np.nan)
