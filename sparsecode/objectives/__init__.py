r"""Objectives, dual points and duality gaps; every scaling of the package is stated here, once.

The penalised least-squares problem, for one signal `y` (m,) and a matrix `A` (m, n), is

.. math:: \min_x P(x) = \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x),

without any :math:`1/m`. Its dual is :math:`\max_\theta \langle y, \theta\rangle
- \tfrac12 \|\theta\|^2 - \alpha\, g^*(A^* \theta / \alpha)`.
A 2-D `y` holds one signal a column, and each function then returns one number a signal.

A gap is never computed as a difference of primal and dual: by Fenchel and Young it is a sum of
terms that are none of them negative. Its rounding error is that of :math:`\alpha\, g(x)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecode._systems import check_system
from sparsecode._validation import check_array, check_real, check_weights
from sparsecode.objectives import _formulas
from sparsecode.objectives._formulas import Values
from sparsecode.penalties import ConvexPenalty, Penalty, check_penalty

__all__ = [
    "alpha_max",
    "dual_point",
    "duality_gap",
    "lasso_objective",
    "least_squares",
    "pcp_duality_gap",
    "pcp_objective",
]


def least_squares(residual: np.ndarray) -> Values:
    """Half the squared l2 norm of the residual, ``0.5 * ||y - A x||^2``, one number a signal.

    Parameters
    ----------
    residual : array of shape (m,) or (m, n_signals)
        ``y - A @ x``.

    Returns
    -------
    float or array of shape (n_signals,)
        The value.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.objectives import least_squares
    >>> float(least_squares(np.array([3.0, 4.0])))
    12.5
    """
    return _formulas.least_squares(_values(residual, "residual"))


def lasso_objective(
    A: Any, y: np.ndarray, x: np.ndarray, alpha: float, penalty: Penalty | None = None
) -> Values:
    """``0.5 * ||y - A x||^2 + alpha * g(x)``, one number a signal; `g` is the l1 norm by default.

    A penalty that couples the signals, as the nuclear norm does, has one number for all of them.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        The matrix.
    y : array of shape (m,) or (m, n_signals)
        One signal, or one a column.
    x : array of shape (n,) or (n, n_signals)
        The coefficients.
    alpha : float
        The weight of the penalty.
    penalty : Penalty, optional
        The l1 norm by default.

    Returns
    -------
    float or array of shape (n_signals,)
        The value.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.objectives import lasso_objective
    >>> float(lasso_objective(np.eye(2), np.array([3.0, 0.0]), np.array([2.0, 0.0]), alpha=1.0))
    2.5
    """
    A, y = check_system(A, y)
    x = _values(x, "x")
    if x.shape != (A.shape[1], *y.shape[1:]):
        raise ValueError(f"x has shape {x.shape}; A and y ask for {(A.shape[1], *y.shape[1:])}")
    alpha = check_real(alpha, "alpha", low=0)
    return _formulas.lasso_objective(A, y, x, alpha, check_penalty(penalty))


def dual_point(
    residual: np.ndarray, correlation: np.ndarray, alpha: float, penalty: ConvexPenalty
) -> tuple[np.ndarray, np.ndarray]:
    """The residual scaled into the dual's domain and `A^*` of it; correlation: `A^* residual`.

    Parameters
    ----------
    residual : array of shape (m,) or (m, n_signals)
        ``y - A @ x``.
    correlation : array of shape (n,) or (n, n_signals)
        ``A^* @ residual``.
    alpha : float
        The weight of the penalty, positive.
    penalty : ConvexPenalty
        What `alpha` multiplies.

    Returns
    -------
    theta : ndarray of the shape of residual
        The dual point.
    v : ndarray of the shape of correlation
        ``A^* @ theta``.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.objectives import dual_point
    >>> from sparsecode.penalties import L1
    >>> r = np.array([4.0, 1.0])
    >>> theta, v = dual_point(r, r, alpha=2.0, penalty=L1())
    >>> theta
    array([2. , 0.5])
    """
    residual, correlation = _checked_signals(residual=residual, correlation=correlation)
    alpha = check_real(alpha, "alpha", low=0, open_low=True)
    return _formulas.dual_point(residual, correlation, alpha, check_penalty(penalty, convex=True))


def duality_gap(
    residual: np.ndarray,
    correlation: np.ndarray,
    x: np.ndarray,
    alpha: float,
    penalty: ConvexPenalty | None = None,
) -> Values:
    r"""How far `x` can be from the best: :math:`P(x) - \min P \le` this number, one a signal.

    .. math:: \tfrac12 \|r - \theta\|^2 +
              \alpha \bigl[g(x) + g^*(v / \alpha)\bigr] - \langle x, v \rangle,
              \quad v = A^* \theta,

    with the residual :math:`r = y - A x` and the dual point :math:`\theta` on the ray through it.

    Parameters
    ----------
    residual : array of shape (m,) or (m, n_signals)
        ``y - A @ x``.
    correlation : array of shape (n,) or (n, n_signals)
        ``A^* @ residual``.
    x : array of shape (n,) or (n, n_signals)
        The coefficients.
    alpha : float
        The weight of the penalty, positive.
    penalty : ConvexPenalty, optional
        The l1 norm by default.

    Returns
    -------
    float or array of shape (n_signals,)
        The gap, in the units of the objective.

    References
    ----------
    Fenchel, "On conjugate convex functions", 1949; Ndiaye et al., "Gap safe screening rules", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.objectives import duality_gap
    >>> A, y, x = np.eye(2), np.array([3.0, 0.5]), np.array([2.0, 0.0])
    >>> float(duality_gap(y - A @ x, A.T @ (y - A @ x), x, alpha=1.0))
    0.0
    """
    residual, correlation, x = _checked_signals(residual=residual, correlation=correlation, x=x)
    if x.shape != correlation.shape:
        raise ValueError(f"x has shape {x.shape} but correlation {correlation.shape}")
    alpha = check_real(alpha, "alpha", low=0, open_low=True)
    penalty = check_penalty(penalty, convex=True)
    return _formulas.duality_gap(residual, correlation, x, alpha, penalty)


def alpha_max(A: Any, y: np.ndarray, penalty: ConvexPenalty | None = None) -> Values:
    """The smallest alpha at which ``x = 0`` is a minimiser, one number a signal.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        The matrix.
    y : array of shape (m,) or (m, n_signals)
        One signal, or one a column.
    penalty : ConvexPenalty, optional
        The l1 norm by default.

    Returns
    -------
    float or array of shape (n_signals,)
        The smallest such alpha.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.objectives import alpha_max
    >>> float(alpha_max(np.eye(2), np.array([3.0, -4.0])))
    4.0
    """
    A, y = check_system(A, y)
    return _formulas.alpha_max(A, y, check_penalty(penalty, convex=True))


def pcp_objective(
    low_rank: np.ndarray, sparse: np.ndarray, alpha: float, weights: np.ndarray | float = 1.0
) -> float:
    """``||L||_* + alpha * ||W o S||_1``, the objective of principal component pursuit.

    Parameters
    ----------
    low_rank, sparse : array of shape (n_samples, n_features)
        The two parts, :math:`L` and :math:`S`.
    alpha : float
        The weight of the l1 norm.
    weights : array that broadcasts to the shape of sparse, default=1.0
        Those of the entries in it.

    Returns
    -------
    float
        The value.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.objectives import pcp_objective
    >>> pcp_objective(np.diag([3.0, 0.0]), np.diag([0.0, -2.0]), alpha=0.5)
    4.0
    """
    low_rank, sparse = check_array(low_rank, "low_rank"), check_array(sparse, "sparse")
    _check_shapes(low_rank=low_rank, sparse=sparse)
    alpha = check_real(alpha, "alpha", low=0)
    weights = check_weights(weights, low_rank.shape)
    return _formulas.pcp_objective(low_rank, sparse, alpha, weights)


def pcp_duality_gap(
    X: np.ndarray,
    low_rank: np.ndarray,
    dual: np.ndarray,
    alpha: float,
    *,
    weights: np.ndarray | float = 1.0,
    sparse: np.ndarray | None = None,
    radius: float = 0.0,
) -> tuple[float, float]:
    r"""The objective of a split ``X = L + S + E`` and how far it can be from the best.

    .. math:: \max_Y \langle X, Y\rangle - \delta \|Y\|_F \quad \text{s.t.} \quad
              \|Y\|_2 \le 1, \; |Y_{ij}| \le \alpha w_{ij}

    is the dual of ``min ||L||_* + alpha ||W o S||_1`` over ``||X - L - S||_F <= delta``, with
    ``delta = 0`` that of principal component pursuit. `dual` is scaled into its domain. The gap is
    ``(||L||_* - <L, Y>) + (alpha ||W o S||_1 - <S, Y>) + (delta ||Y||_F - <E, Y>)``, three terms
    none negative.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The matrix that is split.
    low_rank : array of shape (n_samples, n_features)
        Its low-rank part.
    dual : array of shape (n_samples, n_features)
        Any matrix; a multiplier of the constraint gives a small gap.
    alpha : float
        The weight of the l1 norm, positive.
    weights : array that broadcasts to the shape of X, default=1.0
        Those of the entries in it, positive.
    sparse : array of shape (n_samples, n_features), optional
        The sparse part; by default ``X - low_rank``.
    radius : float, default=0.0
        :math:`\delta`, at least ``||X - low_rank - sparse||_F``.

    Returns
    -------
    objective : float
        That of ``(low_rank, sparse)``.
    gap : float
        No split that is allowed has an objective below ``objective - gap``.

    References
    ----------
    Lin, Chen and Ma, "The augmented Lagrange multiplier method for exact recovery of corrupted
    low-rank matrices", 2010; Zhou, Li, Wright, Candes and Ma, "Stable principal component pursuit",
    2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.objectives import pcp_duality_gap
    >>> X = np.diag([2.0, 0.0])
    >>> objective, gap = pcp_duality_gap(X, np.zeros((2, 2)), np.diag([0.5, 0.0]), alpha=0.5)
    >>> objective, gap
    (1.0, 0.0)
    """
    X, low_rank = check_array(X, "X"), check_array(low_rank, "low_rank")
    dual = check_array(dual, "dual")
    _check_shapes(X=X, low_rank=low_rank, dual=dual)
    sparse = X - low_rank if sparse is None else check_array(sparse, "sparse")
    _check_shapes(X=X, sparse=sparse)
    alpha = check_real(alpha, "alpha", low=0, open_low=True)
    weights, radius = check_weights(weights, X.shape), check_real(radius, "radius", low=0)
    return _formulas.pcp_duality_gap(
        X, low_rank, dual, alpha, weights=weights, sparse=sparse, radius=radius
    )


def _values(values: Any, name: str) -> np.ndarray:
    """One signal, or one a column."""
    return check_array(values, name, ndim=(1, 2), allow_complex=True)


def _checked_signals(**given: Any) -> list[np.ndarray]:
    """As many signals in each, in one common dtype: rounding in two would leave the dual domain."""
    (first, residual), *others = arrays = [(name, _values(v, name)) for name, v in given.items()]
    for name, values in others:
        if values.shape[1:] != residual.shape[1:]:
            raise ValueError(
                f"{name} has shape {values.shape} but {first} {residual.shape}: "
                "both hold one signal a column"
            )
    dtype = np.result_type(*(values for _, values in arrays))
    return [values.astype(dtype, copy=False) for _, values in arrays]


def _check_shapes(**arrays: np.ndarray) -> None:
    (first, whole), *others = arrays.items()
    for name, values in others:
        if values.shape != whole.shape:
            raise ValueError(f"{name} has shape {values.shape} but {first} {whole.shape}")
