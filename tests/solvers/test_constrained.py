"""The constrained forms of sparse recovery, held against cvxpy and against their own duals."""

import functools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from sklearn.exceptions import ConvergenceWarning

from sparsecode.operators import subsampled_dct, subsampled_fft
from sparsecode.solvers import Status, basis_pursuit, bpdn, lasso_constrained, reference

M, N, K = 30, 60, 5
WEIGHTS = np.linspace(0.5, 2, N)


@functools.cache
def data(kind="d", noise=0.1):
    rng = np.random.default_rng(0)
    A, x = rng.standard_normal((M, N)), np.zeros(N)
    x[rng.permutation(N)[:K]] = rng.standard_normal(K)
    e = rng.standard_normal(M)
    if kind in "FD":
        A, x = A + 1j * rng.standard_normal((M, N)), x * np.exp(1j * np.arange(N))
        e = e + 1j * rng.standard_normal(M)
    y = A @ x + noise * e
    return A.astype(kind), y.astype(kind), x


def check_certificate(result, A, y, sigma, weights=1.0):
    """Everything the result says, computed anew from `x` and `dual`."""
    objective = np.sum(weights * np.abs(result.x))
    r = y - A @ result.x
    assert result.objective == pytest.approx(objective, rel=1e-9)
    assert result.residual == pytest.approx(np.linalg.norm(r), rel=1e-6, abs=1e-9)
    assert np.max(np.abs(A.conj().T @ result.dual) / weights) <= 1 + 1e-9
    value = np.vdot(result.dual, y).real - sigma * np.linalg.norm(result.dual)
    assert abs(objective - value) <= result.dual_gap * (1 + 1e-6) + 1e-9 * objective
    return value


@pytest.mark.parametrize("kind", "dD")
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
def test_bpdn_is_that_of_cvxpy(kind, weights, sigma) -> None:
    A, y, _ = data(kind)
    result = bpdn(A, y, sigma, weights=weights, tol=1e-7)
    assert result.converged
    best = np.sum(
        (1 if weights is None else weights) * np.abs(reference.bpdn(A, y, sigma, weights=weights))
    )
    assert result.objective == pytest.approx(best, rel=1e-6)
    assert result.residual <= sigma * (1 + 1e-7)
    value = check_certificate(result, A, y, sigma, 1 if weights is None else weights)
    assert value <= best * (1 + 1e-7)


@pytest.mark.parametrize("kind", "dD")
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_basis_pursuit_recovers_and_is_that_of_cvxpy(kind, weights) -> None:
    A, y, x = data(kind, noise=0.0)
    result = basis_pursuit(A, y, weights=weights, tol=1e-7)
    assert result.converged
    np.testing.assert_allclose(result.x, x, atol=1e-5)
    exact = reference.bpdn(A, y, 0.0, weights=weights)
    np.testing.assert_allclose(exact, x, atol=1e-5)
    assert result.residual <= 1e-7 * np.linalg.norm(y)
    check_certificate(result, A, y, 0.0, 1 if weights is None else weights)


@pytest.mark.parametrize("kind", "dD")
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_lasso_constrained_is_that_of_cvxpy(kind, weights, tau) -> None:
    A, y, _ = data(kind)
    result = lasso_constrained(A, y, tau, weights=weights, tol=1e-9)
    assert result.converged
    best = reference.lasso_constrained(A, y, tau, weights=weights)
    np.testing.assert_allclose(result.x, best, atol=1e-4)
    objective = 0.5 * np.linalg.norm(y - A @ best) ** 2
    assert result.objective == pytest.approx(objective, rel=1e-6)
    assert result.objective - result.dual_gap <= objective * (1 + 1e-7)
    total = np.sum((1 if weights is None else weights) * np.abs(result.x))
    assert total <= tau * (1 + 1e-12)


@pytest.mark.parametrize("form", [sp.csr_array, aslinearoperator, np.asfortranarray])
def test_all_forms_of_a_matrix_are_one(form) -> None:
    A, y, _ = data()
    plain, other = bpdn(A, y, 1.0, tol=1e-9), bpdn(form(A), y, 1.0, tol=1e-9)
    np.testing.assert_allclose(plain.x, other.x, atol=1e-7)


@pytest.mark.parametrize("make", [subsampled_dct, subsampled_fft])
def test_large_operators(make) -> None:
    rng = np.random.default_rng(0)
    n, m, k = 4096, 1024, 120
    A = make(n, rng.permutation(n)[:m])
    x = np.zeros(n, dtype=A.dtype)
    x[rng.permutation(n)[:k]] = rng.standard_normal(k)
    result = basis_pursuit(A, A @ x, tol=1e-7)
    assert result.converged
    assert np.linalg.norm(result.x - x) <= 1e-5 * np.linalg.norm(x)


def test_single_precision_stays() -> None:
    A, y, _ = data("f")
    result = bpdn(A, y, 1.0, tol=1e-4)
    assert result.x.dtype == np.float32
    assert result.dual.dtype == np.float32
    np.testing.assert_allclose(result.x, bpdn(*data()[:2], 1.0).x, atol=1e-3)


def test_a_residual_as_large_as_the_data_needs_nothing() -> None:
    A, y, _ = data()
    for sigma in (np.linalg.norm(y) * (1 + 1e-12), 1e9):
        result = bpdn(A, y, sigma)
        assert not result.x.any()
        assert result.converged
        assert result.dual_gap == result.objective == 0
    zero = basis_pursuit(A, 0 * y)
    assert zero.converged
    assert zero.residual == np.abs(zero.x).max() == 0
    assert not lasso_constrained(A, y, 0.0).x.any()


def test_inconsistent_data_are_an_error_with_the_least_residual() -> None:
    rng = np.random.default_rng(0)
    A, y = rng.standard_normal((20, 10)), rng.standard_normal(20)
    least = np.linalg.norm(y - A @ np.linalg.lstsq(A, y)[0])
    with pytest.raises(ValueError, match=f"the least residual is {least:.6g}"):
        basis_pursuit(A, y)
    with pytest.raises(ValueError, match="least residual"):
        bpdn(A, y, 0.9 * least)
    assert bpdn(A, y, 1.1 * least).converged
    A = np.vstack([A.T, A.T[0]])
    y = rng.standard_normal(11)
    with pytest.raises(ValueError, match="least residual"):
        basis_pursuit(A, y)
    with pytest.raises(ValueError, match="least residual"):
        basis_pursuit(np.zeros((3, 5)), np.ones(3))


@pytest.mark.parametrize(
    ("a", "b"), [(1e-150, 1.0), (1.0, 1e-150), (1e150, 1e-150), (1e150, 1e150)]
)
def test_any_scale(a, b) -> None:
    A, y, _ = data()
    plain, scaled = bpdn(A, y, 1.0), bpdn(A * a, y * b, b)
    np.testing.assert_allclose(scaled.x / b * a, plain.x, atol=1e-5)
    assert scaled.objective == pytest.approx(plain.objective * b / a, rel=1e-5)
    plain, scaled = lasso_constrained(A, y, 1.0), lasso_constrained(A * a, y * b, b / a)
    np.testing.assert_allclose(scaled.x / b * a, plain.x, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 5), (5, 5), (1, 1)])
def test_one_row_or_a_square(shape) -> None:
    rng = np.random.default_rng(1)
    A, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    result = basis_pursuit(A, y, tol=1e-7)
    best = np.sum(np.abs(reference.bpdn(A, y, 0.0)))
    assert result.converged
    assert result.objective == pytest.approx(best, rel=1e-5)


def test_an_operator_that_is_not_one() -> None:
    A, y, _ = data()
    wrong = LinearOperator(A.shape, matvec=lambda x: A @ x, rmatvec=lambda r: 2 * A.T @ r)
    with pytest.raises(ValueError, match="not the adjoint"):
        basis_pursuit(wrong, y)
    with pytest.raises(ValueError, match="A has 30 rows but y has 29"):
        bpdn(A, y[1:], 1.0)


def test_the_start_is_used_and_stopping_early_is_said() -> None:
    A, y, _ = data()
    cold = bpdn(A, y, 1.0, method="spg")
    warm = bpdn(A, y, 1.0, method="spg", init=cold.x)
    assert warm.converged
    assert warm.n_iter < cold.n_iter
    with pytest.warns(ConvergenceWarning, match="bpdn did not converge"):
        bpdn(A, y, 1.0, method="spg", max_iter=3)
    assert bpdn(A, y, 1.0, method="spg", callback=lambda row: True).status is Status.CALLBACK


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("sigma", [0.0, 0.3, 3.0])
def test_the_methods_agree(weights, sigma) -> None:
    A, y, _ = data(noise=0.0 if sigma == 0 else 0.1)
    exact = bpdn(A, y, sigma, weights=weights, method="homotopy", tol=1e-10)
    walked = bpdn(A, y, sigma, weights=weights, method="spg")
    assert exact.converged
    assert exact.objective == pytest.approx(walked.objective, rel=1e-5)
    check_certificate(exact, A, y, sigma, 1 if weights is None else weights)
    for tau in (0.5 * exact.objective, 2 * exact.objective):
        ball = lasso_constrained(A, y, tau, weights=weights, method="homotopy", tol=1e-10)
        other = lasso_constrained(A, y, tau, weights=weights, method="spg", tol=1e-10)
        assert ball.converged
        assert ball.objective == pytest.approx(other.objective, rel=1e-6, abs=1e-8)


def test_the_methods_say_what_they_need() -> None:
    A, y, _ = data("D")
    with pytest.raises(ValueError, match="entries of a real matrix"):
        bpdn(A, y, 1.0, method="homotopy")
    with pytest.raises(ValueError, match="method has to be one of"):
        bpdn(A, y, 1.0, method="newton")
    with pytest.raises(ValueError, match="init is not used by method='homotopy'"):
        bpdn(*data()[:2], 1.0, method="homotopy", init=np.zeros(N))
    with pytest.raises(ValueError, match="weights has to be positive"):
        bpdn(A, y, 1.0, weights=np.zeros(N))


@pytest.mark.parametrize("kind", "dD")
def test_basis_pursuit_that_recovers_nothing_is_that_of_cvxpy(kind) -> None:
    """Of noise, on more rows than the homotopy takes by default."""
    rng = np.random.default_rng(2)
    m, n = (60, 200) if kind == "d" else (20, 50)
    A, y = rng.standard_normal((m, n)).astype(kind), rng.standard_normal(m).astype(kind)
    if kind == "D":
        A = A + 1j * rng.standard_normal(A.shape)
    result = basis_pursuit(A, y, tol=1e-6)
    assert result.converged
    best = np.sum(np.abs(reference.bpdn(A, y, 0.0)))
    assert result.objective == pytest.approx(best, rel=2e-6)
    check_certificate(result, A, y, 0.0)


@pytest.mark.parametrize("make", [subsampled_dct, subsampled_fft])
@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_weights_do_not_loosen_a_tight_frame(make, sigma) -> None:
    """Those of a reweighted round, far apart; without noise a few iterations do all the same."""
    rng = np.random.default_rng(0)
    n, m, k = 1024, 256, 30
    A = make(n, rng.permutation(n)[:m])
    x = np.zeros(n, dtype=A.dtype)
    x[rng.permutation(n)[:k]] = rng.standard_normal(k)
    e = rng.standard_normal(m)
    y = A @ x + sigma * e / np.linalg.norm(e)
    weights = 300 * 0.01 / (np.abs(x) + 0.01)
    result = bpdn(A, y, sigma, weights=weights, tol=1e-7)
    assert result.converged
    assert result.n_iter <= (5000 if sigma > 0 else 500)
    check_certificate(result, A @ np.eye(n), y, sigma, weights)
    if sigma == 0:
        np.testing.assert_allclose(result.x, x, atol=1e-6)


@pytest.mark.parametrize(("scale", "dtype"), [(1e-310, np.float64), (1e-50, np.float32)])
def test_weights_without_an_inverse_are_refused(scale, dtype) -> None:
    A = np.random.default_rng(0).standard_normal((4, 6)).astype(dtype)
    with pytest.raises(ValueError, match=f"weights is too small for {np.dtype(dtype)}"):
        basis_pursuit(A, A[:, 0], weights=np.full(6, scale))
