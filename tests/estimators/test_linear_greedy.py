"""The greedy regressor: against scikit-learn's, and laws."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model as peer
from sklearn.exceptions import ConvergenceWarning

from sparsecode import OrthogonalMatchingPursuit

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
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("n_targets", [0, 3])
@pytest.mark.parametrize("options", [{}, {"n_nonzero_coefs": 3}, {"tol": 60.0}], ids=str)
def test_the_pursuit_is_that_of_scikit_learn(
    options: Any, n_targets: int, fit_intercept: bool, kind: Any
) -> None:
    X, y, _ = data(n_targets)
    X, y = X - X.mean(axis=0), y - y.mean(axis=0)
    X /= np.linalg.norm(X, axis=0)  # theirs assumes it
    model = OrthogonalMatchingPursuit(**options, fit_intercept=fit_intercept).fit(kind(X), y)
    theirs = peer.OrthogonalMatchingPursuit(**options, fit_intercept=fit_intercept).fit(X, y)
    np.testing.assert_allclose(model.coef_, theirs.coef_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(model.intercept_, theirs.intercept_, rtol=0, atol=1e-9)
    assert np.array_equal(model.n_iter_, theirs.n_iter_)
    assert model.n_nonzero_coefs_ == theirs.n_nonzero_coefs_


@pytest.mark.parametrize("kind", KINDS)
def test_the_pursuit_stops_at_the_squared_norm(kind: Any) -> None:
    X, y, _ = data()
    left = []
    for k in (3, 4):
        model = OrthogonalMatchingPursuit(n_nonzero_coefs=k).fit(kind(X), y)
        left.append(np.sum((y - model.predict(X)) ** 2))
    assert left[0] > left[1]
    for factor, k in ((0.999, 4), (1.001, 3)):
        model = OrthogonalMatchingPursuit(tol=factor * left[0]).fit(kind(X), y)
        assert model.n_iter_ == k


def test_the_norm_of_a_column_is_no_merit() -> None:
    X, y, _ = data()
    model = OrthogonalMatchingPursuit(n_nonzero_coefs=5)
    coef = model.fit(X, y).coef_.copy()
    scales = np.logspace(-3, 3, X.shape[1])
    np.testing.assert_allclose(model.fit(X * scales, y).coef_ * scales, coef, rtol=1e-8)


def test_a_pursuit_that_cannot_reach_tol_warns() -> None:
    X, y, _ = data(n=50, p=4)
    with pytest.warns(ConvergenceWarning, match="did not reach tol=1: no further feature") as got:
        OrthogonalMatchingPursuit(tol=1.0).fit(X, y)
    assert got[0].filename == __file__
