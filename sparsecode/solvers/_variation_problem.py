r"""Total variation in safe units, with what certifies it.

The dual points are a `q` of the fit and a `p` of the norm with :math:`K^* p = A^* q`. For any such
pair with `p` nowhere larger than :math:`\alpha`, weak duality bounds the objective from below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode.solvers._constrained_problem import InUnits, excess_of
from sparsecode.solvers._problem import divided, size_of_matrix
from sparsecode.solvers._products import Products, inner, norm
from sparsecode.solvers._variation import Variation

ROUNDING = 100  # units in the last place of the data, below which nothing but a constant is left


class Primal(NamedTuple):
    """An image with its fit and its norm."""

    Ax: np.ndarray
    residual: np.ndarray
    value: float


class Dual(NamedTuple):
    """A dual point that is feasible but for rounding, and its value."""

    p: np.ndarray
    q: np.ndarray
    value: float


@dataclass(frozen=True)
class Data(InUnits):
    """The data in units, without what a constant image explains.

    `A` and `y` as given are ``matrix_unit * A`` and ``signal_unit * (y + constant * ones)``, where
    `ones` is the image of a constant under `A`; it is taken out where no part of the norm sees it.
    """

    A: Products
    y: np.ndarray
    variation: Variation
    matrix_unit: float
    signal_unit: float
    constant: Any = 0.0
    ones: Any = None
    ones_square: float = 0.0

    @classmethod
    def from_arguments(cls, A: Any, y: np.ndarray, variation: Variation) -> Data:
        """From what has been checked."""
        units = unit_of(size_of_matrix(A), y.dtype), unit_of(magnitude(y), y.dtype)
        products, y = Products(divided(A, units[0]), y.dtype, None), to_units(y, units[1])
        if variation.basis is not None:
            return cls(products, y, variation, *units)
        ones = products.forward(np.ones(A.shape[1], dtype=y.dtype))
        square = inner(ones, ones)
        constant = np.sum(ones.conj() * y) / square if square > 0 else y.dtype.type(0)
        rest = y - constant * ones
        if norm(rest) <= ROUNDING * float(np.finfo(y.dtype).eps) * norm(y):
            rest = np.zeros_like(y)
        return cls(products, rest, variation, *units, constant, ones, square)

    def primal(self, x: np.ndarray) -> Primal:
        """What is measured of an image."""
        Ax = self.A.forward(x.ravel())
        return Primal(Ax, self.y - Ax, self.variation.value(self.variation.forward(x)))

    def matched(self, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The two moved to where ``K^* p = A^* q``: that is solved for `p`, by its transform."""
        if self.ones_square > 0:  # no sum of differences has a mean
            q = q - np.sum(self.ones.conj() * q) / self.ones_square * self.ones
        variation = self.variation
        excess = self.A.backward(q).reshape(variation.shape) - variation.backward(p)
        return p + variation.lift(excess), q


@dataclass(frozen=True)
class Penalized:
    """``0.5 * ||y - A x||^2 + alpha * R(x)``; its dual, ``<q, y> - 0.5 * ||q||^2``."""

    data: Data
    alpha: float
    sigma: None = None
    dual_units = (1, 0), (1, 1)  # powers of the units of signal and matrix, of `q` and of `p`

    def dual(self, p: np.ndarray, q: np.ndarray) -> Dual:
        """The best multiple of a matched pair."""
        square, polar = inner(q, q), self.data.variation.polar(p)
        share = max(inner(q, self.data.y) / square, 0.0) if square > 0 else 0.0
        share = min(share, self.alpha / polar) if polar > 0 else share
        return Dual(share * p, share * q, share * (inner(q, self.data.y) - 0.5 * share * square))

    def numbers(self, primal: Primal, dual: Dual) -> dict[str, float]:
        """Objective and certificate, by Fenchel and Young: no term of the gap is negative."""
        data, off = self.data, primal.residual - dual.q
        gap = max(self.alpha * primal.value - inner(dual.q, primal.Ax), 0.0)
        gap += 0.5 * inner(off, off)
        square, at_zero = inner(primal.residual, primal.residual), 0.5 * inner(data.y, data.y)
        return {
            "objective": data.as_given(0.5 * square + self.alpha * primal.value, 2, 0),
            "certificate": gap / at_zero if at_zero > 0 else 0.0,
            "dual_gap": data.as_given(gap, 2, 0),
            "residual": data.as_given(np.sqrt(square), 1, 0),
            "infeasibility": 0.0,
        }


@dataclass(frozen=True)
class Constrained:
    """``R(x)`` with ``||y - A x|| <= sigma``; its dual, ``<q, y> - sigma * ||q||``."""

    data: Data
    sigma: float
    tol: float
    alpha: float = 1.0
    dual_units = (0, -1), (0, 0)

    def dual(self, p: np.ndarray, q: np.ndarray) -> Dual:
        """A matched pair, made as small as it has to be."""
        share = 1 / max(self.data.variation.polar(p), 1.0)
        p, q = share * p, share * q
        return Dual(p, q, inner(q, self.data.y) - self.sigma * norm(q))

    def numbers(self, primal: Primal, dual: Dual) -> dict[str, float]:
        """Objective and certificate, by Fenchel and Young as well."""
        data, length = self.data, norm(primal.residual)
        excess = excess_of(length, self.sigma, norm(data.y), self.tol)
        gap = max(primal.value - inner(dual.q, primal.Ax), 0.0)
        gap += abs(self.sigma * norm(dual.q) - inner(dual.q, primal.residual))
        nothing = 0.0 if length <= self.sigma else 1.0
        return {
            "objective": data.as_given(primal.value, 1, -1),
            "certificate": max(gap / primal.value if primal.value > 0 else nothing, excess),
            "dual_gap": data.as_given(gap, 1, -1),
            "residual": data.as_given(length, 1, 0),
            "infeasibility": excess,
        }
