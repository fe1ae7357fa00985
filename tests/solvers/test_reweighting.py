"""Reweighted l1 norms beside cvxpy's weighted problems, their own laws, and what they recover."""

import functools

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator
from sklearn.exceptions import ConvergenceWarning

from sparsecode.operators import subsampled_dct
from sparsecode.penalties import L1
from sparsecode.solvers import Status, basis_pursuit, bpdn, reference, reweighted_l1

M, N = 15, 30
FORMS = {"exact": {}, "noisy": {"sigma": 0.3}, "penalised": {"alpha": 0.5}}
every_form = pytest.mark.parametrize("form", FORMS)


@functools.cache
def data(kind="d", noise=0.05):
    rng = np.random.default_rng(0)
    A, x = rng.standard_normal((M, N)), np.zeros(N)
    x[rng.permutation(N)[:6]] = rng.standard_normal(6)
    e = rng.standard_normal(M)
    if kind in "FD":
        A, x = A + 1j * rng.standard_normal((M, N)), x * np.exp(1j * np.arange(N))
    return A.astype(kind), (A @ x + noise * e).astype(kind)


def weighted(A, y, weights, sigma=0.0, alpha=None):
    """By cvxpy: a solution of the weighted problem."""
    if alpha is None:
        return reference.bpdn(A, y, sigma, weights=weights)
    return reference.lasso(A, y, alpha, penalty=L1(weights=weights)).x


@every_form
@pytest.mark.parametrize("kind", "dD")
@pytest.mark.filterwarnings("ignore:reweighted_l1 did not converge")
def test_the_rounds_are_those_of_cvxpy(form, kind) -> None:
    A, y = data(kind)
    epsilon, weights = 0.1, np.ones(N)
    for _ in range(3):
        exact = weighted(A, y, weights, **FORMS[form])
        weights = epsilon / (epsilon + np.abs(exact))
    result = reweighted_l1(A, y, epsilon=epsilon, max_iter=3, tol=1e-9, **FORMS[form])
    np.testing.assert_allclose(result.x, exact, atol=2e-4)


@every_form
@pytest.mark.parametrize("kind", "dD")
def test_it_ends_where_it_solves_its_own_weighted_problem(form, kind) -> None:
    A, y = data(kind)
    given = FORMS[form]
    result = reweighted_l1(A, y, max_iter=100, **given)
    assert result.status is Status.CONVERGED
    assert np.all(np.diff(result.history["objective"]) <= 1e-6 * result.history["objective"][:-1])
    size = np.abs(result.x)
    np.testing.assert_allclose(result.weights, result.epsilon / (result.epsilon + size))
    r = np.linalg.norm(y - A @ result.x)
    assert result.residual == pytest.approx(r, abs=1e-9 * np.linalg.norm(y))
    log_sum = result.epsilon * np.log1p(size / result.epsilon).sum()

    def value(x, total):
        fit = 0.5 * np.linalg.norm(y - A @ x) ** 2
        return fit + given["alpha"] * total if "alpha" in given else total

    assert result.objective == pytest.approx(value(result.x, log_sum), rel=1e-9)
    other = weighted(A, y, result.weights, **given)
    mine, best = (value(x, result.weights @ np.abs(x)) for x in (result.x, other))
    slack = 1e-6 * best  # cvxpy's own
    assert mine - result.dual_gap - slack <= best
    assert mine <= best + 2e-6 * max(best, 0.5 * np.linalg.norm(y) ** 2) + slack
    if "alpha" not in given:
        assert r <= given.get("sigma", 0.0) * (1 + 1e-6) + 1e-6 * np.linalg.norm(y)


def test_what_the_l1_norm_does_not_recover() -> None:
    n, m, k = 256, 100, 40
    for seed in range(3):
        rng = np.random.default_rng([k, seed])
        A, x = rng.standard_normal((m, n)), np.zeros(n)
        x[rng.permutation(n)[:k]] = rng.standard_normal(k)
        assert np.abs(basis_pursuit(A, A @ x).x - x).max() > 0.1
        result = reweighted_l1(A, A @ x)
        assert result.converged
        np.testing.assert_allclose(result.x, x, atol=1e-4)


def test_through_an_operator() -> None:
    rng = np.random.default_rng(0)
    n, m, k = 2048, 512, 150
    A, x = subsampled_dct(n, rng.permutation(n)[:m]), np.zeros(n)
    x[rng.permutation(n)[:k]] = rng.standard_normal(k)
    result = reweighted_l1(A, A @ x)
    assert result.converged
    assert np.linalg.norm(result.x - x) <= 1e-5 * np.linalg.norm(x)


@every_form
def test_the_first_round_has_the_l1_norm_and_all_forms_of_a_matrix_are_one(form) -> None:
    A, y = data()
    with pytest.warns(ConvergenceWarning, match="reweighted_l1 did not converge"):
        first = reweighted_l1(A, y, max_iter=1, tol=1e-9, **FORMS[form])
    np.testing.assert_allclose(first.x, weighted(A, y, np.ones(N), **FORMS[form]), atol=1e-4)
    if form == "exact":  # of noise: no walk along the curve settles soon
        return
    plain = reweighted_l1(A, y, max_iter=50, tol=1e-7, **FORMS[form])
    other = reweighted_l1(aslinearoperator(A), y, max_iter=50, tol=1e-7, **FORMS[form])
    np.testing.assert_allclose(plain.x, other.x, atol=1e-5)


@every_form
def test_nothing_gives_nothing(form) -> None:
    A, y = data()
    result = reweighted_l1(A, 0 * y, **FORMS[form])
    assert result.converged
    assert not result.x.any()
    assert result.objective == result.certificate == result.epsilon == 0
    assert np.all(result.weights == 1)
    result = reweighted_l1(A, y, sigma=2 * np.linalg.norm(y), epsilon=0.1)
    assert result.converged
    assert not result.x.any()
    assert not reweighted_l1(A, y, alpha_ratio=1.0).x.any()


@pytest.mark.parametrize(("a", "b"), [(1e-150, 1.0), (1e100, 1e-100), (1.0, 1e150)])
def test_any_scale(a, b) -> None:
    A, y = data()
    unit = b / a
    plain, scaled = reweighted_l1(A, y, sigma=0.3), reweighted_l1(A * a, y * b, sigma=0.3 * b)
    np.testing.assert_allclose(scaled.x / unit, plain.x, atol=1e-5)
    assert scaled.epsilon / unit == pytest.approx(plain.epsilon, rel=1e-4)
    plain, scaled = (reweighted_l1(s * A, t * y, alpha_ratio=0.1) for s, t in ((1, 1), (a, b)))
    np.testing.assert_allclose(scaled.x / unit, plain.x, atol=1e-5)


def test_precision_stays() -> None:
    A, y = data("f")
    result = reweighted_l1(A, y, sigma=0.3, tol=1e-3)
    assert result.x.dtype == result.weights.dtype == np.float32
    A, y = data("F")
    assert reweighted_l1(A, y, alpha=0.5, tol=1e-3).x.dtype == np.complex64
    assert reweighted_l1(A.real, y.real.astype(np.float16), sigma=0.3).x.dtype == np.float16


def test_what_it_refuses() -> None:
    A, y = data()
    with pytest.raises(ValueError, match="sigma is not used by the form with an alpha"):
        reweighted_l1(A, y, sigma=1.0, alpha=1.0)
    with pytest.raises(ValueError, match="give exactly one of alpha, alpha_ratio"):
        reweighted_l1(A, y, alpha=1.0, alpha_ratio=0.1)
    with pytest.raises(ValueError, match="epsilon has to be"):
        reweighted_l1(A, y, epsilon=0.0)
    for given in FORMS.values():
        with pytest.raises(ValueError, match="y has to be 1-D"):
            reweighted_l1(A, np.stack([y, y], axis=1), **given)
    with pytest.raises(ValueError, match="the least residual is"):
        reweighted_l1(A[:, :5], y)
    stopped = reweighted_l1(A, y, callback=lambda row: True, sigma=0.3, tol=0.0)
    assert stopped.status is Status.CALLBACK
    assert stopped.n_iter == 1
    np.testing.assert_allclose(stopped.x, bpdn(A, y, 0.3).x, atol=1e-4)
