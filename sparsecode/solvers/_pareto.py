r"""The Pareto curve between fit and l1 norm, and the one engine that walks along it.

The curve is :math:`\varphi(\tau) = \min_{\|x\|_1 \le \tau} \|y - A x\|_2`: convex and decreasing.
A residual `r` with ``g = A^* r`` bounds it from below by the line
:math:`(\langle r, y \rangle - \tau \|g\|_\infty) / \|r\|`, whatever `r` is, so that where this line
meets :math:`\sigma` is a lower bound of the least :math:`\tau` with :math:`\varphi(\tau) \le
\sigma`. It is the value of ``z = r / ||g||_inf`` in the dual,
:math:`\max \langle y, z \rangle - \sigma \|z\|_2` subject to :math:`\|A^* z\|_\infty \le 1`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sparsecode.solvers._consistency import check_consistent
from sparsecode.solvers._products import Point, Products, inner, largest, norm
from sparsecode.solvers._projections import project_l1_ball

MEMORY = 3  # objective values that a step may not exceed
SUFFICIENT = 1e-4  # the part of the predicted decrease that has to come
REFRESH = 50  # iterations after which the residual is computed anew
EPS = float(np.finfo(np.float64).eps)
SHARE = 0.25  # of the tolerance of the gap that is spent on ending inside the constraint


class Ball(NamedTuple):
    """An iterate in a ball; `correlation` is ``A^* residual``."""

    x: np.ndarray
    residual: np.ndarray  # y - A x
    correlation: np.ndarray


class _Descent:
    """Spectral projected gradient for ``0.5 * ||y - A x||^2`` over the l1 ball of radius `tau`.

    One product each way an iteration: the residual follows the step by linearity.
    """

    def __init__(self, A: Products, y: np.ndarray, x: np.ndarray) -> None:
        self.A, self.y = A, y
        self.tau, self.threshold, self.step, self.n_iter = 0.0, 0.0, 0.0, 0
        self.stalled = False
        self.place(x)

    def place(self, x: np.ndarray) -> None:
        """Go to `x`, with a residual computed from it."""
        self.x = self.seen = x
        self.residual = self.y - self.A.forward(x) if x.any() else self.y.copy()
        self.correlation = self.A.backward(self.residual)
        self.values = deque([0.5 * inner(self.residual, self.residual)], maxlen=MEMORY)

    def set_radius(self, tau: float) -> None:
        """A new ball; the iterate is projected if it lies outside."""
        if tau == self.tau:
            return
        shrinks = tau < self.tau
        self.tau = tau
        if shrinks:
            self.place(project_l1_ball(self.x, tau)[0])
        self.values = deque([self.values[-1]], maxlen=MEMORY)

    def advance(self) -> None:
        """One iteration."""
        step = self.step or self._first_step()
        self.seen = self.x + step * self.correlation
        target, self.threshold = project_l1_ball(self.seen, self.tau, 0.9 * self.threshold)
        d = target - self.x
        length = inner(d, d)
        self.stalled = not np.sqrt(length) > EPS * norm(target)
        if self.stalled:  # the minimum, as far as rounding can tell
            self.step = 0.0
            return
        # The bound holds for every projection; near the end the product itself cancels.
        slope = max(inner(self.correlation, d), length / step)
        Ad = self.A.forward(d)
        curvature = inner(Ad, Ad)
        share, value = 1.0, self.values[-1] - slope + 0.5 * curvature
        if value > max(self.values) - SUFFICIENT * slope:
            share = min(slope / curvature, 1.0)
        self.n_iter += 1
        self.step = length / curvature if curvature > 0 else 0.0
        if share == 1.0:
            self.x = target
        else:
            self.x = self.x + share * d
        if self.n_iter % REFRESH == 0:
            self.residual = self.y - self.A.forward(self.x)
        else:
            self.residual = self.residual - share * Ad
        self.correlation = self.A.backward(self.residual)
        self.values.append(0.5 * inner(self.residual, self.residual))

    def _first_step(self) -> float:
        """That of steepest descent without the ball."""
        image = self.A.forward(self.correlation)
        curvature, length = inner(image, image), inner(self.correlation, self.correlation)
        return length / curvature if curvature > 0 else 1.0


def within_ball(A: Products, y: np.ndarray, tau: float, x: np.ndarray) -> Iterator[Ball]:
    """Iterates for a radius that is given; `x` lies inside."""
    descent = _Descent(A, y, x)
    descent.tau = tau
    while True:
        yield Ball(descent.x, descent.residual, descent.correlation)
        descent.advance()


def aim_inside(sigma: float, tol: float, bound: float, dual: np.ndarray) -> float:
    """A residual a little less than `sigma`, which costs a share of the tolerance of the gap."""
    if sigma == 0 or bound <= 0:
        return sigma
    return sigma - min(SHARE * tol * bound / norm(dual), 0.5 * sigma)


def _radius(
    descent: _Descent, fit: float, peak: float, length: float, best: float, aim: float, small: float
) -> float:
    """The next radius: where the bound meets the aim, once the residual is that of the radius."""
    tau = descent.tau
    if length <= max(aim, small):
        return min(best, tau)
    if peak == 0:
        return tau
    if descent.stalled:  # optimal for its radius: the bound has lost its digits, not x
        return tau + max(length * (length - aim) / peak, EPS * tau)
    lower = (fit - tau * peak) / length
    return max((fit - aim * length) / peak, tau) if length - aim <= 2 * (lower - aim) else tau


def along_curve(
    A: Products, y: np.ndarray, sigma: float, x: np.ndarray, tol: float
) -> Iterator[Point]:
    """Iterates for the least radius at which the residual is at most `sigma`, below ``||y||``.

    The radius is that of the dual bound once the residual is within twice what the bound leaves of
    it (Aravkin et al.). To end inside the constraint, the walk aims at a little less than `sigma`.
    """
    descent = _Descent(A, y, x)
    descent.tau = float(np.sum(np.abs(x)))
    best, dual, size = 0.0, np.zeros_like(y), norm(y)
    doubt = 1e-2 * norm(descent.correlation) / (norm(descent.residual) or 1.0)
    if A.shape[0] >= A.shape[1] and size > sigma:
        check_consistent(A, y, sigma, tol)
        doubt = 0.0
    started = False
    while True:
        r, peak = descent.residual, largest(descent.correlation)
        length, fit = norm(r), inner(r, y)
        if peak > 0 and fit - sigma * length > best * peak:
            best, dual = (fit - sigma * length) / peak, r / peak
        if started or not x.any():
            yield Point(descent.x, r, dual, descent.seen)
        elif best < descent.tau:  # a start that may have too large a norm
            descent.set_radius(best)
            started = True
            continue
        started = True
        if norm(descent.correlation) <= doubt * length and length - sigma > tol * size:
            check_consistent(A, y, sigma, tol)
            doubt *= 0.01
        aim = aim_inside(sigma, tol, best, dual)
        descent.set_radius(_radius(descent, fit, peak, length, best, aim, 0.1 * tol * size))
        descent.advance()
