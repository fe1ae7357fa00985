"""The constrained forms in safe units: the data, what certifies an answer, and the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecode._scaling import from_units, magnitude, scaled, to_units, unit_of
from sparsecode._systems import check_system
from sparsecode._validation import as_array, check_array
from sparsecode.solvers._problem import answer_dtype, divided, size_of_matrix
from sparsecode.solvers._products import Point, Products, inner, norm
from sparsecode.solvers._result import Result


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ConstrainedResult(Result):
    """Coefficients that obey a constraint, and what proves that no others are better.

    Attributes
    ----------
    x : ndarray of shape (n,)
        The coefficients.
    residual : float
        ``||y - A x||_2``.
    dual_gap : float
        In the units of the objective: what separates it from the value of the dual at `dual`. Where
        `x` obeys the constraint, its objective is within this of the best possible one.
    infeasibility : float
        By how much the constraint is exceeded, relative; 0 where it is obeyed.
    dual : ndarray of shape (m,)
        The dual point, by which all this can be checked.
    n_products : int
        Products with `A` and its adjoint, one vector each.
    """

    x: np.ndarray
    residual: float
    dual_gap: float
    infeasibility: float
    dual: np.ndarray
    n_products: int


class InUnits:
    """What has a unit of the matrix and one of the signal: numbers there and back."""

    matrix_unit: float
    signal_unit: float

    def in_units(self, value: float, per_signal: int, per_matrix: int) -> float:
        """A number in units, of that power of the two units."""
        return scaled(value, self.signal_unit, -per_signal, self.matrix_unit, -per_matrix)

    def as_given(self, value: float, per_signal: int, per_matrix: int) -> float:
        """The number in the caller's units."""
        return scaled(value, self.signal_unit, per_signal, self.matrix_unit, per_matrix)


@dataclass(frozen=True)
class ConstrainedProblem(InUnits):
    """The data in units: `A` and `y` as given are ``matrix_unit * A`` and ``signal_unit * y``."""

    A: Products
    y: np.ndarray
    matrix_unit: float
    signal_unit: float
    dtype: np.dtype

    @classmethod
    def from_arguments(cls, A: Any, y: Any, weights: Any) -> ConstrainedProblem:
        given = as_array(y, "y").dtype
        A, y = check_system(A, y)
        if y.ndim != 1:
            raise ValueError(f"y has to be 1-D, one signal, got shape {y.shape}; loop over columns")
        if weights is not None:
            weights = check_array(weights, "weights", ndim=1)
            if weights.size != A.shape[1]:
                raise ValueError(
                    f"weights has {weights.size} entries for {A.shape[1]} coefficients"
                )
            if not np.all(weights > 0):
                raise ValueError("weights has to be positive")
            weights = weights.astype(y.real.dtype)
            if weights.min() < np.finfo(weights.dtype).tiny:  # whose inverse is no number
                raise ValueError(f"weights is too small for {weights.dtype}; rescale it")
        matrix_unit, signal_unit = (
            unit_of(size_of_matrix(A), y.dtype),
            unit_of(magnitude(y), y.dtype),
        )
        products = Products(divided(A, matrix_unit), y.dtype, weights)
        y = to_units(y, signal_unit)
        return cls(products, y, matrix_unit, signal_unit, answer_dtype(given, y.dtype))

    def numbers_as_given(self, found: dict[str, float]) -> dict[str, float]:
        """What `certificate` says, in the caller's units."""
        objective, gap = (self.as_given(found[name], 1, -1) for name in ("objective", "dual_gap"))
        residual = self.as_given(found["residual"], 1, 0)
        return {**found, "objective": objective, "dual_gap": gap, "residual": residual}

    def initial(self, init: Any) -> np.ndarray:
        """Where to start, in units and weighted."""
        n = self.A.shape[1]
        if init is None:
            return np.zeros(n, dtype=self.y.dtype)
        init = check_array(init, "init", ndim=1, allow_complex=np.iscomplexobj(self.y))
        if init.shape != (n,):
            raise ValueError(f"init has shape {init.shape}; the coefficients have shape {(n,)}")
        init = init.astype(self.y.dtype)
        init = from_units(init, 1 / self.signal_unit, self.matrix_unit, name="init")
        return self.A.weighted(init)

    def result(
        self,
        x: np.ndarray,
        dual: np.ndarray,
        dual_unit: tuple[int, int],
        ending: dict[str, Any],
    ) -> ConstrainedResult:
        x = from_units(self.A.plain(x), self.signal_unit, 1 / self.matrix_unit, name="x")
        dual = dual * self.as_given(1.0, *dual_unit)
        return ConstrainedResult(
            x=x.astype(self.dtype, copy=False),
            dual=dual,
            n_products=self.A.count,
            **ending,
        )


def excess_of(length: float, sigma: float, size: float, tol: float) -> float:
    """By how much a residual exceeds `sigma`, relative to it; to the signal if it is tiny."""
    scale = sigma if sigma >= tol * size and sigma > 0 else size
    return max(length - sigma, 0.0) / scale if scale > 0 else 0.0


def certificate(point: Point, y: np.ndarray, sigma: float, tol: float) -> dict[str, float]:
    """Of the least l1 norm within a residual: `dual` obeys ``|A^* dual| <= 1``."""
    length, objective = norm(point.residual), float(np.sum(np.abs(point.x)))
    excess = excess_of(length, sigma, norm(y), tol)
    # By Fenchel and Young: terms that are none of them negative where the constraint holds.
    fit = inner(y - point.residual, point.dual)
    slack = sigma * norm(point.dual) - inner(point.residual, point.dual)
    gap = max(objective - fit, 0.0) + abs(slack)
    relative = gap / objective if objective > 0 else (0.0 if length <= sigma else 1.0)
    return {
        "objective": objective,
        "certificate": max(relative, excess),
        "dual_gap": gap,
        "residual": length,
        "infeasibility": excess,
    }
