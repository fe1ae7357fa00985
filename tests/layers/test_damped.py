"""The damped moment that is not copied: what is made of it is what its array gives."""

import numpy as np
import pytest

from sparsecode.layers import factorize
from sparsecode.layers.factorizations._damped import Damped, damped


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def moment(rng, n=12, dtype=np.float64):
    X = rng.standard_normal((3 * n, n)) * np.exp(rng.standard_normal(n))
    return (X.T @ X).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_and_parts_are_those_of_the_array(rng, dtype):
    H = Damped.of(moment(rng, dtype=dtype), 12, 0.1)
    dense, rtol = np.asarray(H), 1e-5 if dtype == np.float32 else 1e-12
    assert H.dtype == dense.dtype == dtype
    assert np.mean(dense.diagonal()) == pytest.approx(1.1)
    A, kept = rng.standard_normal((5, 12)).astype(dtype), np.array([1, 4, 5, 11])
    np.testing.assert_allclose(A @ H, A @ dense, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(H @ A.T, dense @ A.T, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(H.square(A), A @ dense.astype(float) @ A.T, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(H.diagonal(), dense.diagonal(), rtol=rtol)
    np.testing.assert_allclose(H.among(kept), dense[np.ix_(kept, kept)], rtol=rtol)
    assert (A @ H).dtype == H.among(kept).dtype == H.diagonal().dtype == dtype


def test_a_moment_of_zeros_is_the_identity():
    np.testing.assert_array_equal(np.asarray(Damped.of(np.zeros((3, 3)), 3, 0.01)), np.eye(3))
    np.testing.assert_array_equal(damped(np.zeros((3, 3)), 3, 0.01, np.float32), np.eye(3))


def test_parts_of_a_large_moment(rng, monkeypatch):
    """A few rows at a time."""
    monkeypatch.setattr("sparsecode.layers.factorizations._damped.BLOCK", 30)
    H, kept = Damped.of(moment(rng), 12, 0.1), np.array([0, 3, 4, 7, 8, 10, 11])
    np.testing.assert_allclose(H.among(kept), np.asarray(H)[np.ix_(kept, kept)], rtol=1e-12)


@pytest.mark.parametrize("method", ["sparse", "dictionary"])
def test_the_moment_that_is_given_stays_as_it_is(rng, method):
    """It is not copied, and it is not written to."""
    W, gram = rng.standard_normal((8, 12)).astype(np.float32), moment(rng, dtype=np.float32)
    gram.flags.writeable = False
    before = gram.copy()
    factorize(W, method, budget=0.5, gram=gram)
    np.testing.assert_array_equal(gram, before)
