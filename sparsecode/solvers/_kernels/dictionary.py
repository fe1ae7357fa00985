"""Sweeps over the atoms of a dictionary."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled_sums


@compiled_sums
def code_moments(
    X,  # (n_samples, m)
    starts,  # (n_samples + 1,), the code of sample i is entries starts[i]:starts[i + 1] of ...
    atoms,  # (nnz,), ... the atoms it uses, and
    values,  # (nnz,), their coefficients
    A,  # (K, K), codes^T codes is added to it
    B,  # (K, m), codes^T X is added to it
):
    """What a dictionary update has to know of signals and codes, in one pass over both."""
    for i in range(X.shape[0]):
        x = X[i]
        for p in range(starts[i], starts[i + 1]):
            g, row, total = np.float64(values[p]), A[atoms[p]], B[atoms[p]]
            for q in range(starts[i], starts[i + 1]):
                row[atoms[q]] += g * values[q]
            for f in range(x.shape[0]):
                total[f] += g * x[f]


@compiled_sums
def row_energies(
    X,  # (n_samples, m)
    D,  # (K, m)
    starts, atoms, values,  # the codes, as above
    energies,  # (n_samples,), ||x_i - c_i D||^2; out
    r,  # (m,), scratch
):  # fmt: skip
    """What the codes leave of each signal."""
    for i in range(X.shape[0]):
        r[:] = X[i]
        for p in range(starts[i], starts[i + 1]):
            g, d = values[p], D[atoms[p]]
            for f in range(r.shape[0]):
                r[f] -= g * d[f]
        energy = 0.0
        for f in range(r.shape[0]):
            energy += np.float64(r[f]) * np.float64(r[f])
        energies[i] = energy


@compiled_sums
def sweep_atoms(
    X,  # (n_samples, m)
    D,  # (K, m), unit atoms; updated in place
    order,  # (K,), the atoms in the order of their updates
    ends,  # (K + 1,), the users of atom k are entries ends[k]:ends[k + 1] of ...
    users,  # (nnz,), ... the samples that use the atom, and
    places,  # (nnz,), where their coefficients stand in `values`
    starts, atoms, values,  # the codes by samples, as above; the values are updated in place
    A, B,  # the moments, as above; `A` is updated in place
    alpha,  # the weight of the l1 norm of the coefficients, 0 without
    positive,  # no entry of an atom or a code is negative
    n_passes,  # power iterations at the most: 1 is approximate K-SVD
    tol,  # stop when an atom moves by less
    total, a, shares, products,  # (m,), (K,) of double precision; (K,), (block,): scratch
):  # fmt: skip
    """Each atom and its coefficients become the best rank-one fit of what the others leave.

    One pass is ``d = E^T g / ||E^T g||, g = soft(E d, alpha)`` with ``E = X - (C D without k)``
    over the atom's users, each the best choice while the other is held: it never raises the error
    (Aharon, Elad and Bruckstein, 2006; Rubinstein, Zibulevsky and Elad, 2008). Neither `E` nor a
    residual is formed. ``E^T g`` is ``B_k - sum_{j != k} A_kj d_j``, and an entry of ``E d`` the
    signal's product with `d`, less its code's with ``D d``: a pass reads a user's signal once,
    where a residual kept in place would be read twice and written once.
    """
    m, size = D.shape[1], products.shape[0]
    zero = X.dtype.type(0)
    for position in range(order.shape[0]):
        k = order[position]
        begin, end = ends[k], ends[k + 1]
        if begin == end:
            continue
        d = D[k]
        total[:], a[:] = B[k], A[k]
        for n_pass in range(n_passes):
            for j in range(D.shape[0]):
                weight = a[j]
                if j != k and weight != 0:
                    for f in range(m):
                        total[f] -= weight * D[j, f]
            moved = zero
            if _normalized(total, positive):
                for f in range(m):
                    new = X.dtype.type(total[f])
                    moved += (new - d[f]) * (new - d[f])
                    d[f] = new
            last = n_pass == n_passes - 1 or moved <= tol * tol
            for j in range(D.shape[0]):
                shares[j] = _product(D[j], d)
            shares[k] = zero
            total[:], a[:] = 0.0, 0.0
            for first in range(begin, end, size):
                n = min(size, end - first)
                for e in range(n):
                    products[e] = _product(X[users[first + e]], d)
                for e in range(n):
                    i, g = users[first + e], products[e]
                    for p in range(starts[i], starts[i + 1]):
                        g -= values[p] * shares[atoms[p]]
                    g = _shrunk(g, alpha, positive)
                    values[places[first + e]] = g
                    for p in range(starts[i], starts[i + 1]):
                        a[atoms[p]] += np.float64(g) * values[p]
                    products[e] = g
                if not last:
                    for e in range(n):
                        x, weight = X[users[first + e]], np.float64(products[e])
                        for f in range(m):
                            total[f] += weight * x[f]
            if last:
                break
        A[k], A[:, k] = a, a


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
    D, order, ends, users, places, values, alpha, positive, n_passes, tol,  # as above
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
        begin, end = ends[k], ends[k + 1]
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
