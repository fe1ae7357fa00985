"""Orthogonal matching pursuit and orthogonal least squares over a tile of signals."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled, inlined


@compiled
def pursuit_tile(
    correlation,  # (n_signals, K), a row is D x
    squares,  # (1 or n_signals, K), squared norms of the atoms, where a signal is observed
    gram,  # (K, K), D D^T; (0, K) if signals are incomplete
    X,  # (n_signals, m), NaN where missing, which `correlation` counts as zero
    D,  # (K, m), rows are atoms
    DT,  # (m, K), its transpose; (0, K) if signals are complete
    energy_target,  # (n_signals,), float64: stop at a squared residual of this
    least_squares,  # score by the drop of the residual (OLS) rather than by correlation (OMP)
    limits,  # (n_signals,), atoms of a code at the most
    indices,  # (sum of limits,), out: of one code after another, each ascending
    values,  # (sum of limits,), out
    counts,  # (n_signals,), out
    energies,  # (n_signals,), float64, out: squared residuals
    places,  # (K,), 0, 1, ..., as integers of the size of the floats
):
    """Both pursuits in orthogonalised form: no triangular solve inside the loop.

    With `p_j` the j-th selected atom made orthogonal to the earlier ones, `P[j] = D p_j` and
    `u_j = <x, p_j> / |p_j|^2`, so that the correlations with the residual follow by `a -= u_j P[j]`
    (Rubinstein et al., 2008, in the form of a modified Gram-Schmidt). A score is never negative,
    and such floats order as their bit patterns do: the maximum is taken over integers, which
    compiles to vector instructions. Incomplete signals have a Gram matrix each, of which only the
    rows of the atoms taken are computed. Returns the number of nonzeros.
    """
    n_signals, n_atoms = correlation.shape
    dtype = gram.dtype
    limit, complete = limits.max(), DT.shape[0] == 0
    eps = np.finfo(dtype).eps
    zero, one = dtype.type(0), dtype.type(1)  # a literal would make the loops double
    norms, origin = np.empty(n_atoms, dtype), np.empty(n_atoms, dtype)  # the former squared
    inverse = np.empty(n_atoms, dtype)  # of these; zero for an atom that cannot be taken
    cutoff = np.empty(n_atoms, dtype)  # an atom of which less is left is in the span of those taken
    a, score = np.empty(n_atoms, dtype), np.empty(n_atoms, dtype)
    left = np.empty(n_atoms, dtype)  # of the squared norms, beside the atoms taken
    P, R = np.empty((limit, n_atoms), dtype), np.empty((limit, limit), dtype)
    u, inverse_p = np.empty(limit, dtype), np.empty(limit, dtype)  # the latter of |p_j|^2
    atoms, code = np.empty(limit, np.int64), np.empty(limit, dtype)
    bits = score.view(places.dtype)
    total = 0
    for i in range(n_signals):
        if i < squares.shape[0]:
            for k in range(n_atoms):
                norms[k] = left[k] = squares[i, k]
                cutoff[k] = 100 * eps * norms[k]
                inverse[k] = one / norms[k] if norms[k] > 0 else zero
        start = energy = _residual_energy(X[i], D, atoms, code, 0)
        floor = 100.0 * eps * eps * start  # correlations below are rounding errors
        for k in range(n_atoms):
            a[k] = correlation[i, k]
            score[k] = a[k] * a[k] * inverse[k]
        if least_squares:
            left[:] = norms
        count = 0
        while count < limits[i] and energy > energy_target[i]:
            chosen = _largest(bits, places)
            if not score[chosen] > floor:
                break
            rest = norms[chosen]
            for j in range(count):
                R[count, j] = P[j, chosen] * inverse_p[j]
                rest -= R[count, j] * P[j, chosen]
            if not rest > cutoff[chosen]:  # what is left of its correlation is rounding
                a[chosen] = score[chosen] = left[chosen] = zero
                continue
            scale = one / rest
            step = a[chosen] * scale
            atoms[count], u[count], inverse_p[count] = chosen, step, scale
            if count + 1 < limits[i]:  # there will be another choice
                row = P[count]
                if complete:
                    _orthogonalised(P, gram[chosen], R[count], count, row)
                else:
                    _observed_products(X[i], D[chosen], DT, origin)
                    _orthogonalised(P, origin, R[count], count, row)
                if least_squares:
                    for k in range(n_atoms):
                        a[k] = a[k] - step * row[k]
                        left[k] = left[k] - row[k] * row[k] * scale
                        score[k] = a[k] * a[k] / left[k] if left[k] > cutoff[k] else zero
                else:
                    for k in range(n_atoms):
                        a[k] = a[k] - step * row[k]
                        score[k] = a[k] * a[k] * inverse[k]
            count += 1
            energy -= np.float64(step) * np.float64(step) * np.float64(rest)
            if energy < 1e4 * eps * start or energy <= energy_target[i]:
                # The running energy has lost its digits by now: measure the residual itself.
                _coefficients(R, u, count, code)
                energy = _residual_energy(X[i], D, atoms, code, count)
        _coefficients(R, u, count, code)
        if energy_target[i] > 0:  # someone will ask whether it was reached
            energy = _residual_energy(X[i], D, atoms, code, count)
        energies[i], counts[i] = energy, count
        _insert_sorted(atoms, code, count, indices[total:], values[total:])
        total += count
    return total


@inlined
def _largest(bits, places):
    """The first place of the largest entry; no branch, so that both loops are vectorised."""
    best = bits[0]
    for k in range(bits.shape[0]):
        best = max(best, bits[k])
    place = places[-1]
    for k in range(bits.shape[0]):
        place = min(place, places[k] if bits[k] == best else place)
    return place


@inlined
def _observed_products(x, atom, DT, products):
    """Of all atoms with one of them, where `x` is observed."""
    products[:] = 0
    for f in range(x.shape[0]):
        if x[f] == x[f]:
            weight, column = atom[f], DT[f]
            for k in range(products.shape[0]):
                products[k] = products[k] + weight * column[k]


@inlined
def _orthogonalised(P, origin, w, count, row):
    """``origin - w[:count] @ P[:count]``, four rows at a time."""
    n_atoms = row.shape[0]
    for k in range(n_atoms):
        row[k] = origin[k]
    j = 0
    while j + 4 <= count:  # the row is read and written a fourth as often
        w0, w1, w2, w3 = w[j], w[j + 1], w[j + 2], w[j + 3]
        p0, p1, p2, p3 = P[j], P[j + 1], P[j + 2], P[j + 3]
        for k in range(n_atoms):
            row[k] = row[k] - w0 * p0[k] - w1 * p1[k] - w2 * p2[k] - w3 * p3[k]
        j += 4
    if j + 2 <= count:
        w0, w1, p0, p1 = w[j], w[j + 1], P[j], P[j + 1]
        for k in range(n_atoms):
            row[k] = row[k] - w0 * p0[k] - w1 * p1[k]
        j += 2
    if j < count:
        w0, p0 = w[j], P[j]
        for k in range(n_atoms):
            row[k] = row[k] - w0 * p0[k]


@inlined
def _coefficients(R, u, count, code):
    """``R^T c = u`` with the rows of `R` below a diagonal of ones."""
    for j in range(count - 1, -1, -1):
        c = u[j]
        for l in range(j + 1, count):
            c -= R[l, j] * code[l]
        code[j] = c


@compiled
def _residual_energy(x, D, atoms, code, count):
    """``||x - c D||^2`` in double, where `x` is observed."""
    energy = 0.0
    for f in range(x.shape[0]):
        if x[f] != x[f]:
            continue
        r = np.float64(x[f])
        for j in range(count):
            r -= np.float64(code[j]) * np.float64(D[atoms[j], f])
        energy += r * r
    return energy


@inlined
def _insert_sorted(atoms, code, count, indices, values):
    """Atoms in ascending order, and their coefficients."""
    for j in range(count):
        place = j
        while place > 0 and indices[place - 1] > atoms[j]:
            indices[place], values[place] = indices[place - 1], values[place - 1]
            place -= 1
        indices[place], values[place] = atoms[j], code[j]
