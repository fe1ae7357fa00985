"""The formulas themselves, for solvers: what they get has been checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecode._coupling import Values
from sparsecode.operators import adjoint
from sparsecode.penalties import L1, ConvexPenalty, NuclearNorm, Penalty


def inner(u: np.ndarray, v: np.ndarray) -> Values:
    """The real inner product along axis 0, one number a signal."""
    return np.sum((np.conj(u) * v).real, axis=0)


def least_squares(residual: np.ndarray) -> Values:
    """Half the squared l2 norm of the residual, ``0.5 * ||y - A x||^2``, one number a signal."""
    return 0.5 * inner(residual, residual)


def lasso_objective(
    A: Any, y: np.ndarray, x: np.ndarray, alpha: float, penalty: Penalty | None = None
) -> Values:
    """``0.5 * ||y - A x||^2 + alpha * g(x)``, one number a signal."""
    return penalized(y - A @ x, x, alpha, penalty or L1())


def penalized(residual: np.ndarray, x: np.ndarray, alpha: float, penalty: Penalty) -> Values:
    """`lasso_objective` with the residual at hand."""
    value, fit = penalty.value(x), least_squares(residual)
    if np.ndim(value) < np.ndim(fit):  # the penalty couples the signals: one number for all
        fit = np.sum(fit)
    return fit + alpha * value


def dual_point(
    residual: np.ndarray, correlation: np.ndarray, alpha: float, penalty: ConvexPenalty
) -> tuple[np.ndarray, np.ndarray]:
    """The residual scaled into the dual's domain and `A^*` of it; correlation: `A^* residual`."""
    polar = np.asarray(penalty.polar(correlation))
    scale = (alpha / np.maximum(polar, alpha)).astype(residual.real.dtype)
    return scale * residual, scale * correlation


def duality_gap(
    residual: np.ndarray,
    correlation: np.ndarray,
    x: np.ndarray,
    alpha: float,
    penalty: ConvexPenalty | None = None,
) -> Values:
    r"""How far `x` can be from the best: :math:`P(x) - \min P \le` this number, one a signal."""
    penalty = penalty or L1()
    theta, v = dual_point(residual, correlation, alpha, penalty)
    value, fit, pairing = penalty.value(x), least_squares(residual - theta), inner(x, v)
    if np.ndim(value) < np.ndim(fit):  # the penalty couples the signals: one gap for all
        fit, pairing = np.sum(fit), np.sum(pairing)
    return fit + np.maximum(alpha * (value + penalty.conjugate(v / alpha)) - pairing, 0)


def alpha_max(A: Any, y: np.ndarray, penalty: ConvexPenalty | None = None) -> Values:
    """The smallest alpha at which ``x = 0`` is a minimiser, one number a signal."""
    return (penalty or L1()).vanishing(adjoint(A) @ y)


def pcp_objective(
    low_rank: np.ndarray, sparse: np.ndarray, alpha: float, weights: np.ndarray | float = 1.0
) -> float:
    """``||L||_* + alpha * ||W o S||_1``, the objective of principal component pursuit."""
    return float(NuclearNorm().value(low_rank) + alpha * np.sum(weights * np.abs(sparse)))


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
    """The objective of a split ``X = L + S + E`` and how far it can be from the best."""
    sparse = X - low_rank if sparse is None else sparse
    noise = X - low_rank - sparse
    polar = max(float(NuclearNorm().polar(dual)), float(np.max(np.abs(dual) / weights)) / alpha)
    feasible = dual / polar if polar > 0 else dual
    nuclear: float = float(NuclearNorm().value(low_rank))
    absolute = alpha * float(np.sum(weights * np.abs(sparse)))
    gap = max(nuclear - float(np.vdot(low_rank, feasible)), 0.0)
    gap += max(absolute - float(np.vdot(sparse, feasible)), 0.0)
    gap += max(radius * float(np.linalg.norm(feasible)) - float(np.vdot(noise, feasible)), 0.0)
    return nuclear + absolute, gap
