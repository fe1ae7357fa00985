r"""Bits over layers: one choice a layer, the least total error within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Allocation", "Choice", "allocate"]

CELLS = 20_000  # what is left to spend is counted in so many cells, each choice rounded up to them


class Choice(NamedTuple):
    """What one way to store a layer costs and loses."""

    bits: int
    error: float


class Allocation(NamedTuple):
    """The chosen index for each layer, what it takes, and how far it can be from the best."""

    chosen: tuple[int, ...]
    bits: int
    error: float
    bound: float  # no allocation within the budget has a smaller total error


def allocate(choices: Sequence[Sequence[Choice]], budget: int) -> Allocation:
    r"""The multiple-choice knapsack: one choice a layer.

    .. math:: \min_{j_1, \dots, j_L} \sum_\ell e_{\ell j_\ell}
              \quad \text{s.t.} \quad \sum_\ell b_{\ell j_\ell} \le B

    By dynamic programming over what the budget leaves beyond the cheapest choices,
    :math:`R = B - \sum_\ell \min_j b_{\ell j}`, in cells of
    :math:`c = \lceil R / 20000 \rceil` bits. The answer is exact for :math:`c = 1`; otherwise no
    allocation of at most :math:`B - L (c - 1)` bits has a smaller error. The lower bound on the
    error of any allocation within :math:`B` is that of the Lagrangian,
    :math:`\max_{\lambda \ge 0} \sum_\ell \min_j (e_{\ell j} + \lambda b_{\ell j}) - \lambda B`.

    Parameters
    ----------
    choices : sequence of sequences of Choice
        For each layer: bits, at least 0, and an error, at least 0, maybe infinite.
    budget : int
        Bits for all layers together, :math:`B`.

    Returns
    -------
    Allocation
        `chosen`, `bits`, `error` and the lower `bound` on the error.

    Raises
    ------
    ValueError
        If even the cheapest choices exceed the budget, a layer has no choice, or a choice has
        negative bits or an error that is negative or NaN.

    References
    ----------
    Sinha and Zoltners, "The multiple-choice knapsack problem", 1979.

    Examples
    --------
    >>> from sparsecode.layers.allocation import Choice, allocate
    >>> layer = [Choice(10, 1.0), Choice(20, 0.1), Choice(40, 0.0)]
    >>> allocate([layer, layer], budget=45).chosen
    (1, 1)
    """
    for index, layer in enumerate(choices):
        if not layer:
            raise ValueError(f"choices[{index}] is empty; a layer needs at least one choice")
        for choice in layer:
            if not (choice.bits >= 0 and choice.error >= 0):
                raise ValueError(f"choices[{index}] has {choice}; bits and error are at least 0")
    layers = [_undominated(layer) for layer in choices]
    cheapest = sum(layer[0][1].bits for layer in layers)
    if cheapest > budget:
        raise ValueError(
            f"the cheapest choices take {cheapest} bits together, and the budget is {budget}; "
            f"raise it to at least {cheapest}"
        )
    chosen = _dynamic_program(layers, budget - cheapest)
    indices = tuple(layer[j][0] for layer, j in zip(layers, chosen, strict=True))
    taken = [layer[index] for layer, index in zip(choices, indices, strict=True)]
    error = float(sum(choice.error for choice in taken))
    bound = min(_lagrangian_bound(choices, budget), error)  # they may differ by rounding
    return Allocation(indices, sum(choice.bits for choice in taken), error, bound)


def _undominated(layer: Sequence[Choice]) -> list[tuple[int, Choice]]:
    """The choices that no cheaper one matches, with their indices, cheapest first."""
    kept: list[tuple[int, Choice]] = []
    for index, choice in sorted(enumerate(layer), key=lambda item: item[1]):
        if not kept or choice.error < kept[-1][1].error:
            kept.append((index, choice))
    return kept


def _dynamic_program(layers: list[list[tuple[int, Choice]]], left: int) -> list[int]:
    """For each layer the position of its choice, with `left` bits beyond the cheapest ones."""
    cell = max(1, -(-left // CELLS))
    n_cells = left // cell
    steps = [
        [-(-(choice.bits - layer[0][1].bits) // cell) for _, choice in layer] for layer in layers
    ]
    best = np.zeros(n_cells + 1)  # least error of the layers so far, by cells at the most
    decisions = []
    for layer, cells in zip(layers, steps, strict=True):
        table = np.full((len(layer), n_cells + 1), np.inf)
        for j, (_, choice) in enumerate(layer):
            if cells[j] <= n_cells:
                table[j, cells[j] :] = best[: n_cells + 1 - cells[j]] + choice.error
        decisions.append(table.argmin(axis=0))
        best = table.min(axis=0)
    at, chosen = n_cells, []
    for cells, decision in zip(reversed(steps), reversed(decisions), strict=True):
        chosen.append(int(decision[at]))  # where all is infinite: the cheapest, which takes no cell
        at -= cells[chosen[-1]]
    return chosen[::-1]


def _lagrangian_bound(choices: Sequence[Sequence[Choice]], budget: int) -> float:
    """The dual is concave and piecewise linear in the price: bisect on the sign of its slope."""
    bits = [np.array([c.bits for c in layer], dtype=float) for layer in choices]
    errors = [np.array([c.error for c in layer], dtype=float) for layer in choices]

    def dual(price: float) -> tuple[float, float]:
        picks = [int(np.argmin(e + price * b)) for e, b in zip(errors, bits, strict=True)]
        spent = sum(b[j] for b, j in zip(bits, picks, strict=True))
        lost = sum(e[j] for e, j in zip(errors, picks, strict=True))
        return float(lost + price * (spent - budget)), float(spent - budget)

    value, slope = dual(0.0)
    if slope <= 0:
        return value
    # At a price above all finite errors a bit is worth more than anything it could gain.
    ceiling = 2 * sum(float(np.max(e, where=np.isfinite(e), initial=0.0)) for e in errors)
    low, high, best = 0.0, 1.0 / max(budget, 1), value
    while dual(high)[1] > 0 and high <= ceiling:
        high *= 2
    for _ in range(60):
        price = (low + high) / 2
        value, slope = dual(price)
        best = max(best, value)
        low, high = (price, high) if slope > 0 else (low, price)
    return max(best, dual(high)[0])
