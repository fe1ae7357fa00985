"""Lasso codes of a tile of signals by homotopy on the Gram matrix."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled

REACHED, FULL, SMALL, STOPPED = 0, 1, 2, 3  # how a path ends
JOIN, LEAVE = 4, 5  # and how it bends
OUTSIDE, INSIDE, BARRED = 0, 1, 2  # where an atom is
DEPENDENT = 1e-10  # less of an atom's energy than this is left by the others: it is in their span
ACCURATE = 1e-11  # a larger gap at the end of the path is made smaller by descent
SWEEPS = 10_000


@compiled
def lars_tile(
    X,  # (n_signals, m); all floats are float64
    D,  # (K, m), rows are atoms
    gram,  # (K, K), D D^T
    correlation,  # (n_signals, K), a row is D x
    alphas,  # (n_signals,), where the paths end
    energy_targets,  # (n_signals,): or at a squared residual of this, where positive
    limit,  # or before more atoms than this are in use
    positive,
    max_steps,  # or after so many steps
    patient,  # to finish by descent what is not done then
    codes,  # (n_signals, K), in: zeros; out
    certificates,  # (n_signals,), out: duality gap over 0.5 ||x||^2, at the alpha where it ended
    energies,  # (n_signals,), out: squared residuals
    members,  # (L,), int64, scratch: the atoms in use; L is at most limit, m and K
    signs,  # (L,), scratch
    w,  # (L,), scratch
    d,  # (L,), scratch
    v,  # (L,), scratch
    inverse,  # (L, L), scratch
    c,  # (K,), scratch
    a,  # (K,), scratch
    blur,  # (K,), scratch
    free,  # (K,), scratch
    score,  # (K,), scratch
    score_bits,  # (K,), score seen as integers: floats that are not negative order as these do
    state,  # (K,), int64, scratch
):
    """Each path from its first alpha down; exact on the support where it ends.

    With the signs s of the atoms in use, ``w`` moves by ``t d`` and the correlations by ``-t a`` as
    alpha falls by t, where ``G_SS d = s`` and ``a = G_S d`` (Osborne, Presnell and Turlach, 2000).
    """
    n_atoms = correlation.shape[1]
    for i in range(X.shape[0]):
        x = X[i]
        b = correlation[i]
        start = 0.0
        for f in range(x.shape[0]):
            start += x[f] * x[f]
        noise = 100 * 2.220446049250313e-16 * np.sqrt(start)
        floor = 0.0
        for k in range(n_atoms):
            blur[k] = noise * np.sqrt(gram[k, k])
            floor = max(floor, blur[k])
        alpha, size, how = _follow(
            x, D, gram, b, start, alphas[i], energy_targets[i], limit, positive, max_steps,
            members, signs, w, d, v, inverse, c, a, blur, free, score, score_bits, state,
        )  # fmt: skip
        if how == STOPPED:  # the certificate is that for what was asked for
            alpha = max(alphas[i], 0.0)
        else:
            alpha = _settle(
                x, D, gram, b, alpha, energy_targets[i], how, size, members, signs, w, d, v, inverse
            )
        for p in range(size):
            codes[i, members[p]] = w[p]
        energies[i] = _energy(x, D, size, members, w)
        alpha = max(alpha, floor)
        gap = _gap(gram, b, codes[i], energies[i], alpha, positive, c)
        half = 0.5 * start
        ended = how == REACHED or (how == STOPPED and patient)
        if ended and alphas[i] > floor and gap > ACCURATE * half:
            gap = _descend(gram, b, start, alpha, positive, ACCURATE * half, codes[i], c)
            used = 0
            for k in range(n_atoms):
                used += codes[i, k] != 0
            if used > limit:  # what the path said stays
                for k in range(n_atoms):
                    codes[i, k] = 0.0
                for p in range(size):
                    codes[i, members[p]] = w[p]
                gap = _gap(gram, b, codes[i], energies[i], alpha, positive, c)
            else:
                energies[i] = 0.0
                for f in range(x.shape[0]):
                    r = x[f]
                    for k in range(n_atoms):
                        if codes[i, k] != 0:
                            r -= codes[i, k] * D[k, f]
                    energies[i] += r * r
        certificates[i] = gap / half if half > 0 else 0.0


@compiled
def _follow(
    x, D, gram, b, start, target, energy_target, limit, positive, max_steps,
    members, signs, w, d, v, inverse, c, a, blur, free, score, score_bits, state,
):  # fmt: skip
    """Down the path; where it ended, with how many atoms, and why."""
    n_atoms = b.shape[0]
    alpha = 0.0
    atom = -1
    sign = 1.0
    for k in range(n_atoms):
        c[k] = b[k]
        state[k] = OUTSIDE if gram[k, k] > 0 else BARRED
        if state[k] == OUTSIDE and (b[k] if positive else abs(b[k])) > alpha:
            alpha = b[k] if positive else abs(b[k])
            atom = k
            sign = 1.0 if b[k] > 0 else -1.0
    size = 0
    if alpha <= target:
        return target, size, REACHED
    if energy_target > 0 and start <= energy_target:
        return alpha, size, SMALL
    blocked = -1  # an atom that has just left with this sign moves inside
    blocked_sign = 0.0
    energy = start
    for _ in range(max_steps):
        if atom >= 0:
            left = gram[atom, atom]
            for p in range(size):
                d[p] = gram[atom, members[p]]
            _solve(inverse, d, v, size)
            for p in range(size):
                left -= v[p] * d[p]
            if left <= DEPENDENT * gram[atom, atom]:
                state[atom] = BARRED
            elif size == limit:
                return alpha, size, FULL
            elif size == members.shape[0]:
                state[atom] = BARRED
            else:
                members[size] = atom
                signs[size] = sign
                w[size] = 0.0
                state[atom] = INSIDE
                _grow(inverse, v, left, size)
                size += 1
        _solve(inverse, signs, d, size)
        if atom >= 0 and state[atom] == INSIDE and d[size - 1] * sign <= 0:
            size -= 1  # a tie: the others keep it inside
            _shrink(inverse, size, size + 1)
            state[atom] = OUTSIDE
            blocked = atom
            blocked_sign = sign
            _solve(inverse, signs, d, size)
        _combine(gram, members, d, size, a)
        t = alpha - target
        event = REACHED
        place = -1
        for p in range(size):
            pace = -signs[p] * d[p]
            if pace > 0 and max(signs[p] * w[p], 0.0) < t * pace:
                t = max(signs[p] * w[p], 0.0) / pace
                event = LEAVE
                place = p
        for k in range(n_atoms):
            free[k] = 1.0 if state[k] == OUTSIDE and k != blocked else 0.0
        while True:
            # An atom that would be above alpha after this step joins before; up to rounding.
            if positive:
                for k in range(n_atoms):
                    score[k] = max(c[k] - t * a[k] - blur[k], 0.0) * free[k]
            else:
                for k in range(n_atoms):
                    score[k] = max(abs(c[k] - t * a[k]) - blur[k], 0.0) * free[k]
            best = score_bits[0]
            for k in range(n_atoms):
                best = max(best, score_bits[k])
            k = 0
            while score_bits[k] != best:
                k += 1
            if not score[k] > alpha - t:
                break
            free[k] = 0.0
            toward = 1.0 if c[k] - t * a[k] > 0 else -1.0
            if t * (1 - toward * a[k]) > max(alpha - toward * c[k], 0.0):
                t = max(alpha - toward * c[k], 0.0) / (1 - toward * a[k])
                event = JOIN
                atom = k
                sign = toward
        if blocked >= 0 and not positive:
            ahead = alpha + blocked_sign * c[blocked]
            pace = 1 + blocked_sign * a[blocked]
            if t * pace > ahead + blur[blocked]:
                t = ahead / pace
                event = JOIN
                atom = blocked
                sign = -blocked_sign
        if energy_target > 0:
            slope = 0.0
            for p in range(size):
                slope += signs[p] * d[p]
            rest = alpha * alpha * slope - (energy - energy_target)
            if rest >= 0 and slope > 0 and alpha - np.sqrt(rest / slope) <= t:
                t = max(alpha - np.sqrt(rest / slope), 0.0)
                event = SMALL
        blocked = -1
        alpha = target if event == REACHED else alpha - t
        for p in range(size):
            w[p] += t * d[p]
        for k in range(n_atoms):
            c[k] -= t * a[k]
        if event == LEAVE:
            atom = members[place]
            blocked = atom
            blocked_sign = signs[place]
            size -= 1
            members[place] = members[size]
            signs[place] = signs[size]
            w[place] = w[size]
            _shrink(inverse, place, size + 1)
            for k in range(n_atoms):  # what depended on it may not depend on the others
                if state[k] == BARRED and gram[k, k] > 0:
                    state[k] = OUTSIDE
            state[atom] = OUTSIDE
            atom = -1
        elif event != JOIN:
            return alpha, size, event
        if energy_target > 0:
            energy = _energy(x, D, size, members, w)
    return alpha, size, STOPPED


@compiled
def _grow(inverse, v, left, size):
    """The inverse of a Gram matrix with one atom more, by the Schur complement `left`."""
    share = 1 / left
    for p in range(size):
        weight = v[p] * share
        row = inverse[p]
        for q in range(size):
            row[q] += weight * v[q]
        row[size] = -weight
        inverse[size, p] = -weight
    inverse[size, size] = share


@compiled
def _shrink(inverse, place, size):
    """The inverse with one atom less, of `size`; the last one takes its place."""
    last = size - 1
    for p in range(size):
        inverse[place, p], inverse[last, p] = inverse[last, p], inverse[place, p]
    for p in range(size):
        inverse[p, place], inverse[p, last] = inverse[p, last], inverse[p, place]
    share = 1 / inverse[last, last]
    gone = inverse[last]
    for p in range(last):
        row = inverse[p]
        weight = row[last] * share
        for q in range(last):
            row[q] -= weight * gone[q]


@compiled
def _solve(inverse, rhs, answer, size):
    """The symmetric inverse times the right-hand side, row by row."""
    for p in range(size):
        answer[p] = 0.0
    for q in range(size):
        weight = rhs[q]
        row = inverse[q]
        for p in range(size):
            answer[p] += weight * row[p]


@compiled
def _combine(gram, members, d, size, a):
    """``G_S d``, four atoms at a time: `a` is read and written a fourth as often."""
    n_atoms = a.shape[0]
    for k in range(n_atoms):
        a[k] = 0.0
    p = 0
    while p + 4 <= size:
        d0, d1, d2, d3 = d[p], d[p + 1], d[p + 2], d[p + 3]
        row0 = gram[members[p]]
        row1 = gram[members[p + 1]]
        row2 = gram[members[p + 2]]
        row3 = gram[members[p + 3]]
        for k in range(n_atoms):
            a[k] += d0 * row0[k] + d1 * row1[k] + d2 * row2[k] + d3 * row3[k]
        p += 4
    while p < size:
        d0 = d[p]
        row0 = gram[members[p]]
        for k in range(n_atoms):
            a[k] += d0 * row0[k]
        p += 1


@compiled
def _energy(x, D, size, members, w):
    energy = 0.0
    for f in range(x.shape[0]):
        r = x[f]
        for p in range(size):
            r -= w[p] * D[members[p], f]
        energy += r * r
    return energy


@compiled
def _settle(
    x, D, gram, b, alpha, energy_target, how, size, members, signs, w, d, v, factor
):  # fmt: skip
    """The exact coefficients on the support, by a Cholesky factor; and the alpha they are for."""
    for p in range(size):
        for q in range(p + 1):
            total = gram[members[p], members[q]]
            for r in range(q):
                total -= factor[p, r] * factor[q, r]
            if p == q:
                if not total > 0:
                    return alpha
                factor[p, p] = np.sqrt(total)
            else:
                factor[p, q] = total / factor[q, q]
    for attempt in range(3):
        if attempt > 0:
            if how != SMALL:
                break
            # The residual is small enough where E + alpha^2 s d is, E that of least squares.
            for p in range(size):
                v[p] = signs[p]
            _substitute(factor, v, size)
            slope = 0.0
            for p in range(size):
                slope += signs[p] * v[p]
            if not slope > 0:
                break
            rest = alpha * alpha + (energy_target - _energy(x, D, size, members, w)) / slope
            alpha = np.sqrt(max(rest, 0.0))
        for p in range(size):
            d[p] = 0.0
        for _ in range(2):  # and once more for what rounding left
            for p in range(size):
                v[p] = b[members[p]] - alpha * signs[p]
                for q in range(size):
                    v[p] -= gram[members[p], members[q]] * d[q]
            _substitute(factor, v, size)
            for p in range(size):
                d[p] += v[p]
        for p in range(size):
            w[p] = d[p] if d[p] * signs[p] > 0 else 0.0
    return alpha


@compiled
def _substitute(factor, v, size):
    """Solve with the Cholesky factor and its transpose, in place."""
    for p in range(size):
        for q in range(p):
            v[p] -= factor[p, q] * v[q]
        v[p] /= factor[p, p]
    for p in range(size - 1, -1, -1):
        for q in range(p + 1, size):
            v[p] -= factor[q, p] * v[q]
        v[p] /= factor[p, p]


@compiled
def _gap(gram, b, code, energy, alpha, positive, c):
    """The duality gap, and the correlations of the residual in `c`; see `lasso_tile`."""
    n_atoms = b.shape[0]
    for k in range(n_atoms):
        c[k] = b[k]
    l1 = 0.0
    for k in range(n_atoms):
        if code[k] != 0:
            l1 += abs(code[k])
            weight = code[k]
            row = gram[k]
            for l in range(n_atoms):
                c[l] -= weight * row[l]
    polar = 0.0
    pairing = 0.0
    for k in range(n_atoms):
        polar = max(polar, c[k] if positive else abs(c[k]))
        pairing += code[k] * c[k]
    if not polar > 0:
        return alpha * l1
    s = alpha / max(polar, alpha)
    return 0.5 * (1 - s) * (1 - s) * energy + max(alpha * l1 - s * pairing, 0.0)


@compiled
def _descend(gram, b, start, alpha, positive, tol, code, c):
    """Cyclic coordinate descent, for paths that rounding led astray; `c` as `_gap` leaves it."""
    n_atoms = b.shape[0]
    gap = np.inf
    for sweep in range(SWEEPS):
        for k in range(n_atoms):
            curvature = gram[k, k]
            if not curvature > 0:
                continue
            old = code[k]
            point = c[k] + curvature * old
            new = 0.0
            if point > alpha:
                new = (point - alpha) / curvature
            elif point < -alpha and not positive:
                new = (point + alpha) / curvature
            if new != old:
                code[k] = new
                for l in range(n_atoms):
                    c[l] -= (new - old) * gram[k, l]
        if sweep % 10 == 9:
            energy = start
            for k in range(n_atoms):
                energy -= code[k] * (b[k] + c[k])
            gap = _gap(gram, b, code, max(energy, 0.0), alpha, positive, c)
            if gap <= tol:
                break
    return gap
