"""Products with a matrix, counted, and the points that the constrained solvers pass through."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsecode.operators import adjoint


class Products:
    """``A diag(1 / weights)`` and its adjoint by their products with one vector, counted."""

    def __init__(self, A: Any, dtype: np.dtype, weights: np.ndarray | None) -> None:
        self.shape = A.shape
        self.dtype, self.weights, self.count = dtype, weights, 0
        self.matrix, self._adjoint = A, adjoint(A)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """``A x``."""
        return self.forward_plain(self.plain(x))

    def backward(self, r: np.ndarray) -> np.ndarray:
        """``A^* r``."""
        return self.plain(self.backward_plain(r))

    def forward_plain(self, x: np.ndarray) -> np.ndarray:
        """The product without the weights."""
        self.count += 1
        return (self.matrix @ x).astype(self.dtype, copy=False)

    def backward_plain(self, r: np.ndarray) -> np.ndarray:
        """That of its adjoint."""
        self.count += 1
        return (self._adjoint @ r).astype(self.dtype, copy=False)

    def weighted(self, x: np.ndarray) -> np.ndarray:
        """``weights * x``: the coefficients whose l1 norm counts."""
        return x if self.weights is None else x * self.weights

    def plain(self, x: np.ndarray) -> np.ndarray:
        """``x / weights``: the coefficients of the matrix without the weights."""
        return x if self.weights is None else x / self.weights


class Point(NamedTuple):
    """An iterate, and the dual point that gives the best lower bound so far."""

    x: np.ndarray
    residual: np.ndarray  # y - A x
    dual: np.ndarray
    seen: np.ndarray  # coefficients before they were made sparse: what may become a support


def inner(u: np.ndarray, v: np.ndarray) -> float:
    """The real inner product; a BLAS may start threads for it, which is slow on a busy machine."""
    letters = "ij"[: u.ndim]
    return float(np.einsum(f"{letters},{letters}->", u.conj(), v).real)


def norm(u: np.ndarray) -> float:
    """The l2 norm."""
    return float(np.sqrt(inner(u, u)))


def largest(u: np.ndarray) -> float:
    """The largest absolute value."""
    if np.iscomplexobj(u):
        return float(np.max(np.abs(u)))
    return float(max(u.max(), -u.min()))
