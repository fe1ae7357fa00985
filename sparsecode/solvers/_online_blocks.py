"""Blocks of a Dask array in batches, coded where they are: what online learning knows of them.

Sums of the codes of a batch travel, and as many rows as there are atoms to replace.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from sparsecode._dask import check_blocks, kept_and_added, reduce_rows, tasks
from sparsecode._scaling import from_units
from sparsecode._validation import RandomSource
from sparsecode.solvers._blocks import Blocks, added, in_units
from sparsecode.solvers._learning import Coding, Signals, moments, worst_coded
from sparsecode.solvers._learning_blocks import first_atoms_of_blocks
from sparsecode.solvers._online import Visit, unit_for
from sparsecode.solvers._online_rows import coded, without

BLOCKS = 8  # whose rows are a batch by default
PART = 2048  # rows whose codes are dense at a time


class Worst(NamedTuple):
    """Rows that are coded worst, descending."""

    energies: np.ndarray
    places: np.ndarray
    rows: np.ndarray


class Part(NamedTuple):
    """What is kept of a piece, where it was found."""

    codes: sp.csr_array  # in units
    worst: Worst


class BlockRows(NamedTuple):
    """The data in pieces, each of one block and one batch."""

    pieces: Blocks
    batch_size: int

    @classmethod
    def checked(cls, X: Any, batch_size: int | None, n_components: int, unit: float | None) -> Self:
        """Every block is looked at once; where heights are unknown it is counted before."""
        X = check_blocks(X, "X")
        if np.isnan(X.shape[0]):
            X = X.copy()
            X.compute_chunk_sizes()
        size = BLOCKS * max(X.chunks[0]) if batch_size is None else batch_size
        pieces = Blocks.checked(_cut(X, size, max(size, n_components)))
        if unit is not None:
            unit = unit_for(pieces.unit, unit, pieces.dtype)
            with np.errstate(over="ignore", under="ignore"):
                energy = pieces.energy * float(np.square(pieces.unit / unit))
            pieces = pieces._replace(unit=unit, energy=energy)
        return cls(pieces, size)

    @property
    def shape(self) -> tuple[int, int]:
        return self.pieces.shape

    @property
    def dtype(self) -> np.dtype:
        return self.pieces.dtype

    @property
    def unit(self) -> float:
        return self.pieces.unit

    @property
    def energy(self) -> float:
        return self.pieces.energy

    @property
    def n_batches(self) -> int:
        return -(-self.shape[0] // self.batch_size)

    def first_atoms(
        self, n_components: int, init: Any, rng: RandomSource, *, positive: bool
    ) -> np.ndarray:
        n = min(max(self.batch_size, n_components), self.shape[0])
        first = slice(int(np.searchsorted(self.pieces.starts, n)))
        rows = self.pieces._replace(
            X=self.pieces.X.blocks[first], starts=self.pieces.starts[first],
            shape=(n, self.shape[1]), nonzero=self.pieces.nonzero[first],
        )  # fmt: skip
        shape = (n_components, self.shape[1])
        D = first_atoms_of_blocks(rows, shape, init, rng, positive=positive)
        return D.astype(self.dtype, copy=False)

    def unseen(self) -> KeptOfBlocks:
        """Of rows that have no codes yet."""
        return KeptOfBlocks(np.zeros(self.shape[0], dtype=bool), self.pieces.starts, [])

    def fits(self, kept: Any) -> bool:
        """Whether this was kept of such rows."""
        return isinstance(kept, KeptOfBlocks) and np.array_equal(kept.starts, self.pieces.starts)

    def batches(self, kept: KeptOfBlocks, given: Any, n_threads: int) -> CodedBlocks:
        """Codes that are `given` are kept as they are; a task leaves other threads to others."""
        return CodedBlocks(self, kept)

    def codes_of(self, parts: list[Any], n_components: int) -> Any:
        """The Dask array of all codes, as they are given to the caller."""
        like = sp.csr_array((1, n_components), dtype=self.dtype)
        return self.pieces.array_of(tasks(_codes_as_given, parts, self.unit), like)


def _cut(X: Any, size: int, first: int) -> Any:
    """The same rows in blocks of which none is in two batches; no row goes elsewhere."""
    n = X.shape[0]
    if n == 0:
        return X
    ends = np.unique([*np.cumsum(X.chunks[0]), *range(size, n, size), min(first, n)])
    heights = np.diff(ends[ends > 0], prepend=0)
    return X.rechunk((tuple(heights.tolist()), X.chunks[1]))


class KeptOfBlocks(NamedTuple):
    """What is kept of rows."""

    taken: np.ndarray  # whether a row became an atom
    starts: np.ndarray  # of the pieces
    parts: list[Any]  # the `Part` of each piece, on the workers


class CodedBlocks:
    """The pieces, and what changes with every visit."""

    def __init__(self, rows: BlockRows, kept: KeptOfBlocks) -> None:
        self.rows, self.n_batches, self.taken = rows, rows.n_batches, kept.taken.copy()
        self.codes = list(kept.parts) or [None] * len(rows.pieces.starts)
        self.bounds = np.append(rows.pieces.starts, rows.shape[0])

    def height(self, number: int) -> int:
        size = self.rows.batch_size
        return min(size, self.rows.shape[0] - number * size)

    def visit(
        self, number: int, coding: Coding, D: np.ndarray, weight: float, reborn: np.ndarray | None
    ) -> Visit:
        """One pass over the blocks of the batch: what comes back is what is new in the sums."""
        of_batch, pieces = self._pieces(range(number, number + 1)), self.rows.pieces
        where = slice(of_batch.start, of_batch.stop)
        first = reborn is None
        places = [(self.bounds[i], self._taken(i)) for i in of_batch]
        # A row that has become an atom does not do so again: of as many rows as there are atoms
        # after this visit, and again before the next.
        visited = tasks(
            _first_visited if first else _visited,
            pieces.X if first else (pieces.X, self.codes[where]),
            pieces.dtype, pieces.unit, coding, D, weight, reborn, 2 * len(D),
            which=of_batch, of_each=places,
        )  # fmt: skip
        seen: Visit
        self.codes[where], seen = kept_and_added(added, visited)
        return seen

    def worst(self, batches: range, count: int) -> np.ndarray:
        if count == 0:
            return np.empty((0, self.rows.shape[1]), self.rows.dtype)
        pieces = self._pieces(batches)
        found = reduce_rows(
            _not_taken, partial(_worst_of_all, count=count),
            self.codes[pieces.start : pieces.stop], count,
            of_each=[(self._taken(i),) for i in pieces],
        )  # fmt: skip
        self.taken[found.places] = True
        return found.rows

    def kept(self) -> KeptOfBlocks:
        return KeptOfBlocks(self.taken.copy(), self.rows.pieces.starts, list(self.codes))

    def _pieces(self, batches: range) -> range:
        size = self.rows.batch_size
        ends = (batches.start * size, min(batches.stop * size, self.rows.shape[0]))
        first, last = np.searchsorted(self.bounds, ends)
        return range(int(first), int(last))

    def _taken(self, piece: int) -> np.ndarray:
        start, stop = self.bounds[piece : piece + 2]
        return np.asarray(start + np.flatnonzero(self.taken[start:stop]))


# What workers do. A piece is rows as they were given.


def _codes_as_given(part: Part, unit: float) -> sp.csr_array:
    codes = part.codes
    data = from_units(codes.data, unit, name="codes")
    return sp.csr_array((data, codes.indices, codes.indptr), shape=codes.shape)


def _first_visited(piece: np.ndarray, *rest: Any) -> tuple[Part, Visit]:
    return _visited(piece, None, *rest)


def _visited(
    piece: np.ndarray,
    before: Part | None,
    start: int,
    taken: np.ndarray,
    dtype: np.dtype,
    unit: float,
    coding: Coding,
    D: np.ndarray,
    weight: float,
    reborn: np.ndarray | None,
    n_worst: int,
) -> tuple[Part, Visit]:
    X, old = in_units(piece, dtype, unit), None
    if before is not None and reborn is not None:
        old = without(before.codes, reborn)
    codes = _coded(coding, X, D, old)
    A, B = moments(X, codes, 1)
    if old is not None:
        old_A, old_B = moments(X, old, 1)
        A, B = A - weight * old_A, B - weight * old_B
    energies = Signals(X, None, X, unit, 0.0).energies(codes, D, 1)
    absolute = float(np.abs(codes.data).sum(dtype=np.float64))
    uses = np.bincount(codes.indices, minlength=len(D))
    seen = Visit(A, B, float(energies.sum()), absolute, uses)
    away = np.zeros(len(energies), dtype=bool)
    away[taken - start] = True
    worst = worst_coded(X, energies, away, n_worst, coding.positive)
    return Part(codes, Worst(energies[worst], start + worst, X[worst])), seen


def _coded(coding: Coding, X: np.ndarray, D: np.ndarray, old: sp.csr_array | None) -> sp.csr_array:
    if coding.alpha is None:
        return coded(coding, X, D, None, 1)
    parts = [slice(first, first + PART) for first in range(0, len(X), PART)]
    starts = [None if old is None else old[part] for part in parts]
    found = [coded(coding, X[part], D, start, 1) for part, start in zip(parts, starts, strict=True)]
    return sp.csr_array(sp.vstack(found, format="csr"))


def _not_taken(part: Part, taken: np.ndarray, count: int) -> Worst:
    free = np.flatnonzero(~np.isin(part.worst.places, taken))[:count]
    return Worst(*(each[free] for each in part.worst))


def _worst_of_all(parts: Sequence[Worst], count: int) -> Worst:
    energies, places, rows = (np.concatenate(each) for each in zip(*parts, strict=True))
    first = np.lexsort((places, -energies))[:count]
    return Worst(energies[first], places[first], rows[first])
