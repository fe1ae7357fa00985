r"""Sparse recovery in its constrained forms: the least l1 norm that fits, or the best fit of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from sparsecode._docs import documented
from sparsecode._validation import (
    check_int,
    check_option,
    check_real,
    check_unused,
)
from sparsecode.solvers._along_path import has_path, is_small, within_norm, within_residual
from sparsecode.solvers._consistency import Inconsistent
from sparsecode.solvers._constrained_problem import (
    ConstrainedProblem,
    ConstrainedResult,
    certificate,
)
from sparsecode.solvers._faces import with_attempts
from sparsecode.solvers._interior import interior_point
from sparsecode.solvers._pareto import Ball, along_curve, within_ball
from sparsecode.solvers._products import Point, Products, inner, largest, norm
from sparsecode.solvers._projections import project_l1_ball
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers._tight import message_passing, splitting, tightness
from sparsecode.solvers._whitened import Whitened

__all__ = ["ConstrainedResult", "basis_pursuit", "bpdn", "lasso_constrained"]

METHODS = ("auto", "homotopy", "spg")
MAX_ITER = 20_000


@documented
def basis_pursuit(
    A: Any,
    y: Any,
    *,
    weights: Any = None,
    method: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    init: Any = None,
    callback: Callback | None = None,
) -> ConstrainedResult:
    r"""The solution of least l1 norm.

    .. math:: \min_x \sum_i w_i |x_i| \quad \text{subject to} \quad A x = y

    It is `bpdn` with ``sigma=0``. Sparse signals are recovered exactly from few measurements, for
    random matrices up to the Donoho-Tanner curve, `sparsecode.theory.phase_transition`.

    %(one_signal)s
    %(constrained)s

    References
    ----------
    Chen, Donoho and Saunders, "Atomic decomposition by basis pursuit", 1998; van den Berg and
    Friedlander, "Probing the Pareto frontier for basis pursuit solutions", 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import basis_pursuit
    >>> A = np.random.default_rng(0).standard_normal((20, 40))
    >>> x = np.zeros(40)
    >>> x[[3, 17, 30]] = 1.0, -2.0, 0.5
    >>> result = basis_pursuit(A, A @ x, tol=1e-9)
    >>> result.converged, bool(np.abs(result.x - x).max() < 1e-6)
    (True, True)
    """
    return bpdn(
        A,
        y,
        0.0,
        weights=weights,
        method=method,
        tol=tol,
        max_iter=max_iter,
        init=init,
        callback=callback,
    )


@documented
def bpdn(
    A: Any,
    y: Any,
    sigma: float,
    *,
    weights: Any = None,
    method: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    init: Any = None,
    callback: Callback | None = None,
) -> ConstrainedResult:
    r"""Basis pursuit denoising: the least l1 norm whose residual is at most `sigma`.

    .. math:: \min_x \sum_i w_i |x_i| \quad \text{subject to} \quad \|y - A x\|_2 \le \sigma

    Spectral projected gradient on the l1 ball, whose radius goes up the Pareto curve by Newton
    steps. With ``sigma >= ||y||`` the answer is zero.

    %(one_signal)s
    sigma : float
        The largest residual, not squared, at least 0, in the units of `y`.
    %(constrained)s

    References
    ----------
    van den Berg and Friedlander, "Probing the Pareto frontier for basis pursuit solutions", 2008;
    Aravkin, Burke, Drusvyatskiy, Friedlander and Roy, "Level-set methods for convex optimization",
    2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import bpdn
    >>> result = bpdn(np.eye(3), np.array([3.0, 2.0, 0.1]), 0.5, tol=1e-9)
    >>> round(result.residual, 6), round(result.objective, 6)
    (0.5, 4.30718)
    """
    problem = ConstrainedProblem.from_arguments(A, y, weights)
    sigma = problem.in_units(check_real(sigma, "sigma", low=0), 1, 0)
    tol = check_real(tol, "tol", low=0)
    max_iter = _check_method(problem.A, method, max_iter, init, callback)
    size = norm(problem.y)
    x = problem.initial(init)
    if size <= sigma:
        x = np.zeros_like(x)

    def measure(point: Point) -> dict[str, float]:
        found = certificate(point, problem.y, sigma, tol)
        return problem.numbers_as_given(found)

    try:
        point, ending = run(
            _points(problem, method, sigma, x, tol),
            measure,
            tol=tol,
            max_iter=max_iter,
            callback=callback,
            name="bpdn" if sigma > 0 else "basis_pursuit",
        )
    except Inconsistent as error:
        least = problem.as_given(error.args[0], 1, 0)
        wanted = problem.as_given(sigma, 1, 0)
        raise ValueError(
            f"no x has a residual ||y - A x||_2 of at most {wanted:.6g}: the least residual is "
            f"{least:.6g}; use bpdn with a sigma above that"
        ) from None
    residual = problem.y - problem.A.forward(point.x)
    dual = point.dual / max(largest(problem.A.backward(point.dual)), 1.0)
    point = Point(point.x, residual, dual, point.seen)
    return problem.result(point.x, point.dual, (0, -1), {**ending, **measure(point)})


def _check_method(
    A: Products, method: str, max_iter: int | None, init: Any, callback: Callback | None
) -> int:
    """Whether the method can be used and its arguments are; the iterations at the most."""
    check_option(method, "method", METHODS)
    if method == "homotopy":
        check_unused("method='homotopy'", max_iter=max_iter, init=init, callback=callback)
        if not has_path(A):
            raise ValueError(
                "method='homotopy' needs the entries of a real matrix: use method='spg'"
            )
    return MAX_ITER if max_iter is None else check_int(max_iter, "max_iter")


def _points(
    problem: ConstrainedProblem, method: str, sigma: float, x: np.ndarray, tol: float
) -> Iterator[Point]:
    """The iterates of the method that fits the matrix."""
    A, y = problem.A, problem.y
    if method == "spg" or not sigma < norm(y):
        return along_curve(A, y, sigma, x, tol)
    if method == "homotopy":
        return within_residual(A, y, sigma, tol)
    if is_small(A) and not x.any():
        return _exact_first(within_residual(A, y, sigma, tol), along_curve(A, y, sigma, x, tol))
    if sigma == 0 and (whitened := Whitened.of(A.matrix, A)) is not None:
        rows, y = whitened.rows, whitened.solve(y)
        if np.iscomplexobj(y):
            last = splitting(rows, y, 1.0)
        else:
            last = interior_point(rows.matrix, rows, y)
        points = message_passing(rows, y, 0.0, x, tol, 1.0, last)
        return whitened.as_given(with_attempts(points, rows, y, tol))
    c = tightness(A)
    if c is None:
        points = along_curve(A, y, sigma, x, tol)
    else:
        last = splitting(A, y, c) if sigma == 0 else along_curve(A, y, sigma, x, tol)
        points = message_passing(A, y, sigma, x, tol, c, last)
    return with_attempts(points, A, y, tol) if sigma == 0 else points


def _exact_first(exact: Iterator[Any], others: Iterator[Any]) -> Iterator[Any]:
    """What is exact but for rounding, and iterates to go on with where that is not enough."""
    with suppress(RuntimeError):  # a path that rounding hides
        yield from exact
    yield from others


@documented
def lasso_constrained(
    A: Any,
    y: Any,
    tau: float,
    *,
    weights: Any = None,
    method: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    init: Any = None,
    callback: Callback | None = None,
) -> ConstrainedResult:
    r"""The best fit whose l1 norm is at most `tau`: the lasso as it was first written.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 \quad \text{subject to} \quad
              \sum_i w_i |x_i| \le \tau

    Spectral projected gradient: every iterate obeys the constraint.

    %(one_signal)s
    tau : float
        The largest l1 norm, at least 0, in the units of ``weights * x``.
    %(constrained)s

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the Lasso", 1996; Birgin, Martinez and
    Raydan, "Nonmonotone spectral projected gradient methods on convex sets", 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import lasso_constrained
    >>> np.round(lasso_constrained(np.eye(3), np.array([3.0, 2.0, 0.1]), 3.0, tol=1e-9).x, 6)
    array([2., 1., 0.])
    """
    problem = ConstrainedProblem.from_arguments(A, y, weights)
    tau = check_real(tau, "tau", low=0)
    tau = min(problem.in_units(tau, 1, -1), 1e300)
    tol = check_real(tol, "tol", low=0)
    max_iter = _check_method(problem.A, method, max_iter, init, callback)
    x = project_l1_ball(problem.initial(init), tau)[0] if tau > 0 else 0 * problem.initial(init)
    at_zero = 0.5 * inner(problem.y, problem.y)

    def measure(point: Ball) -> dict[str, float]:
        square = inner(point.residual, point.residual)
        total = float(np.sum(np.abs(point.x)))
        gap = max(tau * largest(point.correlation) - inner(point.x, point.correlation), 0.0)
        return {
            "objective": problem.as_given(0.5 * square, 2, 0),
            "certificate": gap / at_zero if at_zero > 0 else 0.0,
            "dual_gap": problem.as_given(gap, 2, 0),
            "residual": problem.as_given(np.sqrt(square), 1, 0),
            "infeasibility": max(total / tau - 1, 0.0) if tau > 0 else 0.0,
        }

    point, ending = run(
        _points_in_ball(problem, method, tau, x),
        measure,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        name="lasso_constrained",
    )
    residual = problem.y - problem.A.forward(point.x)
    point = Ball(point.x, residual, problem.A.backward(residual))
    return problem.result(point.x, residual, (1, 0), {**ending, **measure(point)})


def _points_in_ball(
    problem: ConstrainedProblem, method: str, tau: float, x: np.ndarray
) -> Iterator[Ball]:
    A, y = problem.A, problem.y
    if method == "homotopy":
        return within_norm(A, y, tau)
    if method == "auto" and is_small(A) and not x.any():
        return _exact_first(within_norm(A, y, tau), within_ball(A, y, tau, x))
    return within_ball(A, y, tau, x)
