"""Signals that are read, checked and given back tile by tile, and their codes put together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from sparsecode._mapped import Rows, give_back
from sparsecode._scaling import to_units, units_of_rows
from sparsecode._validation import check_array, refuse_missing
from sparsecode.solvers._tiles import TILE, CodeTile


class Part(NamedTuple):
    """Codes of some rows, one after another."""

    rows: Rows
    counts: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    certificate: float  # of the worst one


def check_signals(X: Any) -> tuple[np.ndarray, np.dtype]:
    """`X`, whose entries are for `read` to check where they can be read in tiles; and its dtype.

    A file that is mapped may be larger than the memory.
    """
    in_tiles = isinstance(X, np.ndarray) and not isinstance(X, np.ma.MaskedArray)
    if not (in_tiles and X.ndim == 2 and X.size > 0 and X.dtype.kind in "fiub"):
        X = check_array(X, "X", allow_missing=True)
    return X, check_array(X[:1], "X", allow_missing=True).dtype


def check_dictionary(dictionary: Any, X: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The atoms of signals `X`, in the dtype that the two are computed in."""
    D = check_array(dictionary, "dictionary")
    if X.shape[1] != D.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} features but dictionary has {D.shape[1]}; "
            "both hold one signal or atom a row"
        )
    return np.ascontiguousarray(D, dtype=np.result_type(dtype, D))


def read(X: np.ndarray, rows: Rows, dtype: np.dtype, *, missing: bool) -> np.ndarray:
    """A copy of these rows, finite but for what may be missing."""
    tile = np.array(X[rows], dtype=dtype, order="C")
    give_back(X, rows)
    if not np.isfinite(np.vdot(tile, tile)):  # an entry is not, or a square overflows
        check_array(tile, "X", allow_missing=True)
        if not missing:
            refuse_missing(tile)
    return tile


def code_rows(code_tile: CodeTile, rows: Rows, signals: np.ndarray) -> Part:
    """The codes of at most `TILE` signals.

    A tile always is of the same height, and each row has a unit of its own: the bits of a code must
    not depend on the batch.
    """
    n = len(signals)
    tile = signals
    if n < TILE:
        tile = np.zeros((TILE, signals.shape[1]), dtype=signals.dtype)
        tile[:n] = signals
    units = units_of_rows(tile)
    coded = code_tile(to_units(tile, units), units)
    return Part(rows, coded.counts[:n], coded.indices, coded.values, coded.certificate)


def assemble(parts: list[Part], shape: tuple[int, int], dtype: np.dtype) -> sp.csr_array:
    """One CSR array; the list is emptied as its parts are copied."""
    counts = np.zeros(shape[0], dtype=np.int64)
    for part in parts:
        counts[part.rows] = part.counts
    indptr = np.concatenate([[0], np.cumsum(counts)])
    index_dtype = np.int32 if max(indptr[-1], shape[1]) < 2**31 else np.int64
    indices, values = np.empty(indptr[-1], dtype=index_dtype), np.empty(indptr[-1], dtype=dtype)
    parts.reverse()
    while parts:
        part = parts.pop()
        places: Rows
        if isinstance(part.rows, slice):
            places = slice(indptr[part.rows.start], indptr[part.rows.stop])
        else:
            before = np.cumsum(part.counts) - part.counts
            places = np.repeat(indptr[part.rows] - before, part.counts)
            places += np.arange(len(part.values))
        indices[places], values[places] = part.indices, part.values
    codes = sp.csr_array((values, indices, indptr.astype(index_dtype)), shape=shape)
    codes.sort_indices()
    return codes
