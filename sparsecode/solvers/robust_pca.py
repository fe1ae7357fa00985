r"""Robust PCA: a matrix split into low rank plus sparse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sparsecode._dask import is_dask
from sparsecode._mapped import in_units, out_of_units, scratch_like, zeros_like
from sparsecode._scaling import from_units, magnitude, unit_of
from sparsecode._threads import check_n_threads, map_tiles, single_threaded_blas
from sparsecode._validation import check_int, check_matrix, check_real, check_unused
from sparsecode.operators import spectral_norm
from sparsecode.solvers._huber import estimates
from sparsecode.solvers._krylov import Leading
from sparsecode.solvers._result import SplitResult
from sparsecode.solvers._robust_blocks import pursuit_of_blocks
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers._split import GAP, Bounds, nothing, size_of, tiles
from sparsecode.solvers._svt import WarmSVD, shrunk

__all__ = ["principal_component_pursuit"]


class _Split(NamedTuple):
    """``L = U s V^T``; the other parts are made when they are asked for."""

    low_rank: np.ndarray
    leading: Leading
    residual: float  # ||X - L - S||_F / ||X||_F
    absolute: float  # the weighted l1 norm of S
    gap: float  # the relative duality gap, evaluated where the residual is at most tol
    dual: Callable[[], np.ndarray]
    sparse: Callable[[], np.ndarray]


def _pursuit(X: np.ndarray, bounds: Bounds, tol: float, n_threads: int) -> Iterator[_Split]:
    """Multipliers; where their ranks on the way ask for whole decompositions, the way from above.

    Where there is no way of low rank, multipliers after all.
    """
    if tol >= 800 * float(np.finfo(X.dtype).eps):
        for way, most in ((_augmented_lagrangian, 2), (_from_above, 3)):
            values = WarmSVD(X.shape, X.dtype, n_threads, by_rows=True)
            for split in way(X, bounds, tol, values, n_threads):
                yield split
                if values.n_whole >= most:
                    break
    values = WarmSVD(X.shape, X.dtype, n_threads, by_rows=True)
    yield from _augmented_lagrangian(X, bounds, tol, values, n_threads)


def _augmented_lagrangian(
    X: np.ndarray, bounds: Bounds, tol: float, values: WarmSVD, n_threads: int
) -> Iterator[_Split]:
    """The inexact augmented Lagrange multiplier method (Lin, Chen and Ma, 2010), restarted.

    The penalty `mu` grows so fast that the split may freeze before it is optimal. Then the method
    starts again from there, with half the growth.
    """
    L, Y, M = (scratch_like(X) for _ in range(3))
    for rows in tiles(X):
        M[rows] = np.nan_to_num(X[rows], nan=0.0)
    norm, size = spectral_norm(M), float(np.linalg.norm(M))
    mu = first = 1.25 / norm
    growth, ceiling = 1.5, 1e7 * first
    scale = X.dtype.type(max(norm, bounds.polar(M)))
    for rows in tiles(X):
        np.divide(M[rows], scale, out=Y[rows])
        M[rows] += Y[rows] / X.dtype.type(mu)
    while True:
        leading = shrunk(values.above(M, 1 / mu), 1 / mu)
        following = min(growth * mu, ceiling)
        energy, absolute = _multiplier_step(X, leading, L, Y, M, bounds, mu, following, n_threads)
        residual = float(np.sqrt(energy)) / size
        gap = np.inf
        if residual <= tol:
            gap = _relative_gap(X, L, leading, Y, bounds)
            # What follows is a step of the method started again.
            for rows in tiles(X):
                M[rows] += Y[rows] * X.dtype.type(1 / first - 1 / following)
            following, growth = first, 1 + (growth - 1) / 2
        sparse = partial(_clipped_part, X, Y, M, bounds, following)
        yield _Split(L, leading, residual, absolute, gap, lambda: Y, sparse)
        mu = following


def _clipped_part(
    X: np.ndarray, Y: np.ndarray, M: np.ndarray, bounds: Bounds, mu: float
) -> np.ndarray:
    """`S`, of ``M = X - S + Y / mu``: where the multiplier is at its bound, and nowhere else."""
    S = zeros_like(X)
    for rows in tiles(X):
        clipped = np.abs(Y[rows]) >= bounds[rows]
        S[rows][clipped] = (X[rows] - M[rows] + Y[rows] / X.dtype.type(mu))[clipped]
    return S


def _from_above(
    X: np.ndarray, bounds: Bounds, tol: float, values: WarmSVD, n_threads: int
) -> Iterator[_Split]:
    """`stable_pcp` for a noise that `tol` allows: slower, but the rank is low all the way down."""
    size, _ = size_of(X)
    goal = gap = np.inf
    for estimate in estimates(X, bounds, 0.9 * tol * size, 0.0, values, n_threads):
        L, leading, residual = estimate.low_rank, estimate.leading, estimate.noise / size
        dual = partial(estimate.noise_part, X, bounds)
        if residual <= tol and estimate.drift <= goal:
            gap, goal = _relative_gap(X, L, leading, dual(), bounds), estimate.drift / 2
        sparse = partial(estimate.sparse, X, bounds)
        yield _Split(L, leading, residual, estimate.absolute, gap, dual, sparse)


def _multiplier_step(
    X: np.ndarray,
    leading: Leading,
    L: np.ndarray,
    Y: np.ndarray,
    M: np.ndarray,
    bounds: Bounds,
    mu: float,
    following: float,
    n_threads: int,
) -> tuple[float, float]:
    """Write `L`, `Y` and `M`, tile by tile; ``||X - L - S||_F^2`` and the l1 norm of `S`."""
    from sparsecode.solvers._kernels.split import multiplier_step

    U, s, Vt = leading
    steps = [X.dtype.type(number) for number in (mu, following)]

    def step(rows: slice) -> tuple[float, float]:
        np.matmul(U[rows] * s, Vt, out=L[rows])
        energies, absolutes = np.empty((2, len(L[rows])))
        parts = (X[rows], L[rows], Y[rows], M[rows], bounds[rows])
        multiplier_step(*parts, *steps, energies, absolutes)
        return float(energies.sum()), float(absolutes.sum())

    parts = map_tiles(step, tiles(X), n_threads)
    return sum(part[0] for part in parts), sum(part[1] for part in parts)


def _relative_gap(
    X: np.ndarray, low_rank: np.ndarray, leading: Leading, dual: np.ndarray, bounds: Bounds
) -> float:
    """`pcp_duality_gap` over the objective, on the observed entries, without arrays of their size.

    The multiplier is zero where an entry is missing.
    """
    nuclear = float(leading.singular_values.sum(dtype=np.float64))
    polar = max(spectral_norm(dual), bounds.polar(dual)) or 1.0
    absolute = low_rank_pairing = sparse_pairing = 0.0
    for rows in tiles(X):
        L, Y = low_rank[rows], dual[rows]
        S = np.nan_to_num(X[rows] - L, nan=0.0)
        absolute += float((bounds[rows] * np.abs(S)).sum(dtype=np.float64))
        low_rank_pairing += float(np.vdot(L, Y)) / polar
        sparse_pairing += float(np.vdot(S, Y)) / polar
    gap = max(nuclear - low_rank_pairing, 0.0) + max(absolute - sparse_pairing, 0.0)
    return gap / (nuclear + absolute) if nuclear + absolute > 0 else 0.0


def principal_component_pursuit(
    X: Any,
    *,
    alpha: float | None = None,
    weights: Any = None,
    tol: float = 1e-7,
    max_iter: int = 1000,
    missing_values: float | None = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> SplitResult:
    r"""Principal component pursuit: the convex split into low rank plus sparse.

    .. math:: \min_{L + S = X} \|L\|_* + \alpha \sum_{ij} w_{ij} |S_{ij}|

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The matrix; float32 or float64 is computed in its own precision. Where it is a tall
        `np.memmap`, so is all else of its size, in nameless files beside it. Of a tall Dask array
        the blocks of rows, and three arrays of their size each, stay where they are, and only
        matrices of (n_features, n_features) travel; the two parts are Dask arrays then.
    alpha : float, optional
        The weight of the l1 norm; ``1 / sqrt(max(X.shape))`` by default, which needs no tuning
        under the conditions of Candes et al.
    weights : array that broadcasts to the shape of X, optional
        Positive: how unlikely it is that an entry is wrong. All ones by default.
    tol : float, default=1e-7
        Stop when ``||X - L - S||_F <= tol * ||X||_F`` and the duality gap is at most 1 % of the
        objective. A `tol` below eight roundings of the dtype counts as these.
    max_iter : int, default=1000
        Iterations at the most, one singular value decomposition each, full or partial.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown: the constraint is on the others, and
        `low_rank` has values for them.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    SplitResult
        `low_rank`, `sparse`, `rank`, `singular_values`, `components`, `n_svd`, `n_iter`,
        `converged`; `certificate` is the relative constraint residual that `tol` bounds (or the
        relative duality gap where that is what is left to do), and
        `dual_gap` the duality gap of the exact split ``(L, X - L)`` over its objective: no split
        can have an objective lower than ``(1 - dual_gap) * objective``.

    Raises
    ------
    ValueError
        If `X` has infinite entries, or NaN that `missing_values` does not announce, a row or a
        column has no entries at all, or a parameter is out of range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    References
    ----------
    Candes, Li, Ma and Wright, "Robust principal component analysis?", 2011; Lin, Chen and Ma, "The
    augmented Lagrange multiplier method for exact recovery of corrupted low-rank matrices", 2010.

    Examples
    --------
    >>> from sparsecode.datasets import make_low_rank_plus_sparse
    >>> from sparsecode.solvers import principal_component_pursuit
    >>> X, low_rank, sparse = make_low_rank_plus_sparse(60, rank=2, density=0.05, random_state=0)
    >>> result = principal_component_pursuit(X)
    >>> result.rank, bool(abs(result.low_rank - low_rank).max() < 1e-4)
    (2, True)
    """
    if is_dask(X):
        check_unused(
            "a Dask array", weights=weights, missing_values=missing_values, n_threads=n_threads
        )
        return pursuit_of_blocks(X, alpha, tol, max_iter, callback)
    X = check_matrix(X, missing_values)
    bounds = Bounds(alpha, weights, X)
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    tol = max(tol, 8 * float(np.finfo(X.dtype).eps))
    n_threads = check_n_threads(n_threads)
    unit = unit_of(magnitude(X), X.dtype)
    X = in_units(X, unit)
    if magnitude(X) > 0:
        iterates = _pursuit(X, bounds, tol, n_threads)
    else:
        zeros = partial(zeros_like, X)
        iterates = iter([_Split(zeros(), nothing(X), 0.0, 0.0, 0.0, zeros, zeros)])

    def measure(split: _Split) -> dict[str, float]:
        objective = float(split.leading.singular_values.sum()) + split.absolute
        optimal = split.gap <= GAP or split.gap == np.inf
        return {
            "objective": objective * unit,
            "certificate": split.residual if optimal else max(split.residual, split.gap),
            "rank": split.leading.singular_values.size,
        }

    with single_threaded_blas():  # its threads lose more on small factors than they win
        split, ending = run(
            iterates,
            measure,
            tol=tol,
            max_iter=max_iter,
            callback=callback,
            name="principal_component_pursuit",
        )
    s, Vt = split.leading.singular_values, split.leading.Vt
    gap = split.gap
    if gap == np.inf:
        gap = _relative_gap(X, split.low_rank, split.leading, split.dual(), bounds)
    sparse = split.sparse()  # before the low-rank part is in the units of the data
    return SplitResult(
        low_rank=out_of_units(split.low_rank, unit, name="low_rank"),
        sparse=out_of_units(sparse, unit, name="sparse"),
        rank=s.size,
        singular_values=from_units(s, unit, name="singular_values"),
        components=np.ascontiguousarray(Vt),
        n_svd=ending["n_iter"] if magnitude(X) > 0 else 0,
        dual_gap=gap,
        **ending,
    )
