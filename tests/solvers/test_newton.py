"""The pieces of the semismooth Newton method, against grids, cvxpy and the laws of a minimiser."""

import numpy as np
import pytest

from sparsecode.objectives import alpha_max
from sparsecode.penalties import L1
from sparsecode.solvers import coordinate_descent, reference, semismooth_newton
from sparsecode.solvers._working_set import WeightedLasso
from sparsecode.solvers.newton import _proximal_point, least_point, newton_on_support


@pytest.mark.parametrize("seed", range(20))
def test_the_least_point_of_a_ray(seed):
    """Against a fine grid over the ray."""
    rng = np.random.default_rng(seed)
    x, weights = rng.standard_normal(6), rng.uniform(0.1, 1, 6)
    B = rng.standard_normal((8, 6))
    H = B.T @ B
    downhill = 5 * rng.standard_normal(6)
    direction = np.linalg.solve(H, downhill)
    decrease, curvature = downhill @ direction, direction @ H @ direction

    def rise(t):
        bent = weights @ (np.abs(x + t * direction) - np.abs(x) - np.sign(x) * t * direction)
        return -t * decrease + 0.5 * t * t * curvature + bent

    step, stopped = least_point(x, direction, weights, decrease, curvature)
    assert rise(step) <= min(rise(t) for t in np.linspace(0, 3, 6001)) + 1e-9
    assert np.all(np.abs(x + step * direction)[stopped] < 1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_newton_on_the_support_never_rises_and_says_when_it_is_exact(seed):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((12, 8))
    gram, x = B.T @ B, rng.standard_normal(8)
    correlation, weights = 3 * rng.standard_normal(8), rng.uniform(0.1, 2, 8)

    def objective(z):
        return 0.5 * z @ gram @ z - correlation @ z + weights @ np.abs(z)

    for n_steps in (1, 2, 10):
        slope = correlation - gram @ x
        moved, exact = newton_on_support(gram, slope, WeightedLasso(weights), x, n_steps)
        assert objective(moved) <= objective(x) + 1e-12
        if exact:
            S = moved != 0
            slope = (correlation - gram @ moved)[S]
            np.testing.assert_allclose(slope, (weights * np.sign(moved))[S], atol=1e-9)
    assert exact or not moved.any()


@pytest.mark.parametrize("seed", range(20))
def test_newton_on_the_support_of_a_positive_lasso_stays_positive(seed):
    """A step that ends with a negative coefficient has an infinite objective."""
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((12, 8))
    gram, x = B.T @ B, np.abs(rng.standard_normal(8))
    correlation, weights = 3 * rng.standard_normal(8), rng.uniform(0.1, 2, 8)
    lasso = WeightedLasso(weights, positive=True)

    def objective(z):
        return 0.5 * z @ gram @ z - correlation @ z + weights @ z

    for n_steps in (1, 2, 10):
        moved, exact = newton_on_support(gram, correlation - gram @ x, lasso, x, n_steps)
        assert np.all(moved >= 0)
        assert objective(moved) <= objective(x) + 1e-12
    assert exact or not moved.any()


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("step", [0.01, 1.0, 100.0])
def test_the_proximal_point_is_a_lasso_of_its_own(step, positive):
    rng = np.random.default_rng(0)
    A, y, x = rng.standard_normal((15, 30)), rng.standard_normal(15), rng.standard_normal(30)
    lasso = WeightedLasso(np.full(30, 0.7), positive=positive)
    z = x
    for _ in range(30):  # it is inexact: to a share of how far it moves; repeated it ends at P's
        z, _ = _proximal_point(A.T @ A, A.T @ y, y @ y, lasso, z, z, step)
    if step < 1:
        z, _ = _proximal_point(A.T @ A, A.T @ y, y @ y, lasso, z, z, 1e4)
    exact = reference.lasso(A, y, 0.7, penalty=L1(positive=positive))
    found = 0.5 * np.sum((y - A @ z) ** 2) + 0.7 * np.abs(z).sum()
    assert found <= exact.objective * (1 + 1e-6)


def test_a_support_as_large_as_the_signal():
    """Where n columns fit any signal: the Gram matrix of the support is all but singular."""
    rng = np.random.default_rng(1)
    A, y = rng.standard_normal((40, 600)), rng.standard_normal(40)
    found = semismooth_newton(A, y, alpha_ratio=1e-5, tol=1e-13)
    assert found.converged
    assert found.n_iter <= 60
    assert np.count_nonzero(found.x) <= 40


def test_repeated_columns_in_float32():
    rng = np.random.default_rng(2)
    A, y = rng.standard_normal((40, 60)).astype("f"), rng.standard_normal(40).astype("f")
    found = semismooth_newton(np.hstack([A, A, A]), y, alpha_ratio=0.01, tol=1e-5)
    plain = semismooth_newton(A, y, alpha_ratio=0.01, tol=1e-5)
    assert found.x.dtype == np.float32
    assert found.converged
    np.testing.assert_allclose(found.objective, plain.objective, rtol=1e-4)


@pytest.mark.parametrize("solver", [semismooth_newton, coordinate_descent])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_any_start_ends_at_the_minimiser(solver, positive, seed):
    """Also one with signs that are not allowed, with columns of zeros, and far from the answer."""
    rng = np.random.default_rng(seed)
    A, y = rng.integers(-3, 4, (4, 5)).astype(float), rng.integers(-3, 4, 4).astype(float)
    y[0] += 7  # not zero
    A[:, 2] = 0
    penalty = L1(weights=rng.integers(1, 4, 5).astype(float), positive=positive)
    for ratio in (1.0, 0.5, 1e-3):
        alpha = ratio * float(alpha_max(A, y, penalty)) or 1.0
        init = rng.integers(-3, 4, 5).astype(float)
        result = solver(A, y, alpha, penalty=penalty, init=init, tol=1e-12)
        assert result.converged
        assert not positive or result.x.min() >= 0


def test_a_warm_start_may_end_at_zero():
    """No coefficient is left in the proximal step, so that there is nothing to factorise."""
    A, y = np.array([[0.0, 1.0]]), np.array([1.0])
    result = semismooth_newton(A, y, 2.0, init=np.array([2.0, 3.0]), tol=1e-12)
    np.testing.assert_array_equal(result.x, 0)
