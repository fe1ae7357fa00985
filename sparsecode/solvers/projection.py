r"""Rows seen in a subspace, each with its own corruption set aside."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import check_array, check_int, check_missing_values, check_real
from sparsecode.operators import projection_onto_complement
from sparsecode.solvers._batches import Rows, check_signals, read
from sparsecode.solvers._result import CodeResult, Status
from sparsecode.solvers._rows import (
    RobustRows,
    basis_of_observed,
    height_of_tiles,
    robust_rows,
    with_sparse,
)
from sparsecode.solvers._run import as_history
from sparsecode.solvers.proximal import fista

__all__ = ["robust_projection"]

Keep = Callable[[Rows, RobustRows], None]


def robust_projection(
    X: Any,
    components: Any,
    alpha: float,
    *,
    tol: float = 1e-8,
    max_iter: int = 10_000,
    missing_values: float | None = None,
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
        Rows to project; a `np.memmap` is read in tiles. All is computed in float64, and given back
        in the precision of `X`.
    components : array of shape (rank, n_features)
        Orthonormal rows; `rank` may be 0.
    alpha : float
        In the units of `X`: residuals well above it count as corruption.
    tol : float, default=1e-8
        Duality gap over the objective at zero, for every row.
    max_iter : int, default=10000
        Iterations of `fista` at the most.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown: a row is projected on those it has. Where
        they do not determine its coordinates these are the ones of least norm, zero for a row with
        no entries at all.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker.

    Returns
    -------
    z : ndarray of shape (n_samples, rank)
        The coordinates.
    result : CodeResult
        `x` holds the sparse parts, one row's a column, zero where an entry is missing; with their
        certificate. A row's bits do not depend on the rows beside it.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is infinite, or NaN and `missing_values` does not announce
        it, the rows of `components` are not orthonormal, or a parameter is out of range.

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
    missing = check_missing_values(missing_values)
    X, dtype = check_signals(X)
    V = check_array(components, "components", allow_empty=True)
    if V.shape[1] != X.shape[1]:
        raise ValueError(f"X has {X.shape[1]} features but components has {V.shape[1]}")
    if not np.allclose(V @ V.T, np.eye(V.shape[0]), rtol=0, atol=1e-3):
        raise ValueError("components has to have orthonormal rows; see numpy.linalg.qr")
    alpha = check_real(alpha, "alpha", low=0, open_low=True)
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    z, sparse = np.empty((len(X), len(V)), dtype), np.empty(X.shape[::-1], dtype)

    def keep(rows: Rows, part: RobustRows) -> None:
        z[rows], sparse[:, rows] = part.z, part.sparse.T

    ending = project_rows(
        X, V, alpha, keep, tol=tol, max_iter=max_iter, missing=missing, n_threads=n_threads
    )
    return z, CodeResult(x=sparse, **ending)


def project_rows(
    X: np.ndarray,
    V: np.ndarray,
    alpha: float,
    keep: Keep,
    *,
    tol: float,
    max_iter: int,
    missing: bool,
    n_threads: int | None = None,
) -> dict[str, Any]:
    """Hand the projection of each tile of rows to `keep`, and say how it went.

    Nothing of the size of `X` is allocated here. `keep` is called from several threads, and once
    more for each row that goes on with `fista`.
    """
    started, W = time.perf_counter(), np.array(V.T, dtype=np.float64, order="C")
    gram = W.T @ W
    objectives, gaps, certificates = np.empty((3, len(X)))

    def solve(rows: Rows, method: Callable[..., RobustRows]) -> None:
        x = read(X, rows, np.dtype(np.float64), missing=missing)
        unit = unit_of(magnitude(x), np.float64)
        part = method(to_units(x, unit), W, gram, float(np.clip(alpha / unit, 1e-150, 1e150)))
        certificates[rows] = part.gaps / np.where(part.gaps > 0, part.at_zero, 1)
        parts = (from_units(a, unit, name="the projection") for a in part[:3])
        part = RobustRows(*parts, *(a * unit * unit for a in part[3:]))
        objectives[rows], gaps[rows] = part.objectives, part.gaps
        keep(rows, part)

    height = height_of_tiles(X.shape[1])
    tiles = [slice(start, start + height) for start in range(0, len(X), height)]
    map_tiles(lambda rows: solve(rows, robust_rows), tiles, check_n_threads(n_threads))
    n_iter, status = 1, Status.CONVERGED
    for late in np.flatnonzero(~(certificates <= tol)):
        endings: list[CodeResult] = []
        solve(np.array([late]), partial(_by_fista, tol, max_iter, endings.append))
        n_iter = max(n_iter, endings[0].n_iter)
        status = status if endings[0].converged else endings[0].status
    row = {
        "n_iter": n_iter,
        "objective": float(objectives.sum()),
        "certificate": float(certificates.max()),
        "dual_gap": float(gaps.sum()),
        "seconds": time.perf_counter() - started,
    }
    summary = {name: row[name] for name in ("n_iter", "objective", "certificate", "dual_gap")}
    return summary | {"status": status, "history": as_history([row])}


def _by_fista(
    tol: float,
    max_iter: int,
    tell: Callable[[CodeResult], None],
    x: np.ndarray,
    W: np.ndarray,
    gram: np.ndarray,
    alpha: float,
) -> RobustRows:
    """One row that Newton's method left too far from its minimum."""
    start = robust_rows(x, W, gram, alpha)
    seen, sparse = ~np.isnan(x[0]), start.sparse
    Q = basis_of_observed(x[0], W)[0][seen]
    P = projection_onto_complement(Q.T)
    result = fista(P, P @ x[0, seen], alpha, tol=tol, max_iter=max_iter, init=sparse[0, seen])
    tell(result)
    sparse[0, seen] = result.x
    return with_sparse(x, W, gram, alpha, sparse, start.at_zero)
