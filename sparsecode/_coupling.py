"""The penalties that couple the columns, and what the norms among the penalties have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

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
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 1 or not np.all(np.isfinite(weights)) or not np.all(weights > 0):
        raise ValueError("weights has to be a 1-D array of finite positive numbers")
    return weights


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
        norms = np.abs(x) if x.ndim == 1 else np.sqrt(np.sum(np.square(np.abs(x)), axis=1))
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
        return np.max(norms / weights)

    vanishing = polar

    def in_units(self, unit: float) -> tuple[float, L21]:
        """Homogeneous of degree one: the factor is the unit."""
        return unit, self


def _matrix(x: np.ndarray) -> np.ndarray:
    if x.ndim != 2:
        raise ValueError(f"the nuclear norm needs a 2-D array, one signal a column; got {x.ndim}-D")
    return x


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
        return np.linalg.norm(_matrix(x), "nuc")

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """Soft threshold of the singular values."""
        U, singular_values, Vt = np.linalg.svd(_matrix(x), full_matrices=False)
        return (U * np.maximum(singular_values - step, 0)) @ Vt

    def conjugate(self, v: np.ndarray) -> Values:
        """0 where the largest singular value is at most 1, else infinity."""
        return indicator(self.polar(v))

    def polar(self, v: np.ndarray) -> Values:
        """The largest singular value."""
        return np.linalg.norm(_matrix(v), 2)

    vanishing = polar

    def in_units(self, unit: float) -> tuple[float, NuclearNorm]:
        """Homogeneous of degree one: the factor is the unit."""
        return unit, self
