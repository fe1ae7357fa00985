"""Which form each layer gets: candidates, the allocation of bits, and what is left over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from sparsecode.layers.allocation import Allocation, Choice, allocate
from sparsecode.layers.compressed import CompressedNetwork
from sparsecode.layers.factorizations import BudgetError, Factorization
from sparsecode.layers.network import Layer, Network

# Shares of a layer's bits that are tried first, relative to the global budget.
GRID = (0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2)

# Then, twice, the families that were chosen, with these parts of the bits that are left over.
PARTS, ROUNDS = (1.0, 0.5, 0.25), 2
HEADROOM = 256  # bits: a longer header leaves the last candidate its place


class Task(NamedTuple):
    """A layer, to be fitted by a method to a share of its bits."""

    layer: Layer
    method: str
    share: float


class Candidate(NamedTuple):
    """What came of a task. The form itself is not kept: fitting it again gives the same bits."""

    task: Task
    packed: int  # bits of its arrays
    stored: int  # and of what the header says of them
    error: float


class Search:
    """Candidates for every layer, and the best network made of them that the budget holds."""

    def __init__(
        self,
        network: Network,
        layers: Sequence[Layer],
        budget: float,
        suffix: str,
        fit: Callable[[Task], Factorization],
    ) -> None:
        self.network, self.layers, self.budget = network, layers, budget
        self.allowed = int(budget * network.n_bytes) * 8
        self._suffix, self._fit = suffix, fit
        self._candidates: dict[str, list[Candidate]] = {layer.name: [] for layer in layers}
        self._forms: dict[Task, Factorization] = {}  # of what is chosen, and no other
        self._chosen: list[Candidate] = []
        self._best: CompressedNetwork | None = None
        self._allocation: Allocation | None = None

    @property
    def best(self) -> CompressedNetwork:
        """The best network so far."""
        assert self._best is not None
        return self._best

    @property
    def allocation(self) -> Allocation:
        """The choice that it is."""
        assert self._allocation is not None
        return self._allocation

    def stages(self, methods: Sequence[str]) -> Iterator[list[Task]]:
        """What to fit: first the grid, then refinements of what was chosen from it."""
        yield [
            task
            for layer in self.layers
            for task in (
                Task(layer, "dense", 1.0),
                *(
                    Task(layer, method, self.budget * factor)
                    for method in methods
                    for factor in GRID
                    if method != "dense" and self.budget * factor < 1
                ),
            )
        ]
        for _ in range(ROUNDS):
            if tasks := self._refinements():
                yield tasks

    def _refinements(self) -> list[Task]:
        left = self.allowed - self.best.bits - HEADROOM
        tasks = []
        for (layer, method, _), packed, _, _ in self._chosen:
            dense = 8 * math.prod(layer.shape) * layer.dtype.itemsize
            shares = [(packed + part * left) / dense for part in PARTS]
            if method != "dense" and left > 0:
                tasks += [Task(layer, method, share) for share in shares if share < 1]
        return tasks

    def add(self, candidates: Iterable[Candidate | None]) -> None:
        """Take in what came of the tasks, and choose again."""
        for candidate in candidates:
            if candidate is not None:
                self._candidates[candidate.task.layer.name].append(candidate)
        by_layer = list(self._candidates.values())
        choices = [[Choice(c.stored, c.error) for c in found] for found in by_layer]
        smallest = [layer.index(min(layer)) for layer in choices]
        least = sum(layer[j].bits for layer, j in zip(choices, smallest, strict=True))
        compressed = self._assemble([c[j] for c, j in zip(by_layer, smallest, strict=True)])
        if compressed.bits > self.allowed:
            raise BudgetError(self._too_small(compressed))
        available = self.allowed - (compressed.bits - least)
        while True:  # choose, weigh the file, and choose with less until all of it fits
            self._allocation = allocate(choices, available)
            chosen = zip(by_layer, self._allocation.chosen, strict=True)
            self._chosen = [found[j] for found, j in chosen]
            self._best = self._assemble(self._chosen)
            excess = self._best.bits - self.allowed
            if excess <= 0:
                return
            available = max(available - excess, least)  # at the least, the smallest are chosen

    def _assemble(self, chosen: Sequence[Candidate]) -> CompressedNetwork:
        tasks = [candidate.task for candidate in chosen]
        self._forms = {task: self._forms.get(task) or self._fit(task) for task in tasks}
        forms = {task.layer.name: form for task, form in self._forms.items()}
        kept = Network(
            {name: array for name, array in self.network.items() if name not in forms},
            metadata=self.network.metadata,
            source=self.network.source,
            orientation=self.network.orientation,
        )
        original_bits = 8 * self.network.n_bytes
        return CompressedNetwork(
            forms, kept, tuple(self.network), original_bits, suffix=self._suffix
        )

    def _too_small(self, smallest: CompressedNetwork) -> str:
        items = smallest.itemized_bits
        forms = smallest.factorizations.values()
        packed = sum(form.bits().total for form in forms)
        dense = sum(math.prod(form.shape) * form.dtype.itemsize * 8 for form in forms)
        # At a budget b the grid holds, for each layer, a share of at most `step` times that of the
        # form found here, or 0.2 b; so this solves rest + step * packed + 0.2 * b * dense
        # = b * original.
        step = max(high / low for low, high in itertools.pairwise(GRID))
        rest = smallest.bits - packed
        enough = (rest + step * packed) / (smallest.original_bits - GRID[0] * dense)
        enough = math.ceil(1000 * enough) / 1000
        advice = (
            f"budget={enough:g} is" if enough <= 1 else "a larger budget or other methods may be"
        )
        return (
            f"budget={self.budget:g} allows {self.allowed // 8:,} bytes, and the smallest file "
            f"found takes {smallest.bits // 8:,}: {packed // 8:,} for the layers, "
            f"{items.container // 8:,} for names and shapes, {smallest.network.n_bytes:,} for "
            f"tensors left alone; {advice} enough"
        )
