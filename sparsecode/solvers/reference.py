r"""Slow, exact answers by a general convex solver (cvxpy): what the fast solvers are held against.

Nothing of ours is used but units of a power of two before, and the objectives at the end, so that
an agreement means something.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sparsecode._coupling import checked_weights
from sparsecode._scaling import from_units, magnitude, scaled, to_units
from sparsecode._systems import check_system
from sparsecode._validation import check_array, check_real, check_weights
from sparsecode.objectives._formulas import (
    alpha_max,
    duality_gap,
    lasso_objective,
    pcp_duality_gap,
)
from sparsecode.operators import adjoint
from sparsecode.penalties import (
    L1,
    L21,
    ConvexPenalty,
    ElasticNet,
    GroupL1,
    NuclearNorm,
    check_penalty,
)
from sparsecode.solvers._problem import in_range
from sparsecode.solvers._result import CodeResult, SplitResult, Status
from sparsecode.solvers._run import as_history

__all__ = ["bpdn", "lasso", "lasso_constrained", "principal_component_pursuit", "stable_pcp"]


def lasso(A: Any, y: Any, alpha: float, *, penalty: ConvexPenalty | None = None) -> CodeResult:
    r"""Penalised least squares by an interior-point method; for small problems.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x)

    Parameters
    ----------
    A : array or sparse array of shape (m, n)
        The matrix, real or complex.
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

    A, y, per_A, per_y = _in_units(A, y)
    given = check_real(alpha, "alpha", low=0, open_low=True)
    factor, penalty = check_penalty(penalty, convex=True).in_units(per_y / per_A)
    alpha = in_range(given / per_y * (factor / per_y), given, y.dtype)
    largest = float(np.max(alpha_max(A, y, penalty)))
    x = cp.Variable((A.shape[1], *y.shape[1:]), complex=np.iscomplexobj(y))
    fit = 0.5 * cp.sum_squares(y - A @ x)
    value, constraints = _expression(penalty, x)
    if alpha >= largest:  # zero, which the solver would only come near
        answer = np.zeros(x.shape, dtype=y.dtype)
    else:
        _solve(cp.Problem(cp.Minimize(fit + alpha * value), constraints))
        answer = np.maximum(x.value, 0) if constraints else x.value
    residual = y - A @ answer
    gap = float(np.sum(duality_gap(residual, adjoint(A) @ residual, answer, alpha, penalty)))
    at_zero = 0.5 * float(np.sum(np.abs(y) ** 2))
    objective = float(np.sum(lasso_objective(A, y, answer, alpha, penalty)))
    return CodeResult(
        x=from_units(answer, per_y, 1 / per_A, name="x"),
        objective=scaled(objective, per_y, 2),
        dual_gap=scaled(gap, per_y, 2),
        certificate=gap / at_zero if at_zero > 0 else 0.0,
        n_iter=1,
        status=Status.COMPLETED,
        history=as_history([]),
    )


def _power(X: np.ndarray) -> float:
    """The power of two just above the largest entry: an interior-point method has tolerances."""
    size = magnitude(X)
    return float(np.ldexp(1.0, np.clip(np.frexp(size)[1], -1022, 1023))) if size > 0 else 1.0


def _in_units(A: Any, y: Any) -> tuple[np.ndarray, np.ndarray, float, float]:
    """The entries of `A`, and `y`, both in units, and these."""
    A, y = check_system(A, y)
    if isinstance(A, LinearOperator):
        raise TypeError("A is a LinearOperator; this needs its entries: pass a NumPy array")
    A = A if isinstance(A, np.ndarray) else A.toarray()
    per_A, per_y = _power(A), _power(y)
    return to_units(A, per_A), to_units(y, per_y), per_A, per_y


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
        The matrix, real or complex.
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
    ValueError
        If shapes do not fit, an entry is NaN or infinite, a parameter is out of range, or no `x`
        comes near enough to `y`.
    RuntimeError
        If the convex solver fails.

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

    sigma = check_real(sigma, "sigma", low=0)
    A, y, x, weights, per_A, per_y, _ = _constrained(A, y, weights)
    with np.errstate(over="ignore"):
        radius = min(sigma / per_y, 2 * float(np.linalg.norm(y)))  # from there on x is 0
    near = cp.norm(y - A @ x) <= radius if radius > 0 else A @ x == y
    _solve(
        cp.Problem(cp.Minimize(cp.sum(weights @ cp.abs(x))), [near]),
        f"no x has a residual ||y - A x||_2 of at most sigma={sigma!r}; give a larger one",
    )
    return from_units(np.asarray(x.value), per_y, 1 / per_A, name="x")


def lasso_constrained(A: Any, y: Any, tau: float, *, weights: Any = None) -> np.ndarray:
    r"""The best fit within an l1 norm, by an interior-point method; for small problems.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 \quad \text{s.t.} \quad \sum_i w_i |x_i| \le \tau

    Parameters
    ----------
    A : array of shape (m, n)
        The matrix, real or complex.
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

    tau = check_real(tau, "tau", low=0)
    A, y, x, weights, per_A, per_y, per_weight = _constrained(A, y, weights)
    best = np.linalg.lstsq(A, y, rcond=None)[0]  # more than its norm is as good as no bound
    bound = min(scaled(tau, per_A, 1, per_y, -1, per_weight, -1), 2 * float(weights @ np.abs(best)))
    if bound == 0:
        return np.zeros_like(best)
    inside = cp.sum(weights @ cp.abs(x)) <= bound
    _solve(cp.Problem(cp.Minimize(0.5 * cp.sum_squares(y - A @ x)), [inside]))
    size = float(weights @ np.abs(x.value))  # the solver keeps the bound to its tolerance alone
    answer = np.asarray(x.value) * min(bound / size, 1.0) if size > 0 else np.asarray(x.value)
    return from_units(answer, per_y, 1 / per_A, name="x")


def _constrained(A: Any, y: Any, weights: Any) -> Any:
    """The data, the variable and the weights, all in units, and these."""
    import cvxpy as cp

    A, y, per_A, per_y = _in_units(A, y)
    if y.ndim != 1:
        raise ValueError(f"y has to be 1-D, one signal, got shape {y.shape}; loop over columns")
    x = cp.Variable(A.shape[1], complex=np.iscomplexobj(y))
    weights = np.ones(A.shape[1]) if weights is None else checked_weights(weights)
    if weights.size != A.shape[1]:
        raise ValueError(f"weights has {weights.size} entries for {A.shape[1]} columns of A")
    per_weight = _power(weights)
    return A, y, x, to_units(weights, per_weight), per_A, per_y, per_weight


def principal_component_pursuit(
    X: Any, *, alpha: float | None = None, weights: Any = None
) -> SplitResult:
    r"""The convex split into low rank plus sparse by a general convex solver; for small matrices.

    .. math:: \min_{L + S = X} \|L\|_* + \alpha \sum_{ij} w_{ij} |S_{ij}|

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The matrix.
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
        The matrix.
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
    # An entry of a dual point is 1 at the most, so that what costs 2 is as good as forbidden.
    weights, alpha = np.minimum(np.broadcast_to(alpha * weights, X.shape), 2.0), 1.0
    unit = _power(X)
    X = to_units(X, unit)
    with np.errstate(over="ignore"):
        radius = min(radius / unit, 2 * float(np.linalg.norm(X)))  # from there on all is noise
    L, E = cp.Variable(X.shape), cp.Variable(X.shape)
    S = cp.Variable(X.shape)
    split = L + S + E == X if radius > 0 else L + S == X
    sizes = cp.multiply(weights, cp.abs(S))
    inside = [cp.norm(E, "fro") <= radius] if radius > 0 else []
    _solve(cp.Problem(cp.Minimize(cp.normNuc(L) + cp.sum(sizes)), [split, *inside]))
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
        low_rank=from_units(low_rank, unit, name="low_rank"),
        sparse=from_units(sparse, unit, name="sparse"),
        rank=rank,
        singular_values=from_units(singular_values[:rank], unit, name="singular_values"),
        components=Vt[:rank],
        n_svd=0,
        dual_gap=gap / objective if objective > 0 else 0.0,
        objective=scaled(objective, unit, 1),
        certificate=excess / (float(np.linalg.norm(X)) or 1.0),
        n_iter=1,
        status=Status.COMPLETED,
        history=as_history([]),
    )


def _solve(problem: Any, infeasible: str = "") -> None:
    """As accurately as the solver can; how far that is, the duality gaps above tell."""
    import cvxpy as cp

    tight = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Solution may be inaccurate")
        problem.solve(solver=cp.CLARABEL, **tight)
    if problem.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE) and infeasible:
        raise ValueError(infeasible)
    if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise RuntimeError(f"the convex solver failed: {problem.status}")
