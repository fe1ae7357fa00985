"""The penalties that couple the columns, and what the norms among the penalties have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsecode._formula import formula
from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._validation import check_array

Values = Any  # a float for one signal, an array with one entry a signal for many


def indicator(polar: Values) -> Values:
    """0 where the gauge is at most 1, up to rounding, else infinity."""
    polar = np.asarray(polar)
    return np.where(polar <= 1 + 32 * np.finfo(polar.dtype).eps, 0.0, np.inf)[()]


def as_column(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Weights that multiply the rows of `x`, in its precision."""
    if weights.size != x.shape[0]:
        raise ValueError(f"weights has {weights.size} entries for {x.shape[0]} coefficients")
    return weights.astype(x.real.dtype, copy=False).reshape(-1, *(1,) * (x.ndim - 1))


def checked_weights(weights: Any) -> np.ndarray:
    """A 1-D array of them, or an error."""
    weights = check_array(weights, "weights", ndim=1).astype(np.float64)
    if not np.all(weights > 0):
        raise ValueError(f"weights has to be positive, got {weights.min():g}")
    return weights


def norms_of(x: np.ndarray, summed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The l2 norms whose squares `summed` adds up, at any scale of `x`, in its precision."""
    with np.errstate(over="ignore", under="ignore"):
        squares = summed(np.square(np.abs(x)))
    info = np.finfo(squares.dtype)
    if squares.size > 0 and not info.tiny / info.eps < squares.max() < np.inf and np.any(x):
        unit = unit_of(magnitude(x), x.dtype)
        if unit != 1:
            return norms_of(to_units(x, unit), summed) * x.real.dtype.type(unit)
    return np.sqrt(squares).astype(x.real.dtype, copy=False)


@formula(ndim=(1, 2), coupled=True)
@dataclass(frozen=True, eq=False)
class L21:
    r"""The l2,1 norm, :math:`g(X) = \sum_i w_i \|X_{i,:}\|_2`: signals that share one support.

    It couples the columns: a row is zero in all of them, or in none. Of one signal it is the l1
    norm.

    Parameters
    ----------
    weights : array of shape (n,), optional
        Positive weights of the rows; all ones by default.

    References
    ----------
    Cotter, Rao, Engan and Kreutz-Delgado, "Sparse solutions to linear inverse problems with
    multiple measurement vectors", 2005; Obozinski, Taskar and Jordan, "Joint covariate selection
    and joint subspace selection for multiple classification problems", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.penalties import L21
    >>> float(L21().value(np.array([[3.0, 4.0], [0.0, 0.0]])))
    5.0
    >>> L21().prox(np.array([[3.0, 4.0], [0.5, 0.5]]), 2.5)
    array([[1.5, 2. ],
           [0. , 0. ]])
    """

    weights: Any = None
    convex: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", checked_weights(self.weights))

    def _rows(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        """The norms of the rows, and their weights."""
        one = x.ndim == 1
        norms = np.abs(x) if one else norms_of(x, lambda squares: np.sum(squares, axis=1))
        return norms, 1.0 if self.weights is None else as_column(self.weights, norms)

    def value(self, x: np.ndarray) -> Values:
        """The weighted sum of the norms of the rows."""
        norms, weights = self._rows(x)
        return np.sum(weights * norms)

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """Shrink the norm of each row by ``step * weight``."""
        norms, weights = self._rows(x)
        shrunk = np.maximum(norms - step * weights, 0) / np.where(norms > 0, norms, 1)
        return x * shrunk.astype(norms.dtype, copy=False).reshape(-1, *(1,) * (x.ndim - 1))

    def conjugate(self, v: np.ndarray) -> Values:
        """0 where ``polar(v) <= 1``, else infinity."""
        return indicator(self.polar(v))

    def polar(self, v: np.ndarray) -> Values:
        """The largest norm of a row over its weight."""
        norms, weights = self._rows(v)
        return np.max(norms / weights, initial=0)

    vanishing = polar

    def in_units(self, unit: float) -> tuple[float, L21]:
        """Homogeneous of degree one: the factor is the unit."""
        return unit, self


@formula(needs="the nuclear norm needs a 2-D array, one signal a column", finite=True, coupled=True)
@dataclass(frozen=True)
class NuclearNorm:
    r"""The nuclear norm of a matrix, :math:`g(X) = \sum_i \sigma_i(X)`; it couples the columns.

    References
    ----------
    Fazel, "Matrix rank minimization with applications", 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.penalties import NuclearNorm
    >>> float(NuclearNorm().value(np.diag([3.0, 4.0])))
    7.0
    """

    convex: ClassVar[bool] = True

    def value(self, x: np.ndarray) -> Values:
        """The sum of the singular values."""
        return np.sum(np.linalg.svd(x, compute_uv=False))

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """Soft threshold of the singular values."""
        U, singular_values, Vt = np.linalg.svd(x, full_matrices=False)
        return (U * np.maximum(singular_values - step, 0)) @ Vt

    def conjugate(self, v: np.ndarray) -> Values:
        """0 where the largest singular value is at most 1, else infinity."""
        return indicator(self.polar(v))

    def polar(self, v: np.ndarray) -> Values:
        """The largest singular value."""
        return np.max(np.linalg.svd(v, compute_uv=False), initial=0)

    vanishing = polar

    def in_units(self, unit: float) -> tuple[float, NuclearNorm]:
        """Homogeneous of degree one: the factor is the unit."""
        return unit, self
