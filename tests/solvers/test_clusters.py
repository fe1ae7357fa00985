"""k-means on a line: the optimum, by trying every partition; and the bound where there are bins."""

import itertools

import numpy as np
import pytest

from sparsecode.solvers import clusters, kmeans_1d


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def by_brute_force(x, h, k):
    """Independent: every way to cut the sorted numbers."""
    order = np.argsort(x)
    x, h = x[order], h[order]
    least = np.inf
    for cuts in itertools.combinations(range(1, len(x)), min(k, len(x)) - 1):
        error = 0.0
        for a, b in itertools.pairwise((0, *cuts, len(x))):
            if h[a:b].sum() > 0:
                error += np.sum(h[a:b] * (x[a:b] - np.average(x[a:b], weights=h[a:b])) ** 2)
        least = min(least, error)
    return least


@pytest.mark.parametrize("k", [1, 2, 3, 5, 9, 12])
@pytest.mark.parametrize("kind", ["plain", "weighted", "ties", "zero weights"])
def test_it_is_the_optimum(rng, kind, k):
    for _ in range(5):
        x = rng.integers(-3, 4, 9) if kind == "ties" else rng.standard_normal(9)
        h = np.ones(9) if kind == "plain" else rng.random(9)
        if kind == "zero weights":
            h[::2] = 0
        found = kmeans_1d(x, k, weights=None if kind == "plain" else h)
        assert found.centroids.shape == (k,)
        assert np.all(np.diff(found.centroids) >= 0)
        np.testing.assert_allclose(found.error, by_brute_force(x, h, k), atol=1e-12)
        assert found.bound == found.error
        distances = np.min((np.asarray(x)[:, None] - found.centroids) ** 2, axis=1)
        np.testing.assert_allclose(found.error, np.sum(h * distances), atol=1e-12)


@pytest.mark.parametrize("k", [2, 16, 64])
def test_the_bound_holds_where_numbers_are_gathered(rng, monkeypatch, k):
    x, h = rng.standard_t(3, 3000), rng.random(3000)
    exact = kmeans_1d(x, k, weights=h)
    monkeypatch.setattr(clusters, "EXACT", 1500)
    found = kmeans_1d(x, k, weights=h)
    rounding = 1e-12 * exact.error
    assert found.bound <= exact.error <= found.error + rounding
    assert found.error <= 1.02 * exact.error
    assert found.bound >= 0.5 * exact.error


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scale_does_not_matter(rng, scale):
    x = rng.standard_normal(50)
    plain, found = kmeans_1d(x, 4), kmeans_1d(x * scale, 4)
    np.testing.assert_allclose(found.centroids / scale, plain.centroids, rtol=1e-10)
    np.testing.assert_allclose(found.error / scale / scale, plain.error, rtol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": [np.nan]}, "x contains NaN"),
        ({"x": []}, "x is empty"),
        ({"n_clusters": 0}, "n_clusters"),
        ({"weights": [1.0]}, "weights has to be nonnegative and of shape"),
        ({"weights": [1.0, -1.0]}, "weights has to be nonnegative"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        kmeans_1d(**{"x": [1.0, 2.0], "n_clusters": 2} | arguments)
