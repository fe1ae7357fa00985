r"""The penalties that are not convex: no conjugate, hence no dual point and no duality gap.

A solver certifies a stationary point with them, not a minimum. Their proximal operators are exact:
the global minimiser of :math:`\tfrac12 (u - x)^2 + t\, g(u)`, also where that is not convex in `u`.
Where two minimisers tie, the smaller is returned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from sparsecode._formula import formula
from sparsecode._validation import check_real

TINY, LARGEST = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)


@formula()
@dataclass(frozen=True)
class L0:
    r"""The number of nonzero coefficients, :math:`g(x) = \#\{i : x_i \ne 0\}`; not convex, no gap.

    References
    ----------
    Blumensath and Davies, "Iterative thresholding for sparse approximations", 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.penalties import L0
    >>> L0().prox(np.array([0.5, 2.0]), 1.0)
    array([0., 2.])
    """

    convex: ClassVar[bool] = False

    def value(self, x: np.ndarray) -> Any:
        """The count of nonzeros, one number a signal."""
        return np.count_nonzero(x, axis=0)

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """Hard threshold at ``sqrt(2 * step)``."""
        return np.where(np.abs(x) > math.sqrt(2) * np.sqrt(step), x, 0)

    def in_units(self, unit: float) -> tuple[float, L0]:
        """Homogeneous of degree zero: the factor is 1."""
        return 1.0, self


def _resized(x: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Numbers of the signs or phases of `x` and of absolute value `size`."""
    if np.iscomplexobj(x):
        absolute = np.abs(x)
        return x * (size / np.where(absolute > 0, absolute, 1))
    return np.copysign(size, x)


@formula()
@dataclass(frozen=True)
class LHalf:
    r"""The l1/2 quasi-norm, :math:`g(x) = \sum_i |x_i|^{1/2}`; not convex, no gap.

    References
    ----------
    Xu, Chang, Xu and Zhang, "L1/2 regularization: a thresholding representation theory and a fast
    solver", 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.penalties import LHalf
    >>> LHalf().value(np.array([9.0, -4.0]))
    np.float64(5.0)
    >>> LHalf().prox(np.array([1.4, 100.0]), 1.0).round(3)
    array([ 0.  , 99.95])
    """

    convex: ClassVar[bool] = False

    def value(self, x: np.ndarray) -> Any:
        """The sum of the square roots of the absolute values, one number a signal."""
        return np.sum(np.sqrt(np.abs(x)), axis=0)

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """Half threshold: zero up to ``1.5 * step**(2/3)``, there it jumps to two thirds of `x`."""
        size, threshold = np.abs(x), 1.5 * step ** (2 / 3)
        kept = np.maximum(size, threshold)
        angle = np.arccos(math.sqrt(0.5) * (threshold / kept) ** 1.5)
        root = 2 / 3 * kept * (1 + np.cos(2 / 3 * (np.pi - angle)))
        return _resized(x, np.where(size > threshold, root, 0))

    def in_units(self, unit: float) -> tuple[float, LHalf]:
        """Homogeneous of degree one half: the factor is the square root of the unit."""
        return float(np.sqrt(unit)), self


def _check_shape(gamma: Any, least: int, threshold: Any) -> None:
    check_real(gamma, "gamma", low=least, open_low=True)
    check_real(threshold, "threshold", low=0, open_low=True)


def _in_range(number: float, dtype: Any) -> float:
    """So that neither it nor its inverse leaves the range of the dtype."""
    info = np.finfo(dtype)
    return min(max(number, float(info.tiny)), float(info.max) / 4)


def _in_units(threshold: float, unit: float) -> float:
    return min(max(threshold / max(unit, TINY), TINY), LARGEST)


def _flattened(size: Any, knee: float) -> Any:
    """``size - size^2 / (2 knee)`` up to the knee, constant from there on."""
    size = np.minimum(size, knee)
    return size * (1 - size / (2 * knee))


@formula()
@dataclass(frozen=True)
class MCP:
    r"""The minimax concave penalty: the l1 norm at zero, constant for large coefficients; no gap.

    .. math:: g(x) = \sum_i \int_0^{|x_i|} \max\left(0, 1 - \frac{t}{\gamma\tau}\right) dt

    Its slope at zero is 1, so that `alpha` weighs it as it weighs the l1 norm, and it is constant
    where :math:`|x_i| \ge \gamma\tau`. The threshold :math:`\tau` is in the units of `x` and does
    not depend on `alpha`: ``alpha * MCP(gamma, threshold=alpha)`` is the penalty
    :math:`p_{\lambda,\gamma}` of the paper, whose columns have unit norm, at
    :math:`\lambda = \alpha`; for columns of norm `c` the like is ``threshold=alpha / c**2``.

    Parameters
    ----------
    gamma : float, default=3.0
        How slowly the penalty becomes flat, over 1.
    threshold : float, default=1.0
        The size :math:`\tau` of a coefficient, in the units of `x`, positive.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Zhang, "Nearly unbiased variable selection under minimax concave penalty", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.penalties import MCP
    >>> MCP().value(np.array([3.0, -30.0]))
    np.float64(3.0)
    >>> MCP().prox(np.array([0.5, 2.0, 5.0]), 1.0)
    array([0. , 1.5, 5. ])
    """

    gamma: float = 3.0
    threshold: float = 1.0
    convex: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_shape(self.gamma, 1, self.threshold)

    def _knee(self, dtype: Any) -> float:
        return _in_range(self.gamma * self.threshold, dtype)

    def value(self, x: np.ndarray) -> Any:
        """The sum over the coefficients, one number a signal."""
        return np.sum(_flattened(np.abs(x), self._knee(x.dtype)), axis=0)

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """Firm threshold; from ``step = gamma * threshold`` on a hard one."""
        size, knee = np.abs(x), self._knee(x.dtype)
        if step >= knee:
            return np.where(size > np.sqrt(step) * np.sqrt(knee), x, 0)
        shrunk = np.maximum(size - step, 0) / (1 - step / knee)
        return np.where(size >= knee, x, _resized(x, shrunk))

    def in_units(self, unit: float) -> tuple[float, MCP]:
        """The factor is the unit, and the threshold is taken in units."""
        return unit, replace(self, threshold=_in_units(self.threshold, unit))


@formula()
@dataclass(frozen=True)
class SCAD:
    r"""The smoothly clipped absolute deviation: l1 for small coefficients, constant for large ones.

    .. math:: g(x) = \sum_i \int_0^{|x_i|}
              \min\left(1, \frac{\max(0, \gamma\tau - t)}{(\gamma - 1)\tau}\right) dt

    It is :math:`|x_i|` up to the threshold :math:`\tau`, so that `alpha` weighs it as it weighs the
    l1 norm, and constant where :math:`|x_i| \ge \gamma\tau`; not convex, no gap. The threshold is
    in the units of `x` and does not depend on `alpha`: ``alpha * SCAD(gamma, threshold=alpha)`` is
    the penalty of the paper, whose columns have unit norm, at :math:`\lambda = \alpha`; for
    columns of norm `c` the like is ``threshold=alpha / c**2``.

    Parameters
    ----------
    gamma : float, default=3.7
        How slowly the penalty becomes flat, over 2.
    threshold : float, default=1.0
        The size :math:`\tau` of a coefficient, in the units of `x`, positive.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Fan and Li, "Variable selection via nonconcave penalized likelihood and its oracle properties",
    2001.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.penalties import SCAD
    >>> SCAD(gamma=3.0).value(np.array([1.0, -30.0]))
    np.float64(3.0)
    >>> SCAD(gamma=3.0).prox(np.array([0.5, 1.5, 2.5, 5.0]), 1.0)
    array([0. , 0.5, 2. , 5. ])
    """

    gamma: float = 3.7
    threshold: float = 1.0
    convex: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_shape(self.gamma, 2, self.threshold)

    def _pieces(self, dtype: Any) -> tuple[float, float]:
        """Where the slope begins to fall, and over what length it falls to zero."""
        threshold = _in_range(self.threshold, dtype)
        return threshold, _in_range((self.gamma - 1) * threshold, dtype)

    def value(self, x: np.ndarray) -> Any:
        """The sum over the coefficients, one number a signal."""
        size, (linear, knee) = np.abs(x), self._pieces(x.dtype)
        excess = np.maximum(size - linear, 0)
        return np.sum(np.minimum(size, linear) + _flattened(excess, knee), axis=0)

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """Soft threshold of what is small, nothing of what is large, a line between the two."""
        size, (linear, knee) = np.abs(x), self._pieces(x.dtype)
        soft = np.maximum(size - step, 0)
        if step >= knee:  # not convex: where the two have the same objective
            flat = 2 * linear + knee
            kept = np.sqrt(step) * np.sqrt(flat) if step >= flat else (step + flat) / 2
            return np.where(size > kept, x, _resized(x, soft))
        line = linear + (soft - linear) / (1 - step / knee)
        shrunk = np.where(soft > linear, line, soft)
        return np.where(size >= linear + knee, x, _resized(x, shrunk))

    def in_units(self, unit: float) -> tuple[float, SCAD]:
        """The factor is the unit, and the threshold is taken in units."""
        return unit, replace(self, threshold=_in_units(self.threshold, unit))
