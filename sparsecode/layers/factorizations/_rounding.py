r"""From numbers to codes by error feedback, and the choice between that and the nearest codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode.layers.factorizations._feedback import BLOCK, TILE, ColumnsRule, error_feedback
from sparsecode.layers.factorizations._format import Format
from sparsecode.layers.factorizations._grid import Grid, common_exponent
from sparsecode.layers.factorizations._values import Codes, Half, Values, decoded, groups_of


def with_feedback(W: np.ndarray, root: np.ndarray, format_: Format) -> Codes:
    """Codes of a matrix by error feedback in the metric whose Cholesky factor is `root`.

    The grids of groups of at most 128 follow what the columns behind them leave; others are found
    beforehand.
    """
    assert format_.bits is not None
    # Not the squares of the diagonal of `root`, which an error costs in the end: what they leave
    # cheap to clip pushes the columns still to come off their grids.
    costs = _squares(root)
    groups = groups_of(W.shape, format_.group)
    bits, exponent = format_.bits, common_exponent(W, format_.bits)
    following = groups.inside_rows and groups.size <= BLOCK
    along = groups.counts[1]
    grid = Grid(bits, exponent, np.empty(groups.number, np.float16), None)
    if not format_.symmetric:
        grid = grid._replace(zeros=np.empty(groups.number, np.uint8))
    if not following:
        grid = format_.grid(W, costs, exponent)
    codes = np.empty(W.shape, dtype=np.uint8)

    settled: list[tuple[slice, np.ndarray]] = []

    def choose(V: np.ndarray, columns: slice) -> ColumnsRule:
        columns = slice(columns.start, columns.start + V.shape[1])
        found, first = grid, 0
        if following:
            first = columns.start // groups.size
            inside = dataclasses.replace(format_, group=min(groups.size, V.shape[1]))
            found = inside.grid(V, costs[columns], exponent)
            here = slice(first, first + found.scales.size // len(V))
            grid.scales.reshape(-1, along)[:, here] = found.scales.reshape(len(V), -1)
            if grid.zeros is not None and found.zeros is not None:
                grid.zeros.reshape(-1, along)[:, here] = found.zeros.reshape(len(V), -1)
        of_groups = found.steps(V.dtype), found.origins(V.dtype)
        group = np.arange(columns.start, columns.stop) // groups.size - first
        steps, origins = (
            some.reshape(len(V), -1)[:, group]
            if groups.inside_rows
            else np.broadcast_to(groups.spread(some), V.shape)
            for some in of_groups
        )
        settled.append((columns, np.empty(V.shape, dtype=np.uint8)))
        kept = np.ones(V.shape, dtype=np.uint8)
        return ColumnsRule(kept, steps, origins, bits, settled[-1][1])

    width = groups.size * (BLOCK // groups.size) if following else BLOCK
    error_feedback(W, root, choose, width=width)
    for columns, some in settled:
        codes[:, columns] = some
    return Codes(codes, grid, format_.group, format_.dtype)


def on_support(V: np.ndarray, support: np.ndarray, root: np.ndarray, format_: Format) -> Codes:
    """Codes of the entries on a support, row by row, by error feedback; the others stay zero."""
    start = format_.store(V[support], _on(_squares(root), support))
    assert isinstance(start, Codes)
    groups = groups_of(start.shape, format_.group)
    steps, origins = (
        groups.spread(some)[0] if groups.inside_rows else np.broadcast_to(some, start.size)
        for some in (start.grid.steps(root.dtype), start.grid.origins(root.dtype))
    )
    place = np.cumsum(support, axis=None).reshape(support.shape) - 1
    codes = start.codes.copy()

    settled: list[tuple[slice, np.ndarray]] = []

    def choose(V: np.ndarray, columns: slice) -> ColumnsRule:
        kept = support[:, columns]
        at = place[:, columns][kept]
        step, origin = np.zeros_like(V), np.zeros_like(V)
        step[kept], origin[kept] = steps[at], origins[at]
        settled.append((columns, np.zeros(kept.shape, dtype=np.uint8)))
        return ColumnsRule(kept, step, origin, start.grid.bits, settled[-1][1])

    error_feedback(V, root, choose)
    for columns, some in settled:
        kept = support[:, columns]
        codes[place[:, columns][kept]] = some[kept]
    return dataclasses.replace(start, codes=codes)


def store_matrix(
    X: np.ndarray, root: np.ndarray | None, format_: Format, *, rough: bool = False
) -> Values:
    """A matrix as its format says: by error feedback where there are codes and a metric.

    Or to the nearest where that turns out better, which happens, and which a rough one leaves out.
    """
    if root is None or format_.bits in (None, 16):
        return format_.store(X)
    if rough:
        return with_feedback(X, root, format_)
    found = with_feedback(X, root, format_), format_.store(X, _squares(root))
    return _best(found, lambda values: decoded(values) - X, root)


def store_entries(
    V: np.ndarray, support: np.ndarray, root: np.ndarray | None, format_: Format
) -> Values:
    """The entries on a support, likewise."""
    if root is None or format_.bits in (None, 16):
        return format_.store(V[support])

    def miss(values: Values) -> np.ndarray:
        D = np.zeros_like(V)
        D[support] = decoded(values) - V[support]
        return D

    plain = format_.store(V[support], _on(_squares(root), support))
    return _best((on_support(V, support, root, format_), plain), miss, root)


def _squares(root: np.ndarray) -> np.ndarray:
    """The diagonal of the moment, of a few rows at a time."""
    squares = np.empty(len(root), root.dtype)
    for start in range(0, len(root), TILE):
        rows = slice(start, start + TILE)
        lower = np.tril(root[rows, : rows.stop], start)
        squares[rows] = np.einsum("ij,ij->i", lower, lower)
    return squares


def _on(per_column: np.ndarray, support: np.ndarray) -> np.ndarray:
    return np.broadcast_to(per_column, support.shape)[support]


def _best(
    found: tuple[Values, ...], miss: Callable[[Values], np.ndarray], root: np.ndarray
) -> Values:
    lower, misses = np.tril(root), [miss(values) for values in found]
    unit = unit_of(max(magnitude(D) for D in misses), root.dtype)
    errors = [float(np.sum((to_units(D, unit) @ lower) ** 2)) for D in misses]
    return found[int(np.argmin(errors))]


def shifted(values: Values, exponent: int) -> Values:
    """``values * 2**exponent``."""
    if isinstance(values, Half):
        return dataclasses.replace(values, exponent=values.exponent + exponent)
    if isinstance(values, Codes):
        grid = values.grid
        return dataclasses.replace(values, grid=grid._replace(exponent=grid.exponent + exponent))
    return np.ldexp(values, exponent)
