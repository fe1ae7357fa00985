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
    bounds,  # (m, n), or (1, n) where all rows have the same: the weight of |S| in each entry
    mu,
    next_mu,
    energies,  # (m,), float64, out: ||X - L - S||^2 of each row
    absolutes,  # (m,), float64, out: the sum of bounds * |S|
):
    """Soft thresholding for `S`, the multiplier, and the next matrix; `S` itself is never stored.

    With ``v = mu (X - L) + Y``, the new `Y` is `v` clipped to its bounds, and ``S = (v - Y) / mu``.
    """
    m, n = X.shape
    zero = L.dtype.type(0)
    for i in range(m):
        x, l, y, to, bound = X[i], L[i], Y[i], M[i], bounds[i if len(bounds) > 1 else 0]
        energy = absolute = zero
        for j in range(n):
            observed = x[j] == x[j]
            t = x[j] - l[j] if observed else zero
            v = mu * t + y[j]
            clipped = min(max(v, -bound[j]), bound[j])
            s = (v - clipped) / mu
            r = t - s
            energy += r * r
            absolute += bound[j] * abs(s)
            y[j] = clipped
            to[j] = (l[j] + r) + clipped / next_mu
        energies[i], absolutes[i] = energy, absolute


@compiled_sums
def huber_sums(
    X,  # (m, n), NaN where missing
    N,  # (m, n), the new low-rank part
    L,  # (m, n), the one before; out: the new one
    Z,  # (m, n), where the step to the new one began; out: the new one less the one before
    bounds,  # (m, n), or (1, n) where all rows have the same: the weight of |S| in each entry
    level,  # residuals above level * bounds belong to S
    sums,  # (m, 6), float64, out: see below
):
    """What Huber's function of ``X - N`` and the step to `N` say; a missing entry has no residual.

    Sums over each row, with `E` what of ``X - N`` is not in `S`: of the squares of `E`, of those of
    them at their bound, of ``bounds * |S|``, of ``N * E``, of the squares of ``Z - N``, and of
    ``(Z - N) (N - L)``, positive where the momentum led astray.
    """
    m, n = X.shape
    zero = L.dtype.type(0)
    for i in range(m):
        x, new, l, z = X[i], N[i], L[i], Z[i]
        bound = bounds[i if len(bounds) > 1 else 0]
        energy = clipped = absolute = pairing = drift = turn = zero
        for j in range(n):
            r = x[j] - new[j] if x[j] == x[j] else zero
            most = level * bound[j]
            e = min(max(r, -most), most)
            energy += e * e
            clipped += e * e if abs(r) > most else zero
            absolute += bound[j] * abs(r - e)
            pairing += new[j] * e
            back, step = z[j] - new[j], new[j] - l[j]
            drift += back * back
            turn += back * step
            l[j], z[j] = new[j], step
        sums[i, 0], sums[i, 1], sums[i, 2] = energy, clipped, absolute
        sums[i, 3], sums[i, 4], sums[i, 5] = pairing, drift, turn


@compiled_sums
def huber_step(
    X,  # (m, n), NaN where missing
    L,  # (m, n), the low-rank part
    Z,  # (m, n), the step that led to it; out: where the next one begins
    M,  # (m, n), out: a gradient step from there, of which the next low-rank part is taken
    bounds,  # (m, n), or (1, n) where all rows have the same
    momentum,
    level,
):
    """A step down Huber's function of ``X - L``, with momentum; none where `X` is missing."""
    m, n = X.shape
    zero = L.dtype.type(0)
    for i in range(m):
        x, l, z, to = X[i], L[i], Z[i], M[i]
        bound = bounds[i if len(bounds) > 1 else 0]
        for j in range(n):
            ahead, most = l[j] + momentum * z[j], level * bound[j]
            r = x[j] - ahead if x[j] == x[j] else zero
            z[j] = ahead
            to[j] = ahead + min(max(r, -most), most)
