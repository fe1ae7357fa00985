"""The lasso by coordinate descent on Gram matrices: many signals, or one on a working set."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled

SMALL = 64  # active sets up to this size have a compact Gram matrix
PAD = 8


@compiled
def lasso_tile(
    correlation,  # (n_signals, K), a row is D x
    gram,  # (K, K), D D^T
    energy,  # (n_signals,), float64: ||x||^2
    alphas,  # (n_signals,)
    positive,
    tol,
    max_sweeps,
    codes,  # (n_signals, K), where to start; out
    certificates,  # (n_signals,), float64, out: duality gap over 0.5 ||x||^2
    gradient,  # (K,), scratch: D (x - w D)
    indices,  # (3, K), int64, scratch: the active set, who is in it, its support
    local,  # (5, K), scratch: gradient, coefficients, correlations, 1 / curvature, solution
    block,  # (k * (k + PAD),), k = max(K, SMALL), scratch: the Gram matrix of the active set
    factor,  # the same, for its Cholesky factor
):
    """Sweeps over an active set that grows by the atoms that violate most, then an exact solve.

    A sweep costs the square of the size of the active set, whatever that of the dictionary. Once no
    atom is missing, the equations of the support are solved for the signs that were found.
    """
    K = gram.shape[0]
    members, inside, support = indices[0], indices[1], indices[2]
    for i in range(correlation.shape[0]):
        b, w, alpha, half = correlation[i], codes[i], alphas[i], 0.5 * energy[i]
        size, sweeps, certificate = 0, 0, 0.0
        for k in range(K):
            inside[k] = 0
            if w[k] != 0:
                inside[k] = 1
                members[size] = k
                size += 1
        filled, stride = 0, SMALL + PAD
        while True:
            _gradient(gram, b, w, members, size, support, gradient)
            largest = _largest(gradient, positive)
            if half > 0:
                certificate = _gap(b, w, gradient, members, size, energy[i], alpha, largest) / half
            if certificate <= tol or sweeps >= max_sweeps:
                break
            # Atoms well below the largest are left for later: most of them are never needed.
            bar = max(alpha, largest * gradient.dtype.type(0.7))
            old = size
            for k in range(K):
                g = gradient[k] if positive else abs(gradient[k])
                if g > bar and inside[k] == 0 and gram[k, k] > 0:
                    inside[k] = 1
                    members[size] = k
                    size += 1
            if size > stride - PAD:
                filled, stride = 0, K + PAD
            _fill(gram, b, w, gradient, members, filled, size, block, stride, local)
            filled = size
            if size > old:  # others may be missing: there is no use in precision
                n_sweeps = min(3, max_sweeps - sweeps)
                _sweep(block, stride, size, alpha, positive, n_sweeps, local)
                sweeps += n_sweeps
            else:
                for _ in range(20):
                    n_sweeps = min(8, max_sweeps - sweeps)
                    _sweep(block, stride, size, alpha, positive, n_sweeps, local)
                    sweeps += n_sweeps
                    solved = _solve(block, stride, size, alpha, support, factor, local)
                    if solved or sweeps == max_sweeps:
                        break
            for l in range(size):
                w[members[l]] = local[1, l]
        certificates[i] = certificate


@compiled
def _gradient(gram, b, w, members, size, support, gradient):
    """``b - w gram``, four atoms at a time."""
    K = gram.shape[0]
    n = 0
    for l in range(size):
        if w[members[l]] != 0:
            support[n] = members[l]
            n += 1
    for k in range(K):
        gradient[k] = b[k]
    l = 0
    while l + 4 <= n:
        k0, k1, k2, k3 = support[l], support[l + 1], support[l + 2], support[l + 3]
        w0, w1, w2, w3 = w[k0], w[k1], w[k2], w[k3]
        p0, p1, p2, p3 = gram[k0], gram[k1], gram[k2], gram[k3]
        for k in range(K):
            gradient[k] = gradient[k] - w0 * p0[k] - w1 * p1[k] - w2 * p2[k] - w3 * p3[k]
        l += 4
    while l < n:
        w0, p0 = w[support[l]], gram[support[l]]
        for k in range(K):
            gradient[k] -= w0 * p0[k]
        l += 1


@compiled
def _largest(gradient, positive):
    """The polar of the penalty; four chains, for one alone waits for itself."""
    K = gradient.shape[0]
    m0 = gradient.dtype.type(0)
    m1, m2, m3 = m0, m0, m0
    for k in range(0, K - 3, 4):
        g0, g1, g2, g3 = gradient[k], gradient[k + 1], gradient[k + 2], gradient[k + 3]
        if not positive:
            g0, g1, g2, g3 = abs(g0), abs(g1), abs(g2), abs(g3)
        m0, m1 = max(m0, g0), max(m1, g1)
        m2, m3 = max(m2, g2), max(m3, g3)
    for k in range(K - K % 4, K):
        m0 = max(m0, gradient[k] if positive else abs(gradient[k]))
    return max(max(m0, m1), max(m2, m3))


@compiled
def _gap(b, w, gradient, members, size, energy, alpha, largest):
    """The duality gap, without a residual: ``||r||^2 = ||x||^2 - <w, D x> - <w, D r>``."""
    wb, wg, l1 = 0.0, 0.0, 0.0
    for l in range(size):
        k = members[l]
        wb += np.float64(w[k]) * np.float64(b[k])
        wg += np.float64(w[k]) * np.float64(gradient[k])
        l1 += abs(np.float64(w[k]))
    s = np.float64(alpha) / max(np.float64(largest), np.float64(alpha))
    return 0.5 * (1 - s) ** 2 * max(energy - wb - wg, 0.0) + max(alpha * l1 - s * wg, 0.0)


@compiled
def _fill(gram, b, w, gradient, members, filled, size, block, stride, local):
    """What the sweeps work on: the Gram matrix grows, the rest is copied anew."""
    for l in range(filled, size):
        row = gram[members[l]]
        for j in range(l + 1):
            block[l * stride + j] = row[members[j]]
            block[j * stride + l] = row[members[j]]
        local[3, l] = 1 / row[members[l]]
    for l in range(size):
        k = members[l]
        local[0, l], local[1, l], local[2, l] = gradient[k], w[k], b[k]


@compiled
def _sweep(block, stride, size, alpha, positive, n_sweeps, local):
    """Cyclic descent over the active set."""
    gradient, w, inverse = local[0], local[1], local[3]
    for _ in range(n_sweeps):
        for l in range(size):
            row = block[l * stride : l * stride + size]
            old = w[l]
            target = gradient[l] + row[l] * old
            if target > alpha:
                new = (target - alpha) * inverse[l]
            elif target < -alpha and not positive:
                new = (target + alpha) * inverse[l]
            else:
                new = alpha * 0
            if new != old:
                w[l] = new
                change = new - old
                for j in range(size):
                    gradient[j] -= change * row[j]


@compiled
def _solve(block, stride, size, alpha, support, factor, local):
    """The minimiser for the present signs, by Cholesky; False, and nothing done, if one is wrong.

    Also where the columns of the support depend on each other: only sweeps can thin it out.
    """
    w, b, x = local[1], local[2], local[4]
    n = 0
    for l in range(size):
        if w[l] != 0:
            support[n] = l
            x[n] = b[l] - alpha if w[l] > 0 else b[l] + alpha
            n += 1
    for i in range(n):
        for j in range(i, n):
            factor[i * stride + j] = block[support[i] * stride + support[j]]
    floor = 100 * np.finfo(block.dtype).eps
    for i in range(n):  # U^T U, and the forward substitution on the way
        row = factor[i * stride : i * stride + n]
        if not row[i] > floor * block[support[i] * (stride + 1)]:
            return False
        scale = 1 / np.sqrt(row[i])
        for j in range(i, n):
            row[j] *= scale
        x[i] *= scale
        for k in range(i + 1, n):
            f = row[k]
            below = factor[k * stride : k * stride + n]
            for j in range(k, n):
                below[j] -= f * row[j]
            x[k] -= f * x[i]
    for i in range(n - 1, -1, -1):
        row = factor[i * stride : i * stride + n]
        for j in range(i + 1, n):
            x[i] -= row[j] * x[j]
        x[i] /= row[i]
        if not x[i] * w[support[i]] > 0:
            return False
    for i in range(n):
        w[support[i]] = x[i]
    return True


@compiled
def sweep_gram(
    gram,  # (K, K), A_W^T A_W (plus a ridge)
    threshold,  # (K,), the l1 weight of each coordinate
    positive,
    n_sweeps,
    x,  # (K,), in and out
    gradient,  # (K,), A_W^T r - ridge x, in and out
):
    """Cyclic descent on the lasso of a working set; every other sweep over the nonzeros only."""
    K = x.shape[0]
    for sweep in range(n_sweeps):
        moved = False
        for k in range(K):
            curvature = gram[k, k]
            old = x[k]
            if old == 0 and (sweep % 2 == 1 or not curvature > 0):
                continue
            target = gradient[k] + curvature * old
            if not curvature > 0:  # a column of zeros with a coefficient to start from
                new = target * 0
            elif target > threshold[k]:
                new = (target - threshold[k]) / curvature
            elif target < -threshold[k] and not positive:
                new = (target + threshold[k]) / curvature
            else:
                new = target * 0
            if new != old:
                change = new - old
                row = gram[k]
                for l in range(K):
                    gradient[l] -= change * row[l]
                x[k] = new
                moved = True
        if not moved:
            break
