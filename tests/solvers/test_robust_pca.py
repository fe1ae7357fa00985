"""Robust PCA: the recovery of Candes et al., cvxpy's optimum, and the duality gap between."""

import tracemalloc

import cvxpy as cp
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.objectives import pcp_objective
from sparsecode.solvers import (
    Status,
    alternating_projections,
    principal_component_pursuit,
    reference,
)


def corrupted(seed, m=8, n=9, rank=2):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n))
    X[rng.random((m, n)) < 0.1] += 5
    return X


@pytest.mark.slow
def test_the_experiment_of_candes_li_ma_and_wright() -> None:
    X, low_rank, sparse = make_low_rank_plus_sparse(500, rank=25, density=0.05, random_state=0)
    result = principal_component_pursuit(X)
    assert result.converged
    assert result.rank == 25
    assert np.linalg.norm(result.low_rank - low_rank) < 1e-5 * np.linalg.norm(low_rank)
    assert result.n_svd == result.n_iter <= 20
    np.testing.assert_array_equal(result.sparse != 0, sparse != 0)


@pytest.mark.slow
@pytest.mark.parametrize("signs", ["random", "coherent"])
@pytest.mark.parametrize("kind", ["f", "d"])
def test_recovery_elsewhere(signs, kind) -> None:
    X, low_rank, _ = make_low_rank_plus_sparse(
        200, n_features=120, rank=6, density=0.1, signs=signs, random_state=1
    )
    result = principal_component_pursuit(X.astype(kind))
    assert result.converged
    assert result.low_rank.dtype == result.sparse.dtype == result.components.dtype == kind
    assert result.rank == 6
    assert np.linalg.norm(result.low_rank - low_rank) < 1e-4 * np.linalg.norm(low_rank)
    assert result.dual_gap < 1e-2


@pytest.mark.parametrize("alpha", [None, 0.2, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_where_nothing_is_recovered_it_still_is_the_optimum(seed, alpha) -> None:
    X = corrupted(seed)
    result = principal_component_pursuit(X, alpha=alpha)
    best = reference.principal_component_pursuit(X, alpha=alpha)
    alpha = 1 / np.sqrt(9) if alpha is None else alpha
    objective = pcp_objective(result.low_rank, X - result.low_rank, alpha)
    assert result.converged
    assert objective == pytest.approx(best.objective, rel=1e-3)
    # dual_gap is relative to the objective of the exact split, and a bound.
    assert 0 <= result.dual_gap <= 1e-2
    assert (1 - result.dual_gap) * objective <= best.objective * (1 + 1e-7)


@pytest.mark.parametrize("shape", [(8, 9), (9,), (8, 1)])
def test_weights_against_cvxpy(shape) -> None:
    X, weights = corrupted(9), np.random.default_rng(10).uniform(0.5, 2, shape)
    result = principal_component_pursuit(X, weights=weights)
    best = reference.principal_component_pursuit(X, weights=weights)
    objective = pcp_objective(result.low_rank, X - result.low_rank, 1 / 3, weights)
    assert result.converged
    assert result.dual_gap <= 1e-2
    assert objective == pytest.approx(best.objective, rel=1e-3)
    assert (1 - result.dual_gap) * objective <= best.objective * (1 + 1e-7)
    plain = principal_component_pursuit(X)
    assert np.linalg.norm(plain.low_rank - result.low_rank) > 1e-2 * np.linalg.norm(X)


def test_weights_that_are_all_the_same_are_alpha() -> None:
    X = corrupted(11)
    result = principal_component_pursuit(X, alpha=0.2, weights=np.full(X.shape, 2.0))
    assert result.sparse.tobytes() == principal_component_pursuit(X, alpha=0.4).sparse.tobytes()


def test_the_gap_is_a_bound_long_before_the_end() -> None:
    X = corrupted(5)
    best = reference.principal_component_pursuit(X).objective
    for max_iter in (1, 3, 10, 30):
        with pytest.warns(ConvergenceWarning, match="principal_component_pursuit did not converge"):
            result = principal_component_pursuit(X, max_iter=max_iter)
        objective = pcp_objective(result.low_rank, X - result.low_rank, 1 / 3)
        assert (1 - result.dual_gap) * objective <= best * (1 + 1e-7)
        assert result.status is Status.MAX_ITER


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(700, 170), (170, 700), (260, 240)])
def test_partial_decompositions_lead_to_the_same_split(shape, kind) -> None:
    X, low_rank, sparse = make_low_rank_plus_sparse(
        shape[0], n_features=shape[1], rank=5, density=0.05, random_state=6
    )
    result = principal_component_pursuit(X.astype(kind))
    assert result.converged
    assert result.rank == 5
    assert np.linalg.norm(result.low_rank - low_rank) < 1e-4 * np.linalg.norm(low_rank)
    assert result.dual_gap < 1e-2
    V = result.components
    np.testing.assert_allclose(V @ V.T, np.eye(5), atol=1e-5 if kind == "f" else 1e-12)
    residual = np.linalg.norm(X - result.low_rank - result.sparse) / np.linalg.norm(X)
    assert residual < (1e-7 if kind == "d" else 2e-6)
    if kind == "d":
        np.testing.assert_array_equal(result.sparse != 0, sparse != 0)
        s = np.linalg.svd(result.low_rank, compute_uv=False)
        np.testing.assert_allclose(result.singular_values, s[:5], rtol=1e-8)


@pytest.mark.parametrize("solve", [principal_component_pursuit, alternating_projections])
def test_a_tall_matrix_takes_less_than_six_times_its_memory(solve) -> None:
    X, _, _ = make_low_rank_plus_sparse(
        20_000, n_features=200, rank=3, density=0.1, random_state=10
    )
    arguments = [3] if solve is alternating_projections else []
    tracemalloc.start()
    result = solve(X, *arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.rank == 3
    assert peak < 5 * X.nbytes  # beside the input; the two parts of the answer are among them


@pytest.mark.parametrize("alpha", [None, 0.3])
def test_missing_entries_against_cvxpy(alpha) -> None:
    X = corrupted(7)
    X[np.random.default_rng(8).random(X.shape) < 0.2] = np.nan
    result = principal_component_pursuit(X, alpha=alpha, missing_values=np.nan, tol=1e-8)
    weight, known = 1 / 3 if alpha is None else alpha, ~np.isnan(X)
    L, S = cp.Variable(X.shape), cp.Variable(X.shape)
    same = cp.multiply(known, L + S) == np.nan_to_num(X)
    problem = cp.Problem(cp.Minimize(cp.normNuc(L) + weight * cp.sum(cp.abs(S))), [same])
    problem.solve(solver=cp.CLARABEL)
    split = pcp_objective(result.low_rank, np.where(known, X - result.low_rank, 0), weight)
    assert split == pytest.approx(problem.value, rel=1e-2)
    assert (1 - result.dual_gap) * split <= problem.value * (1 + 1e-7)
    assert not result.sparse[~known].any()
    np.testing.assert_allclose((result.low_rank + result.sparse)[known], X[known], atol=1e-6)


def test_missing_entries_of_a_large_matrix_are_found() -> None:
    X, low_rank, sparse = make_low_rank_plus_sparse(
        200, rank=4, density=0.05, missing=0.2, random_state=9
    )
    result = principal_component_pursuit(X, missing_values=np.nan)
    assert result.rank == 4
    assert np.linalg.norm(result.low_rank - low_rank) < 1e-4 * np.linalg.norm(low_rank)
    known = ~np.isnan(X)
    np.testing.assert_array_equal(result.sparse[known] != 0, sparse[known] != 0)


def test_many_errors_are_split_off_at_a_low_rank() -> None:
    X, low_rank, sparse = make_low_rank_plus_sparse(300, rank=3, density=0.35, random_state=0)
    result = principal_component_pursuit(X)
    assert result.converged
    assert result.dual_gap <= 1e-2
    assert np.linalg.norm(result.low_rank - low_rank) < 1e-5 * np.linalg.norm(low_rank)
    assert np.mean((result.sparse != 0) != (sparse != 0)) < 1e-3
    residual = np.linalg.norm(X - result.low_rank - result.sparse) / np.linalg.norm(X)
    assert residual == pytest.approx(result.certificate, rel=1e-3)
    # The multipliers alone take 123 decompositions, most of them whole.
    assert result.n_svd < 100
    assert np.count_nonzero(result.history["rank"] > 100) < 5


@pytest.mark.parametrize("tol", [1e-7, 1e-3])
def test_what_has_no_low_rank_is_split_all_the_same(tol) -> None:
    X = np.random.default_rng(12).standard_normal((160, 155))
    result = principal_component_pursuit(X, tol=tol)
    assert result.converged
    assert result.dual_gap <= 1e-2
    assert np.linalg.norm(X - result.low_rank - result.sparse) <= tol * np.linalg.norm(X) * 1.01


def test_the_parts_of_the_result_fit_together() -> None:
    X, _, _ = make_low_rank_plus_sparse(60, n_features=40, rank=3, density=0.05, random_state=2)
    result = principal_component_pursuit(X)
    residual = np.linalg.norm(X - result.low_rank - result.sparse) / np.linalg.norm(X)
    assert residual == pytest.approx(result.certificate, rel=1e-3, abs=1e-15)
    assert residual <= 1e-7
    assert np.linalg.matrix_rank(result.low_rank, tol=1e-8) == result.rank == 3
    s = np.linalg.svd(result.low_rank, compute_uv=False)
    np.testing.assert_allclose(result.singular_values, s[:3], rtol=1e-10)
    V = result.components
    np.testing.assert_allclose(V @ V.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(result.low_rank @ V.T @ V, result.low_rank, atol=1e-12)
    assert result.objective == pytest.approx(
        pcp_objective(result.low_rank, result.sparse, 1 / np.sqrt(60)), rel=1e-12
    )
    assert len(result.history["rank"]) == result.n_iter


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(1, 1), (4, 3), (1, 6)])
def test_nothing_is_split_into_nothing(shape, kind) -> None:
    result = principal_component_pursuit(np.zeros(shape, kind))
    assert result.converged
    assert result.rank == result.n_svd == result.objective == result.dual_gap == 0
    assert result.low_rank.shape == result.sparse.shape == shape
    assert not result.low_rank.any()
    assert not result.sparse.any()
    assert result.components.shape == (0, shape[1])


def test_a_constant_matrix_is_low_rank() -> None:
    result = principal_component_pursuit(np.full((20, 30), 3.0))
    assert result.rank == 1
    np.testing.assert_allclose(result.low_rank, 3.0, rtol=1e-7)
    assert np.abs(result.sparse).max() < 1e-6


@pytest.mark.parametrize("shape", [(1, 12), (12, 1), (1, 1)])
def test_one_row_or_column_is_answered(shape) -> None:
    X = np.random.default_rng(3).standard_normal(shape)
    result = principal_component_pursuit(X)
    best = reference.principal_component_pursuit(X)
    assert result.converged
    assert pcp_objective(result.low_rank, X - result.low_rank, 1 / np.sqrt(max(shape))) == (
        pytest.approx(best.objective, rel=1e-3)
    )


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200])
def test_scale(scale) -> None:
    X, _, _ = make_low_rank_plus_sparse(40, rank=2, density=0.05, random_state=4)
    plain, scaled = principal_component_pursuit(X), principal_component_pursuit(X * scale)
    assert scaled.n_iter == plain.n_iter
    assert scaled.rank == plain.rank
    np.testing.assert_allclose(scaled.low_rank / scale, plain.low_rank, atol=1e-7)
    np.testing.assert_allclose(scaled.sparse / scale, plain.sparse, atol=1e-7)
    assert scaled.objective / scale == pytest.approx(plain.objective, rel=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"tol": -1.0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
        ({"weights": np.ones((3, 2))}, "weights has shape"),
        ({"weights": 0.0}, "weights has to be positive"),
        ({"X": np.full((2, 2), np.nan)}, "X contains NaN"),
        ({"X": np.ones(3)}, "X has to be 2-D"),
        ({"X": np.ones((0, 3))}, "X is empty"),
    ],
)
def test_bad_input_is_one_clear_error(options, message) -> None:
    options = {"X": np.eye(3), **options}
    with pytest.raises(ValueError, match=message):
        principal_component_pursuit(options.pop("X"), **options)


def test_the_callback_stops_and_the_input_is_left_alone() -> None:
    X = corrupted(6)
    X.flags.writeable = False
    result = principal_component_pursuit(np.asfortranarray(X), callback=lambda r: r["n_iter"] == 4)
    assert (result.status, result.n_iter, result.n_svd) == (Status.CALLBACK, 4, 4)
