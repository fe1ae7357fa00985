r"""Coordinate descent on working sets, for penalised least squares with one signal."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import LinearOperator

from sparsecode._docs import documented
from sparsecode._threads import single_threaded_blas
from sparsecode._validation import check_int, check_real
from sparsecode.penalties import L1, ElasticNet, Penalty
from sparsecode.solvers._problem import Iterate, PenalizedLeastSquares
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback, run

__all__ = ["coordinate_descent"]

FIRST = 100  # coordinates in the first working set


class NewtonOutcome(enum.Enum):
    """What a step on the support came to."""

    EXACT = "the minimiser for these signs, which are still right"
    SIGNS_CHANGED = "lower, with other signs"
    SINGULAR = "no step: the columns of the support depend on each other"


class WorkingSet:
    """The columns of `A` that were ever needed, and their Gram matrix, which only grow."""

    def __init__(self, A: Any, y: np.ndarray) -> None:
        self.A, self.y = A, y
        self.members = np.zeros(0, dtype=np.intp)
        self._columns = np.empty((A.shape[0], 0), dtype=y.dtype, order="F")
        self._gram = np.empty((0, 0), dtype=y.dtype)
        self.correlation = np.empty(0, dtype=y.dtype)

    @property
    def columns(self) -> np.ndarray:
        """``A[:, members]``."""
        return self._columns[:, : self.members.size]

    @property
    def gram(self) -> np.ndarray:
        """``columns.T @ columns``."""
        return self._gram[: self.members.size, : self.members.size]

    def grow(self, new: np.ndarray) -> None:
        """Add coordinates that are not in it yet."""
        old, size = self.members.size, self.members.size + new.size
        if size > self._gram.shape[0]:  # room for twice as many: copies stay rare
            room = min(max(2 * size, FIRST), self.A.shape[1])
            columns = np.empty((self.A.shape[0], room), dtype=self.y.dtype, order="F")
            columns[:, :old] = self.columns
            gram = np.empty((room, room), dtype=self.y.dtype)
            gram[:old, :old] = self.gram
            self._columns, self._gram = columns, gram
        added = self.A[:, new]
        added = added if isinstance(added, np.ndarray) else added.toarray()
        self._columns[:, old:size] = added
        self._gram[:size, old:size] = self._columns[:, :size].T @ added
        self._gram[old:size, :old] = self._gram[:old, old:size].T
        self.members = np.concatenate([self.members, new])
        self.correlation = np.concatenate([self.correlation, added.T @ self.y])


def _working_sets(
    working: WorkingSet,
    weights: np.ndarray,
    ridge: float,
    positive: bool,
    x: np.ndarray,
    tol: float,
) -> Iterator[Iterate]:
    """Solve on a set, add the coordinates that violate most, solve again.

    `weights` holds the l1 weight of each coordinate; `tol` is absolute, for the gap.
    """
    A, y = working.A, working.y
    working.grow(np.setdiff1d(np.flatnonzero(x), working.members))
    Ax = working.columns @ x[working.members]
    while True:
        correlation = A.T @ (y - Ax) - ridge * x
        excess = (correlation if positive else np.abs(correlation)) / weights
        # No set has to be solved to a gap much smaller than that of the whole problem.
        energy = float((y - Ax) @ (y - Ax) + ridge * (x @ x))
        gap = _gap(energy, excess, weights, x, correlation)
        excess[working.members] = 0
        n_new = min(max(FIRST, int(np.count_nonzero(x))), int(np.count_nonzero(excess > 1)))
        new = np.argpartition(-excess, n_new - 1)[:n_new] if n_new else np.zeros(0, dtype=np.intp)
        working.grow(np.sort(new))
        W = working.members
        with single_threaded_blas():  # many small products and factorizations
            z = _solve(working, weights[W], ridge, positive, x[W], max(tol, 0.1 * gap))
        x = np.zeros_like(x)
        x[W] = z
        active = np.flatnonzero(z)
        Ax = working.columns[:, active] @ z[active]
        yield Iterate(x, Ax)


def _solve(
    working: WorkingSet,
    threshold: np.ndarray,
    ridge: float,
    positive: bool,
    x: np.ndarray,
    tol: float,
) -> np.ndarray:
    """The lasso on the working set: sweeps find signs, a Newton step finds the values for them."""
    from sparsecode.solvers._kernels.coordinate import sweep_gram

    gram = np.ascontiguousarray(working.gram)
    if ridge:
        gram = gram + ridge * np.eye(x.size, dtype=x.dtype)
    active = np.flatnonzero(x)
    gradient = working.correlation - gram[:, active] @ x[active]
    n_sweeps = 6
    for _ in range(500):
        sweep_gram(gram, threshold, positive, n_sweeps, 0.0, x, gradient)
        for _ in range(5):
            x, gradient, outcome = _newton(gram, threshold, x, gradient)
            if outcome is not NewtonOutcome.SIGNS_CHANGED:
                break
        # Where columns of the support depend on each other, only sweeps can thin it out.
        n_sweeps = 40 if outcome is NewtonOutcome.SINGULAR else 6
        energy = float(working.y @ working.y - working.correlation @ x - gradient @ x)
        excess = (gradient if positive else np.abs(gradient)) / threshold
        if _gap(energy, excess, threshold, x, gradient) <= tol:
            break
    return x


def _gap(
    energy: float,
    excess: np.ndarray,
    weights: np.ndarray,
    x: np.ndarray,
    gradient: np.ndarray,
) -> float:
    """The duality gap, with a ridge counted as rows of zeros in `y`; excess: gradient / weights."""
    scale = 1 / max(float(np.max(excess, initial=0.0)), 1.0)
    slack = weights @ np.abs(x) - scale * (gradient @ x)
    return float(0.5 * (1 - scale) ** 2 * max(energy, 0.0) + max(slack, 0.0))


def _newton(
    gram: np.ndarray, threshold: np.ndarray, x: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray, NewtonOutcome]:
    """Move on the support towards its minimiser for the present signs.

    Where signs would change, the better of two points: the least one of the segment, on which the
    objective is a parabola that bends at each change (Lee et al., 2007), or its end with all
    coefficients that changed sign set to zero, which drops many at once.
    """
    S = np.flatnonzero(x)
    if S.size == 0:
        return x, gradient, NewtonOutcome.EXACT
    signs, weights = np.sign(x[S]), threshold[S]
    curvature = gram[np.ix_(S, S)]
    downhill = gradient[S] - weights * signs
    try:
        factor = scipy.linalg.cho_factor(curvature, check_finite=False)
    except np.linalg.LinAlgError:
        return x, gradient, NewtonOutcome.SINGULAR
    direction = scipy.linalg.cho_solve(factor, downhill, check_finite=False)
    clipped = np.where((x[S] + direction) * signs > 0, x[S] + direction, 0)
    exact = bool(np.all(clipped))
    change = clipped - x[S]
    if not exact:
        step, stopped = _least_point(x[S], direction, weights, float(downhill @ direction))
        least = x[S] + step * direction
        least[stopped] = 0

        def rise(z: np.ndarray) -> float:
            moved = z - x[S]
            fit = 0.5 * moved @ (curvature @ moved) - gradient[S] @ moved
            return float(fit + weights @ (np.abs(z) - np.abs(x[S])))

        change = min(clipped, least, key=rise) - x[S]
    x = x.copy()
    x[S] += change
    outcome = NewtonOutcome.EXACT if exact else NewtonOutcome.SIGNS_CHANGED
    return x, gradient - change @ gram[S], outcome  # rows, which lie together in memory


def _least_point(
    x: np.ndarray, direction: np.ndarray, threshold: np.ndarray, decrease: float
) -> tuple[float, np.ndarray]:
    """The least point of ``decrease (t^2 / 2 - t)`` plus the bends; and who is zero there."""
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where(x * direction < 0, -x / direction, np.inf)
    order = np.argsort(crossing)
    order = order[: np.count_nonzero(crossing < 1)]
    times, bends = crossing[order], 2 * np.abs(threshold[order] * direction[order])
    before = decrease * (times - 1) + np.concatenate([[0.0], np.cumsum(bends)[:-1]])[: times.size]
    rising = np.flatnonzero(before + bends >= 0)
    if rising.size == 0:
        bend = float(np.sum(bends))
        return max(1 - bend / decrease, 0.0) if decrease > 0 else 1.0, np.zeros(0, dtype=np.intp)
    first = rising[0]
    if before[first] < 0:
        return float(times[first]), order[first : first + 1]
    bend = float(np.sum(bends[:first]))
    return 1 - bend / decrease, np.zeros(0, dtype=np.intp)


@documented
def coordinate_descent(
    A: Any,
    y: Any,
    alpha: float | None = None,
    *,
    alpha_ratio: float | None = None,
    penalty: Penalty | None = None,
    tol: float = 1e-6,
    max_iter: int = 100,
    init: Any = None,
    callback: Callback | None = None,
) -> CodeResult:
    r"""Coordinate descent on working sets: the fast way for one signal and many columns.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)

    with the l1 norm (weighted, positive) or the elastic net. An iteration solves the problem on a
    working set: sweeps over its Gram matrix find the signs, Newton steps the values for them. Then
    the coordinates that violate their optimality most join the set. `A` is a matrix whose columns
    can be taken (not an operator), and `y` one signal; for many signals see `sparse_encode`.

    %(penalized_least_squares)s

    References
    ----------
    Friedman, Hastie and Tibshirani, "Regularization paths for generalized linear models via
    coordinate descent", 2010; Massias, Gramfort and Salmon, "Celer: a fast solver for the Lasso
    with dual extrapolation", 2018; Lee, Battle, Raina and Ng, "Efficient sparse coding
    algorithms", 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import coordinate_descent
    >>> rng = np.random.default_rng(0)
    >>> A, y = rng.standard_normal((50, 500)), rng.standard_normal(50)
    >>> result = coordinate_descent(A, y, alpha_ratio=0.1, tol=1e-10)
    >>> result.converged, bool(result.dual_gap <= 1e-10 * 0.5 * y @ y)
    (True, True)
    """
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    problem = _problem(A, y, alpha, alpha_ratio, penalty)
    last, ending = run(
        _iterates(problem, WorkingSet(problem.A, problem.y), problem.initial(init), tol),
        problem.measure,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        name="coordinate_descent",
    )
    return problem.result(last, ending)


def _problem(
    A: Any, y: Any, alpha: Any, alpha_ratio: Any, penalty: Penalty | None
) -> PenalizedLeastSquares:
    problem = PenalizedLeastSquares.from_arguments(A, y, alpha, alpha_ratio, penalty)
    if isinstance(problem.A, LinearOperator):
        raise TypeError("coordinate descent takes columns of A: pass a matrix, or use fista")
    if problem.y.ndim != 1:
        raise ValueError("coordinate descent takes one signal, y of shape (m,); see sparse_encode")
    if np.iscomplexobj(problem.y):
        raise ValueError("coordinate descent is for real data; use fista")
    if not isinstance(problem.penalty, (L1, ElasticNet)):
        raise ValueError(
            f"coordinate descent takes L1 and ElasticNet, not {type(penalty).__name__}; use fista"
        )
    if isinstance(problem.penalty, ElasticNet) and problem.penalty.l1_ratio == 0:
        raise ValueError("l1_ratio=0 is ridge regression, whose answer is not sparse; use fista")
    return problem


def _iterates(
    problem: PenalizedLeastSquares, working: WorkingSet, x: np.ndarray, tol: float
) -> Iterator[Iterate]:
    """The penalty as weights and a ridge: the elastic net is a lasso with more rows."""
    penalty, alpha = problem.penalty, problem.alpha
    weights = np.full(x.size, alpha, dtype=x.dtype)
    ridge, positive = 0.0, False
    if isinstance(penalty, ElasticNet):
        weights, ridge = weights * penalty.l1_ratio, alpha * (1 - penalty.l1_ratio)
    elif isinstance(penalty, L1):
        positive = penalty.positive
        if penalty.weights is not None:
            weights = (alpha * penalty.weights).astype(x.dtype)
    target = 0.3 * tol * 0.5 * float(problem.y @ problem.y)
    return _working_sets(working, weights, ridge, positive, x, target)
