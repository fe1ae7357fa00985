"""Projections onto the sets that constraints describe."""

from __future__ import annotations

import numpy as np

from sparsecode.penalties import soft_threshold


def l1_ball_threshold(sizes: np.ndarray, radius: float, guess: float = 0.0) -> float:
    """The `t` for which ``max(sizes - t, 0)`` sums to `radius`; 0 where `sizes` sum to less.

    Michelot's iteration: the mean excess over the entries above the threshold, which only rises.
    It may start from any value that is not too high; a `guess` that is, is not used.
    """
    for start in (guess, 0.0):
        above = sizes[sizes > start] if start > 0 else sizes
        threshold = (float(above.sum()) - radius) / max(above.size, 1)
        if threshold >= start and above.size:
            break
    else:
        return 0.0
    while True:
        kept = above[above > threshold]
        if kept.size in (0, above.size):
            return threshold
        above, threshold = kept, (float(kept.sum()) - radius) / kept.size


def project_l1_ball(v: np.ndarray, radius: float, guess: float = 0.0) -> tuple[np.ndarray, float]:
    """The nearest point of l1 norm at most `radius`, and the threshold that leads there.

    References
    ----------
    Michelot, "A finite algorithm for finding the projection of a point onto the canonical simplex",
    1986; Duchi et al., "Efficient projections onto the l1-ball for learning in high dimensions",
    2008.
    """
    threshold = l1_ball_threshold(np.abs(v), radius, guess)
    return (soft_threshold(v, v.real.dtype.type(threshold)), threshold) if threshold > 0 else (v, 0)
