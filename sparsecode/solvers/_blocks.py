"""Signals in the blocks of a Dask array, in units: what all that works on them shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from sparsecode._dask import array_of, check_blocks, computed
from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._validation import check_array
from sparsecode.solvers._learning import energy_of

Sums = TypeVar("Sums", bound=tuple[Any, ...])


class _Look(NamedTuple):
    """What a first look at a block says."""

    n: int
    size: float
    energy: float  # in its own unit
    unit: float
    n_nonzero: int  # signals that are not zero


class Blocks(NamedTuple):
    """Signals in blocks of a Dask array, as they were given; none is empty."""

    X: Any
    starts: np.ndarray
    shape: tuple[int, int]
    dtype: np.dtype
    unit: float
    energy: float
    nonzero: np.ndarray  # signals in each block that are not zero

    @classmethod
    def checked(cls, X: Any) -> Self:
        """Every block is looked at once, and its entries checked."""
        import dask.array as da

        X = check_blocks(X, "X")
        dtype = check_array(np.zeros((1, 1), X.dtype), "X").dtype
        looks = computed(_look, X)
        heights = np.array([look.n for look in looks])
        if not heights.any():
            raise ValueError(f"X is empty: its shape is {X.shape}")
        X = da.Array(X.dask, X.name, (tuple(heights.tolist()), X.chunks[1]), dtype=X.dtype)
        if not heights.all():
            X, looks = X.blocks[np.flatnonzero(heights)], [look for look in looks if look.n]
        unit = unit_of(max(look.size for look in looks), dtype)
        with np.errstate(under="ignore"):
            energy = sum(look.energy * np.square(look.unit / unit) for look in looks)
        heights = np.array(X.chunks[0])
        return cls(
            X, np.cumsum(heights) - heights, X.shape, dtype, unit, float(energy),
            np.array([look.n_nonzero for look in looks]),
        )  # fmt: skip

    def array_of(self, tasks: Sequence[Any], like: Any) -> Any:
        """The Dask array of tasks that give as many rows as the blocks have, made as `like` is."""
        return array_of(dict(enumerate(tasks)), self.X.chunks[0], like)


def in_units(block: np.ndarray, dtype: np.dtype, unit: float) -> np.ndarray:
    """The rows of a block, which a first look has checked, in units and in C order."""
    X = np.asarray(block).astype(dtype, copy=False)
    return np.ascontiguousarray(to_units(X, unit))


def added(parts: Sequence[Sums]) -> Sums:
    """Named tuples of sums, added up."""
    return type(parts[0])(*(sum(terms[1:], start=terms[0]) for terms in zip(*parts, strict=True)))


def _look(block: np.ndarray) -> _Look:
    if not block.shape[0]:
        return _Look(0, 0.0, 0.0, 1.0, 0)
    X = check_array(block, "X")
    size = magnitude(X)
    unit = unit_of(size, X.dtype)
    X = to_units(X, unit)
    return _Look(len(X), size, energy_of(X), unit, int(np.count_nonzero(X.any(axis=1))))
