"""The K-SVD sweep over the atoms, with the residual kept in place."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled


@compiled
def sweep_atoms(
    R,  # (n_samples, m), X - codes @ D; updated in place
    D,  # (K, m), unit atoms; updated in place
    order,  # (K,), the atoms in the order of their updates
    starts,  # (K + 1,), the users of atom k are entries starts[k]:starts[k + 1] of ...
    users,  # (nnz,), ... the samples that use the atom, and
    places,  # (nnz,), where their coefficients stand in `values`
    values,  # (nnz,), the codes' nonzeros; updated in place
    n_passes,  # power iterations at the most: 1 is approximate K-SVD
    tol,  # stop when an atom moves by less
    new,  # (m,), scratch
):
    """Each atom and its coefficients become the best rank-one fit of what the others leave.

    One pass is ``d = E^T g / ||E^T g||, g = E d`` with ``E = R + g d^T`` over the atom's users: a
    power iteration for the leading singular pair, started at the present one, so that it never
    raises the error (Aharon, Elad and Bruckstein, 2006; Rubinstein, Zibulevsky and Elad, 2008).
    """
    m = D.shape[1]
    for position in range(order.shape[0]):
        k = order[position]
        begin = starts[k]
        end = starts[k + 1]
        if begin == end:
            continue
        d = D[k]
        for e in range(begin, end):
            g = values[places[e]]
            r = R[users[e]]
            for f in range(m):
                r[f] += g * d[f]
        for _ in range(n_passes):
            for f in range(m):
                new[f] = 0
            for e in range(begin, end):
                g = values[places[e]]
                r = R[users[e]]
                for f in range(m):
                    new[f] += g * r[f]
            norm = 0.0
            for f in range(m):
                norm += np.float64(new[f]) * np.float64(new[f])
            norm = np.sqrt(norm)
            if not norm > 0:
                break
            moved = 0.0
            for f in range(m):
                fresh = new[f] / norm
                moved += (fresh - d[f]) * (fresh - d[f])
                d[f] = fresh
            for e in range(begin, end):
                r = R[users[e]]
                g = d[0] * 0
                for f in range(m):
                    g += r[f] * d[f]
                values[places[e]] = g
            if moved <= tol * tol:
                break
        for e in range(begin, end):
            g = values[places[e]]
            r = R[users[e]]
            for f in range(m):
                r[f] -= g * d[f]
