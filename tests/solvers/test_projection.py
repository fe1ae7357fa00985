"""Rows in a subspace, each with its corruption set aside: cvxpy's answer, and its laws."""

import cvxpy as cp
import numpy as np
import pytest
import scipy.optimize

from sparsecode.solvers import fista, reference, robust_projection


def basis(rank, n, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, max(rank, 1))))[0].T[:rank]


@pytest.mark.parametrize("rank", [0, 1, 4, 10])
def test_the_robust_projection_against_cvxpy(rank) -> None:
    rng = np.random.default_rng(7)
    V, alpha = basis(rank, 10), 0.3
    X = rng.standard_normal((5, rank)) @ V + 3 * (rng.random((5, 10)) < 0.2)
    z, result = robust_projection(X, V, alpha, tol=1e-12)
    P = np.eye(10) - V.T @ V
    best = reference.lasso(P, P @ X.T, alpha)
    np.testing.assert_allclose(result.x, best.x, atol=1e-3)
    np.testing.assert_allclose(z, (X - best.x.T) @ V.T, atol=1e-4)
    assert z.shape == (5, rank)
    assert result.converged


def test_the_robust_projection_is_huber_regression() -> None:
    rng = np.random.default_rng(8)
    V, alpha = basis(3, 25), 0.2
    x = rng.standard_normal(3) @ V + 0.1 * rng.standard_normal(25)
    x[:4] += 10
    z, _ = robust_projection(x[None], V, alpha, tol=1e-13)

    def huber(z):
        r = np.abs(x - z @ V)
        return np.sum(np.where(r <= alpha, 0.5 * r * r, alpha * r - 0.5 * alpha**2))

    best = scipy.optimize.minimize(
        huber, z[0] + 0.1, method="Powell", options={"ftol": 1e-15, "xtol": 1e-10}
    )
    assert huber(z[0]) <= best.fun * (1 + 1e-9)
    np.testing.assert_allclose(z[0], best.x, atol=1e-4)
    assert np.linalg.norm(z[0] - x @ V.T) > 0.5  # plain least squares is somewhere else


def test_rows_are_problems_of_their_own_and_large_spaces_work() -> None:
    rng = np.random.default_rng(9)
    V = basis(10, 300)
    X = rng.standard_normal((3, 10)) @ V
    X[:, :5] += 20
    z, result = robust_projection(X, V, 1e-2)
    assert result.converged
    alone = np.vstack([robust_projection(x[None], V, 1e-2)[0] for x in X])
    np.testing.assert_allclose(z, alone, atol=1e-3)
    everything, result = robust_projection(X, basis(300, 300), 1e-2)
    np.testing.assert_allclose(everything @ basis(300, 300), X, atol=1e-9)
    assert not result.x.any()


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_the_projection_has_no_favourite_scale(scale) -> None:
    X = np.random.default_rng(10).standard_normal((4, 12))
    V = basis(3, 12)
    z, _ = robust_projection(X, V, 0.3)
    scaled, _ = robust_projection(X * scale, V, 0.3 * scale)
    np.testing.assert_allclose(scaled / scale, z, atol=1e-5)


def test_single_precision_stays_single() -> None:
    X = np.random.default_rng(11).standard_normal((4, 12)).astype("f")
    z, result = robust_projection(X, basis(3, 12), 0.3, tol=1e-5)
    assert z.dtype == result.x.dtype == np.float32


@pytest.mark.parametrize(
    ("components", "message"),
    [
        (np.ones((2, 10)), "components has to have orthonormal rows"),
        (np.eye(3), "X has 10 features but components has 3"),
        (np.full((1, 10), np.nan), "components contains NaN"),
    ],
)
def test_components_that_are_none(components, message) -> None:
    with pytest.raises(ValueError, match=message):
        robust_projection(np.ones((2, 10)), components, 0.1)


def test_fista_is_what_certifies_it() -> None:
    X, V = np.random.default_rng(12).standard_normal((3, 8)), basis(2, 8)
    P = np.eye(8) - V.T @ V
    dense = fista(P, P @ X.T, 0.3, tol=1e-8)
    assert robust_projection(X, V, 0.3)[1].objective == pytest.approx(dense.objective, rel=1e-6)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_missing_entries_are_left_out(rank) -> None:
    rng = np.random.default_rng(13)
    V, alpha = basis(rank, 10), 0.3
    X = rng.standard_normal((6, rank)) @ V + 3 * (rng.random((6, 10)) < 0.2)
    X[rng.random(X.shape) < 0.3] = np.nan
    z, result = robust_projection(X, V, alpha, tol=1e-12, missing_values=np.nan)
    assert result.converged
    assert not result.x.T[np.isnan(X)].any()
    for x, coordinates, sparse in zip(X, z, result.x.T, strict=True):
        seen = ~np.isnan(x)
        u, s = cp.Variable(max(rank, 1)), cp.Variable(seen.sum())  # an old cvxpy has no empty ones
        left = x[seen] - s if rank == 0 else x[seen] - s - u @ V[:, seen]
        cost = 0.5 * cp.sum_squares(left) + alpha * cp.sum(cp.abs(s))
        cp.Problem(cp.Minimize(cost)).solve(solver=cp.CLARABEL)
        np.testing.assert_allclose(sparse[seen], s.value, atol=1e-5)
        np.testing.assert_allclose(coordinates, u.value if rank else [], atol=1e-5)
    alone = [robust_projection(x[None], V, alpha, missing_values=np.nan) for x in X]
    assert result.dual_gap <= 1e-11
    assert result.objective == pytest.approx(sum(one.objective for _, one in alone), rel=1e-8)


def test_too_few_entries_have_the_coordinates_of_least_norm() -> None:
    V = basis(3, 10)
    X = np.random.default_rng(14).standard_normal((3, 10))
    X[0], X[1, 2:], X[2, 1:] = np.nan, np.nan, np.nan
    z, result = robust_projection(X, V, 0.1, missing_values=np.nan)
    assert result.converged
    assert not z[0].any()
    np.testing.assert_allclose(z[1], X[1, :2] @ np.linalg.pinv(V[:, :2]), atol=1e-12)
    np.testing.assert_allclose(z[2], X[2, :1] @ np.linalg.pinv(V[:, :1]), atol=1e-12)
    unseen = np.hstack([V, np.zeros((3, 1))])  # an entry of which the subspace says nothing
    row = np.full((1, 11), np.nan)
    row[0, 10] = 5.0
    z, result = robust_projection(row, unseen, 0.1, missing_values=np.nan)
    assert not z.any()
    assert result.x[10, 0] == pytest.approx(4.9)


def test_a_rows_bits_depend_on_no_other_row_and_on_no_thread() -> None:
    rng = np.random.default_rng(15)
    V = basis(4, 30)
    X = rng.standard_normal((150, 4)) @ V + 5 * (rng.random((150, 30)) < 0.1)
    X[rng.random(X.shape) < 0.2] = np.nan
    options = {"alpha": 1e-2, "missing_values": np.nan}
    z, result = robust_projection(X, V, n_threads=2, **options)
    one, serial = robust_projection(X, V, n_threads=1, **options)
    assert z.tobytes() == one.tobytes()
    assert result.x.tobytes() == serial.x.tobytes()
    for rows in (slice(3, 4), slice(60, 150), slice(0, 150, 7)):
        some, part = robust_projection(X[rows], V, **options)
        np.testing.assert_array_equal(some, z[rows])
        np.testing.assert_array_equal(part.x, result.x[:, rows])


def test_nan_has_to_be_announced() -> None:
    X = np.ones((2, 10))
    X[1, 3] = np.nan
    with pytest.raises(ValueError, match=r"X contains NaN.*missing_values=np.nan"):
        robust_projection(X, basis(2, 10), 0.1)
    with pytest.raises(ValueError, match="missing_values has to be"):
        robust_projection(X, basis(2, 10), 0.1, missing_values=0.0)
    X[1, 3] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        robust_projection(X, basis(2, 10), 0.1, missing_values=np.nan)
