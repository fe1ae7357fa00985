"""What each layer may lose at most: by its rule, or else by rounding to the nearest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sparsecode.layers.pricing import Candidate, Task, as_task
from sparsecode.layers.recipe import Plan

# Of what rounding to the nearest loses, the strictest first: what is fitted to some inputs does
# worse on others.
MARGINS = (0.8, 1.0)
NEAREST = {"group_size": 64, "rounding": "nearest"}


class Limits:
    """Errors that the layers must not exceed, in tiers: the first that a network can keep holds.

    A layer is rounded to the nearest in as many bits a weight as the budget has, or in one less.
    """

    def __init__(self, plans: Sequence[Plan], budget: float | None) -> None:
        self._plans = plans
        self._tasks = {plan.layer.name: _rounded(plan, budget) for plan in plans}
        self._lost: dict[Task, float] = {}

    @property
    def tasks(self) -> list[Task]:
        """What has to be priced, well, before there are limits."""
        return [task for tasks in self._tasks.values() for task in tasks]

    def heed(self, candidate: Candidate) -> bool:
        """Take in what a layer loses, if it is one of the tasks that came to it."""
        task = candidate.task
        known = task in self._tasks[task.layer]
        if known:
            self._lost[task] = candidate.error
        return known

    def tiers(self) -> Iterator[list[float]]:
        """For each layer the most that it may lose; in the end by its rule alone."""
        for place in range(2):
            for margin in MARGINS:
                yield [min(p.max_error, margin * self._nearest(p, place)) for p in self._plans]
        yield [plan.max_error for plan in self._plans]

    def _nearest(self, plan: Plan, place: int) -> float:
        tasks = self._tasks[plan.layer.name]
        return self._lost.get(tasks[place], math.inf) if place < len(tasks) else math.inf


def _rounded(plan: Plan, budget: float | None) -> list[Task]:
    if budget is None or plan.share is not None or plan.max_error < math.inf:
        return []
    bits = math.floor(min(budget, plan.cap) * 8 * plan.layer.dtype.itemsize)
    return [
        as_task(plan.layer.name, "uniform", {"bits": width, **NEAREST}, 1.0)
        for width in (bits, bits - 1)
        if 1 <= width <= 8
    ]
