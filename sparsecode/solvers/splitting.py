r"""Splitting: two easy minimisations in turn, and a multiplier that makes them agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sparsecode._docs import documented
from sparsecode._validation import check_int, check_real
from sparsecode.operators import adjoint
from sparsecode.penalties import Penalty
from sparsecode.solvers._problem import Iterate, PenalizedLeastSquares
from sparsecode.solvers._products import norm
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback, run

__all__ = ["admm"]

Ridge = Callable[[np.ndarray, float], np.ndarray]


def _ridge(A: Any, y: np.ndarray) -> tuple[Ridge, float]:
    r"""The minimiser of ``0.5 * ||y - A x||^2 + rho / 2 * ||x - v||^2``, given `v` and `rho`.

    The smaller Gram matrix is diagonalised once, for every `rho`. Also its mean eigenvalue.
    """
    AH = adjoint(A)
    wide = A.shape[0] <= A.shape[1]
    gram = A @ AH if wide else AH @ A
    d, U = np.linalg.eigh(gram if isinstance(gram, np.ndarray) else gram.toarray())
    d, UH = np.maximum(d, 0).reshape(-1, *(1,) * (y.ndim - 1)), adjoint(U)

    def solve(b: np.ndarray, rho: float) -> np.ndarray:
        return U @ ((UH @ b) / (d + rho))

    # (A^* A + rho)^-1 A^* = A^* (A A^* + rho)^-1; the step from v loses no digits to cancellation.
    if wide:
        return lambda v, rho: v + AH @ solve(y - A @ v, rho), float(np.mean(d))
    AHy = AH @ y
    return lambda v, rho: v + solve(AHy - gram @ v, rho), float(np.mean(d))


class _Splitting(NamedTuple):
    """Where the multiplier method stands: what an iteration takes, and all that the next needs."""

    z: np.ndarray
    u: np.ndarray  # the multiplier over `rho`
    rho: float
    n_iter: int = 0
    adapt_at: int = 10


def _admm_step(
    at: _Splitting, ridge: Ridge, prox: Ridge, over_relaxation: float, balanced: bool
) -> _Splitting:
    """One iteration; `ridge` and `prox` take a point and `rho`."""
    z, u, rho, n_iter, adapt_at = at
    z_old, n_iter = z, n_iter + 1
    x = ridge(z - u, rho)
    relaxed = over_relaxation * x + (1 - over_relaxation) * z
    z = prox(relaxed + u, rho)
    u = u + relaxed - z
    if balanced and n_iter == adapt_at:
        factor = balance(x, z, z_old, u)
        rho, u = rho * factor, u / factor
        adapt_at += max(10, adapt_at // 2)  # ever rarer, so that it converges
    return _Splitting(z, u, rho, n_iter, adapt_at)


def _admm(
    ridge: Ridge,
    prox: Ridge,
    rho: float,
    over_relaxation: float,
    balanced: bool,
    z: np.ndarray,
    multiplier: np.ndarray,
) -> Iterator[np.ndarray]:
    """`multiplier` is ``A^* (y - A z)`` at the start."""
    at = _Splitting(z, multiplier / rho, rho)
    while True:
        at = _admm_step(at, ridge, prox, over_relaxation, balanced)
        yield at.z


def balance(now: np.ndarray, split: np.ndarray, before: np.ndarray, dual: np.ndarray) -> float:
    """What brings the relative primal and dual residuals together, at most a factor of 10."""
    primal = norm((now - split).ravel()) * norm(dual.ravel())
    change = norm((split - before).ravel()) * max(norm(now.ravel()), norm(split.ravel()))
    if primal == 0 or change == 0:
        return 1.0
    return float(np.clip(np.sqrt(primal / change), 0.1, 10))


@documented
def admm(
    A: Any,
    y: Any,
    alpha: float | None = None,
    *,
    alpha_ratio: float | None = None,
    penalty: Penalty | None = None,
    tol: float = 1e-6,
    max_iter: int = 10_000,
    init: Any = None,
    callback: Callback | None = None,
    rho: float | None = None,
    over_relaxation: float = 1.6,
) -> CodeResult:
    r"""The alternating direction method of multipliers, over-relaxed, with a balanced `rho`.

    .. math:: \min_{x = z} \tfrac12 \|y - A x\|_2^2 + \alpha\, g(z)

    The answer, and what the certificate measures, is the sparse iterate `z`. The Gram matrix of the
    smaller side of `A`, dense and of ``min(m, n)**2`` entries, is diagonalised once, which serves
    every `rho`. An iteration then costs two products with `A` where ``m <= n``, and otherwise
    three with a matrix of order `n`.

    %(penalized_least_squares)s

    Other Parameters
    ----------------
    rho : float, optional
        The weight of the quadratic that ties `x` to `z`, positive, in the units of ``A^* A``; it is
        kept. By default it starts at the mean eigenvalue of the Gram matrix, and is adapted so that
        the relative primal and dual residuals fall together (with a penalty that is not convex it
        is ``||A||_2**2``, and kept).
    over_relaxation : float, default=1.6
        From 1 (none) to under 2.

    References
    ----------
    Boyd et al., "Distributed optimization and statistical learning via the alternating direction
    method of multipliers", 2011; Wohlberg, "ADMM penalty parameter selection by residual
    balancing", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import admm
    >>> rng = np.random.default_rng(0)
    >>> A, y = rng.standard_normal((20, 50)), rng.standard_normal(20)
    >>> result = admm(A, y, alpha_ratio=0.1, tol=1e-8)
    >>> result.converged, bool(result.dual_gap <= 1e-8 * 0.5 * y @ y)
    (True, True)
    """
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    over_relaxation = check_real(over_relaxation, "over_relaxation", low=1, high=2, open_high=True)
    if rho is not None:
        rho = check_real(rho, "rho", low=0, open_low=True)
    problem = PenalizedLeastSquares.from_arguments(A, y, alpha, alpha_ratio, penalty)
    if isinstance(problem.A, LinearOperator):
        raise TypeError(
            "A is a LinearOperator, but admm factorises its entries: pass a NumPy array or a SciPy "
            "sparse array, or use fista, which takes operators"
        )
    ridge, mean = _ridge(problem.A, problem.y)
    start = problem.initial(init)
    iterates = _admm(
        ridge,
        lambda v, rho: problem.penalty.prox(v, problem.alpha / rho),
        _first_rho(problem, rho, mean),
        over_relaxation,
        rho is None and problem.penalty.convex,
        start,
        adjoint(problem.A) @ (problem.y - problem.A @ start),
    )
    last, ending = run(
        iterates,
        lambda z: problem.measure(Iterate(z, problem.A @ z)),
        tol=tol,
        max_iter=max_iter,
        check_every=10,
        callback=callback,
        name="admm",
    )
    return problem.result(Iterate(last, last), ending)


def _first_rho(problem: PenalizedLeastSquares, rho: float | None, mean: float) -> float:
    if rho is not None:
        in_units = rho / problem.matrix_unit / problem.matrix_unit
        info = np.finfo(problem.y.dtype)
        if not info.tiny / info.eps < in_units < info.max * info.eps:
            raise ValueError(
                f"rho={rho!r} cannot be told from 0 or infinity in {problem.y.dtype} at the scale "
                "of A; leave it out, or take a fraction of ||A||_2**2"
            )
        return in_units
    return (mean if problem.penalty.convex else 1 / problem.step) or 1.0
