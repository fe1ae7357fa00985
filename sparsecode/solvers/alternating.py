r"""Low rank plus sparse for a given rank, by projections alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sparsecode._mapped import in_units, out_of_units, row_tiles, scratch_like
from sparsecode._scaling import from_units, magnitude, unit_of
from sparsecode._threads import check_n_threads, map_tiles, single_threaded_blas
from sparsecode._validation import check_int, check_matrix, check_real
from sparsecode.solvers._krylov import Leading, rough_svd
from sparsecode.solvers._median import median_size
from sparsecode.solvers._orthogonal import orthonormal, svd
from sparsecode.solvers._result import SplitResult, Status
from sparsecode.solvers._run import Callback, run, warn_unidentified

__all__ = ["alternating_projections"]


class _Split(NamedTuple):
    factors: Leading
    cut: float  # residuals above it are outliers
    energy: float  # of the others
    n_outliers: int
    settled: bool = True  # else its rank is on trial

    @property
    def residual(self) -> float:
        """``||X - L - S||_F / ||L||_F``."""
        residual = float(np.sqrt(self.energy))
        size = float(np.linalg.norm(self.factors.singular_values))
        return residual / size if size > 0 else float(residual > 0)


def alternating_projections(
    X: Any,
    rank: int | None = None,
    *,
    decay: float = 0.7,
    tol: float = 1e-7,
    max_iter: int = 1000,
    missing_values: float | None = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> SplitResult:
    r"""A matrix of given rank plus sparse outliers, by accelerated alternating projections.

    .. math:: \min_{L, S} \|X - L - S\|_F^2 \quad \text{s.t.} \quad \mathrm{rank}(L) \le r, \;
              S \text{ sparse}

    Each iteration takes as outliers what is above a threshold in :math:`X - L`, projects
    :math:`X - S` onto the tangent space of the matrices of rank `r` at :math:`L`, and takes the
    best approximation of rank `r` there: three products with `r` columns and the decomposition of
    a matrix of order `2r`, where a plain projection takes that of the whole matrix. The threshold
    falls with the iterations. The problem is not convex: there is no gap, and the split is the
    right one if the low-rank part is not concentrated in few rows or columns and no row or column
    has too many outliers.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The matrix; float32 or float64 is computed in its own precision. Where it is a `np.memmap`,
        so is all else of its size, in nameless files beside it.
    rank : int, optional
        From 1 to ``min(X.shape)``. None takes the least rank that leaves no more than half of the
        entries as outliers: of a smaller one more and more are, and the trial soon ends. It takes
        about as long as a few ranks that are given.
    decay : float, default=0.7
        The factor by which the threshold falls from one iteration to the next, between 0 and 1.
        A smaller one is faster, a larger one bears more outliers.
    tol : float, default=1e-7
        Stop when ``||X - L - S||_F <= tol * ||L||_F``: the norm of `X` may be that of its outliers.
        Of noisy data give the norm of the noise over that of `L`, or all entries end as outliers.
        A `tol` below eight roundings of the dtype counts as these.
    max_iter : int, default=1000
        Iterations at the most.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown: `low_rank` has values for them.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker. The split
        does not depend on it, to the bit.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    SplitResult
        `low_rank`, `sparse`, `rank`, `singular_values`, `components`, `n_svd`, `n_iter`,
        `converged`; `certificate` is ``||X - L - S||_F / ||L||_F``, `objective` half the square of
        its numerator, and `dual_gap` NaN. The status is INACCURATE where fewer entries are left
        that are no outliers than a matrix of this rank has degrees of freedom, in all or in a row
        or a column: then the residual is small for want of anything to explain.

    Raises
    ------
    ValueError
        If `X` has infinite entries, or NaN that `missing_values` does not announce, a row or a
        column has no entries at all, or a parameter is out of range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first, or too few entries are left that are no outliers.

    References
    ----------
    Cai, Cai and Wei, "Accelerated alternating projections for robust principal component
    analysis", 2019; Netrapalli, Niranjan, Sanghavi, Anandkumar and Jain, "Non-convex robust PCA",
    2014.

    Examples
    --------
    >>> from sparsecode.datasets import make_low_rank_plus_sparse
    >>> from sparsecode.solvers import alternating_projections
    >>> X, low_rank, sparse = make_low_rank_plus_sparse(60, rank=2, density=0.05, random_state=0)
    >>> result = alternating_projections(X, rank=2)
    >>> result.converged, bool(abs(result.low_rank - low_rank).max() < 1e-6)
    (True, True)
    """
    X = check_matrix(X, missing_values)
    rank = None if rank is None else check_int(rank, "rank", high=min(X.shape))
    decay = check_real(decay, "decay", low=0, high=1, open_low=True, open_high=True)
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    tol = max(tol, 8 * float(np.finfo(X.dtype).eps))
    n_threads = check_n_threads(n_threads)
    unit = unit_of(magnitude(X), X.dtype)
    X = in_units(X, unit)

    def measure(split: _Split) -> dict[str, float]:
        return {
            "objective": 0.5 * split.energy * unit * unit,
            "certificate": split.residual if split.settled else np.inf,
            "outliers": split.n_outliers,
            "rank": split.factors.singular_values.size,
        }

    with single_threaded_blas():  # its threads lose more on small factors than they win
        split, ending = run(
            _projections(X, rank, decay, n_threads, _Sizes.of(X, n_threads))
            if rank is not None
            else _of_least_rank(X, tol, decay, n_threads),
            measure,
            tol=tol,
            max_iter=max_iter,
            callback=callback,
            name="alternating_projections",
        )
    U, s, Vt = split.factors
    s = s[: np.count_nonzero(s > 0)]
    low_rank, sparse, inliers = _parts(X, U[:, : s.size] * s, Vt[: s.size], split.cut)
    if ending["status"] is Status.CONVERGED and not _identified(*inliers, s.size):
        ending["status"] = Status.INACCURATE
        share = float(inliers[0].sum()) / X.size
        warn_unidentified("alternating_projections", share, s.size)
    return SplitResult(
        low_rank=out_of_units(low_rank, unit, name="low_rank"),
        sparse=out_of_units(sparse, unit, name="sparse"),
        rank=s.size,
        singular_values=from_units(s, unit, name="singular_values"),
        components=np.ascontiguousarray(Vt[: s.size]),
        n_svd=1,
        dual_gap=np.nan,
        **ending,
    )


def _of_least_rank(X: np.ndarray, tol: float, decay: float, n_threads: int) -> Iterator[_Split]:
    """One rank after the other, until it is known which is the least that bears few outliers.

    Twice the last while they are too small, and, should that be too large already, the one before
    the largest fall of its singular values. Of one that is enough the same is tried, then the one
    below that, to see that it is too small.
    """
    n_known = sum(int(np.count_nonzero(~np.isnan(X[rows]))) for rows in row_tiles(X))
    most = _largest_identified(n_known // 2, X.shape)
    failed, enough, rank, doubled = 0, most + 1, 1, 1
    best: _Split | None = None
    sizes = _Sizes.of(X, n_threads)
    while failed + 1 < enough:
        for split in _projections(X, rank, decay, n_threads, sizes):
            if 2 * split.n_outliers > n_known or split.residual <= tol:
                break
            yield split._replace(settled=False)
        guess = _before_the_fall(split.factors, failed)
        if 2 * split.n_outliers <= n_known:
            first, best, enough = best is None, split, rank
            rank = guess if first and failed < guess else rank - 1
        elif best is not None:
            failed = rank
            rank = (failed + enough) // 2
        elif rank == doubled and failed < guess:
            rank = guess
        else:
            failed, doubled = doubled, min(2 * doubled, most)
            rank = doubled
    if best is None:  # whatever is chosen is not identified, and will be called so
        yield from _projections(X, most, decay, n_threads, sizes)
    else:
        yield best


def _largest_identified(n_inliers: int, shape: tuple[int, int]) -> int:
    """The largest rank, 1 at least, whose degrees of freedom are no more than these entries."""
    ranks = np.arange(1, min(shape) + 1)
    return max(1, int(np.count_nonzero(ranks * (sum(shape) - ranks) <= n_inliers)))


def _before_the_fall(factors: Leading, low: int) -> int:
    """The rank above `low`, and below that of the factors, after which most is lost."""
    s = np.maximum(factors.singular_values[low:], np.finfo(np.float32).tiny)
    return low + 1 + int(np.argmax(s[:-1] / s[1:])) if s.size > 1 else low


class _Sizes(NamedTuple):
    """Of a matrix, whatever the rank."""

    typical: float  # half of the entries are no larger, and no outliers
    largest: float
    norm: float  # spectral, roughly

    @classmethod
    def of(cls, X: np.ndarray, n_threads: int) -> _Sizes:
        known = rough_svd(_cut_off(X, np.inf, scratch_like(X)), 1, n_threads)
        return cls(median_size(X), magnitude(X), float(known.singular_values[0]))


def _projections(
    X: np.ndarray, rank: int, decay: float, n_threads: int, sizes: _Sizes
) -> Iterator[_Split]:
    """Algorithm 2 of Cai, Cai and Wei without trimming, and from another start.

    They threshold once before the first projection, in proportion to the norm of `X`. Where that is
    the norm of its outliers these would pass, so here it is done until the norm stays.

    With ``Z = X - S`` and `L = U s V^T`, all that an iteration needs of `Z` are ``Z V`` and
    ``U^T Z``.
    """
    share = max(0.5 / X.size**0.25, rank / X.size**0.5)  # of a singular value: what entries have
    below = scratch_like(X)
    before, norm = np.inf, sizes.norm
    while norm < 0.5 * before:  # what was taken away outweighed the rest
        cut = max(min(share * norm, 0.5 * sizes.largest), sizes.typical)
        factors = rough_svd(_cut_off(X, cut, below), rank, n_threads)
        before, norm = norm, float(factors.singular_values[0])
    level = 1.0
    del below
    least = 10 * float(np.finfo(X.dtype).eps) * sizes.largest  # below are rounding errors of `L`
    while True:
        ZV, UtZ, energy, n_outliers = _without_outliers(X, factors, cut, n_threads)
        yield _Split(factors, cut, energy, n_outliers)
        factors, following = _retracted(factors, ZV, UtZ)
        level *= decay
        cut = max(share * (following + level * float(factors.singular_values[0])), least)


def _cut_off(X: np.ndarray, cut: float, below: np.ndarray) -> np.ndarray:
    """The entries that are at most `cut`, zero elsewhere and where they are missing."""
    for rows in row_tiles(X):
        below[rows] = np.where(np.abs(X[rows]) <= cut, X[rows], 0)
    return below


def _parts(
    X: np.ndarray, left: np.ndarray, right: np.ndarray, cut: float
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The low-rank part, the outliers, and how many of a row and of a column are none."""
    low_rank, sparse = scratch_like(X), scratch_like(X)
    in_rows, in_columns = (np.zeros(size, dtype=np.int64) for size in X.shape)
    for rows in row_tiles(X):
        np.matmul(left[rows], right, out=low_rank[rows])
        residual = X[rows] - low_rank[rows]
        inlier = np.abs(residual) <= cut
        in_rows[rows] = inlier.sum(axis=1)
        in_columns += inlier.sum(axis=0)
        sparse[rows] = np.where(inlier | np.isnan(residual), 0, residual)
    return low_rank, sparse, (in_rows, in_columns)


def _without_outliers(
    X: np.ndarray, factors: Leading, cut: float, n_threads: int
) -> tuple[np.ndarray, np.ndarray, float, int]:
    """``Z V`` and ``U^T Z`` for `Z`, which is `X`, but `L` at the outliers; never formed whole."""
    from sparsecode.solvers._kernels.split import replace_outliers

    U, s, Vt = factors
    height = max(64, 2**19 // X.shape[1])  # of a tile: four megabytes

    def project(start: int) -> tuple[np.ndarray, np.ndarray, float, int]:
        rows = slice(start, start + height)
        Z = (U[rows] * s) @ Vt
        outliers, energies = np.empty(len(Z), dtype=np.int64), np.empty(len(Z))
        replace_outliers(X[rows], Z, X.dtype.type(cut), outliers, energies)
        return Z @ Vt.T, U[rows].T @ Z, float(energies.sum()), int(outliers.sum())

    parts = map_tiles(project, range(0, X.shape[0], height), n_threads)
    right, left, energies, outliers = zip(*parts, strict=True)
    return np.vstack(right), sum(left[1:], start=left[0]), sum(energies), sum(outliers)


def _retracted(factors: Leading, ZV: np.ndarray, UtZ: np.ndarray) -> tuple[Leading, float]:
    """The best approximation, of the same rank, of `Z` projected onto the tangent space.

    Also the first singular value that it leaves out.
    """
    U, _, Vt = factors
    rank = len(Vt)
    core = UtZ @ Vt.T
    Q_left, R_left = orthonormal(ZV - U @ core)
    Q_right, R_right = orthonormal((UtZ - core @ Vt).T)
    zero = np.zeros((R_left.shape[0], R_right.shape[0]), dtype=core.dtype)
    A, s, Bt = svd(np.block([[core, R_right.T], [R_left, zero]]))
    return Leading(
        U @ A[:rank, :rank] + Q_left @ A[rank:, :rank],
        s[:rank],
        Bt[:rank, :rank] @ Vt + Bt[:rank, rank:] @ Q_right.T,
    ), float(s[rank]) if s.size > rank else 0.0


def _identified(in_rows: np.ndarray, in_columns: np.ndarray, rank: int) -> bool:
    """Whether as many entries are known as a matrix of this rank has degrees of freedom."""
    fewest = min(in_rows.min(), in_columns.min())
    return bool(fewest >= rank and in_rows.sum() >= rank * (in_rows.size + in_columns.size - rank))
