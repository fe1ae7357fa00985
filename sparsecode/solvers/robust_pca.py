r"""Robust PCA: a matrix split into low rank plus sparse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import check_array, check_int, check_real
from sparsecode.objectives import pcp_duality_gap
from sparsecode.operators import projection_onto_complement, spectral_norm
from sparsecode.penalties import soft_threshold
from sparsecode.solvers._result import CodeResult, SplitResult
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers.low_rank import svd
from sparsecode.solvers.proximal import fista

__all__ = ["principal_component_pursuit", "robust_projection"]

GAP = 0.01  # a feasible split whose relative duality gap is larger is not taken for optimal


class _Split(NamedTuple):
    low_rank: np.ndarray
    sparse: np.ndarray
    dual: np.ndarray
    singular_values: np.ndarray
    Vt: np.ndarray
    residual: float  # ||X - L - S||_F / ||X||_F
    gap: float  # the relative duality gap, evaluated where the residual is at most tol


def _augmented_lagrangian(X: np.ndarray, alpha: float, tol: float) -> Iterator[_Split]:
    """The inexact augmented Lagrange multiplier method (Lin, Chen and Ma, 2010), restarted.

    The penalty `mu` grows so fast that the split may freeze before it is optimal. Then the method
    starts again from there, with half the growth.
    """
    norm, size = spectral_norm(X), float(np.linalg.norm(X))
    mu = first = 1.25 / norm
    growth, ceiling = 1.5, 1e7 * first
    Y = X / max(norm, magnitude(X) / alpha)
    S = np.zeros_like(X)
    while True:
        U, s, Vt = svd(X - S + Y / mu)
        s = s - 1 / mu
        rank = int(np.count_nonzero(s > 0))
        L = (U[:, :rank] * s[:rank]) @ Vt[:rank]
        S = soft_threshold(X - L + Y / mu, alpha / mu)
        remainder = X - L - S
        Y = Y + mu * remainder
        residual = float(np.linalg.norm(remainder)) / size
        gap = _relative_gap(X, L, Y, alpha) if residual <= tol else np.inf
        yield _Split(L, S, Y, s[:rank], Vt[:rank], residual, gap)
        mu = min(growth * mu, ceiling)
        if residual <= tol:
            mu, growth = first, 1 + (growth - 1) / 2


def _relative_gap(X: np.ndarray, low_rank: np.ndarray, dual: np.ndarray, alpha: float) -> float:
    objective, gap = pcp_duality_gap(X, low_rank, dual, alpha)
    return gap / objective if objective > 0 else 0.0


def principal_component_pursuit(
    X: Any,
    *,
    alpha: float | None = None,
    tol: float = 1e-7,
    max_iter: int = 1000,
    callback: Callback | None = None,
) -> SplitResult:
    r"""Principal component pursuit: the convex split into low rank plus sparse.

    .. math:: \min_{L + S = X} \|L\|_* + \alpha \|S\|_1

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The matrix; float32 or float64 is computed in its own precision.
    alpha : float, optional
        The weight of the l1 norm; ``1 / sqrt(max(X.shape))`` by default, which needs no tuning
        under the conditions of Candes et al.
    tol : float, default=1e-7
        Stop when ``||X - L - S||_F <= tol * ||X||_F`` and the duality gap is at most 1 % of the
        objective. A `tol` below eight roundings of the dtype counts as these.
    max_iter : int, default=1000
        Iterations at the most, one singular value decomposition each.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    SplitResult
        `low_rank`, `sparse`, `rank`, `singular_values`, `components`, `n_svd`, `n_iter`,
        `converged`; `certificate` is the relative constraint residual that `tol` bounds (or the
        relative duality gap where that is what is left to do), and
        `dual_gap` the duality gap of the exact split ``(L, X - L)`` over its objective: no split
        can have an objective lower than ``(1 - dual_gap) * objective``.

    Raises
    ------
    ValueError
        If `X` has NaN or infinite entries, or a parameter is out of range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    References
    ----------
    Candes, Li, Ma and Wright, "Robust principal component analysis?", 2011; Lin, Chen and Ma, "The
    augmented Lagrange multiplier method for exact recovery of corrupted low-rank matrices", 2010.

    Examples
    --------
    >>> from sparsecode.datasets import make_low_rank_plus_sparse
    >>> from sparsecode.solvers import principal_component_pursuit
    >>> X, low_rank, sparse = make_low_rank_plus_sparse(60, rank=2, density=0.05, random_state=0)
    >>> result = principal_component_pursuit(X)
    >>> result.rank, bool(abs(result.low_rank - low_rank).max() < 1e-4)
    (2, True)
    """
    X = check_array(X, "X")
    alpha = (
        float(1 / np.sqrt(max(X.shape)))
        if alpha is None
        else check_real(alpha, "alpha", low=0, open_low=True)
    )
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    tol = max(tol, 8 * float(np.finfo(X.dtype).eps))
    unit = unit_of(magnitude(X), X.dtype)
    X = to_units(X, unit)
    if np.any(X):
        iterates = _augmented_lagrangian(X, alpha, tol)
    else:
        nothing, basis = np.zeros(0, X.dtype), np.zeros((0, X.shape[1]), X.dtype)
        iterates = iter([_Split(X.copy(), X.copy(), X, nothing, basis, 0.0, 0.0)])

    def measure(split: _Split) -> dict[str, float]:
        objective = float(split.singular_values.sum()) + alpha * float(np.abs(split.sparse).sum())
        optimal = split.gap <= GAP or split.gap == np.inf
        return {
            "objective": objective * unit,
            "certificate": split.residual if optimal else max(split.residual, split.gap),
            "rank": split.singular_values.size,
        }

    split, ending = run(
        iterates,
        measure,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        name="principal_component_pursuit",
    )
    return SplitResult(
        low_rank=from_units(split.low_rank, unit, name="low_rank"),
        sparse=from_units(split.sparse, unit, name="sparse"),
        rank=split.singular_values.size,
        singular_values=from_units(split.singular_values, unit, name="singular_values"),
        components=np.ascontiguousarray(split.Vt),
        n_svd=ending["n_iter"] if np.any(X) else 0,
        dual_gap=_relative_gap(X, split.low_rank, split.dual, alpha),
        **ending,
    )


def robust_projection(
    X: Any, components: Any, alpha: float, *, tol: float = 1e-8, max_iter: int = 10_000
) -> tuple[np.ndarray, CodeResult]:
    r"""Coordinates of new rows in a subspace, each with its own sparse corruption set aside.

    .. math:: \min_{z, s} \tfrac12 \|x - z V - s\|_2^2 + \alpha \|s\|_1

    for each row `x`. With orthonormal rows in `V` the best `z` is :math:`(x - s) V^T`, and what
    remains is the lasso ``0.5 * ||P (x - s)||^2 + alpha * ||s||_1`` with
    :math:`P = I - V^T V`, solved by `fista`. In `z` alone it is Huber regression.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Rows to project.
    components : array of shape (rank, n_features)
        Orthonormal rows; `rank` may be 0.
    alpha : float
        In the units of `X`: residuals well above it count as corruption.
    tol : float, default=1e-8
        Duality gap over the objective at zero, for every row.
    max_iter : int, default=10000
        Iterations at the most.

    Returns
    -------
    z : ndarray of shape (n_samples, rank)
        The coordinates.
    result : CodeResult
        `x` holds the sparse parts, one row's a column, with their certificate.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, the rows of `components` are not
        orthonormal, or a parameter is out of range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    References
    ----------
    Huber, "Robust estimation of a location parameter", 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import robust_projection
    >>> V = np.full((1, 100), 0.1)
    >>> x = 3 * V
    >>> x[0, 0] = 50.0  # corrupted
    >>> z, _ = robust_projection(x, V, alpha=1e-3)
    >>> np.round(z, 2)
    array([[3.]])
    """
    X = check_array(X, "X")
    V = check_array(components, "components", allow_empty=True).astype(X.dtype, copy=False)
    if V.shape[1] != X.shape[1]:
        raise ValueError(f"X has {X.shape[1]} features but components has {V.shape[1]}")
    if not np.allclose(V @ V.T, np.eye(V.shape[0]), rtol=0, atol=1e-3):
        raise ValueError("components has to have orthonormal rows; see numpy.linalg.qr")
    P = projection_onto_complement(V)
    result = fista(P, P @ X.T, alpha, tol=tol, max_iter=max_iter)
    return (X - result.x.T) @ V.T, result
