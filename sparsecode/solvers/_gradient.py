"""The gradient of ``0.5 * ||y - A x||^2``, by two products with `A` or one with its Gram matrix."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from sparsecode.operators import adjoint

Gradient = Callable[[np.ndarray], np.ndarray]

REFRESH = 50


def least_squares_gradient(A: Any, y: np.ndarray) -> Gradient:
    """``x -> A^* (A x - y)``; where `A` is dense and tall, by its Gram matrix once that has paid.

    The Gram matrix is formed when it would have saved what it costs, so that, however few or many
    the iterations are, no more than about twice the least is spent on them. It moves the gradient
    from an anchor, where it was computed with `A`, to a point nearby. A new anchor every so often
    keeps the rounding errors those of `A`; the Gram matrix alone squares its condition number.
    """
    AH = adjoint(A)

    def direct(x: np.ndarray) -> np.ndarray:
        return AH @ (A @ x - y)

    m, n = A.shape
    if not isinstance(A, np.ndarray) or n > m:
        return direct
    # In flops; up to about eight signals cost as much as one, for they wait for the memory.
    paid_after = m * n * n / (max(y.size // m, 8) * (4 * m * n - 2 * n * n))
    calls, gram, anchor, at_anchor = count(1), None, y, y

    def gradient(x: np.ndarray) -> np.ndarray:
        nonlocal gram, anchor, at_anchor
        n_calls = next(calls)
        if gram is not None and n_calls % REFRESH:
            return at_anchor + gram @ (x - anchor)
        if gram is None and n_calls > paid_after:
            gram = AH @ A
        anchor, at_anchor = x, direct(x)
        return at_anchor

    return gradient
