r"""Slow, exact answers by a general convex solver (cvxpy): what the fast solvers are held against.

Nothing of ours is used but the objectives at the end, so that an agreement means something.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from sparsecode._scaling import magnitude
from sparsecode._validation import check_array, check_real, check_system, check_weights
from sparsecode.objectives._formulas import duality_gap, lasso_objective, pcp_duality_gap
from sparsecode.operators import adjoint
from sparsecode.penalties import L1, L21, ConvexPenalty, ElasticNet, GroupL1, NuclearNorm
from sparsecode.solvers._result import CodeResult, SplitResult, Status
from sparsecode.solvers._run import as_history

__all__ = ["bpdn", "lasso", "lasso_constrained", "principal_component_pursuit", "stable_pcp"]


def lasso(A: Any, y: Any, alpha: float, *, penalty: ConvexPenalty | None = None) -> CodeResult:
    r"""Penalised least squares by an interior-point method; for small problems.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)

    Parameters
    ----------
    A : array or sparse array of shape (m, n)
        The matrix, real or complex; of ordinary scale.
    y : array of shape (m,) or (m, n_signals)
        One signal, or one a column.
    alpha : float
        The weight of the penalty, positive.
    penalty : ConvexPenalty, default=L1()
        One of this package's convex penalties.

    Returns
    -------
    CodeResult
        `x`, `objective`, `dual_gap` (in the units of the objective; it certifies this answer too)
        and `certificate`, the gap over the objective at zero. One iteration, no history.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.
    TypeError
        If `A` is a LinearOperator or the penalty is not one of this package's convex ones.
    RuntimeError
        If the convex solver fails.

    References
    ----------
    Diamond and Boyd, "CVXPY: a Python-embedded modeling language for convex optimization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import reference
    >>> np.round(reference.lasso(np.eye(2), np.array([3.0, 0.5]), alpha=1.0).x, 6) + 0.0
    array([2., 0.])
    """
    import cvxpy as cp

    A, y = check_system(A, y)
    A = A if isinstance(A, np.ndarray) else check_array(A.toarray(), "A", allow_complex=True)
    alpha = check_real(alpha, "alpha", low=0, open_low=True)
    penalty = penalty or L1()
    x = cp.Variable((A.shape[1], *y.shape[1:]), complex=np.iscomplexobj(y))
    fit = 0.5 * cp.sum_squares(y - A @ x)
    value, constraints = _expression(penalty, x)
    _solve(cp.Problem(cp.Minimize(fit + alpha * value), constraints))
    answer = np.maximum(x.value, 0) if constraints else x.value
    residual = y - A @ answer
    gap = float(np.sum(duality_gap(residual, adjoint(A) @ residual, answer, alpha, penalty)))
    at_zero = 0.5 * float(np.sum(np.abs(y) ** 2))
    return CodeResult(
        x=answer,
        objective=float(np.sum(lasso_objective(A, y, answer, alpha, penalty))),
        dual_gap=gap,
        certificate=gap / at_zero if at_zero > 0 else 0.0,
        n_iter=1,
        status=Status.COMPLETED,
        history=as_history([]),
    )


def _expression(penalty: ConvexPenalty, x: Any) -> tuple[Any, list[Any]]:
    """The sum of the penalty over the columns of `x`, and its constraints."""
    import cvxpy as cp

    size = cp.abs(x)
    if isinstance(penalty, L1):
        weights = np.ones(x.shape[0]) if penalty.weights is None else penalty.weights
        return cp.sum(weights @ size), [x >= 0] if penalty.positive else []
    if isinstance(penalty, ElasticNet):
        quadratic = (1 - penalty.l1_ratio) / 2 * cp.sum_squares(x)
        return penalty.l1_ratio * cp.sum(size) + quadratic, [x >= 0] if penalty.positive else []
    if isinstance(penalty, GroupL1):
        terms = [
            weight * cp.sum(cp.norm(x[penalty.groups == group], 2, axis=0))
            for group, weight in enumerate(penalty.weights)
        ]
        return sum(terms), []
    if isinstance(penalty, L21):
        norms = size if x.ndim == 1 else cp.norm(x, 2, axis=1)
        weights = np.ones(x.shape[0]) if penalty.weights is None else penalty.weights
        return weights @ norms, []
    if isinstance(penalty, NuclearNorm):
        return cp.normNuc(x), []
    raise TypeError(f"penalty has to be one of the convex ones, got {penalty!r}")


def bpdn(A: Any, y: Any, sigma: float, *, weights: Any = None) -> np.ndarray:
    r"""The least l1 norm within a residual, by an interior-point method; for small problems.

    .. math:: \min_x \sum_i w_i |x_i| \quad \text{s.t.} \quad \|y - A x\|_2 \le \sigma

    Parameters
    ----------
    A : array of shape (m, n)
        The matrix, real or complex; of ordinary scale.
    y : array of shape (m,)
        One signal.
    sigma : float
        The largest residual; 0 for basis pursuit.
    weights : array of shape (n,), optional
        Positive; all ones by default.

    Returns
    -------
    ndarray of shape (n,)
        The coefficients.

    Raises
    ------
    RuntimeError
        If the convex solver fails, as it does where no `x` comes near enough to `y`.

    References
    ----------
    Diamond and Boyd, "CVXPY: a Python-embedded modeling language for convex optimization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import reference
    >>> np.round(reference.bpdn(np.eye(2), np.array([3.0, 0.0]), 1.0), 6) + 0.0
    array([2., 0.])
    """
    import cvxpy as cp

    A, y, x, total = _constrained(A, y, weights)
    near = cp.norm(y - A @ x) <= sigma if sigma > 0 else A @ x == y
    _solve(cp.Problem(cp.Minimize(total), [near]))
    return np.asarray(x.value)


def lasso_constrained(A: Any, y: Any, tau: float, *, weights: Any = None) -> np.ndarray:
    r"""The best fit within an l1 norm, by an interior-point method; for small problems.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 \quad \text{s.t.} \quad \sum_i w_i |x_i| \le \tau

    Parameters
    ----------
    A : array of shape (m, n)
        The matrix, real or complex; of ordinary scale.
    y : array of shape (m,)
        One signal.
    tau : float
        The largest l1 norm.
    weights : array of shape (n,), optional
        Positive; all ones by default.

    Returns
    -------
    ndarray of shape (n,)
        The coefficients.

    Raises
    ------
    RuntimeError
        If the convex solver fails.

    References
    ----------
    Diamond and Boyd, "CVXPY: a Python-embedded modeling language for convex optimization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import reference
    >>> np.round(reference.lasso_constrained(np.eye(2), np.array([3.0, 0.0]), 1.0), 6) + 0.0
    array([1., 0.])
    """
    import cvxpy as cp

    A, y, x, total = _constrained(A, y, weights)
    _solve(cp.Problem(cp.Minimize(0.5 * cp.sum_squares(y - A @ x)), [total <= tau]))
    return np.asarray(x.value)


def _constrained(A: Any, y: Any, weights: Any) -> Any:
    """The data, the variable and its weighted l1 norm."""
    import cvxpy as cp

    A, y = check_system(A, y)
    x = cp.Variable(A.shape[1], complex=np.iscomplexobj(y))
    weights = np.ones(A.shape[1]) if weights is None else weights
    return A, y, x, cp.sum(weights @ cp.abs(x))


def principal_component_pursuit(
    X: Any, *, alpha: float | None = None, weights: Any = None
) -> SplitResult:
    r"""The convex split into low rank plus sparse by a general convex solver; for small matrices.

    .. math:: \min_{L + S = X} \|L\|_* + \alpha \sum_{ij} w_{ij} |S_{ij}|

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The matrix, of ordinary scale.
    alpha : float, optional
        The weight of the l1 norm; ``1 / sqrt(max(X.shape))`` by default.
    weights : array that broadcasts to the shape of X, optional
        Those of the entries in it, positive; all ones by default.

    Returns
    -------
    SplitResult
        The two parts, which add up to `X` exactly. The rank counts singular values above a
        millionth of the largest entry. `dual_gap` is relative to the objective.

    Raises
    ------
    ValueError
        If `X` has NaN or infinite entries, or `alpha` is not positive.
    RuntimeError
        If the convex solver fails.

    References
    ----------
    Candes, Li, Ma and Wright, "Robust principal component analysis?", 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import reference
    >>> X = np.ones((4, 4))
    >>> X[0, 0] = 5.0
    >>> result = reference.principal_component_pursuit(X)
    >>> result.rank, np.round(result.sparse[0], 3) + 0.0
    (1, array([4., 0., 0., 0.]))
    """
    return stable_pcp(X, 0.0, alpha=alpha, weights=weights)


def stable_pcp(
    X: Any, radius: float, *, alpha: float | None = None, weights: Any = None
) -> SplitResult:
    r"""The same with noise: ``||X - L - S||_F <= radius``; for small matrices.

    .. math:: \min_{L, S} \|L\|_* + \alpha \sum_{ij} w_{ij} |S_{ij}|
              \quad \text{s.t.} \quad \|X - L - S\|_F \le \delta

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The matrix, of ordinary scale.
    radius : float
        :math:`\delta`, at least 0.
    alpha : float, optional
        The weight of the l1 norm; ``1 / sqrt(max(X.shape))`` by default.
    weights : array that broadcasts to the shape of X, optional
        Those of the entries in it, positive; all ones by default.

    Returns
    -------
    SplitResult
        As `principal_component_pursuit`; the noise is ``X - low_rank - sparse``. The `certificate`
        is how far its norm exceeds `radius`, relative to the norm of `X`.

    Raises
    ------
    ValueError
        If `X` has NaN or infinite entries, or a parameter is out of range.
    RuntimeError
        If the convex solver fails.

    References
    ----------
    Zhou, Li, Wright, Candes and Ma, "Stable principal component pursuit", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import reference
    >>> result = reference.stable_pcp(np.diag([3.0, 0.0]), 1.0)
    >>> round(result.objective, 6)
    1.414214
    """
    import cvxpy as cp

    X, radius = check_array(X, "X"), check_real(radius, "radius", low=0)
    if alpha is None:
        alpha = float(1 / np.sqrt(max(X.shape)))
    alpha, weights = (
        check_real(alpha, "alpha", low=0, open_low=True),
        check_weights(weights, X.shape),
    )
    L, E = cp.Variable(X.shape), cp.Variable(X.shape)
    S = cp.Variable(X.shape)
    split = L + S + E == X if radius > 0 else L + S == X
    sizes = cp.multiply(np.broadcast_to(weights, X.shape), cp.abs(S))
    inside = [cp.norm(E, "fro") <= radius] if radius > 0 else []
    _solve(cp.Problem(cp.Minimize(cp.normNuc(L) + alpha * cp.sum(sizes)), [split, *inside]))
    low_rank = np.asarray(L.value)
    sparse = np.asarray(S.value) if radius > 0 else X - low_rank
    objective, gap = pcp_duality_gap(
        X,
        low_rank,
        -np.asarray(split.dual_value),
        alpha,
        weights=weights,
        sparse=sparse,
        radius=radius,
    )
    excess = max(float(np.linalg.norm(X - low_rank - sparse)) - radius, 0.0)
    _, singular_values, Vt = np.linalg.svd(low_rank, full_matrices=False)
    rank = int(np.count_nonzero(singular_values > 1e-6 * magnitude(X)))
    return SplitResult(
        low_rank=low_rank,
        sparse=sparse,
        rank=rank,
        singular_values=singular_values[:rank],
        components=Vt[:rank],
        n_svd=0,
        dual_gap=gap / objective if objective > 0 else 0.0,
        objective=objective,
        certificate=excess / (float(np.linalg.norm(X)) or 1.0),
        n_iter=1,
        status=Status.COMPLETED,
        history=as_history([]),
    )


def _solve(problem: Any) -> None:
    """As accurately as the solver can; how far that is, the duality gaps above tell."""
    import cvxpy as cp

    tight = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Solution may be inaccurate")
        problem.solve(solver=cp.CLARABEL, **tight)
    if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise RuntimeError(f"the convex solver failed: {problem.status}")
