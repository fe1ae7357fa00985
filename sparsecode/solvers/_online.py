"""Batches of rows, and what they say of the atoms of a dictionary: the loop of online learning."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple, Protocol

import numpy as np

from sparsecode._scaling import unit_of
from sparsecode.solvers._learning import Coding, as_atoms, poor_atoms, rare

BLOCK = 32  # atoms that descend on one product
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

    def for_new_rows(self) -> OnlineState:
        """Without what is kept of each row."""
        return self._replace(memory=self.memory._replace(rows=None))


class Memory(NamedTuple):
    """What is kept of these rows, which will be seen again."""

    weights: np.ndarray  # of each batch in the sums
    born: np.ndarray  # the step after which each atom was replaced; steps are batches
    rows: Any  # what their `Batches` keep of each of them
    uses: np.ndarray  # how often the codes of the last pass used each atom
    velocity: np.ndarray  # of the atoms, in a pass
    n_passes: int
    objective: float  # of the last pass
    leading: bool  # it did no worse than the one before: the atoms may run ahead


def unit_for(size: float, unit: float | None, dtype: np.dtype) -> float:
    """The unit of new rows of this size: that of the rows before, if there were any."""
    if unit is None:
        return unit_of(size, dtype)
    if size > unit * 2.0 ** (np.finfo(dtype).maxexp // 5):
        raise ValueError(
            f"X has entries of up to {size:.3g}, beside which the rows before, in units of "
            f"{unit:.3g}, are nothing; rescale X, or begin anew"
        )
    return unit


class Visit(NamedTuple):
    """What the new codes of a batch say."""

    A: np.ndarray  # to be added to the sums: where there were codes before, these are taken off
    B: np.ndarray
    energy: float  # what they leave
    absolute: float
    uses: np.ndarray


class Batches(Protocol):
    """Rows, and what is known of them, wherever they are."""

    n_batches: int
    codes: list[Any]

    def height(self, number: int) -> int:
        """How many rows a batch has."""

    def visit(
        self, number: int, coding: Coding, D: np.ndarray, weight: float, reborn: np.ndarray | None
    ) -> Visit:
        """Code a batch, which was in the sums with this weight if `reborn` is not None.

        Its old codes know nothing of atoms that are reborn.
        """

    def worst(self, batches: range, count: int) -> np.ndarray:
        """The rows that are coded worst, each given once, of those that can become atoms."""

    def kept(self) -> Any:
        """What another call needs beside the codes to go on."""


class Pass(NamedTuple):
    D: np.ndarray
    codes: list[Any]
    energy: float
    objective: float
    n_nonzero: int
    coherence: float
    n_replaced: int
    state: OnlineState


def passes(state: OnlineState, batches: Batches) -> Iterator[Pass]:
    memory, coding, n = state.memory, state.coding.in_units(state.unit), batches.n_batches
    weights, uses, atoms = memory.weights.copy(), memory.uses, Atoms(state)
    n_rows, objective, leading = state.n_rows, memory.objective, memory.leading
    for n_pass in count(memory.n_passes):
        energy, absolute, n_replaced, coherence = 0.0, 0.0, 0, 0.0
        if n_pass > 0:
            poor = atoms.rare(uses, n)
            n_replaced = atoms.renew(poor, batches.worst(range(n), poor.size), atoms.step - 1)
        uses = np.zeros_like(uses)
        for i in range(n):
            reborn = None
            if n_pass > 0:
                reborn = atoms.born >= atoms.step - n
            elif n_rows > 0:
                fade = (n_rows / (n_rows + batches.height(i))) ** FORGETTING
                weights[:i] *= fade
                atoms.fade(fade)
            seen = batches.visit(i, coding, atoms.ahead(LEAD * leading), weights[i], reborn)
            atoms.add(seen.A, seen.B)
            weights[i], n_rows = 1.0, n_rows + batches.height(i) * (n_pass == 0)
            atoms.descend(n)
            poor, coherence = atoms.poor()
            n_replaced += atoms.renew(poor, batches.worst(range(i, i + 1), poor.size), atoms.step)
            atoms.step += 1
            uses += seen.uses
            energy, absolute = energy + seen.energy, absolute + seen.absolute
        cost = 0.5 * energy + (coding.alpha or 0.0) * absolute
        leading = n_pass == 0 or cost <= objective
        objective = cost
        remembered = Memory(
            weights.copy(), atoms.born.copy(), batches.kept(), uses, atoms.velocity.copy(),
            n_pass + 1, objective, leading,
        )  # fmt: skip
        D, A, B = atoms.D.copy(), atoms.A.copy(), atoms.B.copy()
        after = state._replace(D=D, A=A, B=B, n_rows=n_rows, memory=remembered)
        yield Pass(
            D, list(batches.codes), energy, cost, int(uses.sum()), coherence, n_replaced, after
        )  # fmt: skip


class Atoms:
    """The atoms and the sums that say where they go, all changed in place."""

    def __init__(self, state: OnlineState) -> None:
        self.D, self.A, self.B = state.D.copy(), state.A.copy(), state.B.copy()
        self.velocity, self.born = state.memory.velocity.copy(), state.memory.born.copy()
        self.positive = state.coding.positive
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

    def add(self, A: np.ndarray, B: np.ndarray) -> None:
        self.A += A
        self.B += B

    def descend(self, n_batches: int) -> None:
        """Blocks of atoms in turn, in a block one after another (Gauss and Seidel)."""
        from sparsecode.solvers._kernels.dictionary import descend_block

        before, floor, new = self.D.copy(), self.floor, np.empty_like(self.D[0])
        for first in range(0, len(self.D), BLOCK):
            part = slice(first, first + BLOCK)
            gradient = (self.B[part] - self.A[part] @ self.D).astype(self.D.dtype)
            A = self.A[part, part].astype(self.D.dtype, order="C")
            descend_block(gradient, A, self.D[part], self.positive, floor, new)
        self.velocity *= 1 - 1 / n_batches
        if self.step >= n_batches:  # the first pass goes too fast to be followed
            self.velocity += self.D - before

    def poor(self) -> tuple[np.ndarray, float]:
        """Atoms out of use, and the later of two that are alike; and the largest coherence."""
        return poor_atoms(self.D, np.diag(self.A) > self.floor)

    def rare(self, uses: np.ndarray, n_batches: int) -> np.ndarray:
        """Atoms that were hardly used in the last pass, though they were there for all of it."""
        return np.flatnonzero(rare(uses) & (self.born < self.step - n_batches))

    def renew(self, poor: np.ndarray, x: np.ndarray, step: int) -> int:
        """The first of the poor become these rows, of which the sums know nothing; how many did."""
        new = poor[: len(x)]
        self.A[new], self.A[:, new] = 0, 0
        self.B[new], self.velocity[new], self.born[new] = 0, 0, step
        self.D[new] = as_atoms(x, self.positive)
        return new.size
