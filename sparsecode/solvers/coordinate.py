r"""Coordinate descent on working sets, for penalised least squares with one signal."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecode._docs import documented
from sparsecode._threads import single_threaded_blas
from sparsecode.penalties import Penalty
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback
from sparsecode.solvers._working_set import WeightedLasso, solve_on_working_sets
from sparsecode.solvers.newton import newton_on_support

__all__ = ["coordinate_descent"]


def _descend(
    gram: np.ndarray,
    correlation: np.ndarray,
    energy: float,
    lasso: WeightedLasso,
    x: np.ndarray,
    tol: float,
) -> np.ndarray:
    """The lasso on the working set: sweeps find signs, Newton steps the values for them."""
    from sparsecode.solvers._kernels.coordinate import sweep_gram

    x, active = x.copy(), np.flatnonzero(x)
    slope = correlation - x[active] @ gram[active]
    n_sweeps = 6
    with single_threaded_blas():  # many small products and factorizations
        for _ in range(500):
            sweep_gram(gram, lasso.weights, lasso.positive, n_sweeps, x, slope)
            S = np.flatnonzero(x)
            moved, exact = newton_on_support(gram[np.ix_(S, S)], slope[S], lasso.on(S), x[S], 5)
            slope -= (moved - x[S]) @ gram[S]
            # Where columns of the support depend on each other, only sweeps can thin it out.
            n_sweeps = 6 if exact or np.any(moved != x[S]) else 40
            x[S] = moved
            if lasso.gap(energy - float((correlation + slope) @ x), slope, x) <= tol:
                break
    return x


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
    r"""Coordinate descent on working sets: sweeps over few columns of many, for one signal.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)

    with the l1 norm (weighted, positive) or the elastic net. An iteration solves the problem on a
    working set: sweeps over its Gram matrix find the signs, Newton steps the values for them. Then
    the coordinates that violate their optimality most join the set. `A` may be a matrix or a real
    operator; `y` is one signal; for many signals see `sparse_encode`. Where the columns of the
    support are many or nearly dependent, `semismooth_newton` is faster.

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
    return solve_on_working_sets(
        _descend,
        "coordinate_descent",
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
