"""The best weights on a given support: least squares of the layer's outputs, all rows at once."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, map_tiles, single_threaded_blas
from sparsecode._validation import (
    as_array,
    check_array,
    check_real,
    no_second_moment,
    without_mask,
)
from sparsecode.layers.factorizations._base import second_moment
from sparsecode.layers.factorizations._damped import Damped, Moment, as_damped
from sparsecode.layers.factorizations._feedback import solved
from sparsecode.solvers._orthogonal import orthonormal

# From so many inputs on, and for answers closer than this, rows of few weights are solved by
# Cholesky's method, and the preconditioner of the others knows some directions of the moment.
LEAST_SPLIT, CLOSE = 512, 1e-2
FEW = 40  # iterations: a row is short where its decomposition costs no more

COLUMNS = 64  # of a product, on one thread
POWER = 4  # times the moment is applied to find its leading directions
# Entries of a few rows, and the least number of them that products are fast for: rows are
# independent, and work arrays stay small.
TILE, ROWS = 2**20, 192

# Where each row's gradient on its support is so much smaller than at first.
TOLERANCE = {np.dtype(np.float64): 1e-8, np.dtype(np.float32): 1e-3}


def refit(W: Any, support: Any, gram: Any, *, tol: float | None = None) -> np.ndarray:
    r"""The best weights on a given support, for all rows at once.

    .. math:: \min_{V} \mathrm{tr}\bigl((W - V)\, H\, (W - V)^T\bigr)
              \quad \text{s.t.} \quad V_{ij} = 0 \text{ off the support}

    Conjugate gradients on the normal equations of every row together, preconditioned by the
    diagonal of `H` and, where it is large, its leading directions. Where that costs less they start
    from the answer of Cholesky's method. `H` may be singular.

    Parameters
    ----------
    W : array of shape (m, n)
        The weights to match; float32 and shorter ones are computed in float32.
    support : bool array of shape (m, n)
        Where the answer may differ from zero: any pattern.
    gram : array of shape (n, n) or None
        Second moment of the inputs; None means the identity.
    tol : float, optional
        Stop when every row's gradient on its support is at most `tol` times the initial one; by
        default 1e-8, in float32 1e-3.

    Returns
    -------
    ndarray of shape (m, n)
        The weights, in float32 or float64.

    References
    ----------
    Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", 1952.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers import refit
    >>> H = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> refit(np.array([[1.0, 1.0]]), np.array([[True, False]]), H)
    array([[1.5, 0. ]])
    """
    W = check_array(W, "W")
    support = as_array(without_mask(support, "support"), "support")
    if support.dtype != bool or support.shape != W.shape:
        raise ValueError(
            f"support has to be a boolean array of shape {W.shape}, got {support.dtype} of shape "
            f"{support.shape}; V != 0 makes one of weights"
        )
    if tol is not None:
        check_real(tol, "tol", low=0)
    if gram is not None:
        gram = second_moment(gram, W.shape[1], W.dtype)
    unit = unit_of(magnitude(W), W.dtype)
    V = refitted(to_units(W, unit), support, gram, tol=tol)
    return from_units(V, unit, name="the refitted weights")


def refitted(
    W: np.ndarray,
    support: np.ndarray,
    H: Moment | None,
    *,
    start: np.ndarray | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
) -> np.ndarray:
    """`refit` in units, from the entries of `W` or in place from `start`, zero off the support."""
    if H is None:
        return np.where(support, W, 0)
    H = as_damped(H)
    V = np.where(support, W, 0) if start is None else start
    n = W.shape[1]
    tol = TOLERANCE[W.dtype] if tol is None else tol
    max_iter = 4 * n if max_iter is None else max_iter  # n would do without rounding
    close, counts = tol < CLOSE and n >= LEAST_SPLIT, np.count_nonzero(support, axis=1)
    # Rows of about as many weights, which need about as many iterations, are done together.
    order = np.argsort(-counts, kind="stable")
    short = counts[order] ** 3 <= 6 * FEW * n**2 if close else np.zeros(len(W), dtype=bool)
    long = order[~short]
    parts, diagonal = _split(H, _directions(len(long), n) if close else 0), _split(H, 0)
    tiles = [_Tile(rows, parts, directly=False) for rows in _in_tiles(long, n)]
    tiles += [_Tile(rows, diagonal, directly=True) for rows in _in_tiles(order[short], n)]

    def work(tile: _Tile) -> None:
        _conjugate_gradients(W, support, H, V, tile, tol, max_iter)

    if len(tiles) == 1:
        work(tiles[0])
    else:
        map_tiles(work, tiles, check_n_threads(None))
    return V


def _in_tiles(rows: np.ndarray, n_columns: int) -> list[np.ndarray]:
    step = max(ROWS, TILE // n_columns)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


class _Parts(NamedTuple):
    """``H ~ diag(rest) + U diag(values) U^T`` with few columns: what CG is preconditioned by."""

    rest: np.ndarray
    U: np.ndarray
    values: np.ndarray


class _Tile(NamedTuple):
    """Rows that are done together, from where they are or `directly` from Cholesky's answer."""

    rows: np.ndarray
    parts: _Parts
    directly: bool


def _directions(m: int, n: int) -> int:
    """So many that to find them, and to invert them for each row, costs what iterations cost."""
    return min(round(0.8 * n ** (2 / 3)), max(m // 4, math.isqrt(n))) if m else 0


def _split(H: Damped, count: int) -> _Parts:
    """The leading directions of a moment in units of its diagonal, and what that leaves of it."""
    n, dtype, diagonal = len(H), H.dtype, H.diagonal()
    diagonal = np.where(diagonal > 0, diagonal, 1).astype(dtype)
    if count == 0:
        return _Parts(diagonal, np.empty((n, 0), dtype), np.empty(0, dtype))
    sizes = np.sqrt(diagonal)[:, None]
    Q = np.random.RandomState(0).standard_normal((n, count)).astype(dtype)
    tiles = [slice(start, start + COLUMNS) for start in range(0, count, COLUMNS)]

    def image(Q: np.ndarray) -> np.ndarray:
        parts = map_tiles(lambda tile: H @ (Q[:, tile] / sizes), tiles, check_n_threads(None))
        return np.concatenate(parts, axis=1) / sizes

    with single_threaded_blas():  # the same bits whatever the number of threads
        for _ in range(POWER):
            Q = orthonormal(image(Q))[0]
        values, turn = np.linalg.eigh(Q.T @ image(Q))
    U, values = np.ascontiguousarray(Q @ turn), np.maximum(values, np.finfo(dtype).eps)
    rest = np.maximum(1 - np.square(U) @ values, 0.01)
    return _Parts(rest * diagonal, U * sizes, values)


class _Inverse:
    """The inverse of the parts of `H` on the support of each of a few rows (Woodbury)."""

    def __init__(self, parts: _Parts, support: np.ndarray) -> None:
        self.rest, self.U, values = parts
        self.support, size = support, len(values)
        self.core = np.empty((len(support), size, size), self.U.dtype)
        scaled = self.U / np.sqrt(self.rest)[:, None]
        for core, kept in zip(self.core, support if size else (), strict=False):
            some = scaled[kept]
            core[:] = np.linalg.inv(np.diag(1 / values) + some.T @ some)

    def keep(self, rows: np.ndarray) -> None:
        self.support = self.support[rows]
        for place, row in enumerate(np.flatnonzero(rows)):  # in place: it is what is largest here
            self.core[place] = self.core[row]
        self.core = self.core[: len(self.support)]

    def __call__(self, gradient: np.ndarray) -> np.ndarray:
        Z = gradient / self.rest
        if self.U.shape[1]:
            inner = np.matmul(self.core, (Z @ self.U)[:, :, None])[:, :, 0]
            coarse = inner @ self.U.T
            coarse /= self.rest
            coarse *= self.support
            Z -= coarse
        return Z


def _conjugate_gradients(
    W: np.ndarray,
    support: np.ndarray,
    H: Damped,
    V: np.ndarray,
    tile: _Tile,
    tol: float,
    max_iter: int,
) -> None:
    """In place; rows that are done leave the products."""
    rows, inverse = tile.rows, _Inverse(tile.parts, support[tile.rows])
    gradient = _gradient(W, V, H, rows, inverse.support)
    direction = inverse(gradient)
    decrease: np.ndarray = _row_dots(gradient, direction)
    target: np.ndarray = tol * tol * decrease
    if tile.directly:
        there = decrease > 0
        _solve_rows(V, H, rows[there], inverse.support[there], gradient[there])
        gradient = _gradient(W, V, H, rows, inverse.support)
        direction = inverse(gradient)
        decrease = _row_dots(gradient, direction)
    for _ in range(max_iter):
        working = decrease > target
        if not working.any():
            return
        if np.count_nonzero(working) <= 0.95 * len(rows):
            inverse.keep(working)
            rows, gradient, direction, decrease, target = (
                each[working] for each in (rows, gradient, direction, decrease, target)
            )
            working = working[working]
        moved = direction @ H
        moved *= inverse.support
        curvature = _row_dots(direction, moved)
        if np.any(working & (curvature < 0)):
            _refuse_negative(curvature, direction, H)
        working &= curvature > 0
        step = np.divide(decrease, curvature, out=np.zeros_like(decrease), where=working)
        V[rows] += step[:, None] * direction
        moved *= step[:, None]
        gradient -= moved
        Z = inverse(gradient)
        previous, decrease = decrease, np.where(working, _row_dots(gradient, Z), 0)
        ratio = np.divide(decrease, previous, out=np.zeros_like(decrease), where=working)
        direction *= ratio[:, None]
        direction += Z


def _solve_rows(
    V: np.ndarray, H: Damped, rows: np.ndarray, support: np.ndarray, gradient: np.ndarray
) -> None:
    """To the answer of each row by Cholesky's method, but for rounding; in place."""
    for row, on, slope in zip(rows, support, gradient, strict=True):
        kept = np.flatnonzero(on)
        V[row, kept] += solved(H.among(kept), slope[kept])


def _gradient(
    W: np.ndarray, V: np.ndarray, H: Damped, rows: np.ndarray, support: np.ndarray
) -> np.ndarray:
    gradient = (W[rows] - V[rows]) @ H
    gradient *= support
    return gradient


def _refuse_negative(curvature: np.ndarray, direction: np.ndarray, H: Damped) -> None:
    """Below zero by more than rounding: then there is no best answer."""
    rounding = np.sqrt(np.finfo(H.dtype).eps) * len(H) * H.diagonal().max()
    if np.any(curvature < -rounding * _row_dots(direction, direction)):
        raise no_second_moment()


def _row_dots(U: np.ndarray, V: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", U, V)
