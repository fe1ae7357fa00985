"""Block coordinate descent over the atoms of a dictionary, from sufficient statistics."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled_sums


@compiled_sums
def descend_block(
    gradient,  # (b, m), B_k - A_k D for the atoms of the block; scratch afterwards
    A,  # (b, b), of the block
    D,  # (b, m), the block's atoms, in and out
    floor,  # an atom whose A_kk is at most this has no users
    positive,  # no entry of an atom is negative
):
    """Each atom in turn to its minimum in the unit ball, the others held (Mairal et al., 2010)."""
    b, m = D.shape
    zero = D.dtype.type(0)
    for k in range(b):
        if not A[k, k] > floor:
            continue
        step = 1 / A[k, k]
        norm = 0.0
        for f in range(m):
            u = D[k, f] + gradient[k, f] * step
            if positive and u < zero:
                u = zero
            gradient[k, f] = u  # its own row is needed no more
            norm += np.float64(u) * np.float64(u)
        scale = D.dtype.type(1 / max(1.0, np.sqrt(norm)))
        for f in range(m):
            u = gradient[k, f] * scale
            gradient[k, f] = u - D[k, f]
            D[k, f] = u
        for l in range(k + 1, b):
            weight = A[l, k]
            if weight != zero:
                for f in range(m):
                    gradient[l, f] -= weight * gradient[k, f]
