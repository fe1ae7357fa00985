"""How numbers are to be stored: in the layer's dtype, in 16 bits, or as codes on the best grids."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsecode._scaling import magnitude
from sparsecode._validation import check_bool, check_int, check_option
from sparsecode.layers.factorizations._base import rounded
from sparsecode.layers.factorizations._grid import (
    Grid,
    Groups,
    best_grid,
    common_exponent,
    nearest,
)
from sparsecode.layers.factorizations._packing import packed_bytes
from sparsecode.layers.factorizations._values import (
    HALF,
    Codes,
    Half,
    Values,
    floating,
    groups_of,
    tiles,
)

GROUP = 64  # entries that share a scale, where nothing else is asked for
_ORDINARY = 30  # exponents either way, at which float32 holds squares and their sums


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
        count = math.prod(shape)
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
            array = rounded(np.ldexp(X, -exponent), floating(self.half))
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
