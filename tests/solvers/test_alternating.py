"""Alternating projections: the split itself, missing entries, and the cases without one."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.solvers import Status, alternating_projections, principal_component_pursuit


def distance(result, low_rank):
    return np.linalg.norm(result.low_rank - low_rank) / np.linalg.norm(low_rank)


@pytest.mark.parametrize("shape", [(300, 300), (400, 90), (90, 400)])
@pytest.mark.parametrize("kind", ["f", "d"])
def test_the_split_is_found(shape, kind) -> None:
    X, low_rank, sparse = make_low_rank_plus_sparse(
        shape[0], n_features=shape[1], rank=4, density=0.1, random_state=0
    )
    result = alternating_projections(X.astype(kind), rank=4)
    assert result.converged
    assert result.low_rank.dtype == result.sparse.dtype == result.components.dtype == kind
    assert distance(result, low_rank) < (1e-6 if kind == "d" else 1e-4)
    if kind == "d":
        np.testing.assert_array_equal(result.sparse != 0, sparse != 0)
    assert result.certificate <= 1e-6


def test_the_parts_of_the_result_fit_together() -> None:
    X, _, _ = make_low_rank_plus_sparse(80, n_features=60, rank=3, density=0.05, random_state=1)
    result = alternating_projections(X, rank=3)
    residual = np.linalg.norm(X - result.low_rank - result.sparse)
    size = np.linalg.norm(result.low_rank)
    assert residual / size == pytest.approx(result.certificate, rel=1e-3, abs=1e-14)
    assert result.objective == pytest.approx(0.5 * residual**2, rel=1e-3, abs=1e-25)
    assert np.linalg.matrix_rank(result.low_rank, tol=1e-8) == result.rank == 3
    s = np.linalg.svd(result.low_rank, compute_uv=False)
    np.testing.assert_allclose(result.singular_values, s[:3], rtol=1e-10)
    V = result.components
    np.testing.assert_allclose(V @ V.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(result.low_rank @ V.T @ V, result.low_rank, atol=1e-12)
    assert np.isnan(result.dual_gap)
    assert result.history["outliers"][-1] == np.count_nonzero(result.sparse) == 240


@pytest.mark.parametrize(("rank", "density"), [(1, 0.2), (13, 0.1), (5, 0.3)])
@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_the_rank_is_found(rank, density, noise) -> None:
    X, low_rank, _ = make_low_rank_plus_sparse(200, rank=rank, density=density, random_state=1)
    X += noise * low_rank.std() * np.random.default_rng(0).standard_normal(X.shape)
    found = alternating_projections(X, tol=1.5 * noise or 1e-7)
    assert found.converged
    assert found.rank == rank
    given = alternating_projections(X, rank, tol=1.5 * noise or 1e-7)
    assert distance(found, low_rank) < max(1.1 * distance(given, low_rank), 1e-6)
    *before, last = found.history["certificate"]  # ranks on trial have none
    assert np.isinf(before).all()
    assert last == found.certificate < np.inf


def test_the_rank_is_the_least_that_half_of_the_entries_bear() -> None:
    X, low_rank, _ = make_low_rank_plus_sparse(
        90, n_features=200, rank=3, density=0.1, missing=0.2, random_state=6
    )
    found = alternating_projections(X, missing_values=np.nan)
    assert found.rank == 3
    assert distance(found, low_rank) < 1e-6
    noise = np.random.default_rng(0).standard_normal((50, 40))
    with pytest.warns(ConvergenceWarning, match="took all but"):
        assert alternating_projections(noise).status is Status.INACCURATE
    assert alternating_projections(np.zeros((6, 5))).rank == 0
    assert alternating_projections(np.ones((6, 5))).rank == 1


def test_it_agrees_with_principal_component_pursuit() -> None:
    X, _, _ = make_low_rank_plus_sparse(120, rank=5, density=0.05, random_state=2)
    convex, projected = principal_component_pursuit(X), alternating_projections(X, rank=5)
    assert distance(projected, convex.low_rank) < 1e-5


def test_missing_entries_are_found_too() -> None:
    X, low_rank, sparse = make_low_rank_plus_sparse(
        200, rank=4, density=0.05, missing=0.2, random_state=3
    )
    result = alternating_projections(X, rank=4, missing_values=np.nan)
    assert result.converged
    assert distance(result, low_rank) < 1e-6
    known = ~np.isnan(X)
    np.testing.assert_array_equal(result.sparse[known] != 0, sparse[known] != 0)
    assert not result.sparse[~known].any()


def test_too_many_outliers_are_not_called_a_split() -> None:
    X, _, _ = make_low_rank_plus_sparse(100, rank=10, density=0.7, random_state=4)
    with pytest.warns(ConvergenceWarning, match="alternating_projections"):
        result = alternating_projections(X, rank=10, decay=0.5)
    assert not result.converged


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(1, 1), (4, 3), (1, 6)])
def test_nothing_is_split_into_nothing(shape, kind) -> None:
    result = alternating_projections(np.zeros(shape, kind), rank=1)
    assert result.converged
    assert result.rank == 0
    assert not result.low_rank.any()
    assert not result.sparse.any()
    assert result.components.shape == (0, shape[1])


def test_a_constant_matrix_is_low_rank() -> None:
    result = alternating_projections(np.full((20, 30), 3.0), rank=1)
    np.testing.assert_allclose(result.low_rank, 3.0, rtol=1e-6)
    assert not result.sparse.any()


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200])
def test_scale(scale) -> None:
    X, _, _ = make_low_rank_plus_sparse(40, rank=2, density=0.05, random_state=4)
    plain, scaled = alternating_projections(X, 2), alternating_projections(X * scale, 2)
    assert scaled.n_iter == plain.n_iter
    np.testing.assert_allclose(scaled.low_rank / scale, plain.low_rank, atol=1e-7)
    np.testing.assert_allclose(scaled.sparse / scale, plain.sparse, atol=1e-7)


def test_the_bits_do_not_depend_on_the_threads_nor_on_the_memory_order() -> None:
    X, _, _ = make_low_rank_plus_sparse(900, n_features=700, rank=3, density=0.05, random_state=5)
    one, two = (alternating_projections(X, 3, n_threads=n, max_iter=99) for n in (1, 2))
    assert one.low_rank.tobytes() == two.low_rank.tobytes()
    assert one.sparse.tobytes() == two.sparse.tobytes()
    other = alternating_projections(np.asfortranarray(X), 3)
    np.testing.assert_allclose(other.low_rank, one.low_rank, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank"),
        ({"rank": 4}, "rank"),
        ({"decay": 1.0}, "decay"),
        ({"decay": 0.0}, "decay"),
        ({"tol": -1.0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
        ({"missing_values": 0}, "missing_values has to be np.nan or None"),
        ({"X": np.full((2, 2), np.nan)}, "X contains NaN.*missing_values=np.nan"),
        ({"X": np.full((2, 2), np.inf)}, "X contains"),
        ({"X": [[1.0, np.nan], [np.nan, np.nan]], "missing_values": np.nan}, "row 1 of X has no"),
        ({"X": [[1.0, np.nan], [2.0, np.nan]], "missing_values": np.nan}, "column 1 of X has no"),
    ],
)
def test_bad_input_is_one_clear_error(options, message) -> None:
    options = {"X": np.eye(3), "rank": 1, **options}
    with pytest.raises(ValueError, match=message):
        alternating_projections(options.pop("X"), options.pop("rank"), **options)


def test_the_callback_stops_and_the_input_is_left_alone() -> None:
    X, _, _ = make_low_rank_plus_sparse(30, rank=2, density=0.05, random_state=6)
    X.flags.writeable = False
    result = alternating_projections(X, 2, callback=lambda row: row["n_iter"] == 3)
    assert (result.status, result.n_iter) == (Status.CALLBACK, 3)
