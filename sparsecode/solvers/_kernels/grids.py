"""What groups of numbers lose on grids of equally spaced ones: one pass over the numbers."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled_sums

CHUNK = 512  # terms of a sum in the precision of the numbers


@compiled_sums
def round_groups(
    X,  # (n_groups, size)
    weights,  # (n_groups, size), or (1, 1) where not `weighted`
    weighted,
    steps,  # (n_groups,)
    inverses,  # (n_groups,), of the steps; 0 for a step of 0
    origins,  # (n_groups,)
    top,  # the largest code
    error,  # (n_groups,), float64, out: the sum of ``h (x - s c)^2``
    product,  # (n_groups,), float64, out: of ``h c x``
    square,  # (n_groups,), float64, out: of ``h c^2``
):
    """With ``c + origin`` the code, of 0 to `top`, that is nearest to ``x / s + origin``."""
    n_groups, size = X.shape
    zero, one, top = X.dtype.type(0), X.dtype.type(1), X.dtype.type(top)
    for i in range(n_groups):
        x, h = X[i], weights[min(i, weights.shape[0] - 1)]
        s, r, o = steps[i], inverses[i], origins[i]
        error[i] = product[i] = square[i] = 0.0
        for first in range(0, size, CHUNK):
            lost, cross, own = zero, zero, zero
            for j in range(first, min(first + CHUNK, size)):
                code = min(max(np.rint(x[j] * r + o), zero), top) - o
                weight = h[j] if weighted else one
                miss = x[j] - s * code
                lost += weight * miss * miss
                cross += weight * code * x[j]
                own += weight * code * code
            error[i] += lost
            product[i] += cross
            square[i] += own


@compiled_sums
def round_columns(
    misses,  # (m, width), out: given - rounded; on entry the weights that are best by then
    given,  # (m, width)
    coupling,  # (width, width): what a miss of column j asks of column k, at [k, j]
    kept,  # (m, width), uint8: where an entry is not zero
    steps,  # (m, width)
    inverses,  # (m, width)
    origins,  # (m, width)
    top,  # the largest code
    codes,  # (m, width), uint8, out
):
    """Columns from the last to the first, each miss made good by those still to come."""
    m, width = given.shape
    zero, top = given.dtype.type(0), given.dtype.type(top)
    for i in range(m):
        miss = misses[i]
        for k in range(width - 1, -1, -1):
            asked = coupling[k]
            v = zero
            for j in range(k + 1, width):
                v += miss[j] * asked[j]
            v += miss[k]
            rounded = zero
            if kept[i, k]:
                o = origins[i, k]
                code = min(max(np.rint(v * inverses[i, k] + o), zero), top)
                codes[i, k] = np.uint8(code)
                rounded = steps[i, k] * (code - o)
            miss[k] = given[i, k] - rounded
