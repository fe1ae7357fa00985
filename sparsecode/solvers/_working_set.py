"""Working sets: a lasso with many columns, solved on the few that matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from sparsecode._validation import check_int, check_real
from sparsecode.penalties import L1, ElasticNet, Penalty
from sparsecode.solvers._problem import Iterate, PenalizedLeastSquares, least_alpha
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback, run

FIRST = 100  # coordinates in the first working set
STAGE = 0.3  # from one weight of the continuation to the next
LOOSE = 0.1  # and how well each is solved: gap over the objective at zero and that weight


@dataclass(frozen=True)
class WeightedLasso:
    """``0.5 ||y - A x||^2 + 0.5 ridge ||x||^2 + weights^T |x|``, perhaps with ``x >= 0``.

    With ``slope = A^T (y - A x) - ridge x``; a ridge counts as rows of zeros in `y`.
    """

    weights: np.ndarray
    ridge: float = 0.0
    positive: bool = False

    @classmethod
    def of(cls, problem: PenalizedLeastSquares) -> WeightedLasso:
        """The penalty as weights and a ridge."""
        penalty, alpha, n = problem.penalty, problem.alpha, problem.A.shape[1]
        weights = np.full(n, alpha, dtype=problem.y.dtype)
        if isinstance(penalty, ElasticNet):
            ridge = alpha * (1 - penalty.l1_ratio)
            return cls(weights * penalty.l1_ratio, ridge, penalty.positive)
        assert isinstance(penalty, L1)
        if penalty.weights is not None:
            weights = (alpha * penalty.weights).astype(weights.dtype)
        return cls(weights, positive=penalty.positive)

    def scaled(self, factor: float) -> WeightedLasso:
        """With weights so many times as large."""
        return replace(self, weights=factor * self.weights)

    def on(self, members: np.ndarray) -> WeightedLasso:
        """For some of the coordinates."""
        return replace(self, weights=self.weights[members])

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """The proximal operator of the weighted l1 norm."""
        shrunk = np.maximum((x if self.positive else np.abs(x)) - step * self.weights, 0)
        return shrunk if self.positive else np.copysign(shrunk, x)

    def excess(self, slope: np.ndarray) -> np.ndarray:
        """At most 1 at the minimiser."""
        return (slope if self.positive else np.abs(slope)) / self.weights

    def gap(self, energy: float, slope: np.ndarray, x: np.ndarray) -> float:
        """The duality gap; `energy` is ``||y - A x||^2 + ridge ||x||^2``."""
        scale = 1 / max(float(np.max(self.excess(slope), initial=0.0)), 1.0)
        slack = self.weights @ np.abs(x) - scale * (slope @ x)
        return float(0.5 * (1 - scale) ** 2 * max(energy, 0.0) + max(slack, 0.0))

    def gap_at(self, at: Iterate, y: np.ndarray) -> float:
        """The duality gap of an iterate of the whole problem."""
        x, residual = at.x, y - at.Ax
        energy = float(residual @ residual + self.ridge * (x @ x))
        return self.gap(energy, at.correlation - self.ridge * x, x)


# Of the Gram matrix (with the ridge), A^T y, ||y||^2, the lasso on these columns, where to start
# and an absolute tolerance for the gap: the coefficients.
InnerSolver = Callable[[np.ndarray, np.ndarray, float, WeightedLasso, np.ndarray, float], Any]


class ColumnPool:
    """The columns of `A` that were ever needed, and their Gram matrix, which only grow."""

    def __init__(self, A: Any, y: np.ndarray) -> None:
        self.A, self.y = sp.csc_array(A) if sp.issparse(A) else A, y
        self._position = np.full(A.shape[1], -1, dtype=np.intp)
        self._size = 0
        self._columns = np.empty((A.shape[0], 0), dtype=y.dtype, order="F")
        self._gram = np.empty((0, 0), dtype=y.dtype)
        self._correlation = np.empty(0, dtype=y.dtype)

    def at(self, x: np.ndarray) -> Iterate:
        """Coefficients with all that depends on them."""
        S = np.flatnonzero(x)
        self._take(S)
        if 4 * S.size > self._size:  # a copy of the columns costs more than the product
            everyone = np.zeros(self._size, dtype=x.dtype)
            everyone[self._position[S]] = x[S]
            Ax = self._columns[:, : self._size] @ everyone
        else:
            Ax = self._columns[:, self._position[S]] @ x[S]
        return Iterate(x, Ax, self.A.T @ (self.y - Ax))

    def normal_equations(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``A_W^T A_W`` and ``A_W^T y`` for these coordinates."""
        self._take(members)
        places = self._position[members]
        return self._gram[np.ix_(places, places)], self._correlation[places]

    def _take(self, members: np.ndarray) -> None:
        new = members[self._position[members] < 0]
        if new.size == 0:
            return
        old, size = self._size, self._size + new.size
        if size > self._gram.shape[0]:  # room for twice as many: copies stay rare
            room = min(max(2 * size, FIRST), self.A.shape[1])
            columns = np.empty((self.A.shape[0], room), dtype=self.y.dtype, order="F")
            columns[:, :old] = self._columns[:, :old]
            gram = np.empty((room, room), dtype=self.y.dtype)
            gram[:old, :old] = self._gram[:old, :old]
            self._columns, self._gram = columns, gram
        added = columns_of(self.A, new)
        self._columns[:, old:size] = added
        self._gram[:size, old:size] = self._columns[:, :size].T @ added
        self._gram[old:size, :old] = self._gram[:old, old:size].T
        self._correlation = np.concatenate([self._correlation, added.T @ self.y])
        self._position[new] = np.arange(old, size)
        self._size = size


def columns_of(A: Any, members: np.ndarray) -> np.ndarray:
    """``A[:, members]``, dense; an operator gives them itself, or by products with unit vectors."""
    if isinstance(A, LinearOperator):
        if hasattr(A, "columns"):
            return A.columns(members)
        unit = np.zeros((A.shape[1], members.size), dtype=A.dtype)
        unit[members, np.arange(members.size)] = 1
        return A @ unit
    columns = A[:, members]
    return columns if isinstance(columns, np.ndarray) else columns.toarray()


def working_sets(
    pool: ColumnPool, lasso: WeightedLasso, solve: InnerSolver, at: Iterate, tol: float
) -> Iterator[Iterate]:
    """Solve on the support and the coordinates that violate their optimality most; again.

    `tol` is absolute, for the gap. A coordinate that comes to nothing leaves the set.
    """
    energy = float(pool.y @ pool.y)
    while True:
        x = at.x
        excess = lasso.excess(at.correlation - lasso.ridge * x)
        active = np.flatnonzero(x)
        excess[active] = 0
        n_new = min(max(FIRST, active.size), int(np.count_nonzero(excess > 1)))
        new = np.argpartition(-excess, n_new - 1)[:n_new] if n_new else active[:0]
        W = np.union1d(active, new)
        gram, correlation = pool.normal_equations(W)
        if lasso.ridge:
            gram[np.diag_indices_from(gram)] += lasso.ridge
        # No set has to be solved to a gap much smaller than that of the whole problem.
        enough = max(0.3 * tol, 0.01 * lasso.gap_at(at, pool.y))
        z = solve(gram, correlation, energy, lasso.on(W), x[W], enough)
        x = np.zeros_like(x)
        x[W] = z
        at = pool.at(x)
        yield at


def continuation(
    pool: ColumnPool, lasso: WeightedLasso, solve: InnerSolver, at: Iterate, tol: float
) -> Iterator[Iterate]:
    """From zero by way of a few larger weights, so that no working set is much too large."""
    at_zero = 0.5 * float(pool.y @ pool.y)
    largest = float(np.max(lasso.excess(at.correlation), initial=0.0))
    if not at.x.any() and largest > 1:
        n_stages = int(np.ceil(np.log(largest) / -np.log(STAGE)))
        for k in range(1, n_stages):
            factor = largest ** (1 - k / n_stages)
            stage, enough = lasso.scaled(factor), LOOSE * factor / largest * at_zero
            for better in islice(working_sets(pool, stage, solve, at, enough), 20):
                at = better
                yield at
                if stage.gap_at(at, pool.y) <= enough:
                    break
    yield from working_sets(pool, lasso, solve, at, tol)


def solve_on_working_sets(
    solve: InnerSolver,
    name: str,
    A: Any,
    y: Any,
    alpha: float | None,
    alpha_ratio: float | None,
    penalty: Penalty | None,
    tol: float,
    max_iter: int,
    init: Any,
    callback: Callback | None,
) -> CodeResult:
    """The body of the public solvers, which differ in the inner one."""
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    problem = single_lasso(A, y, alpha, alpha_ratio, penalty, name)
    pool, lasso = ColumnPool(problem.A, problem.y), WeightedLasso.of(problem)
    target, start = tol * 0.5 * float(problem.y @ problem.y), problem.initial(init)
    if lasso.positive:
        start = np.maximum(start, 0)
    last, ending = run(
        continuation(pool, lasso, solve, pool.at(start), target),
        problem.measure,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        name=name,
    )
    return problem.result(last, ending)


def single_lasso(
    A: Any, y: Any, alpha: Any, alpha_ratio: Any, penalty: Penalty | None, name: str
) -> PenalizedLeastSquares:
    """The arguments of a solver that works on columns, for one signal."""
    problem = PenalizedLeastSquares.from_arguments(
        A, y, alpha, alpha_ratio, penalty, needs_norm=False
    )
    if problem.y.ndim != 1:
        raise ValueError(f"{name} takes one signal, y of shape (m,); see sparse_encode")
    if np.iscomplexobj(problem.y):
        raise ValueError(f"A or y is complex, and {name} is for real data; use fista")
    if not isinstance(problem.penalty, (L1, ElasticNet)):
        raise ValueError(f"{name} takes L1 and ElasticNet, not {type(penalty).__name__}; use fista")
    if isinstance(problem.penalty, ElasticNet) and problem.penalty.l1_ratio == 0:
        raise ValueError("l1_ratio=0 is ridge regression, whose answer is not sparse; use fista")
    if WeightedLasso.of(problem).weights.min() <= least_alpha(problem.y.dtype):
        raise ValueError(
            "alpha times the l1_ratio, or a weight, of penalty cannot be told from 0 in "
            f"{problem.y.dtype} at the scale of A and y; raise it"
        )
    return problem
