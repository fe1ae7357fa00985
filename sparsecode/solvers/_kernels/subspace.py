"""Rows in a subspace by Huber regression: Newton's method, one row after another."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled_sums


@compiled_sums
def huber_rows(
    X,  # (n_rows, n), float64, NaN where missing
    W,  # (n, r), float64
    gram,  # (r, r), W^T W
    alpha,  # a residual above it is corruption; infinity makes it ridge regression
    ridge,
    max_iter,
    Z,  # (n_rows, r), out: coordinates
    L,  # (n_rows, n), out: W z, at the missing entries too
    at_zero,  # (n_rows,), out: the minimum for an infinite alpha
    regular,  # (n_rows,), out: False where the observed part of `W` lost its rank; z is 0 there
):
    """``min_z sum_j huber(x_j - (W z)_j) + ridge/2 ||z||^2`` over the observed entries of each row.

    On the quadratic piece that `z` is in the Hessian is that of the entries whose residuals are not
    above alpha. A Newton step goes to the minimiser of that piece, or near it where the entries
    left do not determine one; it is halved until it descends. Once a step stays in its piece the
    minimum is reached. alpha itself comes down from where no residual is above it, so that few
    entries change their piece at a time.
    """
    n, r = W.shape
    room, seen, own = np.empty((n, r)), np.empty(n), np.empty((r, r))
    residual, along = np.empty(n), np.empty(n)
    H, F, gradient, step = np.empty((r, r)), np.empty((r, r)), np.empty(r), np.empty(r)
    for i in range(X.shape[0]):
        z = Z[i]
        z[:] = 0.0
        L[i] = 0.0
        at_zero[i] = 0.0
        m = _observed(X[i], W, gram, seen, room, own)
        A, G = (W, gram) if m == n else (room[:m], own)
        x, rest, way = seen[:m], residual[:m], along[:m]
        _residual(x, A, z, rest)
        _derivatives(A, G, rest, np.inf, ridge, z, gradient, H)
        step[:] = gradient
        regular[i] = m == 0 or _solve(H, G, 0.0, ridge, F, step)
        if m == 0 or not regular[i]:
            continue
        z[:] = step
        bound = _residual(x, A, z, rest)
        at_zero[i] = 0.5 * (_product(rest, rest) + ridge * _product(z, z))
        while True:
            bound = max(0.5 * bound, alpha)
            for _ in range(max_iter):
                _derivatives(A, G, rest, bound, ridge, z, gradient, H)
                step[:] = gradient
                newton = _solve(H, G, 0.0, ridge, F, step)
                if not newton:
                    step[:] = gradient
                    _solve(H, G, 1e-3, ridge, F, step)
                for j in range(m):
                    way[j] = _product(A[j], step)
                length, same = _line_search(
                    rest,
                    way,
                    bound,
                    _product(gradient, step),
                    ridge * _product(z, step),
                    ridge * _product(step, step),
                )
                for k in range(r):
                    z[k] += length * step[k]
                _residual(x, A, z, rest)  # anew: differences would add up their rounding
                if length == 0 or (same and newton):
                    break
            if bound == alpha:
                break
        for j in range(n):
            L[i, j] = _product(W[j], z)


@compiled_sums
def _observed(x, W, gram, seen, room, own):
    """The entries that are there, their rows of `W` and the Gram matrix of these; how many."""
    n, r = W.shape
    m = 0
    for j in range(n):
        if x[j] == x[j]:
            seen[m] = x[j]
            m += 1
    if m == n:
        return m
    m = 0
    for j in range(n):
        if x[j] == x[j]:
            for k in range(r):
                room[m, k] = W[j, k]
            m += 1
    few = 2 * m < n
    sign = 1.0 if few else -1.0
    for k in range(r):
        for l in range(k + 1):
            own[k, l] = 0.0 if few else gram[k, l]
    for j in range(n):
        if (x[j] == x[j]) == few:
            w = W[j]
            for k in range(r):
                s = sign * w[k]
                for l in range(k + 1):
                    own[k, l] += s * w[l]
    return m


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
def _derivatives(W, gram, residual, alpha, ridge, z, gradient, H):
    """The descent direction ``W^T clip(residual) - ridge z``, and the Hessian without the ridge.

    That is the Gram matrix less the part of the outliers, or, where they are more than half, the
    part of the others: what is left of a difference may be its rounding.
    """
    n, r = W.shape
    n_outliers = 0
    for j in range(n):
        n_outliers += abs(residual[j]) > alpha
    few = 2 * n_outliers <= n
    sign = -1.0 if few else 1.0
    for k in range(r):
        gradient[k] = -ridge * z[k]
        for l in range(k + 1):
            H[k, l] = gram[k, l] if few else 0.0
    for j in range(n):
        w, clipped = W[j], min(max(residual[j], -alpha), alpha)
        for k in range(r):
            gradient[k] += clipped * w[k]
        if (clipped != residual[j]) == few:
            for k in range(r):
                s = sign * w[k]
                for l in range(k + 1):
                    H[k, l] += s * w[l]


@compiled_sums
def _solve(H, gram, damping, ridge, F, b):
    """``(H + damping diag(gram) + ridge)^-1 b`` by Cholesky, in place; False where it is singular.

    Without a ridge that is to half of the digits, for the Gram matrix has squared them.
    """
    r = b.shape[0]
    least = 1e-9 if ridge == 0 else 1e-15
    for k in range(r):
        for l in range(k):
            total = H[k, l]
            for p in range(l):
                total -= F[k, p] * F[l, p]
            F[k, l] = total / F[l, l]
        left = H[k, k] + damping * gram[k, k] + ridge
        for p in range(k):
            left -= F[k, p] * F[k, p]
        if not left > least * gram[k, k]:
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
def _line_search(residual, along, alpha, slope, linear, square):
    """How far to go, 0 if no step descends; and whether the whole step stays in its piece.

    ``linear * t + square * t^2 / 2`` is what the ridge adds on the way.
    """
    value, reached, same = 0.0, linear + 0.5 * square, True
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
        reached = linear * length + 0.5 * square * length * length
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
