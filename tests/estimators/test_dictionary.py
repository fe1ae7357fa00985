"""Learned dictionaries."""

import numpy as np
import pytest
import scipy.sparse as sp

from sparsecode import KSVD, MOD, OnlineDictionaryLearning, SparseCoder
from sparsecode.datasets import load_image_patches, make_sparse_coded_signals
from sparsecode.solvers import ksvd, mod, online_dictionary_learning, sparse_encode

DATA = make_sparse_coded_signals(
    400, n_components=12, n_features=8, n_nonzero_coefs=2, random_state=0
)


@pytest.mark.parametrize(("Learner", "solve"), [(KSVD, ksvd), (MOD, mod)])
def test_fit_and_transform_are_the_solvers(Learner, solve) -> None:
    learner = Learner(12, n_nonzero_coefs=2, max_iter=5, random_state=3).fit(DATA.X)
    result = solve(DATA.X, 12, n_nonzero_coefs=2, max_iter=5, random_state=3)
    np.testing.assert_array_equal(learner.components_, result.dictionary)
    assert learner.n_iter_ == result.n_iter == 5
    assert set(learner.history_) == set(result.history)
    expected = sparse_encode(DATA.X, result.dictionary, n_nonzero_coefs=2)
    np.testing.assert_array_equal(learner.transform(DATA.X), expected.toarray())


def test_error_is_what_the_fit_left_over() -> None:
    learner = KSVD(12, n_nonzero_coefs=2, max_iter=30, random_state=0).fit(DATA.X)
    rest = DATA.X - learner.inverse_transform(learner.transform(DATA.X))
    relative = np.linalg.norm(rest) / np.linalg.norm(DATA.X)
    # The codes of transform are found anew in the final dictionary: nearly those of the fit.
    assert learner.error_ == pytest.approx(relative, rel=0.05)
    assert learner.error_ == learner.history_["relative_error"][-1]


def test_defaults_follow_the_data() -> None:
    X = np.random.default_rng(0).standard_normal((50, 30))
    learner = KSVD(max_iter=2, random_state=0).fit(X)
    assert learner.components_.shape == (30, 30)
    assert learner.n_nonzero_coefs_ == 3
    np.testing.assert_allclose(np.linalg.norm(learner.components_, axis=1), 1, rtol=1e-12)
    assert (learner.transform(X) != 0).sum(axis=1).max() == 3
    assert KSVD(2, max_iter=2, random_state=0).fit(X).n_nonzero_coefs_ == 2


def test_codes_are_sparse_where_asked() -> None:
    learner = KSVD(12, n_nonzero_coefs=2, max_iter=2, sparse_output=True, random_state=0)
    codes = learner.fit_transform(DATA.X)
    assert sp.issparse(codes)
    assert codes.format == "csr"
    np.testing.assert_allclose(
        learner.inverse_transform(codes), codes.toarray() @ learner.components_, rtol=0, atol=1e-12
    )


def test_learned_atoms_beat_cosines_on_new_patches() -> None:
    patches = load_image_patches(4000, random_state=0)
    train, test = patches[:3000], patches[3000:]

    def error(coder: KSVD | SparseCoder) -> float:
        rest = test - coder.inverse_transform(coder.transform(test))
        return float(np.linalg.norm(rest) / np.linalg.norm(test))

    learned = KSVD(128, n_nonzero_coefs=4, max_iter=8, random_state=0).fit(train)
    cosines = SparseCoder("dct", n_components=128, transform_n_nonzero_coefs=4).fit(train)
    assert error(learned) < 0.95 * error(cosines)


def test_sparse_output_is_a_truth_before_anything_is_learned() -> None:
    with pytest.raises(TypeError, match="sparse_output has to be True or False, got 'yes'"):
        KSVD(sparse_output="yes").fit(np.eye(4))


@pytest.mark.parametrize("Learner", [KSVD, MOD])
@pytest.mark.parametrize(
    ("coding", "algorithm"),
    [
        ({"residual_tol": 0.5}, "omp"),
        ({"alpha": 0.1}, "lasso"),
        ({"alpha": 0.1, "positive": True}, "lasso"),
        ({"n_nonzero_coefs": 2, "positive": True}, "omp"),
    ],
)
def test_transform_codes_as_fit_did(Learner, coding, algorithm) -> None:
    X = np.abs(DATA.X)
    learner = Learner(12, max_iter=3, random_state=0, sparse_output=True, **coding).fit(X)
    tol = {"tol": 1e-6} if algorithm == "lasso" else {}
    expected = sparse_encode(X, learner.components_, algorithm=algorithm, **coding, **tol)
    np.testing.assert_array_equal(learner.transform(X).toarray(), expected.toarray())


def test_missing_entries_are_filled_by_what_was_learned() -> None:
    X = DATA.X.copy()
    holes = np.random.default_rng(0).random(X.shape) < 0.1
    X[holes] = np.nan
    learner = KSVD(12, n_nonzero_coefs=2, max_iter=40, missing_values=np.nan, random_state=0)
    filled = learner.inverse_transform(learner.fit(X).transform(X))
    rest = np.linalg.norm((filled - DATA.X)[holes]) / np.linalg.norm(DATA.X[holes])
    assert rest < 0.7
    with pytest.raises(ValueError, match="contains NaN"):
        KSVD(12).fit(X)


@pytest.mark.parametrize("coding", [{"alpha": 0.1}, {"n_nonzero_coefs": 2}])
def test_partial_fit_over_batches_is_fit_with_the_same_batches(coding) -> None:
    options = {"batch_size": 100, "random_state": 0} | coding
    whole = OnlineDictionaryLearning(12, max_iter=1, **options).fit(DATA.X)
    parts = OnlineDictionaryLearning(12, **options)
    for start in range(0, 400, 100):
        parts.partial_fit(DATA.X[start : start + 100])
    np.testing.assert_array_equal(parts.components_, whole.components_)
    assert parts.n_iter_ == 4
    two = OnlineDictionaryLearning(12, **options).partial_fit(DATA.X)  # batches of its own
    np.testing.assert_array_equal(two.components_, whole.components_)
    again = parts.fit(DATA.X)  # from the beginning
    learned = online_dictionary_learning(DATA.X, 12, max_iter=10, **options)
    np.testing.assert_array_equal(again.components_, learned.dictionary)
