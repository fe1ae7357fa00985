"""The end of basis pursuit: least squares over a support, and a dual point that certifies it.

Any support that holds that of the answer, and whose columns are independent, gives the answer by
least squares; and the dual points that certify it fill a polytope, of which a walk that is far from
its end is close to one. So no walk has to be finished.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sparsecode.solvers._products import Point, Products, inner, largest, norm

FIRST, LATER = 14, 1.6  # iterations before the first attempt, and the factor to the next
ROUNDS = 5  # exchanges of the support
SHARES = (1 / 3, 1 / 4, 1 / 12)  # of the rows: columns at first; those that stay, and that join
CONJUGATE_STEPS, DUAL_STEPS = 60, 60
WORTH = 0.05  # of the squared residual: a step that takes less off says that columns are missing
EXACT = 1e-3  # the least squares fit, relative to what is asked of the residual
NOTHING = 1e-7  # of the largest coefficient, relative: what a fit leaves where there is none
CERTAIN = 0.1  # of the tolerance: a dual point this near to the objective is good enough


def with_attempts(
    points: Iterator[Point], A: Products, y: np.ndarray, tol: float
) -> Iterator[Point]:
    """The points of a walk towards ``A x = y``; now and then, instead of one, the end of it."""
    attempt = FIRST
    for n_iter, point in enumerate(points, 1):
        ended = None
        if n_iter == attempt:
            attempt = int(LATER * attempt) + 1
            ended = _end(A, y, point, tol)
        yield ended or point


def _end(A: Products, y: np.ndarray, point: Point, tol: float) -> Point | None:
    """The answer with its certificate, if it can be seen from here."""
    fitted = _consistent(A, y, point, tol)
    if fitted is None:
        return None
    x, residual = fitted
    return Point(A.weighted(x), residual, _dual_point(A, y, x, point.dual, tol), point.seen)


def _consistent(
    A: Products, y: np.ndarray, point: Point, tol: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Coefficients on few columns with ``A x = y``, looked for as by subspace pursuit.

    These, and what follows, are those of the matrix without its weights, which may be of very
    different sizes.
    """
    first, stay, join = (max(1, int(share * y.size)) for share in SHARES)
    target = max(EXACT * tol, 4 * float(np.finfo(y.dtype).eps)) * norm(y)
    support = _largest(point.seen, first)
    x, last = A.plain(point.x), np.inf
    for _ in range(ROUNDS):
        x, residual = _least_squares(A, y, support, x, target)
        size = norm(residual)
        if size <= target:
            support = np.flatnonzero(np.abs(x) > NOTHING * largest(x))
            pruned = _least_squares(A, y, support, x, target)
            return pruned if norm(pruned[1]) <= target else (x, residual)
        if size > 0.5 * last:
            return None
        last = size
        support = np.union1d(_largest(x, stay), _largest(A.backward(residual), join))
    return None


def _least_squares(
    A: Products, y: np.ndarray, support: np.ndarray, start: np.ndarray, target: float
) -> tuple[np.ndarray, np.ndarray]:
    """Conjugate gradients on the normal equations, and the residual; from where `start` is."""
    x, whole = np.zeros_like(start), np.zeros_like(start)
    x[support] = start[support]
    residual = y - A.forward_plain(x)
    direction = gradient = A.backward_plain(residual)[support]
    square = inner(gradient, gradient)
    for _ in range(CONJUGATE_STEPS):
        size = norm(residual)
        if size <= target or square == 0:
            break
        whole[support] = direction
        image = A.forward_plain(whole)
        length = square / inner(image, image)
        x[support] += length * direction
        residual = residual - length * image
        if length * square < WORTH * size**2:
            break
        gradient = A.backward_plain(residual)[support]
        last, square = square, inner(gradient, gradient)
        direction = gradient + (square / last) * direction
    return x, residual


def _dual_point(
    A: Products, y: np.ndarray, x: np.ndarray, dual: np.ndarray, tol: float
) -> np.ndarray:
    """A dual point with ``A^* dual`` near the subgradients of the weighted l1 norm at `x`.

    ``min_d 0.5 * dist(A^* d, subgradients)^2`` by Barzilai-Borwein steps, from the best one so far.
    """
    size = np.abs(x)
    support, value = size > 0, float(A.weighted(size).sum())
    signs = np.divide(x, size, out=np.zeros_like(x), where=support)
    correlation = A.backward_plain(dual)
    best, highest, step = dual, inner(dual, y), 1.0
    last: tuple[np.ndarray, np.ndarray] | None = None
    for _ in range(DUAL_STEPS):
        if value - highest <= CERTAIN * tol * value:
            break
        nearest = A.weighted(np.where(support, signs, _clipped(A.plain(correlation))))
        gradient = A.forward_plain(correlation - nearest)
        if last is None:
            image = A.backward_plain(gradient)
            step = inner(gradient, gradient) / (inner(image, image) or 1.0)
        else:
            moved, bend = dual - last[0], inner(dual - last[0], gradient - last[1])
            if bend <= 0:
                break
            step = inner(moved, moved) / bend
        last = dual, gradient
        dual = dual - step * gradient
        correlation = A.backward_plain(dual)
        peak = largest(A.plain(correlation))
        if peak > 0 and inner(dual, y) > highest * peak:
            best, highest = dual / peak, inner(dual, y) / peak
    return best


def _clipped(v: np.ndarray) -> np.ndarray:
    """The nearest entries of an absolute value of at most one."""
    if np.iscomplexobj(v):
        return v / np.maximum(np.abs(v), 1)
    return np.clip(v, -1, 1)


def _largest(v: np.ndarray, k: int) -> np.ndarray:
    """Where the k largest entries are, in ascending order; zeros are none of them."""
    size = np.abs(v)
    places = np.argpartition(size, -k)[-k:] if k < v.size else np.arange(v.size)
    return np.sort(places[size[places] > 0])
