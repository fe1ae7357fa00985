"""Orthogonal matching pursuit and orthogonal least squares over a tile of signals."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled


@compiled
def pursuit_tile(
    correlation,  # (n_signals, K), a row is D x; overwritten
    gram,  # (K, K), D D^T
    X,  # (n_signals, m)
    D,  # (K, m), rows are atoms
    energy_target,  # (n_signals,), float64: stop at a squared residual of this
    least_squares,  # score by the drop of the residual (OLS) rather than by correlation (OMP)
    indices,  # (n_signals, L), out
    values,  # (n_signals, L), out
    counts,  # (n_signals,), out
    energies,  # (n_signals,), float64, out: squared residuals
    P,  # (L, K), scratch: selected atoms, orthogonalised, against all atoms
    norms,  # (K,), scratch: squared norm of what the selected atoms leave of each atom
    score,  # (K,), scratch
    score_bits,  # (K,), score seen as integers of the same size
    u,  # (L,), scratch
):
    """Both pursuits in orthogonalised form: no triangular solve inside the loop.

    With `p_j` the j-th selected atom made orthogonal to the earlier ones, `P[j] = D p_j`, so that
    the correlations with the residual follow by `a -= u_j P[j]` (Rubinstein et al., 2008, in the
    form of a modified Gram-Schmidt). A score is never negative, and such floats order as their bit
    patterns do: the maximum is taken over integers, which compiles to vector instructions.
    """
    n_signals, n_atoms = correlation.shape
    L = indices.shape[1]
    eps = np.finfo(P.dtype).eps
    zero = gram[0, 0] * 0  # of the dtype: a literal would make the loops double
    inverse = np.zeros_like(norms)  # of the squared norm of each atom
    cutoff = np.empty_like(norms)  # an atom of which less is left is in the span of those selected
    for k in range(n_atoms):
        cutoff[k] = 100 * eps * gram[k, k]
        if gram[k, k] > 0:
            inverse[k] = 1 / gram[k, k]
    for i in range(n_signals):
        a, chosen_atoms, code = correlation[i], indices[i], values[i]
        start = _residual_energy(X[i], D, chosen_atoms, code, 0)
        energy = start
        floor = 100.0 * eps * eps * start  # correlations below are rounding errors
        for k in range(n_atoms):
            score[k] = a[k] * a[k] * inverse[k]
        if least_squares:
            for k in range(n_atoms):
                norms[k] = gram[k, k]
        count = 0
        while count < L and energy > energy_target[i]:
            if least_squares and count > 0:
                for k in range(n_atoms):
                    score[k] = a[k] * a[k] / norms[k] if norms[k] > cutoff[k] else zero
            chosen = _largest(score_bits)
            if not score[chosen] > floor:
                break
            left = gram[chosen, chosen]
            for j in range(count):
                left -= P[j, chosen] * P[j, chosen]
            if not left > cutoff[chosen]:  # what is left of its correlation is rounding
                a[chosen] = score[chosen] = norms[chosen] = zero
                continue
            scale = 1 / np.sqrt(left)
            row = P[count]
            _orthogonalised(P, gram[chosen], count, chosen, scale, row)
            step = a[chosen] * scale
            u[count] = step
            if least_squares:
                for k in range(n_atoms):
                    a[k] -= step * row[k]
                for k in range(n_atoms):
                    norms[k] -= row[k] * row[k]
                norms[chosen] = zero
            else:
                for k in range(n_atoms):
                    a[k] -= step * row[k]
                    score[k] = a[k] * a[k] * inverse[k]
            a[chosen] = score[chosen] = zero
            chosen_atoms[count] = chosen
            count += 1
            energy -= np.float64(step) * np.float64(step)
            if energy < 1e4 * eps * start or energy <= energy_target[i]:
                # The running energy has lost its digits by now: measure the residual itself.
                _coefficients(P, u, chosen_atoms, count, code)
                energy = _residual_energy(X[i], D, chosen_atoms, code, count)
        _coefficients(P, u, chosen_atoms, count, code)
        counts[i] = count
        if energy_target[i] > 0:  # someone will ask whether it was reached
            energy = _residual_energy(X[i], D, chosen_atoms, code, count)
        energies[i] = energy


@compiled
def _largest(bits):
    """The first place of the largest entry."""
    best = bits[0]
    for k in range(bits.shape[0]):
        best = max(best, bits[k])
    place = 0
    while bits[place] != best:
        place += 1
    return place


@compiled
def _orthogonalised(P, origin, count, chosen, scale, row):
    """``(origin - sum_j P[j, chosen] P[j]) * scale``, four rows at a time."""
    K = row.shape[0]
    for k in range(K):
        row[k] = origin[k] * scale
    j = 0
    while j + 4 <= count:  # the row is read and written a fourth as often
        w0, w1 = P[j, chosen] * scale, P[j + 1, chosen] * scale
        w2, w3 = P[j + 2, chosen] * scale, P[j + 3, chosen] * scale
        p0, p1, p2, p3 = P[j], P[j + 1], P[j + 2], P[j + 3]
        for k in range(K):
            row[k] = row[k] - w0 * p0[k] - w1 * p1[k] - w2 * p2[k] - w3 * p3[k]
        j += 4
    if j + 2 <= count:
        w0, w1 = P[j, chosen] * scale, P[j + 1, chosen] * scale
        p0, p1 = P[j], P[j + 1]
        for k in range(K):
            row[k] = row[k] - w0 * p0[k] - w1 * p1[k]
        j += 2
    if j < count:
        w0, p0 = P[j, chosen] * scale, P[j]
        for k in range(K):
            row[k] -= w0 * p0[k]


@compiled
def _coefficients(P, u, chosen, count, code):
    """``R c = u`` with ``R[j, l] = P[j, l-th selected]``, upper triangular."""
    for j in range(count - 1, -1, -1):
        c = u[j]
        for l in range(j + 1, count):
            c -= P[j, chosen[l]] * code[l]
        code[j] = c / P[j, chosen[j]]


@compiled
def _residual_energy(x, D, chosen, code, count):
    """``||x - c D||^2`` in double."""
    energy = 0.0
    for f in range(x.shape[0]):
        r = np.float64(x[f])
        for j in range(count):
            r -= np.float64(code[j]) * np.float64(D[chosen[j], f])
        energy += r * r
    return energy
