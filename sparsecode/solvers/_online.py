"""Batches of rows, and what they say of the atoms of a dictionary: the loop of online learning."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from sparsecode._scaling import magnitude, to_units, unit_of, units_of_rows
from sparsecode._threads import map_tiles
from sparsecode.solvers._batches import check_signals, read
from sparsecode.solvers._learning import (
    Coding,
    as_atoms,
    energy_of,
    largest,
    rare,
    repaired,
    squared_rows,
)
from sparsecode.solvers._tiles import lasso_descent

ROWS = 64  # a tile of the coding: a batch of 256 rows keeps four threads busy
BLOCK = 32  # atoms that descend on one product
FIRST = (0.1, 100)  # the gap, and sweeps at the most, for codes that start at zero ...
LATER = (1e-3, 6)  # ... and for those that go on from where they were
FORGETTING = 4.0  # in the first pass a row counts as (rows before it / all rows)^FORGETTING
LEAD = 0.5  # codes are found for where the atoms will be after half a pass


class OnlineState(NamedTuple):
    """What is kept of the rows so far; in units but for `coding`."""

    coding: Coding
    batch_size: int
    dtype: np.dtype
    unit: float
    D: np.ndarray
    A: np.ndarray  # the sum of c^T c over the rows
    B: np.ndarray  # the sum of c^T x
    n_rows: int
    memory: Memory


class Memory(NamedTuple):
    """What is kept of these rows, which will be seen again."""

    weights: np.ndarray  # of each batch in the sums
    born: np.ndarray  # the step after which each atom was replaced; steps are batches
    taken: np.ndarray  # rows that became atoms
    energies: np.ndarray  # what the codes of the last pass left of each row
    uses: np.ndarray  # how often they used each atom
    filled: np.ndarray | None  # where entries are missing: the rows as they are in the sums
    velocity: np.ndarray  # of the atoms, in a pass
    n_passes: int
    objective: float  # of the last pass


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
        unit = unit_of(max(sizes), dtype) if unit is None else unit
        if unit != 1:
            rows = rows._replace(unit=unit)
            _, energies = zip(*map(rows._look, range(rows.n_batches)), strict=True)
        return rows._replace(energy=sum(energies))

    @property
    def n_batches(self) -> int:
        return -(-self.X.shape[0] // self.batch_size)

    def part(self, number: int) -> slice:
        start = number * self.batch_size
        return slice(start, min(start + self.batch_size, self.X.shape[0]))

    def read(self, rows: slice) -> np.ndarray:
        """In units; NaN where an entry is missing."""
        return to_units(read(self.X, rows, self.dtype, missing=self.missing), self.unit)

    def signals(self, which: np.ndarray, filled: np.ndarray | None) -> np.ndarray:
        """Single rows, in units; as they are in the sums where entries are missing."""
        if filled is not None:
            return filled[which]
        return np.array([self.read(slice(i, i + 1))[0] for i in which]).reshape(
            len(which), self.X.shape[1]
        )

    def _look(self, number: int) -> tuple[float, float]:
        tile = self.read(self.part(number))
        with np.errstate(over="ignore"):
            return magnitude(tile), energy_of(np.nan_to_num(tile))


class Pass(NamedTuple):
    D: np.ndarray
    codes: list[sp.csr_array]  # of each batch
    energy: float
    objective: float
    coherence: float
    n_replaced: int
    state: OnlineState


def passes(
    state: OnlineState, rows: Rows, codes: list[sp.csr_array], n_threads: int
) -> Iterator[Pass]:
    memory, coding = state.memory, state.coding.in_units(rows.unit)
    weights, taken = memory.weights.copy(), memory.taken.copy()
    filled = None if memory.filled is None else memory.filled.copy()
    energies, uses, atoms = memory.energies.copy(), memory.uses, Atoms(state)
    n_rows, objective, leading = state.n_rows, memory.objective, memory.n_passes > 0
    for n_pass in count(memory.n_passes):
        energy, cost, n_replaced, coherence = 0.0, 0.0, 0, 0.0
        if n_pass > 0:
            poor = atoms.rare(uses, rows.n_batches)
            worst = largest(np.where(taken, 0, energies), poor.size)
            n_replaced = atoms.renew(poor, rows.signals(worst, filled), coding.positive)
            taken[worst] = True
        uses = np.zeros_like(uses)
        for i in range(rows.n_batches):
            rows_i, x = rows.part(i), rows.read(rows.part(i))
            observed = ~np.isnan(x) if rows.missing else None
            D = atoms.ahead(LEAD * leading)
            start = None
            if n_pass > 0:
                start = codes[i].toarray()
                start[:, atoms.born >= atoms.step - rows.n_batches] = 0
                atoms.add(start, x if filled is None else filled[rows_i], -weights[i])
            elif n_rows > 0:
                fade = (n_rows / (n_rows + len(x))) ** FORGETTING
                weights[:i] *= fade
                atoms.fade(fade)
            c = _coded(coding, x, D, start, n_threads)
            x, R = _residual(x, observed, c, D)
            if filled is not None:
                filled[rows_i] = x
            atoms.add(c, x, 1.0)
            weights[i], n_rows = 1.0, n_rows + len(x) * (n_pass == 0)
            atoms.descend(coding.positive, rows.n_batches)
            energies[rows_i], energy_i = squared_rows(R), energy_of(R)
            taken[rows_i], replaced, coherence = atoms.repair(
                x, energies[rows_i], taken[rows_i], coding
            )
            codes[i : i + 1] = [sp.csr_array(c)]
            uses += np.count_nonzero(c, axis=0)
            energy, n_replaced = energy + energy_i, n_replaced + replaced
            cost += coding.objective(energy_i, codes[i])
        leading = n_pass == 0 or cost <= objective
        objective = cost
        remembered = Memory(
            weights.copy(), atoms.born.copy(), taken.copy(), energies.copy(), uses,
            None if filled is None else filled.copy(), atoms.velocity.copy(), n_pass + 1, objective,
        )  # fmt: skip
        D, A, B = atoms.D.copy(), atoms.A.copy(), atoms.B.copy()
        after = state._replace(D=D, A=A, B=B, n_rows=n_rows, memory=remembered)
        yield Pass(D, list(codes), energy, cost, coherence, n_replaced, after)


def _coded(
    coding: Coding, x: np.ndarray, D: np.ndarray, start: np.ndarray | None, n_threads: int
) -> np.ndarray:
    """Dense codes of a batch; those of the lasso go on from where they were."""
    if coding.alpha is None or np.isnan(x).any():
        return coding.codes(x, D, n_threads, missing=bool(np.isnan(x).any())).toarray()
    tol, max_iter = FIRST if start is None else LATER
    codes = np.zeros((len(x), len(D)), dtype=D.dtype) if start is None else start.copy()
    descend = lasso_descent(D, coding.alpha, coding.positive)

    def code(first: int) -> None:
        tile, c = x[first : first + ROWS], codes[first : first + ROWS]
        units = units_of_rows(tile)
        descend(to_units(tile, units), units, c, tol, max_iter)

    map_tiles(code, range(0, len(x), ROWS), n_threads)
    return codes


def _residual(
    x: np.ndarray, observed: np.ndarray | None, c: np.ndarray, D: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows, what is missing as their codes say, and what the codes leave of them."""
    model = c @ D
    if observed is not None:
        x = np.where(observed, x, model)
    return x, x - model


class Atoms:
    """The atoms and the sums that say where they go, all changed in place."""

    def __init__(self, state: OnlineState) -> None:
        self.D, self.A, self.B = state.D.copy(), state.A.copy(), state.B.copy()
        self.velocity, self.born = state.memory.velocity.copy(), state.memory.born.copy()
        self.step = state.memory.n_passes * len(state.memory.weights)  # batches so far

    @property
    def floor(self) -> float:
        """A moment of this or less is rounding."""
        return 1e-10 * float(np.trace(self.A)) / len(self.A)

    def ahead(self, passes: float) -> np.ndarray:
        """Where they will be."""
        D = self.D + passes * self.velocity
        return np.asarray(D / np.linalg.norm(D, axis=1, keepdims=True))

    def fade(self, factor: float) -> None:
        self.A *= factor
        self.B *= factor

    def add(self, codes: np.ndarray, x: np.ndarray, weight: float) -> None:
        self.A += weight * (codes.T @ codes)
        self.B += weight * (codes.T @ x)

    def descend(self, positive: bool, n_batches: int) -> None:
        """Blocks of atoms in turn, in a block one after another (Gauss and Seidel)."""
        from sparsecode.solvers._kernels.dictionary import descend_block

        before, floor, new = self.D.copy(), self.floor, np.empty_like(self.D[0])
        for first in range(0, len(self.D), BLOCK):
            part = slice(first, first + BLOCK)
            gradient = (self.B[part] - self.A[part] @ self.D).astype(self.D.dtype)
            A = self.A[part, part].astype(self.D.dtype, order="C")
            descend_block(gradient, A, self.D[part], positive, floor, new)
        self.velocity *= 1 - 1 / n_batches
        if self.step >= n_batches:  # the first pass goes too fast to be followed
            self.velocity += self.D - before

    def repair(
        self, x: np.ndarray, energies: np.ndarray, taken: np.ndarray, coding: Coding
    ) -> tuple[np.ndarray, int, float]:
        """Atoms out of use, and the later of two that are alike, become rows of the batch."""
        uses = np.diag(self.A) > self.floor
        D, taken, n_replaced, coherence = repaired(
            x, self.D, energies, uses, taken, coding.positive
        )
        if n_replaced:
            new = np.flatnonzero(np.any(D != self.D, axis=1))
            self._replace(new, D[new], self.step)
        self.step += 1
        return taken, n_replaced, coherence

    def rare(self, uses: np.ndarray, n_batches: int) -> np.ndarray:
        """Atoms that were hardly used in the last pass, though they were there for all of it."""
        return np.flatnonzero(rare(uses) & (self.born < self.step - n_batches))

    def renew(self, poor: np.ndarray, x: np.ndarray, positive: bool) -> int:
        """The first of the poor become these rows, between two batches; how many did."""
        if positive:
            x = x[(x > 0).any(axis=1)]
        poor = poor[: len(x)]
        self._replace(poor, as_atoms(x, positive), self.step - 1)
        return poor.size

    def _replace(self, which: np.ndarray, atoms: np.ndarray, step: int) -> None:
        """New atoms, of which the sums know nothing."""
        self.A[which], self.A[:, which] = 0, 0
        self.B[which], self.velocity[which], self.born[which] = 0, 0, step
        self.D[which] = atoms
