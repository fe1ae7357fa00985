r"""The lasso at many alphas, each from where the last one ended."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sparsecode._memory import check_fits
from sparsecode._scaling import from_units
from sparsecode._validation import check_array, check_int, check_real
from sparsecode.penalties import Penalty
from sparsecode.solvers._problem import Iterate, PenalizedLeastSquares
from sparsecode.solvers._result import PathResult, Status
from sparsecode.solvers._run import as_history, warn_not_converged
from sparsecode.solvers._working_set import (
    ColumnPool,
    WeightedLasso,
    continuation,
    single_lasso,
)
from sparsecode.solvers.newton import semismooth

__all__ = ["lasso_path"]


def lasso_path(
    A: Any,
    y: Any,
    alphas: Any = 100,
    *,
    alpha_ratio: float | None = None,
    penalty: Penalty | None = None,
    tol: float = 1e-6,
    max_iter: int = 100,
) -> PathResult:
    r"""The lasso of one signal at many alphas, from the largest down, each with its certificate.

    .. math:: x(\alpha) = \arg\min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)

    Each answer is where the next begins, and all share the columns that were ever needed and their
    Gram matrix: `semismooth_newton` with a warm start. For the exact breakpoints see `lars`.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        The matrix, real.
    y : array of shape (m,)
        One signal, real.
    alphas : int or array, default=100
        Positive weights, in the units of ``A^T y``; or how many, on a logarithmic grid down from
        the smallest alpha with a zero code.
    alpha_ratio : float, optional
        Where the grid ends, over where it begins; 1e-3 by default. Leave it out where `alphas`
        are given.
    penalty : L1 or ElasticNet, default=L1()
        What alpha multiplies.
    tol : float, default=1e-6
        Duality gap over the objective at zero, at each alpha.
    max_iter : int, default=100
        Working sets at each alpha, at the most.

    Returns
    -------
    PathResult
        `alphas` in descending order, `x` of shape (n, n_alphas), `dual_gaps` (in the units of the
        objective) and `certificate`, the largest of them over the objective at zero.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN, infinite or complex, or a parameter is out of range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached at an alpha; it states the worst certificate.

    References
    ----------
    Friedman, Hastie and Tibshirani, "Regularization paths for generalized linear models via
    coordinate descent", 2010; Li, Sun and Toh, "A highly efficient semismooth Newton augmented
    Lagrangian method for solving Lasso problems", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import lasso_path
    >>> path = lasso_path(np.eye(3), np.array([4.0, -2.0, 0.5]), [3.0, 1.0])
    >>> path.x
    array([[ 1.,  3.],
           [ 0., -1.],
           [ 0.,  0.]])
    """
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    problem = single_lasso(A, y, None, 1.0, penalty, "lasso_path")
    stages = _stages(problem, alphas, alpha_ratio)
    started, target = time.perf_counter(), tol * 0.5 * float(problem.y @ problem.y)
    pool = ColumnPool(problem.A, problem.y)
    at, n_iter, rows, found = pool.at(problem.initial(None)), 0, [], []
    for stage in stages:
        at, row, steps = _solve(stage, pool, at, tol, target, max_iter)
        n_iter += steps
        seconds = time.perf_counter() - started
        rows.append({"n_iter": n_iter, "seconds": seconds, "alpha": stage.given_alpha, **row})
        found.append(at.x)
    history = as_history(rows)
    certificate = float(np.max(history["certificate"]))
    if certificate > tol:
        warn_not_converged("lasso_path", certificate, tol, max_iter)
    x = from_units(np.stack(found, axis=1), problem.signal_unit, 1 / problem.matrix_unit, name="x")
    return PathResult(
        alphas=history["alpha"],
        x=x.astype(problem.dtype, copy=False),
        dual_gaps=history["dual_gap"],
        objective=rows[-1]["objective"],
        certificate=certificate,
        n_iter=n_iter,
        status=Status.CONVERGED if certificate <= tol else Status.MAX_ITER,
        history=history,
    )


def _stages(
    problem: PenalizedLeastSquares, alphas: Any, alpha_ratio: float | None
) -> list[PenalizedLeastSquares]:
    """One problem an alpha, descending; `problem` is that of the smallest with a zero code."""
    if np.ndim(alphas) == 0:
        n_alphas = check_int(alphas, "alphas")
        check_fits(8 * n_alphas * problem.A.shape[1], f"a path of alphas={n_alphas} weights")
        ratio = 1e-3 if alpha_ratio is None else alpha_ratio
        ratio = check_real(ratio, "alpha_ratio", low=0, high=1, open_low=True)
        grid = problem.given_alpha * np.geomspace(1, ratio, n_alphas)
    elif alpha_ratio is not None:
        raise ValueError("alpha_ratio is not used where alphas are given: leave one of them out")
    else:
        grid = np.sort(check_array(alphas, "alphas", ndim=1))[::-1]
    return [problem.with_alpha(alpha) for alpha in grid]


def _solve(
    problem: PenalizedLeastSquares,
    pool: ColumnPool,
    at: Iterate,
    tol: float,
    target: float,
    max_iter: int,
) -> tuple[Iterate, dict[str, float], int]:
    """From an iterate to the minimiser; also what was measured there, and the steps it took."""
    iterates = continuation(pool, WeightedLasso.of(problem), semismooth, at, target)
    row, steps = problem.measure(at), 0
    while row["certificate"] > tol and steps < max_iter:
        at = next(iterates)
        row, steps = problem.measure(at), steps + 1
    return at, row, steps
