"""The layer as it is: what a budget is compared with, and the safest choice where bits suffice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    check_parts,
    computing_dtype,
    n_bits,
    part,
)
from sparsecode.layers.factorizations._values import checked_values


@dataclass(frozen=True, eq=False, repr=False)
class Dense(Factorization):
    """``W`` itself.

    Parameters
    ----------
    weight : array of shape (n_outputs, n_inputs)
        The weights.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 64))
    >>> f = layers.factorize(W, "dense", budget=1)
    >>> f.shape, f.bits().total <= 1 * 64 * W.size
    ((32, 64), True)
    """

    weight: np.ndarray
    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        weight = checked_values(self.weight, "weight", 2)
        if weight.size == 0:
            raise ValueError(f"weight of shape {weight.shape} is empty")
        object.__setattr__(self, "weight", weight)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.weight.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the weights."""
        return self.weight.dtype

    @property
    def summary(self) -> str:
        """Nothing is left out."""
        return "kept"

    def to_dense(self) -> np.ndarray:
        """The weight matrix."""
        return self.weight

    def _apply(self, X: np.ndarray) -> np.ndarray:
        """``X @ W.T``."""
        return X @ self.weight.astype(computing_dtype(self.dtype), copy=False).T

    def bits(self) -> Bits:
        """The values."""
        return Bits(values=n_bits(self.weight))

    def pack(self) -> tuple[Arrays, Meta]:
        """One array, ``weight``."""
        return {"weight": np.ascontiguousarray(self.weight)}, {"kind": self.kind}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> Dense:
        """The inverse of `pack`."""
        check_parts(arrays, "weight")
        return cls(part(arrays, "weight", 2))


def fit_dense(W: np.ndarray, gram: np.ndarray | None, budget: int, dtype: np.dtype) -> Dense:
    """The layer itself, if `budget` bits hold it."""
    weight = np.ascontiguousarray(W.astype(dtype))
    if n_bits(weight) > budget:
        raise BudgetError(
            f"the dense layer takes {n_bits(weight)} bits, and the budget is {budget}"
        )
    return Dense(weight)
