"""The Donoho-Tanner curve, by the threshold of message passing that attains it."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfcx


def fraction(z: float) -> float:
    """``rho = 1 - z Phi(-z) / phi(z)``, the fraction of nonzeros that the threshold `z` bears."""
    return float(1 - z * np.sqrt(np.pi / 2) * erfcx(z / np.sqrt(2)))


def minimax_threshold(delta: float, *, positive: bool = False) -> float:
    """The threshold, in units of the noise it sees, that bears the most nonzeros at `delta`.

    Donoho, Maleki and Montanari (2009): ``1 / delta = rho(z) + z / (2 phi(z))``, without the 2 for
    signals that are not negative. The right side grows from 1 to infinity.
    """
    sides = 1 if positive else 2

    def excess(z: float) -> float:
        density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        return delta * (fraction(z) * sides * density + z) - sides * density

    return float(brentq(excess, 0.0, 40.0, xtol=1e-15)) if delta < 1 else 0.0
