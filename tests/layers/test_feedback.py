"""Error feedback: the greedy loop of optimal brain surgery, against its formula with an inverse."""

import numpy as np
import pytest

from sparsecode.layers.factorizations._feedback import cholesky, error_feedback


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def moment(n, rng, n_samples=None):
    X = rng.standard_normal((n_samples or 3 * n, n)) @ (
        np.eye(n) + 0.3 * rng.standard_normal((n, n))
    )
    return X.T @ X / len(X)


def nearest(V, columns):
    return lambda v, k: np.round(v)


def by_the_inverse(W, H, settle):
    """Independent: OBS as GPTQ and SparseGPT state it, first column first."""
    W, R = W.copy(), np.linalg.cholesky(np.linalg.inv(H)).T
    for k in range(W.shape[1]):
        q = settle(W[:, k], k)
        error = (W[:, k] - q) / R[k, k]
        W[:, k:] -= np.outer(error, R[k, k:])
        W[:, k] = q
    return W


@pytest.mark.parametrize("width", [1, 4, 7, 128])
def test_it_is_optimal_brain_surgery_from_the_last_column(rng, width):
    W, H = 2 * rng.standard_normal((9, 30)), moment(30, rng)
    Q = error_feedback(W, cholesky(H.copy()), nearest, width=width)
    reversed_ = by_the_inverse(W[:, ::-1], H[::-1, ::-1], lambda v, k: np.round(v))
    np.testing.assert_allclose(Q, reversed_[:, ::-1], atol=1e-9)


def test_the_error_is_the_sum_of_what_each_column_costs(rng):
    W, H = rng.standard_normal((5, 20)), moment(20, rng)
    root, cost = cholesky(H.copy()), []

    def choose(V, columns):
        def rule(v, k):
            cost.append(np.sum((root[k, k] * (v - np.round(v))) ** 2))
            return np.round(v)

        return rule

    D = W - error_feedback(W, root, choose, width=6)
    np.testing.assert_allclose(sum(cost), np.sum(D * (D @ H)), rtol=1e-10)


def test_a_block_is_shown_as_the_best_weights_given_the_settled_ones(rng):
    """Independent: minimise over the open columns by the normal equations."""
    W, H, seen = rng.standard_normal((3, 12)), moment(12, rng), {}

    def choose(V, columns):
        seen[columns.start] = V.copy()
        return lambda v, k: np.zeros_like(v)

    Q = error_feedback(W, cholesky(H.copy()), choose, width=4)
    assert list(seen) == [8, 4, 0]
    for low, V in seen.items():
        high = low + 4
        settled = W[:, high:] - Q[:, high:]
        best = W[:, :high] + settled @ H[high:, :high] @ np.linalg.inv(H[:high, :high])
        np.testing.assert_allclose(V, best[:, low:], atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 5, 700])
def test_cholesky_in_the_memory_of_the_moment(rng, n, dtype):
    H = moment(n, rng).astype(dtype)
    L = cholesky(A := H.copy())
    assert np.shares_memory(L, A)
    L = np.tril(L)
    np.testing.assert_allclose(L @ L.T, H, atol=(3e-6 if dtype == np.float32 else 1e-13) * H.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["rank 3", "ones", "dead", "zero"])
def test_cholesky_of_a_singular_moment(rng, kind, dtype):
    n = 600
    H = {"rank 3": moment(n, rng, 3), "ones": np.ones((n, n)), "zero": np.zeros((n, n))}.get(kind)
    if H is None:
        X = rng.standard_normal((2 * n, n))
        X[:, ::3] = 0
        H = X.T @ X
    H = H.astype(dtype)
    L = np.tril(cholesky(H.copy()))
    alive = np.diag(H) > 0
    bound = 1e-3 if dtype == np.float32 else 1e-9
    difference = (L @ L.T - H)[np.ix_(alive, alive)]
    assert np.abs(difference).max(initial=0) <= bound * max(np.diag(H).mean(), 1)
    assert np.all(np.diag(L) > 0)
    W = rng.standard_normal((4, n))
    assert np.isfinite(error_feedback(W, cholesky(H.copy()), nearest)).all()


def test_cholesky_refuses_what_is_no_moment():
    with pytest.raises(ValueError, match="negative eigenvalue"):
        cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]))
