"""Robust PCA of noisy data: cvxpy's optimum, the constraint, the gap, and the noiseless limit."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.objectives import pcp_duality_gap, pcp_objective
from sparsecode.solvers import Status, principal_component_pursuit, reference, stable_pcp


def noisy(seed, sigma, m=8, n=9):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, 2)) @ rng.standard_normal((2, n))
    X[rng.random((m, n)) < 0.1] += 5
    return X + sigma * rng.standard_normal((m, n))


def allowed(sigma, n_observed):
    return sigma * np.sqrt(n_observed + np.sqrt(8 * n_observed))


def distance(result, low_rank):
    return np.linalg.norm(result.low_rank - low_rank) / np.linalg.norm(low_rank)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [None, 0.2, 5.0])
@pytest.mark.parametrize("sigma", [0.03, 0.5])
def test_it_is_the_optimum_of_cvxpy(sigma, alpha, weighted) -> None:
    X = noisy(0, sigma)
    weights = np.random.default_rng(1).uniform(0.5, 2, X.shape) if weighted else None
    radius, entry_weights = allowed(sigma, 72), 1.0 if weights is None else weights
    result = stable_pcp(X, sigma, alpha=alpha, weights=weights)
    best = reference.stable_pcp(X, radius, alpha=alpha, weights=weights)
    objective = pcp_objective(result.low_rank, result.sparse, alpha or 1 / 3, entry_weights)
    assert result.converged
    assert result.objective == pytest.approx(objective, rel=1e-12)
    assert objective == pytest.approx(best.objective, rel=1e-6)
    assert np.linalg.norm(X - result.low_rank - result.sparse) <= radius * (1 + 1e-12)
    assert result.certificate == result.dual_gap <= 1e-6
    assert (1 - result.dual_gap) * objective <= best.objective * (1 + 1e-9)


def test_the_gap_is_a_bound_long_before_the_end() -> None:
    X = noisy(2, 0.1)
    best = reference.stable_pcp(X, allowed(0.1, 72)).objective
    for max_iter in (1, 3, 8, 20):
        with pytest.warns(ConvergenceWarning, match="stable_pcp did not converge"):
            result = stable_pcp(X, 0.1, max_iter=max_iter)
        assert result.status is Status.MAX_ITER
        assert (1 - result.dual_gap) * result.objective <= best * (1 + 1e-7)
        assert np.linalg.norm(X - result.low_rank - result.sparse) <= allowed(0.1, 72) * (1 + 1e-12)


def test_the_gap_is_that_of_the_formula() -> None:
    X, radius = noisy(3, 0.2), allowed(0.2, 72)
    result = stable_pcp(X, 0.2)
    noise = X - result.low_rank - result.sparse  # the multiplier is along the noise
    objective, gap = pcp_duality_gap(
        X, result.low_rank, noise, 1 / 3, sparse=result.sparse, radius=radius
    )
    assert objective == pytest.approx(result.objective, rel=1e-12)
    assert gap / objective == pytest.approx(result.dual_gap, rel=1e-3, abs=1e-14)


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(220, 210), (600, 160), (160, 600)])
def test_partial_decompositions_converge_on_noisy_data(shape, kind) -> None:
    X, low_rank, sparse = make_low_rank_plus_sparse(
        shape[0], n_features=shape[1], rank=4, density=0.1, noise=1e-3, random_state=4
    )
    X = X.astype(kind)
    result = stable_pcp(X, 1e-3)
    assert result.converged
    assert result.low_rank.dtype == result.sparse.dtype == result.components.dtype == kind
    assert result.dual_gap <= (1e-6 if kind == "d" else 1e-3)
    residual = np.linalg.norm(X - result.low_rank - result.sparse)
    assert residual <= allowed(1e-3, X.size) * (1 + (1e-12 if kind == "d" else 1e-3))
    assert distance(result, low_rank) < 0.1
    assert np.all(result.sparse[sparse != 0] != 0)
    V = result.components
    np.testing.assert_allclose(V @ V.T, np.eye(len(V)), atol=1e-4 if kind == "f" else 1e-10)
    np.testing.assert_allclose(result.low_rank @ V.T @ V, result.low_rank, atol=1e-5)


def test_without_noise_it_is_principal_component_pursuit() -> None:
    X, low_rank, _ = make_low_rank_plus_sparse(80, rank=3, density=0.05, random_state=5)
    pursuit = principal_component_pursuit(X, tol=1e-7)
    for sigma in (0.0, 1e-18):
        result = stable_pcp(X, sigma, tol=1e-7)
        assert result.low_rank.tobytes() == pursuit.low_rank.tobytes()
        assert result.sparse.tobytes() == pursuit.sparse.tobytes()
    # As the noise vanishes the answers meet.
    for sigma in (1e-5, 1e-8):
        assert distance(stable_pcp(X, sigma), pursuit.low_rank) < 100 * sigma + 1e-5
    assert distance(stable_pcp(X, 1e-8), low_rank) < 1e-5


def test_where_all_may_be_noise_the_answer_is_zero() -> None:
    X = noisy(6, 0.1)
    result = stable_pcp(X, 10.0)
    assert result.converged
    assert result.rank == result.objective == result.dual_gap == result.n_svd == 0
    assert not result.low_rank.any()
    assert not result.sparse.any()


@pytest.mark.parametrize("size", [0.2, 0.9, 0.999])
def test_nearly_all_of_the_matrix_may_be_noise(size) -> None:
    X = noisy(7, 0.1)
    sigma = size * np.linalg.norm(X) / allowed(1.0, 72)
    result = stable_pcp(X, sigma)
    assert result.converged
    best = reference.stable_pcp(X, allowed(sigma, 72))
    assert result.objective == pytest.approx(best.objective, rel=1e-5)


def test_a_large_alpha_leaves_nothing_to_the_sparse_part() -> None:
    X = noisy(8, 0.3)
    result = stable_pcp(X, 0.3, alpha=5.0)
    assert not result.sparse.any()
    # Then the singular values, each less by the same, that leave just so much.
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    level = s[0] - result.singular_values[0]
    np.testing.assert_allclose(result.low_rank, (U * np.maximum(s - level, 0)) @ Vt, atol=1e-5)


def test_missing_entries_are_no_part_of_the_constraint() -> None:
    X, low_rank, sparse = make_low_rank_plus_sparse(
        90, n_features=70, rank=2, density=0.05, noise=1e-3, missing=0.2, random_state=9
    )
    result = stable_pcp(X, 1e-3, missing_values=np.nan)
    known = ~np.isnan(X)
    residual = np.linalg.norm((X - result.low_rank - result.sparse)[known])
    assert result.converged
    assert residual <= allowed(1e-3, np.count_nonzero(known)) * (1 + 1e-12)
    assert not result.sparse[~known].any()
    assert np.all(result.sparse[known & (sparse != 0)] != 0)
    assert distance(result, low_rank) < 0.1
    # What is not known is as good as what weighs nothing: of any value, at a vanishing weight.
    filled, weights = np.where(known, X, 3.0), np.where(known, 1.0, 1e-9)
    other = stable_pcp(filled, 1e-3, weights=weights)
    assert distance(other, result.low_rank) < 1e-2


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200])
def test_scale(scale) -> None:
    X = noisy(10, 0.1, 20, 25)
    plain, scaled = stable_pcp(X, 0.1), stable_pcp(X * scale, 0.1 * scale)
    assert scaled.n_iter == plain.n_iter
    np.testing.assert_allclose(scaled.low_rank / scale, plain.low_rank, atol=1e-9)
    np.testing.assert_allclose(scaled.sparse / scale, plain.sparse, atol=1e-9)
    assert scaled.objective / scale == pytest.approx(plain.objective, rel=1e-9)


@pytest.mark.parametrize("shape", [(1, 12), (12, 1), (1, 1)])
def test_one_row_or_column_is_answered(shape) -> None:
    X = np.random.default_rng(11).standard_normal(shape)
    result = stable_pcp(X, 0.2)
    best = reference.stable_pcp(X, allowed(0.2, X.size))
    assert result.converged
    assert result.objective == pytest.approx(best.objective, rel=1e-5, abs=1e-9)


def test_the_bits_do_not_depend_on_the_threads() -> None:
    X, _, _ = make_low_rank_plus_sparse(
        300, n_features=170, rank=2, density=0.05, noise=1e-2, random_state=12
    )
    one, two = (stable_pcp(X, 1e-2, n_threads=n) for n in (1, 2))
    assert one.low_rank.tobytes() == two.low_rank.tobytes()
    assert one.sparse.tobytes() == two.sparse.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        X.flags.writeable = False
        other = stable_pcp(np.asfortranarray(X), 1e-2, callback=lambda row: row["n_iter"] == 4)
    assert (other.status, other.n_iter, other.n_svd) == (Status.CALLBACK, 4, 4)
    assert np.isfinite(other.dual_gap)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": -1.0}, "sigma"),
        ({"sigma": np.nan}, "sigma"),
        ({"alpha": 0.0}, "alpha"),
        ({"tol": -1.0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
        ({"weights": np.ones(4)}, "weights has shape .*does not broadcast"),
        ({"weights": np.ones((2, 3))}, "weights has shape"),
        ({"weights": [1.0, 0.0, 1.0]}, "weights has to be positive"),
        ({"weights": [1.0, -1.0, 1.0]}, "weights has to be positive"),
        ({"weights": [1.0, np.inf, 1.0]}, "weights contains infinity"),
        ({"weights": [1.0, np.nan, 1.0]}, "weights contains NaN"),
        ({"X": np.full((2, 2), np.nan)}, "X contains NaN"),
        ({"X": np.ones(3)}, "X has to be 2-D"),
    ],
)
def test_bad_input_is_one_clear_error(options, message) -> None:
    options = {"X": np.eye(3), "sigma": 0.1, **options}
    with pytest.raises(ValueError, match=message):
        stable_pcp(options.pop("X"), options.pop("sigma"), **options)
