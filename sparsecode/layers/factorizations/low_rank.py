r"""Low rank: :math:`W' = L R`, the best one in the metric of the layer's inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._validation import check_option, check_unused
from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    balanced,
    check_parts,
)
from sparsecode.layers.factorizations._feedback import cholesky
from sparsecode.layers.factorizations._rounding import shifted, store_matrix
from sparsecode.layers.factorizations._values import (
    Format,
    Values,
    check_format,
    decoded,
    packed,
    part_names,
    stored_bits,
    unpacked,
    width_of,
)
from sparsecode.layers.factorizations.convolution import (
    Spatial,
    Tucker,
    check_kernel,
    fit_spatial,
    fit_tucker,
)
from sparsecode.solvers import weighted_svd

ROUNDS = 2  # in which each factor is refitted to the rounded other


@dataclass(frozen=True, eq=False, repr=False)
class LowRank(Factorization):
    """``W = left @ right``.

    Parameters
    ----------
    left : array, or values stored otherwise, of shape (n_outputs, rank)
        Applied last.
    right : array, or values stored otherwise, of shape (rank, n_inputs)
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

    left: Values
    right: Values
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
        return f"rank {self.rank}{width_of(self.left)}"

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """`left` and `right` in the dtype they are computed in."""
        return decoded(self.left), decoded(self.right)

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
        return stored_bits(self.left) + stored_bits(self.right)

    def pack(self) -> tuple[Arrays, Meta]:
        """Two arrays, ``left`` and ``right``."""
        arrays, meta = packed(left=self.left, right=self.right)
        return arrays, {"kind": self.kind, **meta}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> LowRank:
        """The inverse of `pack`."""
        check_parts(arrays, *part_names(meta, "left", "right"))
        left, right = unpacked(arrays, meta, "left", 2), unpacked(arrays, meta, "right", 2)
        if left.size == 0 or right.size == 0:  # else arrays of no bytes could ask for any size
            raise ValueError(f"the factors of shapes {left.shape} and {right.shape} are empty")
        if left.shape[1] != right.shape[0] or left.dtype != right.dtype:
            raise ValueError(
                f"the factors {left.shape} {left.dtype} and {right.shape} {right.dtype} do not fit"
            )
        return cls(left, right)


def largest_rank(shape: tuple[int, int], budget: int, format_: Format) -> int:
    """The largest rank whose two factors `budget` bits hold; less than 1 if none fits."""
    m, n = shape
    rank = min(budget // (format_.width * (m + n)), m, n)
    while rank >= 1 and format_.cost(m, rank) + format_.cost(rank, n) > budget:
        rank -= 1
    return rank


def fit_low_rank(
    W: np.ndarray,
    gram: np.ndarray | None,
    budget: int,
    dtype: np.dtype,
    *,
    metric: str | None = None,
    form: str = "matrix",
    kernel_shape: Any = None,
    value_bits: int | str | None = None,
) -> LowRank | Spatial | Tucker:
    """The best rank that fits the budget, in the metric of the inputs.

    `metric` is that of all inputs ("full", `weighted_svd`), of each for itself ("diagonal", ASVD)
    or none ("plain"). `value_bits` of 1 to 8, 16, "float16" or "bfloat16" stores the factors so.
    """
    gram = _metric(metric, gram)
    check_option(form, "form", ("matrix", "spatial", "tucker"))
    format_ = check_format(dtype, value_bits)
    if form != "matrix":
        fit = fit_spatial if form == "spatial" else fit_tucker
        return fit(W, gram, budget, format_, check_kernel(kernel_shape, W.shape[1]))
    check_unused("form='matrix'", kernel_shape=kernel_shape)
    rank = largest_rank(W.shape, budget, format_)
    if rank < 1:
        raise BudgetError(f"rank 1 of a {W.shape} layer does not fit into {budget} bits")
    left, right, _ = weighted_svd(W, gram, rank)
    return stored_factors(W, left, right, gram, format_)


def _metric(metric: str | None, gram: np.ndarray | None) -> np.ndarray | None:
    if metric is None:
        return gram
    check_option(metric, "metric", ("full", "diagonal", "plain"))
    if metric == "plain":
        return None
    if gram is None:
        raise ValueError(f"metric={metric!r} needs gram, the second moment of the layer's inputs")
    return np.diag(np.diag(gram)) if metric == "diagonal" else gram


def stored_factors(
    W: np.ndarray, left: np.ndarray, right: np.ndarray, gram: np.ndarray | None, format_: Format
) -> LowRank:
    """The factors as they are stored, each refitted to what rounding has made of the other.

    With ``W ~ left @ right`` and the one factor rounded, the other is a problem of least squares:
    ``right = left^+ W`` whatever the metric, and ``left = W H right^T (right H right^T)^+``.
    """
    left, right = balanced(left, right)
    if format_.plain:
        return LowRank(format_.store(left), format_.store(right))
    # Columns of length one: what rounding costs is then spread over them as it can be told.
    lengths = np.linalg.norm(left, axis=0)
    lengths[lengths == 0] = 1
    left, right = left / lengths, right * lengths[:, None]
    unit = unit_of(magnitude(W), np.float64)
    W, right = to_units(W, unit), to_units(right, unit)
    root = None if gram is None else cholesky(gram.copy())
    WH = W if gram is None else W @ gram
    metric = right @ (right.T if gram is None else gram @ right.T)
    best: tuple[float, Values, Values] | None = None
    for _ in range(ROUNDS):
        stored_left = store_matrix(left, cholesky(metric), format_)
        right = np.linalg.lstsq(decoded(stored_left).astype(np.float64), W, rcond=None)[0]
        stored_right = store_matrix(right, root, format_)
        right = decoded(stored_right).astype(np.float64)
        miss = W - decoded(stored_left) @ right
        error = float(np.sum(miss * (miss if gram is None else miss @ gram)))
        if best is None or error < best[0]:
            best = error, stored_left, stored_right
        metric = right @ (right.T if gram is None else gram @ right.T)
        left = np.linalg.lstsq(metric, (WH @ right.T).T, rcond=None)[0].T
    assert best is not None
    return LowRank(best[1], shifted(best[2], int(np.frexp(unit)[1]) - 1))
