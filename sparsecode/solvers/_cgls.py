"""Least squares by conjugate gradients: one product with the matrix and one with its adjoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sparsecode.solvers._products import inner

Map = Callable[[np.ndarray], np.ndarray]


class LeastSquares(NamedTuple):
    """An iterate; at the minimum ``A^* residual`` is zero."""

    x: np.ndarray
    residual: np.ndarray
    stationarity: float  # ||A^* residual|| over ||A^* y||


def cgls(forward: Map, backward: Map, y: np.ndarray) -> Iterator[LeastSquares]:
    """Iterates for the least of the minimisers of ``||y - A x||_2``, from zero on.

    Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", 1952.
    """
    r, s = y, backward(y)
    x, p = np.zeros_like(s), s
    square = start = inner(s, s)
    while True:
        yield LeastSquares(x, r, np.sqrt(square / start) if start > 0 else 0.0)
        q = forward(p)
        bend = inner(q, q)
        if bend == 0:  # nothing is left to gain
            square = 0.0
            continue
        step = square / bend
        x, r = x + step * p, r - step * q
        s = backward(r)
        square, last = inner(s, s), square
        p = s + (square / last) * p
