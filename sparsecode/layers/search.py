"""Which form each layer gets: candidates, the allocation of bits, and what is left over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from sparsecode.layers.allocation import Allocation, Choice, allocate, allocate_within_error
from sparsecode.layers.compressed import CompressedNetwork
from sparsecode.layers.factorizations import BudgetError, Factorization
from sparsecode.layers.network import Network
from sparsecode.layers.pricing import Candidate, Task, as_task
from sparsecode.layers.recipe import Plan

# Shares of a layer's bits that are tried first, relative to the global budget.
GRID = (0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2)

# Where an error is asked for, shares of a layer's bits.
WIDE_GRID = (0.02, 0.03, 0.045, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.55, 0.75)
SMALLER = (0.97, 0.92, 0.85)  # then, twice, less than what was chosen

# Then, twice, the families that were chosen, with these parts of the bits that are left over.
PARTS, ROUNDS = (1.0, 0.5, 0.25), 2
HEADROOM = 256  # bits: a longer header leaves the last candidate its place


class Search:
    """Candidates for every layer, and the best network made of them.

    The best one that a share `budget` of the bits holds; or, without it, the smallest one whose
    layers' errors, each with its weight, have a mean of at most `max_error`.
    """

    def __init__(
        self,
        network: Network,
        plans: Sequence[Plan],
        suffix: str,
        fit: Callable[[Task], Factorization],
        *,
        budget: float | None,
        max_error: float | None,
    ) -> None:
        self.network, self.plans = network, {plan.layer.name: plan for plan in plans}
        self._suffix, self._fit = suffix, fit
        self._budget, self._max_error = budget, max_error
        self._allowed = None if budget is None else int(budget * network.n_bytes) * 8
        self._candidates: dict[str, list[Candidate]] = {name: [] for name in self.plans}
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
        """The choice that it is; its errors are those of the layers times their weights."""
        assert self._allocation is not None
        return self._allocation

    @property
    def tasks(self) -> list[Task]:
        """What was chosen for each layer."""
        return [candidate.task for candidate in self._chosen]

    def stages(self) -> Iterator[list[Task]]:
        """What to fit: first the grid, then refinements of what was chosen from it."""
        yield [task for plan in self.plans.values() for task in self._grid(plan)]
        for _ in range(ROUNDS):
            if tasks := self._refinements():
                yield tasks

    def _grid(self, plan: Plan) -> list[Task]:
        name = plan.layer.name
        if plan.share is not None:
            ((method, options),) = plan.methods
            return [as_task(name, method, options, plan.share)]
        kept = [as_task(name, "dense", {}, 1.0)] if plan.cap == 1 else []
        return kept + [
            as_task(name, method, options, share)
            for method, options in plan.methods
            for share in self._shares(plan)
            if method != "dense" or options
        ]

    def _shares(self, plan: Plan) -> list[float]:
        shares = WIDE_GRID if self._budget is None else [self._budget * f for f in GRID]
        return [share for share in shares if share < 1 and share <= plan.cap]

    def _refinements(self) -> list[Task]:
        tasks = []
        for task, packed, _, _ in self._chosen:
            plan = self.plans[task.layer]
            dense = 8 * math.prod(plan.layer.shape) * plan.layer.dtype.itemsize
            if self._allowed is None:
                shares = [packed * part / dense for part in SMALLER]
            else:
                left = self._allowed - self.best.bits - HEADROOM
                shares = [(packed + part * left) / dense for part in PARTS] if left > 0 else []
            if plan.share is None and (task.method != "dense" or task.options):
                fitting = (share for share in shares if share < 1 and share <= plan.cap)
                tasks += [task._replace(share=share) for share in fitting]
        return tasks

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Take in what came of the tasks, and choose again."""
        for candidate in candidates:
            self._candidates[candidate.task.layer].append(candidate)
        for name, found in self._candidates.items():
            if not found:
                raise BudgetError(f"no form of the layer {name!r} fits what its rule allows")
        weights = {name: plan.weight for name, plan in self.plans.items()}
        choices = [
            [Choice(c.stored, weights[name] * c.error) for c in found]
            for name, found in self._candidates.items()
        ]
        if self._allowed is None:
            assert self._max_error is not None
            self._take(allocate_within_error(choices, self._max_error * sum(weights.values())))
        else:
            self._fill(choices, self._allowed)

    def _fill(self, choices: list[list[Choice]], allowed: int) -> None:
        by_layer = list(self._candidates.values())
        smallest = [layer.index(min(layer)) for layer in choices]
        least = sum(layer[j].bits for layer, j in zip(choices, smallest, strict=True))
        compressed = self._assemble([c[j] for c, j in zip(by_layer, smallest, strict=True)])
        if compressed.bits > allowed:
            raise BudgetError(self._too_small(compressed, allowed))
        available = allowed - (compressed.bits - least)
        while True:  # choose, weigh the file, and choose with less until all of it fits
            self._take(allocate(choices, available))
            excess = self.best.bits - allowed
            if excess <= 0:
                return
            available = max(available - excess, least)  # at the least, the smallest are chosen

    def _take(self, allocation: Allocation) -> None:
        self._allocation = allocation
        chosen = zip(self._candidates.values(), allocation.chosen, strict=True)
        self._chosen = [found[j] for found, j in chosen]
        self._best = self._assemble(self._chosen)

    def _assemble(self, chosen: Sequence[Candidate]) -> CompressedNetwork:
        tasks = [candidate.task for candidate in chosen]
        self._forms = {task: self._forms.get(task) or self._fit(task) for task in tasks}
        forms = {task.layer: form for task, form in self._forms.items()}
        network = self.network
        kept = network.carrying(
            {n: a for n, a in network.items() if n not in forms and n not in network.tied},
            network.layout.resolved(network.layers),
        )
        original_bits = 8 * network.n_bytes
        return CompressedNetwork(
            forms, kept, tuple(network), original_bits, suffix=self._suffix, tied=network.tied
        )

    def _too_small(self, smallest: CompressedNetwork, allowed: int) -> str:
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
            f"budget={self._budget:g} allows {allowed // 8:,} bytes, and the smallest file "
            f"found takes {smallest.bits // 8:,}: {packed // 8:,} for the layers, "
            f"{items.container // 8:,} for names and shapes, {smallest.network.n_bytes:,} for "
            f"tensors left alone; {advice} enough"
        )
