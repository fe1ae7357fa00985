"""Low-rank parts of rows as coordinates in a basis: one for the other, each at its best."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import numpy as np

from sparsecode._threads import map_tiles
from sparsecode.operators import spectral_norm
from sparsecode.solvers._orthogonal import svd
from sparsecode.solvers._rows import fit_rows, half_squares, height_of_tiles


def ridge_of(alpha: float, basis: np.ndarray) -> float:
    """The weight of the nuclear norm, over alpha as in pursuit of a matrix with as many rows."""
    return alpha * float(np.sqrt(basis.shape[1]))


class Sums(NamedTuple):
    """What rows say of the basis: the surrogate, but for the ridge of the basis itself."""

    moment: np.ndarray
    cross: np.ndarray
    fixed: float
    residuals: float

    def plus(self, other: Sums, weight: float = 1.0) -> Sums:
        """With so many times what other rows say."""
        return Sums(
            self.moment + weight * other.moment,
            self.cross + weight * other.cross,
            self.fixed + weight * other.fixed,
            self.residuals + weight * other.residuals,
        )

    def padded(self, size: int) -> Sums:
        """With directions in which these rows have no coordinates."""
        more = (0, size - len(self.moment))
        return self._replace(
            moment=np.pad(self.moment, more), cross=np.pad(self.cross, (more, (0, 0)))
        )

    def transformed(self, T: np.ndarray, ridge: float) -> Sums:
        """In the coordinates ``T z``."""
        moment = T @ self.moment @ T.T
        change = 0.5 * ridge * float(np.trace(moment) - np.trace(self.moment))
        return self._replace(moment=moment, cross=T @ self.cross, fixed=self.fixed + change)


class Solved(NamedTuple):
    low_rank: np.ndarray
    clipped: np.ndarray
    sums: Sums
    gap: float


def in_basis(X: np.ndarray, V: np.ndarray, alpha: float, ridge: float, n_threads: int) -> Solved:
    """The rows solved in a basis, and the sums over them, tile by tile."""
    W = np.ascontiguousarray(V.T)
    gram, low_rank, clipped = W.T @ W, np.empty(X.shape), np.empty(X.shape)

    def solve(rows: slice) -> tuple[Sums, float]:
        z, L, at_zero = fit_rows(X[rows], W, gram, alpha, ridge)
        left = np.nan_to_num(X[rows] - L)
        c = np.clip(left, -alpha, alpha)
        low_rank[rows], clipped[rows] = L, c
        fixed = half_squares(L + c).sum() + ridge * half_squares(z).sum()
        fixed += alpha * np.abs(left - c).sum()
        # The dual point is `c`: what is left of the gap is the square of the gradient.
        gaps = half_squares(ridge * z - c @ W) / ridge
        gap = np.max(gaps / np.where(gaps > 0, at_zero, 1))
        energy = 2 * float(half_squares(c).sum())
        return Sums(z.T @ z, z.T @ (L + c), float(fixed), energy), float(gap)

    height = height_of_tiles(X.shape[1])
    tiles = [slice(start, start + height) for start in range(0, len(X), height)]
    sums, gaps = zip(*map_tiles(solve, tiles, n_threads), strict=True)
    return Solved(low_rank, clipped, reduce(Sums.plus, sums), max(gaps))


def grown(V: np.ndarray, clipped: np.ndarray, ridge: float, rank: int) -> np.ndarray:
    """The basis and, up to `rank`, the directions that the nuclear norm does not hold back.

    In those of the basis the clipped residuals are at its bound when all is done.
    """
    room = rank - len(V)
    if room == 0:
        return V
    Q = V / np.linalg.norm(V, axis=1, keepdims=True)  # it is balanced: its rows are orthogonal
    new = clipped - (clipped @ Q.T) @ Q
    if spectral_norm(new) <= ridge:
        return V
    _, s, Vt = svd(new)
    larger = min(room, int(np.count_nonzero(s > ridge)))
    return np.vstack([V, np.sqrt(s[:larger, None]) * Vt[:larger]])


def best_basis(sums: Sums, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """The minimiser for the coordinates of all rows, then both balanced; `T` of the coordinates.

    Of all factors of the same low-rank parts these have the least squares, whose sum is twice the
    nuclear norm. Alternating steps alone get there, but slowly.
    """
    values, vectors = np.linalg.eigh(sums.moment)
    values = np.maximum(values, 0)[:, None]
    V = (vectors.T @ sums.cross) / (values + ridge)
    _, s, Vt = svd(np.sqrt(values) * V)
    rank = int(np.count_nonzero(s > 1e-12 * s[:1]))
    root, Vt = np.sqrt(s[:rank, None]), Vt[:rank]
    return root * Vt, (Vt @ (vectors @ V).T) / root
