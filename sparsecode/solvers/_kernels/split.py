"""What a low-rank estimate leaves of the data: one pass over a tile of rows."""

from __future__ import annotations

from sparsecode.solvers._kernels import compiled_sums


@compiled_sums
def replace_outliers(
    X,  # (m, n), NaN where missing
    L,  # (m, n), the estimate; out: X where it is within `cut` of it, and the estimate elsewhere
    cut,
    outliers,  # (m,), out: how many of a row are outliers
    energies,  # (m,), float64, out: the squared distance of the others
):
    """Hard thresholding of ``X - L``; a missing entry is neither within `cut` nor an outlier."""
    m, n = X.shape
    zero = L.dtype.type(0)
    for i in range(m):
        x, l = X[i], L[i]
        n_outliers = 0
        for j in range(n):
            n_outliers += abs(x[j] - l[j]) > cut
        energy = zero
        for j in range(n):
            r = x[j] - l[j]
            within = abs(r) <= cut
            energy += r * r if within else zero
            l[j] = x[j] if within else l[j]
        outliers[i], energies[i] = n_outliers, energy


@compiled_sums
def multiplier_step(
    X,  # (m, n), NaN where missing
    L,  # (m, n), the low-rank part
    Y,  # (m, n), the multiplier of X = L + S, in and out; zero where X is missing
    M,  # (m, n), out: X - S + Y / next_mu, of which the next low-rank part is taken
    alpha,
    mu,
    next_mu,
    energies,  # (m,), float64, out: ||X - L - S||^2 of each row
    absolutes,  # (m,), float64, out: ||S||_1
):
    """Soft thresholding for `S`, the multiplier, and the next matrix; `S` itself is never stored.

    With ``v = mu (X - L) + Y``, the new `Y` is `v` clipped to alpha, and ``S = (v - Y) / mu``.
    """
    m, n = X.shape
    zero = L.dtype.type(0)
    for i in range(m):
        x, l, y, to = X[i], L[i], Y[i], M[i]
        energy = absolute = zero
        for j in range(n):
            observed = x[j] == x[j]
            t = x[j] - l[j] if observed else zero
            v = mu * t + y[j]
            clipped = min(max(v, -alpha), alpha)
            s = (v - clipped) / mu
            r = t - s
            energy += r * r
            absolute += abs(s)
            y[j] = clipped
            to[j] = (l[j] + r) + clipped / next_mu
        energies[i], absolutes[i] = energy, absolute
