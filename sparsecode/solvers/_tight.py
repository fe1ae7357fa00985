r"""Message passing through tight frames: what is fastest where ``A A^* = c I`` and `A` mixes well.

With ``A A^* = c I`` and :math:`\delta = m / n`, the vector
:math:`r = x + A^* (y - A x) / (\delta c)` is the signal in noise of variance
:math:`(1 - \delta) / \delta` times the mean square of :math:`(y - A x) / \sqrt c`, if the errors of
`x` are not aligned with `A`. So `r` is soft-thresholded at a multiple of that noise, and what the
threshold keeps of the noise is taken out again, which keeps the errors unaligned (Ma and Ping,
"Orthogonal AMP", 2017; Rangan, Schniter and Fletcher, "Vector approximate message passing", 2019).
A fixed point is a lasso, and the multiple decides of which residual. With weights of the l1 norm
each entry has the multiple of its own, and the frame stays as tight as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from sparsecode._phase import minimax_threshold
from sparsecode.penalties import soft_threshold
from sparsecode.solvers._pareto import aim_inside
from sparsecode.solvers._products import Point, Products, inner, largest, norm

START, LEAST, MOST = 1.25, 0.95, 4.0  # thresholds, in units of the one that bears most nonzeros
EXACT_START = 1.12  # the same without noise
GAIN = 0.5  # of the threshold towards the residual that is asked for
SETTLED = 0.95  # a residual that falls by less than this is that of the threshold
DUAL_EVERY = 10  # iterations of the splitting
PATIENCE, PROGRESS = 20, 0.7  # iterations in which the error has to fall by that factor


def tightness(A: Products) -> float | None:
    """`c` if ``A A^* = c I``, by a product with a random vector; else None."""
    if A.shape[0] >= A.shape[1]:
        return None
    v = np.random.RandomState(0).standard_normal(A.shape[0]).astype(A.dtype)
    image = A.forward_plain(A.backward_plain(v))
    c = inner(v, image) / inner(v, v)
    rounding = 100 * float(np.finfo(A.dtype).eps)
    return c if c > 0 and norm(image - c * v) <= rounding * c * norm(v) else None


def message_passing(
    A: Products,
    y: np.ndarray,
    sigma: float,
    x: np.ndarray,
    tol: float,
    c: float,
    otherwise: Iterator[Point],
) -> Iterator[Point]:
    """Iterates for the least l1 norm within a residual; if they do not settle, others.

    In exact problems the bound stays poor: their dual has many solutions.
    """
    m, n = A.shape
    delta = m / n
    scale = minimax_threshold(delta)
    factor = scale * (START if sigma > 0 else EXACT_START)
    multiples = _multiples(A)
    x = A.plain(x)
    Ax, best, dual, last = A.forward_plain(x), -np.inf, np.zeros_like(y), norm(y)
    mark, lowest, worth = PATIENCE, np.inf, np.inf
    n_iter = 0
    while True:
        n_iter += 1
        gradient = y - Ax
        correlation = A.backward_plain(gradient)
        seen = x + correlation / (delta * c)
        noise = np.sqrt((1 - delta) / delta * inner(gradient, gradient) / (c * m))
        kept, share = _denoised(seen, factor * noise * multiples)
        peak, length = largest(A.plain(correlation)), norm(gradient)
        if peak > 0 and (value := (inner(gradient, y) - sigma * length) / peak) > best:
            best, dual = value, gradient / peak
        x = (kept - share * seen) / (1 - share)
        before, Ax = Ax, A.forward_plain(x)
        residual = y - (1 - share) * Ax - share * (before + gradient / delta)
        kept = A.weighted(kept)
        yield Point(kept, residual, dual, A.weighted(seen))
        length, objective = norm(residual), float(np.sum(np.abs(kept)))
        aim = aim_inside(sigma, tol, best, dual)
        worth = length
        if sigma > 0:
            worth = abs(length / aim - 1) + (abs(1 - best / objective) if objective > 0 else 1.0)
        if n_iter == mark:
            if not worth <= PROGRESS * lowest:
                break
            mark, lowest = mark + PATIENCE, worth
        if sigma > 0 and (length < sigma or length > SETTLED * last):
            factor = float(np.clip(factor * (aim / length) ** GAIN, LEAST * scale, MOST * scale))
        last = length
    yield from otherwise


def splitting(A: Products, y: np.ndarray, c: float) -> Iterator[Point]:
    """Basis pursuit by Douglas and Rachford's splitting: soft threshold and projection in turn.

    Slower where signals are recovered, but it converges whatever they are. `v` is where the two
    reflections have led; ``A v`` follows by linearity, so that an iteration takes one product each
    way; the dual point takes one more.
    """
    v = A.backward_plain(y) / c
    threshold = float(np.mean(np.abs(v)))
    multiples = _multiples(A)
    Av, best, dual = y, -np.inf, np.zeros_like(y)
    for n_iter in count():
        x = soft_threshold(v, threshold * multiples)
        Ax = A.forward_plain(x)
        if n_iter % DUAL_EVERY == 0 and threshold > 0:
            candidate = (Av - Ax) / (threshold * c)
            peak = largest(A.backward(candidate))
            if peak > 0 and inner(candidate, y) > best * peak:
                best, dual = inner(candidate, y) / peak, candidate / peak
        yield Point(A.weighted(x), y - Ax, dual, A.weighted(v))
        v = x + A.backward_plain(y - (2 * Ax - Av)) / c
        Av = Av + y - Ax


def _denoised(seen: np.ndarray, threshold: Any) -> tuple[np.ndarray, float]:
    """Soft thresholding, and the mean of the derivatives of its entries."""
    kept = soft_threshold(seen, threshold)
    on = np.count_nonzero(kept)
    slopes = float(on)
    if np.iscomplexobj(seen):
        inverse = np.divide(1, np.abs(seen), out=np.zeros(seen.size), where=kept != 0)
        slopes -= 0.5 * float(np.sum(threshold * inverse))
    return kept, min(slopes / seen.size, 0.99)


def _multiples(A: Products) -> Any:
    """What the threshold of each coefficient is, over a usual one."""
    return 1.0 if A.weights is None else A.weights / np.median(A.weights)
