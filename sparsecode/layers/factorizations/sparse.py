r"""Sparse: the weights that matter most, refitted to the layer's outputs, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import (
    as_array,
    check_bool,
    check_int,
    check_option,
    check_real,
    check_unused,
    without_mask,
)
from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    Factorization,
    Meta,
    checked_shape,
    computing_dtype,
)
from sparsecode.layers.factorizations._damped import Moment
from sparsecode.layers.factorizations._feedback import cholesky
from sparsecode.layers.factorizations._format import Format, check_format
from sparsecode.layers.factorizations._positions import layout
from sparsecode.layers.factorizations._positions import pack as pack_positions
from sparsecode.layers.factorizations._positions import unpack as unpack_positions
from sparsecode.layers.factorizations._pruning import (
    Pruned,
    by_random,
    by_score,
    by_splitting,
    by_surgery,
)
from sparsecode.layers.factorizations._refit import refitted
from sparsecode.layers.factorizations._rounding import store_entries
from sparsecode.layers.factorizations._supports import Pattern, check_pattern
from sparsecode.layers.factorizations._values import (
    Values,
    checked_values,
    decoded,
    packed,
    part_names,
    stored_bits,
    unpacked,
    width_of,
)

CRITERIA = ("magnitude", "random", "wanda", "obs", "alps")


@dataclass(frozen=True, eq=False, repr=False)
class Sparse(Factorization):
    """The nonzeros of ``W`` and their positions, which are packed the cheapest of several ways.

    A mask, a list of indices, compressed rows or the numbers of combinations (N:M), of entries or
    of the largest blocks that the support is a union of: rows and columns too.

    Parameters
    ----------
    values : array, or values stored otherwise, of shape (nnz,)
        The nonzeros, row by row, in the order of their columns.
    support : bool array of shape (n_outputs, n_inputs)
        Where they stand.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 64))
    >>> f = layers.factorize(W, "sparse", budget=0.5)
    >>> f.shape, f.bits().total <= 0.5 * 64 * W.size
    ((32, 64), True)
    """

    values: Values
    support: np.ndarray
    kind: ClassVar[str] = "sparse"

    def __post_init__(self) -> None:
        values = checked_values(self.values, "values", 1)
        support = as_array(without_mask(self.support, "support"), "support")
        if support.dtype != bool or support.ndim != 2 or support.size == 0:
            raise ValueError(
                "support has to be a 2-D array of booleans, not empty, got "
                f"{support.dtype} of shape {support.shape}"
            )
        if (count := np.count_nonzero(support)) != values.size:
            raise ValueError(f"values has {values.size} entries for {count} positions of support")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "support", support)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.support.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def density(self) -> float:
        """The share of entries that are kept."""
        return self.values.size / self.support.size

    @property
    def summary(self) -> str:
        """The density."""
        return f"density {self.density:.1%}{width_of(self.values)}"

    def to_dense(self) -> np.ndarray:
        """The weight matrix with its zeros."""
        with np.errstate(over="ignore"):
            return self.decoded().astype(self.dtype, copy=False)

    def decoded(self) -> np.ndarray:
        """The same in the dtype it is computed in."""
        dense = np.zeros(self.shape, dtype=computing_dtype(self.dtype))
        dense[self.support] = decoded(self.values)
        return dense

    def _apply(self, X: np.ndarray) -> np.ndarray:
        """``X @ W.T`` through a sparse product."""
        rows, columns = np.nonzero(self.support)
        return (sp.csr_array((decoded(self.values), (rows, columns)), shape=self.shape) @ X.T).T

    def bits(self) -> Bits:
        """Values, and where they stand."""
        return stored_bits(self.values) + layout(self.support).bits

    def pack(self) -> tuple[Arrays, Meta]:
        """``values``, and the arrays that say where they stand."""
        values, described = packed(values=self.values)
        positions, laid_out = pack_positions(self.support)
        meta: Meta = {"kind": self.kind, "shape": list(self.shape)}
        return {**values, **positions}, {**meta, **described, **laid_out}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> Sparse:
        """The inverse of `pack`."""
        values, shape = unpacked(arrays, meta, "values", 1), checked_shape(meta)
        names = part_names(meta, "values")
        positions = {name: array for name, array in arrays.items() if name not in names}
        return cls(values, unpack_positions(positions, meta, shape))


def fit_sparse(
    W: np.ndarray,
    gram: Moment | None,
    budget: int,
    dtype: np.dtype,
    *,
    criterion: str | None = None,
    pattern: str | None = None,
    keep: int | None = None,
    of: int | None = None,
    block_shape: Any = None,
    threshold: str | None = None,
    n_stages: int | None = None,
    refit: bool = True,
    refit_tol: float | None = None,
    value_bits: int | str | None = None,
    random_state: Any = None,
) -> Sparse:
    """The most important weights that fit the budget, refitted on their support.

    `refit_tol` is the part of each row's gradient that the refit may leave (`refit`).
    `value_bits` of 1 to 8, 16, "float16" or "bfloat16" stores them so.
    """
    criterion = _check_criterion(criterion, gram)
    if criterion != "random":
        check_unused(f"criterion={criterion!r}", random_state=random_state)
    if criterion not in ("magnitude", "wanda") or gram is None:
        check_unused(
            "sparse without gram" if gram is None else f"criterion={criterion!r}", n_stages=n_stages
        )
    format_ = check_format(dtype, value_bits)

    def room(pattern: Pattern) -> int:
        return format_.most(budget, lambda bits, width: pattern.most(W.shape, bits, width))

    allowed = check_pattern(
        W.shape, room, pattern=pattern, keep=keep, of=of, block_shape=block_shape,
        threshold=threshold,
    )  # fmt: skip
    count = allowed.cells(W.shape, room(allowed), budget)
    stages = 1 if n_stages is None else check_int(n_stages, "n_stages")
    if not check_bool(refit, "refit"):
        check_unused("refit=False", refit_tol=refit_tol)
    if refit_tol is not None:
        check_real(refit_tol, "refit_tol", low=0, high=1, open_low=True, open_high=True)
    unit = unit_of(magnitude(W), W.dtype)
    W = to_units(W, unit)
    seed = 0 if random_state is None else random_state
    V, support = _pruned(W, gram, allowed, count, criterion, stages, seed)
    if refit:
        V = refitted(W, support, gram, start=V, tol=refit_tol)
    return from_support(from_units(V, unit, name="the refitted weights"), support, format_, gram)


def _check_criterion(criterion: str | None, gram: Moment | None) -> str:
    if criterion is None:
        return "magnitude" if gram is None else "wanda"
    check_option(criterion, "criterion", CRITERIA)
    if gram is None and criterion in ("wanda", "obs", "alps"):
        raise ValueError(
            f"criterion={criterion!r} needs gram, the second moment of the layer's inputs; "
            "without one use 'magnitude'"
        )
    return criterion


def _pruned(
    W: np.ndarray,
    gram: Moment | None,
    pattern: Pattern,
    count: int,
    criterion: str,
    n_stages: int,
    random_state: Any,
) -> Pruned:
    if criterion == "random":
        return by_random(W, pattern, count, random_state)
    if criterion in ("obs", "alps"):
        method = by_surgery if criterion == "obs" else by_splitting
        return method(W, np.asarray(gram), pattern, count)
    weighted = criterion == "wanda"
    return by_score(W, gram, pattern, count, weighted=weighted, n_stages=n_stages)


def from_support(
    W: np.ndarray, support: np.ndarray, format_: Format, gram: Moment | None = None
) -> Sparse:
    """The entries of `W` on the support as they are stored; their codes heed the metric."""
    coded = not format_.plain and format_.bits != 16
    root = cholesky(np.array(gram, order="C")) if coded and gram is not None else None
    return Sparse(store_entries(W, support, root, format_), support)
