r"""Where the nonzeros of a matrix stand, said in the fewest bits.

A support is a union of equal blocks on a grid: of single entries at the least, of whole rows or
columns at the most. The coarsest grid that explains it is found, and the cells of it that are kept
are packed the cheapest of four ways:

- a mask: a bit a cell;
- a list: the index of each kept cell, 16 bits where the grid has at most 65,536 cells, else 32;
- compressed rows: a column index each, 16 or 32 bits likewise, and a 32-bit pointer a row;
- groups: where every `of` cells of a row hold `keep` kept ones, the number of their combination
  among all, :math:`\lceil \log_2 \binom{of}{keep} \rceil` bits a group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sparsecode.layers.factorizations._base import Arrays, Bits, Meta, check_parts, part

Shape = tuple[int, int]

LARGEST_GROUP = 32  # cells: the number of a combination fits 32 bits
CHUNK = 2**16  # groups coded at a time; a multiple of 8, so that each chunk is whole bytes


class Layout(NamedTuple):
    """The grid of a support and what it takes to say which of its cells are kept."""

    way: str
    block: Shape
    cells: np.ndarray  # bool, one a block
    group: Shape | None  # (keep, of), for groups
    bits: Bits


def layout(support: np.ndarray) -> Layout:
    """The cheapest way to say where the entries of a support stand."""
    block = (_period(support, 0), _period(support, 1))
    cells = support[:: block[0], :: block[1]]
    group = _group(cells)
    costs = way_bits(cells.shape, int(np.count_nonzero(cells)), group)
    way = min(costs, key=lambda name: costs[name].total)
    return Layout(way, block, cells, group if way == "groups" else None, costs[way])


def way_bits(grid: Shape, count: int, group: Shape | None = None) -> dict[str, Bits]:
    """What each way takes for `count` cells of a grid; of equal ones the first is taken."""
    m, n = grid
    ways = {
        "mask": Bits(mask=8 * -(-m * n // 8)),
        "rows": Bits(indices=count * _width(n), pointers=32 * (m + 1)),
        "list": Bits(indices=count * _width(m * n)),
    }
    if group is not None:
        ways["groups"] = Bits(mask=8 * -(-m * n // group[1] * _group_width(group) // 8))
    return ways


def largest_count(shape: Shape, budget: int, value_bits: int, block: Shape = (1, 1)) -> int:
    """The most blocks that `budget` bits hold, values and positions; negative if none fit."""
    m, n = shape[0] // block[0], shape[1] // block[1]
    values = value_bits * block[0] * block[1]
    by_mask = (budget - 8 * -(-m * n // 8)) // values
    by_rows = (budget - 32 * (m + 1)) // (values + _width(n))
    by_list = budget // (values + _width(m * n))
    if budget >= m * n * values + 8:  # all of it is one block
        return m * n
    return min(max(by_mask, by_rows, by_list), m * n)


def pack(support: np.ndarray) -> tuple[Arrays, Meta]:
    """Named arrays, and what JSON has to say about them beside the shape."""
    way, block, cells, group, _ = layout(support)
    meta: Meta = {} if block == (1, 1) else {"block": list(block)}
    m, n = cells.shape
    if way == "mask":
        return {"mask": np.packbits(cells)}, meta
    if way == "groups":
        assert group is not None
        return {"groups": _encode(cells, group)}, meta | {"group": list(group)}
    if way == "list":
        indices = np.flatnonzero(cells).astype(_index_dtype(m * n))
        return {"indices": indices}, meta | {"positions": "list"}
    pointers = np.concatenate([[0], np.cumsum(cells.sum(axis=1))]).astype(np.uint32)
    return {"indices": np.nonzero(cells)[1].astype(_index_dtype(n)), "pointers": pointers}, meta


def unpack(arrays: Arrays, meta: Meta, shape: Shape) -> np.ndarray:
    """The support that was packed, or one sentence that says what does not fit."""
    block = _checked_pair(meta, "block", (1, 1))
    if shape[0] % block[0] or shape[1] % block[1]:
        raise ValueError(f"the packed layer of shape {shape} is no grid of blocks {block}")
    grid = shape[0] // block[0], shape[1] // block[1]
    if "group" in meta:
        check_parts(arrays, "groups")
        group = _checked_pair(meta, "group", (0, 0))
        cells = _decode(part(arrays, "groups", 1, ("uint8",)), grid, group)
    elif "mask" in arrays:
        check_parts(arrays, "mask")
        cells = _cells_of_mask(part(arrays, "mask", 1, ("uint8",)), grid)
    elif "positions" in meta:
        if meta["positions"] != "list":
            raise ValueError(f"the packed layer has positions {meta['positions']!r}, not 'list'")
        check_parts(arrays, "indices")
        indices = part(arrays, "indices", 1, (_index_dtype(math.prod(grid)).__name__,))
        cells = _cells_of_list(indices, grid)
    else:
        check_parts(arrays, "indices", "pointers")
        indices = part(arrays, "indices", 1, (_index_dtype(grid[1]).__name__,))
        cells = _cells_of_rows(indices, part(arrays, "pointers", 1, ("uint32",)), grid)
    return cells if block == (1, 1) else expanded(cells, block)


def expanded(cells: np.ndarray, block: Shape) -> np.ndarray:
    """A grid of cells as a grid of blocks."""
    return np.repeat(np.repeat(cells, block[0], axis=0), block[1], axis=1)


def _period(support: np.ndarray, axis: int) -> int:
    """The largest divisor of the side whose multiples are the only places of a change."""
    period = support.shape[axis]
    for start, chunk in _slabs(support, axis):
        changes = np.any(chunk[1:] != chunk[:-1], axis=1) if axis == 0 else _changes(chunk)
        places = np.flatnonzero(changes) + 1 + (start if axis == 0 else 0)
        period = math.gcd(period, int(np.gcd.reduce(places))) if places.size else period
        if period == 1:
            break
    return period


def _changes(chunk: np.ndarray) -> np.ndarray:
    return np.any(chunk[:, 1:] != chunk[:, :-1], axis=0)


def _slabs(support: np.ndarray, axis: int) -> Iterator[tuple[int, np.ndarray]]:
    """Rows a few at a time: the first few tell of most supports that they have no blocks."""
    step, overlap = max(2, 2**16 // support.shape[1]), 1 if axis == 0 else 0
    for start in range(0, support.shape[0], step):
        yield start, support[start : start + step + overlap]


def _group(cells: np.ndarray) -> Shape | None:
    """The cheapest groups that all hold the same number of kept cells, if there are any."""
    m, n = cells.shape
    found = []
    for of in range(2, min(LARGEST_GROUP, n) + 1):
        if n % of == 0:
            keep = int(cells[0, :of].sum())
            first = cells[0].reshape(-1, of).sum(axis=1)
            if 0 < keep < of and np.all(first == keep) and _all_hold(cells, keep, of):
                found.append((keep, of))
    return min(found, key=lambda group: m * n // group[1] * _group_width(group), default=None)


def _all_hold(cells: np.ndarray, keep: int, of: int) -> bool:
    count = np.zeros((cells.shape[0], cells.shape[1] // of), dtype=np.uint8)
    for j in range(of):
        count += cells[:, j::of]
    return bool(np.all(count == keep))


def _width(n: int) -> int:
    return 8 * np.dtype(_index_dtype(n)).itemsize


def _index_dtype(n: int) -> type[np.unsignedinteger]:
    return np.uint16 if n <= 2**16 else np.uint32


def _group_width(group: Shape) -> int:
    keep, of = group
    return (math.comb(of, keep) - 1).bit_length()


def _binomials(group: Shape) -> np.ndarray:
    """``C(j, r)`` for places `j` below `of` and `r` up to `keep`."""
    keep, of = group
    return np.array([[math.comb(j, r) for r in range(keep + 1)] for j in range(of)], np.uint64)


def _encode(cells: np.ndarray, group: Shape) -> np.ndarray:
    """Each group's number: the sum over its kept places ``p_1 < p_2 < ...`` of ``C(p_r, r)``."""
    of = group[1]
    width, binomials = _group_width(group), _binomials(group)
    rows = np.ascontiguousarray(cells).reshape(-1, of)
    packed = []
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        number = np.zeros(len(chunk), np.uint64)
        seen = np.zeros(len(chunk), np.intp)
        for j in range(of):
            seen += chunk[:, j]
            number += np.where(chunk[:, j], binomials[j, seen], np.uint64(0))
        shifts = np.arange(width - 1, -1, -1, dtype=np.uint64)
        packed.append(np.packbits((number[:, None] >> shifts & np.uint64(1)).astype(bool)))
    return np.concatenate(packed)


def _decode(packed: np.ndarray, grid: Shape, group: Shape) -> np.ndarray:
    keep, of = group
    m, n = grid
    if not 0 < keep < of <= LARGEST_GROUP or n % of:
        raise ValueError(f"the packed layer has groups {group} in rows of {n} cells")
    n_groups, width = m * n // of, _group_width(group)
    if packed.size != -(-n_groups * width // 8):
        raise ValueError(f"the groups {group} of a {m} x {n} layer have {packed.size} bytes")
    binomials = _binomials(group)
    cells = np.empty((n_groups, of), dtype=bool)
    for start in range(0, n_groups, CHUNK):
        size = min(CHUNK, n_groups - start)
        first = start * width // 8
        bits = np.unpackbits(packed[first : first + -(-size * width // 8)], count=size * width)
        powers = np.uint64(1) << np.arange(width - 1, -1, -1, dtype=np.uint64)
        number = bits.reshape(size, width) @ powers
        if np.any(number >= math.comb(of, keep)):
            raise ValueError(f"a group of the packed layer is no choice of {keep} in {of}")
        left = np.full(size, keep, np.intp)
        for j in range(of - 1, -1, -1):
            least = binomials[j, left]
            taken = (left > 0) & (number >= least)
            number -= np.where(taken, least, np.uint64(0))
            left -= taken
            cells[start : start + size, j] = taken
    return cells.reshape(m, n)


def _checked_pair(meta: Meta, name: str, default: Shape) -> Shape:
    pair = meta.get(name, list(default))
    if not (
        isinstance(pair, list)
        and len(pair) == 2
        and all(type(side) is int and side > 0 for side in pair)
    ):
        raise ValueError(f"the packed layer's {name} is {pair!r}; it has to be two positive ints")
    return pair[0], pair[1]


def _cells_of_mask(mask: np.ndarray, grid: Shape) -> np.ndarray:
    m, n = grid
    if mask.size != -(-m * n // 8):
        raise ValueError(f"the mask of a {m} x {n} layer has {mask.size} bytes")
    return np.unpackbits(mask, count=m * n).reshape(m, n).astype(bool)


def _cells_of_list(indices: np.ndarray, grid: Shape) -> np.ndarray:
    m, n = grid
    if indices.size and indices.max() >= m * n:
        raise ValueError(f"an index is {indices.max()} in a layer of {m} x {n} positions")
    if np.any(np.diff(indices.astype(np.int64)) <= 0):
        raise ValueError("the positions' indices do not increase")
    cells = np.zeros(m * n, dtype=bool)
    cells[indices] = True
    return cells.reshape(m, n)


def _cells_of_rows(indices: np.ndarray, pointers: np.ndarray, grid: Shape) -> np.ndarray:
    m, n = grid
    if pointers.size != m + 1:
        raise ValueError(f"{pointers.size} row pointers for {m} rows")
    counts = np.diff(pointers.astype(np.int64))
    if pointers[0] != 0 or pointers[-1] != indices.size or np.any(counts < 0):
        raise ValueError("the row pointers do not count the indices")
    if indices.size and indices.max() >= n:
        raise ValueError(f"a column index is {indices.max()} in a layer of {n} inputs")
    rows = np.repeat(np.arange(m), counts.tolist())
    if np.any((np.diff(indices.astype(np.int64)) <= 0) & (np.diff(rows) == 0)):
        raise ValueError("the column indices of a row do not increase")
    cells = np.zeros((m, n), dtype=bool)
    cells[rows, indices] = True
    return cells
