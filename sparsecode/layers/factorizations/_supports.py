"""Which entries a sparse layer keeps: patterns, and the largest scores in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecode._validation import check_int, check_option, check_unused
from sparsecode.layers.factorizations._base import BudgetError
from sparsecode.layers.factorizations._damped import Moment
from sparsecode.layers.factorizations._positions import (
    LARGEST_GROUP,
    Shape,
    expanded,
    largest_count,
    way_bits,
)

PATTERNS = ("unstructured", "n:m", "rows", "columns", "blocks")
SLAB = 2**20  # scores compared at a time, where rows compete among themselves


@dataclass(frozen=True)
class Pattern:
    """The supports that are allowed: so many blocks of a grid, in all, a row or a group."""

    block: Shape = (1, 1)
    group: Shape | None = None  # (keep, of): so many in each group along a row
    by_row: bool = False

    def choose(self, score: np.ndarray, count: int) -> np.ndarray:
        """The support of `count` cells whose scores have the largest squares; ties: the first."""
        a, b = self.block
        m, n = score.shape[0] // a, score.shape[1] // b
        if self.block != (1, 1):
            score = np.square(score).reshape(m, a, n, b).sum(axis=(1, 3))
        if self.group is not None:
            cells = largest_in_rows(score.reshape(-1, self.group[1]), self.group[0])
        elif self.by_row:
            cells = largest_in_rows(score, count // m)
        else:
            cells = largest_in_rows(score.reshape(1, -1), count)
        cells = cells.reshape(m, n)
        return cells if self.block == (1, 1) else expanded(cells, self.block)

    def most(self, shape: Shape, budget: int, value_bits: int) -> int:
        """The most entries of `value_bits` that `budget` bits hold, with their positions."""
        if self.group is not None:
            count = shape[0] * shape[1] // self.group[1] * self.group[0]
            positions = min(bits.total for bits in way_bits(shape, count, self.group).values())
            return count if count * value_bits + positions <= budget else 0
        blocks = largest_count(shape, budget, value_bits, self.block)
        return max(blocks, 0) * self.block[0] * self.block[1]

    def cells(self, shape: Shape, entries: int, budget: int) -> int:
        """The whole cells in so many entries, the same number a row if rows are thresholds."""
        cells = entries // (self.block[0] * self.block[1])
        if self.by_row:
            cells -= cells % shape[0]
        if cells < 1:
            raise BudgetError(f"{self._least(shape)} do not fit into {budget} bits; raise budget")
        return cells

    def _least(self, shape: Shape) -> str:
        if self.group is not None:
            return f"{self.group[0]} of {self.group[1]} entries of a {shape} layer"
        names = {(1, 1): "one nonzero", (1, shape[1]): "one row", (shape[0], 1): "one column"}
        unit = "an entry a row" if self.by_row else names.get(self.block, f"a block {self.block}")
        return f"{unit} of a {shape} layer and its position"

    def whole(self, shape: Shape) -> int:
        """The number of cells there are."""
        return shape[0] // self.block[0] * (shape[1] // self.block[1])


def check_pattern(
    shape: Shape,
    room: Callable[[Pattern], int],
    *,
    pattern: str | None,
    keep: int | None,
    of: int | None,
    block_shape: Any,
    threshold: str | None,
) -> Pattern:
    """The pattern that the options name; `keep=None` is the most that there is room for."""
    if pattern is None:
        grouped = keep is not None or of is not None
        pattern = "n:m" if grouped else "blocks" if block_shape is not None else "unstructured"
    check_option(pattern, "pattern", PATTERNS)
    if pattern != "n:m":
        check_unused(f"pattern={pattern!r}", keep=keep, of=of)
    if pattern != "blocks":
        check_unused(f"pattern={pattern!r}", block_shape=block_shape)
    if pattern != "unstructured":
        check_unused(f"pattern={pattern!r}", threshold=threshold)
    if pattern == "n:m":
        return Pattern(group=_check_group(shape, room, keep, of))
    if pattern == "rows":
        return Pattern(block=(1, shape[1]))
    if pattern == "columns":
        return Pattern(block=(shape[0], 1))
    if pattern == "blocks":
        return Pattern(block=_check_block(shape, block_shape))
    rule = check_option(threshold or "matrix", "threshold", ("matrix", "row"))
    return Pattern(by_row=rule == "row")


def _check_group(
    shape: Shape, room: Callable[[Pattern], int], keep: int | None, of: int | None
) -> Shape:
    of = check_int(4 if of is None else of, "of", low=2, high=LARGEST_GROUP)
    if shape[1] % of:
        raise ValueError(f"of={of} has to divide the layer's {shape[1]} inputs")
    if keep is not None:
        return check_int(keep, "keep", high=of - 1), of
    fitting = (most for most in range(of - 1, 0, -1) if room(Pattern(group=(most, of))) > 0)
    return next(fitting, 1), of


def _check_block(shape: Shape, block_shape: Any) -> Shape:
    if not (isinstance(block_shape, tuple | list) and len(block_shape) == 2):
        raise ValueError(f"block_shape has to be two integers, got {block_shape!r}")
    a = check_int(block_shape[0], "block_shape", high=shape[0])
    b = check_int(block_shape[1], "block_shape", high=shape[1])
    if shape[0] % a or shape[1] % b:
        raise ValueError(f"block_shape={(a, b)} has to divide the layer's shape {shape}")
    return a, b


def largest_in_rows(score: np.ndarray, count: int) -> np.ndarray:
    """Where the `count` largest entries of each row stand; ties go to the first."""
    m, n = score.shape
    if count <= 0 or count >= n:
        return np.full((m, n), count > 0)
    chosen = np.empty((m, n), dtype=bool)
    step = max(1, SLAB // n)
    for start in range(0, m, step):
        slab = score[start : start + step]
        if n > 8 * SLAB:
            least = np.array([[_kth_largest(slab[0], count)]])
        else:
            least = np.partition(slab, n - count, axis=1)[:, n - count, None]
        np.greater_equal(slab, least, out=chosen[start : start + step])
        kept = chosen[start : start + step]
        # Where more are equal to the least of them than there is room for: the first.
        for i in np.flatnonzero(np.count_nonzero(kept, axis=1) > count):
            equal = np.flatnonzero(slab[i] == least[i])
            room = count - np.count_nonzero(slab[i] > least[i])
            kept[i, equal[room:]] = False
    return chosen


def _kth_largest(score: np.ndarray, count: int) -> Any:
    """Of very many scores, in a fraction of their memory: a sample tells where to look."""
    sample = np.sort(score[:: max(1, score.size // SLAB)])
    place = sample.size * (1 - count / score.size)
    reach = 4 * np.sqrt(sample.size)  # of the count of a fair sample, eight deviations or more
    low, high = (sample[int(np.clip(place + sign * reach, 0, sample.size - 1))] for sign in (-1, 1))
    slabs = [score[start : start + SLAB] for start in range(0, score.size, SLAB)]
    above = sum(int(np.count_nonzero(slab > high)) for slab in slabs)
    middle = np.concatenate([slab[(slab >= low) & (slab <= high)] for slab in slabs])
    if not above < count <= above + middle.size:  # a pattern in step with the sample
        above, middle = 0, score
    at = middle.size - (count - above)
    return np.partition(middle, at)[at]


def importance(W: np.ndarray, gram: Moment | None) -> np.ndarray:
    """``|W_ij| sqrt(H_jj)``: the root of what the output loses with the weight alone (Wanda)."""
    score = np.abs(W)
    if gram is not None:
        score *= np.sqrt(np.maximum(gram.diagonal(), 0)).astype(score.dtype)
    return score
