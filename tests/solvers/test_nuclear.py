"""Thresholded singular values and completion: against the full decomposition and cvxpy."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.solvers import complete, singular_value_threshold


def exact(X, t):
    U, s, Vt = np.linalg.svd(X.astype("d"), full_matrices=False)
    return (U * np.maximum(s - t, 0)) @ Vt, np.maximum(s - t, 0)


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 8), (400, 300), (900, 200), (200, 900)])
def test_the_threshold_against_the_full_decomposition(shape, kind) -> None:
    rng = np.random.default_rng(0)
    r = min(6, *shape)
    X = rng.standard_normal((shape[0], r)) @ rng.standard_normal((r, shape[1]))
    X = (X + 0.01 * rng.standard_normal(shape)).astype(kind)
    for t in (0.0, 1.0, np.linalg.norm(X, 2) * 0.9, np.linalg.norm(X, 2) * 1.1):
        result = singular_value_threshold(X, t)
        Y = (result.U * result.singular_values) @ result.Vt
        best, s = exact(X, t)
        scale = float(np.linalg.norm(X))
        assert np.linalg.norm(Y - best) <= (1e-3 if kind == "d" else 2e-3) * scale
        assert result.certificate <= 1e-6
        assert result.singular_values.size == np.count_nonzero(s > 1e-5 * scale) or t == 0.0
        assert np.all(result.singular_values > 0)
        assert result.U.dtype == result.Vt.dtype == kind
        assert result.error == pytest.approx(np.linalg.norm(X - Y), rel=1e-3, abs=1e-5 * scale)


def test_the_certificate_bounds_the_distance() -> None:
    # The objective is strongly convex: 0.5 ||Y - best||^2 is at most the gap.
    X = np.random.default_rng(1).standard_normal((260, 240))
    for tol in (1e-2, 1e-4, 1e-8):
        result = singular_value_threshold(X, 25.0, tol=tol)
        Y = (result.U * result.singular_values) @ result.Vt
        gap = result.certificate * 0.5 * np.linalg.norm(X) ** 2
        assert 0.5 * np.linalg.norm(Y - exact(X, 25.0)[0]) ** 2 <= gap * 1.01 + 1e-9
        assert result.certificate <= tol


SIZE = 450  # large enough for a subspace
DENSE = {
    "slow": np.arange(1, SIZE + 1) ** -0.5,
    "flat": np.linspace(1, 0.9, SIZE),
    "many equal": np.r_[np.ones(40), np.full(SIZE - 40, 0.5)],
}


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("share", [0.97, 0.3, 0.11, 0.0])  # none of them a singular value
def test_nothing_above_the_threshold_is_missed_where_values_are_dense(name, share, kind) -> None:
    s = DENSE[name]
    rng = np.random.default_rng(7)
    U, V = (np.linalg.qr(rng.standard_normal((size, SIZE)))[0] for size in (SIZE + 20, SIZE))
    X, best = (((U * values) @ V.T).astype(kind) for values in (s, np.maximum(s - share, 0)))
    result = singular_value_threshold(X, share)
    assert result.converged
    assert result.singular_values.size == np.count_nonzero(s > share)
    Y = (result.U.astype("d") * result.singular_values) @ result.Vt
    gap, rounding = result.certificate * 0.5 * np.sum(s**2), np.finfo(kind).eps ** 2 * np.sum(s**2)
    assert 0.5 * np.linalg.norm(Y - best) ** 2 <= gap + 100 * rounding
    assert result.error == pytest.approx(np.linalg.norm(X - Y), rel=1e-4, abs=1e-4)
    if result.singular_values.size < 50:
        assert result.n_iter < 14
    else:  # the subspace would be half of all: the exact decomposition
        assert result.certificate == 0


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200])
def test_scale(scale) -> None:
    X = np.random.default_rng(2).standard_normal((30, 20))
    plain, scaled = (singular_value_threshold(X * c, 3.0 * c) for c in (1.0, scale))
    np.testing.assert_allclose(scaled.singular_values / scale, plain.singular_values, rtol=1e-9)


def test_zero() -> None:
    result = singular_value_threshold(np.zeros((3, 4)), 1.0)
    assert result.singular_values.size == result.certificate == result.error == 0
    with pytest.raises(ValueError, match="threshold"):
        singular_value_threshold(np.eye(3), -1.0)


@pytest.mark.parametrize("ratio", [0.05, 0.3, 1.0])
def test_completion_against_cvxpy(ratio) -> None:
    import cvxpy as cp

    rng = np.random.default_rng(3)
    X = rng.standard_normal((9, 2)) @ rng.standard_normal((2, 7))
    X[rng.random(X.shape) < 0.3] = np.nan
    result = complete(X, alpha_ratio=ratio, tol=1e-9)
    known = np.nan_to_num(X)
    assert result.alpha == pytest.approx(ratio * np.linalg.norm(known, 2))
    L = cp.Variable(X.shape)
    fit = cp.sum_squares(cp.multiply(~np.isnan(X), L - known))
    problem = cp.Problem(cp.Minimize(0.5 * fit + result.alpha * cp.normNuc(L)))
    problem.solve(solver=cp.CLARABEL)
    assert result.converged
    assert result.objective == pytest.approx(problem.value, rel=1e-6)
    np.testing.assert_allclose(result.matrix, L.value, atol=1e-3)
    same = complete(X, alpha=result.alpha, tol=1e-9)
    np.testing.assert_allclose(same.matrix, result.matrix, atol=1e-6)


@pytest.mark.parametrize("kind", ["f", "d"])
def test_a_low_rank_matrix_comes_back(kind) -> None:
    X, low_rank, _ = make_low_rank_plus_sparse(
        200, n_features=180, rank=4, density=0.0, missing=0.4, random_state=4
    )
    result = complete(X.astype(kind), alpha_ratio=1e-3, tol=1e-5)
    assert result.converged
    assert result.rank == 4
    assert result.matrix.dtype == kind
    assert np.linalg.norm(result.matrix - low_rank) < 5e-3 * np.linalg.norm(low_rank)
    V = result.components
    np.testing.assert_allclose(V @ V.T, np.eye(4), atol=1e-5)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_completion_at_any_scale(scale) -> None:
    X, _, _ = make_low_rank_plus_sparse(30, rank=2, density=0.0, missing=0.3, random_state=5)
    plain, scaled = (complete(X * c, alpha_ratio=0.01) for c in (1.0, scale))
    np.testing.assert_allclose(scaled.matrix / scale, plain.matrix, atol=1e-9)


def test_the_end_of_iterations_is_said() -> None:
    X, _, _ = make_low_rank_plus_sparse(30, rank=2, density=0.0, missing=0.3, random_state=6)
    with pytest.warns(ConvergenceWarning, match="complete did not converge"):
        complete(X, alpha_ratio=1e-3, max_iter=2, tol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one"),
        ({"alpha": 1.0, "alpha_ratio": 0.5}, "exactly one"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha_ratio": 2.0}, "alpha_ratio"),
        ({"alpha": 1.0, "X": [[np.nan, 1.0], [np.nan, 2.0]]}, "column 0 of X has no observed"),
        ({"alpha": 1.0, "X": [[np.inf, 1.0]]}, "X contains"),
    ],
)
def test_bad_input_is_one_clear_error(options, message) -> None:
    options = {"X": np.eye(3), **options}
    with pytest.raises(ValueError, match=message):
        complete(options.pop("X"), **options)


def test_nothing_to_complete() -> None:
    result = complete(np.zeros((3, 4)), alpha=1.0)
    assert result.converged
    assert result.rank == 0
    assert not result.matrix.any()
