"""Codes of weights and activations in a given dictionary, measured from the data."""

import numpy as np
import pytest

from sparsecode import layers
from sparsecode.solvers import sparse_encode


def dictionary(K=24, m=10, seed=0):
    return np.random.default_rng(seed).standard_normal((K, m))


def planted(n=30, k=2, noise=0.0, seed=1, kind="d"):
    """Rows of k atoms each."""
    rng, D = np.random.default_rng(seed), dictionary()
    codes = np.zeros((n, len(D)))
    for row in codes:
        row[rng.choice(len(D), k, replace=False)] = rng.uniform(1, 2, k)
    return (codes @ D + noise * rng.standard_normal((n, D.shape[1]))).astype(kind), D, codes


def test_the_codes_are_those_of_sparse_encode_and_the_error_is_measured() -> None:
    X, D, _ = planted(noise=0.1)
    new = layers.reencode(X, D, n_nonzero_coefs=2)
    expected = sparse_encode(X, D, n_nonzero_coefs=2)
    np.testing.assert_array_equal(new.codes.toarray(), expected.toarray())
    lost = np.linalg.norm(X - new.reconstruct(), axis=1)
    np.testing.assert_allclose(new.residuals, lost / np.linalg.norm(X, axis=1), rtol=1e-12)
    assert new.error == pytest.approx(np.sum(lost**2) / np.sum(X**2), rel=1e-12)


@pytest.mark.parametrize("kind", ["f", "d"])
def test_a_bias_is_taken_off_first(kind) -> None:
    X, D, codes = planted(kind=kind)
    bias = np.arange(10.0)
    new = layers.reencode((X + bias).astype(kind), D.astype(kind), n_nonzero_coefs=2, bias=bias)
    assert new.codes.dtype == kind
    close = np.abs(new.codes.toarray() - codes).max(axis=1) < 1e-4
    assert close.mean() > 0.6  # a pursuit of 24 atoms in 10 dimensions is not always right
    np.testing.assert_allclose(new.reconstruct()[close], (X + bias)[close], atol=1e-4)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_the_error_does_not_hang_on_the_scale(scale) -> None:
    X, D, _ = planted(noise=0.1)
    errors = [layers.reencode(s * X, D, n_nonzero_coefs=2).error for s in (1.0, scale)]
    assert errors[1] == pytest.approx(errors[0], rel=1e-9)


def test_zero_rows_have_zero_codes_and_no_error() -> None:
    new = layers.reencode(np.zeros((3, 10)), dictionary(), n_nonzero_coefs=2)
    assert new.codes.nnz == 0
    assert new.error == 0


def test_of_a_network_every_layer_that_fits_is_coded() -> None:
    X, D, _ = planted()
    net = {"one": X, "other": np.ones((4, 7)), "two": -X, "bias": np.zeros(10)}
    new = layers.reencode(net, D, n_nonzero_coefs=2)
    assert list(new) == ["one", "two"]
    np.testing.assert_allclose(new["two"].codes.toarray(), -new["one"].codes.toarray())
    assert list(layers.reencode(net, D, n_nonzero_coefs=2, exclude="one")) == ["two"]


@pytest.mark.parametrize("value_bits", [None, 16, 4])
def test_the_dictionary_of_a_layer_codes_other_weights(value_bits) -> None:
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((6, 10))
    W, new = (rng.standard_normal((n, 6)) * (rng.random((n, 6)) < 0.4) @ atoms for n in (80, 5))
    form = layers.factorize(W, "dictionary", budget=0.5, value_bits=value_bits)
    found = layers.reencode(new, form, n_nonzero_coefs=6)
    assert found.dictionary.shape == form.dictionary.shape
    assert found.error < (0.1 if value_bits == 4 else 1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.ones((2, 9))}, "X has 9 features but dictionary has 10"),
        ({"X": {"w": np.ones((3, 4))}}, "no layer of the network has as many inputs: they have 4"),
        ({"include": "w"}, "include is not used by reencode of an array"),
        ({"bias": np.zeros(3)}, r"bias has shape \(3,\); dictionary has 10 features"),
        ({"alpha": 1.0}, "alpha is not used by omp"),
        ({"algorithm": "ompp"}, "algorithm has to be one of"),
    ],
)
def test_bad_arguments_are_named(arguments, message) -> None:
    given = {"X": np.ones((2, 10)), "dictionary": dictionary(), "n_nonzero_coefs": 2} | arguments
    with pytest.raises(ValueError, match=message):
        layers.reencode(**given)
