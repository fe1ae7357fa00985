r"""Semismooth Newton for the lasso of one signal, however many coefficients are not zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import lapack

from sparsecode._docs import documented
from sparsecode._threads import single_threaded_blas
from sparsecode.penalties import Penalty
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback
from sparsecode.solvers._working_set import WeightedLasso, solve_on_working_sets

__all__ = ["semismooth_newton"]

STEP = 10.0  # the first proximal step, over that of a gradient step, and what it is multiplied by
PATIENCE = 8  # steps that do not halve the gap: rounding has it


def semismooth(
    gram: np.ndarray,
    correlation: np.ndarray,
    energy: float,
    lasso: WeightedLasso,
    x: np.ndarray,
    tol: float,
) -> np.ndarray:
    """Proximal point steps of growing length, each by Newton on its dual; Newton on the support.

    The first is certain to find the support, in few steps; the second ends at the minimiser once
    the support and signs are right, and starts from where the last lasso of a path has ended.
    """
    eps = np.finfo(gram.dtype).eps
    if x.size == 0:
        return x

    def measured(x: np.ndarray) -> tuple[np.ndarray, float]:
        slope = correlation - _product(gram, x)
        return slope, lasso.gap(energy - float((correlation + slope) @ x), slope, x)

    # Many products and factorizations, for which waking a second thread rarely pays.
    with single_threaded_blas():
        x = _newton(gram, measured(x)[0], lasso, x, 3)
        slope, gap = measured(x)
        length = float(np.mean(np.diag(gram))) or 1.0
        step, longest = STEP / length, 0.1 / float(np.sqrt(eps)) / length
        q, least, stalled = x, gap, 0
        for _ in range(40):
            least, stalled = (gap, 0) if gap < 0.5 * least else (least, stalled + 1)
            if gap <= tol or stalled > PATIENCE:
                break
            before = x
            x, q = _proximal_point(gram, correlation, energy, lasso, x, q, step)
            slope, gap = measured(x)
            if gap > tol and _changes(x, before) <= 0.05 * np.count_nonzero(x):
                better = _newton(gram, slope, lasso, x, 8)
                slope, its_gap = measured(better)
                if its_gap < gap:
                    x, q, gap = better, better, its_gap
            step = min(STEP * step, longest)
    return x


def _product(gram: np.ndarray, x: np.ndarray) -> np.ndarray:
    """``gram @ x``, by rows, where many entries are zero."""
    S = np.flatnonzero(x)
    return gram @ x if S.size > 0.7 * x.size else x[S] @ gram[S]


def _changes(x: np.ndarray, other: np.ndarray) -> int:
    return int(np.count_nonzero((x != 0) != (other != 0)))


def _proximal_point(
    gram: np.ndarray,
    correlation: np.ndarray,
    energy: float,
    lasso: WeightedLasso,
    x: np.ndarray,
    q: np.ndarray,
    step: float,
) -> tuple[np.ndarray, np.ndarray]:
    """``argmin P(z) + ||z - x||^2 / (2 step)``, by semismooth Newton on its dual.

    The dual variable is ``A q - y``, and the function to minimise
    ``0.5 ||A q||^2 + ||z||^2 / (2 step)`` with ``z = prox(x - step A^T (A q - y))``; its gradient
    is ``A (q - z)``. All is in terms of the Gram matrix.
    """
    eps = np.finfo(gram.dtype).eps

    def value(z: np.ndarray, q: np.ndarray, Gq: np.ndarray) -> float:
        return 0.5 * float(q @ Gq) + float(z @ z) / (2 * step)

    Gq = _product(gram, q)
    z = lasso.prox(x - step * (Gq - correlation), step)
    for _ in range(50):
        Gz = _product(gram, z)
        residual = Gq - Gz
        size = float((q - z) @ residual)
        if size <= max(0.25 * float((z - x) @ (z - x)) / step, eps**1.4 * energy):
            break
        J = np.flatnonzero(z)
        h = np.zeros_like(z)
        h[J] = _solve(gram[np.ix_(J, J)], residual[J], 1 / step)
        target = z + h
        G_target = Gz + _product(gram, h)
        before, slope = value(z, q, Gq), float(residual @ h) - size
        t = 1.0
        while True:  # Armijo's rule
            at, G_at = q + t * (target - q), Gq + t * (G_target - Gq)
            z = lasso.prox(x - step * (G_at - correlation), step)
            allowed = before + 1e-4 * t * slope + 100 * eps * abs(before)
            if value(z, at, G_at) <= allowed or t < 1e-4:
                break
            t /= 2
        q, Gq = at, G_at
    return z, q


def _solve(H: np.ndarray, b: np.ndarray, shift: float) -> np.ndarray:
    """``(H + shift I)^{-1} b``."""
    if b.size == 0:  # LAPACK refuses it
        return b
    failed = 1
    while failed:  # rounding: a longer shift makes a shorter step
        shifted = H.copy()
        shifted[np.diag_indices_from(H)] += shift
        factor, failed = _cholesky(shifted)
        shift *= 100
    return _cholesky_solve(factor, b)


def _cholesky(H: np.ndarray) -> tuple[np.ndarray, int]:
    """The factor, in the place of `H`; and whether there is none."""
    potrf = lapack.dpotrf if H.dtype == np.float64 else lapack.spotrf
    return potrf(H.T, clean=0, overwrite_a=1)


def _cholesky_solve(factor: np.ndarray, b: np.ndarray) -> np.ndarray:
    potrs = lapack.dpotrs if factor.dtype == np.float64 else lapack.spotrs
    return potrs(factor, b)[0]


def _newton(
    gram: np.ndarray, slope: np.ndarray, lasso: WeightedLasso, x: np.ndarray, max_steps: int
) -> np.ndarray:
    """`newton_on_support` in a working set."""
    S = np.flatnonzero(x)
    if S.size == 0:
        return x
    moved = x.copy()
    moved[S] = newton_on_support(gram[np.ix_(S, S)], slope[S], lasso.on(S), x[S], max_steps)[0]
    return moved


def newton_on_support(
    gram: np.ndarray, slope: np.ndarray, lasso: WeightedLasso, x: np.ndarray, max_steps: int
) -> tuple[np.ndarray, bool]:
    """Move towards the minimiser for the present signs; and whether these are still right.

    Where signs would change, the better of two points: the least one of the ray, along which the
    objective is a parabola that bends at each change (Lee et al., 2007), or the end of the step
    with all coefficients that changed sign set to zero, which drops many at once. A coefficient
    that reached zero stays there; where only `x >= 0` is allowed, so does the ray.
    """
    answer, kept = np.zeros_like(x), np.arange(x.size)
    for _ in range(max_steps):
        step = _signed_step(gram, slope, lasso, x)
        if step is None:
            break
        x, change = step
        if change is None:
            answer[kept] = x
            return answer, True
        slope = slope - change
        left = np.flatnonzero(x)
        if left.size < x.size:
            x, slope, lasso, kept = x[left], slope[left], lasso.on(left), kept[left]
            gram = gram[np.ix_(left, left)]
    answer[kept] = x
    return answer, False


def _signed_step(
    gram: np.ndarray, slope: np.ndarray, lasso: WeightedLasso, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """The next point and what the slope falls by, None if it is exact; None if rounding is all."""
    H = gram.copy()
    H[np.diag_indices_from(H)] *= 1 + 100 * np.finfo(H.dtype).eps
    factor, failed = _cholesky(H)
    if failed or x.size == 0:
        return None
    signs, weights = np.sign(x), lasso.weights
    downhill = slope - weights * signs
    direction = _cholesky_solve(factor, downhill)
    end = x + direction
    if np.all(end * signs > 0):
        return end, None
    curvature = float(direction @ (gram @ direction))
    bends = np.full_like(weights, np.inf) if lasso.positive else weights
    step, stopped = least_point(x, direction, bends, float(downhill @ direction), curvature)
    least = x + step * direction
    least[stopped] = 0
    if lasso.positive:  # others that cross there may miss zero by a rounding
        least = np.maximum(least, 0)
    tried = []
    for point in (np.where(end * signs > 0, end, 0), least):
        change = gram @ (point - x)
        fit = (0.5 * change - slope) @ (point - x)
        tried.append((fit + weights @ (np.abs(point) - np.abs(x)), point, change))
    _, point, change = min(tried, key=lambda each: each[0])
    return point, change


def least_point(
    x: np.ndarray, direction: np.ndarray, weights: np.ndarray, decrease: float, curvature: float
) -> tuple[float, np.ndarray]:
    """The least point of ``curvature t^2 / 2 - decrease t`` plus the bends; and who is zero there.

    The bends are ``weights^T (|x + t d| - |x| - t sign(x) d)``, d the direction.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where(x * direction < 0, -x / direction, np.inf)
    order = np.argsort(crossing)[: np.count_nonzero(crossing < np.inf)]
    times, bends = crossing[order], 2 * np.abs(weights[order] * direction[order])
    bent = np.zeros_like(bends)
    np.cumsum(bends[:-1], out=bent[1:])
    before = curvature * times - decrease + bent
    rising = np.flatnonzero(before + bends >= 0)
    nobody = order[:0]
    if rising.size and before[rising[0]] < 0:
        return float(times[rising[0]]), order[rising[:1]]
    passed = bends[: rising[0]] if rising.size else bends
    if not curvature > 0:
        return 0.0, nobody
    return max((decrease - float(np.sum(passed))) / curvature, 0.0), nobody


@documented
def semismooth_newton(
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
    r"""Semismooth Newton on working sets: for one signal, also where its support is large.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)

    with the l1 norm (weighted, positive) or the elastic net. An iteration solves the problem on a
    working set of columns, through their Gram matrix: proximal point steps, each solved by Newton
    steps on its dual, which also serve where the columns of the support depend on each other. Then
    the coordinates that violate their optimality most join the set, and those that came to nothing
    leave it. From zero it passes through a few larger alphas. It takes memory for the columns that
    were ever needed, and for the square of their number. `A` may be a matrix or a real operator;
    `y` is one signal; for many signals see `sparse_encode`.

    %(penalized_least_squares)s

    References
    ----------
    Li, Sun and Toh, "A highly efficient semismooth Newton augmented Lagrangian method for solving
    Lasso problems", 2018; Lee, Battle, Raina and Ng, "Efficient sparse coding algorithms", 2007;
    Massias, Gramfort and Salmon, "Celer: a fast solver for the Lasso with dual extrapolation",
    2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import semismooth_newton
    >>> rng = np.random.default_rng(0)
    >>> A, y = rng.standard_normal((50, 500)), rng.standard_normal(50)
    >>> result = semismooth_newton(A, y, alpha_ratio=0.01, tol=1e-12)
    >>> result.converged, bool(result.dual_gap <= 1e-12 * 0.5 * y @ y)
    (True, True)
    """
    return solve_on_working_sets(
        semismooth,
        "semismooth_newton",
        A,
        y,
        alpha,
        alpha_ratio,
        penalty,
        tol,
        max_iter,
        init,
        callback,
    )
