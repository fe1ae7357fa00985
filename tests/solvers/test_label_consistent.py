"""LC-KSVD: classes that codes tell apart, and the identities its formula promises."""

import numpy as np
import pytest

from sparsecode.solvers import ksvd, label_consistent_ksvd, sparse_encode


def two_planes(n=200, noise=0.05):
    """Two classes, each in a plane of its own."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    planes = np.linalg.qr(rng.standard_normal((6, 4)))[0].T.reshape(2, 2, 6)
    X = np.einsum("ik,ikf->if", rng.standard_normal((n, 2)), planes[labels])
    return X + noise * rng.standard_normal(X.shape), labels


def learned(X, labels, K=8, **options):
    return label_consistent_ksvd(
        X, labels, K, **{"n_nonzero_coefs": 2, "max_iter": 10, "random_state": 0} | options
    )


def test_a_signal_uses_the_atoms_of_its_class():
    X, labels = two_planes()
    result = learned(X[:100], labels[:100])
    assert list(result.atom_labels) == [0] * 4 + [1] * 4
    codes = sparse_encode(X[100:], result.dictionary, n_nonzero_coefs=2).toarray()
    own = result.atom_labels == labels[100:, None]
    assert np.sum(codes[own] ** 2) > 0.95 * np.sum(codes**2)
    np.testing.assert_allclose(np.linalg.norm(result.dictionary, axis=1), 1)


def test_the_classifier_is_the_ridge_regression_of_the_labels():
    X, labels = two_planes()
    result = learned(X, labels)
    C, W = result.codes.toarray(), result.classifier
    ridge = 0.01 * np.sum(C**2) / 8
    gradient = C.T @ (C @ W - np.eye(2)[labels]) + ridge * W
    np.testing.assert_allclose(gradient, 0, atol=1e-9)
    expected = sparse_encode(X, result.dictionary, n_nonzero_coefs=2)
    np.testing.assert_array_equal(C, expected.toarray())


def test_only_the_sum_of_the_weights_matters():
    X, labels = two_planes()
    weights = [(0.3, 0.1), (0.1, 0.3)]
    results = [learned(X, labels, label_weight=a, classifier_weight=b) for a, b in weights]
    np.testing.assert_allclose(results[0].dictionary, results[1].dictionary, atol=1e-6)


def test_without_weights_it_is_ksvd():
    X, labels = two_planes()
    X += 0.2 * np.random.default_rng(1).standard_normal(X.shape)
    none = learned(X, labels, label_weight=0, classifier_weight=0, max_iter=40)
    plain = ksvd(X, 8, n_nonzero_coefs=2, max_iter=40, random_state=0)
    assert none.objective < 1.25 * plain.objective
    assert none.objective < learned(X, labels, max_iter=40).objective


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_no_scale_matters(scale):
    X, labels = two_planes()
    plain, scaled = learned(X, labels), learned(X * scale, labels)
    np.testing.assert_allclose(plain.dictionary, scaled.dictionary, atol=1e-8)


def test_a_class_may_have_one_signal_and_float32_stays():
    X, labels = two_planes(n=30)
    labels[0] = 2
    result = learned(X.astype("f"), labels, K=3)
    assert result.dictionary.dtype == result.classifier.dtype == np.float32
    assert result.classifier.shape == (3, 3)


def test_a_wrong_argument_is_named():
    X, labels = two_planes(n=20)
    for wrong in (labels[1:], labels - 1, labels.astype(float), np.array(["a"] * 20)):
        with pytest.raises(ValueError, match="labels has to hold 20 integers from 0 on"):
            learned(X, wrong)
    with pytest.raises(ValueError, match="label_weight has to be a finite number"):
        learned(X, labels, label_weight=-1)
    with pytest.raises(ValueError, match="n_nonzero_coefs has to be between 1 and 8"):
        learned(X, labels, n_nonzero_coefs=9)


@pytest.mark.parametrize("exponent", [-1000, -600, 600, 1000])
def test_a_power_of_two_changes_no_bit_of_the_atoms(exponent) -> None:
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((20, 6)), np.arange(20) % 2
    options = {"n_nonzero_coefs": 2, "max_iter": 3, "random_state": 0}
    plain = label_consistent_ksvd(X, labels, 4, **options)
    scaled = label_consistent_ksvd(np.ldexp(X, exponent), labels, 4, **options)
    np.testing.assert_allclose(scaled.dictionary, plain.dictionary, atol=1e-12)
    scores = np.ldexp(scaled.codes.toarray(), -exponent) @ np.ldexp(scaled.classifier, exponent)
    np.testing.assert_allclose(scores, plain.codes @ plain.classifier, atol=1e-12)
