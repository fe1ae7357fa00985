"""How the numbers inside a form are stored: in the layer's dtype, in 16 bits, or as codes.

Every form keeps its numbers as a plain array of the layer's dtype, or as one of the two classes
here; the functions below treat all three alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsecode._scaling import magnitude
from sparsecode._validation import check_bool, check_int, check_option
from sparsecode.layers.factorizations._base import (
    FLOATING,
    Arrays,
    Bits,
    Meta,
    all_finite,
    computing_dtype,
    n_bits,
    part,
    rounded,
)
from sparsecode.layers.factorizations._grid import (
    Grid,
    Groups,
    best_grid,
    common_exponent,
    nearest,
)
from sparsecode.layers.factorizations._packing import pack_bits, packed_bytes, unpack_bits

GROUP = 64  # entries that share a scale, where nothing else is asked for
HALF = "float16", "bfloat16"
_TILE = 1 << 18  # entries decoded at a time
_EXPONENTS = 1 << 11  # of any float64
_ORDINARY = 30  # exponents either way, at which float32 holds squares and their sums


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
    return Groups((shape[0], _product(shape[1:])) if len(shape) > 1 else (1, shape[0]), group)


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
    return Half(_finite(part(arrays, name, ndim, HALF), name), exponent, _dtype(dtype))


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
    codes = unpack_bits(part(arrays, f"{name}.codes", 1, ("uint8",)), bits, _product(shape))
    scales = _finite(part(arrays, f"{name}.scales", 1, ("float16",)), f"{name}.scales")
    groups = groups_of(tuple(shape), group)
    if scales.size != groups.number:
        raise ValueError(f"{scales.size} scales do not fit the {groups.number} groups of {name!r}")
    zeros = None
    if described.get("affine") is True:
        zeros = unpack_bits(part(arrays, f"{name}.zeros", 1, ("uint8",)), bits, groups.number)
    grid = Grid(bits, described["exponent"], scales, zeros)
    return Codes(codes.reshape(shape), grid, group, _dtype(described["dtype"]))


def _product(shape: Iterable[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _dtype(name: str) -> np.dtype:
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def _finite(array: np.ndarray, name: str) -> np.ndarray:
    if not all_finite(array):
        raise ValueError(f"the packed array {name!r} has an entry that is not finite")
    return array


@dataclass(frozen=True)
class Format:
    """How numbers are to be stored.

    Parameters
    ----------
    dtype : dtype
        Of the layer.
    bits : int or None
        None for the layer's dtype, 16 for `Half`, 1 to 8 for `Codes`.
    group : int
        Entries that share a scale.
    symmetric : bool
        Whether the grids are.
    half : {"float16", "bfloat16"}
        The dtype of 16 bits.
    """

    dtype: np.dtype
    bits: int | None = None
    group: int = GROUP
    symmetric: bool = True
    half: str = "float16"

    @property
    def plain(self) -> bool:
        """Whether nothing is rounded beyond the layer's own dtype."""
        return self.bits is None

    @property
    def width(self) -> int:
        """The bits of a number, without its scale."""
        return 8 * self.dtype.itemsize if self.bits is None else self.bits

    def of_rows(self, width: int) -> Format:
        """The same for rows of so many numbers, none of which shares a scale with another row."""
        return replace(self, group=min(self.group, max(width, 1)))

    def cost(self, *shape: int) -> int:
        """The bits that an array of this shape takes."""
        count = _product(shape)
        if self.bits is None:
            return count * 8 * self.dtype.itemsize
        if self.bits == 16:
            return count * 16
        n_groups = groups_of(shape, self.group).number
        zeros = 0 if self.symmetric else 8 * packed_bytes(n_groups, self.bits)
        return 8 * packed_bytes(count, self.bits) + 16 * n_groups + zeros

    def most(self, budget: int, count: Callable[[int, int], int]) -> int:
        """The largest list of numbers that `budget` bits hold beside what else there is.

        ``count(bits, width)`` is how many numbers of `width` bits fit into so many, scales apart.
        """

        def fits(found: int) -> bool:
            extra = self.cost(found) - found * self.width
            return count(budget - extra, self.width) >= found

        most = count(budget, self.width)
        while most >= 1 and not fits(most):
            most = min(most - 1, count(budget - self.cost(most) + most * self.width, self.width))
        while most >= 1 and fits(most + 1):
            most += 1
        return most

    def store(self, X: np.ndarray, weights: np.ndarray | None = None) -> Values:
        """`X`, to the nearest; the scales make the error weighted by `weights` small.

        `weights` broadcasts against `X`: what a unit of squared error of each entry counts.
        """
        if self.bits is None:
            return rounded(X, self.dtype)
        if self.bits == 16:
            exponent = int(np.frexp(magnitude(X))[1])
            array = rounded(np.ldexp(X, -exponent), _dtype(self.half))
            return Half(array, exponent, self.dtype)
        groups = groups_of(X.shape, self.group)
        if X.size == 0:
            none = np.empty(0, np.float16), None if self.symmetric else np.empty(0, np.uint8)
            grid = Grid(self.bits, 0, *none)
            return Codes(np.empty(X.shape, np.uint8), grid, self.group, self.dtype)
        X2 = X.reshape(groups.shape)
        grid = self.grid(X2, weights, common_exponent(X2, self.bits))
        return Codes(codes_of(X2, grid, groups).reshape(X.shape), grid, self.group, self.dtype)

    def grid(self, X: np.ndarray, weights: np.ndarray | None, exponent: int) -> Grid:
        """The best grids for the groups of `X` (m, n), their scales in units of ``2**exponent``."""
        assert self.bits is not None
        groups = groups_of(X.shape, self.group)
        shift = exponent if abs(exponent) > _ORDINARY else 0
        if shift:  # squares would leave the range of the dtype
            X = np.ldexp(X, -shift)
        H = None
        if weights is not None:
            weights = weights / (magnitude(weights) or 1.0)
            H = groups.split(np.broadcast_to(weights, X.shape).astype(X.dtype))
        grid = best_grid(groups.split(X), H, self.bits, exponent - shift, self.symmetric)
        return grid._replace(exponent=exponent)


def format_of(values: Values) -> Format:
    """The format in which numbers are stored."""
    if isinstance(values, Half):
        return Format(values.dtype, 16, half=values.array.dtype.name)
    if isinstance(values, Codes):
        grid = values.grid
        return Format(values.dtype, grid.bits, values.group, grid.zeros is None)
    return Format(values.dtype)


def codes_of(X: np.ndarray, grid: Grid, groups: Groups) -> np.ndarray:
    """The codes of what is nearest to `X` (m, n)."""
    codes = np.empty(X.shape, dtype=np.uint8)
    steps, origins = grid.steps(X.dtype), grid.origins(X.dtype)
    for rows in tiles(X.shape):
        step, origin = groups.spread(steps, rows), groups.spread(origins, rows)
        codes[rows] = nearest(X[rows], step, origin, grid.bits)
    return codes


def check_format(
    dtype: np.dtype, value_bits: Any, group_size: Any = GROUP, symmetric: Any = True
) -> Format:
    """The format that the options of a family ask for; 16 bits are float16, or the layer's own."""
    group = check_int(group_size, "group_size")
    half, symmetric = HALF[0], check_bool(symmetric, "symmetric")
    if isinstance(value_bits, str):
        half, value_bits = check_option(value_bits, "value_bits", HALF), 16
        own = dtype.name == half
    elif value_bits is None or value_bits == 16:
        own = dtype.itemsize == 2
    else:
        value_bits, own = check_int(value_bits, "value_bits", low=1, high=8), False
    return Format(dtype, None if own else value_bits, group, symmetric, half)
