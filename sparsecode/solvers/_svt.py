"""Leading singular values of matrices that change little from one to the next."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from sparsecode._mapped import row_tiles
from sparsecode.solvers._krylov import Leading, rough_svd, subspace_step
from sparsecode.solvers._orthogonal import svd, triangular_factor

SMALL = 150  # up to this many rows or columns the full decomposition is taken
SPARE = 10  # directions beyond those above the threshold: they show that none was missed


def shrunk(leading: Leading, threshold: float) -> Leading:
    """The singular values, each less by the threshold."""
    s = leading.singular_values
    return leading._replace(singular_values=s - s.dtype.type(threshold))


class WarmSVD:
    """Singular values above a threshold, from where the last matrix had them.

    Small matrices take the full decomposition; tall ones, and wide ones, that of their smaller Gram
    matrix, or triangular factor where that has not got the digits; others one step of simultaneous
    iteration in a subspace that is a little larger than what is above the threshold. That is not
    exact: whoever asks goes on to the next matrix, and certifies his own answer.

    `by_rows` is for those who read the left vectors once, a few rows at a time, before they change
    these rows of the matrix: of a tall one they are not formed.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: np.dtype,
        n_threads: int = 1,
        *,
        by_rows: bool = False,
    ) -> None:
        self.n_threads, self.by_rows = n_threads, by_rows
        rng = np.random.RandomState(0)
        small, large = min(shape), max(shape)
        self.gram = large >= 3 * max(small, SMALL) and small <= 1000
        self.full = small <= SMALL and not self.gram
        self.random = lambda width: rng.standard_normal((shape[1], width)).astype(dtype)
        self.V: np.ndarray | None = None
        self.spare = SPARE  # more where the singular values lie dense at the threshold
        self.most = small // 3
        self.n_whole = 0  # decompositions that did not fit into a subspace

    def above(self, M: np.ndarray, threshold: float) -> Leading:
        """The singular values of `M` above the threshold, and their vectors."""
        leading = None
        if self.gram:
            leading = _by_gram(M, threshold)
            if leading and not self.by_rows and isinstance(leading.U, _LeftVectors):
                leading = leading._replace(U=leading.U.whole())
        elif not self.full:
            leading = self._by_subspace(M, threshold)
        if leading is None:
            leading = self._by_whole(M, threshold)
        return leading

    def _by_whole(self, M: np.ndarray, threshold: float) -> Leading:
        U, s, Vt = svd(M)
        leading = above(U, s, Vt, threshold)
        width = leading.singular_values.size + self.spare
        self.V = Vt[:width].T if width <= self.most else None
        return leading

    def widen(self, rank: int) -> None:
        """Twice as many directions to spare; only where there are no more all of them."""
        room = self.most - rank
        self.spare = min(2 * self.spare, room) if self.spare < room else 2 * self.spare

    def _by_subspace(self, M: np.ndarray, threshold: float) -> Leading | None:
        V = self.V
        if V is None:
            V = rough_svd(M, min(self.spare, self.most), self.n_threads).Vt.T
        while True:
            U, s, Vt = subspace_step(M, V, self.n_threads)
            rank = int(np.count_nonzero(s > threshold))
            if rank + self.spare // 2 <= s.size:
                self.V = Vt[: rank + self.spare].T
                return Leading(U[:, :rank], s[:rank], Vt[:rank])
            if s.size >= self.most:
                break
            V = np.hstack([Vt.T, self.random(min(s.size, self.most - s.size))])
        self.n_whole += 1
        return None


def _by_gram(M: np.ndarray, threshold: float) -> Leading | None:
    """From a square matrix as small as the smaller side, in double precision, tile by tile.

    None where the left vectors, ``M V / s``, would not be orthogonal to half of the digits.
    """
    if M.shape[0] < M.shape[1]:
        leading = _by_gram(M.T, threshold)
        return leading and Leading(leading.Vt.T, leading.singular_values, leading.U.whole().T)
    gram = np.zeros((M.shape[1], M.shape[1]))
    for rows in row_tiles(M):
        tile = M[rows].astype(np.float64, copy=False)
        gram += tile.T @ tile
    values, vectors = scipy.linalg.eigh(gram, check_finite=False)
    s, V = np.sqrt(np.maximum(values[::-1], 0)), vectors[:, ::-1]
    if not threshold > 1e-7 * s[0]:
        _, s, Vt = svd(triangular_factor(M))
        V = Vt.T
        if not threshold > 1e-9 * s[0]:
            return None
    rank = int(np.count_nonzero(s > threshold))
    s, V = s[:rank], V[:, :rank]
    return Leading(_LeftVectors(M, V, s), s.astype(M.dtype), V.T.astype(M.dtype))


class _LeftVectors:
    """``M V / s``, a few rows at a time, as long as these rows of `M` are what they were."""

    def __init__(self, M: np.ndarray, V: np.ndarray, s: np.ndarray) -> None:
        self.M, self.V, self.s = M, V, s

    def __getitem__(self, rows: slice) -> np.ndarray:
        tile = self.M[rows].astype(np.float64, copy=False)
        return (tile @ self.V / self.s).astype(self.M.dtype, copy=False)

    def whole(self) -> np.ndarray:
        """All rows."""
        return np.vstack([self[rows] for rows in row_tiles(self.M)])


def above(U: np.ndarray, s: np.ndarray, Vt: np.ndarray, threshold: float) -> Leading:
    """The part of a decomposition above a threshold."""
    rank = int(np.count_nonzero(s > threshold))
    return Leading(U[:, :rank], s[:rank], Vt[:rank])
