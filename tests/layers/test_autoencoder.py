"""A sparse autoencoder's own codes beside others in its dictionary."""

import numpy as np
import pytest

from sparsecode import layers
from sparsecode.layers import SparseAutoencoder


def autoencoder(K=40, m=12, seed=0, **options):
    """Unit atoms, an encoder that is their transpose: what training is started from."""
    rng = np.random.default_rng(seed)
    D = rng.standard_normal((K, m))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    return SparseAutoencoder(
        encoder=D, encoder_bias=np.full(K, -0.4), dictionary=D, bias=rng.standard_normal(m) / 4,
        **options,
    )  # fmt: skip


def activations(sae, n=200, seed=1):
    rng = np.random.default_rng(seed)
    codes = rng.uniform(1, 2, (n, len(sae.dictionary))) * (rng.random((n, 40)) < 0.08)
    return sae.decode(codes) + 0.05 * rng.standard_normal((n, 12))


def test_encode_is_a_product_and_a_threshold() -> None:
    sae = autoencoder()
    X = activations(sae)
    before = (X - sae.bias) @ sae.encoder.T + sae.encoder_bias
    np.testing.assert_array_equal(sae.encode(X), np.where(before > 0, before, 0))
    jump = autoencoder(threshold=np.full(40, 0.3))
    np.testing.assert_array_equal(jump.encode(X), np.where(before > 0.3, before, 0))
    top = autoencoder(k=3).encode(X)
    assert np.count_nonzero(top, axis=1).max() == 3
    assert np.all(top.sum(axis=1) <= sae.encode(X).sum(axis=1))


def test_both_conventions_name_the_same_autoencoder() -> None:
    sae = autoencoder()
    lens = {"W_enc": sae.encoder.T, "b_enc": sae.encoder_bias, "W_dec": sae.dictionary,
            "b_dec": sae.bias}  # fmt: skip
    learning = {"encoder.weight": sae.encoder, "encoder.bias": sae.encoder_bias,
                "decoder.weight": sae.dictionary.T, "bias": sae.bias}  # fmt: skip
    X = activations(sae)
    for arrays in (lens, learning):
        np.testing.assert_array_equal(
            SparseAutoencoder.from_arrays(arrays).encode(X), sae.encode(X)
        )
    with pytest.raises(ValueError, match="the arrays of a sparse autoencoder are W_enc"):
        SparseAutoencoder.from_arrays({"W_enc": sae.encoder.T})
    with pytest.raises(ValueError, match="there is no array 'W_enc', as SAELens calls it"):
        SparseAutoencoder.from_arrays(learning, convention="SAELens")


def test_pursuits_do_better_at_equal_sparsity() -> None:
    sae = autoencoder()
    X = activations(sae)
    own, omp, gradient, lars = layers.compare_encoders(X, sae)
    reconstruction = sae.decode(sae.encode(X))
    expected = np.sum((X - reconstruction) ** 2) / np.sum((X - sae.bias) ** 2)
    assert own.error == pytest.approx(expected, rel=1e-10)
    assert own.n_nonzero_coefs == np.count_nonzero(sae.encode(X)) / 200
    for other in (omp, gradient, lars):
        assert other.n_nonzero_coefs <= own.n_nonzero_coefs
    assert omp.error < gradient.error < own.error
    assert lars.error < own.error


def test_what_cannot_be_had_at_equal_sparsity_is_refused() -> None:
    sae = autoencoder()
    with pytest.raises(ValueError, match="algorithms has to be one of"):
        layers.compare_encoders(activations(sae), sae, algorithms=["lasso"])
    with pytest.raises(ValueError, match="encoder_bias has shape"):
        SparseAutoencoder(
            encoder=np.eye(3), encoder_bias=np.ones(2), dictionary=np.eye(3), bias=np.zeros(3)
        )
    with pytest.raises(ValueError, match="X has 3 features; the autoencoder has 12"):
        sae.encode(np.ones((2, 3)))
