"""A low-rank matrix near the data in Huber's sense, for levels that fall to where a bound is met.

Whatever low-rank part `L` there is, of ``R = X - L`` the noise takes what is below ``level *
bounds``, ``E = clip(R)``, and `S` the rest. What is left to minimise in `L` alone is the nuclear
norm plus Huber's function of `R`, over the level; its gradient is as steep as the noise is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sparsecode._mapped import scratch_like, zeros_like
from sparsecode._threads import map_tiles
from sparsecode.operators import spectral_norm
from sparsecode.solvers._krylov import Leading
from sparsecode.solvers._split import Bounds, tiles
from sparsecode.solvers._svt import SPARE, WarmSVD, shrunk

DRIFT = 0.1  # of the subgradient: while the steps are longer, the level stays


class Estimate(NamedTuple):
    """``L = U s V^T`` and what its residual is made of."""

    low_rank: np.ndarray
    leading: Leading
    level: float  # what is above ``level * bounds`` in the residual belongs to S
    noise: float  # ||E||_F
    absolute: float  # the weighted l1 norm of S
    gap: float  # of the objective at this level: <L, subgradient> less <L, E / level>
    drift: float  # the last step over the subgradient it would have been without one

    def noise_part(self, X: np.ndarray, bounds: Bounds) -> np.ndarray:
        """`E`: the residual, clipped; zero where an entry is missing."""
        E = scratch_like(X)
        for rows in tiles(X):
            most = X.dtype.type(self.level) * bounds[rows]
            R = np.nan_to_num(X[rows] - self.low_rank[rows], copy=False, nan=0.0)
            np.clip(R, -most, most, out=E[rows])
        return E

    def sparse(self, X: np.ndarray, bounds: Bounds) -> np.ndarray:
        """The residual above the level."""
        S = self.noise_part(X, bounds)
        for rows in tiles(X):
            np.subtract(X[rows] - self.low_rank[rows], S[rows], out=S[rows])
            S[rows][np.isnan(S[rows])] = 0
        return S


class _Patience:
    """Whether neither the level nor the drift has come down for a while."""

    def __init__(self) -> None:
        self.least = np.full(2, np.inf)
        self.waited = 0

    def lost(self, level: float, drift: float) -> bool:
        now = np.array([level, drift])
        progress = drift == 0 or bool(np.any(now < 0.97 * self.least))
        self.least = np.minimum(self.least, now if drift > 0 else np.inf)
        self.waited = 0 if progress else self.waited + 1
        return self.waited > 0 and self.waited % 8 == 0


class Sums(NamedTuple):
    """Over all entries; see the kernel `huber_sums`."""

    energy: float
    clipped: float
    absolute: float
    pairing: float
    drift: float
    turn: float


def estimates(
    X: np.ndarray,
    bounds: Bounds,
    radius: float,
    slack: float,
    values: WarmSVD,
    n_threads: int,
) -> Iterator[Estimate]:
    """Accelerated proximal gradients, restarted where the momentum leads astray.

    The level is steered to where ``||E||_F`` is `radius`, or less by what moves the objective by a
    share `slack` of it. It falls no faster than the estimate follows: one that is left behind at a
    high level would have to walk all the way in steps as small as a low one.
    """
    # At the edge of the noise the singular values lie dense.
    values.spare = max(SPARE, min(X.shape) // 10)
    patience = _Patience()
    L, Z, M = zeros_like(X), zeros_like(X), scratch_like(X)
    for rows in tiles(X):
        M[rows] = np.nan_to_num(X[rows], nan=0.0)
    norm = spectral_norm(M)
    level, momentum, t = 0.7 * norm, 0.0, 1.0
    _step(X, L, Z, M, bounds, 0.0, level, n_threads)
    while True:
        leading = shrunk(values.above(M, level), level)
        s = leading.singular_values
        sums = _sums(X, leading, L, Z, bounds, level, n_threads)
        noise = float(np.sqrt(sums.energy))
        drift = float(np.sqrt(sums.drift / max(s.size, 1))) / level
        gap = float(s.sum(dtype=np.float64)) - sums.pairing / level
        yield Estimate(L, leading, level, noise, sums.absolute, gap, drift)
        if patience.lost(level, drift):
            values.widen(s.size)  # nothing else than what the subspace misses can hold it up
        if sums.turn > 0:
            t = 1.0
        following = (1 + np.sqrt(1 + 4 * t * t)) / 2
        momentum, t = (t - 1) / following, following
        slowest = level * min(max(np.sqrt(drift / DRIFT), 0.5), 1.0)
        objective = gap + sums.pairing / level + sums.absolute
        aim = radius - slack * objective * level / noise if noise > 0 else radius
        level = max(_steered(level, aim, sums, s.size), slowest)
        _step(X, L, Z, M, bounds, momentum, level, n_threads)


def _steered(level: float, aim: float, sums: Sums, rank: int) -> float:
    """A step of Newton's method, in logarithms, to where ``||E||_F`` is the aim.

    In E's energy the entries at their bound grow with the square of the level, and so do the
    singular directions above it.
    """
    if not 0 < aim < 2 * np.sqrt(sums.energy):
        return 2 * level if aim > 0 else level / 2
    slope = (sums.clipped + rank * level * level) / sums.energy
    change = (aim / np.sqrt(sums.energy)) ** (1 / min(max(slope, 0.05), 1.0))
    return level * min(max(float(change), 0.5), 2.0)


def _sums(
    X: np.ndarray,
    leading: Leading,
    L: np.ndarray,
    Z: np.ndarray,
    bounds: Bounds,
    level: float,
    n_threads: int,
) -> Sums:
    """`L` becomes the new low-rank part, and `Z` the step to it."""
    from sparsecode.solvers._kernels.split import huber_sums

    U, s, Vt = leading

    def add(rows: slice) -> np.ndarray:
        N, sums = (U[rows] * s) @ Vt, np.empty((len(L[rows]), 6))
        huber_sums(X[rows], N, L[rows], Z[rows], bounds[rows], X.dtype.type(level), sums)
        return sums.sum(axis=0)

    parts = map_tiles(add, tiles(X), n_threads)
    return Sums(*map(float, np.sum(parts, axis=0)))


def _step(
    X: np.ndarray,
    L: np.ndarray,
    Z: np.ndarray,
    M: np.ndarray,
    bounds: Bounds,
    momentum: float,
    level: float,
    n_threads: int,
) -> None:
    """Write `Z`, where the next step begins, and `M`, where it leads before it is thresholded."""
    from sparsecode.solvers._kernels.split import huber_step

    numbers = [X.dtype.type(number) for number in (momentum, level)]

    def step(rows: slice) -> None:
        huber_step(X[rows], L[rows], Z[rows], M[rows], bounds[rows], *numbers)

    map_tiles(step, tiles(X), n_threads)


def certified(
    X: np.ndarray,
    estimate: Estimate,
    bounds: Bounds,
    radius: float,
    slack: float,
    n_threads: int,
) -> tuple[Estimate, float]:
    """The split of the same low-rank part that is allowed, and its relative duality gap.

    With ``Y = E / polar``, a point of the dual, the gap is that of three pairs: `L`, `S` and `E`,
    each with `Y`; none is negative.
    """
    level, nuclear = estimate.level, float(estimate.leading.singular_values.sum(dtype=np.float64))
    rounding = 4 * float(np.finfo(X.dtype).eps)
    for _ in range(50):
        energy, slope, absolute, pairing = _residual_sums(X, estimate, bounds, level, n_threads)
        noise, excess = float(np.sqrt(energy)), energy - radius**2
        spared = max(radius - noise, 0.0) * noise / level
        if excess <= rounding * energy and (
            slope == 0 or spared <= 2 * slack * (nuclear + absolute)
        ):
            break
        # Concave and piecewise linear in the square of the level: from below, Newton's method
        # never passes the root.
        change = 1 - excess / (slope * level**2) if slope > 0 else 0.0
        level *= np.sqrt(max(change, 0.25))
    estimate = estimate._replace(level=level, noise=noise, absolute=absolute)
    E = estimate.noise_part(X, bounds)
    polar = max(spectral_norm(E, tolerance=2 * slack), bounds.polar(E)) or 1.0
    gap = max(nuclear - pairing / polar, 0.0) + absolute * max(1 - level / polar, 0.0)
    gap += noise * max(radius - noise, 0.0) / polar
    objective = nuclear + absolute
    return estimate, gap / objective if objective > 0 else np.inf


def _residual_sums(
    X: np.ndarray, estimate: Estimate, bounds: Bounds, level: float, n_threads: int
) -> tuple[float, ...]:
    """``||E||^2``, its slope in the square of the level, ``||bounds o S||_1`` and ``<L, E>``."""
    size = X.dtype.type(level)

    def add(rows: slice) -> tuple[float, ...]:
        L, bound = estimate.low_rank[rows], bounds[rows]
        R = np.nan_to_num(X[rows] - L, copy=False, nan=0.0)
        E = np.clip(R, -size * bound, size * bound)
        clipped = np.broadcast_to(np.square(bound, dtype=np.float64), R.shape)[R != E]
        S = bound * np.abs(R - E)
        numbers = (np.square(E, dtype=np.float64), clipped, S, np.multiply(L, E, dtype=np.float64))
        return tuple(float(part.sum(dtype=np.float64)) for part in numbers)

    return tuple(map(sum, zip(*map_tiles(add, tiles(X), n_threads), strict=True)))
