"""Go decomposition: the objective never rises, each part is the best for the other, and ends."""

import numpy as np
import pytest

from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.solvers import Status, alternating_projections, godec, truncated_svd
from sparsecode.solvers.go_decomposition import _replace_largest


def distance(result, low_rank):
    return np.linalg.norm(result.low_rank - low_rank) / np.linalg.norm(low_rank)


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(6))
def test_the_objective_never_rises(seed, missing) -> None:
    rng = np.random.default_rng(seed)
    m, n = rng.integers(3, 40, 2)
    X = rng.standard_normal((m, n)) * (1 + 9 * (rng.random((m, n)) < 0.2))
    X[1:, 1:][rng.random((m - 1, n - 1)) < missing] = np.nan
    rank, n_outliers = int(rng.integers(1, min(m, n) + 1)), int(rng.integers(0, m * n // 2))
    result = godec(X, rank, n_outliers, max_iter=3000, missing_values=np.nan)
    objectives = result.history["objective"]
    known = ~np.isnan(X)
    slack = 1e-13 * np.sum(X[known] ** 2)
    assert len(objectives) >= 2
    assert np.all(np.diff(objectives) <= slack)
    residual = (X - result.low_rank - result.sparse)[known]
    assert result.objective == pytest.approx(0.5 * np.sum(residual**2), rel=1e-9, abs=slack)
    assert result.rank <= rank
    assert np.count_nonzero(result.sparse) <= n_outliers


def test_each_part_is_the_best_for_the_other() -> None:
    X, _, _ = make_low_rank_plus_sparse(
        60, n_features=50, rank=3, density=0.1, noise=0.05, random_state=1
    )
    result = godec(X, 3, 300, tol=1e-10)
    assert result.converged
    assert result.certificate <= 1e-10
    residual = X - result.low_rank
    largest = np.sort(np.abs(residual), axis=None)[-300]
    np.testing.assert_array_equal(result.sparse != 0, np.abs(residual) >= largest)
    np.testing.assert_allclose(result.sparse, np.where(result.sparse != 0, residual, 0), atol=1e-13)
    U, s, Vt = np.linalg.svd(X - result.sparse)
    np.testing.assert_allclose(result.low_rank, (U[:, :3] * s[:3]) @ Vt[:3], atol=1e-7)
    np.testing.assert_allclose(result.singular_values, s[:3], rtol=1e-9)
    V = result.components
    np.testing.assert_allclose(V @ V.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(result.low_rank @ V.T @ V, result.low_rank, atol=1e-12)
    assert np.isnan(result.dual_gap)
    assert result.n_svd == result.n_iter


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(200, 200), (300, 60), (60, 300)])
def test_the_split_is_found(shape, kind) -> None:
    X, low_rank, sparse = make_low_rank_plus_sparse(
        shape[0], n_features=shape[1], rank=4, density=0.1, random_state=2
    )
    result = godec(X.astype(kind), 4, np.count_nonzero(sparse), tol=1e-9)
    assert result.converged
    assert result.low_rank.dtype == result.sparse.dtype == result.components.dtype == kind
    assert distance(result, low_rank) < (1e-8 if kind == "d" else 1e-4)
    np.testing.assert_array_equal(result.sparse != 0, sparse != 0)


def test_it_agrees_with_alternating_projections() -> None:
    X, _, sparse = make_low_rank_plus_sparse(150, rank=5, density=0.05, random_state=3)
    result = godec(X, 5, np.count_nonzero(sparse))
    assert distance(alternating_projections(X, 5), result.low_rank) < 1e-5


def test_missing_entries_are_found_too() -> None:
    X, low_rank, sparse = make_low_rank_plus_sparse(
        150, rank=3, density=0.05, missing=0.2, random_state=4
    )
    known = ~np.isnan(X)
    result = godec(X, 3, np.count_nonzero(sparse[known]), missing_values=np.nan)
    assert result.converged
    assert distance(result, low_rank) < 1e-4
    np.testing.assert_array_equal(result.sparse[known] != 0, sparse[known] != 0)
    assert not result.sparse[~known].any()


@pytest.mark.parametrize("guess", [np.inf, 0.5, 3.0])
def test_of_equals_the_first_are_outliers(guess) -> None:
    X = np.random.default_rng(13).integers(-3, 4, (6, 7)).astype(float)
    X[2, 3] = np.nan
    order = np.argsort(-np.abs(X), axis=None, kind="stable")  # NaN is last
    for count in range(42):
        filled = np.zeros_like(X)
        cut, energy = _replace_largest(X, filled, count, guess, n_threads=1)
        inliers = np.full(X.size, True)
        inliers[order[:count]] = inliers[order[41:]] = False
        np.testing.assert_array_equal(filled.ravel(), np.where(inliers, X.ravel(), 0))
        assert energy == pytest.approx(np.sum(X.ravel()[inliers] ** 2))
        assert cut == (abs(X.ravel()[order[count]]) if count < 41 else -1)


def test_without_outliers_it_is_the_truncated_decomposition() -> None:
    X = np.random.default_rng(5).standard_normal((40, 30)) @ np.diag(0.8 ** np.arange(30))
    result = godec(X, 5, 0, tol=1e-9)
    best = truncated_svd(X, 5)
    assert not result.sparse.any()
    assert result.objective == pytest.approx(0.5 * best.error**2, rel=1e-10)


def test_all_entries_may_be_outliers() -> None:
    X = np.random.default_rng(6).standard_normal((7, 5))
    result = godec(X, 2, 35)
    assert result.converged
    assert result.objective == 0
    np.testing.assert_allclose(result.low_rank + result.sparse, X, atol=1e-14)


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(1, 1), (4, 3), (1, 6)])
def test_nothing_is_split_into_nothing(shape, kind) -> None:
    result = godec(np.zeros(shape, kind), 1, 1)
    assert result.converged
    assert result.rank == 0
    assert not result.low_rank.any()
    assert not result.sparse.any()
    assert result.components.shape == (0, shape[1])


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150])
def test_scale(scale) -> None:
    X, _, _ = make_low_rank_plus_sparse(40, rank=2, density=0.05, random_state=7)
    plain, scaled = godec(X, 2, 80), godec(X * scale, 2, 80)
    assert scaled.n_iter == plain.n_iter
    np.testing.assert_allclose(scaled.low_rank / scale, plain.low_rank, atol=1e-9)
    np.testing.assert_allclose(scaled.sparse / scale, plain.sparse, atol=1e-9)


def test_the_bits_do_not_depend_on_the_threads_nor_on_the_memory_order() -> None:
    X, _, _ = make_low_rank_plus_sparse(
        400, n_features=300, rank=3, density=0.05, noise=0.01, random_state=8
    )
    X.flags.writeable = False
    one, two = (godec(X, 3, 6000, n_threads=n) for n in (1, 2))
    assert one.low_rank.tobytes() == two.low_rank.tobytes()
    assert one.sparse.tobytes() == two.sparse.tobytes()
    assert godec(np.asfortranarray(X), 3, 6000).low_rank.tobytes() == one.low_rank.tobytes()
    stopped = godec(X, 3, 6000, callback=lambda row: row["n_iter"] == 3)
    assert (stopped.status, stopped.n_iter) == (Status.CALLBACK, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank"),
        ({"rank": 4}, "rank"),
        ({"n_outliers": -1}, "n_outliers"),
        ({"n_outliers": 10}, "n_outliers has to be between 0 and 9"),
        ({"tol": -1.0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
        ({"X": np.full((3, 3), np.nan)}, "X contains NaN.*missing_values=np.nan"),
        ({"X": [[1.0, np.nan], [np.nan, np.nan]], "missing_values": np.nan}, "row 1 of X has no"),
    ],
)
def test_bad_input_is_one_clear_error(options, message) -> None:
    options = {"X": np.eye(3), "rank": 1, "n_outliers": 2, **options}
    arguments = [options.pop(name) for name in ("X", "rank", "n_outliers")]
    with pytest.raises(ValueError, match=message):
        godec(*arguments, **options)
