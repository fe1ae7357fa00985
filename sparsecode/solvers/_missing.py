"""Signals with missing entries: each is a problem over its observed features alone."""

from __future__ import annotations

import numpy as np

from sparsecode._threads import map_tiles
from sparsecode.solvers._batches import Part, code_rows, read
from sparsecode.solvers._coders import Coder
from sparsecode.solvers._tiles import TILE, CodeTile

TOGETHER = 16 * TILE  # signals of one pattern for which what its dictionary shares is computed once


def observed_patterns(
    X: np.ndarray, dtype: np.dtype, n_threads: int, apart: bool
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Rows in groups, and the features that each group has observed; None where it is complete.

    Of rows that are coded each `apart` the incomplete ones come in one group a tile.
    """

    def look(start: int) -> tuple[np.ndarray, np.ndarray]:
        missing = np.isnan(read(X, slice(start, start + TILE), dtype, missing=True))
        incomplete = np.flatnonzero(missing.any(axis=1))
        return start + incomplete, np.packbits(~missing[incomplete], axis=1)

    found = map_tiles(look, range(0, X.shape[0], TILE), n_threads)
    incomplete = np.concatenate([rows for rows, _ in found])
    groups: list[tuple[np.ndarray, np.ndarray | None]] = []
    if incomplete.size < X.shape[0]:
        complete = np.setdiff1d(np.arange(X.shape[0]), incomplete, assume_unique=True)
        groups += [(complete[i : i + TILE], None) for i in range(0, complete.size, TILE)]
    if incomplete.size == 0:
        return groups
    if apart:
        nothing_in_common = np.empty(0, dtype=np.int64)
        return groups + [
            (incomplete[i : i + TILE], nothing_in_common) for i in range(0, incomplete.size, TILE)
        ]
    patterns, of_row = np.unique(
        np.concatenate([packed for _, packed in found]), axis=0, return_inverse=True
    )
    order = np.argsort(of_row.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(of_row.ravel()))[:-1]
    for pattern, members in zip(patterns, np.split(incomplete[order], ends), strict=True):
        observed = np.flatnonzero(np.unpackbits(pattern, count=X.shape[1]))
        groups += [(members[i : i + TOGETHER], observed) for i in range(0, members.size, TOGETHER)]
    return groups


def code_incomplete(
    coder: Coder, code_tile: CodeTile, X: np.ndarray, D: np.ndarray, n_threads: int
) -> list[Part]:
    """The parts of all rows; `code_tile` is that of complete signals."""
    code_holes = coder.of_incomplete_tiles(D)

    def code(group: tuple[np.ndarray, np.ndarray | None]) -> list[Part]:
        rows, observed = group
        if observed is None:
            adjacent = rows[-1] - rows[0] == len(rows) - 1
            complete = slice(int(rows[0]), int(rows[-1]) + 1) if adjacent else rows
            return [code_rows(code_tile, complete, read(X, complete, D.dtype, missing=True))]
        signals, n = read(X, rows, D.dtype, missing=True), len(rows)
        if code_holes is not None:
            return [code_rows(code_holes, rows, signals)]
        if observed.size == 0:
            nothing = np.zeros(0, dtype=np.int32)
            return [Part(rows, np.zeros(n, dtype=np.int64), nothing, nothing.astype(D.dtype), 0.0)]
        restricted = coder.of_tiles(np.ascontiguousarray(D[:, observed]))
        signals = signals[:, observed]
        return [
            code_rows(restricted, rows[i : i + TILE], signals[i : i + TILE])
            for i in range(0, n, TILE)
        ]

    groups = observed_patterns(X, D.dtype, n_threads, code_holes is not None)
    return [part for parts in map_tiles(code, groups, n_threads) for part in parts]
