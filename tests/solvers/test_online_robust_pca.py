"""Robust PCA of streams: the convex optimum for one batch, recovery, tracking, and its laws."""

import functools

import cvxpy as cp
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsecode.solvers import OnlineResult, Status, online_robust_pca
from sparsecode.solvers._rows import fit_rows


@functools.cache
def stream(n_rows, *, turn=0.0, errors=0.1, missing=0.0, n=60, rank=3, seed=0):
    """Rows of a subspace that turns by an angle each row, and what it is at each of them."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, 2 * rank)))[0].T
    angles = turn * np.arange(n_rows)
    V = np.cos(angles)[:, None, None] * Q[:rank] + np.sin(angles)[:, None, None] * Q[rank:]
    low_rank = np.einsum("ir,irj->ij", rng.standard_normal((n_rows, rank)), V) * np.sqrt(n / rank)
    X = low_rank + np.where(rng.random((n_rows, n)) < errors, rng.uniform(-10, 10, (n_rows, n)), 0)
    X[rng.random(X.shape) < missing] = np.nan
    return X, V


def advanced(X, rank, size, **options):
    """The results batch by batch."""
    again = {name: options[name] for name in options if name in ("missing_values", "n_threads")}
    results = [online_robust_pca(X[:size], rank, **options)]
    for start in range(size, len(X), size):
        results.append(online_robust_pca(X[start : start + size], state=results[-1].state, **again))
    return results


def angle(components, V):
    """The largest between the two subspaces."""
    return float(np.arcsin(min(1.0, np.linalg.norm(V - V @ components.T @ components, 2))))


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_one_batch_ends_at_the_convex_optimum(alpha, missing) -> None:
    X, _ = stream(14, n=10, rank=2, missing=missing, seed=1)
    result = online_robust_pca(X, 10, alpha=alpha, tol=1e-7, max_iter=20_000, missing_values=np.nan)
    L, S, known = cp.Variable(X.shape), cp.Variable(X.shape), ~np.isnan(X)
    left = cp.multiply(known, np.nan_to_num(X) - L - S)
    nuclear = alpha * np.sqrt(10) * cp.normNuc(L)
    cost = 0.5 * cp.sum_squares(left) + nuclear + alpha * cp.sum(cp.abs(S))
    best = cp.Problem(cp.Minimize(cost)).solve(solver=cp.CLARABEL)
    assert result.converged
    assert result.objective == pytest.approx(best, rel=1e-5)
    assert result.objective >= best * (1 - 1e-7)
    np.testing.assert_allclose(result.low_rank, L.value, atol=1e-2)
    assert not result.sparse[~known].any()


def test_a_fixed_subspace_is_found_through_a_tenth_of_gross_errors() -> None:
    X, V = stream(1500)
    results = advanced(X, 3, 100)
    assert angle(results[0].components, V[0]) < 0.03
    assert angle(results[-1].components, V[0]) < 5e-3
    last = results[-1]
    assert last.rank == 3
    assert isinstance(last, OnlineResult)
    np.testing.assert_allclose(last.components @ last.components.T, np.eye(3), atol=1e-12)
    plain = np.linalg.svd(X, full_matrices=False)[2][:3]
    assert angle(plain, V[0]) > 0.05
    # A smaller weight leaves the errors less of a pull.
    assert angle(advanced(X, 3, 100, alpha=0.02)[-1].components, V[0]) < 1e-3


def test_it_finds_a_smaller_rank_than_it_is_allowed() -> None:
    X, V = stream(600)
    result = advanced(X, 6, 100)[-1]
    assert result.rank == 3
    assert angle(result.components, V[0]) < 0.01


def test_a_turning_subspace_is_followed_with_forgetting_and_lost_without() -> None:
    X, V = stream(2000, turn=1e-3)
    for size in (20, 100):
        results = advanced(X, 3, size, forgetting=0.98)
        ends = [V[min(i * size, 2000) - 1] for i in range(1, len(results) + 1)]
        late = [angle(r.components, v) for r, v in zip(results, ends, strict=True)][-5:]
        assert max(late) < 0.12
    assert angle(advanced(X, 3, 100)[-1].components, V[-1]) > 0.5


def test_a_direction_that_appears_late_is_found() -> None:
    X, V = stream(600)
    first = stream(600, errors=0.0)[0][:200] @ V[0][:1].T @ V[0][:1]
    X = np.vstack([X[:200] - first, X[200:]])
    results = advanced(X, 3, 100)
    assert [r.rank for r in results[:2]] == [2, 2]
    assert results[-1].rank == 3
    assert angle(results[-1].components, V[0]) < 0.03


def test_rows_one_at_a_time_are_as_good() -> None:
    X, V = stream(300, rank=2)
    result = advanced(X, 2, 1)[-1]
    assert angle(result.components, V[0]) < 0.03
    assert result.state.n_rows == 300


def test_missing_entries_are_what_the_subspace_says() -> None:
    X, V = stream(1000, missing=0.2, errors=0.05)
    result = advanced(X, 3, 200, missing_values=np.nan)[-1]
    assert angle(result.components, V[0]) < 0.02
    missing = np.isnan(X[-200:])
    truth = stream(1000, errors=0.0)[0][-200:]
    assert not result.sparse[missing].any()
    error = result.low_rank[missing] - truth[missing]
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(truth[missing])
    nothing = np.full((1, 60), np.nan)  # a frame that was lost
    result = online_robust_pca(nothing, state=result.state, missing_values=np.nan)
    assert not result.low_rank.any()
    assert not result.sparse.any()


@pytest.mark.parametrize("forgetting", [1.0, 0.99])
def test_neither_threads_nor_another_run_change_a_bit(forgetting) -> None:
    X, _ = stream(400, missing=0.1)
    runs = [
        advanced(X, 3, 130, forgetting=forgetting, missing_values=np.nan, n_threads=n)[-1]
        for n in (1, 2, 2)
    ]
    for name in ("low_rank", "sparse", "components", "singular_values"):
        assert len({getattr(run, name).tobytes() for run in runs}) == 1
    assert len({run.state.cross.tobytes() for run in runs}) == 1


def test_the_objective_bounds_what_all_rows_cost_in_the_final_basis() -> None:
    X, _ = stream(300)
    for size in (60, 100, 300):
        result = advanced(X, 3, size)[-1]
        W, alpha = np.ascontiguousarray(result.state.basis.T), result.alpha
        ridge = alpha * np.sqrt(60)
        z, L, _ = fit_rows(X, W, W.T @ W, alpha, ridge)
        left = np.abs(X - L)
        huber = np.where(left <= alpha, 0.5 * left * left, alpha * left - 0.5 * alpha * alpha)
        cost = huber.sum() + 0.5 * ridge * (np.sum(z * z) + np.sum(W * W))
        assert cost <= result.objective * (1 + 1e-12)
        assert cost >= 0.97 * result.objective  # and not by much
        assert 0 <= result.dual_gap < 1e-14


def test_each_pass_descends_once_the_weight_is_what_was_asked() -> None:
    X, _ = stream(100)
    history = online_robust_pca(X, 3, tol=1e-6, max_iter=1000).history
    cooled = np.isfinite(history["certificate"])
    assert cooled.sum() > 5
    assert np.all(np.diff(history["objective"][cooled]) <= 0)


def test_the_parts_of_a_batch_fit_together() -> None:
    X, _ = stream(200)
    result = advanced(X, 3, 100)[-1]
    noise = X[100:] - result.low_rank - result.sparse
    assert np.abs(noise).max() <= result.alpha * (1 + 1e-12)
    at_bound = np.abs(noise) > result.alpha * (1 - 1e-9)
    np.testing.assert_array_equal(result.sparse != 0, at_bound)
    assert np.linalg.matrix_rank(result.low_rank) == 3


def test_single_precision_stays_single() -> None:
    X, _ = stream(200)
    result = online_robust_pca(X.astype(np.float32), 3)
    for name in ("low_rank", "sparse", "components", "singular_values"):
        assert getattr(result, name).dtype == np.float32
    double = online_robust_pca(X, 3)
    np.testing.assert_allclose(result.low_rank, double.low_rank, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scale(scale) -> None:
    X, _ = stream(300)
    plain, scaled = advanced(X, 3, 100), advanced(X * scale, 3, 100)
    for a, b in zip(plain, scaled, strict=True):
        assert a.n_iter == b.n_iter
        np.testing.assert_allclose(b.low_rank / scale, a.low_rank, atol=1e-9)
        assert b.alpha == pytest.approx(scale * a.alpha)


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 6), (4, 3)])
def test_small_batches_have_answers(shape) -> None:
    for X in (np.zeros(shape), np.full(shape, 3.0), np.random.default_rng(0).random(shape)):
        result = online_robust_pca(X, 1)
        assert result.converged
        assert result.low_rank.shape == result.sparse.shape == shape
        assert result.rank <= 1
        again = online_robust_pca(X, state=result.state)
        assert again.state.n_rows == 2 * shape[0]
    constant = online_robust_pca(np.full((20, 30), 3.0), 2, alpha=0.01)
    assert constant.rank == 1
    np.testing.assert_allclose(constant.low_rank, 3.0, rtol=1e-2)


def test_zeros_first_settle_nothing() -> None:
    X, V = stream(300)
    result = online_robust_pca(np.zeros((500, 60)), 3)
    assert (result.rank, result.state.n_rows) == (0, 500)
    result = online_robust_pca(1e9 * X, state=result.state)
    assert angle(result.components, V[0]) < 0.02


def test_a_batch_cut_short_says_so() -> None:
    X, _ = stream(100)
    with pytest.warns(ConvergenceWarning, match="online_robust_pca did not converge"):
        result = online_robust_pca(X, 3, max_iter=2)
    assert result.status is Status.MAX_ITER
    result = online_robust_pca(X, 3, callback=lambda row: row["n_iter"] == 3)
    assert (result.status, result.n_iter) == (Status.CALLBACK, 3)


def test_the_input_is_left_alone() -> None:
    X = np.asfortranarray(stream(100)[0])
    before = X.copy()
    X.flags.writeable = False
    result = online_robust_pca(X, 3)
    online_robust_pca(X, state=result.state)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs rank"),
        ({"rank": 0}, "rank has to be between 1 and 5, got 0"),
        ({"rank": 6}, "rank has to be between 1 and 5, got 6"),
        ({"rank": 2, "alpha": 0.0}, "alpha"),
        ({"rank": 2, "forgetting": 0.0}, "forgetting"),
        ({"rank": 2, "forgetting": 1.1}, "forgetting"),
        ({"rank": 2, "tol": -1.0}, "tol"),
        ({"rank": 2, "max_iter": 0}, "max_iter"),
        ({"rank": 2, "X": np.full((2, 5), np.nan)}, "X contains NaN"),
        ({"rank": 2, "X": np.full((2, 5), np.inf)}, "infinity"),
    ],
)
def test_bad_input_is_one_clear_error(options, message) -> None:
    options = {"X": np.eye(5), **options}
    with pytest.raises(ValueError, match=message):
        online_robust_pca(options.pop("X"), **options)


@pytest.mark.parametrize("options", [{"rank": 2}, {"alpha": 1.0}, {"forgetting": 0.9}])
def test_what_a_state_knows_is_not_said_again(options) -> None:
    state = online_robust_pca(np.eye(5), 2).state
    with pytest.raises(ValueError, match="is not used by a state, which knows it"):
        online_robust_pca(np.eye(5), state=state, **options)
    with pytest.raises(ValueError, match="X has 4 features but state has 5"):
        online_robust_pca(np.eye(4), state=state)
