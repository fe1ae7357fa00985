"""How much better than the best approximation in a subspace the best of all can be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sparsecode._mapped import row_tiles
from sparsecode._threads import map_tiles
from sparsecode._validation import RandomSource
from sparsecode.solvers._krylov import TILE, Space

STEPS = (8, 25, 50, 100, 200)  # of Lanczos, after which it says what it knows


def captured(
    X: np.ndarray, space: Space, energy: float, n_threads: int
) -> tuple[np.ndarray, float]:
    """The squared singular values of ``U^T X``, and ``||X - U U^T X||_F^2``."""
    squares = np.linalg.eigvalsh(space.core @ space.core.T)[::-1]
    outside = energy - float(squares.sum())
    if lost_in_rounding(outside, energy, X.dtype):
        squares = np.square(np.linalg.svd(space.core, compute_uv=False))
        outside = squared_distance(X, space.U, (space.V @ space.core.T).T, n_threads)
    return squares, outside


def lost_in_rounding(difference: float, energy: float, dtype: np.dtype) -> bool:
    """Whether few digits are left of it, a difference of numbers of the size of `energy`."""
    return difference < 1e5 * float(np.finfo(dtype).eps) * energy


def squared_distance(X: np.ndarray, left: np.ndarray, right: np.ndarray, n_threads: int) -> float:
    """``||X - left @ right||_F^2``, without an array of its size."""
    right = right.astype(X.dtype, copy=False)

    def part(rows: slice) -> float:
        return squared_norm(X[rows] - left[rows] @ right)

    return sum(map_tiles(part, row_tiles(X, TILE, 64), n_threads))


def squared_norm(X: np.ndarray) -> float:
    """``||X||_F^2``, summed in double precision."""
    tiles = row_tiles(X, TILE, 64)
    return sum(float(np.sum(np.square(X[rows], dtype=np.float64))) for rows in tiles)


def excess(space: Space, squares: np.ndarray, squared: float, rank: int, missed: float) -> float:
    r"""The error over the optimal one, less 1: at most this, where `squared` is that of `space`.

    In an orthonormal basis that begins with the first `k` columns of `V` and goes on with its last
    block, ``X^T X = [[D, R^T], [R, C]]`` with known `D` and `R`, and ``C <= missed I``. No matrix
    of that form has leading eigenvalues of a larger sum than the one with ``C = missed I``.
    """
    if missed == np.inf:
        return np.inf
    k, width = len(space.core), len(space.core.T) - len(space.core)
    known = space.core.T @ space.core
    known[k:, k:] = missed * np.eye(width)
    values = np.maximum(np.linalg.eigvalsh(known)[::-1][:rank], missed)
    rounding = 10 * float(np.finfo(np.float64).eps * squares.sum())
    gain = float(values.sum() - squares[:rank].sum()) + rounding
    if squared < 1e8 * rounding:
        gain = min(gain, _gain_over_gap(known, k, rank, missed))
    best = np.sqrt(max(squared - gain, 0.0))
    return float(np.sqrt(squared) / best - 1) if best > 0 else np.inf


def _gain_over_gap(known: np.ndarray, k: int, rank: int, missed: float) -> float:
    """The same sum less that of `D`, where it is lost in rounding: the square of `R` over a gap."""
    values, vectors = np.linalg.eigh(known[:k, :k])
    coupling = known[k:, :k] @ vectors[:, ::-1]
    following = max(values[::-1][rank] if rank < k else 0.0, missed)
    gap = values[::-1][rank - 1] - following - np.linalg.norm(coupling[:, rank:], 2)
    return float(np.linalg.norm(coupling[:, :rank]) ** 2 / gap) if gap > 0 else np.inf


def missed(
    X: np.ndarray, V: np.ndarray, rng: RandomSource, n_threads: int
) -> Iterator[tuple[float, float]]:
    """Bounds of ``||X - X V V^T||_2^2`` that close, the upper ones but for bad luck.

    The largest eigenvalue that Lanczos has found after `k` steps from a random start is below
    ``1 - e`` times the true one with a probability less than ``1.648 sqrt(n) exp(-sqrt(e) (2 k -
    1))`` (Kuczynski and Wozniakowski, 1992), which is ``7e-8 sqrt(n)`` here.
    """
    basis = np.zeros((X.shape[1], STEPS[-1]), dtype=X.dtype, order="F")
    images = np.zeros_like(basis)
    v = np.asarray(rng.standard_normal(X.shape[1]), dtype=X.dtype)
    for k in range(STEPS[-1]):
        size = np.linalg.norm(v)
        for _ in range(2):
            v = v - basis[:, :k] @ (basis[:, :k].T @ v)
            v = v - V @ (V.T @ v)
        exhausted = not np.linalg.norm(v) > 100 * np.finfo(X.dtype).eps * size
        if not exhausted:
            basis[:, k] = v / np.linalg.norm(v)
            images[:, k] = v = _normal_product(X, basis[:, k], n_threads)
        if exhausted or k + 1 in STEPS:
            found = basis[:, : k + 1].T.astype(np.float64) @ images[:, : k + 1]
            low = max(float(np.linalg.eigvalsh((found + found.T) / 2)[-1]), 0.0)
            share = 0.0 if exhausted else (17 / (2 * k + 1)) ** 2
            yield low, low / (1 - share) if share < 1 else np.inf
        if exhausted:
            return


def _normal_product(X: np.ndarray, v: np.ndarray, n_threads: int) -> np.ndarray:
    """``X^T X v``, with one look at `X`."""
    parts = map_tiles(lambda rows: X[rows].T @ (X[rows] @ v), row_tiles(X, TILE, 64), n_threads)
    return np.sum(parts, axis=0)
