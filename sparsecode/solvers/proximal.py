r"""Proximal gradient methods for :math:`\min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sparsecode._docs import documented
from sparsecode._validation import check_int, check_option, check_real
from sparsecode.operators import adjoint
from sparsecode.penalties import Penalty
from sparsecode.solvers._gradient import Gradient, least_squares_gradient
from sparsecode.solvers._problem import Iterate, PenalizedLeastSquares
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback, run

__all__ = ["fista", "ista"]

Prox = Callable[[np.ndarray, Any], np.ndarray]  # of a point and a step
Inner = Callable[[np.ndarray, np.ndarray], Any]  # one number a signal


def _ista(
    gradient: Gradient, prox: Prox, step: float, inner: Inner, x: np.ndarray
) -> Iterator[Iterate]:
    while True:
        x = prox(x - step * gradient(x), step)
        yield Iterate(x)


def _fista(
    gradient: Gradient, prox: Prox, step: float, inner: Inner, x: np.ndarray
) -> Iterator[Iterate]:
    z, t = x, np.ones_like(inner(x, x))
    while True:
        x_old, x = x, prox(z - step * gradient(z), step)
        # O'Donoghue and Candes (2015): forget the momentum where it points uphill.
        t = np.where(inner(z - x, x - x_old) > 0, 1, t)
        t_old, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
        z = x + (t_old - 1) / t * (x - x_old)
        yield Iterate(x)


def _greedy_fista(
    gradient: Gradient, prox: Prox, step: float, inner: Inner, x: np.ndarray
) -> Iterator[Iterate]:
    """Longer steps and all of the momentum; the steps shrink where `x` moves too far."""
    z, first, shortest = x, None, step
    steps = np.full_like(inner(x, x), 1.3 * step)
    while True:
        x_old, x = x, prox(z - steps * gradient(z), steps)
        move, uphill = x - x_old, inner(z - x, x - x_old) >= 0
        size = inner(move, move)
        first = size if first is None else first
        steps = np.where(size > first, np.maximum(0.96 * steps, shortest), steps)
        z = np.where(uphill, x, x + move)
        yield Iterate(x)


def _backtracking_fista(
    gradient: Gradient, prox: Prox, step: float, inner: Inner, x: np.ndarray
) -> Iterator[Iterate]:
    """Each iteration tries one step: where it is too long `x` stays, and the next is half of it."""
    g, L = gradient(x), np.full_like(inner(x, x), 1 / step)
    x_old, g_old, L_old, t = x, g, L, np.zeros_like(L)
    while True:
        # The momentum with which the rate survives a change of L: none at first, t being 0, then 1.
        t_new = (1 + np.sqrt(1 + 4 * (L / L_old) * t * t)) / 2
        beta = (t - 1) / t_new
        z, gz = x + beta * (x - x_old), g + beta * (g - g_old)
        u = prox(z - gz / L, 1 / L)
        gu = gradient(u)
        t_new = np.where(inner(z - u, u - x) > 0, 1, t_new)
        ok, L_new = _line_search(u, gu, z, gz, L, inner)
        x, x_old = np.where(ok, u, x), np.where(ok, x, x_old)
        g, g_old = np.where(ok, gu, g), np.where(ok, g, g_old)
        t, L, L_old = np.where(ok, t_new, t), L_new, np.where(ok, L, L_old)
        yield Iterate(x)


def _line_search(
    u: np.ndarray, gu: np.ndarray, z: np.ndarray, gz: np.ndarray, L: Any, inner: Inner
) -> tuple[Any, Any]:
    """Whether ``||A (u - z)||^2 <= L ||u - z||^2``, and the next `L`: a tenth less, or twice it."""
    d = u - z
    size = inner(d, d)
    sizes = np.sqrt(inner(gu, gu)) + L * np.sqrt(inner(u, u))
    rounding = 32 * np.finfo(u.dtype).eps * np.sqrt(size) * sizes
    ok = inner(d, gu - gz) <= L * size + rounding
    # Where rounding decides, nothing is learnt about L.
    return ok, np.where(ok, np.where(rounding < 0.1 * L * size, 0.9 * L, L), 2 * L)


STEPS = {"fixed": _fista, "backtracking": _backtracking_fista, "greedy": _greedy_fista}


@documented
def ista(
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
) -> CodeResult:
    r"""Iterative soft thresholding: proximal gradient steps of length :math:`1 / \|A\|_2^2`.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)

    %(penalized_least_squares)s

    References
    ----------
    Daubechies, Defrise and De Mol, "An iterative thresholding algorithm for linear inverse
    problems with a sparsity constraint", 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import ista
    >>> result = ista(np.eye(3), np.array([3.0, -2.0, 0.5]), alpha=1.0)
    >>> result.x, result.converged
    (array([ 2., -1.,  0.]), True)
    """
    return _solve(_ista, "ista", A, y, alpha, alpha_ratio, penalty, tol, max_iter, init, callback)


@documented
def fista(
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
    step: str = "fixed",
) -> CodeResult:
    r"""Accelerated proximal gradient (FISTA) with adaptive restart; two products an iteration.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)

    Where `A` is dense and has at least as many rows as columns, its Gram matrix takes over the two
    products as soon as forming it pays. The certificate is always computed with `A`.

    %(penalized_least_squares)s

    Other Parameters
    ----------------
    step : {"fixed", "backtracking", "greedy"}, default="fixed"
        ``"fixed"``: :math:`1 / \|A\|_2^2`; the spectral norm is computed first.
        ``"backtracking"``: :math:`1 / L`, with an `L` for each signal that is found on the way.
        A step from `z` to `x` is taken where :math:`\|A (x - z)\|_2^2 \le L \|x - z\|_2^2`, and
        then `L` falls by a tenth; where not, the iteration is spent and `L` doubles. The steps may
        be much longer than the fixed one where few coefficients are nonzero. No norm is computed,
        unless the penalty is not convex, whose certificate needs it.
        ``"greedy"``: :math:`1.3 / \|A\|_2^2` and all of the momentum, until a restart; shorter,
        down to the fixed step, whenever an iteration moves further than the first. No rate of
        convergence is known for it.

    References
    ----------
    Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse
    problems", 2009; O'Donoghue and Candes, "Adaptive restart for accelerated gradient schemes",
    2015; Becker, Candes and Grant, "Templates for convex cone problems with applications to sparse
    signal recovery", 2011; Liang, Luo and Schonlieb, "Improving 'fast iterative
    shrinkage-thresholding algorithm': faster, smarter, and greedier", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import fista
    >>> rng = np.random.default_rng(0)
    >>> A, y = rng.standard_normal((20, 50)), rng.standard_normal(20)
    >>> result = fista(A, y, alpha_ratio=0.1, tol=1e-8)
    >>> result.converged, bool(result.dual_gap <= 1e-8 * 0.5 * y @ y)
    (True, True)
    >>> fista(A, y, alpha_ratio=0.1, tol=1e-8, step="backtracking").n_iter < result.n_iter
    True
    """
    algorithm = STEPS[check_option(step, "step", STEPS)]
    return _solve(
        algorithm, "fista", A, y, alpha, alpha_ratio, penalty, tol, max_iter, init, callback
    )


def _solve(
    algorithm: Callable[..., Iterator[Iterate]],
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
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    searches = algorithm is _backtracking_fista
    problem = PenalizedLeastSquares.from_arguments(
        A, y, alpha, alpha_ratio, penalty, needs_norm=not searches
    )
    last, ending = run(
        algorithm(
            least_squares_gradient(problem.A, problem.y),
            problem.prox,
            _first_step(problem) if searches else problem.step,
            problem.inner,
            problem.initial(init),
        ),
        problem.measure,
        tol=tol,
        max_iter=max_iter,
        check_every=10,
        callback=callback,
        name=name,
    )
    return problem.result(last, ending)


def _first_step(problem: PenalizedLeastSquares) -> float:
    """``1 / L`` with an `L` below ``||A||_2^2``, but not by much: two power iterations."""
    A, AH = problem.A, adjoint(problem.A)
    v = np.random.RandomState(0).standard_normal(A.shape[1]).astype(problem.y.dtype)
    for _ in range(2):
        v = AH @ (A @ v)
        size = float(np.linalg.norm(v))
        if size == 0:
            return 1.0
        v = v / size
    return 1 / float(np.linalg.norm(A @ v)) ** 2
