r"""Low rank: :math:`W' = L R`, the best one in the metric of the layer's inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.linalg

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
    in_double,
)
from sparsecode.layers.factorizations._feedback import cholesky
from sparsecode.layers.factorizations._format import Format, check_format
from sparsecode.layers.factorizations._rounding import shifted, store_matrix
from sparsecode.layers.factorizations._values import (
    Values,
    check_fit,
    checked_values,
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
from sparsecode.solvers import weighted_spectrum, weighted_svd

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

    def __post_init__(self) -> None:
        left, right = (checked_values(getattr(self, name), name, 2) for name in ("left", "right"))
        check_fit(left.shape[1] == right.shape[0], left=left, right=right)
        object.__setattr__(self, "left", left)
        object.__setattr__(self, "right", right)

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

    def _apply(self, X: np.ndarray) -> np.ndarray:
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
        return cls(*(unpacked(arrays, meta, name, 2) for name in ("left", "right")))


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
    if form != "matrix" or not format_.plain:  # only the factors themselves do with less
        W, gram = in_double(W, gram)
    if form != "matrix":
        fit = fit_spatial if form == "spatial" else fit_tucker
        return fit(W, gram, budget, format_, check_kernel(kernel_shape, W.shape[1]))
    check_unused("form='matrix'", kernel_shape=kernel_shape)
    left, right, _ = weighted_svd(W, gram, _rank_within(W.shape, budget, format_))
    return stored_factors(W, left, right, gram, format_)


def fit_ranks(
    W: np.ndarray,
    gram: np.ndarray | None,
    dtype: np.dtype,
    asked: Sequence[tuple[int, Mapping[str, Any]]],
    n_rows: int,
) -> Iterator[Callable[[], tuple[LowRank, int]]]:
    """`fit_low_rank` for many budgets and widths, roughly, from one decomposition, and the bits.

    `W` is some of the `n_rows` rows of the layer, of which budgets and bits are those of all. Ranks
    of more numbers than it has are none: rounding the layer itself is better.
    """
    shape = n_rows, W.shape[1]
    U = weighted_spectrum(W, gram).U
    problem: list[Rounding] = []

    def fit(budget: int, value_bits: Any = None) -> tuple[LowRank, int]:
        format_ = check_format(dtype, value_bits)
        rank = _rank_within(shape, budget, format_)
        if rank * sum(shape) > n_rows * W.shape[1]:
            raise BudgetError(f"rank {rank} of a {shape} layer has more numbers than the layer")
        bits = format_.cost(n_rows, rank) + format_.cost(rank, shape[1])
        left = U[:, :rank]
        if format_.plain:
            return stored_factors(W, left, left.T @ W, gram, format_), bits
        if not problem:
            problem.append(Rounding.of(W, gram))
        return problem[0].stored(left, left.T @ W, format_, n_rounds=1), bits

    return (partial(fit, budget, **options) for budget, options in asked)


def _rank_within(shape: tuple[int, int], budget: int, format_: Format) -> int:
    rank = largest_rank(shape, budget, format_)
    if rank < 1:
        raise BudgetError(
            f"rank 1 of a {shape} layer does not fit into {budget} bits; raise budget"
        )
    return rank


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
    """The factors as they are stored, each refitted to what rounding has made of the other."""
    if format_.plain:
        return LowRank(*(format_.store(factor) for factor in balanced(left, right)))
    return Rounding.of(W, gram).stored(left, right, format_)


class Rounding(NamedTuple):
    """What the rounding of factors of `W` asks for, whatever their rank and their width.

    With ``W ~ left @ right`` and the one factor rounded, the other is a problem of least squares:
    ``right = left^+ W`` whatever the metric, and ``left = W H right^T (right H right^T)^+``.
    """

    W: np.ndarray  # in units
    unit: float
    gram: np.ndarray | None
    root: np.ndarray | None  # of the moment, by Cholesky
    WH: np.ndarray
    energy: float

    @classmethod
    def of(cls, W: np.ndarray, gram: np.ndarray | None) -> Rounding:
        """For a layer and the moment of its inputs."""
        unit = unit_of(magnitude(W), np.float64)
        W = to_units(W, unit)
        WH = W if gram is None else W @ gram
        root = None if gram is None else cholesky(gram.copy())
        return cls(W, unit, gram, root, WH, float(np.vdot(WH, W)))

    def stored(
        self, left: np.ndarray, right: np.ndarray, format_: Format, n_rounds: int = ROUNDS
    ) -> LowRank:
        """Each factor rounded, and refitted to the rounded other, in turn."""
        left, right = balanced(left, right)
        # Columns of length one: what rounding costs is then spread over them as it can be told.
        lengths = np.linalg.norm(left, axis=0)
        lengths[lengths == 0] = 1
        left, right = left / lengths, to_units(right * lengths[:, None], self.unit)
        metric = self._moment(right)
        best: tuple[float, Values, Values] | None = None
        rough = n_rounds == 1
        for number in range(n_rounds):
            stored_left = store_matrix(left, cholesky(metric), format_, rough=rough)
            L = decoded(stored_left).astype(np.float64)
            right = least_squares(L.T @ L, L.T @ self.W, L, self.W)
            stored_right = store_matrix(right, self.root, format_, rough=rough)
            right = decoded(stored_right).astype(np.float64)
            metric, pull = self._moment(right), self.WH @ right.T
            # Of ||W - L R||^2 in the metric, without another product of the size of the layer.
            error = self.energy - 2 * np.vdot(pull, L) + np.vdot(L.T @ L, metric)
            if best is None or error < best[0]:
                best = float(error), stored_left, stored_right
            if number + 1 < n_rounds:
                left = least_squares(metric, pull.T, metric, pull.T).T
        assert best is not None
        return LowRank(best[1], shifted(best[2], int(np.frexp(self.unit)[1]) - 1))

    def _moment(self, right: np.ndarray) -> np.ndarray:
        return right @ (right.T if self.gram is None else self.gram @ right.T)


def least_squares(square: np.ndarray, pull: np.ndarray, A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """``square^-1 pull`` by Cholesky's method, or ``A^+ B`` where that loses half of the digits."""
    factor, failed = scipy.linalg.lapack.dpotrf(square, lower=1)
    pivots = np.diag(factor)
    if failed or pivots.min() < 1e-4 * pivots.max():  # their ratio bounds the root of the condition
        return np.linalg.lstsq(A, B, rcond=None)[0]
    return scipy.linalg.lapack.dpotrs(factor, pull, lower=1)[0]
