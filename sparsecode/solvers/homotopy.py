r"""The exact regularisation path of the lasso: :math:`x(\alpha)` is linear between breakpoints."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.linalg import lapack
from scipy.sparse.linalg import LinearOperator

from sparsecode._scaling import from_units
from sparsecode._validation import check_int
from sparsecode.objectives._formulas import duality_gap, least_squares, penalized
from sparsecode.penalties import L1
from sparsecode.solvers._problem import PenalizedLeastSquares
from sparsecode.solvers._result import PathResult, Status
from sparsecode.solvers._run import as_history, warn_inaccurate
from sparsecode.solvers._working_set import columns_of

__all__ = ["lars"]

EPS = float(np.finfo(np.float64).eps)
ACCURATE = 1e-6  # a larger certificate is not what an exact algorithm promises
ROUNDING = 100  # units in the last place of the data that count as nothing


class Breakpoint(NamedTuple):
    """Where the path bends; `correlation` is ``A^T residual``."""

    alpha: float
    x: np.ndarray
    residual: np.ndarray
    correlation: np.ndarray


def _norms(A: Any) -> np.ndarray:
    return np.sqrt(np.asarray((A * A).sum(axis=0)))


def _noise(A: Any, y: np.ndarray) -> np.ndarray:
    """What rounding does to each entry of ``A^T (y - A x)``."""
    return ROUNDING * EPS * _norms(A) * np.linalg.norm(y)


class _Support:
    """The columns in use and their factorisation ``Q R``, kept up to date as they come and go."""

    def __init__(self, A: Any, tolerance: float) -> None:
        self.members = np.zeros(0, dtype=np.intp)
        self.columns = np.empty((A.shape[0], 0), order="F")
        self.Q, self.R = self.columns, np.empty((0, 0))
        self.tolerance = tolerance

    def append(self, j: int, column: np.ndarray) -> bool:
        """Take one more column, unless it depends on those in use."""
        size = self.members.size
        r = self.Q.T @ column
        q = column - self.Q @ r
        again = self.Q.T @ q  # twice is enough
        q, r = q - self.Q @ again, r + again
        norm = np.linalg.norm(q)
        if size == column.size or norm <= self.tolerance * np.linalg.norm(column):
            return False
        R = np.zeros((size + 1, size + 1), order="F")
        R[:size, :size], R[:size, size], R[size, size] = self.R, r, norm
        self.Q, self.R = np.column_stack([self.Q, q / norm]), R
        self.members = np.append(self.members, j)
        self.columns = np.column_stack([self.columns, column])
        return True

    def remove(self, positions: np.ndarray) -> None:
        """Drop the columns at these positions."""
        for position in sorted(positions, reverse=True):
            size = self.members.size - 1
            Q, R = scipy.linalg.qr_delete(self.Q, self.R, position, which="col", check_finite=False)
            self.Q, self.R = Q[:, :size], R[:size]
            self.members = np.delete(self.members, position)
            self.columns = np.delete(self.columns, position, axis=1)

    def refactorise(self) -> None:
        """From the columns anew."""
        self.Q, self.R = scipy.linalg.qr(self.columns, mode="economic", check_finite=False)

    def solve(self, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`d` with ``columns.T @ columns @ d = b``, and ``columns @ d``."""
        if b.size == 0:
            return b, np.zeros(self.Q.shape[0])
        z = lapack.dtrtrs(self.R, b, trans=1)[0]
        return lapack.dtrtrs(self.R, z)[0], self.Q @ z


def _breakpoints(A: Any, y: np.ndarray, target: float, positive: bool) -> Iterator[Breakpoint]:
    """Breakpoints in descending alpha, the last one at the target.

    On the support ``A^T (y - A x) = alpha * sign(x)``. As alpha falls by `step`, x moves by
    ``step * d`` and the correlations by ``-step * a``. Every tolerance is relative to the rounding
    of the data.
    """
    norms, noise = _norms(A), _noise(A, y)
    support = _Support(A, np.sqrt(y.size) * ROUNDING * EPS)
    x, residual, correlation = np.zeros(A.shape[1]), y, A.T @ y
    alpha = max(float(L1(positive=positive).polar(correlation)), target)
    top, reached = alpha, np.zeros(x.size, dtype=bool)
    while True:
        yield Breakpoint(alpha, x, residual, correlation)
        start, near, turns = alpha, 0.0, 0
        while start - alpha <= near:  # no step, no breakpoint
            if alpha <= target:
                return
            if turns > 2 * x.size:
                raise RuntimeError(
                    f"lars cannot follow the path below {alpha / top:.3g} of its first alpha: "
                    "rounding decides which columns of A are dependent; raise alpha, or use fista"
                )
            turns += 1
            signs = np.sign(correlation)
            tied = (correlation if positive else np.abs(correlation)) >= alpha - noise
            d, w = _direction(A, support, tied | reached, signs, norms)
            a = A.T @ w
            blur = noise + ROUNDING * EPS * alpha * norms * np.linalg.norm(w)
            near = float(np.max(blur))
            x, alpha, reached = _move(
                x, alpha, target, correlation, a, d, support.members, tied | reached, positive, blur
            )
            x, residual = _settle(support, y, x, alpha, signs, float(noise.max()))
            correlation = A.T @ residual


def _direction(
    A: Any, support: _Support, tied: np.ndarray, signs: np.ndarray, norms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where x goes, on the support, as alpha falls; and ``A`` times it. The support may change.

    ``min 0.5 * ||A d||^2 - <signs, d>`` over the tied coefficients, with ``signs * d >= 0`` where x
    is zero: an active-set method (Lawson and Hanson), of one step where only one column is tied.
    """
    n_free = support.members.size
    d, w = support.solve(signs[support.members])
    tied = tied.copy()
    tied[support.members] = False
    while tied.any():
        waiting = np.flatnonzero(tied)
        columns = columns_of(A, waiting)
        lag = 1 - signs[waiting] * (columns.T @ w)
        blur = ROUNDING * EPS * (1 + norms[waiting] * np.linalg.norm(w))
        if np.all(lag <= blur):
            break
        k = int(np.argmax(lag >= np.max(lag) - blur))  # of equal columns the first
        j = waiting[k]
        tied[j] = False
        if not support.append(j, columns[:, k]):
            continue
        d = np.append(d, 0.0)
        while True:
            old, (d, w) = d, support.solve(signs[support.members])
            s = signs[support.members]
            wrong = n_free + np.flatnonzero((s * d)[n_free:] <= 0)
            if wrong.size == 0:
                break
            size, shrink = (s * old)[wrong], (s * (old - d))[wrong]
            share = np.divide(size, shrink, out=np.zeros_like(size), where=shrink > 0)
            d = old + np.min(share) * (d - old)
            gone = wrong[share <= np.min(share)]
            tied[support.members[gone]] = support.members[gone] != j
            support.remove(gone)
            d = np.delete(d, gone)
    return d, w


def _move(
    x: np.ndarray,
    alpha: float,
    target: float,
    correlation: np.ndarray,
    a: np.ndarray,
    d: np.ndarray,
    members: np.ndarray,
    tied: np.ndarray,
    positive: bool,
    blur: np.ndarray,
) -> tuple[np.ndarray, float, np.ndarray]:
    """To the next alpha at which a coefficient joins or leaves; also which ones join there."""
    outside = np.ones(x.size, dtype=bool)
    outside[members] = False
    reach = alpha - target
    # One that is tied and stays out moves inside, and may come back only with the other sign.
    rising = outside & ~(tied & (correlation > 0))
    joins = _steps(alpha - correlation, 1 - a, rising, reach, blur)
    if not positive:
        falling = outside & ~(tied & (correlation < 0))
        joins = np.minimum(joins, _steps(alpha + correlation, 1 + a, falling, reach, blur))
    leaves = _steps(np.abs(x[members]), -np.sign(x[members]) * d, x[members] != 0, reach, 0.0)
    step = min(reach, joins.min(initial=np.inf), leaves.min(initial=np.inf))
    if alpha - step <= target + np.max(blur):  # the end cannot be told from a bend this near to it
        step = reach
    together = step + np.max(blur)
    moved = x.copy()
    moved[members] = np.where(leaves <= together, 0, x[members] + step * d)
    return moved, target if step == reach else float(alpha - step), joins <= together


def _steps(
    distance: np.ndarray, speed: np.ndarray, counts: np.ndarray, reach: float, blur: Any
) -> np.ndarray:
    """``distance / speed``, or infinity where rounding may be why it is within reach."""
    distance = np.maximum(distance, 0)
    ahead = counts & (speed * reach > distance + blur)
    return np.divide(distance, speed, out=np.full_like(distance, np.inf), where=ahead)


def _settle(
    support: _Support, y: np.ndarray, x: np.ndarray, alpha: float, signs: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Take out what became zero, correct the rest by a Newton step, and return it and y - A x."""
    for attempt in range(3):
        support.remove(np.flatnonzero(x[support.members] * signs[support.members] <= 0))
        W = support.members
        outside = np.ones(x.size, dtype=bool)
        outside[W] = False
        x = np.where(outside, 0, x)
        residual = y - support.columns @ x[W]
        defect = support.columns.T @ residual - signs[W] * alpha
        if attempt and np.max(np.abs(defect), initial=0) > noise:
            support.refactorise()
        x[W] += support.solve(defect)[0]
        if np.all(x[W] * signs[W] > 0) and np.max(np.abs(defect), initial=0) <= noise:
            break
    return x, y - support.columns @ x[W]


def lars(
    A: Any,
    y: Any,
    alpha: float | None = None,
    *,
    alpha_ratio: float | None = None,
    max_iter: int | None = None,
    positive: bool = False,
) -> PathResult:
    r"""The whole path of the lasso by homotopy, exact at every breakpoint and linear between them.

    .. math:: x(\alpha) = \arg\min_x \tfrac12 \|y - A x\|_2^2 + \alpha \|x\|_1

    The path is followed from the smallest alpha with ``x = 0`` down; a coefficient joins when its
    correlation reaches alpha and leaves when it reaches zero. Coefficients that tie, equal columns
    and columns of zeros are legal. All tolerances are relative to the rounding error of the data,
    so that the data times a number have the same path times a number. Single precision is computed
    in double; the coefficients come back as single.

    Parameters
    ----------
    A : array or sparse array of shape (m, n)
        The matrix, real.
    y : array of shape (m,)
        One signal, real.
    alpha : float, optional
        Where the path ends, positive, in the units of ``A^T y``; at 0 by default, where the answer
        is a least-squares solution.
    alpha_ratio : float, optional
        Instead of `alpha`: a fraction of the smallest alpha with a zero code.
    max_iter : int, optional
        At most so many steps from one breakpoint to the next; as many as it takes by default.
    positive : bool, default=False
        Adds the constraint ``x >= 0``.

    Returns
    -------
    PathResult
        `alphas` in descending order, `x` of shape (n, n_alphas), `dual_gaps` (in the units of the
        objective) and `certificate`, the largest of them over the objective at zero. At alpha = 0
        the gap is that for an alpha as large as the rounding error of ``A^T y``. Between
        breakpoints linear interpolation in alpha is exact.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN, infinite or complex, or a parameter is out of range.
    TypeError
        If `A` is a LinearOperator.
    RuntimeError
        If columns are so close to dependent that rounding decides where the path goes.

    Warns
    -----
    ConvergenceWarning
        If the certificate of a breakpoint is above 1e-6, for the same reason.

    References
    ----------
    Osborne, Presnell and Turlach, "A new approach to variable selection in least squares problems",
    2000; Efron, Hastie, Johnstone and Tibshirani, "Least angle regression", 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import lars
    >>> path = lars(np.eye(3), np.array([3.0, -2.0, 0.5]))
    >>> path.alphas
    array([3. , 2. , 0.5, 0. ])
    >>> path.x[:, 2]
    array([ 2.5, -1.5,  0. ])
    """
    limit = None if max_iter is None else min(check_int(max_iter, "max_iter"), sys.maxsize - 1) + 1
    whole = alpha is None and alpha_ratio is None
    penalty = L1(positive=positive)
    problem = PenalizedLeastSquares.from_arguments(
        A, y, alpha, 1.0 if whole else alpha_ratio, penalty
    )
    A, y = _checked(problem)
    at_zero, started = float(least_squares(y)), time.perf_counter()
    floor = max(float(_noise(A, y).max()), float(np.finfo(np.float64).tiny))
    rows: list[dict[str, float]] = []
    points = []
    for n_iter, point in enumerate(
        islice(_breakpoints(A, y, 0.0 if whole else float(problem.alpha), positive), limit)
    ):
        weight = max(point.alpha, floor)
        gap = float(duality_gap(point.residual, point.correlation, point.x, weight, penalty))
        objective = float(penalized(point.residual, point.x, point.alpha, penalty))
        rows.append(
            {
                "n_iter": n_iter,
                "seconds": time.perf_counter() - started,
                "objective": objective * problem.signal_unit * problem.signal_unit,
                "certificate": gap / at_zero if at_zero > 0 else 0.0,
                "dual_gap": gap * problem.signal_unit * problem.signal_unit,
            }
        )
        points.append(point)
    return _result(problem, points, rows)


def _checked(problem: PenalizedLeastSquares) -> tuple[Any, np.ndarray]:
    A, y = problem.A, problem.y
    if isinstance(A, LinearOperator):
        raise TypeError(
            "A is a LinearOperator, but lars needs its columns: pass a NumPy array or a SciPy "
            "sparse array, or use fista, which takes operators"
        )
    if np.iscomplexobj(y):
        raise ValueError(
            "A or y is complex; the path of a complex lasso is not piecewise linear: use fista"
        )
    if y.ndim != 1:
        raise ValueError(f"y has to be 1-D for lars, one path for one signal; got shape {y.shape}")
    A, y = A.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    return (sp.csc_array(A) if sp.issparse(A) else A), y


def _result(
    problem: PenalizedLeastSquares, points: list[Breakpoint], rows: list[dict[str, float]]
) -> PathResult:
    """The path in the caller's units and dtype."""
    x = np.stack([point.x for point in points], axis=1)
    x = from_units(x, problem.signal_unit, 1 / problem.matrix_unit, name="x")
    alphas = np.array([point.alpha for point in points])
    alphas = from_units(alphas, problem.signal_unit, problem.matrix_unit, name="alphas")
    history = as_history([{**row, "alpha": a} for row, a in zip(rows, alphas, strict=True)])
    certificate = max(row["certificate"] for row in rows)
    accurate = certificate <= ACCURATE
    if not accurate:
        warn_inaccurate("lars", certificate)
    return PathResult(
        alphas=history["alpha"],
        x=x.astype(problem.dtype, copy=False),
        dual_gaps=history["dual_gap"],
        objective=rows[-1]["objective"],
        certificate=certificate,
        n_iter=len(rows) - 1,
        status=Status.COMPLETED if accurate else Status.INACCURATE,
        history=history,
    )
