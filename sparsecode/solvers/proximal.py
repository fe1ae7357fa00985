r"""Proximal gradient methods for :math:`\min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sparsecode._docs import documented
from sparsecode._validation import check_int, check_real
from sparsecode.objectives import inner
from sparsecode.operators import adjoint
from sparsecode.penalties import Penalty
from sparsecode.solvers._problem import Iterate, PenalizedLeastSquares
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback, run

__all__ = ["fista", "ista"]

Prox = Callable[[np.ndarray], np.ndarray]


def _ista(A: Any, y: np.ndarray, prox: Prox, step: float, x: np.ndarray) -> Iterator[Iterate]:
    AH, Ax = adjoint(A), A @ x
    while True:
        x = prox(x - step * (AH @ (Ax - y)))
        Ax = A @ x
        yield Iterate(x, Ax)


def _fista(A: Any, y: np.ndarray, prox: Prox, step: float, x: np.ndarray) -> Iterator[Iterate]:
    AH, Ax = adjoint(A), A @ x
    z, Az, t = x, Ax, np.ones(y.shape[1:], dtype=y.real.dtype)
    while True:
        x_old, Ax_old = x, Ax
        x = prox(z - step * (AH @ (Az - y)))
        Ax = A @ x
        # O'Donoghue and Candes (2015): forget the momentum where it points uphill.
        t = np.where(inner(z - x, x - x_old) > 0, 1, t)
        t_old, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
        beta = (t_old - 1) / t
        # A z follows from A x, so that an iteration costs two products.
        z, Az = x + beta * (x - x_old), Ax + beta * (Ax - Ax_old)
        yield Iterate(x, Ax)


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
) -> CodeResult:
    r"""Accelerated proximal gradient (FISTA) with adaptive restart; two products an iteration.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)

    %(penalized_least_squares)s

    References
    ----------
    Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse
    problems", 2009; O'Donoghue and Candes, "Adaptive restart for accelerated gradient schemes",
    2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import fista
    >>> rng = np.random.default_rng(0)
    >>> A, y = rng.standard_normal((20, 50)), rng.standard_normal(20)
    >>> result = fista(A, y, alpha_ratio=0.1, tol=1e-8)
    >>> result.converged, bool(result.dual_gap <= 1e-8 * 0.5 * y @ y)
    (True, True)
    """
    return _solve(_fista, "fista", A, y, alpha, alpha_ratio, penalty, tol, max_iter, init, callback)


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
    problem = PenalizedLeastSquares.from_arguments(A, y, alpha, alpha_ratio, penalty)
    iterates = algorithm(problem.A, problem.y, problem.prox, problem.step, problem.initial(init))
    last, ending = run(
        iterates,
        problem.measure,
        tol=tol,
        max_iter=max_iter,
        check_every=10,
        callback=callback,
        name=name,
    )
    return problem.result(last, ending)
