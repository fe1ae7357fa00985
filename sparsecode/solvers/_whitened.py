"""Basis pursuit with dense rows: the same problem with orthonormal ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg

from sparsecode.operators import adjoint
from sparsecode.solvers._products import Point, Products

LARGEST = 2500  # rows: their Gram matrix is factorised
DEPENDENT = 1e-6  # rows that add less than this to those before them


class Whitened:
    """``A = L Q`` with orthonormal rows in `Q`, from ``A A^* = L L^*``; ``Q x = L^-1 y``."""

    def __init__(self, A: np.ndarray, weights: np.ndarray | None, products: Products) -> None:
        self._products = products
        B = A if weights is None else A / weights
        self.L = np.linalg.cholesky(B @ adjoint(B))
        Q = scipy.linalg.solve_triangular(self.L, B, lower=True, check_finite=False)
        self.rows = Products(Q, products.dtype, None)

    @classmethod
    def of(cls, A: Any, products: Products) -> Whitened | None:
        """None where rows are too many or depend on each other, or `A` is not a dense array."""
        if not isinstance(A, np.ndarray) or A.shape[0] >= min(A.shape[1], LARGEST):
            return None
        try:
            whitened = cls(A, products.weights, products)
        except np.linalg.LinAlgError:
            return None
        d = np.abs(np.diag(whitened.L))
        return whitened if d.min() > DEPENDENT * d.max() else None

    def solve(self, y: np.ndarray) -> np.ndarray:
        """``L^-1 y``."""
        return scipy.linalg.solve_triangular(self.L, y, lower=True, check_finite=False)

    def as_given(self, points: Iterator[Point]) -> Iterator[Point]:
        """The points as those of `A`; products are as dear, and are counted as its own."""
        for x, residual, dual, seen in points:
            self._products.count += self.rows.count
            self.rows.count = 0
            trans = "C" if np.iscomplexobj(self.L) else "T"
            dual = scipy.linalg.solve_triangular(
                self.L, dual, lower=True, trans=trans, check_finite=False
            )
            yield Point(x, self.L @ residual, dual, seen)
