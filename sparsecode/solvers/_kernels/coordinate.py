"""Lasso codes of a tile of signals by coordinate descent on the Gram matrix."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled


@compiled
def lasso_tile(
    correlation,  # (n_signals, K), a row is D x
    gram,  # (K, K), D D^T
    energy,  # (n_signals,), float64: ||x||^2
    alphas,  # (n_signals,)
    positive,
    tol,
    max_sweeps,
    codes,  # (n_signals, K), in: where to start; out
    certificates,  # (n_signals,), float64, out: duality gap over 0.5 ||x||^2
    gradient,  # (K,), scratch: D (x - w D)
    active,  # (K,), int64, scratch
):
    """Cyclic descent over the active coordinates, then a full sweep, until the gap is small.

    The gap needs no residual: with ``g = D r``, ``||r||^2 = ||x||^2 - <w, D x> - <w, g>``, and at
    the dual point ``s r`` it is ``0.5 (1 - s)^2 ||r||^2 + alpha ||w||_1 - s <w, g>``.
    """
    n_signals, n_atoms = correlation.shape
    for i in range(n_signals):
        w = codes[i]
        b = correlation[i]
        alpha = alphas[i]
        for k in range(n_atoms):
            gradient[k] = b[k]
        for k in range(n_atoms):
            if w[k] != 0:
                for l in range(n_atoms):
                    gradient[l] -= w[k] * gram[k, l]
        certificate = np.inf
        sweep = 0
        while sweep < max_sweeps:
            # A full sweep, which finds the active coordinates, then sweeps over these alone.
            n_active = n_atoms
            for k in range(n_atoms):
                active[k] = k
            for inner in range(10):
                sweep += 1
                largest = 0.0
                scale = 0.0
                for position in range(n_active):
                    k = active[position]
                    curvature = gram[k, k]
                    if not curvature > 0:
                        w[k] = 0
                        continue
                    old = w[k]
                    target = gradient[k] + curvature * old
                    if target > alpha:
                        new = (target - alpha) / curvature
                    elif target < -alpha and not positive:
                        new = (target + alpha) / curvature
                    else:
                        new = curvature * 0
                    if new != old:
                        w[k] = new
                        for l in range(n_atoms):
                            gradient[l] -= (new - old) * gram[k, l]
                        largest = max(largest, curvature * (new - old) * (new - old))
                    scale = max(scale, curvature * new * new)
                if inner == 0:
                    n_active = 0
                    for k in range(n_atoms):
                        if w[k] != 0:
                            active[n_active] = k
                            n_active += 1
                if sweep >= max_sweeps or largest <= 0.01 * tol * tol * scale:
                    break
            wb = 0.0
            wg = 0.0
            l1 = 0.0
            polar = 0.0
            for k in range(n_atoms):
                wb += np.float64(w[k]) * np.float64(b[k])
                wg += np.float64(w[k]) * np.float64(gradient[k])
                l1 += abs(w[k])
                polar = max(polar, gradient[k] if positive else abs(gradient[k]))
            rr = max(energy[i] - wb - wg, 0.0)
            s = alpha / max(polar, alpha)
            gap = 0.5 * (1 - s) * (1 - s) * rr + max(alpha * l1 - s * wg, 0.0)
            half = 0.5 * energy[i]
            certificate = gap / half if half > 0 else 0.0
            if certificate <= tol:
                break
        certificates[i] = certificate


@compiled
def sweep_gram(
    gram,  # (K, K), A_W^T A_W (plus a ridge)
    threshold,  # (K,), the l1 weight of each coordinate
    positive,
    n_sweeps,
    tol,  # stop when no coordinate moves by more than this, in the units of the residual
    x,  # (K,), in and out
    gradient,  # (K,), A_W^T r - ridge x, in and out
):
    """Cyclic descent on the lasso of a working set; every other sweep over the nonzeros only."""
    K = x.shape[0]
    for sweep in range(n_sweeps):
        largest = 0.0
        for k in range(K):
            curvature = gram[k, k]
            old = x[k]
            if not curvature > 0 or (sweep % 2 == 1 and old == 0):
                continue
            target = gradient[k] + curvature * old
            if target > threshold[k]:
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
                largest = max(largest, curvature * change * change)
        if largest <= tol * tol:
            break
