r"""Clusters of numbers on a line: k-means to the optimum."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsecode._memory import check_fits
from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import check_array, check_int

__all__ = ["LineClusters", "kmeans_1d"]

EXACT = 1 << 14  # distinct numbers; more are gathered in as many bins


class LineClusters(NamedTuple):
    """What `kmeans_1d` gives.

    Attributes
    ----------
    centroids : ndarray of shape (n_clusters,)
        In ascending order; fewer distinct numbers than clusters leave copies of the last.
    error : float
        The weighted sum of squares that is left.
    bound : float
        What no other centroids can go below; `error` itself, but for rounding, where the answer
        is exact.
    """

    centroids: np.ndarray
    error: float
    bound: float


def kmeans_1d(x: Any, n_clusters: int, *, weights: Any = None) -> LineClusters:
    r"""The best `n_clusters` numbers to stand for many.

    .. math:: \min_{c} \sum_j h_j \min_k (x_j - c_k)^2

    Exact by dynamic programming over the distinct numbers where there are at most 16,384 of them.
    More are gathered in as many bins, whose scatter `S` is known: with `D` the optimum for the
    bins, the answer leaves at most ``D + S``, and no other can leave less than
    ``max(sqrt(D) - sqrt(S), 0)**2``.

    Parameters
    ----------
    x : array of shape (n,)
        The numbers.
    n_clusters : int
        How many may stand for them.
    weights : array of shape (n,), optional
        What the squared error of each counts, nonnegative. None is one.

    Returns
    -------
    LineClusters
        Centroids, the error they leave, and a bound for it.

    Raises
    ------
    ValueError
        If `x` is not a list of finite numbers or the weights do not fit it.

    References
    ----------
    Wang and Song, "Ckmeans.1d.dp", The R Journal, 2011. Grønlund et al., "Fast exact k-means,
    k-medians and Bregman divergence clustering in 1D", 2017.

    Examples
    --------
    >>> from sparsecode.solvers import kmeans_1d
    >>> kmeans_1d([0.0, 1.0, 10.0, 11.0, 12.0], 2)
    LineClusters(centroids=array([ 0.5, 11. ]), error=2.5, bound=2.5)
    """
    x = check_array(x, "x", ndim=1).astype(np.float64)
    k = check_int(n_clusters, "n_clusters")
    check_fits(8 * k, f"n_clusters={k} centroids")
    h = np.ones_like(x) if weights is None else check_array(weights, "weights", ndim=1)
    if h.shape != x.shape or h.min() < 0:
        raise ValueError(f"weights has to be nonnegative and of shape {x.shape}")
    unit = unit_of(magnitude(x), np.float64)
    x, h = to_units(x, unit), h.astype(np.float64)
    weight_unit = unit_of(magnitude(h), np.float64)
    h = to_units(h, weight_unit)
    points, mass, scatter = _gathered(x, h)
    centroids = _optimal(points, mass, min(k, len(points)))
    centroids = np.concatenate([centroids, np.repeat(centroids[-1:], k - len(centroids))])
    least = float(np.sum(mass * (points - nearest_of(points, centroids)) ** 2))
    error = float(np.sum(h * (x - nearest_of(x, centroids)) ** 2))
    bound = max(np.sqrt(least) - np.sqrt(scatter), 0.0) ** 2 if scatter > 0 else error
    units, centroids = (unit, unit, weight_unit), from_units(centroids, unit, name="a centroid")
    errors = from_units(np.array([error, bound]), *units, name="the error")
    return LineClusters(centroids, float(errors[0]), float(errors[1]))


def nearest_of(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The centroid nearest to each number."""
    return centroids[index_of(x, centroids)]


def index_of(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Which of the centroids, in ascending order, is nearest to each number."""
    # Halves first: the sum of two may leave the range.
    return np.searchsorted(centroids[:-1] / 2 + centroids[1:] / 2, x)


def _gathered(x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Distinct numbers or means of bins, in ascending order, their weights, and what bins lose."""
    if x.size <= EXACT or len(np.unique(x[:: x.size // EXACT])) < EXACT:
        points, where = np.unique(x, return_inverse=True)
        if len(points) <= EXACT:
            return points, np.bincount(where, h), 0.0
    # Half of the edges follow the numbers, half the range: no bin is crowded or wide.
    sample = x[:: max(1, x.size >> 18)]
    edges = np.quantile(sample, np.linspace(0, 1, EXACT // 2))
    edges = np.unique(np.concatenate([edges, np.linspace(x.min(), x.max(), EXACT // 2)]))
    where = np.searchsorted(edges, x)
    mass, moment, count = (
        np.bincount(where, w, minlength=len(edges) + 1) for w in (h, h * x, np.ones_like(x))
    )
    plain = np.bincount(where, x, minlength=len(edges) + 1) / np.maximum(count, 1)
    means = np.divide(moment, mass, out=plain, where=mass > 0)
    scatter = float(np.sum(h * (x - means[where]) ** 2))
    used = count > 0
    return means[used], mass[used], scatter


def _optimal(points: np.ndarray, mass: np.ndarray, k: int) -> np.ndarray:
    from sparsecode.solvers._kernels.clusters import split_line

    n = len(points)
    center = float(np.sum(mass * points) / np.sum(mass)) if np.any(mass > 0) else 0.0
    w, wx = np.zeros(n + 1), np.zeros(n + 1)
    np.cumsum(mass, out=w[1:])
    np.cumsum(mass * (points - center), out=wx[1:])
    starts = np.zeros(k, dtype=np.int64)
    best, stack = np.zeros((k, n + 1), dtype=np.int32), np.zeros((128, 4), dtype=np.int64)
    split_line(w, wx, k, np.zeros(n + 1), np.zeros(n + 1), best, stack, starts)
    ends = np.append(starts[1:], n)
    weights, moments = w[ends] - w[starts], wx[ends] - wx[starts]
    middles = (points[starts] + points[ends - 1]) / 2
    return np.divide(moments, weights, out=middles - center, where=weights > 0) + center
