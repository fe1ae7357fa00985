r"""Penalties: formulas with a law.

A penalty :math:`g` is a small frozen dataclass that knows its value, its proximal operator

.. math:: \mathrm{prox}_{t g}(x) = \arg\min_u \tfrac12 \|u - x\|^2 + t\, g(u),

and, when it is convex, what a dual point needs: its conjugate :math:`g^*` and the gauge of the
domain of :math:`g^*` (the ``polar``). Solvers minimise ``0.5 * ||y - A x||^2 + alpha * g(x)``.

Along axis 0 lie the coefficients of one signal; a 2-D `x` holds one signal a column, and `value`,
`conjugate` and `polar` return one number for each. The law, tested for every penalty listed in
``__all__``: ``x - prox(x)`` is a subgradient at ``prox(x)``, that is
``g(p) + g*(x - p) = <p, x - p>`` (Moreau, 1965).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import scipy.sparse as sp

from sparsecode._coupling import (
    L21,
    NuclearNorm,
    Values,
    as_column,
    checked_weights,
    indicator,
    norms_of,
)
from sparsecode._formula import formula
from sparsecode._nonconvex import L0, MCP, SCAD, LHalf
from sparsecode._validation import as_array, check_bool, check_real, without_mask

__all__ = ["L0", "L1", "L21", "MCP", "SCAD", "ElasticNet", "GroupL1", "LHalf", "NuclearNorm"]


class Penalty(Protocol):
    """What a solver asks of a penalty."""

    convex: ClassVar[bool]

    def value(self, x: np.ndarray) -> Values:
        """`g(x)`, one number a signal."""

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """The minimiser over `u` of ``0.5 * ||u - x||^2 + step * g(u)``."""

    def in_units(self, unit: float) -> tuple[float, Penalty]:
        """A factor and a penalty `h` with ``g(unit * x) = factor * h(x)``."""


class ConvexPenalty(Penalty, Protocol):
    """What a duality gap asks of a penalty."""

    def conjugate(self, v: np.ndarray) -> Values:
        """``g*(v) = max_x <x, v> - g(x)``, which may be infinite."""

    def polar(self, v: np.ndarray) -> Values:
        """The smallest ``t >= 0`` with ``g*(v / t)`` finite; 0 where it is finite everywhere."""

    def vanishing(self, v: np.ndarray) -> Values:
        """The smallest ``t >= 0`` with ``g*(v / t) = 0``: from there on 0 has the best penalty."""


def check_penalty(penalty: Any, *, convex: bool = False) -> Any:
    """The l1 norm for None; whatever has the methods that every solver asks of a penalty."""
    if penalty is None:
        return L1()
    asked = ["convex", "value", "prox", "in_units"]
    if convex:
        asked += ["conjugate", "polar", "vanishing"]
    if isinstance(penalty, type) or not all(hasattr(penalty, name) for name in asked):
        kind = "a convex one" if convex else "one"
        raise TypeError(
            f"penalty has to be {kind} of sparsecode.penalties, such as L1(), got {penalty!r}"
        )
    return penalty


def soft_threshold(x: np.ndarray, threshold: Any) -> np.ndarray:
    """``sign(x) * max(|x| - threshold, 0)``, the proximal operator of the l1 norm; complex too.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.penalties import soft_threshold
    >>> soft_threshold(np.array([-3.0, 0.5, 2.0]), 1.0)
    array([-2.,  0.,  1.])
    """
    size = np.abs(x)
    if np.iscomplexobj(x):
        return x * (np.maximum(size - threshold, 0) / np.where(size > 0, size, 1))
    return np.copysign(np.maximum(size - threshold, 0), x)


@formula()
@dataclass(frozen=True, eq=False)
class L1:
    r"""The weighted l1 norm, :math:`g(x) = \sum_i w_i |x_i|`, and :math:`x \ge 0` if asked.

    Parameters
    ----------
    weights : array of shape (n,), optional
        Positive weights; all ones by default.
    positive : bool, default=False
        Adds the constraint ``x >= 0``: the value is infinite elsewhere.

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the Lasso", 1996.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.penalties import L1
    >>> L1().value(np.array([3.0, -4.0]))
    np.float64(7.0)
    >>> L1(positive=True).prox(np.array([3.0, -4.0]), 1.0)
    array([2., 0.])
    """

    weights: np.ndarray | None = None
    positive: bool = False
    convex: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_bool(self.positive, "positive")
        if self.weights is not None:
            object.__setattr__(self, "weights", checked_weights(self.weights))

    def _weights(self, x: np.ndarray) -> Any:
        if self.positive and np.iscomplexobj(x):
            raise ValueError("positive=True needs real coefficients, got complex ones")
        return 1.0 if self.weights is None else as_column(self.weights, x)

    def value(self, x: np.ndarray) -> Values:
        """The weighted sum of absolute values, one number a signal."""
        total = np.sum(self._weights(x) * np.abs(x), axis=0)
        return np.where(np.any(x < 0, axis=0), np.inf, total)[()] if self.positive else total

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """Soft threshold at ``step * weights``."""
        threshold = step * self._weights(x)
        return np.maximum(x - threshold, 0) if self.positive else soft_threshold(x, threshold)

    def conjugate(self, v: np.ndarray) -> Values:
        """0 where ``polar(v) <= 1``, else infinity."""
        return indicator(self.polar(v))

    def polar(self, v: np.ndarray) -> Values:
        """The largest ``|v_i| / w_i`` (of the positive ones, for ``positive=True``)."""
        size = np.maximum(v, 0) if self.positive else np.abs(v)
        return np.max(size / self._weights(v), axis=0, initial=0)

    vanishing = polar

    def in_units(self, unit: float) -> tuple[float, L1]:
        """Homogeneous of degree one: the factor is the unit."""
        return unit, self


@formula()
@dataclass(frozen=True)
class ElasticNet:
    r"""The elastic net, :math:`g(x) = \rho \|x\|_1 + \frac{1 - \rho}{2} \|x\|_2^2`.

    Parameters
    ----------
    l1_ratio : float, default=0.5
        The share :math:`\rho` of the l1 norm, in [0, 1). For 1 use `L1`.
    positive : bool, default=False
        Adds the constraint ``x >= 0``: the value is infinite elsewhere.

    References
    ----------
    Zou and Hastie, "Regularization and variable selection via the elastic net", 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.penalties import ElasticNet
    >>> ElasticNet(l1_ratio=0.5).value(np.array([2.0, 0.0]))
    np.float64(2.0)
    """

    l1_ratio: float = 0.5
    positive: bool = False
    convex: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_bool(self.positive, "positive")
        if check_real(self.l1_ratio, "l1_ratio", low=0, high=1) == 1:
            raise ValueError(f"l1_ratio has to be in [0, 1), got {self.l1_ratio!r}; for 1 use L1()")

    @property
    def _l1(self) -> L1:
        return L1(positive=self.positive)

    def value(self, x: np.ndarray) -> Values:
        """The weighted sum of the l1 norm and half the squared l2 norm."""
        size = np.abs(x)
        total = np.sum(self.l1_ratio * size + (1 - self.l1_ratio) / 2 * size * size, axis=0)
        return np.where(self._l1.value(x) < np.inf, total, np.inf)[()] if self.positive else total

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """Soft threshold, then shrink."""
        return self._l1.prox(x, step * self.l1_ratio) / (1 + step * (1 - self.l1_ratio))

    def conjugate(self, v: np.ndarray) -> Values:
        """``sum_i max(|v_i| - l1_ratio, 0)^2 / (2 (1 - l1_ratio))``; v_i for positive=True."""
        excess = np.maximum((v if self.positive else np.abs(v)) - self.l1_ratio, 0)
        return np.sum(excess * excess, axis=0) / (2 * (1 - self.l1_ratio))

    def polar(self, v: np.ndarray) -> Values:
        """0: the conjugate is finite everywhere."""
        return np.zeros(v.shape[1:], dtype=v.real.dtype)[()]

    def vanishing(self, v: np.ndarray) -> Values:
        """The largest ``|v_i|`` over `l1_ratio`; infinite for a ridge, which never has zeros."""
        largest = self._l1.polar(v)
        if self.l1_ratio == 0:
            return np.where(largest > 0, np.inf, 0.0)[()]
        return largest / self.l1_ratio

    def in_units(self, unit: float) -> tuple[float, L1 | ElasticNet]:
        """The two terms scale by `unit` and by its square."""
        linear, quadratic = self.l1_ratio, (1 - self.l1_ratio) * unit
        if quadratic <= 1e-16 * linear:
            return linear * unit, self._l1
        total = linear + quadratic
        return total * unit, ElasticNet(linear / total, self.positive)


@formula(ndim=(1, 2))
@dataclass(frozen=True, eq=False)
class GroupL1:
    r"""The group lasso norm, :math:`g(x) = \sum_g w_g \|x_g\|_2`.

    Parameters
    ----------
    groups : array of int of shape (n,)
        The label of each coefficient's group, from 0 to n_groups - 1.
    weights : array of shape (n_groups,), optional
        Positive weights; by default the square root of the group's size.

    References
    ----------
    Yuan and Lin, "Model selection and estimation in regression with grouped variables", 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.penalties import GroupL1
    >>> GroupL1([0, 0, 1], weights=[1.0, 1.0]).value(np.array([3.0, 4.0, 5.0]))
    np.float64(10.0)
    """

    groups: Any
    weights: Any = None
    convex: ClassVar[bool] = True

    def __post_init__(self) -> None:
        labels = as_array(without_mask(self.groups, "groups"), "groups")
        if (
            labels.ndim != 1
            or labels.size == 0
            or labels.dtype.kind not in "iu"
            or labels.min() < 0
        ):
            raise ValueError("groups has to be a non-empty 1-D array of integer labels from 0 up")
        sizes = np.bincount(np.minimum(labels, labels.size).astype(np.intp))  # beyond are holes
        if not sizes.all():
            raise ValueError(
                f"groups has no member of group {int(np.argmin(sizes))}; number them without holes"
            )
        weights = np.sqrt(sizes) if self.weights is None else checked_weights(self.weights)
        if weights.size != sizes.size:
            raise ValueError(f"weights has {weights.size} entries for {sizes.size} groups")
        members = sp.csr_array((np.ones(labels.size), (labels, np.arange(labels.size))))
        object.__setattr__(self, "groups", labels)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "_members", members)

    def _norms(self, x: np.ndarray, name: str = "x") -> np.ndarray:
        """The l2 norm of each group, (n_groups,) or (n_groups, n_signals)."""
        if self.groups.size != x.shape[0]:
            raise ValueError(
                f"groups has {self.groups.size} labels for {x.shape[0]} coefficients in {name}"
            )
        return norms_of(x, lambda squares: self._members @ squares)  # type: ignore[attr-defined]

    def value(self, x: np.ndarray) -> Values:
        """The weighted sum of the groups' norms."""
        norms = self._norms(x)
        return np.sum(as_column(self.weights, norms) * norms, axis=0)

    def prox(self, x: np.ndarray, step: float) -> np.ndarray:
        """Shrink each group's norm by ``step * weight``."""
        norms = self._norms(x)
        shrunk = np.maximum(norms - step * as_column(self.weights, norms), 0)
        return x * (shrunk / np.where(norms > 0, norms, 1))[self.groups]

    def conjugate(self, v: np.ndarray) -> Values:
        """0 where ``polar(v) <= 1``, else infinity."""
        return indicator(self.polar(v))

    def polar(self, v: np.ndarray) -> Values:
        """The largest group norm over its weight."""
        norms = self._norms(v, "v")
        return np.max(norms / as_column(self.weights, norms), axis=0, initial=0)

    vanishing = polar

    def in_units(self, unit: float) -> tuple[float, GroupL1]:
        """Homogeneous of degree one: the factor is the unit."""
        return unit, self
