"""The lasso at many alphas, against the exact path, scikit-learn and one problem at a time."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import enet_path

from sparsecode.objectives import alpha_max, duality_gap
from sparsecode.penalties import L0, L1, ElasticNet, GroupL1
from sparsecode.solvers import lars, lasso_path, semismooth_newton


@pytest.fixture
def system():
    rng = np.random.default_rng(0)
    return rng.standard_normal((30, 80)), rng.standard_normal(30)


def test_it_follows_the_exact_path(system):
    A, y = system
    exact = lars(A, y, alpha_ratio=0.01)
    path = lasso_path(A, y, 40, alpha_ratio=0.01, tol=1e-13)
    assert path.converged
    np.testing.assert_allclose(path.alphas, exact.alphas[0] * np.geomspace(1, 0.01, 40))
    for alpha, x in zip(path.alphas, path.x.T, strict=True):
        between = [np.interp(-alpha, -exact.alphas, row) for row in exact.x]
        np.testing.assert_allclose(x, between, atol=1e-6)


@pytest.mark.parametrize("penalty", [None, L1(positive=True), ElasticNet(0.7)], ids=str)
def test_each_alpha_is_a_problem_of_its_own(system, penalty):
    A, y = system
    path = lasso_path(A, y, 12, alpha_ratio=0.02, penalty=penalty, tol=1e-12)
    for alpha, x, gap in zip(path.alphas, path.x.T, path.dual_gaps, strict=True):
        alone = semismooth_newton(A, y, alpha, penalty=penalty, tol=1e-12)
        np.testing.assert_allclose(x, alone.x, atol=1e-6)
        residual = y - A @ x
        again = duality_gap(residual, A.T @ residual, x, alpha, penalty)
        assert gap <= 1e-12 * 0.5 * y @ y
        assert abs(gap - again) <= 1e-13 * 0.5 * y @ y


def test_it_agrees_with_scikit_learn(system):
    A, y = system
    alphas = alpha_max(A, y, ElasticNet(0.5)) * np.array([0.5, 0.1, 0.3])
    path = lasso_path(A, y, alphas, penalty=ElasticNet(0.5), tol=1e-13)
    assert np.all(np.diff(path.alphas) < 0)
    _, theirs, _ = enet_path(
        A, y, l1_ratio=0.5, alphas=path.alphas / 30, tol=1e-14, max_iter=100_000
    )
    np.testing.assert_allclose(path.x, theirs, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e150])
def test_it_has_no_favourite_scale(system, scale):
    A, y = system
    plain, scaled = (lasso_path(A, s * y, 5, tol=1e-10) for s in (1, scale))
    np.testing.assert_allclose(scaled.alphas, plain.alphas * scale, rtol=1e-12)
    np.testing.assert_allclose(scaled.x / scale, plain.x, atol=1e-6)


def test_a_zero_signal_has_a_zero_path(system):
    A, y = system
    path = lasso_path(A, 0 * y, 5)
    assert path.converged
    assert not path.x.any()


def test_it_says_when_it_did_not_converge(system):
    A, y = system
    with pytest.warns(ConvergenceWarning, match="lasso_path did not converge"):
        path = lasso_path(A, y, [1e-3], tol=1e-12, max_iter=1)
    assert not path.converged


def test_what_it_does_not_take_it_names(system):
    A, y = system
    for arguments, options, words in (
        ((A, y, [1.0]), {"alpha_ratio": 0.1}, "leave one of them out"),
        ((A, y, 0), {}, "alphas"),
        ((A, y, [1.0, -1.0]), {}, "alpha"),
        ((A, y, [np.nan]), {}, "alphas"),
        ((A, y), {"alpha_ratio": 2.0}, "alpha_ratio"),
        ((A, y), {"penalty": L0()}, "convex"),
        ((A, y), {"penalty": GroupL1(np.arange(80) // 2)}, "L1 and ElasticNet"),
        ((A, np.column_stack([y, y])), {}, "one signal"),
    ):
        with pytest.raises(ValueError, match=words):
            lasso_path(*arguments, **options)
