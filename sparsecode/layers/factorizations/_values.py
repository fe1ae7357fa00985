"""The numbers inside a form: plain in the layer's dtype, in 16 bits, or as codes.

Every form keeps its numbers as a plain array of the layer's dtype, or as one of the two classes
here; the functions below treat all three alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsecode._validation import as_array, without_mask
from sparsecode.layers.factorizations._base import (
    FLOATING,
    Arrays,
    Bits,
    Meta,
    all_finite,
    computing_dtype,
    n_bits,
    part,
)
from sparsecode.layers.factorizations._grid import (
    Grid,
    Groups,
)
from sparsecode.layers.factorizations._packing import pack_bits, packed_bytes, unpack_bits

HALF = "float16", "bfloat16"
_TILE = 1 << 18  # entries decoded at a time
_EXPONENTS = 1 << 11  # of any float64


@dataclass(frozen=True, eq=False)
class Half:
    """``array * 2**exponent``: 16 bits a number, the largest of them near one.

    Parameters
    ----------
    array : float16 or bfloat16 array
        The numbers, scaled.
    exponent : int
        Of their unit.
    dtype : dtype
        Of the layer.
    """

    array: np.ndarray
    exponent: int
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the numbers."""
        return self.array.shape

    @property
    def size(self) -> int:
        """How many numbers."""
        return self.array.size

    def decode(self) -> np.ndarray:
        """The numbers, in the dtype the layer is computed in."""
        return np.ldexp(self.array.astype(computing_dtype(self.dtype)), self.exponent)

    def bits(self) -> Bits:
        """16 a number."""
        return Bits(values=n_bits(self.array))

    def pack(self, name: str) -> tuple[Arrays, Meta]:
        """One array of a short dtype, under the name itself."""
        return {name: self.array}, {"exponent": self.exponent, "dtype": self.dtype.name}


@dataclass(frozen=True, eq=False)
class Codes:
    """``scale * (code - zero)``: integers of a few bits on grids that groups of entries share.

    Packed as ``name.codes`` (uint8: `pack_bits`, that is entry `i` in the bits ``i * bits`` to
    ``(i + 1) * bits`` of the stream, little-endian), ``name.scales`` (float16, one a group, in
    units of ``2**exponent``) and, unless the grids are symmetric, ``name.zeros`` (packed likewise).

    Parameters
    ----------
    codes : uint8 array
        The integers.
    grid : Grid
        What they stand for.
    group : int
        Consecutive entries of a row, all but the first axis, that share a scale, or, at the row's
        length or more, as many whole rows.
    dtype : dtype
        Of the layer.
    """

    codes: np.ndarray
    grid: Grid
    group: int
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the numbers."""
        return self.codes.shape

    @property
    def size(self) -> int:
        """How many numbers."""
        return self.codes.size

    def decode(self) -> np.ndarray:
        """The numbers, in the dtype the layer is computed in."""
        groups = groups_of(self.shape, self.group)
        numbers = np.empty(groups.shape, dtype=computing_dtype(self.dtype))
        for rows in tiles(groups.shape):
            numbers[rows] = self.decode_rows(rows)
        return numbers.reshape(self.shape)

    def decode_rows(self, rows: slice) -> np.ndarray:
        """Some rows of a matrix of numbers."""
        groups, dtype = groups_of(self.shape, self.group), computing_dtype(self.dtype)
        codes = self.codes.reshape(groups.shape)[rows]
        numbers = codes - groups.spread(self.grid.origins(dtype), rows)
        with np.errstate(over="ignore", under="ignore"):
            numbers *= groups.spread(self.grid.steps(dtype), rows)
        return numbers

    def bits(self) -> Bits:
        """Codes, scales and zero points."""
        width, grid = self.grid.bits, self.grid
        zeros = 0 if grid.zeros is None else 8 * packed_bytes(grid.zeros.size, width)
        return Bits(values=8 * packed_bytes(self.size, width), scales=n_bits(grid.scales) + zeros)

    def pack(self, name: str) -> tuple[Arrays, Meta]:
        """``name.codes``, ``name.scales``, and ``name.zeros`` if there are any."""
        grid = self.grid
        arrays = {f"{name}.codes": pack_bits(self.codes, grid.bits), f"{name}.scales": grid.scales}
        if grid.zeros is not None:
            arrays[f"{name}.zeros"] = pack_bits(grid.zeros, grid.bits)
        described: Meta = {
            "bits": grid.bits,
            "group": self.group,
            "shape": list(self.shape),
            "exponent": grid.exponent,
            "dtype": self.dtype.name,
            "affine": grid.zeros is not None,
        }
        return arrays, described


Values = np.ndarray | Half | Codes


def groups_of(shape: tuple[int, ...], group: int) -> Groups:
    """The groups of an array of rows; one that is 1-D is a single row."""
    return Groups((shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, shape[0]), group)


def tiles(shape: tuple[int, int]) -> Iterator[slice]:
    """Rows, a few at a time."""
    height = max(1, _TILE // max(1, shape[1]))
    return (slice(start, start + height) for start in range(0, shape[0], height))


def decoded(values: Values) -> np.ndarray:
    """The numbers, in the dtype the layer is computed in."""
    if isinstance(values, np.ndarray):
        return values.astype(computing_dtype(values.dtype), copy=False)
    return values.decode()


def in_dtype(values: Values, dtype: np.dtype) -> np.ndarray:
    """The numbers in the dtype of the layer."""
    return decoded(values).astype(dtype, copy=False)


def reshaped(values: Values, *shape: int) -> Values:
    """The same rows of numbers in another shape."""
    if isinstance(values, Codes):
        return replace(values, codes=values.codes.reshape(shape))
    if isinstance(values, Half):
        return replace(values, array=values.array.reshape(shape))
    return values.reshape(shape)


def stored_bits(values: Values) -> Bits:
    """What the numbers take, itemised."""
    return Bits(values=n_bits(values)) if isinstance(values, np.ndarray) else values.bits()


def width_of(values: Values) -> str:
    """How many bits a number takes, for a summary; nothing for the layer's own dtype."""
    if isinstance(values, Codes):
        return f" in {values.grid.bits} bits"
    return f" in {values.array.dtype}" if isinstance(values, Half) else ""


def packed(**named: Values) -> tuple[Arrays, Meta]:
    """Arrays for a file, and a description of those numbers that are no plain array."""
    arrays: Arrays = {}
    meta: Meta = {}
    for name, values in named.items():
        if isinstance(values, np.ndarray):
            arrays[name] = np.ascontiguousarray(values)
        else:
            parts, meta[name] = values.pack(name)
            arrays.update(parts)
    return arrays, meta


def part_names(meta: Meta, *names: str) -> tuple[str, ...]:
    """The packed arrays that hold these numbers."""
    found: list[str] = []
    for name in names:
        described = _described(meta, name)
        ends = [".codes", ".scales"] if "bits" in described else [""]
        ends += [".zeros"] if described.get("affine") is True else []
        found += [name + end for end in ends]
    return tuple(found)


def checked_values(values: Any, name: str, ndim: int) -> Values:
    """What a form is given to hold: floats of so many axes, as they are or stored otherwise."""
    if not isinstance(values, Half | Codes):
        values = as_array(without_mask(values, name), name)
        if values.dtype.name not in FLOATING:
            raise TypeError(f"{name} has to be of {' or '.join(FLOATING)}, got {values.dtype}")
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
    if len(values.shape) != ndim:
        raise ValueError(f"{name} has to be {ndim}-D, got shape {values.shape}")
    return values


def check_fit(fits: bool, **factors: Values) -> None:
    """Factors of one dtype, none of them empty: arrays of no bytes could ask for any size."""
    told = " and ".join(f"{name} {some.shape} {some.dtype}" for name, some in factors.items())
    if any(some.size == 0 for some in factors.values()):
        raise ValueError(f"the factors {told} are empty")
    if not fits or len({some.dtype for some in factors.values()}) > 1:
        raise ValueError(f"the factors {told} do not fit")


def unpacked(arrays: Arrays, meta: Meta, name: str, ndim: int) -> Values:
    """The inverse of `packed`, for one name."""
    if name not in meta:
        return part(arrays, name, ndim)
    described = _described(meta, name)
    dtype, exponent = described.get("dtype"), described.get("exponent")
    if dtype not in FLOATING or type(exponent) is not int or abs(exponent) > _EXPONENTS:
        raise ValueError(f"the packed layer describes {name!r} as {described!r}: no dtype or unit")
    if "bits" in described:
        return _unpacked_codes(arrays, described, name, ndim)
    return Half(_finite(part(arrays, name, ndim, HALF), name), exponent, floating(dtype))


def _described(meta: Meta, name: str) -> Meta:
    described = meta.get(name, {})
    if not isinstance(described, dict):
        raise ValueError(f"the packed layer describes {name!r} as {described!r}")
    return described


def _unpacked_codes(arrays: Arrays, described: Meta, name: str, ndim: int) -> Codes:
    bits, group, shape = (described.get(key) for key in ("bits", "group", "shape"))
    if not (
        type(bits) is int
        and 1 <= bits <= 8
        and type(group) is int
        and group > 0
        and isinstance(shape, list)
        and len(shape) == ndim
        and all(type(side) is int and side >= (ndim > 1) for side in shape)
    ):
        raise ValueError(f"the packed layer describes {name!r} as {described!r}")
    codes = unpack_bits(part(arrays, f"{name}.codes", 1, ("uint8",)), bits, math.prod(shape))
    scales = _finite(part(arrays, f"{name}.scales", 1, ("float16",)), f"{name}.scales")
    groups = groups_of(tuple(shape), group)
    if scales.size != groups.number:
        raise ValueError(f"{scales.size} scales do not fit the {groups.number} groups of {name!r}")
    zeros = None
    if described.get("affine") is True:
        zeros = unpack_bits(part(arrays, f"{name}.zeros", 1, ("uint8",)), bits, groups.number)
    grid = Grid(bits, described["exponent"], scales, zeros)
    return Codes(codes.reshape(shape), grid, group, floating(described["dtype"]))


def floating(name: str) -> np.dtype:
    """The dtype of that name."""
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def _finite(array: np.ndarray, name: str) -> np.ndarray:
    if not all_finite(array):
        raise ValueError(f"the packed array {name!r} has an entry that is not finite")
    return array
