"""The cross-validated lasso: against scikit-learn's, fits by hand and laws."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model as peer
from sklearn.model_selection import GroupKFold, KFold

from sparsecode import Lasso, LassoCV

KINDS = [np.asarray, sp.csr_array, sp.csc_array, sp.csr_matrix]


def data(n_targets: int = 0, dtype: Any = np.float64, n: int = 50, p: int = 80) -> Any:
    """More features than samples, far from centred, with sparse coefficients and weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)) * (rng.random((n, p)) < 0.5) + (np.arange(p) % 3 == 0)
    w = np.zeros((p, n_targets or 1))
    w[:6] = 3 * rng.standard_normal(w[:6].shape)
    y = X @ w + 5 + 0.5 * rng.standard_normal((n, n_targets or 1))
    weights = rng.uniform(0, 2, n) * (np.arange(n) % 7 > 0)
    return X.astype(dtype), (y if n_targets else y[:, 0]).astype(dtype), weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"positive": True}], ids=str)
def test_cross_validation_is_that_of_scikit_learn(options: Any, weighted: bool, kind: Any) -> None:
    X, y, weights = data()
    weights = weights if weighted else None
    model = LassoCV(alphas=12, eps=1e-2, cv=KFold(4, shuffle=True, random_state=0), tol=1e-10)
    ours = model.set_params(**options).fit(kind(X), y, sample_weight=weights)
    theirs = peer.LassoCV(**{**model.get_params(), "max_iter": 10**6})
    theirs.fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(ours.alphas_, theirs.alphas_, rtol=1e-10)
    np.testing.assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-3)
    assert ours.alpha_ == pytest.approx(theirs.alpha_, rel=1e-10)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=1e-4)
    alone = Lasso(ours.alpha_, tol=1e-10, **options).fit(kind(X), y, sample_weight=weights)
    assert (ours.coef_ == alone.coef_).all()
    assert (ours.dual_gap_, ours.n_iter_) == (alone.dual_gap_, alone.n_iter_)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_the_errors_of_cross_validation_are_those_of_fits_by_hand(kind: Any) -> None:
    X, y, weights = data()
    splits = list(GroupKFold(3).split(X, groups=np.arange(y.size) % 9))
    alphas = [0.1, 1.0, 0.3]
    model = LassoCV(alphas=alphas, cv=splits, tol=1e-10).fit(kind(X), y, sample_weight=weights)
    assert model.alphas_.tolist() == [1.0, 0.3, 0.1]
    for j, (train, test) in enumerate(splits):
        for i, alpha in enumerate(model.alphas_):
            by_hand = Lasso(alpha, tol=1e-10).fit(X[train], y[train], weights[train])
            squares = (y[test] - by_hand.predict(X[test])) ** 2
            expected = np.average(squares, weights=weights[test])
            assert model.mse_path_[i, j] == pytest.approx(expected, rel=1e-4)
    assert model.alpha_ == model.alphas_[np.argmin(model.mse_path_.mean(axis=1))]


def test_the_grid_starts_where_the_first_coefficient_comes() -> None:
    X, y, weights = data()
    for positive in (False, True):
        model = LassoCV(alphas=3, positive=positive).fit(X, y, weights)
        largest = model.alphas_[0]
        at, below = (
            Lasso(factor * largest, positive=positive).fit(X, y, weights).coef_
            for factor in (1 + 1e-9, 0.99)
        )
        assert not at.any()
        assert below.any()


def test_folds_on_threads_change_no_bit() -> None:
    X, y, weights = data()
    one, two = (LassoCV(alphas=10, n_jobs=n).fit(X, y, weights) for n in (1, 2))
    assert (one.mse_path_ == two.mse_path_).all()
    assert (one.coef_ == two.coef_).all()


def test_a_fold_without_weights_is_an_error() -> None:
    X, y, _ = data()
    weights = np.r_[np.zeros(25), np.ones(25)]
    halves = np.split(np.arange(50), 2)
    for split, message in ((halves[::-1], "zero for all held-out samples"), (halves, "one fold")):
        with pytest.raises(ValueError, match=message):
            LassoCV(cv=[split]).fit(X, y, weights)
