"""Orthogonal matching pursuit with coefficients that are not negative, over a tile of signals."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled


@compiled
def positive_pursuit_tile(
    correlation,  # (n_signals, K), a row is D x
    gram,  # (K, K), D D^T
    X,  # (n_signals, m)
    D,  # (K, m), rows are atoms
    energy_target,  # (n_signals,), float64: stop at a squared residual of this
    limit,  # atoms of a code at the most
    indices,  # (n_signals * limit,), out: of one code after another, each ascending
    values,  # (n_signals * limit,), out
    counts,  # (n_signals,), out
    energies,  # (n_signals,), float64, out: squared residuals
):
    """The atom of the largest positive correlation joins; then nonnegative least squares on all.

    That is Lawson and Hanson's (1974): where a coefficient of the least squares fit is not
    positive, the way to it ends where the first one vanishes, and that atom leaves. Returns the
    number of nonzeros.
    """
    n_signals, n_atoms = correlation.shape
    eps = np.finfo(gram.dtype).eps
    residual = np.empty(X.shape[1], np.float64)
    support, code = np.empty(limit, np.int64), np.zeros(limit)
    fit, factor = np.empty(limit), np.empty((limit, limit))
    excluded = np.empty(n_atoms, np.bool_)
    total = 0
    for i in range(n_signals):
        count = 0
        excluded[:] = False
        start = energy = _residual(X[i], D, support, code, 0, residual)
        floor = 100.0 * eps * eps * start
        for _ in range(2 * limit + n_atoms):  # atoms may leave: a bound, which nothing reaches
            if count == limit or not energy > energy_target[i]:
                break
            best, score = -1, floor
            for k in range(n_atoms):
                if excluded[k] or not gram[k, k] > 0:
                    continue
                a = np.float64(correlation[i, k])
                for j in range(count):
                    a -= code[j] * gram[support[j], k]
                if a > 0 and a * a > score * gram[k, k]:
                    best, score = k, a * a / gram[k, k]
            if best < 0:
                break
            excluded[best] = True
            support[count], code[count] = best, 0.0
            count += 1
            if not _solve(correlation[i], gram, support, count, fit, factor):
                count -= 1  # in the span of those taken: it never helps
                continue
            count = _nonnegative(correlation[i], gram, support, count, code, fit, factor, excluded)
            excluded[best] = True  # once, whatever became of it: the pursuit ends
            energy = _residual(X[i], D, support, code, count, residual)
        for j in range(count):  # ascending: an insertion sort of few
            place, coefficient, at = support[j], code[j], j
            while at > 0 and support[at - 1] > place:
                support[at], code[at] = support[at - 1], code[at - 1]
                at -= 1
            support[at], code[at] = place, coefficient
        for j in range(count):
            indices[total + j], values[total + j] = support[j], code[j]
        counts[i], energies[i] = count, energy
        total += count
    return total


@compiled
def _residual(x, D, support, code, count, residual):
    """Its squared norm."""
    energy = 0.0
    for f in range(x.shape[0]):
        r = np.float64(x[f])
        for j in range(count):
            r -= code[j] * D[support[j], f]
        residual[f] = r
        energy += r * r
    return energy


@compiled
def _solve(b, gram, support, count, fit, factor):
    """The least squares fit by Cholesky; False where the atoms depend on each other."""
    for r in range(count):
        for c in range(r + 1):
            value = np.float64(gram[support[r], support[c]])
            for p in range(c):
                value -= factor[r, p] * factor[c, p]
            if r == c:
                if not value > 1e-10 * gram[support[r], support[r]]:
                    return False
                factor[r, r] = np.sqrt(value)
            else:
                factor[r, c] = value / factor[c, c]
    for r in range(count):
        value = np.float64(b[support[r]])
        for p in range(r):
            value -= factor[r, p] * fit[p]
        fit[r] = value / factor[r, r]
    for r in range(count - 1, -1, -1):
        value = fit[r]
        for p in range(r + 1, count):
            value -= factor[p, r] * fit[p]
        fit[r] = value / factor[r, r]
    return True


@compiled
def _nonnegative(b, gram, support, count, code, fit, factor, excluded):
    """From `code` towards `fit`, until no coefficient of the latter is negative; atoms left."""
    while count > 0:
        step, worst = 1.0, -1
        for j in range(count):
            if fit[j] <= 0:
                way = code[j] / (code[j] - fit[j]) if code[j] > fit[j] else 0.0
                if worst < 0 or way < step:
                    step, worst = way, j
        if worst < 0:
            code[:count] = fit[:count]
            return count
        for j in range(count):
            code[j] += step * (fit[j] - code[j])
        excluded[support[worst]] = False
        for j in range(worst, count - 1):
            support[j], code[j] = support[j + 1], code[j + 1]
        count -= 1
        _solve(b, gram, support, count, fit, factor)
    return count
