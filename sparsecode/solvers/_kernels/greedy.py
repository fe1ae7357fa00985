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
            for k in range(n_atoms):
                # An atom of which nothing is left (zero, selected, or a duplicate) scores zero.
                left = norms[k]
                total = gram[k, k]
                alive = left > 1e3 * eps * total
                scale = left if least_squares else total
                score[k] = a[k] * a[k] / scale if alive else 0.0
            best = score_bits[0]
            for k in range(n_atoms):
                best = max(best, score_bits[k])
            chosen = 0
            while score_bits[chosen] != best:
                chosen += 1
            if not score[chosen] > floor:
                break
            pivot = np.sqrt(norms[chosen])
            row = P[count]
            for k in range(n_atoms):
                row[k] = gram[chosen, k]
            for j in range(count):
                weight = P[j, chosen]
                for k in range(n_atoms):
                    row[k] -= weight * P[j, k]
            step = a[chosen] / pivot
            u[count] = step
            for k in range(n_atoms):
                row[k] /= pivot
                a[k] -= step * row[k]
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
