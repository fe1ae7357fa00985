r"""Low rank: :math:`W' = L R`, the best one in the metric of the layer's inputs."""

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
    balanced,
    check_parts,
    computing_dtype,
    n_bits,
    part,
    rounded,
)
from sparsecode.solvers import weighted_svd


@dataclass(frozen=True, eq=False, repr=False)
class LowRank(Factorization):
    """``W = left @ right``.

    Parameters
    ----------
    left : array of shape (n_outputs, rank)
        Applied last.
    right : array of shape (rank, n_inputs)
        Applied first.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 64))
    >>> f = layers.factorize(W, "low_rank", budget=0.5)
    >>> f.shape, f.bits().total <= 0.5 * 64 * W.size
    ((32, 64), True)
    """

    left: np.ndarray
    right: np.ndarray
    kind: ClassVar[str] = "low_rank"

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.left.shape[0], self.right.shape[1]

    @property
    def rank(self) -> int:
        """The inner size."""
        return self.left.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """The dtype of both factors."""
        return self.left.dtype

    @property
    def summary(self) -> str:
        """The rank."""
        return f"rank {self.rank}"

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """`left` and `right` in the dtype they are computed in."""
        dtype = computing_dtype(self.dtype)
        return self.left.astype(dtype, copy=False), self.right.astype(dtype, copy=False)

    def to_dense(self) -> np.ndarray:
        """The product of the factors."""
        left, right = self.factors()
        return (left @ right).astype(self.dtype, copy=False)

    def apply(self, X: np.ndarray) -> np.ndarray:
        """``(X @ right.T) @ left.T``."""
        left, right = self.factors()
        return (X @ right.T) @ left.T

    def bits(self) -> Bits:
        """The values of both factors."""
        return Bits(values=n_bits(self.left) + n_bits(self.right))

    def pack(self) -> tuple[Arrays, Meta]:
        """Two arrays, ``left`` and ``right``."""
        return {"left": self.left, "right": self.right}, {"kind": self.kind}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> LowRank:
        """The inverse of `pack`."""
        check_parts(arrays, "left", "right")
        left, right = part(arrays, "left", 2), part(arrays, "right", 2)
        if left.size == 0 or right.size == 0:  # else arrays of no bytes could ask for any size
            raise ValueError(f"the factors of shapes {left.shape} and {right.shape} are empty")
        if left.shape[1] != right.shape[0] or left.dtype != right.dtype:
            raise ValueError(
                f"the factors {left.shape} {left.dtype} and {right.shape} {right.dtype} do not fit"
            )
        return cls(left, right)


def largest_rank(shape: tuple[int, int], budget: int, dtype: np.dtype) -> int:
    """The largest rank whose two factors `budget` bits hold."""
    return min(budget // (8 * dtype.itemsize * sum(shape)), *shape)


def fit_low_rank(W: np.ndarray, gram: np.ndarray | None, budget: int, dtype: np.dtype) -> LowRank:
    """The best rank that fits the budget, in the metric of the inputs: `weighted_svd`."""
    rank = largest_rank(W.shape, budget, dtype)
    if rank < 1:
        raise BudgetError(f"rank 1 of a {W.shape} layer does not fit into {budget} bits")
    left, right, _ = weighted_svd(W, gram, rank)
    left, right = balanced(left, right)
    return LowRank(rounded(left, dtype), rounded(right, dtype))
