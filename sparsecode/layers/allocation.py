r"""Bits over layers: one choice a layer, the least total error within a budget."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sparsecode._validation import check_int, check_real

__all__ = ["Allocation", "Choice", "allocate", "allocate_within_error"]

CELLS = 20_000  # what is left to spend is counted in so many cells, each choice rounded up to them


class Choice(NamedTuple):
    """What one way to store a layer costs and loses."""

    bits: int
    error: float


class Allocation(NamedTuple):
    """The chosen index for each layer, what it takes, and how far it can be from the best.

    `bound` is that of the Lagrangian, from the lower convex hulls of the layers' curves: on the
    total error within the budget, or, of `allocate_within_error`, on the bits within the error.
    """

    chosen: tuple[int, ...]
    bits: int
    error: float
    bound: float


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
    TypeError
        If `choices` is not a sequence of sequences of Choice, or `budget` no integer.

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
    _check(choices)
    budget = check_int(budget, "budget", low=-sys.maxsize)  # too small a one is told below
    layers = [_undominated(layer) for layer in choices]
    cheapest = sum(layer[0][1].bits for layer in layers)
    if cheapest > budget:
        raise ValueError(
            f"the cheapest choices take {cheapest} bits together, and the budget is {budget}; "
            f"raise it to at least {cheapest}"
        )
    cell = max(1, -(-(budget - cheapest) // CELLS))
    table = _Table(layers, cell, (budget - cheapest) // cell)
    answer = _allocation(choices, layers, table.chosen(table.n_cells))
    errors, bits = _columns(choices)
    bound = _lagrangian_bound(errors, bits, float(budget))
    return answer._replace(bound=min(bound, answer.error))  # they may differ by rounding


def allocate_within_error(choices: Sequence[Sequence[Choice]], max_error: float) -> Allocation:
    r"""The same knapsack the other way round: the fewest bits within a total error.

    .. math:: \min_{j_1, \dots, j_L} \sum_\ell b_{\ell j_\ell}
              \quad \text{s.t.} \quad \sum_\ell e_{\ell j_\ell} \le E

    The dynamic programme of `allocate` over the whole range of bits, and again, in finer cells,
    over what lies below the answer, until that takes no fewer bits. No allocation within the error
    takes fewer than `bits` less :math:`L (c - 1)`, with cells of `c` bits at last.

    Parameters
    ----------
    choices : sequence of sequences of Choice
        For each layer: bits, at least 0, and an error, at least 0, maybe infinite.
    max_error : float
        The total error, :math:`E`.

    Returns
    -------
    Allocation
        `chosen`, `bits`, `error` and the lower `bound` on the bits.

    Raises
    ------
    ValueError
        If even the best choices exceed the error, or `choices` are not as for `allocate`.
    TypeError
        As for `allocate`; `max_error` has to be a real number.

    Examples
    --------
    >>> from sparsecode.layers.allocation import Choice, allocate_within_error
    >>> layer = [Choice(10, 1.0), Choice(20, 0.1), Choice(40, 0.0)]
    >>> allocate_within_error([layer, layer], max_error=0.15).bits
    60
    """
    _check(choices)
    max_error = check_real(max_error, "max_error", low=0)
    layers = [_undominated(layer) for layer in choices]
    best = sum(layer[-1][1].error for layer in layers)
    if not best <= max_error:
        raise ValueError(
            f"the best choices have a total error of {best:.3g}, and at most {max_error:.3g} is "
            "asked for; raise it, or offer larger forms"
        )
    cheapest = sum(layer[0][1].bits for layer in layers)
    left = sum(layer[-1][1].bits for layer in layers) - cheapest
    chosen = [len(layer) - 1 for layer in layers]  # the best of each
    taken = left + 1
    while left < taken:  # as long as it helps, anew in finer cells
        taken, cell = left, max(1, -(-left // CELLS))
        # Rounded up to cells, what was found takes less than one more for each layer.
        table = _Table(layers, cell, -(-left // cell) + len(layers))
        trial = table.chosen(int(np.argmax(table.best <= max_error)))
        bits = sum(layer[j][1].bits for layer, j in zip(layers, trial, strict=True))
        if bits - cheapest < left and _total(layers, trial) <= max_error:
            chosen, left = trial, bits - cheapest
    answer = _allocation(choices, layers, chosen)
    errors, costs = _columns(choices)
    bound = _lagrangian_bound(costs, errors, max_error)
    return answer._replace(bound=min(bound, float(answer.bits)))


def _check(choices: Sequence[Sequence[Choice]]) -> None:
    wanted = "has to be a sequence of Choice(bits, error)"
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise TypeError(f"choices {wanted} for each layer, got {choices!r}")
    for index, layer in enumerate(choices):
        if not isinstance(layer, Sequence) or not all(isinstance(c, Choice) for c in layer):
            raise TypeError(f"choices[{index}] {wanted}, got {layer!r}")
        if not layer:
            raise ValueError(f"choices[{index}] is empty; a layer needs at least one choice")
        for choice in layer:
            if not (choice.bits >= 0 and choice.error >= 0):
                raise ValueError(f"choices[{index}] has {choice}; bits and error are at least 0")


Layer = list[tuple[int, Choice]]  # the choices that no cheaper one matches, with their indices


def _undominated(layer: Sequence[Choice]) -> Layer:
    """The choices that no cheaper one matches, cheapest first."""
    kept: Layer = []
    for index, choice in sorted(enumerate(layer), key=lambda item: item[1]):
        if not kept or choice.error < kept[-1][1].error:
            kept.append((index, choice))
    return kept


def _allocation(
    choices: Sequence[Sequence[Choice]], layers: list[Layer], chosen: Sequence[int]
) -> Allocation:
    """What it is to take these places of the undominated choices; without a bound."""
    indices = tuple(layer[j][0] for layer, j in zip(layers, chosen, strict=True))
    bits = sum(layer[index].bits for layer, index in zip(choices, indices, strict=True))
    return Allocation(indices, bits, _total(layers, chosen), 0.0)


def _total(layers: list[Layer], chosen: Sequence[int]) -> float:
    return float(sum(layer[j][1].error for layer, j in zip(layers, chosen, strict=True)))


class _Table:
    """The least error of all layers within so many cells of bits beyond the cheapest choices."""

    def __init__(self, layers: list[Layer], cell: int, n_cells: int) -> None:
        self.n_cells = n_cells
        self.steps = [
            [-(-(choice.bits - layer[0][1].bits) // cell) for _, choice in layer]
            for layer in layers
        ]
        best = np.zeros(n_cells + 1)
        self.decisions = []
        for layer, cells in zip(layers, self.steps, strict=True):
            table = np.full((len(layer), n_cells + 1), np.inf)
            for j, (_, choice) in enumerate(layer):
                if cells[j] <= n_cells:
                    table[j, cells[j] :] = best[: n_cells + 1 - cells[j]] + choice.error
            self.decisions.append(table.argmin(axis=0))
            best = table.min(axis=0)
        self.best = best

    def chosen(self, at: int) -> list[int]:
        """For each layer the place of its choice."""
        chosen = []
        for cells, decision in zip(reversed(self.steps), reversed(self.decisions), strict=True):
            chosen.append(int(decision[at]))  # where all is infinite: the cheapest, of no cell
            at -= cells[chosen[-1]]
        return chosen[::-1]


def _columns(choices: Sequence[Sequence[Choice]]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Errors and bits."""
    errors = [np.array([c.error for c in layer], dtype=float) for layer in choices]
    return errors, [np.array([c.bits for c in layer], dtype=float) for layer in choices]


def _lagrangian_bound(objective: list[np.ndarray], spent: list[np.ndarray], limit: float) -> float:
    """The dual is concave and piecewise linear in the price: bisect on the sign of its slope."""

    def dual(price: float) -> tuple[float, float]:
        with np.errstate(invalid="ignore"):  # 0 times an infinite error: what costs nothing
            totals = [
                o + np.where(s > 0, price * s, 0) for o, s in zip(objective, spent, strict=True)
            ]
        picks = [int(np.argmin(total)) for total in totals]
        paid = sum(s[j] for s, j in zip(spent, picks, strict=True))
        value = sum(o[j] for o, j in zip(objective, picks, strict=True))
        return float(value + price * (paid - limit)) if price else float(value), float(paid - limit)

    value, slope = dual(0.0)
    if slope <= 0:
        return value
    # At a price above all that could be gained every saving is worth it.
    ceiling = 2 * sum(float(np.max(o, where=np.isfinite(o), initial=0.0)) for o in objective)
    smallest = min((float(s[s > 0].min()) for s in spent if np.any(s > 0)), default=1.0)
    ceiling /= min(smallest, 1.0)
    low, high, best = 0.0, 1.0 / max(limit, smallest), value
    while dual(high)[1] > 0 and high <= ceiling:
        high *= 2
    for _ in range(60):
        price = (low + high) / 2
        value, slope = dual(price)
        best = max(best, value)
        low, high = (price, high) if slope > 0 else (low, price)
    return max(best, dual(high)[0])
