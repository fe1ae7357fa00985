r"""Robust PCA of noisy data: low rank plus sparse plus small errors everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sparsecode._mapped import in_units, out_of_units, zeros_like
from sparsecode._scaling import from_units, magnitude, unit_of
from sparsecode._threads import check_n_threads, single_threaded_blas
from sparsecode._validation import check_int, check_matrix, check_real
from sparsecode.solvers._huber import Estimate, certified, estimates
from sparsecode.solvers._result import SplitResult
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers._split import Bounds, nothing, size_of
from sparsecode.solvers._svt import WarmSVD
from sparsecode.solvers.robust_pca import principal_component_pursuit

__all__ = ["stable_pcp"]

# Of tol: so much the noise may stay below what is allowed. A residual that just fits needs no
# sparse part; one just above would have its largest entries in it.
SLACK = 0.05


class _Split(NamedTuple):
    estimate: Estimate
    doubt: float  # what the gap may be thought to be
    gap: float  # infinite where that is too much to evaluate it


def stable_pcp(
    X: Any,
    sigma: float,
    *,
    alpha: float | None = None,
    weights: Any = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
    missing_values: float | None = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> SplitResult:
    r"""Stable principal component pursuit: low rank plus sparse plus noise of a known level.

    .. math:: \min_{L, S} \|L\|_* + \alpha \sum_{ij} w_{ij} |S_{ij}|
              \quad \text{s.t.} \quad \|X - L - S\|_F \le \delta,
              \qquad \delta = \sigma \sqrt{N + \sqrt{8 N}}

    over the `N` observed entries: independent normal noise is larger than :math:`\delta` in 2 % of
    all cases. `S` and the noise are eliminated: the noise takes what is below a level in `X - L`,
    and what is left is a function of `L` alone, minimised by accelerated proximal gradients, one
    partial singular value decomposition each. The level falls to where the constraint is met.

    The low-rank part is shrunk: its singular values are too small by about twice
    :math:`\sigma \sqrt{\max(m, n)}`. Its rank counts directions of the noise, too.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The matrix; float32 or float64 is computed in its own precision. Where it is a tall
        `np.memmap`, so is all else of its size, in nameless files beside it.
    sigma : float
        The standard deviation of the noise in an entry. With 0, and where it is no more than the
        rounding errors, this is `principal_component_pursuit`, and `tol` is what it is there.
    alpha : float, optional
        The weight of the l1 norm; ``1 / sqrt(max(X.shape))`` by default.
    weights : array that broadcasts to the shape of X, optional
        Positive: how unlikely it is that an entry is wrong. All ones by default.
    tol : float, default=1e-6
        Stop when the relative duality gap is at most this. A `tol` below what rounding errors of
        `X` are to the noise, ``8 * eps * ||X||_F / delta``, or below 100 roundings, counts as that.
    max_iter : int, default=1000
        Iterations at the most.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown: the constraint is on the others, and
        `low_rank` has values for them.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker. The split
        does not depend on it, to the bit.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    SplitResult
        `low_rank`, `sparse`, `rank`, `singular_values`, `components`, `n_svd`, `n_iter`,
        `converged`. The constraint holds, to rounding; `certificate` and `dual_gap` are the duality
        gap over the objective: no split that meets it has an objective below
        ``(1 - dual_gap) * objective``. In the history, the certificate is an estimate until it is
        near `tol`, and the objective that of a split which does not meet the constraint yet.

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
    Zhou, Li, Wright, Candes and Ma, "Stable principal component pursuit", 2010; Aravkin, Becker,
    Cevher and Olsen, "A variational approach to stable principal component pursuit", 2014.

    Examples
    --------
    >>> from sparsecode.datasets import make_low_rank_plus_sparse
    >>> from sparsecode.solvers import stable_pcp
    >>> X, low_rank, sparse = make_low_rank_plus_sparse(
    ...     60, rank=2, density=0.05, noise=0.01, random_state=0
    ... )
    >>> result = stable_pcp(X, sigma=0.01)
    >>> result.converged, bool(abs(result.low_rank - low_rank).max() < 0.03)
    (True, True)
    """
    X = check_matrix(X, missing_values)
    sigma, bounds = check_real(sigma, "sigma", low=0), Bounds(alpha, weights, X)
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    n_threads = check_n_threads(n_threads)
    unit = unit_of(magnitude(X), X.dtype)
    scaled = in_units(X, unit)
    size, n_known = size_of(scaled)
    eps = float(np.finfo(X.dtype).eps)
    radius = sigma / unit * float(np.sqrt(n_known + np.sqrt(8 * n_known)))
    if 800 * eps * size >= radius:
        return principal_component_pursuit(
            X,
            alpha=alpha,
            weights=weights,
            tol=tol,
            max_iter=max_iter,
            missing_values=missing_values,
            n_threads=n_threads,
            callback=callback,
        )
    X, tol = scaled, max(tol, 100 * eps, 8 * eps * size / radius)
    iterates = _splits(X, bounds, radius, tol, n_threads)
    if size <= radius:  # all of it may be noise
        zero = zeros_like(X)
        estimate = Estimate(zero, nothing(X), np.inf, size, 0.0, 0.0, 0.0)
        iterates = iter([_Split(estimate, 0.0, 0.0)])

    def measure(split: _Split) -> dict[str, float]:
        s = split.estimate.leading.singular_values
        return {
            "objective": (float(s.sum(dtype=np.float64)) + split.estimate.absolute) * unit,
            "certificate": split.doubt,
            "rank": s.size,
        }

    with single_threaded_blas():  # its threads lose more on small factors than they win
        last, ending = run(
            iterates, measure, tol=tol, max_iter=max_iter, callback=callback, name="stable_pcp"
        )
        if last.gap == np.inf:
            last = _certified(X, last.estimate, bounds, radius, tol, n_threads)
            ending |= measure(last)
            del ending["rank"]
    estimate = last.estimate
    s, Vt = estimate.leading.singular_values, estimate.leading.Vt
    sparse = estimate.sparse(X, bounds)  # before the low-rank part is in the units of the data
    return SplitResult(
        low_rank=out_of_units(estimate.low_rank, unit, name="low_rank"),
        sparse=out_of_units(sparse, unit, name="sparse"),
        rank=s.size,
        singular_values=from_units(s, unit, name="singular_values"),
        components=np.ascontiguousarray(Vt),
        n_svd=ending["n_iter"] if size > radius else 0,
        dual_gap=last.gap,
        **ending,
    )


def _splits(
    X: np.ndarray, bounds: Bounds, radius: float, tol: float, n_threads: int
) -> Iterator[_Split]:
    """The gap of an estimate costs more than the estimate: it has to be promising."""
    values = WarmSVD(X.shape, X.dtype, n_threads, by_rows=True)
    goal, known = 2 * tol, 2 * tol
    for estimate in estimates(X, bounds, radius, SLACK * tol, values, n_threads):
        s, noise = estimate.leading.singular_values, estimate.noise
        objective = float(s.sum(dtype=np.float64)) + estimate.absolute
        outside = abs(radius - noise) * noise / estimate.level
        doubt = np.inf
        if objective > 0:
            doubt = max((estimate.gap + outside) / objective, estimate.drift)
        if doubt > goal:
            yield _Split(estimate, max(doubt, known), np.inf)
            continue
        split = _certified(X, estimate, bounds, radius, tol, n_threads)
        if split.gap > tol:
            known = split.gap
            goal = doubt * min(max(tol / split.gap, 0.1), 0.7)
            if split.gap > 2 * estimate.drift * np.sqrt(s.size) + tol:
                values.widen(s.size)  # more than the step explains: some values were missed
        yield split


def _certified(
    X: np.ndarray, estimate: Estimate, bounds: Bounds, radius: float, tol: float, n_threads: int
) -> _Split:
    allowed, gap = certified(X, estimate, bounds, radius, SLACK * tol, n_threads)
    return _Split(allowed, gap, gap)
