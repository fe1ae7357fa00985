"""What sets ista and fista apart; the laws that both obey are in test_registry_laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet as SklearnElasticNet
from sklearn.linear_model import Lasso

from sparsecode import penalties
from sparsecode.operators import subsampled_dct
from sparsecode.solvers import fista, ista, reference


def correlated(m, n, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) + 2 * rng.standard_normal((m, 1))
    return A, A[:, :3] @ [3.0, -2.0, 1.0] + rng.standard_normal(m)


def test_a_gap_of_1e_minus_10_on_200_by_1000_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((200, 1000))
    y = A[:, :20] @ rng.standard_normal(20) + 0.1 * rng.standard_normal(200)
    result = fista(A, y, alpha_ratio=0.05, tol=1e-10)
    assert result.converged
    assert result.dual_gap <= 1e-10 * 0.5 * y @ y
    alpha = 0.05 * np.max(np.abs(A.T @ y))
    theirs = Lasso(alpha / 200, fit_intercept=False, tol=1e-10, max_iter=100_000).fit(A, y).coef_
    np.testing.assert_allclose(result.x, theirs, atol=1e-5)


@pytest.mark.slow
def test_a_gap_of_1e_minus_10_on_200_by_1000_agrees_with_cvxpy() -> None:
    rng = np.random.default_rng(1)
    A = rng.standard_normal((200, 1000))
    y = A[:, :20] @ rng.standard_normal(20) + 0.1 * rng.standard_normal(200)
    alpha = 0.05 * float(np.max(np.abs(A.T @ y)))
    result, best = fista(A, y, alpha, tol=1e-10), reference.lasso(A, y, alpha)
    assert result.objective == pytest.approx(best.objective, rel=1e-8)
    np.testing.assert_allclose(result.x, best.x, atol=1e-4)


def test_the_elastic_net_is_scikit_learns() -> None:
    A, y = correlated(40, 15)
    ours = fista(A, y, 5.0, penalty=penalties.ElasticNet(0.7), tol=1e-12).x
    theirs = SklearnElasticNet(5.0 / 40, l1_ratio=0.7, fit_intercept=False, tol=1e-12)
    np.testing.assert_allclose(ours, theirs.fit(A, y).coef_, atol=1e-6)


def test_every_step_of_ista_lowers_the_objective() -> None:
    A, y = correlated(10, 30)
    with pytest.warns(ConvergenceWarning):
        result = ista(A, y, alpha_ratio=0.05, tol=0.0, max_iter=300)
    objectives = result.history["objective"]
    assert len(objectives) > 10
    assert np.all(np.diff(objectives) <= 1e-12 * objectives[0])


def textbook_fista(A, y, alpha, n_iter):
    """Beck and Teboulle (2009), with every product written out and no restart."""
    step = 1 / np.linalg.norm(A, 2) ** 2
    x = z = np.zeros(A.shape[1])
    t = 1.0
    while n_iter > 0:
        v = z - step * A.T @ (A @ z - y)
        x_old, x = x, np.sign(v) * np.maximum(np.abs(v) - step * alpha, 0)
        t_old, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
        z = x + (t_old - 1) / t * (x - x_old)
        n_iter -= 1
    return x


@pytest.mark.parametrize("n_iter", [1, 2, 3, 6])
def test_until_it_restarts_fista_is_the_textbooks(n_iter) -> None:
    A, y = correlated(20, 30)
    with pytest.warns(ConvergenceWarning):
        x = fista(A, y, 2.0, tol=0.0, max_iter=n_iter).x
    np.testing.assert_allclose(x, textbook_fista(A, y, 2.0, n_iter), atol=1e-12)


def test_the_restart_makes_it_linear_on_strongly_convex_problems() -> None:
    A, y = correlated(80, 15)
    result = fista(A, y, 5.0, tol=1e-12)
    best = fista(A, y, 5.0, tol=1e-14).objective
    plain = textbook_fista(A, y, 5.0, 2 * result.n_iter)
    excess = 0.5 * np.sum((y - A @ plain) ** 2) + 5.0 * np.sum(np.abs(plain)) - best
    assert result.objective - best < 0.1 * excess


def test_momentum_pays_on_correlated_columns() -> None:
    A, y = correlated(30, 60)
    fast = fista(A, y, alpha_ratio=0.01, tol=1e-6, max_iter=100_000)
    slow = ista(A, y, alpha_ratio=0.01, tol=1e-6, max_iter=100_000)
    assert fast.objective == pytest.approx(slow.objective, rel=1e-5)
    assert fast.n_iter < 0.5 * slow.n_iter


def test_the_matrix_is_only_touched_through_products() -> None:
    """A subsampled transform of a size whose dense form is never wanted."""
    n, rng = 4096, np.random.default_rng(2)
    A = subsampled_dct(n, np.sort(rng.permutation(n)[:1024]))
    x = np.zeros(n)
    x[rng.permutation(n)[:30]] = rng.choice([-1.0, 1.0], 30) * rng.uniform(1, 2, 30)
    result = fista(A, A @ x, alpha_ratio=1e-3, tol=1e-8)
    assert result.converged
    np.testing.assert_allclose(result.x, x, atol=0.02)


def test_products_an_iteration() -> None:
    counts = {"forward": 0, "backward": 0}
    A, y = correlated(300, 310)

    class Counted:
        shape, dtype = A.shape, A.dtype

        def matvec(self, x):
            counts["forward"] += 1
            return A @ x

        def rmatvec(self, r):
            counts["backward"] += 1
            return A.T @ r

    def spent(max_iter):
        counts.update(forward=0, backward=0)
        fista(
            Counted(),
            y,
            alpha_ratio=0.5,
            tol=1e-300,
            max_iter=max_iter,
            callback=lambda row: row["n_iter"] == max_iter,
        )
        return counts["forward"], counts["backward"]

    few, many = spent(10), spent(110)
    assert many[0] - few[0] == 100  # one forward product an iteration
    assert many[1] - few[1] == 110  # one backward, and one for each check


def test_the_arguments_are_left_alone() -> None:
    A, y = correlated(5, 7)
    init = np.ones(7)
    copies = A.copy(), y.copy(), init.copy()
    fista(A, y, alpha_ratio=0.1, init=init)
    fista(A * 1e200, y, alpha_ratio=0.1)
    for now, before in zip((A, y, init), copies, strict=True):
        np.testing.assert_array_equal(now, before)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    m=st.integers(1, 8),
    n=st.integers(1, 8),
    k=st.one_of(st.none(), st.integers(1, 3)),
    kind=st.sampled_from("fdFD"),
    order=st.sampled_from("CF"),
    ratio=st.floats(0.05, 1.0),
    operator=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_any_shape_dtype_and_order(m, n, k, kind, order, ratio, operator, seed) -> None:
    rng = np.random.default_rng(seed)
    tail = () if k is None else (k,)
    A, y = rng.standard_normal((m, n)), rng.standard_normal((m, *tail))
    if kind in "FD":
        A, y = A + 1j * rng.standard_normal(A.shape), y + 1j * rng.standard_normal(y.shape)
    A, y = np.array(A, dtype=kind, order=order), np.array(y, dtype=kind, order=order)
    result = fista(
        aslinearoperator(A) if operator else A, y, alpha_ratio=ratio, tol=1e-4, max_iter=100_000
    )
    assert result.converged
    assert result.x.shape == (n, *tail)
    assert result.x.dtype == kind
    # KKT: no correlation with the residual above alpha, whatever the solver believes.
    alpha = ratio * np.max(np.abs(A.conj().T @ y))
    correlation = np.abs(A.conj().T @ (y - A @ result.x))
    slack = np.linalg.norm(A, 2) * np.sqrt(2e-4) * np.linalg.norm(y)
    assert np.all(correlation <= alpha + slack)
