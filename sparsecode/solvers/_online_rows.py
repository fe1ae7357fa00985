"""Rows of an array in batches, with their codes: what online learning knows of data in memory."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from sparsecode._scaling import from_units, magnitude, to_units, units_of_rows
from sparsecode._threads import map_tiles
from sparsecode._validation import RandomSource
from sparsecode.solvers._batches import check_signals, read
from sparsecode.solvers._learning import (
    Coding,
    energy_of,
    first_atoms,
    largest,
    moments,
    squared_rows,
)
from sparsecode.solvers._online import Visit, unit_for
from sparsecode.solvers._tiles import lasso_descent

ROWS = 64  # a tile of the coding: a batch of 256 rows keeps four threads busy
FIRST = (0.1, 100)  # the gap, and sweeps at the most, for codes that start at zero ...
LATER = (1e-3, 6)  # ... and for those that go on from where they were


class Rows(NamedTuple):
    """The data, read batch by batch."""

    X: np.ndarray
    dtype: np.dtype
    missing: bool
    batch_size: int
    unit: float = 1.0
    energy: float = 0.0  # of what was observed, in units

    @classmethod
    def checked(cls, X: Any, missing: bool, batch_size: int, unit: float | None) -> Self:
        """Every entry is looked at once; twice where the scale is extreme."""
        X, dtype = check_signals(X)
        rows = cls(X, dtype, missing, batch_size)
        sizes, energies = zip(*map(rows._look, range(rows.n_batches)), strict=True)
        unit = unit_for(max(sizes), unit, dtype)
        if unit != 1:
            rows = rows._replace(unit=unit)
            _, energies = zip(*map(rows._look, range(rows.n_batches)), strict=True)
        return rows._replace(energy=sum(energies))

    @property
    def shape(self) -> tuple[int, int]:
        return self.X.shape[0], self.X.shape[1]

    @property
    def n_batches(self) -> int:
        return -(-self.X.shape[0] // self.batch_size)

    def part(self, number: int) -> slice:
        start = number * self.batch_size
        return slice(start, min(start + self.batch_size, self.X.shape[0]))

    def read(self, rows: slice) -> np.ndarray:
        """In units; NaN where an entry is missing."""
        return to_units(read(self.X, rows, self.dtype, missing=self.missing), self.unit)

    def first_atoms(
        self, n_components: int, init: Any, rng: RandomSource, *, positive: bool
    ) -> np.ndarray:
        first = np.nan_to_num(self.read(slice(0, max(self.batch_size, n_components))))
        return first_atoms(first, (n_components, self.shape[1]), init, rng, positive=positive)

    def unseen(self) -> Kept:
        """Of rows that have no codes yet."""
        n = self.shape[0]
        filled = np.zeros(self.shape, dtype=self.dtype) if self.missing else None
        return Kept(np.zeros(n, dtype=bool), np.zeros(n), filled)

    def fits(self, kept: Any) -> bool:
        """Whether this was kept of such rows."""
        return isinstance(kept, Kept) and self.missing == (kept.filled is not None)

    def batches(self, kept: Kept, given: sp.csr_array | None, n_threads: int) -> CodedRows:
        codes = None
        if given is not None:
            codes = given.copy()
            codes.data = to_units(codes.data, self.unit)
        return CodedRows(self, kept, codes, n_threads)

    def codes_of(self, codes: list[sp.csr_array], n_components: int) -> sp.csr_array:
        """Of all batches, as they are given to the caller."""
        found = sp.csr_array(sp.vstack(codes, format="csr"))
        found.data = from_units(found.data, self.unit, name="codes")
        return found

    def _look(self, number: int) -> tuple[float, float]:
        tile = self.read(self.part(number))
        with np.errstate(over="ignore"):
            return magnitude(tile), energy_of(np.nan_to_num(tile))


class Kept(NamedTuple):
    """What is kept of each row beside its code."""

    taken: np.ndarray  # whether it became an atom
    energies: np.ndarray  # what its code left of it; zero if it cannot be an atom
    filled: np.ndarray | None  # where entries are missing: the row as it is in the sums

    def copy(self) -> Self:
        filled = None if self.filled is None else self.filled.copy()
        return type(self)(self.taken.copy(), self.energies.copy(), filled)


class CodedRows:
    """The rows, and what changes with every visit."""

    def __init__(self, rows: Rows, kept: Kept, codes: sp.csr_array | None, n_threads: int) -> None:
        self.rows, self.n_threads, self.n_batches = rows, n_threads, rows.n_batches
        self.state = kept.copy()
        self.codes = []
        if codes is not None:
            self.codes = [codes[rows.part(i)] for i in range(self.n_batches)]

    def height(self, number: int) -> int:
        part = self.rows.part(number)
        return part.stop - part.start

    def visit(
        self, number: int, coding: Coding, D: np.ndarray, weight: float, reborn: np.ndarray | None
    ) -> Visit:
        part, (_, energies, filled) = self.rows.part(number), self.state
        x, old, before = self.rows.read(part), None, None
        observed = ~np.isnan(x) if self.rows.missing else None
        if reborn is not None:
            old = without(self.codes[number], reborn)
            before = moments(x if filled is None else filled[part], old, self.n_threads)
        codes = coded(coding, x, D, old, self.n_threads)
        model = codes @ D
        if observed is not None:
            x = np.where(observed, x, model)
        if filled is not None:
            filled[part] = x
        R = x - model
        energies[part] = squared_rows(R)
        if coding.positive:
            energies[part][~(x > 0).any(axis=1)] = 0
        self.codes[number : number + 1] = [codes]
        absolute = float(np.abs(codes.data).sum(dtype=np.float64))
        A, B = moments(x, codes, self.n_threads)
        if before is not None:
            A, B = A - weight * before[0], B - weight * before[1]
        uses = np.bincount(codes.indices, minlength=len(D))
        return Visit(A, B, energy_of(R), absolute, uses)

    def worst(self, batches: range, count: int) -> np.ndarray:
        if count == 0:
            return np.empty((0, self.rows.shape[1]), self.rows.dtype)
        start, stop = self.rows.part(batches[0]).start, self.rows.part(batches[-1]).stop
        taken, energies, filled = self.state
        which = start + largest(np.where(taken[start:stop], 0, energies[start:stop]), count)
        taken[which] = True
        if filled is not None:
            return filled[which]
        found = [self.rows.read(slice(i, i + 1)) for i in which]
        return np.concatenate([np.empty((0, self.rows.shape[1]), self.rows.dtype), *found])

    def kept(self) -> Kept:
        return self.state.copy()


def without(codes: sp.csr_array, atoms: np.ndarray) -> sp.csr_array:
    """The codes but for what they say of these atoms."""
    data = np.where(atoms[codes.indices], 0, codes.data)
    return sp.csr_array((data, codes.indices, codes.indptr), shape=codes.shape)


def coded(
    coding: Coding, x: np.ndarray, D: np.ndarray, start: sp.csr_array | None, n_threads: int
) -> sp.csr_array:
    """Codes of a batch; those of the lasso go on from where they were."""
    missing = bool(np.isnan(x).any())
    if coding.alpha is None or missing:
        found = coding.codes(x, D, n_threads, missing=missing)
        found.eliminate_zeros()
        return found
    tol, max_iter = FIRST if start is None else LATER
    codes = np.zeros((len(x), len(D)), dtype=D.dtype) if start is None else start.toarray()
    descend = lasso_descent(D, coding.alpha, coding.positive)

    def code(first: int) -> None:
        tile, c = x[first : first + ROWS], codes[first : first + ROWS]
        units = units_of_rows(tile)
        descend(to_units(tile, units), units, c, tol, max_iter)

    map_tiles(code, range(0, len(x), ROWS), n_threads)
    return sp.csr_array(codes)
