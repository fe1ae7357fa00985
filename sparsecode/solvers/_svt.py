"""Leading singular values of matrices that change little from one to the next."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

from sparsecode.solvers._orthogonal import svd
from sparsecode.solvers.low_rank import subspace_step

SMALL = 150  # up to this many rows or columns the full decomposition is taken
SPARE = 10  # directions beyond those above the threshold: they show that none was missed


class Leading(NamedTuple):
    """The part of a singular value decomposition above a threshold."""

    U: np.ndarray
    singular_values: np.ndarray
    Vt: np.ndarray


def shrunk(leading: Leading, threshold: float) -> Leading:
    """The singular values, each less by the threshold."""
    s = leading.singular_values
    return leading._replace(singular_values=s - s.dtype.type(threshold))


class WarmSVD:
    """Singular values above a threshold, from where the last matrix had them.

    Small matrices take the full decomposition; tall ones, and wide ones, that of their smaller Gram
    matrix; others one step of simultaneous iteration in a subspace that is a little larger than
    what is above the threshold. That is not exact: whoever asks goes on to the next matrix, and
    certifies his own answer.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype) -> None:
        rng = np.random.RandomState(0)
        small, large = min(shape), max(shape)
        self.full = small <= SMALL
        self.gram = not self.full and large >= 3 * small and small <= 1000
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
        if V is None:  # nothing is known: a second step makes up for it
            V = subspace_step(M, self.random(min(2 * self.spare, self.most)))[2].T
        while True:
            U, s, Vt = subspace_step(M, V)
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
    """From the smaller Gram matrix, in double precision; None where that lacks the digits."""
    if M.shape[0] < M.shape[1]:
        leading = _by_gram(M.T, threshold)
        return leading and Leading(leading.Vt.T, leading.singular_values, leading.U.T)
    wide = M.astype(np.float64, copy=False)
    values, vectors = scipy.linalg.eigh(wide.T @ wide, check_finite=False)
    if not threshold > 1e-7 * np.sqrt(max(values[-1], 0.0)):
        return None
    kept = np.flatnonzero(values > threshold * threshold)[::-1]
    s, V = np.sqrt(values[kept]), vectors[:, kept]
    U = wide @ V
    U /= s
    return Leading(*(part.astype(M.dtype, copy=False) for part in (U, s, V.T)))


def above(U: np.ndarray, s: np.ndarray, Vt: np.ndarray, threshold: float) -> Leading:
    """The part of a decomposition above a threshold."""
    rank = int(np.count_nonzero(s > threshold))
    return Leading(U[:, :rank], s[:rank], Vt[:rank])
