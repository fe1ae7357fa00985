r"""Rows seen in a subspace, each with its own corruption set aside."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import check_array, check_int, check_real
from sparsecode.operators import projection_onto_complement
from sparsecode.penalties import soft_threshold
from sparsecode.solvers._problem import Iterate, PenalizedLeastSquares
from sparsecode.solvers._result import CodeResult, Status
from sparsecode.solvers._run import as_history
from sparsecode.solvers.proximal import fista

__all__ = ["robust_projection"]

TILE = 64  # rows a thread takes at once
MAX_NEWTON = 100


def robust_projection(
    X: Any,
    components: Any,
    alpha: float,
    *,
    tol: float = 1e-8,
    max_iter: int = 10_000,
    n_threads: int | None = None,
) -> tuple[np.ndarray, CodeResult]:
    r"""Coordinates of new rows in a subspace, each with its own sparse corruption set aside.

    .. math:: \min_{z, s} \tfrac12 \|x - z V - s\|_2^2 + \alpha \|s\|_1

    for each row `x`. With orthonormal rows in `V` the best `z` is :math:`(x - s) V^T`, and what
    remains is the lasso ``0.5 * ||P (x - s)||^2 + alpha * ||s||_1`` with
    :math:`P = I - V^T V`. In `z` alone it is Huber regression, solved by Newton's method row by
    row; the certificate is that of the lasso, and rows that it does not accept go on with `fista`.

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
        Iterations of `fista` at the most.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker.

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
    started, P = time.perf_counter(), projection_onto_complement(V)
    y = P @ X.T
    problem = PenalizedLeastSquares.from_arguments(P, y, alpha, None, None, needs_norm=False)
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    sparse = _sparse_parts(X, V, problem.given_alpha, check_n_threads(n_threads))
    late = problem.certificates(problem.initial(sparse.T)) > tol
    ending: dict[str, Any] = {"n_iter": 1, "status": Status.CONVERGED}
    if late.any():
        rest = fista(P, y[:, late], alpha, tol=tol, max_iter=max_iter, init=sparse[late].T)
        sparse[late] = rest.x.T
        ending = {"n_iter": rest.n_iter, "status": rest.status}
    x = Iterate(problem.initial(sparse.T))
    row = problem.measure(x)
    ending |= {"objective": row["objective"], "certificate": row["certificate"]}
    row |= {"n_iter": ending["n_iter"], "seconds": time.perf_counter() - started}
    result = problem.result(x, ending | {"history": as_history([row])})
    return (X - result.x.T) @ V.T, result


def _sparse_parts(X: np.ndarray, V: np.ndarray, alpha: float, n_threads: int) -> np.ndarray:
    """Of each row on its own, by Newton's method on the coordinates, in double precision."""
    from sparsecode.solvers._kernels.subspace import huber_rows

    unit = unit_of(magnitude(X), np.float64)
    W = np.ascontiguousarray(V.T, dtype=np.float64)
    weight = float(np.clip(alpha / unit, 1e-150, 1e150))

    def sparse(start: int) -> np.ndarray:
        rows = to_units(X[start : start + TILE].astype(np.float64), unit)
        z = np.zeros((len(rows), W.shape[1]))
        huber_rows(rows, W, weight, MAX_NEWTON, z)
        return soft_threshold(rows - z @ W.T, weight)

    parts = map_tiles(sparse, range(0, X.shape[0], TILE), n_threads)
    return from_units(np.vstack(parts), unit, name="sparse").astype(X.dtype, copy=False)
