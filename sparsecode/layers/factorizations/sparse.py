r"""Sparse: the weights that matter most, refitted to the layer's outputs, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import check_array
from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    check_parts,
    checked_shape,
    computing_dtype,
    part,
    second_moment,
)
from sparsecode.layers.factorizations._feedback import cholesky
from sparsecode.layers.factorizations._rounding import store_entries
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


@dataclass(frozen=True, eq=False, repr=False)
class Sparse(Factorization):
    """The nonzeros of ``W`` and their positions, which are packed the cheaper of two ways.

    A mask takes a bit an entry; compressed rows take an index a nonzero (16 bits where the layer
    has at most 65,536 inputs, else 32) and a 32-bit pointer a row.

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

    def apply(self, X: np.ndarray) -> np.ndarray:
        """``X @ W.T`` through a sparse product."""
        rows, columns = np.nonzero(self.support)
        return (sp.csr_array((decoded(self.values), (rows, columns)), shape=self.shape) @ X.T).T

    def bits(self) -> Bits:
        """Values, and a mask or indices with pointers."""
        return stored_bits(self.values) + _position_bits(self.shape, self.values.size)

    def pack(self) -> tuple[Arrays, Meta]:
        """``values`` and ``mask``, or ``values``, ``indices`` and ``pointers``."""
        values, described = packed(values=self.values)
        meta: Meta = {"kind": self.kind, "shape": list(self.shape), **described}
        if _position_bits(self.shape, self.values.size).mask:
            return {**values, "mask": np.packbits(self.support)}, meta
        pointers = np.concatenate([[0], np.cumsum(self.support.sum(axis=1))]).astype(np.uint32)
        indices = np.nonzero(self.support)[1].astype(_index_dtype(self.shape))
        return {**values, "indices": indices, "pointers": pointers}, meta

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> Sparse:
        """The inverse of `pack`."""
        values, shape = unpacked(arrays, meta, "values", 1), checked_shape(meta)
        names = part_names(meta, "values")
        if "mask" in arrays:
            check_parts(arrays, *names, "mask")
            support = _support_of_mask(part(arrays, "mask", 1, ("uint8",)), shape)
        else:
            check_parts(arrays, *names, "indices", "pointers")
            indices = part(arrays, "indices", 1, (_index_dtype(shape).__name__,))
            support = _support_of_rows(indices, part(arrays, "pointers", 1, ("uint32",)), shape)
        if np.count_nonzero(support) != values.size:
            raise ValueError(f"{values.size} values for {np.count_nonzero(support)} positions")
        return cls(values, support)


def _support_of_mask(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    m, n = shape
    if mask.size != -(-m * n // 8):
        raise ValueError(f"the mask of a {m} x {n} layer has {mask.size} bytes")
    return np.unpackbits(mask, count=m * n).reshape(m, n).astype(bool)


def _support_of_rows(
    indices: np.ndarray, pointers: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    m, n = shape
    if pointers.size != m + 1:
        raise ValueError(f"{pointers.size} row pointers for {m} rows")
    counts = np.diff(pointers.astype(np.int64))
    if pointers[0] != 0 or pointers[-1] != indices.size or np.any(counts < 0):
        raise ValueError("the row pointers do not count the indices")
    if indices.size and indices.max() >= n:
        raise ValueError(f"a column index is {indices.max()} in a layer of {n} inputs")
    rows = np.repeat(np.arange(m), counts.tolist())
    if np.any((np.diff(indices.astype(np.int64)) <= 0) & (np.diff(rows) == 0)):
        raise ValueError("the column indices of a row do not increase")
    support = np.zeros((m, n), dtype=bool)
    support[rows, indices] = True
    return support


def _index_dtype(shape: tuple[int, int]) -> type[np.unsignedinteger]:
    return np.uint16 if shape[1] <= 2**16 else np.uint32


def _position_bits(shape: tuple[int, int], nnz: int) -> Bits:
    """What it takes to say where `nnz` entries stand, the cheaper way."""
    m, n = shape
    mask = Bits(mask=8 * -(-m * n // 8))
    rows = Bits(indices=nnz * 8 * np.dtype(_index_dtype(shape)).itemsize, pointers=32 * (m + 1))
    return mask if mask.total <= rows.total else rows


def largest_count(shape: tuple[int, int], budget: int, width: int) -> int:
    """The most nonzeros of `width` bits, and their positions, that `budget` bits hold, or < 0."""
    m, n = shape
    index = 8 * np.dtype(_index_dtype(shape)).itemsize
    by_mask = (budget - 8 * -(-m * n // 8)) // width
    by_rows = (budget - 32 * (m + 1)) // (width + index)
    return min(max(by_mask, by_rows), m * n)


def largest_scores(score: np.ndarray, count: int) -> np.ndarray:
    """The support of the `count` largest entries; ties go to the first."""
    order = np.argsort(-score, axis=None, kind="stable")[:count]
    support = np.zeros(score.size, dtype=bool)
    support[order] = True
    return support.reshape(score.shape)


def importance(W: np.ndarray, gram: np.ndarray | None) -> np.ndarray:
    """``|W_ij| sqrt(H_jj)``: the root of what the output loses with the weight alone (Wanda)."""
    return np.abs(W) if gram is None else np.abs(W) * np.sqrt(np.maximum(np.diag(gram), 0))


def refit(
    W: np.ndarray, support: np.ndarray, gram: np.ndarray | None, *, tol: float = 1e-8
) -> np.ndarray:
    r"""The best weights on a given support, for all rows at once.

    .. math:: \min_{V} \mathrm{tr}\bigl((W - V)\, H\, (W - V)^T\bigr)
              \quad \text{s.t.} \quad V_{ij} = 0 \text{ off the support}

    Conjugate gradients on the normal equations of every row together, preconditioned by the
    diagonal of `H`. `H` may be singular.

    Parameters
    ----------
    W : array of shape (m, n)
        The weights to match.
    support : bool array of shape (m, n)
        Where the answer may differ from zero.
    gram : array of shape (n, n) or None
        Second moment of the inputs; None means the identity.
    tol : float, default=1e-8
        Stop when every row's gradient on its support is at most `tol` times the initial one.

    Returns
    -------
    ndarray of shape (m, n)
        The weights, in float64.

    References
    ----------
    Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", 1952.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers import refit
    >>> H = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> refit(np.array([[1.0, 1.0]]), np.array([[True, False]]), H)
    array([[1.5, 0. ]])
    """
    W = check_array(W, "W").astype(np.float64)
    support = np.asarray(support)
    if support.dtype != bool or support.shape != W.shape:
        raise ValueError(f"support has to be a boolean array of shape {W.shape}")
    if gram is None:
        return np.where(support, W, 0)
    unit = unit_of(magnitude(W), np.float64)
    V = _conjugate_gradients(to_units(W, unit), support, second_moment(gram, W.shape[1]), tol)
    return from_units(V, unit, name="the refitted weights")


def _conjugate_gradients(
    W: np.ndarray, support: np.ndarray, H: np.ndarray, tol: float
) -> np.ndarray:
    V = np.where(support, W, 0)
    diagonal = np.where(np.diag(H) > 0, np.diag(H), 1)
    gradient = np.where(support, (W - V) @ H, 0)
    Z = gradient / diagonal
    direction, decrease = Z, _row_dots(gradient, Z)
    target = tol * tol * decrease
    for _ in range(4 * W.shape[1]):  # n would do without rounding
        moved = direction @ H
        curvature = _row_dots(direction, moved)
        working = (decrease > target) & (curvature > 0)
        if not working.any():
            break
        step = np.divide(decrease, curvature, out=np.zeros_like(decrease), where=working)
        V = V + step[:, None] * direction
        gradient = gradient - step[:, None] * np.where(support, moved, 0)
        Z = gradient / diagonal
        previous, decrease = decrease, np.where(working, _row_dots(gradient, Z), 0)
        ratio = np.divide(decrease, previous, out=np.zeros_like(decrease), where=working)
        direction = Z + ratio[:, None] * direction
    return V


def _row_dots(U: np.ndarray, V: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", U, V)


def fit_sparse(
    W: np.ndarray,
    gram: np.ndarray | None,
    budget: int,
    dtype: np.dtype,
    *,
    value_bits: int | None = None,
) -> Sparse:
    """The most important weights that fit the budget, refitted on their support.

    `value_bits` of 1 to 8, or 16, stores them in so many bits.
    """
    format_ = check_format(dtype, value_bits)
    count = format_.most(budget, lambda bits, width: largest_count(W.shape, bits, width))
    if count < 1:
        raise BudgetError(
            f"one nonzero of a {W.shape} layer and its position do not fit into {budget} bits"
        )
    support = largest_scores(importance(W, gram), count)
    return from_support(refit(W, support, gram), support, format_, gram)


def from_support(
    W: np.ndarray, support: np.ndarray, format_: Format, gram: np.ndarray | None = None
) -> Sparse:
    """The entries of `W` on the support as they are stored; their codes heed the metric."""
    coded = not format_.plain and format_.bits != 16
    root = cholesky(gram.copy()) if coded and gram is not None else None
    return Sparse(store_entries(W, support, root, format_), support)
