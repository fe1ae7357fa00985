"""The two solvers on working sets, against cvxpy, FISTA and brute force over their pieces."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from sparsecode.objectives import alpha_max
from sparsecode.penalties import L0, L1, ElasticNet
from sparsecode.solvers import coordinate_descent, fista, reference, semismooth_newton
from sparsecode.solvers._working_set import ColumnPool

N = 40
PENALTIES = {
    "l1": L1(),
    "weighted": L1(weights=np.linspace(0.5, 2, N)),
    "positive": L1(positive=True),
    "elastic net": ElasticNet(0.6),
    "positive elastic net": ElasticNet(0.6, positive=True),
}


@pytest.fixture(params=[coordinate_descent, semismooth_newton], ids=lambda f: f.__name__)
def solve(request):
    return request.param


@pytest.fixture
def system():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((25, N)) @ (np.eye(N) + 0.3 * rng.standard_normal((N, N)) / np.sqrt(N))
    return A, rng.standard_normal(25)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("ratio", [0.5, 0.1, 0.01])
def test_it_agrees_with_cvxpy(solve, system, name, ratio):
    A, y = system
    penalty = PENALTIES[name]
    found = solve(A, y, alpha_ratio=ratio, penalty=penalty, tol=1e-12)
    alpha = ratio * alpha_max(A, y, penalty)
    exact = reference.lasso(A, y, alpha, penalty=penalty)
    assert found.converged
    assert found.dual_gap <= 1e-12 * 0.5 * y @ y
    assert abs(found.objective - exact.objective) <= 1e-7 * exact.objective


@pytest.mark.parametrize("shape", [(60, 400), (200, 80), (1, 30), (30, 1)])
@pytest.mark.parametrize("ratio", [0.3, 0.02])
def test_it_agrees_with_fista(solve, shape, ratio):
    rng = np.random.default_rng(1)
    A, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    found = solve(A, y, alpha_ratio=ratio, tol=1e-11)
    other = fista(A, y, alpha_ratio=ratio, tol=1e-11, max_iter=200_000)
    assert found.converged
    assert abs(found.objective - other.objective) <= 1e-9 * (0.5 * y @ y)


def test_dependent_columns_are_legal(solve, system):
    A, y = system
    repeated = np.column_stack([A, A[:, :10], np.zeros((25, 3))])
    found = solve(repeated, y, alpha_ratio=0.02, tol=1e-9)
    plain = solve(A, y, alpha_ratio=0.02, tol=1e-9)
    assert found.converged
    assert np.isclose(found.objective, plain.objective, rtol=1e-7)


def test_the_matrix_may_be_sparse_fortran_float32_or_an_operator(solve, system):
    A, y = system
    plain = solve(A, y, alpha_ratio=0.1, tol=1e-10)
    matrices = sp.csr_array(A), sp.csc_array(A), np.asfortranarray(A), A[::-1][::-1]
    for matrix in (*matrices, aslinearoperator(A)):
        np.testing.assert_allclose(
            solve(matrix, y, alpha_ratio=0.1, tol=1e-10).x, plain.x, atol=1e-8
        )
    single = solve(A.astype("f"), y.astype("f"), alpha_ratio=0.1, tol=1e-5)
    assert single.x.dtype == np.float32
    np.testing.assert_allclose(single.x, plain.x, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e150])
def test_it_has_no_favourite_scale(solve, system, scale):
    A, y = system
    plain = solve(A, y, alpha_ratio=0.1, tol=1e-10)
    scaled = solve(A, y * scale, alpha_ratio=0.1, tol=1e-10)
    np.testing.assert_allclose(scaled.x / scale, plain.x, rtol=1e-9, atol=1e-12)


def test_a_good_start_is_used(solve, system):
    A, y = system
    first = solve(A, y, alpha_ratio=0.05, tol=1e-10)
    again = solve(A, y, alpha_ratio=0.05, tol=1e-10, init=first.x)
    assert again.n_iter == 1
    np.testing.assert_allclose(again.x, first.x, atol=1e-9)


def test_zero_signals_and_large_weights_give_zero(solve, system):
    A, y = system
    assert not solve(A, 0 * y, alpha=1.0).x.any()
    assert not solve(A, y, alpha_ratio=1.0).x.any()


def test_what_it_does_not_take_it_names(solve, system):
    A, y = system
    for arguments, error, words in (
        ((A, np.column_stack([y, y])), ValueError, "sparse_encode"),
        ((A * 1j, y), ValueError, "use fista"),
    ):
        with pytest.raises(error, match=words):
            solve(*arguments, alpha=1.0)
    for penalty in (L0(), ElasticNet(0.0)):
        with pytest.raises(ValueError, match="use fista"):
            solve(A, y, alpha=1.0, penalty=penalty)


def test_the_pool_keeps_its_gram_matrix(system):
    A, y = system
    for matrix in (A, sp.csr_array(A), aslinearoperator(A)):
        pool = ColumnPool(matrix, y)
        for members in ([3, 1], [0, 7, 20, 3], list(range(21, 40))):
            gram, correlation = pool.normal_equations(np.array(members))
            np.testing.assert_allclose(gram, A[:, members].T @ A[:, members], atol=1e-12)
            np.testing.assert_allclose(correlation, A[:, members].T @ y, atol=1e-12)


@pytest.mark.parametrize("n_nonzero", [0, 2, 30])
def test_what_depends_on_the_coefficients(system, n_nonzero):
    A, y = system
    x = np.zeros(N)
    x[:n_nonzero] = 1
    pool = ColumnPool(A, y)
    pool.normal_equations(np.arange(35))
    at = pool.at(x)
    np.testing.assert_allclose(at.Ax, A @ x, atol=1e-12)
    np.testing.assert_allclose(at.correlation, A.T @ (y - A @ x), atol=1e-12)
