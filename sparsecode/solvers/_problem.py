"""Penalised least squares as the iterative solvers see it: in safe units, with its certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._systems import check_system
from sparsecode._validation import as_array, check_array, check_exactly_one, check_real
from sparsecode.objectives._formulas import alpha_max, duality_gap, least_squares, penalized
from sparsecode.operators import adjoint, spectral_norm
from sparsecode.penalties import ConvexPenalty, Penalty, check_penalty
from sparsecode.solvers._result import CodeResult

LARGEST = float(np.finfo(np.float64).max)


class Iterate(NamedTuple):
    """Coefficients and, where the algorithm has them at hand, ``A x`` and ``A^* (y - A x)``."""

    x: np.ndarray
    Ax: Any = None
    correlation: Any = None


@dataclass(frozen=True)
class PenalizedLeastSquares:
    """``min_x 0.5 * ||y - A x||^2 + alpha * penalty(x)``, one problem a column of `y`.

    The fields are in units; `A` and `y` as given are ``matrix_unit * A`` and ``signal_unit * y``.
    """

    A: Any
    y: np.ndarray
    alpha: Any  # one for all signals, or one for each
    penalty: Penalty
    matrix_unit: float
    signal_unit: float
    dtype: np.dtype
    alpha_factor: float = 1.0
    norm: float | None = None  # spectral, of `A` in units, where it is known

    @classmethod
    def from_arguments(
        cls,
        A: Any,
        y: Any,
        alpha: Any,
        alpha_ratio: Any,
        penalty: Penalty | None,
        *,
        needs_norm: bool = True,
    ) -> PenalizedLeastSquares:
        """Check the arguments that all solvers of this problem take."""
        dtype = as_array(y, "y").dtype
        A, y = check_system(A, y)
        penalty = check_penalty(penalty)
        # The norm of an operator takes products; of a matrix it is left until a step asks for it.
        is_operator = isinstance(A, LinearOperator)
        norm = min(spectral_norm(A), LARGEST) if is_operator and needs_norm else None
        size = size_of_matrix(A) if norm is None else norm
        matrix_unit, signal_unit = unit_of(size, y.dtype), unit_of(magnitude(y), y.dtype)
        A, y = divided(A, matrix_unit), to_units(y, signal_unit)
        factor, penalty = penalty.in_units(signal_unit / matrix_unit)
        by_value = check_exactly_one(alpha=alpha, alpha_ratio=alpha_ratio) == "alpha"
        largest = None if by_value else _from_ratio(A, y, alpha_ratio, penalty)
        norm = None if norm is None else norm / matrix_unit
        answer = answer_dtype(dtype, y.dtype)
        problem = cls(A, y, largest, penalty, matrix_unit, signal_unit, answer, factor, norm)
        return problem.with_alpha(alpha) if by_value else problem

    def with_alpha(self, given: Any) -> PenalizedLeastSquares:
        """The same problem with the weight `given`, in the caller's units."""
        given = check_real(given, "alpha", low=0, open_low=True)
        scaled = given / self.signal_unit * (self.alpha_factor / self.signal_unit)
        return replace(self, alpha=in_range(scaled, given, self.y.dtype))

    @property
    def given_alpha(self) -> float:
        """The weight in the caller's units."""
        return float(self.alpha * self.signal_unit / self.alpha_factor * self.signal_unit)

    @cached_property
    def step(self) -> float:
        """``1 / ||A||_2^2``, the longest step that never increases the objective."""
        norm = spectral_norm(self.A) if self.norm is None else self.norm
        return 1.0 / (norm * norm) if norm > 0 else 1.0

    def prox(self, x: np.ndarray, step: Any) -> np.ndarray:
        """The proximal operator of a gradient step, one for all signals or one for each."""
        if np.ndim(step) and not self.penalty.convex:  # those take one step at a time
            steps = np.broadcast_to(step * self.alpha, x.shape[1:])
            return np.stack([self.penalty.prox(c, s) for c, s in zip(x.T, steps, strict=True)], 1)
        return self.penalty.prox(x, step * self.alpha)

    @cached_property
    def _couples_signals(self) -> bool:
        nothing = np.zeros((self.A.shape[1], *self.y.shape[1:]), dtype=self.y.dtype)
        return np.ndim(self.penalty.value(nothing)) < self.y.ndim - 1

    def inner(self, u: np.ndarray, v: np.ndarray) -> Any:
        """The real inner product: one a problem, which is a signal unless the penalty couples."""
        products = np.einsum("i...,i...->...", u.conj(), v).real  # no array of their size
        return np.sum(products) if self._couples_signals else products

    def initial(self, init: Any) -> np.ndarray:
        """The first iterate: zero, or what the caller gives (but for zero signals), in units."""
        shape = (self.A.shape[1], *self.y.shape[1:])
        if init is None:
            return np.zeros(shape, dtype=self.y.dtype)
        init = check_array(init, "init", ndim=self.y.ndim, allow_complex=np.iscomplexobj(self.y))
        if init.shape != shape:
            raise ValueError(f"init has shape {init.shape}; the coefficients have shape {shape}")
        init = np.where(np.any(self.y != 0, axis=0), init.astype(self.y.dtype), 0)
        return from_units(init, 1 / self.signal_unit, self.matrix_unit, name="init")

    def measure(self, iterate: Iterate) -> dict[str, float]:
        """Objective and certificate: the gap over the objective at zero, of the worst signal."""
        x, Ax, correlation = iterate
        residual = self.y - (self.A @ x if Ax is None else Ax)
        objective = penalized(residual, x, self.alpha, self.penalty)
        correlation = adjoint(self.A) @ residual if correlation is None else correlation
        if not self.penalty.convex:
            change = float(np.linalg.norm(self.prox(x + self.step * correlation, self.step) - x))
            size = float(np.linalg.norm(x))
            certificate = change / size if size > 0 else change
            return {
                "objective": self._in_units(objective),
                "certificate": certificate,
                "dual_gap": np.nan,
            }
        gap, relative = self._gaps(x, residual, correlation)
        return {
            "objective": self._in_units(objective),
            "certificate": float(np.max(relative)),
            "dual_gap": self._in_units(gap),
        }

    def certificates(self, x: np.ndarray) -> np.ndarray:
        """The gap of each signal over its objective at zero; the penalty has to be convex."""
        residual = self.y - self.A @ x
        return self._gaps(x, residual, adjoint(self.A) @ residual)[1]

    def _gaps(self, x: np.ndarray, residual: np.ndarray, correlation: np.ndarray) -> Any:
        gap = duality_gap(residual, correlation, x, self.alpha, cast(ConvexPenalty, self.penalty))
        at_zero = least_squares(self.y)
        if np.ndim(gap) < np.ndim(at_zero):
            at_zero = np.sum(at_zero)
        relative = np.zeros_like(at_zero, dtype=float)
        return gap, np.divide(gap, at_zero, out=relative, where=np.asarray(at_zero) > 0)

    def _in_units(self, value: Any) -> float:
        return float(np.sum(value)) * self.signal_unit * self.signal_unit

    def result(self, iterate: Iterate, ending: dict[str, Any]) -> CodeResult:
        """The answer in the caller's units and dtype."""
        x = from_units(iterate.x, self.signal_unit, 1 / self.matrix_unit, name="x")
        dual_gap = float(ending["history"]["dual_gap"][-1])
        return CodeResult(x=x.astype(self.dtype, copy=False), dual_gap=dual_gap, **ending)


def entries(A: Any) -> np.ndarray:
    """The stored entries of a dense or sparse array."""
    return A if isinstance(A, np.ndarray) else A.data


def size_of_matrix(A: Any) -> float:
    """A magnitude: of the entries, or of one product with a matrix whose entries are unknown."""
    if isinstance(A, LinearOperator):
        probe = np.random.RandomState(0).standard_normal(A.shape[1]).astype(A.dtype)
        return min(magnitude(A @ probe), LARGEST)
    return magnitude(entries(A))


def divided(A: Any, unit: float) -> Any:
    """The matrix over a unit, whatever it is made of."""
    if unit == 1.0:
        return A
    if isinstance(A, np.ndarray):
        return to_units(A, unit)
    if isinstance(A, LinearOperator):
        return A * (1.0 / unit)
    A = A.copy()
    A.data = to_units(A.data, unit)
    return A


def least_alpha(dtype: np.dtype) -> float:
    """A weight up to which, in units, a quotient by it may leave the range."""
    info = np.finfo(dtype)
    return float(info.tiny / info.eps)


def in_range(alpha: float, given: float, dtype: np.dtype) -> float:
    """A weight in units that is neither 0 nor infinite; `given` is the caller's."""
    info = np.finfo(dtype)
    if not least_alpha(dtype) < alpha < np.inf:
        raise ValueError(
            f"alpha={given!r} cannot be told from 0 or infinity in {dtype} at the scale of A and y"
        )
    return min(alpha, float(info.max * info.eps))  # larger ones have the same answer, zero


def _from_ratio(A: Any, y: np.ndarray, alpha_ratio: Any, penalty: Penalty) -> Any:
    ratio = check_real(alpha_ratio, "alpha_ratio", low=0, high=1, open_low=True)
    if not penalty.convex:
        raise ValueError(
            f"alpha_ratio needs a convex penalty, got {type(penalty).__name__}; give alpha"
        )
    largest = np.asarray(alpha_max(A, y, penalty))  # type: ignore[arg-type]
    if np.any(largest == np.inf):
        raise ValueError(
            "alpha_ratio needs an l1 part: with l1_ratio=0 no code is zero; give alpha"
        )
    alpha = (ratio * np.where(largest > 0, largest, 1)).astype(y.real.dtype)
    if np.any(alpha <= least_alpha(y.dtype)):
        raise ValueError(
            f"alpha_ratio={alpha_ratio!r} cannot be told from 0 in {y.dtype}; raise it"
        )
    return alpha[()]


def answer_dtype(given: np.dtype, computed: np.dtype) -> np.dtype:
    """float16 and bfloat16 are computed in float32 and returned as they came."""
    return given if given.itemsize == 2 and given.kind in "fV" else computed
