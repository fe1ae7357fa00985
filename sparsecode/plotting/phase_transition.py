"""Where solvers stop recovering, beside the curve of the theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sparsecode._validation import check_bool
from sparsecode.plotting._axes import (
    add_grid,
    add_legend,
    axes_or_new,
    check_label,
    check_labelled,
    styled,
)
from sparsecode.theory import PhaseTransition, phase_transition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PhaseTransitionDisplay"]


class PhaseTransitionDisplay:
    r"""Half-recovery points with their confidence bands, and the Donoho-Tanner curve.

    A point at :math:`(\delta, \rho)` says: from :math:`m = \delta n` measurements the solver
    recovers half of the signals with :math:`k = \rho\, m` nonzeros. The curve is where the l1 norm
    does so, as `n` grows.

    Parameters
    ----------
    transitions : mapping of str to PhaseTransition
        For each label what `empirical_phase_transition` returned.
    positive : bool, default=False
        Whether the curve is that of signals without negative values.

    Attributes
    ----------
    transitions : dict of str to PhaseTransition
        As given.
    positive : bool
        As given.
    ax_ : matplotlib Axes
        After `plot`: where it drew.
    figure_ : matplotlib Figure
        After `plot`: the figure of `ax_`.
    lines_ : list of matplotlib ErrorbarContainer
        After `plot`: one for each label.
    curve_ : matplotlib Line2D
        After `plot`: the curve.
    cells_ : matplotlib PathCollection or None
        After `plot`: the cells of a single transition, coloured by the share recovered.

    Raises
    ------
    TypeError, ValueError
        If `transitions` is no mapping of transitions, or is empty.

    See Also
    --------
    PhaseTransitionDisplay.from_result : One solver, with the share recovered in each cell.
    PhaseTransitionDisplay.from_results : Several solvers in one picture.
    sparsecode.theory.empirical_phase_transition : What is drawn.

    References
    ----------
    Donoho and Tanner, "Observed universality of phase transitions in high-dimensional geometry",
    2009.

    Examples
    --------
    >>> from sparsecode.plotting import PhaseTransitionDisplay
    >>> from sparsecode.solvers import omp
    >>> from sparsecode.theory import empirical_phase_transition
    >>> found = empirical_phase_transition(
    ...     lambda A, y, k: omp(A, y, n_nonzero_coefs=k), 60, [0.3, 0.6], n_trials=2
    ... )
    >>> PhaseTransitionDisplay.from_result(found, label="OMP").transitions["OMP"].n
    60
    """

    ax_: Axes
    figure_: Any
    lines_: list[Any]
    curve_: Any
    cells_: Any

    def __init__(self, transitions: Any, *, positive: bool = False) -> None:
        self.transitions = dict(check_labelled(transitions, "transitions"))
        self.positive = check_bool(positive, "positive")
        for label, transition in self.transitions.items():
            if not isinstance(transition, PhaseTransition):
                raise TypeError(
                    f"transitions[{label!r}] has to be a PhaseTransition, as "
                    f"empirical_phase_transition returns it; got {type(transition).__name__}"
                )

    @classmethod
    def from_result(
        cls, result: PhaseTransition, *, label: str = "measured", positive: bool = False
    ) -> Self:
        """Show one solver.

        Parameters
        ----------
        result : PhaseTransition
            What `empirical_phase_transition` returned.
        label : str, default="measured"
            What its points are called.
        positive : bool, default=False
            Whether the curve is that of signals without negative values.

        Returns
        -------
        PhaseTransitionDisplay
            Ready to `plot`.
        """
        return cls({check_label(label): result}, positive=positive)

    @classmethod
    def from_results(cls, results: Any, *, positive: bool = False) -> Self:
        """Show several solvers in one picture.

        Parameters
        ----------
        results : mapping of str to PhaseTransition
            What `empirical_phase_transition` returned, by the labels of the points.
        positive : bool, default=False
            Whether the curve is that of signals without negative values.

        Returns
        -------
        PhaseTransitionDisplay
            Ready to `plot`.
        """
        return cls(results, positive=positive)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the points, their bands and the curve; of a single solver the cells as well.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        PhaseTransitionDisplay
            Itself, with `ax_`, `figure_`, `lines_`, `curve_` and `cells_`.
        """
        self.ax_ = ax = axes_or_new(ax, (6.4, 4.6))
        self.figure_, self.lines_, self.cells_ = ax.figure, [], None
        if len(self.transitions) == 1:
            self.cells_ = _draw_cells(ax, *self.transitions.values())
        deltas = np.linspace(0.005, 1.0, 200)
        curve = phase_transition(deltas, positive=self.positive)
        (self.curve_,) = ax.plot(deltas, curve, color="0.35", linestyle="--", label="theory")
        for _, found, style in styled(self.transitions):
            seen = np.isfinite(found.midpoints)
            middle = found.midpoints[seen]
            band = [middle - found.lows[seen], found.highs[seen] - middle]
            self.lines_.append(
                ax.errorbar(found.deltas[seen], middle, yerr=band, capsize=3, zorder=3, **style)
            )
        ax.set(
            xlabel=r"measurements over length, $\delta = m / n$",
            ylabel=r"nonzeros over measurements, $\rho = k / m$",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        add_grid(ax)
        add_legend(ax)
        return self


def _draw_cells(ax: Axes, found: PhaseTransition) -> Any:
    places = np.broadcast_to(found.deltas[:, None], found.rhos.shape)
    cells = ax.scatter(
        places.ravel(),
        found.rhos.ravel(),
        c=(found.n_successes / found.n_trials).ravel(),
        cmap="Greys",
        vmin=0,
        vmax=1,
        marker="s",
        s=36,
        edgecolors="0.6",
        linewidths=0.5,
    )
    figure: Any = ax.figure
    figure.colorbar(cells, ax=ax, label=f"share recovered of {found.n_trials}")
    return cells
