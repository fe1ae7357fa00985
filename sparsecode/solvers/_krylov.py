"""Subspaces that hold the leading singular vectors of a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from sparsecode._mapped import row_tiles
from sparsecode._threads import map_tiles, single_threaded_blas
from sparsecode._validation import RandomSource
from sparsecode.solvers._orthogonal import orthonormal, svd, thin_svd, triangular_factor

TILE = 2**20  # entries of a matrix that a thread takes at a time


class Leading(NamedTuple):
    """The first part of a singular value decomposition."""

    U: Any  # an array, or what has its rows: `U[rows]`
    singular_values: np.ndarray
    Vt: np.ndarray


class Space(NamedTuple):
    """Orthonormal `U` (m, k) and `V` (n, k + width), and what `X` is in them.

    ``X V[:, :k] = U core[:, :k]`` and ``X^T U = V core^T``.
    """

    U: np.ndarray
    V: np.ndarray
    core: np.ndarray  # float64

    def leading(self, rank: int, n_threads: int = 1) -> Leading:
        """``U s Vt``, the best approximation of `X` of that rank with columns in `U`."""
        P, s, Qt = svd(self.core.astype(self.U.dtype))
        U, V = (
            product(basis, vectors, n_threads)
            for basis, vectors in ((self.U, P[:, :rank]), (self.V, Qt[:rank].T))
        )
        return Leading(U, s[:rank], V.T)


def krylov(X: np.ndarray, width: int, rng: RandomSource, n_threads: int = 1) -> Iterator[Space]:
    """The bidiagonalisation of Golub and Kahan by blocks, for as long as there is room.

    Each block is orthogonalised against all before it, and costs two products with `X`; what of it
    is in their span already is replaced by random directions.
    """
    U, V = _Columns(X.shape[0], X.dtype), _Columns(X.shape[1], X.dtype)
    V.append(orthonormal(rng.standard_normal((X.shape[1], width)).astype(X.dtype))[0])
    core, k = np.zeros((0, width)), 0
    while k + 2 * width <= min(X.shape):
        with single_threaded_blas():  # but for tiles: its threads lose more here than they win
            image = product(X, V.all[:, k:], n_threads)
            block, above, diagonal = _extension(U.all, image, rng, n_threads)
            image = product(X.T, block, n_threads)
            following, _, beyond = _extension(V.all, image, rng, n_threads)
        old, k = core, k + width
        core = np.zeros((k, k + width))
        core[:-width, : k - width] = old[:, : k - width]
        core[:-width, k - width : k], core[-width:, k - width : k] = above, diagonal
        core[-width:, k:] = beyond.T
        U.append(block)
        V.append(following)
        yield Space(U.all, V.all, core)


def _extension(
    Q: np.ndarray, Y: np.ndarray, rng: RandomSource, n_threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``Y = Q C + N R``, ``[Q, N]`` orthonormal; `N` is random where `R` has rows of zeros."""
    negligible = 10 * np.finfo(Y.dtype).eps * np.linalg.norm(Y)
    N, C, R = Y, np.zeros((Q.shape[1], Y.shape[1])), np.eye(Y.shape[1])
    replaced, settled = np.zeros(Y.shape[1], dtype=bool), False
    while not settled:
        part = product(Q.T, N, n_threads)
        N, step = orthonormal(N - product(Q, part, n_threads))
        C, R = C + part @ R, step @ R
        spent = (np.abs(np.diag(R)) <= negligible) & ~replaced
        replaced |= spent
        N[:, spent] = rng.standard_normal((len(N), np.count_nonzero(spent)))
        R[spent] = 0
        change = max(np.abs(part).max(initial=0), np.abs(step - np.eye(len(step))).max())
        settled = bool(change < 0.1) and not spent.any()
    return N, C, R


class _Columns:
    """Columns of which there will be more; what was handed out stays as it is."""

    def __init__(self, height: int, dtype: np.dtype) -> None:
        self._held, self._count = np.empty((height, 0), dtype, order="F"), 0

    @property
    def all(self) -> np.ndarray:
        return self._held[:, : self._count]

    def append(self, block: np.ndarray) -> None:
        old, count = self.all, self._count + block.shape[1]
        if count > self._held.shape[1]:
            self._held = np.empty((len(old), 2 * count), old.dtype, order="F")
            self._held[:, : self._count] = old
        self._held[:, self._count : count] = block
        self._count = count


def product(A: np.ndarray, B: np.ndarray, n_threads: int) -> np.ndarray:
    """``A @ B``, by tiles of the rows of `A`: the same bits on any number of threads."""
    C = np.empty((len(A), *B.shape[1:]), dtype=A.dtype)

    def multiply(rows: slice) -> None:
        np.matmul(A[rows], B, out=C[rows])

    map_tiles(multiply, row_tiles(A, TILE, 64), n_threads)
    return C


def rough_svd(X: np.ndarray, rank: int, n_threads: int = 1) -> Leading:
    """About the leading singular vectors and values, for those who only want a start."""
    small = min(X.shape) <= 3 * (rank + 10)
    if small and X.shape[0] >= 3 * max(X.shape[1], 150):  # its `U` may not fit into memory
        V = svd(triangular_factor(X))[2][:rank].T
        return subspace_step(X, V.astype(X.dtype), n_threads)
    if small:
        U, s, Vt = svd(X)
        return Leading(U[:, :rank], s[:rank], Vt[:rank])
    spaces = krylov(X, rank // 2 + 5, np.random.RandomState(0), n_threads)
    return next(islice(spaces, 2, None)).leading(rank, n_threads)


def subspace_step(X: np.ndarray, V: np.ndarray, n_threads: int = 1) -> Leading:
    """A step of simultaneous iteration, with the Rayleigh-Ritz values and vectors."""
    Q = orthonormal(product(X, V, n_threads))[0]
    V, s, Wt = thin_svd(product(X.T, Q, n_threads))
    return Leading(Q @ Wt.T, s, V.T)
