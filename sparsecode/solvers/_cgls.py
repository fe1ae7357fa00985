"""Least squares by conjugate gradients: one product with the matrix and one with its adjoint."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecode.solvers._products import Products, inner, norm


class LeastSquares(NamedTuple):
    """Where the iteration ended."""

    x: np.ndarray
    residual: np.ndarray
    stationarity: float  # ||A^* r|| over ||A^* y||
    n_iter: int


def cgls(
    A: Products, y: np.ndarray, *, tol: float, max_iter: int, enough: float = 0
) -> LeastSquares:
    """The least of the minimisers of ``||y - A x||_2``, from zero.

    It ends once ``||A^* r|| <= tol * ||A^* y||``, or the residual is at most `enough`.

    Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", 1952.
    """
    x, r, s = np.zeros(A.shape[1], dtype=y.dtype), y, A.backward(y)
    p, square = s, inner(s, s)
    start, n_iter = square, 0
    while square > tol * tol * start and norm(r) > enough and n_iter < max_iter:
        q = A.forward(p)
        step = square / inner(q, q)
        x, r = x + step * p, r - step * q
        s = A.backward(r)
        square, old = inner(s, s), square
        p = s + (square / old) * p
        n_iter += 1
    return LeastSquares(x, r, np.sqrt(square / start) if start > 0 else 0.0, n_iter)
