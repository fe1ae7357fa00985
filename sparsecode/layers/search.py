"""Which form each layer gets: candidates, the allocation of bits, and what is left over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sparsecode.layers.allocation import Allocation, Choice, allocate, allocate_within_error
from sparsecode.layers.compressed import CompressedNetwork
from sparsecode.layers.factorizations import FAMILIES, BudgetError, Dictionary
from sparsecode.layers.frontiers import Frontier, FrontierPoint
from sparsecode.layers.limits import Limits
from sparsecode.layers.network import Network
from sparsecode.layers.pricing import FAR, WIDEST, Candidate, Task, as_task, is_large
from sparsecode.layers.recipe import Plan

# Shares of a layer's bits that every method is tried at, relative to the global budget; and those
# in between, for methods that are not far from the best at some size.
GRID = (0.2, 0.4, 0.8, 1.6, 3.2)
BETWEEN = (0.25, 0.32, 0.5, 0.63, 1.0, 1.25, 2.0, 2.5)
COSTLY = (0.63, 1.25)  # of families whose fit takes long

# Where an error is asked for, shares of a layer's bits.
WIDE_GRID = (0.02, 0.045, 0.1, 0.2, 0.4, 0.75)
WIDE_BETWEEN = (0.03, 0.07, 0.14, 0.28, 0.55)
WIDE_COSTLY = (0.045, 0.1, 0.2)
SMALLER = (0.97, 0.92, 0.85)  # then, twice, less than what was chosen


# Then, twice, the families that were chosen, with these parts of the bits that are left over.
PARTS, ROUNDS = (1.0, 0.5, 0.25), 2
# What may do better in the place of a low-rank form, and of a sparse one.
HEIRS = {"low_rank": ("low_rank+sparse", "dictionary"), "sparse": ("low_rank+sparse",)}
MOST_REFINED = 8  # layers a round: those that gain the most by it
MOST_CODED = 2**22  # entries: a dictionary for more, each row by a pursuit, takes too long to try
HEADROOM = 256  # bits: a longer header leaves the last candidate its place


class Stage(NamedTuple):
    """Tasks that are done together."""

    tasks: list[Task]
    rough: bool


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
        *,
        budget: float | None,
        max_error: float | None,
    ) -> None:
        self.network, self.plans = network, {plan.layer.name: plan for plan in plans}
        self._suffix, self._budget, self._max_error = suffix, budget, max_error
        self._allowed = None if budget is None else int(budget * network.n_bytes) * 8
        self._candidates: dict[str, list[Candidate]] = {name: [] for name in self.plans}
        self._limits = Limits(plans, budget)
        self._tier = 0  # of the limits that were kept
        self._chosen: list[Candidate] = []
        self._allocation: Allocation | None = None
        # What the file takes beside its layers: estimated, until a whole one is weighed.
        self._beside = self._assembled([]).bits

    @property
    def best(self) -> CompressedNetwork:
        """The network of what was chosen."""
        return self._assembled(self._chosen)

    @property
    def allocation(self) -> Allocation:
        """The choice that it is; its errors are those of the layers times their weights."""
        assert self._allocation is not None
        return self._allocation

    @property
    def tasks(self) -> list[Task]:
        """What was chosen for each layer."""
        return [candidate.task for candidate in self._chosen]

    def stages(self) -> Iterator[Stage]:
        """What to fit: sizes far apart, those in between, and what was chosen from them.

        What is fitted roughly is chosen among; in the end all that is chosen is fitted well, and
        the file is within the budget.
        """
        plans = self.plans.values()
        fixed = [plan for plan in plans if plan.share is not None]
        searched = [plan for plan in plans if plan.share is None]
        yield Stage([_fixed(plan) for plan in fixed], rough=False)
        yield Stage([task for plan in searched for task in self._first(plan)], rough=True)
        yield Stage(self._limits.tasks, rough=False)
        self._choose(limited=False)  # sizes so far apart may miss what a rule allows
        yield Stage([task for plan in searched for task in self._between(plan)], rough=True)
        for _ in range(ROUNDS):
            self._choose()
            yield Stage(self._refinements() + self._rough_choices(), rough=False)
        within: list[tuple[tuple[int, float], list[Candidate], Allocation]] = []
        seen: set[tuple[Task, ...]] = set()
        while True:
            self._choose()
            if tasks := self._rough_choices():
                yield Stage(tasks, rough=False)
                self._drop_rough(tasks)
                continue
            # A file that was weighed corrects the estimate, and maybe the choice.
            if self._allowed is None or self._weighed() <= self._allowed:
                worth = self._tier, self.allocation.error
                within.append((worth, self._chosen, self.allocation))
            known = tuple(self.tasks) in seen
            seen.add(tuple(self.tasks))
            if within and (known or self._allowed is None):
                _, self._chosen, self._allocation = min(within, key=lambda found: found[0])
                return

    def _first(self, plan: Plan) -> list[Task]:
        name = plan.layer.name
        kept = [as_task(name, "dense", {}, 1.0)] if plan.cap == 1 else []
        return kept + [
            as_task(name, method, options, share)
            for method, options in _cheap(plan)
            for share in self._shares(plan, GRID, WIDE_GRID)
        ]

    def _between(self, plan: Plan) -> list[Task]:
        """More sizes of what is near the hull of all there, and the costly families."""
        name, found = plan.layer.name, self._candidates[plan.layer.name]
        curves = {m: _Curve([c for c in found if (c.task[1:3]) == m]) for m in _kinds(found)}
        hull = Frontier(tuple(FrontierPoint("", c.packed, c.error) for c in found)).hull()
        dense = 8 * math.prod(plan.layer.shape) * plan.layer.dtype.itemsize

        def near(kind: Kind, share: float) -> bool:
            least = float(np.interp(share * dense, *hull))
            return curves[kind].at(share * dense) <= FAR * least

        tasks = [
            as_task(name, method, options, share)
            for method, options in _cheap(plan)
            for share in self._shares(plan, BETWEEN, WIDE_BETWEEN)
        ]
        tasks = [t for t in tasks if t[1:3] in curves and near(t[1:3], t.share)]
        best = _best_values(found)
        # A rough fit says too little of what is made of low rank and sparse forms, the rounds being
        # what it costs: in a large layer it is tried in their place, once they are chosen.
        later = is_large(math.prod(plan.layer.shape)) and any(m in HEIRS for m, _ in curves)
        return tasks + [
            as_task(name, method, options, share)
            for method, options in plan.methods
            if (method, options) not in _cheap(plan)
            and method != "dense"
            # What suits a matrix says little about kernels: their forms are tried in every width.
            and ("form" in options or _values(options) == best)
            for share in self._shares(plan, COSTLY, WIDE_COSTLY)
            if "form" in options or not later
        ]

    def _shares(self, plan: Plan, grid: Sequence[float], wide: Sequence[float]) -> list[float]:
        shares = wide if self._budget is None else [self._budget * factor for factor in grid]
        return [share for share in shares if share < 1 and share <= plan.cap]

    def _rough_choices(self) -> list[Task]:
        return [candidate.task for candidate in self._chosen if candidate.form is None]

    def _drop_rough(self, tasks: Sequence[Task]) -> None:
        """Leave out what a good fit turned out not to be able to do."""
        for task in tasks:
            found = self._candidates[task.layer]
            found[:] = [c for c in found if c.task != task or c.form is not None]

    def _refinements(self) -> list[Task]:
        """What was chosen, in somewhat other sizes: of the layers that gain the most by them."""
        gains: list[tuple[float, list[Task]]] = []
        others: list[tuple[float, Task]] = []
        for task, packed, _, error, _ in self._chosen:
            plan = self.plans[task.layer]
            dense = 8 * math.prod(plan.layer.shape) * plan.layer.dtype.itemsize
            if self._allowed is None:
                shares = [packed * part / dense for part in SMALLER]
            else:
                left = self._allowed - self._estimated(self._chosen) - HEADROOM
                shares = [(packed + part * left) / dense for part in PARTS] if left > 0 else []
            shares = [share for share in shares if share < 1 and share <= plan.cap]
            if plan.share is None and not _as_it_is(task) and shares:
                same = _Curve(self._of_kind(task))
                now, then = same.at(packed), same.at(shares[0] * dense)
                gain = plan.weight * (now - then) if self._allowed else packed - shares[-1] * dense
                gains.append((gain, [task._replace(share=share) for share in shares]))
            others += [
                (plan.weight * error, task._replace(method=method, share=packed / dense))
                for method in self._heirs(task, 8 * plan.layer.dtype.itemsize * packed / dense)
            ]
        gains.sort(key=lambda item: -item[0])
        others.sort(key=lambda item: -item[0])
        refined = [task for _, tasks in gains[:MOST_REFINED] for task in tasks]
        return refined + [task for _, task in others[:MOST_REFINED]]

    def _heirs(self, task: Task, bits_per_weight: float) -> list[str]:
        """The methods of a large layer that may do better with a structure that was chosen."""
        plan, options = self.plans[task.layer], dict(task.options)
        width, size = options.get("value_bits", WIDEST), math.prod(plan.layer.shape)
        if not is_large(size) or (
            task.method == "sparse" and bits_per_weight > width  # a number for each weight
        ):
            return []
        heirs = [m for m in HEIRS.get(task.method, ()) if (m, options) in plan.methods]
        return [m for m in heirs if m != Dictionary.kind or size <= MOST_CODED]

    def _of_kind(self, task: Task) -> list[Candidate]:
        return [c for c in self._candidates[task.layer] if c.task[1:3] == task[1:3]]

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Take in what came of tasks; a candidate fitted well takes the place of a rough one."""
        for candidate in candidates:
            if self._limits.heed(candidate):
                continue
            found = self._candidates[candidate.task.layer]
            places = {known.task: place for place, known in enumerate(found)}
            # In its place: of equals the first is chosen, and that must not change by and by.
            place = places.get(candidate.task, len(found))
            found[place : place + 1] = [candidate]

    def _choose(self, *, limited: bool = True) -> None:
        """One candidate a layer; if `limited`, within what it may lose."""
        by_layer = list(self._candidates.values())
        tiers = list(self._limits.tiers()) if limited else [[math.inf] * len(by_layer)]
        for self._tier, limits in enumerate(tiers):
            try:
                allocation = self._allocated(by_layer, limits)
                break
            except BudgetError:
                if limits is tiers[-1]:
                    raise
        self._allocation = allocation
        chosen = zip(by_layer, allocation.chosen, strict=True)
        self._chosen = [found[j] for found, j in chosen]
        for found, at in zip(by_layer, allocation.chosen, strict=True):
            # Forms that were not chosen are kept no longer.
            found[:] = [c if j == at else c._replace(form=None) for j, c in enumerate(found)]

    def _allocated(self, by_layer: list[list[Candidate]], limits: list[float]) -> Allocation:
        """The best choice within what each layer may lose, if there is one."""
        weights = [plan.weight for plan in self.plans.values()]
        within = [
            [c for c in found if not c.error > limit]
            for limit, found in zip(limits, by_layer, strict=True)
        ]
        for name, found in zip(self.plans, within, strict=True):
            if not found:
                raise BudgetError(f"no form of the layer {name!r} fits what its rule allows")
        choices = [
            [Choice(c.stored, math.inf if c.error > limit else weight * c.error) for c in found]
            for weight, limit, found in zip(weights, limits, by_layer, strict=True)
        ]
        if self._allowed is None:
            assert self._max_error is not None
            return allocate_within_error(choices, self._max_error * sum(weights))
        smallest = [min(found, key=lambda c: c.stored) for found in within]
        if self._estimated(smallest) > self._allowed:
            raise BudgetError(self._too_small(smallest, self._allowed))
        allocation = allocate(choices, self._allowed - self._beside)
        if not math.isfinite(allocation.error) and all(
            math.isfinite(min(choice.error for choice in layer)) for layer in choices
        ):  # within the rules only without the rounding to cells
            raise BudgetError(self._too_small(smallest, self._allowed))
        return allocation

    def _estimated(self, chosen: Sequence[Candidate]) -> int:
        """The bits of a file of these."""
        return self._beside + sum(candidate.stored for candidate in chosen)

    def _weighed(self) -> int:
        """The bits of the file of what was chosen, which corrects the estimate."""
        bits = self.best.bits
        self._beside += bits - self._estimated(self._chosen)
        return bits

    def _assembled(self, chosen: Sequence[Candidate]) -> CompressedNetwork:
        forms = {c.task.layer: c.form for c in chosen if c.form is not None}
        network = self.network
        parts = {name: self.plans[name].members for name in forms or self.plans}
        left_out = {member.name for members in parts.values() for member in members}
        kept = network.carrying(
            {n: a for n, a in network.items() if n not in left_out and n not in network.tied},
            network.layout.resolved(network.layers),
        )
        order = tuple(name for name in network if forms or name not in left_out)
        stacked = {
            name: {member.name: member.n_outputs for member in members}
            for name, members in parts.items()
            if len(members) > 1 and forms
        }
        return CompressedNetwork(
            forms,
            kept,
            order,
            8 * network.n_bytes,
            suffix=self._suffix,
            tied=network.tied,
            stacked=stacked,
        )

    def _too_small(self, smallest: Sequence[Candidate], allowed: int) -> str:
        packed = sum(candidate.packed for candidate in smallest)
        bits, original = self._estimated(smallest), 8 * self.network.n_bytes
        dense = sum(
            8 * math.prod(plan.layer.shape) * plan.layer.dtype.itemsize
            for plan in self.plans.values()
        )
        alone = self.network.n_bytes - dense // 8
        # At a budget b the grid holds, for each layer, a share of at most `step` times that of the
        # form found here, or 0.2 b; so this solves rest + step * packed + 0.2 * b * dense
        # = b * original.
        step = max(high / low for low, high in itertools.pairwise(GRID))
        enough = (bits - packed + step * packed) / (original - GRID[0] * dense)
        enough = math.ceil(1000 * enough) / 1000
        advice = (
            f"budget={enough:g} is" if enough <= 1 else "a larger budget or other methods may be"
        )
        return (
            f"budget={self._budget:g} allows {allowed // 8:,} bytes, and the smallest file "
            f"found takes {bits // 8:,}: {packed // 8:,} for the layers, "
            f"{(bits - packed) // 8 - alone:,} for names and shapes, {alone:,} for tensors left "
            f"alone; {advice} enough"
        )


Kind = tuple[str, tuple[tuple[str, Any], ...]]  # a method and its options


def _kinds(found: Sequence[Candidate]) -> list[Kind]:
    return list(dict.fromkeys(c.task[1:3] for c in found))


class _Curve:
    """The error of a family against its bits, between the sizes that were fitted."""

    def __init__(self, found: Sequence[Candidate]) -> None:
        points = sorted((c.packed, c.error) for c in found)
        self._bits = np.log([max(bits, 1) for bits, _ in points])
        self._errors = np.log([max(error, 1e-300) for _, error in points])

    def at(self, bits: float) -> float:
        """As powers of the bits; beyond the sizes that were fitted as at the last of them."""
        return float(np.exp(np.interp(np.log(max(bits, 1)), self._bits, self._errors)))


def _as_it_is(task: Task) -> bool:
    return task.method == "dense" and not task.options


def _cheap(plan: Plan) -> list[tuple[str, Mapping[str, Any]]]:
    """The methods that are tried at every size: all, where all of them are costly."""
    methods = [(m, options) for m, options in plan.methods if m != "dense" or options]
    return [(m, o) for m, o in methods if not (FAMILIES[m].costly or "form" in o)] or methods


def _values(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say of how numbers are stored."""
    return {name: value for name, value in options.items() if name == "value_bits"}


def _best_values(found: Sequence[Candidate]) -> dict[str, Any]:
    """How the numbers are stored in the structure that does best for its bits."""
    structured = [c for c in found if len(FAMILIES[c.task.method].variants) > 1]
    if not structured:
        return {}
    typical = float(np.median([c.packed for c in structured]))
    fitting = [c for c in structured if c.packed <= typical]
    return _values(dict(min(fitting, key=lambda c: c.error).task.options))


def _fixed(plan: Plan) -> Task:
    """The one task of a plan that says all."""
    ((method, options),) = plan.methods
    assert plan.share is not None
    return as_task(plan.layer.name, method, options, plan.share)
