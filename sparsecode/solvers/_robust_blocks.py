r"""Principal component pursuit of a tall Dask array: what travels are matrices of its features.

The inexact augmented Lagrange multiplier method (Lin, Chen and Ma, 2010), restarted, as
`principal_component_pursuit` does it in memory, with singular values from the moment ``M^T M``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from sparsecode._dask import persisted, reduce_rows, tasks
from sparsecode._scaling import from_units
from sparsecode._validation import check_int, check_real
from sparsecode.solvers._blocks import Blocks, added, in_units
from sparsecode.solvers._result import SplitResult
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers._split import GAP

# A moment knows singular values down to the root of the rounding; the threshold stays above them.
CEILING = 1e6


class _Parts(NamedTuple):
    """What a block keeps: the low-rank part, the multiplier, and the matrix that comes next."""

    L: np.ndarray
    Y: np.ndarray
    M: np.ndarray
    energy: float  # ||X - L - S||^2
    absolute: float  # the weighted l1 norm of S


class _Sums(NamedTuple):
    moment: np.ndarray  # M^T M
    energy: float
    absolute: float


class _GapSums(NamedTuple):
    moment: np.ndarray  # Y^T Y
    largest: float  # |Y| over the bound
    absolute: float  # of X - L, weighted
    low_rank_pairing: float  # <L, Y>
    sparse_pairing: float  # <X - L, Y>


class _Split(NamedTuple):
    parts: list[Any]
    mu: float  # of the next matrix
    singular_values: np.ndarray
    Vt: np.ndarray
    residual: float
    absolute: float
    gap: float


def pursuit_of_blocks(
    X: Any, alpha: Any, tol: Any, max_iter: Any, callback: Callback | None
) -> SplitResult:
    """`principal_component_pursuit` of a Dask array, whose parts are Dask arrays."""
    blocks = Blocks.checked(X)
    alpha = 1 / np.sqrt(max(blocks.shape)) if alpha is None else alpha
    alpha = check_real(alpha, "alpha", low=0, open_low=True)
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    tol = max(tol, 8 * float(np.finfo(blocks.dtype).eps))
    unit, size = blocks.unit, float(np.sqrt(blocks.energy))

    def measure(split: _Split) -> dict[str, float]:
        objective = float(split.singular_values.sum()) + split.absolute
        optimal = split.gap <= GAP or split.gap == np.inf
        return {
            "objective": objective * unit,
            "certificate": split.residual if optimal else max(split.residual, split.gap),
            "rank": split.singular_values.size,
        }

    last, ending = run(
        _multipliers(blocks, alpha, tol, size) if size > 0 else iter([_zero(blocks)]),
        measure,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        name="principal_component_pursuit",
    )
    pairs = (blocks.X, last.parts)
    gap = last.gap
    if gap == np.inf:
        gap = _relative_gap(blocks, last.parts, alpha, last.singular_values)
    like = np.empty((1, blocks.shape[1]), blocks.dtype)
    return SplitResult(
        low_rank=blocks.array_of(tasks(_low_rank_of, last.parts, unit), like),
        sparse=blocks.array_of(tasks(_sparse_of, pairs, blocks.dtype, unit, alpha, last.mu), like),
        rank=last.singular_values.size,
        singular_values=from_units(last.singular_values, unit, name="singular_values"),
        components=np.ascontiguousarray(last.Vt),
        n_svd=ending["n_iter"] if size > 0 else 0,
        dual_gap=gap,
        **ending,
    )


def _zero(blocks: Blocks) -> _Split:
    parts = persisted(_nothing, blocks.X, blocks.dtype, blocks.unit)
    nothing = np.zeros((0, blocks.shape[1]), blocks.dtype)
    return _Split(parts, 1.0, np.zeros(0, blocks.dtype), nothing, 0.0, 0.0, 0.0)


def _multipliers(blocks: Blocks, alpha: float, tol: float, size: float) -> Iterator[_Split]:
    units = (blocks.dtype, blocks.unit)
    parts = persisted(_nothing, blocks.X, *units)
    sums = reduce_rows(_sums, added, parts)
    values = scipy.linalg.eigvalsh(sums.moment)
    norm = float(np.sqrt(max(values[-1], 0.0)))
    of_all: Callable[[Sequence[float]], float] = max
    largest = reduce_rows(_largest_entry, of_all, parts)
    mu = first = 1.25 / norm
    growth, ceiling = 1.5, CEILING * first
    parts = persisted(_first_multiplier, parts, max(norm, largest / alpha), mu)
    sums = reduce_rows(_sums, added, parts)
    while True:
        singular_values, Vt, project = _thresholded(sums.moment, 1 / mu)
        following = min(growth * mu, ceiling)
        parts = persisted(_stepped, (blocks.X, parts), *units, project, alpha, mu, following)
        sums = reduce_rows(_sums, added, parts)
        residual, gap = float(np.sqrt(sums.energy)) / size, np.inf
        if residual <= tol:
            gap = _relative_gap(blocks, parts, alpha, singular_values)
        values = singular_values.astype(blocks.dtype)
        Vt = Vt.astype(blocks.dtype)
        yield _Split(parts, following, values, Vt, residual, sums.absolute, gap)
        if residual <= tol:  # what follows is a step of the method started again
            parts = persisted(_restarted, parts, 1 / first - 1 / following)
            sums = reduce_rows(_sums, added, parts)
            following, growth = first, 1 + (growth - 1) / 2
        mu = following


def _thresholded(moment: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular values less the threshold, their right vectors, and what maps rows to the part."""
    squares, V = scipy.linalg.eigh(moment, check_finite=False)
    s, V = np.sqrt(np.maximum(squares[::-1], 0)), V[:, ::-1]
    rank = int(np.count_nonzero(s > threshold))
    s, V = s[:rank], V[:, :rank]
    return s - threshold, V.T, (V * (1 - threshold / s)) @ V.T


def _relative_gap(
    blocks: Blocks, parts: Sequence[Any], alpha: float, singular_values: np.ndarray
) -> float:
    """The duality gap of the exact split ``(L, X - L)`` over its objective."""
    sums = reduce_rows(_gap_sums, _added_gaps, (blocks.X, parts), blocks.dtype, blocks.unit, alpha)
    nuclear = float(singular_values.sum(dtype=np.float64))
    norm = float(np.sqrt(max(scipy.linalg.eigvalsh(sums.moment)[-1], 0.0)))
    polar = max(norm, sums.largest) or 1.0
    gap = max(nuclear - sums.low_rank_pairing / polar, 0.0)
    gap += max(sums.absolute - sums.sparse_pairing / polar, 0.0)
    return gap / (nuclear + sums.absolute) if nuclear + sums.absolute > 0 else 0.0


# What workers do. A block is rows as they were given.


def _nothing(block: np.ndarray, dtype: np.dtype, unit: float) -> _Parts:
    X = in_units(block, dtype, unit)
    return _Parts(np.zeros_like(X), np.zeros_like(X), X, 0.0, 0.0)


def _first_multiplier(parts: _Parts, scale: float, mu: float) -> _Parts:
    Y = (parts.M / scale).astype(parts.M.dtype)
    return parts._replace(Y=Y, M=(parts.M + Y / mu).astype(Y.dtype))


def _stepped(
    block: np.ndarray,
    parts: _Parts,
    dtype: np.dtype,
    unit: float,
    project: np.ndarray,
    alpha: float,
    mu: float,
    following: float,
) -> _Parts:
    from sparsecode.solvers._kernels.split import multiplier_step

    X = in_units(block, dtype, unit)
    L, Y, M = parts.M @ project.astype(dtype), parts.Y.copy(), np.empty_like(X)
    bounds, energies = np.full((1, X.shape[1]), alpha, dtype), np.empty((2, len(X)))
    multiplier_step(X, L, Y, M, bounds, dtype.type(mu), dtype.type(following), *energies)
    return _Parts(L, Y, M, float(energies[0].sum()), float(energies[1].sum()))


def _restarted(parts: _Parts, step: float) -> _Parts:
    return parts._replace(M=parts.M + parts.Y * parts.Y.dtype.type(step))


def _sums(parts: _Parts) -> _Sums:
    M = parts.M.astype(np.float64, copy=False)
    return _Sums(M.T @ M, parts.energy, parts.absolute)


def _largest_entry(parts: _Parts) -> float:
    return float(np.abs(parts.M).max())


def _gap_sums(
    block: np.ndarray, parts: _Parts, dtype: np.dtype, unit: float, alpha: float
) -> _GapSums:
    L, Y = (part.astype(np.float64, copy=False) for part in (parts.L, parts.Y))
    S = in_units(block, dtype, unit) - L
    return _GapSums(
        Y.T @ Y,
        float(np.abs(Y).max()) / alpha,
        alpha * float(np.abs(S).sum()),
        float(np.sum(L * Y)),
        float(np.sum(S * Y)),
    )


def _added_gaps(parts: Sequence[_GapSums]) -> _GapSums:
    return _GapSums(
        sum((each.moment for each in parts[1:]), start=parts[0].moment),
        max(each.largest for each in parts),
        sum(each.absolute for each in parts),
        sum(each.low_rank_pairing for each in parts),
        sum(each.sparse_pairing for each in parts),
    )


def _low_rank_of(parts: _Parts, unit: float) -> np.ndarray:
    return np.asarray(from_units(parts.L, unit, name="low_rank"))


def _sparse_of(
    block: np.ndarray, parts: _Parts, dtype: np.dtype, unit: float, alpha: float, mu: float
) -> np.ndarray:
    """Of ``M = X - S + Y / mu``: where the multiplier is at its bound, and nowhere else."""
    X, clipped = in_units(block, dtype, unit), np.abs(parts.Y) >= dtype.type(alpha)
    S = np.where(clipped, X - parts.M + parts.Y / dtype.type(mu), dtype.type(0))
    return np.asarray(from_units(S, unit, name="sparse"))
