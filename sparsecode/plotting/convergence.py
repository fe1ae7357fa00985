"""How fast a solver came to its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sparsecode._validation import check_option
from sparsecode.plotting._axes import (
    add_grid,
    add_legend,
    axes_or_new,
    check_label,
    check_labelled,
    labelled,
    name_of,
    parts_of,
    set_integer_ticks,
    set_log_height,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ConvergenceDisplay"]

AXES = {"n_iter": "iterations", "seconds": "seconds"}


class ConvergenceDisplay:
    """The certificate of one or more runs, on a logarithmic scale, while they ran.

    The certificate is relative and dimensionless; which one it is (duality gap, residual, relative
    decrease), the solver's docstring says. Runs of one problem with one certificate compare.

    Parameters
    ----------
    histories : mapping of str to mapping
        For each label a history as results hold it: arrays of one length named ``"n_iter"``,
        ``"seconds"`` and ``"certificate"``; others are not looked at.

    Attributes
    ----------
    histories : dict of str to mapping
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
        If `histories` is no mapping of histories, is empty, or a history lacks one of the arrays.

    See Also
    --------
    ConvergenceDisplay.from_result : One run.
    ConvergenceDisplay.from_results : Several runs in one picture.
    ConvergenceDisplay.from_estimator : The run of a fitted estimator.

    Examples
    --------
    >>> from sparsecode.datasets import make_low_rank_plus_sparse
    >>> from sparsecode.plotting import ConvergenceDisplay
    >>> from sparsecode.solvers import principal_component_pursuit
    >>> X = make_low_rank_plus_sparse(60, rank=2, density=0.05, random_state=0)[0]
    >>> result = principal_component_pursuit(X)
    >>> display = ConvergenceDisplay.from_result(result, label="pursuit")
    >>> display.histories["pursuit"]["certificate"].size == result.n_iter
    True
    """

    ax_: Axes
    figure_: Any
    lines_: list[Any]

    def __init__(self, histories: Any) -> None:
        self.histories = dict(check_labelled(histories, "histories"))
        for label, history in self.histories.items():
            _check_history(history, f"histories[{label!r}]")

    @classmethod
    def from_result(cls, result: Any, *, label: str = "certificate") -> Self:
        """Show one run.

        Parameters
        ----------
        result : Result
            What an iterative solver returned.
        label : str, default="certificate"
            What the curve is called.

        Returns
        -------
        ConvergenceDisplay
            Ready to `plot`.
        """
        return cls({check_label(label): parts_of(result, "result", "history")[0]})

    @classmethod
    def from_results(cls, results: Any) -> Self:
        """Show several runs in one picture.

        Parameters
        ----------
        results : mapping of str to Result
            What iterative solvers returned, by the labels of their curves.

        Returns
        -------
        ConvergenceDisplay
            Ready to `plot`.
        """
        results = check_labelled(results, "results")
        return cls(
            {
                label: parts_of(result, f"results[{label!r}]", "history")[0]
                for label, result in results.items()
            }
        )

    @classmethod
    def from_estimator(cls, estimator: Any, *, label: str | None = None) -> Self:
        """Show the run of a fitted estimator.

        Parameters
        ----------
        estimator : KSVD, or another with `history_`
            Fitted.
        label : str, optional
            What the curve is called; the name of the class by default.

        Returns
        -------
        ConvergenceDisplay
            Ready to `plot`.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(estimator, "history_")
        return cls({name_of(estimator, label): estimator.history_})

    def plot(self, ax: Axes | None = None, *, against: str = "n_iter") -> Self:
        """Draw the certificates; one that is zero or not finite has no place and is left out.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.
        against : {"n_iter", "seconds"}, default="n_iter"
            The horizontal axis.

        Returns
        -------
        ConvergenceDisplay
            Itself, with `ax_`, `figure_` and `lines_`.

        Raises
        ------
        ValueError
            If `against` is neither.
        """
        check_option(against, "against", tuple(AXES))
        self.ax_ = ax = axes_or_new(ax, (6.4, 4.2))
        self.figure_, self.lines_ = ax.figure, []
        for _, history, style in styled(self.histories):
            x = np.asarray(history[against], dtype=np.float64)
            certificate = np.asarray(history["certificate"], dtype=np.float64)
            seen = np.isfinite(certificate) & (certificate > 0)
            marks = max(1, int(np.count_nonzero(seen)) // 12)
            self.lines_ += ax.plot(x[seen], certificate[seen], markevery=marks, **style)
        ax.set(xlabel=AXES[against], ylabel="certificate")
        set_log_height(ax)
        if against == "n_iter":
            set_integer_ticks(ax.xaxis)
        add_grid(ax)
        if len(self.histories) > 1:
            add_legend(ax)
        elif list(self.histories) != ["certificate"]:
            ax.set_title(next(iter(self.histories)))
        return self


def _check_history(history: Any, name: str) -> None:
    wanted = (*AXES, "certificate")
    if not isinstance(history, Mapping):
        raise TypeError(f"{name} has to be a mapping of arrays, got {type(history).__name__}")
    if not history:
        raise ValueError(f"{name} is empty: the solver took no iteration, there is nothing to plot")
    missing = [key for key in wanted if key not in history]
    if missing:
        raise ValueError(f"{name} lacks {labelled(missing)}; it has {labelled(history)}")
    shapes = {key: np.shape(history[key]) for key in wanted}
    if len(set(shapes.values())) > 1 or len(shapes["certificate"]) != 1:
        raise ValueError(f"{name} has to hold 1-D arrays of one length, got shapes {shapes}")
