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
    score[0] = 0
    zero = score[0]  # of the dtype: a literal would make the loops double
    inverse = np.zeros_like(norms)  # of the squared norm of each atom
    cutoff = np.empty_like(norms)  # an atom of which less is left is in the span of those selected
    for k in range(n_atoms):
        cutoff[k] = 100 * eps * gram[k, k]
        if gram[k, k] > 0:
            inverse[k] = 1 / gram[k, k]
    for i in range(n_signals):
        a = correlation[i]
        energy = 0.0
        for f in range(X.shape[1]):
            energy += np.float64(X[i, f]) * np.float64(X[i, f])
        start = energy
        floor = 100.0 * eps * eps * start  # correlations below are rounding errors
        for k in range(n_atoms):
            norms[k] = gram[k, k]
        count = 0
        while count < L and energy > energy_target[i]:
            if least_squares:
                for k in range(n_atoms):
                    score[k] = a[k] * a[k] / norms[k] if norms[k] > cutoff[k] else zero
            else:
                for k in range(n_atoms):
                    score[k] = a[k] * a[k] * inverse[k] if norms[k] > cutoff[k] else zero
            best = score_bits[0]
            for k in range(n_atoms):
                best = max(best, score_bits[k])
            chosen = 0
            while score_bits[chosen] != best:
                chosen += 1
            if not score[chosen] > floor:
                break
            u[count] = 1 / np.sqrt(norms[chosen])
            scale = u[count]
            row = P[count]
            origin = gram[chosen]
            for k in range(n_atoms):
                row[k] = origin[k] * scale
            j = 0
            while j + 4 <= count:  # four at a time: the row is read and written a fourth as often
                w0 = P[j, chosen] * scale
                w1 = P[j + 1, chosen] * scale
                w2 = P[j + 2, chosen] * scale
                w3 = P[j + 3, chosen] * scale
                p0 = P[j]
                p1 = P[j + 1]
                p2 = P[j + 2]
                p3 = P[j + 3]
                for k in range(n_atoms):
                    row[k] = row[k] - w0 * p0[k] - w1 * p1[k] - w2 * p2[k] - w3 * p3[k]
                j += 4
            while j < count:
                w0 = P[j, chosen] * scale
                p0 = P[j]
                for k in range(n_atoms):
                    row[k] -= w0 * p0[k]
                j += 1
            step = a[chosen] * scale
            u[count] = step
            for k in range(n_atoms):
                a[k] -= step * row[k]
            for k in range(n_atoms):
                norms[k] -= row[k] * row[k]
            norms[chosen] = 0.0
            a[chosen] = 0.0
            indices[i, count] = chosen
            count += 1
            energy -= np.float64(step) * np.float64(step)
            if energy < 1e4 * eps * start or energy <= energy_target[i] or count == L:
                # Coefficients: R c = u with R[j, l] = P[j, selected l], upper triangular.
                for j in range(count - 1, -1, -1):
                    c = u[j]
                    for l in range(j + 1, count):
                        c -= P[j, indices[i, l]] * values[i, l]
                    values[i, j] = c / P[j, indices[i, j]]
                # The running energy has lost its digits by now: measure the residual itself.
                energy = 0.0
                for f in range(X.shape[1]):
                    r = np.float64(X[i, f])
                    for j in range(count):
                        r -= np.float64(values[i, j]) * np.float64(D[indices[i, j], f])
                    energy += r * r
        if 0 < count < L:
            for j in range(count - 1, -1, -1):
                c = u[j]
                for l in range(j + 1, count):
                    c -= P[j, indices[i, l]] * values[i, l]
                values[i, j] = c / P[j, indices[i, j]]
        counts[i] = count
        energies[i] = energy
