r"""Low rank plus sparse of given rank and number of outliers, in the presence of noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, map_tiles, single_threaded_blas
from sparsecode._validation import check_int, check_matrix, check_real
from sparsecode.solvers._krylov import subspace_step
from sparsecode.solvers._result import SplitResult
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers._split import nothing, tiles
from sparsecode.solvers._svt import SPARE, Leading

__all__ = ["godec"]


class _Split(NamedTuple):
    leading: Leading
    filled: np.ndarray  # X - S, and L where an entry is missing
    energy: float  # ||X - L - S||_F^2
    change: float  # of L in the last iteration, over its norm


def godec(
    X: Any,
    rank: int,
    n_outliers: int,
    *,
    tol: float = 1e-6,
    max_iter: int = 1000,
    missing_values: float | None = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> SplitResult:
    r"""Go decomposition: the rank and the number of outliers given, the rest noise.

    .. math:: \min_{L, S} \tfrac12 \|X - L - S\|_F^2 \quad \text{s.t.} \quad
              \mathrm{rank}(L) \le r, \; \mathrm{card}(S) \le k

    In turn `S` takes the `k` largest entries of :math:`X - L`, of equals the first ones, which is
    the best there is; and `L` a step of simultaneous iteration with :math:`X - S` from where it is,
    which never makes it worse: the objective falls all the way. The problem is not convex, and
    there is no gap; where the outliers are many or the rank is high, what is reached depends on the
    start, the singular vectors of `X` without its largest entries.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The matrix; float32 or float64 is computed in its own precision.
    rank : int
        From 1 to ``min(X.shape)``.
    n_outliers : int
        The number of entries that `sparse` may have, from 0 to that of the observed entries.
    tol : float, default=1e-6
        Stop when an iteration changes `L` by no more than this times its norm. This is the length
        of the projected gradient, and zero at stationary points alone. A `tol` below 100 roundings
        of the dtype counts as these.
    max_iter : int, default=1000
        Iterations at the most, two products with `r` + 10 columns each.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown, and no part of the objective: `low_rank`
        has values for them.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker. The split
        does not depend on it, to the bit.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    SplitResult
        `low_rank`, `sparse`, `rank`, `singular_values`, `components`, `n_svd` (partial ones),
        `n_iter`, `converged`; `objective` as above, `certificate` the last change of `low_rank`
        over its norm, and `dual_gap` NaN.

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
    Zhou and Tao, "GoDec: randomized low-rank and sparse matrix decomposition in noisy case", 2011.

    Examples
    --------
    >>> from sparsecode.datasets import make_low_rank_plus_sparse
    >>> from sparsecode.solvers import godec
    >>> X, low_rank, sparse = make_low_rank_plus_sparse(
    ...     60, rank=2, density=0.05, noise=0.01, random_state=0
    ... )
    >>> result = godec(X, rank=2, n_outliers=180)
    >>> result.converged, bool(((result.sparse != 0) == (sparse != 0)).all())
    (True, True)
    """
    X = check_matrix(X, missing_values)
    rank = check_int(rank, "rank", high=min(X.shape))
    n_observed = X.size - int(np.count_nonzero(np.isnan(X)))
    n_outliers = check_int(n_outliers, "n_outliers", low=0, high=n_observed)
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    tol = max(tol, 100 * float(np.finfo(X.dtype).eps))
    n_threads = check_n_threads(n_threads)
    unit = unit_of(magnitude(X), X.dtype)
    X = np.ascontiguousarray(to_units(X, unit))

    def measure(split: _Split) -> dict[str, float]:
        return {"objective": 0.5 * split.energy * unit * unit, "certificate": split.change}

    with single_threaded_blas():  # its threads lose more on small factors than they win
        split, ending = run(
            _decompositions(X, rank, n_outliers, n_threads),
            measure,
            tol=tol,
            max_iter=max_iter,
            callback=callback,
            name="godec",
        )
    U, s, Vt = split.leading
    size = np.count_nonzero(s > 0)
    U, s, Vt = U[:, :size], s[:size], Vt[:size]
    sparse = np.where(split.filled == X, 0, X - split.filled)
    sparse[np.isnan(sparse)] = 0
    return SplitResult(
        low_rank=from_units((U * s) @ Vt, unit, name="low_rank"),
        sparse=from_units(sparse, unit, name="sparse"),
        rank=s.size,
        singular_values=from_units(s, unit, name="singular_values"),
        components=np.ascontiguousarray(Vt),
        n_svd=ending["n_iter"],
        dual_gap=np.nan,
        **ending,
    )


def _decompositions(X: np.ndarray, rank: int, n_outliers: int, n_threads: int) -> Iterator[_Split]:
    width = min(rank + SPARE, *X.shape)
    random = np.random.RandomState(0).standard_normal((X.shape[1], width)).astype(X.dtype)
    leading, filled = nothing(X), np.zeros_like(X)
    cut, _ = _replace_largest(X, filled, n_outliers, np.inf, n_threads)
    V = subspace_step(filled, random)[2].T
    while True:
        U, s, Vt = subspace_step(filled, V)
        before, leading, V = leading, Leading(U[:, :rank], s[:rank], Vt[:rank]), Vt.T
        _fill(leading, filled, n_threads)
        cut, energy = _replace_largest(X, filled, n_outliers, cut, n_threads)
        size = float(np.linalg.norm(leading.singular_values))
        yield _Split(leading, filled, energy, _distance(leading, before) / (size or 1.0))


def _distance(one: Leading, other: Leading) -> float:
    """``||L - L'||_F`` from their factors, without the cancellation of inner products."""
    left = np.hstack([one.U * one.singular_values, other.U * other.singular_values])
    right = np.hstack([one.Vt.T, -other.Vt.T])
    triangles = [np.asarray(np.linalg.qr(factor, mode="r")) for factor in (left, right)]
    return float(np.linalg.norm(triangles[0] @ triangles[1].T))


def _fill(leading: Leading, filled: np.ndarray, n_threads: int) -> None:
    U, s, Vt = leading
    map_tiles(lambda rows: np.matmul(U[rows] * s, Vt, out=filled[rows]), tiles(filled), n_threads)


def _replace_largest(
    X: np.ndarray, L: np.ndarray, count: int, guess: float, n_threads: int
) -> tuple[float, float]:
    """All but the `count` largest of ``X - L``, and what is missing, become `X` in `L`.

    Returns the largest absolute value of the others, and the sum of their squares.
    """
    from sparsecode.solvers._kernels.split import replace_outliers

    def sizes(least: float) -> np.ndarray:
        """The absolute values that are there, of at least so much."""

        def part(rows: slice) -> np.ndarray:
            size = np.abs(X[rows] - L[rows])
            return size[size >= least]

        return np.concatenate(map_tiles(part, tiles(X), n_threads))

    # The cut hardly changes: what is well below the last one need not be sorted.
    found = sizes(0.5 * guess) if np.isfinite(guess) else sizes(0.0)
    if found.size <= count:
        found = sizes(0.0)
    cut, ties = -1.0, 0  # all are outliers
    if found.size > count:
        place = found.size - 1 - count
        found.partition(place)
        cut = float(found[place])
        ties = count - int(np.count_nonzero(found[place:] > cut)) if cut > 0 else 0
    del found
    places, values = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=X.dtype)
    if ties:  # of equals the first are outliers
        places = np.flatnonzero(np.abs(X - L) == X.dtype.type(cut))[:ties]
        values = L.flat[places]

    def replace(rows: slice) -> float:
        outliers, energies = np.empty(len(L[rows]), dtype=np.int64), np.empty(len(L[rows]))
        replace_outliers(X[rows], L[rows], X.dtype.type(cut), outliers, energies)
        return float(energies.sum())

    energy = sum(map_tiles(replace, tiles(X), n_threads))
    L.flat[places] = values
    return cut, energy - ties * cut * cut
