r"""What ties the image to the data, and how a quadratic with it is minimised.

The fit is :math:`f(A x)`: half the squared residual, or the constraint that the residual is at most
:math:`\sigma`. Either way a minimiser of it plus a quadratic is that of a weight :math:`\mu` of the
squared residual, which the constraint makes a root of one equation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecode.operators import adjoint
from sparsecode.solvers._consistency import Inconsistent
from sparsecode.solvers._products import Products, inner, norm
from sparsecode.solvers._variation import Grid

NEWTON_STEPS = 60


def multiplier(e: np.ndarray, d: np.ndarray, base: Any, radius: float, start: float) -> float:
    r"""The least :math:`\mu \ge 0` with :math:`\sum e / (\mu d + b)^2 \le` ``radius**2``.

    Newton's method on the inverse of the root, which is concave: it comes from below (More and
    Sorensen, 1983).
    """
    mu = start
    for _ in range(NEWTON_STEPS):
        inverse = 1 / (mu * d + base)
        weighted = e * inverse * inverse
        length = float(np.sqrt(np.sum(weighted)))
        slope = float(np.sum(weighted * d * inverse))
        if length == 0 or slope == 0:
            return mu
        excess = length / radius - 1
        if abs(excess) <= 1e-12 or (excess < 0 and mu == 0):
            return mu
        mu = max(mu + length * length / slope * excess, 0.0)
    return mu


class Diagonal:
    """``A^* A`` is diagonal on the grid of the differences: the whole step is a division there."""

    def __init__(
        self, A: Products, y: np.ndarray, sigma: float | None, grid: Grid, d: np.ndarray
    ) -> None:
        self.A, self.y, self.sigma, self.grid, self.d = A, y, sigma, grid, d
        self.b = grid.to(A.backward(y).reshape(grid.shape))
        rounding = 1e3 * float(np.finfo(y.dtype).eps)
        self.seen = d > rounding * float(np.max(d))
        self.d_inverse = np.where(self.seen, 1 / np.where(self.seen, d, 1), 0)
        self.target = self.b * self.d_inverse
        self.invertible = bool(np.min(d) > 0.1 * np.max(d))
        self.mu = 1.0
        if sigma is not None:
            least = norm(y - A.forward(self.best()))
            self.radius = within(sigma, least, norm(y), rounding)

    def best(self) -> np.ndarray:
        """The least image of the least residual."""
        return self.grid.back(self.target.copy()).ravel()

    def step(self, h: np.ndarray, values: np.ndarray, rho: float) -> np.ndarray:
        """The spectrum of the `x` that minimises the fit plus ``rho / 2 * ||K x - v||^2``.

        `h` is the spectrum of ``K^* v``, and `values` are the eigenvalues of ``K^* K``.
        """
        if self.sigma is None:
            below = self.d + rho * values
            return (self.b + rho * h) / np.where(below > 0, below, 1)
        free = h / np.where(values > 0, values, 1)
        if self.radius == 0:
            return np.where(self.seen, self.target, free)
        kept = self.seen & (values > 0)  # what no difference sees fits for nothing
        d, l = self.d[kept], np.broadcast_to(values, kept.shape)[kept]
        off = h[kept] - l * self.target[kept]
        counts = np.broadcast_to(self.grid.counts, kept.shape)[kept]
        e = counts * d * (off.real**2 + off.imag**2 if np.iscomplexobj(off) else off * off)
        self.mu = multiplier(e, d, l, self.radius, self.mu)
        x = np.where(self.seen, self.target, free)
        x[kept] += off / (self.mu * d + l)
        return x

    def share(self, rho: float) -> float | None:
        """What the residual has to be multiplied by to be the multiplier of the last step.

        None where the residual is none.
        """
        if self.sigma is None:
            return 1.0
        return rho * self.mu if self.radius > 0 else None

    def dual(self, x: np.ndarray, image: np.ndarray, share: float | None) -> np.ndarray:
        """The `q` with ``A^* q = image`` that belongs to an `x`; else that of least norm."""
        if share is not None:
            return share * (self.y - self.A.forward(x.ravel()))
        spectrum = self.grid.to(image) * self.d_inverse
        return self.A.forward(self.grid.back(spectrum).ravel())


def diagonal(A: Products, y: np.ndarray, sigma: float | None, grid: Grid) -> Diagonal | None:
    """`Diagonal` where it is, by a product with a spectrum of ones and one with a random vector."""
    rounding = 1e3 * float(np.finfo(grid.dtype).eps)

    def normal(x: np.ndarray) -> np.ndarray:
        return grid.to(A.backward(A.forward(x.ravel())).reshape(grid.shape))

    ones = np.ones(grid.to(np.zeros(grid.shape, grid.dtype)).shape, grid.dtype)
    d = normal(grid.back(ones))
    if np.iscomplexobj(d):
        if float(np.max(np.abs(d.imag))) > rounding * float(np.max(np.abs(d))):
            return None
        d = d.real
    v = np.random.RandomState(0).standard_normal(grid.shape).astype(grid.dtype)
    expected, found = d * grid.to(v), normal(v)
    if not norm((found - expected).ravel()) <= rounding * norm(expected.ravel()):
        return None
    return Diagonal(A, y, sigma, grid, np.maximum(d, 0))


class Tight:
    """``A A^* = c I``: the image nearest to another one is one product each way from it."""

    def __init__(self, A: Products, y: np.ndarray, sigma: float | None, c: float) -> None:
        self.A, self.y, self.sigma, self.c = A, y, sigma, c

    def best(self) -> np.ndarray:
        """The least image of the least residual."""
        return self.A.backward(self.y) / self.c

    def prox(self, w: np.ndarray, rho: float) -> tuple[np.ndarray, np.ndarray]:
        """The `x` that minimises the fit plus ``rho / 2 * ||x - w||^2``, and `q`.

        ``A^* q = rho * (x - w)`` is the multiplier.
        """
        off = self.y - self.A.forward(w)
        if self.sigma is None:
            share = self.c / (self.c + rho)
        else:
            length = norm(off)
            share = max(1 - self.sigma / length, 0.0) if length > 0 else 0.0
        q = share / self.c * off
        return w + self.A.backward(q), rho * q


class Rows:
    """A matrix with a small side, brought into rows that are orthogonal to each other."""

    def __init__(self, A: Products, y: np.ndarray, sigma: float | None) -> None:
        self.A, self.sigma, matrix = A, sigma, A.matrix
        wide = A.shape[0] <= A.shape[1]
        gram = matrix @ adjoint(matrix) if wide else adjoint(matrix) @ matrix
        d, U = np.linalg.eigh(gram if isinstance(gram, np.ndarray) else gram.toarray())
        rounding = 1e3 * float(np.finfo(y.dtype).eps)
        kept = d > rounding * max(d[-1], 0.0)
        self.d, U = d[kept], U[:, kept]
        roots = np.sqrt(self.d)
        if wide:  # U^* A x = U^* y
            self.rows, self._lift = (adjoint(matrix) @ U).conj().T, U
        else:  # of A = Q diag(roots) U^*, Q^* A x = Q^* y
            self.rows, self._lift = roots[:, None] * adjoint(U), (matrix @ U) / roots
        self._columns, self.y = adjoint(self.rows), adjoint(self._lift) @ y
        self._beyond, self.mu = y - self._lift @ self.y, 1.0  # what no image fits
        if sigma is not None:
            self.radius = within(sigma, norm(self._beyond), norm(y), rounding)

    def best(self) -> np.ndarray:
        """The least image of the least residual."""
        return self._columns @ (self.y / self.d)

    def prox(self, w: np.ndarray, rho: float) -> tuple[np.ndarray, np.ndarray]:
        """As that of `Tight`."""
        self.A.count += 2
        off = self.y - self.rows @ w
        if self.sigma is not None and self.radius == 0:
            q = off / self.d
            return w + self._columns @ q, rho * (self._lift @ q)
        if self.sigma is None:
            self.mu = 1 / rho
        else:
            squares = off.real**2 + off.imag**2 if np.iscomplexobj(off) else off * off
            self.mu = multiplier(squares, self.d, 1.0, self.radius, self.mu)
        q = self.mu / (self.mu * self.d + 1) * off
        return w + self._columns @ q, rho * (self._lift @ q + self.mu * self._beyond)


class Ball:
    """Any other matrix: the fit is that of ``u = A x``, which has a variable of its own."""

    def __init__(self, A: Products, y: np.ndarray, sigma: float | None) -> None:
        self.A, self.y, self.sigma = A, y, sigma

    def best(self) -> np.ndarray:
        """The minimiser of the residual on the line of steepest descent from zero."""
        x = self.A.backward(self.y)
        image = self.A.forward(x)
        square = inner(image, image)
        return x * (inner(x, x) / square) if square > 0 else x

    def prox(self, w: np.ndarray, rho: float) -> tuple[np.ndarray, np.ndarray]:
        """The `u` that minimises the fit plus ``rho / 2 * ||u - w||^2``, and ``rho * (u - w)``."""
        off = self.y - w
        if self.sigma is None:
            step = off / (1 + rho)
        else:
            length = norm(off)
            step = (max(1 - self.sigma / length, 0.0) if length > 0 else 0.0) * off
        return w + step, rho * step


def within(sigma: float, least: float, size: float, rounding: float) -> float:
    """The radius that the least residual leaves of `sigma`, or an error."""
    if least > sigma + rounding * size:
        raise Inconsistent(least)
    return float(np.sqrt(max(sigma * sigma - least * least, 0.0)))
