"""Codes in a fixed dictionary."""

import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.sparse as sp
from sklearn.decomposition import SparseCoder as PeerCoder
from sklearn.exceptions import NotFittedError

from sparsecode import SparseCoder
from sparsecode._threads import check_n_jobs, check_n_threads
from sparsecode.datasets import make_sparse_coded_signals
from sparsecode.objectives import lasso_objective
from sparsecode.solvers import lars, sparse_encode

DATA = make_sparse_coded_signals(
    60, n_components=24, n_features=16, n_nonzero_coefs=3, noise=0.01, random_state=0
)


@pytest.mark.parametrize(
    ("parameters", "solver"),
    [
        ({}, {"algorithm": "omp"}),
        ({"n_nonzero_coefs": 3}, {"algorithm": "omp"}),
        ({"algorithm": "ols", "residual_tol": 0.1}, {"algorithm": "ols"}),
        ({"algorithm": "iht", "n_nonzero_coefs": 3, "tol": 1e-3}, {"algorithm": "iht"}),
        (
            {"algorithm": "gradient_pursuit", "n_nonzero_coefs": 3},
            {"algorithm": "gradient_pursuit"},
        ),
        (
            {"algorithm": "lasso_cd", "alpha": 0.05, "tol": 1e-9, "max_iter": 5000},
            {"algorithm": "lasso", "positive": True},
        ),
        ({"algorithm": "lasso_cd"}, {"algorithm": "lasso", "alpha": 1.0}),
        ({"algorithm": "lasso_lars", "alpha": 0.05}, {"algorithm": "lars", "positive": True}),
        ({"algorithm": "lasso_lars"}, {"algorithm": "lars", "alpha": 1.0}),
        ({"algorithm": "lars"}, {"algorithm": "lars", "n_nonzero_coefs": 1}),
        ({"algorithm": "lars", "residual_tol": 0.1}, {"algorithm": "lars"}),
        ({"algorithm": "threshold", "alpha": 0.05}, {"algorithm": "threshold"}),
        ({"algorithm": "threshold"}, {"algorithm": "threshold", "alpha": 1.0}),
    ],
    ids=str,
)
@pytest.mark.parametrize("sparse_output", [False, True])
def test_transform_is_the_solver(
    parameters: dict[str, Any], solver: dict[str, Any], sparse_output: bool
) -> None:
    named = {f"transform_{name}": value for name, value in parameters.items()}
    coder = SparseCoder(
        DATA.dictionary,
        sparse_output=sparse_output,
        positive_code=solver.get("positive", False),
        **named,
    )
    codes = coder.fit_transform(DATA.X)
    expected = sparse_encode(DATA.X, DATA.dictionary, **{**parameters, **solver})
    assert sp.issparse(codes) == sparse_output
    np.testing.assert_array_equal(codes.toarray() if sparse_output else codes, expected.toarray())


PEERS_TESTS = """
import sys
import pytest
from sparsecode import SparseCoder

class Ours:
    def pytest_collection_modifyitems(self, items):
        for item in items:
            item.module.SparseCoder = SparseCoder

names = "test_sparse_coder or test_sparse_encoder"
module = "sklearn.decomposition.tests.test_dict_learning"
options = ["-q", "-c", sys.argv[1], "--pyargs", module, "-k", names, "-p", "no:cacheprovider"]
sys.exit(pytest.main(options, plugins=[Ours()]))
"""


@pytest.mark.slow
def test_the_peers_own_tests_hold(tmp_path: Path) -> None:
    """Those of scikit-learn's `SparseCoder`, on ours in its place."""
    settings = tmp_path / "pytest.ini"
    settings.write_text("[pytest]\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-c", PEERS_TESTS, str(settings)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    found = re.search(r"(\d+) passed", run.stdout)
    assert found is not None
    assert int(found[1]) >= 10


@pytest.mark.parametrize("algorithm", ["lasso_cd", "lasso_lars"])
@pytest.mark.parametrize("positive", [False, True])
def test_the_lasso_codes_are_those_of_scikit_learn(algorithm: str, positive: bool) -> None:
    alpha = 0.05
    common = {"transform_alpha": alpha, "positive_code": positive}
    ours = SparseCoder(DATA.dictionary, transform_algorithm=algorithm, **common)
    if algorithm == "lasso_cd":
        ours.set_params(transform_tol=1e-14)
    peer = PeerCoder(
        DATA.dictionary, transform_algorithm="lasso_cd", transform_max_iter=100_000, **common
    )
    # The peer divides its alpha by the number of features, and multiplies it again.
    mine, theirs = ours.transform(DATA.X), peer.fit_transform(DATA.X)
    A, y = DATA.dictionary.T, DATA.X.T
    best, reached = (lasso_objective(A, y, codes.T, alpha) for codes in (mine, theirs))
    assert np.all(best <= reached * (1 + 1e-12))
    # The peer of scikit-learn 1.7 stops 1.1e-6 above ours.
    np.testing.assert_allclose(best, reached, rtol=1e-5)


@pytest.mark.parametrize("split_sign", [False, True])
def test_greedy_and_thresholded_codes_are_those_of_scikit_learn(split_sign: bool) -> None:
    for common in (
        {"transform_algorithm": "omp", "transform_n_nonzero_coefs": 3},
        {"transform_algorithm": "threshold", "transform_alpha": 0.1},
        {"transform_algorithm": "threshold"},
    ):
        ours, peer = (C(DATA.dictionary, split_sign=split_sign, **common).fit(DATA.X)
            for C in (SparseCoder, PeerCoder))  # fmt: skip
        codes = ours.transform(DATA.X)
        np.testing.assert_allclose(codes, peer.transform(DATA.X), rtol=0, atol=1e-10)
        np.testing.assert_allclose(
            ours.inverse_transform(codes), peer.inverse_transform(codes), rtol=0, atol=1e-10
        )
        names = list(ours.get_feature_names_out())
        assert names[:24] == list(peer.get_feature_names_out())  # of half of them, if split
        assert len(names) == codes.shape[1]


def test_lars_is_that_of_scikit_learn_until_a_coefficient_changes_its_sign() -> None:
    for k in (1, 2, 5):
        common = {"transform_algorithm": "lars", "transform_n_nonzero_coefs": k}
        ours, peers = (C(DATA.dictionary, **common).fit_transform(DATA.X)
            for C in (SparseCoder, PeerCoder))  # fmt: skip
        for x, mine, theirs in zip(DATA.X, ours, peers, strict=True):
            path = lars(DATA.dictionary.T, x).x
            joined = np.flatnonzero(np.count_nonzero(path, axis=0) > k)
            before = path[:, : joined[0]] != 0 if joined.size else path != 0
            if np.all(before[:, 1:] >= before[:, :-1]):
                np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-10)


def test_split_codes_may_be_sparse() -> None:
    dense, sparse = (
        SparseCoder(split_sign=True, sparse_output=wanted).fit_transform(DATA.X)
        for wanted in (False, True)
    )
    assert isinstance(sparse, sp.csr_array)
    np.testing.assert_array_equal(sparse.toarray(), dense)
    assert dense.min() == 0
    coder = SparseCoder(split_sign=True).fit(DATA.X)
    assert coder.inverse_transform(sparse).tobytes() == coder.inverse_transform(dense).tobytes()


def test_an_array_needs_no_fit() -> None:
    fitted = SparseCoder(DATA.dictionary).fit(DATA.X)
    coder = SparseCoder(DATA.dictionary.astype(np.float32))
    assert (coder.n_components_, coder.n_features_in_) == (24, 16)
    assert not coder.__sklearn_tags__().requires_fit
    coder = SparseCoder(DATA.dictionary)
    codes = coder.transform(DATA.X)
    assert codes.tobytes() == fitted.transform(DATA.X).tobytes()
    assert coder.inverse_transform(codes).tobytes() == fitted.inverse_transform(codes).tobytes()
    assert len(coder.get_feature_names_out()) == 24
    loaded = pickle.loads(pickle.dumps(coder))
    assert loaded.transform(DATA.X).tobytes() == codes.tobytes()
    assert "components_" not in vars(coder)
    with pytest.raises(ValueError, match="expecting 16 features"):
        coder.transform(DATA.X[:, :5])
    with pytest.raises(AttributeError, match="'SparseCoder' object has no attribute 'coef_'"):
        coder.coef_  # noqa: B018
    for unready in (SparseCoder(), SparseCoder("identity")):
        with pytest.raises(NotFittedError):
            unready.transform(DATA.X)


def test_missing_values_are_left_out() -> None:
    X = DATA.X.copy()
    X[::3, 4] = X[1, 2:9] = np.nan
    coder = SparseCoder(
        DATA.dictionary, transform_n_nonzero_coefs=3, missing_values=np.nan, split_sign=True
    )
    codes = coder.fit(X).transform(X)
    expected = sparse_encode(
        X, DATA.dictionary, n_nonzero_coefs=3, missing_values=np.nan, sparse_output=False
    )
    np.testing.assert_array_equal(codes[:, :24] - codes[:, 24:], expected)
    assert coder.__sklearn_tags__().input_tags.allow_nan
    X[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        coder.transform(X)
    with pytest.raises(ValueError, match="missing_values has to be"):
        SparseCoder(missing_values="nan").fit(DATA.X)


def test_jobs_are_threads_counted_as_joblib_does() -> None:
    expected = SparseCoder(n_jobs=1).fit_transform(DATA.X)
    for n_jobs in (None, 3, -1, -2, -100):
        codes = SparseCoder(n_jobs=n_jobs).fit_transform(DATA.X)
        assert codes.tobytes() == expected.tobytes()
    cores = check_n_threads(None)
    assert [check_n_jobs(n) for n in (None, 5, -1, -cores, -cores - 7)] == [None, 5, cores, 1, 1]
    with pytest.raises(ValueError, match="n_jobs has to be a number of threads"):
        SparseCoder(n_jobs=0).fit(DATA.X)


def test_inverse_transform_takes_sparse_and_dense_codes() -> None:
    coder = SparseCoder(DATA.dictionary, transform_n_nonzero_coefs=3).fit(DATA.X)
    codes = coder.transform(DATA.X)
    expected = codes @ DATA.dictionary
    for given in (codes, sp.csr_array(codes), sp.csr_matrix(codes), sp.csc_array(codes)):
        np.testing.assert_allclose(coder.inverse_transform(given), expected, rtol=0, atol=1e-12)
    relative = np.linalg.norm(expected - DATA.X) / np.linalg.norm(DATA.X)
    assert relative < 0.3


def test_the_dct_of_n_features_is_the_transform() -> None:
    codes = SparseCoder("dct", transform_n_nonzero_coefs=16).fit_transform(DATA.X)
    np.testing.assert_allclose(codes, scipy.fft.dct(DATA.X, norm="ortho"), rtol=0, atol=1e-12)


def test_the_unit_vectors_keep_the_largest_entries() -> None:
    codes = SparseCoder("identity", transform_n_nonzero_coefs=1).fit_transform(DATA.X)
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
    coder = SparseCoder(given, transform_n_nonzero_coefs=2).fit(DATA.X)
    assert coder.dictionary is given
    codes = coder.transform(DATA.X)
    given[:] = 0
    np.testing.assert_array_equal(coder.transform(DATA.X), codes)


@pytest.mark.parametrize("name", ["positive_code", "sparse_output", "split_sign"])
def test_truths_are_checked_by_fit(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} has to be True or False, got 0"):
        SparseCoder(**{name: 0}).fit(np.eye(4))
