"""Low rank: the error is the optimal tail, whatever the metric."""

import numpy as np
import pytest
import scipy.linalg

from sparsecode.layers import factorize, output_error


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def a_gram(kind, n, rng):
    X = rng.standard_normal((3 * n, n)) * np.logspace(0, -2, n)
    if kind == "singular":
        X = X[: n // 2]
    if kind == "dead":
        X[:, 1::4] = 0
    return X.T @ X


def share(shape, rank):
    """The least budget for a rank, a little more than the exact fraction."""
    m, n = shape
    return (rank * (m + n) + 0.5) / (m * n)


@pytest.mark.parametrize("rank", [1, 4, 9])
@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (30, 30)])
@pytest.mark.parametrize("metric", ["full", "singular", "dead"])
def test_the_error_is_the_optimal_tail(rng, shape, metric, rank):
    """Independent: the eigenvalues of W H W^T, whose sum beyond the rank nothing can beat."""
    W, H = rng.standard_normal(shape), a_gram(metric, shape[1], rng)
    f = factorize(W, "low_rank", budget=share(shape, rank), gram=H, damping=0)
    assert f.rank == rank
    energies = scipy.linalg.eigvalsh(W @ H @ W.T)[::-1]
    expected = energies[rank:].sum() / energies.sum()
    np.testing.assert_allclose(output_error(W, f.to_dense(), H), expected, rtol=1e-10, atol=1e-15)


def test_without_a_metric_it_is_the_truncated_svd(rng):
    W = rng.standard_normal((20, 30))
    f = factorize(W, "low_rank", budget=share(W.shape, 5))
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    np.testing.assert_allclose(f.to_dense(), (U[:, :5] * s[:5]) @ Vt[:5], atol=1e-12)


def test_a_layer_of_low_rank_is_exact(rng):
    W = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 60))
    f = factorize(W, "low_rank", budget=share(W.shape, 3))
    np.testing.assert_allclose(f.to_dense(), W, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_rank_is_the_largest_that_fits(dtype):
    W = np.ones((10, 30), dtype)
    for rank in range(1, 7):
        assert factorize(W, "low_rank", budget=share(W.shape, rank)).rank == rank
    assert factorize(np.ones((3, 3)), "low_rank", budget=1.0).rank == 1


def test_the_factors_are_of_one_size(rng):
    """A float16 layer of large weights has factors that float16 holds."""
    f = factorize(1e-3 * rng.standard_normal((40, 60)), "low_rank", budget=0.5)
    ratio = np.abs(f.left).max() / np.abs(f.right).max()
    assert 0.25 <= ratio <= 4
