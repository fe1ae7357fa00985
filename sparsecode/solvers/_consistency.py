"""Whether a fit as good as asked for exists at all."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._products import Products, inner, norm


class Inconsistent(Exception):
    """No `x` comes near enough; the least residual is the argument."""


def least_residual(A: Products, y: np.ndarray) -> tuple[float, bool]:
    """``min_x ||y - A x||_2`` by conjugate gradients, and whether it is that, not just above it."""
    eps = float(np.finfo(y.dtype).eps)
    r, s = y, A.backward(y)
    p, square = s, inner(s, s)
    start = square
    for _ in range(4 * min(A.shape) + 20):
        if square <= (10 * eps) ** 2 * start:
            return norm(r), True
        q = A.forward(p)
        step = square / inner(q, q)
        r = r - step * q
        s = A.backward(r)
        square, old = inner(s, s), square
        p = s + (square / old) * p
    return norm(r), square <= 1e3 * eps * start


def check_consistent(A: Products, y: np.ndarray, sigma: float, tol: float) -> None:
    """An error where no `x` comes as near to `y` as `sigma`, up to the tolerance."""
    least, certain = least_residual(A, y)
    size = norm(y)
    if certain and least > sigma + max(tol, 1e3 * float(np.finfo(y.dtype).eps)) * size:
        raise Inconsistent(least)
