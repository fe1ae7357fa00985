"""What the solvers that split a matrix into low rank plus sparse have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecode._mapped import row_tiles
from sparsecode._validation import check_real, check_weights
from sparsecode.solvers._krylov import Leading

GAP = 0.01  # a feasible split whose relative duality gap is larger is not taken for optimal


def tiles(X: np.ndarray) -> list[slice]:
    """Rows that fit into a cache: what is written is still near when it is read."""
    return row_tiles(X, 2**16, 64)


def size_of(X: np.ndarray) -> tuple[float, int]:
    """The Frobenius norm of the entries that are there, and how many they are."""
    energy, n_known = 0.0, 0
    for rows in tiles(X):
        known = X[rows][~np.isnan(X[rows])]
        energy, n_known = (
            energy + float(np.sum(np.square(known, dtype=np.float64))),
            n_known + known.size,
        )
    return float(np.sqrt(energy)), n_known


def nothing(X: np.ndarray) -> Leading:
    """The singular values of zero."""
    (m, n), dtype = X.shape, X.dtype
    return Leading(np.zeros((m, 0), dtype), np.zeros(0, dtype), np.zeros((0, n), dtype))


class Bounds:
    """``alpha * weights``: what the l1 norm weighs in each entry, for a tile of rows at a time."""

    def __init__(self, alpha: float | None, weights: Any, X: np.ndarray) -> None:
        m, n = X.shape
        if alpha is None:
            alpha = 1 / np.sqrt(max(m, n))
        self.alpha = check_real(alpha, "alpha", low=0, open_low=True)
        self.weights = check_weights(weights, X.shape)
        self.shape, self.dtype = X.shape, X.dtype
        # One row for all, where there is one: it stays in the cache.
        self.row = self._of(self.weights) if len(self.weights) == 1 else None

    def _of(self, weights: np.ndarray) -> np.ndarray:
        info = np.finfo(self.dtype)
        with np.errstate(over="ignore", under="ignore"):
            bounds = np.clip(self.alpha * weights, info.tiny, info.max * info.eps)
        shape = (len(weights), self.shape[1])
        return np.ascontiguousarray(np.broadcast_to(bounds, shape), dtype=self.dtype)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """An array that broadcasts against these rows: of one row, or of as many."""
        return self._of(self.weights[rows]) if self.row is None else self.row

    def polar(self, Y: np.ndarray) -> float:
        """The largest absolute entry of `Y` over its bound; NaN left out."""
        parts = [np.fmax.reduce(np.abs(Y[rows]) / self[rows], axis=None) for rows in tiles(Y)]
        return float(np.fmax.reduce(parts))
