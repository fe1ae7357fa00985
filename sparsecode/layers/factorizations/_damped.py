"""The moment that layers are fitted in: with a ridge on its diagonal, and no copy of it made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecode._validation import check_real
from sparsecode.layers.factorizations._base import second_moment
from sparsecode.solvers.weighted import outer_square

DAMPING = 0.01  # of the mean of the diagonal
BLOCK = 2**18  # entries of the rows that a part of a moment is taken from at a time


@dataclass(frozen=True, eq=False)
class Damped:
    """``gram / mean + ridge * I``: products with it, parts of it, and itself as an array."""

    gram: np.ndarray
    mean: float = 1.0
    ridge: float = 0.0

    __array_ufunc__ = None  # so that an array on its left asks it for the product

    @classmethod
    def of(cls, gram: Any, n_inputs: int, damping: float) -> Damped | None:
        """With a unit mean diagonal before `damping` is added to it; None stays None."""
        check_real(damping, "damping", low=0)
        if gram is None:
            return None
        gram = second_moment(gram, n_inputs, None)
        mean = float(np.trace(gram, dtype=np.float64)) / n_inputs
        if mean <= 0:  # inputs that are all zero say nothing about the weights
            return cls(np.zeros_like(gram), ridge=1.0)
        return cls(gram, mean, damping)

    def __len__(self) -> int:
        return len(self.gram)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        dense = np.empty(self.gram.shape, self.dtype if dtype is None else dtype)
        np.divide(self.gram, self.mean, out=dense, casting="same_kind")
        dense[np.diag_indices(len(self))] += self.ridge
        return dense

    @property
    def dtype(self) -> np.dtype:
        """That of the gram, and of products."""
        return self.gram.dtype

    def diagonal(self) -> np.ndarray:
        """The diagonal, as of an array."""
        return self.gram.diagonal() / self.dtype.type(self.mean) + self.dtype.type(self.ridge)

    def __matmul__(self, B: np.ndarray) -> np.ndarray:
        return self._finished(self.gram @ B, B)

    def __rmatmul__(self, A: np.ndarray) -> np.ndarray:
        return self._finished(A @ self.gram, A)

    def _finished(self, product: np.ndarray, factor: np.ndarray) -> np.ndarray:
        if self.mean != 1:
            product /= self.mean
        if self.ridge != 0:
            product += self.ridge * factor
        return product

    def among(self, kept: np.ndarray) -> np.ndarray:
        """The rows and columns of these numbers, in C order."""
        part = np.empty((len(kept), len(kept)), self.dtype)
        step = max(1, BLOCK // len(self))
        for start in range(0, len(kept), step):
            rows = slice(start, start + step)
            np.take(self.gram[kept[rows]], kept, axis=1, out=part[rows], mode="clip")
        if self.mean != 1:
            part /= self.mean
        part[np.diag_indices(len(kept))] += self.ridge
        return part

    def square(self, W: np.ndarray) -> np.ndarray:
        """``W H W^T`` in double precision."""
        square = outer_square(W, self.gram, ridge=self.ridge * self.mean)
        square /= self.mean
        return square


Moment = np.ndarray | Damped


def as_damped(moment: Moment) -> Damped:
    """The same, for what asks for its parts and products."""
    return moment if isinstance(moment, Damped) else Damped(moment)


def damped(gram: Any, n_inputs: int, damping: float, dtype: Any = np.float64) -> np.ndarray | None:
    """``H / scale + damping * mean(diag) * I`` with a unit mean diagonal; None stays None."""
    moment = Damped.of(gram, n_inputs, damping)
    return None if moment is None else np.asarray(moment, dtype=dtype)
