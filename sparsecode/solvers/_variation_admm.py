r"""The alternating direction method of multipliers for :math:`f(A x) + \alpha R(x)`.

:math:`K x` has a variable of its own, which is shrunk; where `A` and `K` have no transform in
common, `x` or :math:`A x` has one as well, which is brought to the data. The multipliers are the
dual points: `p` of the norm, `q` of the fit, and :math:`K^* p = A^* q` at the minimum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, repeat
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sparsecode.solvers._consistency import check_consistent
from sparsecode.solvers._products import Products, inner, norm
from sparsecode.solvers._tight import tightness
from sparsecode.solvers._variation import Grid, Variation
from sparsecode.solvers._variation_fit import Ball, Diagonal, Rows, Tight, diagonal
from sparsecode.solvers._variation_problem import Constrained, Penalized
from sparsecode.solvers.splitting import balance

LARGEST = 2000  # the side of a Gram matrix that is diagonalised
RELAXED = 1.6
FIRST_BALANCE = 10  # iterations; then ever rarer, so that it converges
CG_STEPS, CG_SHARE = 30, 0.2  # at the most, and what they leave of the residual


class Image(NamedTuple):
    """An iterate and its dual points; `x` has the shape of the image."""

    x: np.ndarray
    p: np.ndarray
    q: Any  # or the share of the residual that it is; None for that of least norm


@dataclass(frozen=True)
class Method:
    """Images, one after another, and what gives dual points of one."""

    images: Iterator[Image]
    dual_points: Callable[[Image], tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, problem: Penalized | Constrained, init: np.ndarray | None, tol: float) -> Method:
        """The quickest that the matrix allows."""
        A, y, variation = problem.data.A, problem.data.y, problem.data.variation
        alpha, sigma = problem.alpha, problem.sigma
        x = np.zeros(variation.shape, dtype=y.dtype) if init is None else init
        if norm(y) <= (sigma or 0.0):
            nothing = variation.forward(np.zeros_like(x))
            return cls(repeat(Image(np.zeros_like(x), nothing, 0 * y)), _as_they_are)
        grids = [variation.grid]
        if variation.boundary != "periodic":
            grids.append(Grid(variation.shape, "periodic", y.dtype))
        for grid in grids:
            if (whole := diagonal(A, y, sigma, grid)) is not None:
                rho = _first_rho(variation, whole.best(), alpha)
                work = variation.on(grid)
                images = with_transform(work, whole, alpha, rho, x)
                return cls(images, partial(_completed, work, whole))
        fit: Tight | Rows | Ball
        through = None
        if (c := tightness(A)) is not None:
            fit = Tight(A, y, sigma, c)
        elif not isinstance(A.matrix, LinearOperator) and min(A.shape) <= LARGEST:
            fit = Rows(A, y, sigma)
        else:
            if sigma is not None:
                check_consistent(A, y, sigma, tol)
            fit, through = Ball(A, y, sigma), A
        rho = _first_rho(variation, fit.best(), alpha)
        return cls(with_two_splits(variation, fit, alpha, rho, x, through), _as_they_are)


def _completed(variation: Variation, fit: Diagonal, image: Image) -> tuple[np.ndarray, np.ndarray]:
    return variation.counted(image.p), fit.dual(image.x, variation.backward(image.p), image.q)


def _as_they_are(image: Image) -> tuple[np.ndarray, np.ndarray]:
    return image.p, image.q


def _first_rho(variation: Variation, x: np.ndarray, alpha: float) -> float:
    """The weight at which the first shrinkage is by a usual difference of `x`."""
    usual = variation.value(variation.forward(x.reshape(variation.shape))) / x.size
    return alpha / usual if usual > 0 else alpha


def with_transform(
    variation: Variation, fit: Diagonal, alpha: float, rho: float, x: np.ndarray
) -> Iterator[Image]:
    """Where `A` and `K` have a transform in common; every `x` obeys the constraint."""
    grid, values = variation.grid, variation.eigenvalues
    z = variation.forward(x)
    s, adapt_at = np.zeros_like(z), FIRST_BALANCE
    for n_iter in count(1):
        v = z - s
        x = grid.back(fit.step(grid.to(variation.backward(v)), values, rho))
        Kx = variation.forward(x)
        relaxed = RELAXED * Kx + (1 - RELAXED) * z
        before, z = z, variation.shrink(relaxed + s, alpha / rho)
        s = s + relaxed - z
        if (
            fit.invertible
        ):  # A^* q = K^* p has a solution for every p, and this one is nowhere too large
            yield Image(x, rho * s, None)
        else:
            yield Image(x, rho * (Kx - v), fit.share(rho))
        if n_iter == adapt_at:
            factor = balance(Kx, z, before, s)
            rho, s = rho * factor, s / factor
            adapt_at += max(FIRST_BALANCE, adapt_at // 2)


def with_two_splits(
    variation: Variation,
    fit: Tight | Rows | Ball,
    alpha: float,
    rho: float,
    x: np.ndarray,
    through: Products | None,
) -> Iterator[Image]:
    """Where they have none: a second variable for `x`, or for ``A x`` with `A` in `through`."""
    mean = 1.0 if through is None else _mean_eigenvalue(through)
    weight = rho / mean
    z, u = variation.forward(x), x.ravel() if through is None else through.forward(x.ravel())
    s, t = np.zeros_like(z), np.zeros_like(u)
    adapt_at = FIRST_BALANCE
    for n_iter in count(1):
        if through is None:
            x = _solved(variation, z - s, u - t, rho, weight)
            Bx = x.ravel()
        else:
            x = _conjugate_gradients(variation, through, z - s, u - t, rho, weight, mean, x)
            Bx = through.forward(x.ravel())
        Kx = variation.forward(x)
        relaxed, relaxed_u = RELAXED * Kx + (1 - RELAXED) * z, RELAXED * Bx + (1 - RELAXED) * u
        before, z = z, variation.shrink(relaxed + s, alpha / rho)
        s = s + relaxed - z
        w = relaxed_u + t
        before_u = u
        u, q = fit.prox(w, weight)
        t = w - u
        yield Image(u.reshape(x.shape) if through is None else x, rho * s, q)
        if n_iter == adapt_at:
            factor = balance(Kx, z, before, s)
            rho, s = rho * factor, s / factor
            factor = balance(Bx, u, before_u, t)
            weight, t = weight * factor, t / factor
            adapt_at += max(FIRST_BALANCE, adapt_at // 2)


def _solved(
    variation: Variation, v: np.ndarray, u: np.ndarray, rho: float, weight: float
) -> np.ndarray:
    """The `x` that minimises ``rho * ||K x - v||^2 + weight * ||x - u||^2``."""
    grid = variation.grid
    right = rho * variation.backward(v) + weight * u.reshape(grid.shape)
    return grid.back(grid.to(right) / (rho * variation.eigenvalues + weight))


def _mean_eigenvalue(A: Products) -> float:
    """About the mean eigenvalue of ``A^* A``."""
    v = np.random.RandomState(0).standard_normal(A.shape[1]).astype(A.dtype)
    return (norm(A.forward(v)) / norm(v)) ** 2 or 1.0


def _conjugate_gradients(
    variation: Variation,
    A: Products,
    v: np.ndarray,
    u: np.ndarray,
    rho: float,
    weight: float,
    mean: float,
    x: np.ndarray,
) -> np.ndarray:
    """About the `x` that minimises ``rho * ||K x - v||^2 + weight * ||A x - u||^2``, from `x`."""
    grid = variation.grid
    below = rho * variation.eigenvalues + weight * mean

    def precondition(r: np.ndarray) -> np.ndarray:
        return grid.back(grid.to(r) / below)

    Kx, Ax = variation.forward(x), A.forward(x.ravel())
    r = rho * variation.backward(v - Kx) + weight * A.backward(u - Ax).reshape(x.shape)
    d = precondition(r)
    square = start = _inner(r, d)
    for _ in range(CG_STEPS):
        if square <= CG_SHARE**2 * start or square == 0:
            break
        Kd, Ad = variation.forward(d), A.forward(d.ravel())
        step = square / (rho * _inner(Kd, Kd) + weight * _inner(Ad, Ad))
        x = x + step * d
        r = r - step * (rho * variation.backward(Kd) + weight * A.backward(Ad).reshape(x.shape))
        e = precondition(r)
        square, old = _inner(r, e), square
        d = e + square / old * d
    return x


def _inner(u: np.ndarray, v: np.ndarray) -> float:
    return inner(u.ravel(), v.ravel())
