"""Rows in a subspace by Huber regression: Newton's method, one row after another."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled_sums


@compiled_sums
def huber_rows(
    X,  # (n_rows, n), float64
    W,  # (n, r), float64, orthonormal columns
    alpha,  # a residual above it is corruption
    max_iter,
    Z,  # (n_rows, r), out: coordinates
):
    """``min_z sum_j huber(x_j - (W z)_j)`` of each row `x`.

    On the quadratic piece that `z` is in the Hessian is ``I - W_O^T W_O``, with `O` the entries
    whose residuals are above alpha. A Newton step goes to the minimiser of that piece, or near it
    where the entries left do not determine one; it is halved until it descends. Once a step stays
    in its piece the minimum is reached. alpha itself comes down from where no residual is above
    it, so that few entries change their piece at a time.
    """
    n, r = W.shape
    residual, along = np.empty(n), np.empty(n)
    H, F, gradient, step = np.empty((r, r)), np.empty((r, r)), np.empty(r), np.empty(r)
    for i in range(X.shape[0]):
        x, z = X[i], Z[i]
        z[:] = 0.0
        for j in range(n):
            for k in range(r):
                z[k] += x[j] * W[j, k]
        bound = _residual(x, W, z, residual)
        while True:
            bound = max(0.5 * bound, alpha)
            for _ in range(max_iter):
                _derivatives(W, residual, bound, gradient, H)
                step[:] = gradient
                newton = _solve(H, 0.0, F, step)
                if not newton:
                    step[:] = gradient
                    _solve(H, 1e-3, F, step)
                for j in range(n):
                    along[j] = _product(W[j], step)
                length, same = _line_search(residual, along, bound, _product(gradient, step))
                for k in range(r):
                    z[k] += length * step[k]
                _residual(x, W, z, residual)  # anew: differences would add up their rounding
                if length == 0 or (same and newton):
                    break
            if bound == alpha:
                break


@compiled_sums
def _residual(x, W, z, residual):
    """``x - W z``, and its largest absolute value."""
    largest = 0.0
    for j in range(x.shape[0]):
        residual[j] = x[j] - _product(W[j], z)
        largest = max(largest, abs(residual[j]))
    return largest


@compiled_sums
def _product(a, b):
    total = 0.0
    for k in range(a.shape[0]):
        total += a[k] * b[k]
    return total


@compiled_sums
def _derivatives(W, residual, alpha, gradient, H):
    """The descent direction ``W^T clip(residual)`` and the Hessian."""
    n, r = W.shape
    gradient[:] = 0.0
    H[:] = 0.0
    for k in range(r):
        H[k, k] = 1.0
    for j in range(n):
        w, clipped = W[j], min(max(residual[j], -alpha), alpha)
        for k in range(r):
            gradient[k] += clipped * w[k]
        if clipped != residual[j]:
            for k in range(r):
                for l in range(k + 1):
                    H[k, l] -= w[k] * w[l]


@compiled_sums
def _solve(H, ridge, F, b):
    """``(H + ridge)^-1 b`` by Cholesky, in place; False where that is singular to rounding."""
    r = b.shape[0]
    for k in range(r):
        for l in range(k):
            total = H[k, l]
            for p in range(l):
                total -= F[k, p] * F[l, p]
            F[k, l] = total / F[l, l]
        left = H[k, k] + ridge
        for p in range(k):
            left -= F[k, p] * F[k, p]
        if not left > 1e-9:
            return False
        F[k, k] = np.sqrt(left)
    for k in range(r):
        for p in range(k):
            b[k] -= F[k, p] * b[p]
        b[k] /= F[k, k]
    for k in range(r - 1, -1, -1):
        for p in range(k + 1, r):
            b[k] -= F[p, k] * b[p]
        b[k] /= F[k, k]
    return True


@compiled_sums
def _line_search(residual, along, alpha, slope):
    """How far to go, 0 if no step descends; and whether the whole step stays in its piece."""
    value, reached, same = 0.0, 0.0, True
    for j in range(residual.shape[0]):
        before, after = residual[j], residual[j] - along[j]
        value += _huber(before, alpha)
        reached += _huber(after, alpha)
        same = same and _piece(before, alpha) == _piece(after, alpha)
    length = 1.0
    while not (same or reached <= value * (1 + 1e-14) - 1e-4 * length * slope):
        length *= 0.5
        if length < 1e-9:
            return 0.0, False
        reached = 0.0
        for j in range(residual.shape[0]):
            reached += _huber(residual[j] - length * along[j], alpha)
    return length, same


@compiled_sums
def _huber(r, alpha):
    size = abs(r)
    return 0.5 * r * r if size <= alpha else alpha * size - 0.5 * alpha * alpha


@compiled_sums
def _piece(r, alpha):
    return 1 if r > alpha else (-1 if r < -alpha else 0)
