"""Coordinate descent on working sets, against cvxpy, FISTA and brute force over its pieces."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from sparsecode.objectives import alpha_max
from sparsecode.penalties import L0, L1, ElasticNet
from sparsecode.solvers import coordinate_descent, fista, reference
from sparsecode.solvers.coordinate import WorkingSet, _least_point

N = 40
PENALTIES = {
    "l1": L1(),
    "weighted": L1(weights=np.linspace(0.5, 2, N)),
    "positive": L1(positive=True),
    "elastic net": ElasticNet(0.6),
}


@pytest.fixture
def system():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((25, N)) @ (np.eye(N) + 0.3 * rng.standard_normal((N, N)) / np.sqrt(N))
    return A, rng.standard_normal(25)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("ratio", [0.5, 0.1, 0.01])
def test_it_agrees_with_cvxpy(system, name, ratio):
    A, y = system
    penalty = PENALTIES[name]
    found = coordinate_descent(A, y, alpha_ratio=ratio, penalty=penalty, tol=1e-12)
    alpha = ratio * alpha_max(A, y, penalty)
    exact = reference.lasso(A, y, alpha, penalty=penalty)
    assert found.converged
    assert found.dual_gap <= 1e-12 * 0.5 * y @ y
    assert abs(found.objective - exact.objective) <= 1e-7 * exact.objective


@pytest.mark.parametrize("shape", [(60, 400), (200, 80), (1, 30), (30, 1)])
@pytest.mark.parametrize("ratio", [0.3, 0.02])
def test_it_agrees_with_fista(shape, ratio):
    rng = np.random.default_rng(1)
    A, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    found = coordinate_descent(A, y, alpha_ratio=ratio, tol=1e-11)
    other = fista(A, y, alpha_ratio=ratio, tol=1e-11, max_iter=200_000)
    assert found.converged
    assert abs(found.objective - other.objective) <= 1e-9 * (0.5 * y @ y)


def test_dependent_columns_are_legal(system):
    A, y = system
    repeated = np.column_stack([A, A[:, :10], np.zeros((25, 3))])
    found = coordinate_descent(repeated, y, alpha_ratio=0.02, tol=1e-9)
    plain = coordinate_descent(A, y, alpha_ratio=0.02, tol=1e-9)
    assert found.converged
    assert np.isclose(found.objective, plain.objective, rtol=1e-7)


def test_the_matrix_may_be_sparse_fortran_or_float32(system):
    A, y = system
    plain = coordinate_descent(A, y, alpha_ratio=0.1, tol=1e-10)
    for matrix in (sp.csr_array(A), sp.csc_array(A), np.asfortranarray(A), A[::-1][::-1]):
        np.testing.assert_allclose(
            coordinate_descent(matrix, y, alpha_ratio=0.1, tol=1e-10).x, plain.x, atol=1e-8
        )
    single = coordinate_descent(A.astype("f"), y.astype("f"), alpha_ratio=0.1, tol=1e-5)
    assert single.x.dtype == np.float32
    np.testing.assert_allclose(single.x, plain.x, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e150])
def test_it_has_no_favourite_scale(system, scale):
    A, y = system
    plain = coordinate_descent(A, y, alpha_ratio=0.1, tol=1e-10)
    scaled = coordinate_descent(A, y * scale, alpha_ratio=0.1, tol=1e-10)
    np.testing.assert_allclose(scaled.x / scale, plain.x, rtol=1e-9, atol=1e-12)


def test_a_good_start_is_used(system):
    A, y = system
    first = coordinate_descent(A, y, alpha_ratio=0.05, tol=1e-10)
    again = coordinate_descent(A, y, alpha_ratio=0.05, tol=1e-10, init=first.x)
    assert again.n_iter == 1
    np.testing.assert_allclose(again.x, first.x, atol=1e-9)


def test_zero_signals_and_large_weights_give_zero(system):
    A, y = system
    assert not coordinate_descent(A, 0 * y, alpha=1.0).x.any()
    assert not coordinate_descent(A, y, alpha_ratio=1.0).x.any()


def test_what_it_does_not_take_it_names(system):
    A, y = system
    for arguments, error, words in (
        ((aslinearoperator(A), y), TypeError, "use fista"),
        ((A, np.column_stack([y, y])), ValueError, "sparse_encode"),
        ((A * 1j, y), ValueError, "use fista"),
    ):
        with pytest.raises(error, match=words):
            coordinate_descent(*arguments, alpha=1.0)
    for penalty in (L0(), ElasticNet(0.0)):
        with pytest.raises(ValueError, match="use fista"):
            coordinate_descent(A, y, alpha=1.0, penalty=penalty)


def test_a_working_set_keeps_its_gram_matrix(system):
    A, y = system
    working = WorkingSet(A, y)
    for new in ([3, 1], [0, 7, 20], list(range(21, 40))):
        working.grow(np.array(new))
        columns = A[:, working.members]
        np.testing.assert_allclose(working.gram, columns.T @ columns, atol=1e-12)
        np.testing.assert_allclose(working.correlation, columns.T @ y, atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_least_point_of_a_segment(seed):
    """Against a fine grid over the segment."""
    rng = np.random.default_rng(seed)
    x, threshold = rng.standard_normal(6), rng.uniform(0.1, 1, 6)
    B = rng.standard_normal((8, 6))
    H = B.T @ B
    downhill = 5 * rng.standard_normal(6)
    direction = np.linalg.solve(H, downhill)

    def rise(t):
        bent = threshold @ (np.abs(x + t * direction) - np.abs(x) - np.sign(x) * t * direction)
        return -t * downhill @ direction + 0.5 * t * t * direction @ H @ direction + bent

    step, stopped = _least_point(x, direction, threshold, float(downhill @ direction))
    assert rise(step) <= min(rise(t) for t in np.linspace(0, 1, 2001)) + 1e-9
    assert np.all(np.abs(x + step * direction)[stopped] < 1e-12)
