"""Signals that share their support: the pursuit beside the textbook, and the l2,1 norm."""

import functools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from sparsecode.operators import subsampled_dct
from sparsecode.penalties import L21
from sparsecode.solvers import Status, basis_pursuit, fista, omp, simultaneous_omp

M, N, K, SIGNALS = 20, 60, 8, 10


@functools.cache
def data(kind="d", m=M, n=N, k=K, noise=0.0):
    rng = np.random.default_rng(0)
    A, X = rng.standard_normal((m, n)), np.zeros((n, SIGNALS))
    support = np.sort(rng.permutation(n)[:k])
    X[support] = rng.standard_normal((k, SIGNALS))
    if kind in "FD":
        A, X = A + 1j * rng.standard_normal((m, n)), X * np.exp(1j * np.arange(SIGNALS))
    Y = A @ X + noise * rng.standard_normal((m, SIGNALS))
    return A.astype(kind), Y.astype(kind), X, support


def textbook(A, Y, k):
    chosen, R = [], Y
    for _ in range(k):
        score = np.linalg.norm(A.conj().T @ R, axis=1) / np.linalg.norm(A, axis=0)
        score[chosen] = 0
        chosen.append(int(np.argmax(score)))
        R = Y - A[:, chosen] @ np.linalg.lstsq(A[:, chosen], Y, rcond=None)[0]
    X = np.zeros((A.shape[1], Y.shape[1]), dtype=Y.dtype)
    X[chosen] = np.linalg.lstsq(A[:, chosen], Y, rcond=None)[0]
    return X


@pytest.mark.parametrize("kind", "dD")
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, aslinearoperator])
def test_it_is_that_of_the_textbook(kind, form) -> None:
    A, Y, _, _ = data(kind, noise=0.5)
    for k in (1, 5, 15):
        result = simultaneous_omp(form(A), Y, n_nonzero_coefs=k)
        exact = textbook(A, Y, k)
        np.testing.assert_allclose(result.x, exact, atol=1e-9)
        left = np.linalg.norm(Y - A @ exact)
        assert result.status is Status.COMPLETED
        assert result.n_iter == k
        assert result.objective == pytest.approx(0.5 * left**2)
        assert result.certificate == pytest.approx(left / np.linalg.norm(Y))


@pytest.mark.parametrize("kind", "dDf")
def test_of_one_signal_it_is_omp(kind) -> None:
    A, Y, _, _ = data(kind, noise=0.5)
    one = simultaneous_omp(A, Y[:, 0], n_nonzero_coefs=7)
    np.testing.assert_array_equal(one.x, omp(A, Y[:, 0], n_nonzero_coefs=7).x)
    column = simultaneous_omp(A, Y[:, :1], n_nonzero_coefs=7)
    np.testing.assert_allclose(column.x[:, 0], one.x, rtol=1e-4)
    assert one.x.dtype == column.x.dtype == kind


@pytest.mark.parametrize("kind", "dD")
def test_together_they_are_recovered_where_alone_they_are_not(kind) -> None:
    A, Y, X, support = data(kind)
    assert np.abs(omp(A, Y, n_nonzero_coefs=K).x - X).max() > 0.1
    for stop in ({"n_nonzero_coefs": K}, {"residual_tol": 1e-8}):
        result = simultaneous_omp(A, Y, **stop)
        np.testing.assert_allclose(result.x, X, atol=1e-10)
        np.testing.assert_array_equal(np.flatnonzero(result.x.any(axis=1)), support)


def test_an_error_is_that_of_all_signals() -> None:
    A, Y, _, _ = data(noise=0.5)
    for target in (20.0, 5.0, 0.5):
        result = simultaneous_omp(A, Y, residual_tol=target)
        assert result.status is Status.COMPLETED
        assert np.linalg.norm(Y - A @ result.x) <= target
        fewer = simultaneous_omp(A, Y, n_nonzero_coefs=result.n_iter - 1)
        assert np.linalg.norm(Y - A @ fewer.x) > target
    out_of_reach = simultaneous_omp(A[:, :5], Y, residual_tol=1e-3)
    assert out_of_reach.status is Status.EXHAUSTED
    assert not out_of_reach.converged
    nothing = simultaneous_omp(A, 0 * Y, n_nonzero_coefs=3)
    assert not nothing.x.any()
    assert nothing.certificate == nothing.n_iter == 0


@pytest.mark.parametrize(("a", "b"), [(1e-150, 1.0), (1e150, 1e-150), (1.0, 1e150)])
def test_any_scale(a, b) -> None:
    A, Y, _, _ = data(noise=0.5)
    plain = simultaneous_omp(A, Y, n_nonzero_coefs=5)
    scaled = simultaneous_omp(A * a, Y * b, n_nonzero_coefs=5)
    np.testing.assert_allclose(scaled.x * a / b, plain.x, rtol=1e-9, atol=1e-12)


def test_zero_and_duplicate_atoms_and_signals_of_different_size() -> None:
    A, Y, _, _ = data(noise=0.5)
    B = np.hstack([A, np.zeros((M, 1)), A])
    result = simultaneous_omp(B, Y, n_nonzero_coefs=M)
    assert np.count_nonzero(result.x.any(axis=1)) == M
    assert result.certificate < 1e-12
    loud = Y * np.r_[1e6, np.ones(SIGNALS - 1)]
    first = simultaneous_omp(A, loud, n_nonzero_coefs=5).x.any(axis=1)
    np.testing.assert_array_equal(first, omp(A, loud[:, 0], n_nonzero_coefs=5).x != 0)


@pytest.mark.parametrize("kind", "dD")
def test_the_l21_norm_of_one_signal_is_the_l1_norm(kind) -> None:
    A, Y, _, _ = data(kind, noise=0.5)
    plain = fista(A, Y[:, 0], alpha_ratio=0.1, tol=1e-10)
    for y in (Y[:, 0], Y[:, :1]):
        joint = fista(A, y, alpha_ratio=0.1, penalty=L21(), tol=1e-10)
        np.testing.assert_allclose(joint.x.ravel(), plain.x, atol=1e-5)
        assert joint.objective == pytest.approx(plain.objective, rel=1e-9)


def test_the_l21_norm_finds_a_common_support_through_an_operator() -> None:
    rng = np.random.default_rng(0)
    n, m, k = 256, 40, 14
    A, X = subsampled_dct(n, rng.permutation(n)[:m]), np.zeros((n, SIGNALS))
    support = np.sort(rng.permutation(n)[:k])
    X[support] = rng.choice([-1.0, 1.0], (k, SIGNALS))
    Y = A @ X
    assert np.abs(basis_pursuit(A, Y[:, 0], tol=1e-4).x - X[:, 0]).max() > 0.1
    result = fista(A, Y, alpha_ratio=1e-3, penalty=L21(), tol=1e-7)
    assert result.converged
    assert np.linalg.norm(result.x - X) <= 0.01 * np.linalg.norm(X)
    rows = np.linalg.norm(result.x, axis=1)
    np.testing.assert_array_equal(np.flatnonzero(rows > 0.5 * rows.max()), support)
