"""The constrained forms by homotopy: where the path of the lasso meets the constraint."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from sparsecode.solvers._consistency import Inconsistent
from sparsecode.solvers._pareto import Ball
from sparsecode.solvers._products import Point, Products, inner, norm
from sparsecode.solvers.homotopy import Breakpoint, _breakpoints

ROUNDING = 8 * float(np.finfo(np.float64).eps)  # that may not end outside the constraint
SMALL = 10_000  # entries of a matrix whose path is followed without being asked


def has_path(A: Products) -> bool:
    """Whether the entries are known, and real: the path of a complex lasso is not linear."""
    known = isinstance(A.matrix, np.ndarray) or sp.issparse(A.matrix)
    return known and not np.issubdtype(A.dtype, np.complexfloating)


def is_small(A: Products) -> bool:
    """Whether the path costs less than an iteration that has to settle."""
    return has_path(A) and A.shape[0] * A.shape[1] <= SMALL


def within_residual(A: Products, y: np.ndarray, sigma: float, tol: float) -> Iterator[Point]:
    """The one point of the path whose residual is `sigma`, but for rounding; at 0, its end."""
    sigma *= 1 - ROUNDING
    last = None
    for before, after in pairwise(_path(A, y)):
        last = before, after
        if sigma > 0 and norm(after.residual) <= sigma:
            break
    else:
        if last is None or norm(last[1].residual) > sigma + tol * norm(y):
            raise Inconsistent(norm(y if last is None else last[1].residual))
        yield _point(last[1], last[0].residual / last[0].alpha, y.dtype)
        return
    change = after.residual - before.residual
    a, b = inner(change, change), inner(before.residual, change)
    c = max(inner(before.residual, before.residual) - sigma * sigma, 0.0)
    t = min(c / (-b + np.sqrt(max(b * b - a * c, 0.0))), 1.0)  # no digits are lost to cancellation
    found = _between(before, after, t)
    dual = found.residual / found.alpha if found.alpha > 0 else before.residual / before.alpha
    yield _point(found, dual, y.dtype)


def within_norm(A: Products, y: np.ndarray, tau: float) -> Iterator[Ball]:
    """The one point of the path whose l1 norm is `tau`, or its end."""
    found = None
    for before, after in pairwise(_path(A, y)):
        found, low, high = after, norm_1(before), norm_1(after)
        if high >= tau:
            found = _between(before, after, (tau - low) / (high - low) if high > low else 1.0)
            break
    if found is None:
        found = Breakpoint(0.0, np.zeros(A.shape[1]), y, np.zeros(A.shape[1]))
    yield Ball(*(part.astype(y.dtype) for part in (found.x, found.residual, found.correlation)))


def norm_1(point: Breakpoint) -> float:
    """The l1 norm of its coefficients."""
    return float(np.sum(np.abs(point.x)))


def _path(A: Products, y: np.ndarray) -> Iterator[Breakpoint]:
    matrix = A.matrix if isinstance(A.matrix, np.ndarray) else A.matrix.toarray()
    matrix = matrix.astype(np.float64, copy=False)
    if A.weights is not None:
        matrix = matrix / A.weights
    for point in _breakpoints(matrix, y.astype(np.float64), 0.0, False):
        A.count += 2  # about what a step takes
        yield point


def _between(before: Breakpoint, after: Breakpoint, t: float) -> Breakpoint:
    return Breakpoint(
        (1 - t) * before.alpha + t * after.alpha,
        (1 - t) * before.x + t * after.x,
        (1 - t) * before.residual + t * after.residual,
        (1 - t) * before.correlation + t * after.correlation,
    )


def _point(found: Breakpoint, dual: np.ndarray, dtype: np.dtype) -> Point:
    x = found.x.astype(dtype)
    return Point(x, found.residual.astype(dtype), dual.astype(dtype), x)
