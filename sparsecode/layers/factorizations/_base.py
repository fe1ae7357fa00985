"""What every factorization is: a formula for a weight matrix, and what it costs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._validation import as_array, check_array, check_gram, without_mask

Arrays = dict[str, np.ndarray]
Meta = dict[str, Any]

FLOATING = ("float16", "bfloat16", "float32", "float64")  # what a layer's values are stored in


class BudgetError(ValueError):
    """The budget is too small for even the cheapest member of the family."""


class RangeError(ValueError):
    """The family's answer has entries that the dtype of the layer cannot hold."""


@dataclass(frozen=True, kw_only=True)
class Bits:
    """What a packed factorization takes, item by item, in bits.

    Attributes
    ----------
    values : int
        The numbers themselves.
    mask, indices, pointers : int
        Where the numbers stand: a bit an entry, or column indices and row pointers.
    codebook : int
        Atoms or centroids that the values refer to.
    scales : int
        Scales and zero points.
    container : int
        Names, shapes and padding of the file they are in.
    total : int
        The sum.

    Examples
    --------
    >>> from sparsecode.layers import Bits
    >>> (Bits(values=320) + Bits(mask=64)).total
    384
    """

    values: int = 0
    mask: int = 0
    indices: int = 0
    pointers: int = 0
    codebook: int = 0
    scales: int = 0
    container: int = 0

    @property
    def total(self) -> int:
        """The sum of all items."""
        return sum(self.items().values())

    def items(self) -> dict[str, int]:
        """The items by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __add__(self, other: Bits) -> Bits:
        return Bits(**{name: count + getattr(other, name) for name, count in self.items().items()})


def n_bits(array: np.ndarray) -> int:
    """The bits an array takes on disk."""
    return 8 * array.nbytes


def computing_dtype(dtype: np.dtype) -> np.dtype:
    """float16 and bfloat16 are computed in float32, wider floats in their own precision."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


class Factorization(ABC):
    """A weight matrix ``W`` (n_outputs, n_inputs) in a form that takes fewer bits.

    The laws, tested for every family: ``apply(X) == X @ to_dense().T`` to rounding; the packed
    arrays take exactly ``bits()``; ``unpack(*pack()) == self``.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype:
        """The dtype of the layer and of the stored values."""

    @abstractmethod
    def to_dense(self) -> np.ndarray:
        """The weight matrix, in `dtype`."""

    @abstractmethod
    def _apply(self, X: np.ndarray) -> np.ndarray:
        """``X @ W.T`` for inputs (n_samples, n_inputs), without forming `W`."""

    def apply(self, X: Any) -> np.ndarray:
        """``X @ W.T`` for inputs (..., n_inputs), without forming `W`."""
        X = as_array(without_mask(X, "X"), "X")
        (m, n), kind = self.shape, X.dtype.kind
        if X.ndim == 0 or X.shape[-1] != n or not (kind in "biufcO" or X.dtype.name == "bfloat16"):
            raise ValueError(
                f"X has to be numbers of shape (..., {n}), for the layer has {n} inputs, got "
                f"{X.dtype} of shape {X.shape}"
            )
        X = check_array(X, "X", ndim=X.ndim, allow_complex=True, allow_empty=True)
        return self._apply(X.reshape(-1, n)).reshape(*X.shape[:-1], m)

    @abstractmethod
    def bits(self) -> Bits:
        """What `pack` takes, itemised."""

    @abstractmethod
    def pack(self) -> tuple[Arrays, Meta]:
        """Named arrays for a file, and what JSON has to say about them."""

    @classmethod
    @abstractmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> Factorization:
        """The inverse of `pack`; raises ValueError for arrays that do not fit together."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """The sizes that matter, in a few words."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Factorization):
            return NotImplemented
        (mine, my_meta), (theirs, their_meta) = self.pack(), other.pack()
        return (
            my_meta == their_meta
            and mine.keys() == theirs.keys()
            and all(_same(mine[name], theirs[name]) for name in mine)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.shape[0]}x{self.shape[1]} {self.dtype}, {self.summary})"
        )


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def part(arrays: Arrays, name: str, ndim: int, dtypes: Collection[str] = FLOATING) -> np.ndarray:
    """A packed array of one of the dtypes, or one sentence that says what it is instead."""
    if name not in arrays:
        raise ValueError(
            f"the packed layer has no array {name!r}; it has {', '.join(sorted(arrays)) or 'none'}"
        )
    array = arrays[name]
    if array.ndim != ndim or array.dtype.name not in dtypes:
        raise ValueError(
            f"the packed array {name!r} has shape {array.shape} and dtype {array.dtype}; "
            f"it has to be {ndim}-D and {' or '.join(dtypes)}"
        )
    return array


def check_parts(arrays: Arrays, *names: str) -> None:
    """An array that the form does not use is damage, never ignored."""
    if unknown := sorted(set(arrays) - set(names)):
        raise ValueError(f"the packed layer has an array {unknown[0]!r} that it does not use")


def checked_shape(meta: Meta) -> tuple[int, int]:
    """The shape that the description of a packed layer states."""
    shape = meta.get("shape")
    if not (
        isinstance(shape, list)
        and len(shape) == 2
        and all(type(side) is int and side > 0 for side in shape)
    ):
        raise ValueError(
            f"the packed layer's shape is {shape!r}; it has to be two positive integers"
        )
    return shape[0], shape[1]


def prefixed(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays under longer names."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def unprefixed(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose names begin with the prefix, under the rest of their names."""
    return {
        name[len(prefix) + 1 :]: a for name, a in arrays.items() if name.startswith(f"{prefix}.")
    }


def rounded(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """C-contiguous in the dtype it is stored in."""
    with np.errstate(over="ignore", under="ignore"):
        stored = np.ascontiguousarray(array.astype(dtype))
    if not all_finite(stored):
        raise RangeError(f"a factor of this layer exceeds the range of {dtype}")
    return stored


def all_finite(array: np.ndarray) -> bool:
    """Whether no entry is infinite or NaN, of a bfloat16 array too."""
    return bool(np.all(np.isfinite(array.astype(computing_dtype(array.dtype), copy=False))))


def in_double(W: np.ndarray, gram: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """A layer and a moment in float64, for what asks for it."""
    wide = np.dtype(np.float64)
    return W.astype(wide, copy=False), None if gram is None else np.asarray(gram, dtype=wide)


def balanced(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factors of a product, scaled by a power of two so that their largest entries are alike.

    Neither then overflows or vanishes in a short dtype where the product does not.
    """
    sizes = magnitude(first), magnitude(second)
    if min(sizes) == 0:
        return first, second
    shift = (math.frexp(sizes[1])[1] - math.frexp(sizes[0])[1]) // 2
    return np.ldexp(first, shift), np.ldexp(second, -shift)


def second_moment(gram: Any, n_inputs: int, dtype: Any = np.float64) -> np.ndarray:
    """`gram` in this dtype and in units of its own scale, once it can be a second moment.

    With None for a dtype it stays float32 if it is.
    """
    gram = check_gram(gram, n_inputs, None)
    scaled = to_units(gram, unit_of(magnitude(gram), gram.dtype))
    return scaled if dtype is None else scaled.astype(dtype, copy=False)
