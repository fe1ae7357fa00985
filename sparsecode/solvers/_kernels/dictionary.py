"""Sweeps over the atoms of a dictionary, with the residual kept in place."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled_sums


@compiled_sums
def sweep_atoms(
    R,  # (n_samples, m), X - codes @ D; updated in place
    D,  # (K, m), unit atoms; updated in place
    order,  # (K,), the atoms in the order of their updates
    starts,  # (K + 1,), the users of atom k are entries starts[k]:starts[k + 1] of ...
    users,  # (nnz,), ... the samples that use the atom, and
    places,  # (nnz,), where their coefficients stand in `values`
    values,  # (nnz,), the codes' nonzeros; updated in place
    alpha,  # the weight of the l1 norm of the coefficients, 0 without
    positive,  # no entry of an atom or a code is negative
    n_passes,  # power iterations at the most: 1 is approximate K-SVD
    tol,  # stop when an atom moves by less
    new,  # (2, m), scratch
):
    """Each atom and its coefficients become the best rank-one fit of what the others leave.

    One pass is ``d = E^T g / ||E^T g||, g = soft(E d, alpha)`` with ``E = R + g_0 d_0^T`` over the
    atom's users, each the best choice while the other is held: it never raises the error (Aharon,
    Elad and Bruckstein, 2006; Rubinstein, Zibulevsky and Elad, 2008). `E` is never formed: a pass
    reads each user's residual once for `d`, and once for `g`, where the last one writes it.
    """
    m = D.shape[1]
    zero = R.dtype.type(0)
    for position in range(order.shape[0]):
        k = order[position]
        begin, end = starts[k], starts[k + 1]
        if begin == end:
            continue
        d, old, d_new = D[k], new[0], new[1]
        old[:] = d
        _weighted_sum(R, users, places, values, begin, end, old, d_new)
        for n_pass in range(n_passes):
            if not _normalized(d_new, positive):
                break
            moved, turned = zero, zero
            for f in range(m):
                moved += (d_new[f] - d[f]) * (d_new[f] - d[f])
                turned += old[f] * d_new[f]
                d[f] = d_new[f]
            if moved <= tol * tol or n_pass == n_passes - 1:
                break
            d_new[:] = zero
            for e in range(begin, end):
                r, g = R[users[e]], values[places[e]]
                g_new = _shrunk(_product(r, d) + g * turned, alpha, positive)
                for f in range(m):
                    d_new[f] += g_new * (r[f] + g * old[f])
        turned = _product(old, d)
        for e in range(begin, end):
            r, g = R[users[e]], values[places[e]]
            g_new = _shrunk(_product(r, d) + g * turned, alpha, positive)
            values[places[e]] = g_new
            for f in range(m):
                r[f] += g * old[f] - g_new * d[f]


@compiled_sums
def _weighted_sum(R, users, places, values, begin, end, d, total):
    """``E^T g = R^T g + (g^T g) d``."""
    energy = R.dtype.type(0)
    total[:] = energy
    for e in range(begin, end):
        r, g = R[users[e]], values[places[e]]
        energy += g * g
        for f in range(d.shape[0]):
            total[f] += g * r[f]
    for f in range(d.shape[0]):
        total[f] += energy * d[f]


@compiled_sums
def _product(a, b):
    total = a.dtype.type(0)
    for f in range(a.shape[0]):
        total += a[f] * b[f]
    return total


@compiled_sums
def _normalized(d, positive):
    """To unit norm, in place; False if nothing is left."""
    norm = 0.0
    for f in range(d.shape[0]):
        if positive and d[f] < 0:
            d[f] = 0
        norm += np.float64(d[f]) * np.float64(d[f])
    if not norm > 0:
        return False
    inverse = d.dtype.type(1 / np.sqrt(norm))
    for f in range(d.shape[0]):
        d[f] *= inverse
    return True


@compiled_sums
def _shrunk(g, alpha, positive):
    """The best coefficient of a unit atom."""
    if positive:
        return max(g - alpha, g * 0)
    return max(g - alpha, g * 0) + min(g + alpha, g * 0)


@compiled_sums
def sweep_observed_atoms(
    R,  # (n_samples, m), X - codes @ D, zero where X is missing; updated in place
    observed,  # (n_samples, m), bool
    D, order, starts, users, places, values, alpha, positive, n_passes, tol,  # as above
    new,  # (3, m), scratch
):  # fmt: skip
    """The same where entries are missing: alternating least squares on those observed.

    The norm of an atom counts on a signal only where the signal is observed, so that each
    coefficient and each entry of the atom has a least squares problem of its own.
    """
    m = D.shape[1]
    zero = R.dtype.type(0)
    for position in range(order.shape[0]):
        k = order[position]
        begin, end = starts[k], starts[k + 1]
        if begin == end:
            continue
        d, total, weight, before = D[k], new[0], new[1], new[2]
        for e in range(begin, end):
            r, seen, g = R[users[e]], observed[users[e]], values[places[e]]
            for f in range(m):
                r[f] += g * d[f] * seen[f]
        for _ in range(n_passes):
            before[:] = d
            total[:] = zero
            weight[:] = zero
            for e in range(begin, end):
                r, seen, g = R[users[e]], observed[users[e]], values[places[e]]
                for f in range(m):
                    total[f] += g * r[f]
                    weight[f] += g * g * seen[f]
            for f in range(m):  # an entry that no user has observed stays
                d[f] = total[f] / weight[f] if weight[f] > zero else d[f]
            if not _normalized(d, positive):
                d[:] = before
                break
            for e in range(begin, end):
                r, seen = R[users[e]], observed[users[e]]
                pairing, energy = zero, zero
                for f in range(m):
                    pairing += r[f] * d[f]
                    energy += d[f] * d[f] * seen[f]
                g = _shrunk(pairing, alpha, positive)
                values[places[e]] = g / energy if energy > zero else zero
            moved = zero
            for f in range(m):
                moved += (d[f] - before[f]) * (d[f] - before[f])
            if moved <= tol * tol:
                break
        for e in range(begin, end):
            r, seen, g = R[users[e]], observed[users[e]], values[places[e]]
            for f in range(m):
                r[f] -= g * d[f] * seen[f]


@compiled_sums
def descend_block(
    gradient,  # (b, m), B - A D of these atoms; in and out
    A,  # (b, b), the codes' second moments among them
    D,  # (b, m), unit atoms; updated in place
    positive,  # no entry of an atom is negative
    floor,  # an atom with a moment of at most this stays
    new,  # (m,), scratch
):
    """Each atom in turn to its own minimum on the unit sphere, ``d + gradient / A_kk``, normed."""
    m = D.shape[1]
    for k in range(D.shape[0]):
        moment = A[k, k]
        if not moment > floor:
            continue
        for f in range(m):
            new[f] = D[k, f] + gradient[k, f] / moment
        if not _normalized(new, positive):
            continue
        for f in range(m):
            new[f], D[k, f] = new[f] - D[k, f], new[f]
        for j in range(D.shape[0]):
            weight = A[j, k]
            for f in range(m):
                gradient[j, f] -= weight * new[f]
