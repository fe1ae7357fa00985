"""Arrays larger than memory: mapped files, read and written in tiles of rows."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecode._scaling import from_units, to_units

Rows = slice | np.ndarray  # adjacent ones, or any in ascending order


def row_tiles(X: np.ndarray, n_entries: int = 2**19, least: int = 1) -> list[slice]:
    """Slices of the first axis, of about so many entries (four megabytes) and so many rows."""
    height = max(least, n_entries // max(1, math.prod(X.shape[1:])))
    return [slice(start, start + height) for start in range(0, len(X), height)]


def mapping_of(X: np.ndarray) -> np.memmap | None:
    """The mapped file that an array is a view of, if it is one."""
    owner: Any = X
    while isinstance(owner, np.ndarray) and not isinstance(owner.base, mmap.mmap):
        owner = owner.base
    return owner if isinstance(owner, np.memmap) else None


def give_back(X: np.ndarray, rows: Rows) -> None:
    """Tell the system that these rows of a mapped file have been read: it keeps them no longer.

    Only a mapping that is shared with the file can be read again with what was written to it.
    """
    owner = mapping_of(X)
    part = X[rows] if isinstance(rows, slice) else X[int(rows.min()) : int(rows.max()) + 1]
    if (
        owner is None
        or owner.mode not in ("r", "r+", "w+")
        or not part.flags.c_contiguous
        or not hasattr(mmap, "MADV_DONTNEED")
    ):
        return
    mapping: Any = owner.base
    origin = np.frombuffer(mapping, dtype=np.uint8).ctypes.data
    first, last = (end - origin for end in np.lib.array_utils.byte_bounds(part))
    first -= first % mmap.PAGESIZE
    mapping.madvise(mmap.MADV_DONTNEED, first, last - first)


def scratch_like(X: np.ndarray, dtype: Any = None) -> np.ndarray:
    """Room for an array of this shape, in C order: in memory, or in a file where `X` is in one.

    The file has no name, and lasts as long as the array. It lies in the folder of the file of `X`,
    or, where nothing may be written there, where the system has temporary files.

    Raises
    ------
    OSError
        There is no room for it.
    """
    dtype = np.dtype(X.dtype if dtype is None else dtype)
    source = mapping_of(X)
    if source is None or X.size == 0:
        return np.empty(X.shape, dtype)
    folder = os.path.dirname(source.filename) if source.filename else None
    if folder is not None and not os.access(folder, os.W_OK):
        folder = None
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here, not a crash later
            os.posix_fallocate(file.fileno(), 0, X.size * dtype.itemsize)
        return np.asarray(np.memmap(file, dtype, "r+", shape=X.shape, order="C"))


def zeros_like(X: np.ndarray) -> np.ndarray:
    """An array of zeros of this shape and dtype, in C order: in memory, or in a file as `X` is."""
    return np.zeros(X.shape, X.dtype) if mapping_of(X) is None else scratch_like(X)


def as_dtype(X: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`X` in a dtype; a mapped file becomes another one, tile by tile."""
    if X.dtype == dtype or mapping_of(X) is None:
        return X.astype(dtype, copy=False)
    return _copied(X, dtype, lambda tile: tile.astype(dtype))


def in_units(X: np.ndarray, unit: float) -> np.ndarray:
    """`X / unit` in C order; `X` itself where it is that."""
    if unit == 1.0 and X.flags.c_contiguous:
        return X
    return _copied(X, X.dtype, lambda tile: to_units(tile, unit))


def out_of_units(X: np.ndarray, unit: float, *, name: str) -> np.ndarray:
    """`X * unit`, in place."""
    if unit != 1.0:
        for rows in row_tiles(X):
            X[rows] = from_units(X[rows], unit, name=name)
    return X


def _copied(
    X: np.ndarray, dtype: np.dtype, change: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    copy = scratch_like(X, dtype)
    for rows in row_tiles(X):
        copy[rows] = change(X[rows])
    return copy


def any_entry(X: np.ndarray, test: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Whether an entry passes the test, without an array of the size of `X`."""
    if X.ndim == 0:
        return bool(test(X))
    return any(bool(test(X[rows]).any()) for rows in row_tiles(X))
