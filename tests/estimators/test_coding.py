"""Codes in a fixed dictionary."""

from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.sparse as sp
from sklearn.decomposition import SparseCoder as PeerCoder

from sparsecode import SparseCoder
from sparsecode.datasets import make_sparse_coded_signals
from sparsecode.objectives import lasso_objective
from sparsecode.solvers import sparse_encode

DATA = make_sparse_coded_signals(
    60, n_components=24, n_features=16, n_nonzero_coefs=3, noise=0.01, random_state=0
)


@pytest.mark.parametrize(
    "parameters",
    [
        {"algorithm": "omp", "n_nonzero_coefs": 3},
        {"algorithm": "ols", "residual_tol": 0.1},
        {"algorithm": "lasso", "alpha": 0.05, "positive": True, "tol": 1e-9, "max_iter": 5000},
        {"algorithm": "threshold", "alpha": 0.05},
    ],
    ids=lambda parameters: parameters["algorithm"],
)
@pytest.mark.parametrize("sparse_output", [False, True])
def test_transform_is_the_solver(parameters: dict[str, Any], sparse_output: bool) -> None:
    coder = SparseCoder(DATA.dictionary, sparse_output=sparse_output, **parameters)
    codes = coder.fit_transform(DATA.X)
    expected = sparse_encode(DATA.X, DATA.dictionary, **parameters)
    assert sp.issparse(codes) == sparse_output
    np.testing.assert_array_equal(codes.toarray() if sparse_output else codes, expected.toarray())


def test_the_codes_are_those_of_scikit_learn() -> None:
    alpha = 0.05
    ours = SparseCoder(DATA.dictionary, algorithm="lasso", alpha=alpha, tol=1e-14)
    peer = PeerCoder(
        DATA.dictionary,
        transform_algorithm="lasso_cd",
        transform_alpha=alpha,
        transform_max_iter=100_000,
    )
    # The peer divides its alpha by the number of features, and multiplies it again.
    mine, theirs = ours.fit_transform(DATA.X), peer.fit_transform(DATA.X)
    A, y = DATA.dictionary.T, DATA.X.T
    best, reached = (lasso_objective(A, y, codes.T, alpha) for codes in (mine, theirs))
    assert np.all(best <= reached * (1 + 1e-12))
    # The peer of scikit-learn 1.7 stops 1.1e-6 above ours.
    np.testing.assert_allclose(best, reached, rtol=1e-5)
    greedy = SparseCoder(DATA.dictionary, n_nonzero_coefs=3).fit_transform(DATA.X)
    peer = PeerCoder(DATA.dictionary, transform_algorithm="omp", transform_n_nonzero_coefs=3)
    np.testing.assert_allclose(greedy, peer.fit_transform(DATA.X), rtol=0, atol=1e-10)


def test_inverse_transform_takes_sparse_and_dense_codes() -> None:
    coder = SparseCoder(DATA.dictionary, n_nonzero_coefs=3).fit(DATA.X)
    codes = coder.transform(DATA.X)
    expected = codes @ DATA.dictionary
    for given in (codes, sp.csr_array(codes), sp.csr_matrix(codes), sp.csc_array(codes)):
        np.testing.assert_allclose(coder.inverse_transform(given), expected, rtol=0, atol=1e-12)
    relative = np.linalg.norm(expected - DATA.X) / np.linalg.norm(DATA.X)
    assert relative < 0.3


def test_the_dct_of_n_features_is_the_transform() -> None:
    codes = SparseCoder("dct", n_nonzero_coefs=16).fit_transform(DATA.X)
    np.testing.assert_allclose(codes, scipy.fft.dct(DATA.X, norm="ortho"), rtol=0, atol=1e-12)


def test_the_unit_vectors_keep_the_largest_entries() -> None:
    codes = SparseCoder("identity", n_nonzero_coefs=1).fit_transform(DATA.X)
    largest = np.abs(DATA.X).argmax(axis=1)[:, None]
    expected = np.zeros_like(DATA.X)
    np.put_along_axis(expected, largest, np.take_along_axis(DATA.X, largest, axis=1), axis=1)
    np.testing.assert_allclose(codes, expected, rtol=0, atol=1e-12)


def test_attributes_follow_the_data() -> None:
    coder = SparseCoder(n_components=40).fit(DATA.X.astype(np.float32))
    assert coder.components_.shape == (40, 16)
    assert coder.components_.dtype == np.float32
    assert (coder.n_components_, coder.n_features_in_) == (40, 16)
    assert coder.get_feature_names_out()[-1] == "sparsecoder39"


def test_the_dictionary_given_is_neither_kept_nor_changed() -> None:
    given = DATA.dictionary.copy()
    coder = SparseCoder(given, n_nonzero_coefs=2).fit(DATA.X)
    assert coder.dictionary is given
    codes = coder.transform(DATA.X)
    given[:] = 0
    np.testing.assert_array_equal(coder.transform(DATA.X), codes)


@pytest.mark.parametrize("name", ["positive", "sparse_output"])
def test_truths_are_checked_by_fit(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} has to be True or False, got 0"):
        SparseCoder(**{name: 0}).fit(np.eye(4))
