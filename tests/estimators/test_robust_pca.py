"""Robust PCA of data, and of rows that come later."""

import tracemalloc
import warnings

import cvxpy as cp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from sparsecode import RobustPCA
from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.solvers import (
    alternating_projections,
    godec,
    online_robust_pca,
    principal_component_pursuit,
    robust_projection,
    stable_pcp,
)

N, RANK = 100, 5
DATA = make_low_rank_plus_sparse(N, rank=RANK, density=0.05, random_state=0)


@pytest.fixture(scope="module")
def model() -> RobustPCA:
    return RobustPCA().fit(DATA.X)


def relative(answer: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(answer - truth) / np.linalg.norm(truth))


def new_rows(model: RobustPCA, n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Clean rows of the same subspace, and with a twentieth of their entries grossly corrupted."""
    rng = np.random.default_rng(7)
    clean = rng.standard_normal((n, N)) @ DATA.low_rank / np.sqrt(N)
    wrong = np.where(rng.random(clean.shape) < 0.05, rng.choice([-1.0, 1.0], clean.shape), 0)
    return clean, clean + wrong


def test_fit_recovers_the_parts(model: RobustPCA) -> None:
    assert model.rank_ == RANK
    assert relative(model.low_rank_, DATA.low_rank) < 1e-4
    assert relative(model.sparse_, DATA.sparse) < 1e-4
    np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(RANK), atol=1e-10)
    np.testing.assert_allclose(
        model.singular_values_, np.linalg.svd(model.low_rank_)[1][:RANK], rtol=1e-10
    )
    assert model.alpha_ == 1 / np.sqrt(N)


def test_fit_is_the_solver(model: RobustPCA) -> None:
    result = principal_component_pursuit(DATA.X)
    np.testing.assert_array_equal(model.low_rank_, result.low_rank)
    np.testing.assert_array_equal(model.sparse_, result.sparse)
    assert (model.n_iter_, model.dual_gap_) == (result.n_iter, result.dual_gap)


def test_transform_is_the_solver(model: RobustPCA) -> None:
    z, _ = robust_projection(DATA.X, model.components_, model.transform_alpha_, tol=1e-14)
    np.testing.assert_array_equal(model.transform(DATA.X), z)
    np.testing.assert_array_equal(model.inverse_transform(z), z @ model.components_)


def test_training_rows_stay_where_fit_put_them(model: RobustPCA) -> None:
    low_rank, sparse = model.decompose(DATA.X)
    assert relative(low_rank, model.low_rank_) < 1e-3
    assert relative(sparse, model.sparse_) < 1e-3


def test_new_rows_are_seen_through_their_corruption(model: RobustPCA) -> None:
    clean, corrupted = new_rows(model)
    assert relative(model.inverse_transform(model.transform(corrupted)), clean) < 1e-3
    plain = corrupted @ model.components_.T @ model.components_
    assert relative(plain, clean) > 1
    pca = PCA(RANK).fit(DATA.X)
    assert relative(pca.inverse_transform(pca.transform(corrupted)), clean) > 1


def test_transform_is_huber_regression() -> None:
    model = RobustPCA(transform_alpha=0.05).fit(DATA.X)
    V, alpha = model.components_, model.transform_alpha_
    _, corrupted = new_rows(model, 3)
    for row, z in zip(corrupted, model.transform(corrupted), strict=True):
        best = cp.Variable(RANK)
        cost = 0.5 * cp.sum(cp.huber(row - best @ V, alpha))
        cp.Problem(cp.Minimize(cost)).solve(solver=cp.CLARABEL)
        np.testing.assert_allclose(z, best.value, rtol=0, atol=1e-5)


def test_decompose_leaves_at_most_alpha(model: RobustPCA) -> None:
    _, corrupted = new_rows(model)
    low_rank, sparse = model.decompose(corrupted)
    left = np.abs(corrupted - low_rank - sparse).max()
    assert left <= model.transform_alpha_ * (1 + 1e-6)
    np.testing.assert_allclose(
        low_rank, model.inverse_transform(model.transform(corrupted)), atol=1e-12
    )


def test_a_row_does_not_depend_on_its_neighbours(model: RobustPCA) -> None:
    _, corrupted = new_rows(model)
    corrupted[0, :3] += 1e4  # a neighbour that is far off
    together = model.transform(corrupted)
    for i in range(4):
        alone = model.transform(corrupted[i : i + 1])
        np.testing.assert_allclose(together[i : i + 1], alone, rtol=0, atol=1e-7)


def test_float32_is_as_right_as_float32_can_be() -> None:
    model = RobustPCA().fit(DATA.X.astype(np.float32))
    assert model.rank_ == RANK
    assert model.low_rank_.dtype == model.components_.dtype == np.float32
    assert relative(model.low_rank_, DATA.low_rank) < 1e-4
    clean, corrupted = new_rows(model)
    low_rank, sparse = model.decompose(corrupted.astype(np.float32))
    assert low_rank.dtype == sparse.dtype == np.float32
    assert relative(low_rank, clean) < 1e-3


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1e150])
def test_the_default_weight_follows_the_scale(scale: float, model: RobustPCA) -> None:
    scaled = RobustPCA().fit(scale * DATA.X)
    assert scaled.transform_alpha_ == pytest.approx(scale * model.transform_alpha_, rel=1e-5)
    z = scaled.transform(scale * DATA.X[:5]) / scale
    sign = np.sign(np.sum(scaled.components_ * model.components_, axis=1))
    np.testing.assert_allclose(z * sign, model.transform(DATA.X[:5]), rtol=0, atol=1e-5)


def test_the_default_weight() -> None:
    model = RobustPCA().fit(DATA.X)
    assert model.transform_alpha_ == pytest.approx(1e-2 * np.sqrt(np.mean(model.low_rank_**2)))
    # A weight of the sparse part so small that all of it is sparse.
    sparse = RobustPCA(alpha=1e-3).fit(DATA.X)
    assert sparse.rank_ == 0
    assert sparse.transform_alpha_ == pytest.approx(1e-2 * np.sqrt(np.mean(DATA.X**2)))
    assert RobustPCA().fit(np.zeros((4, 3))).transform_alpha_ == 1.0


def test_rank_zero_has_codes_without_columns() -> None:
    model = RobustPCA().fit(np.zeros((6, 4)))
    X = np.ones((2, 4))
    assert model.rank_ == 0
    assert model.components_.shape == (0, 4)
    assert model.transform(X).shape == (2, 0)
    assert list(model.get_feature_names_out()) == []
    np.testing.assert_array_equal(model.inverse_transform(np.zeros((2, 0))), np.zeros((2, 4)))
    low_rank, sparse = model.decompose(10 * X)
    np.testing.assert_array_equal(low_rank, np.zeros((2, 4)))
    np.testing.assert_allclose(sparse, np.full((2, 4), 9.0))  # shrunk by the default of 1.0


def test_a_fit_cut_short_says_so() -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        model = RobustPCA(max_iter=3).fit(DATA.X)
    assert model.n_iter_ == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RobustPCA(max_iter=3, tol=1.0).fit(DATA.X).n_iter_ == 1


@pytest.mark.slow
def test_the_protocol_of_candes() -> None:
    X, low_rank, _ = make_low_rank_plus_sparse(500, rank=25, density=0.05, random_state=0)
    model = RobustPCA().fit(X)
    assert model.rank_ == 25
    assert relative(model.low_rank_, low_rank) < 1e-5
    # The numbers in the docstring.
    again = model.decompose(X)[0]
    assert relative(again, model.low_rank_) == pytest.approx(5.6e-4, rel=0.02)
    rows = np.linalg.norm(again - model.low_rank_, axis=1) / np.linalg.norm(model.low_rank_, axis=1)
    assert rows.max() == pytest.approx(1.1e-3, rel=0.02)


def test_the_two_methods_agree_where_the_rank_is_known() -> None:
    X, low_rank, _ = make_low_rank_plus_sparse(90, rank=3, density=0.05, random_state=5)
    convex = RobustPCA().fit(X)
    projected = RobustPCA(method="alternating_projections", rank=3).fit(X)
    assert projected.rank_ == convex.rank_ == 3
    assert np.isnan(projected.alpha_)
    assert np.isnan(projected.dual_gap_)
    np.testing.assert_allclose(projected.low_rank_, low_rank, atol=1e-7)
    back = projected.inverse_transform(projected.transform(X[:5]))
    np.testing.assert_allclose(back, low_rank[:5], atol=1e-2 * np.abs(low_rank).max())
    result = alternating_projections(X, 3)
    assert projected.low_rank_.tobytes() == result.low_rank.tobytes()


def test_outlying_rows_have_the_lowest_scores(model: RobustPCA) -> None:
    rows = DATA.low_rank[:20].copy()
    rows[3, :10] += 1.0
    rows[7, :3] += 1.0
    scores = model.score_samples(rows)
    assert list(np.argsort(scores)[:2]) == [3, 7]
    assert np.all(scores <= 0)
    z, alpha = model.transform(rows), model.transform_alpha_
    r = np.abs(rows - z @ model.components_)
    huber = np.where(r <= alpha, 0.5 * r * r, alpha * r - 0.5 * alpha**2)
    np.testing.assert_allclose(scores, -huber.sum(axis=1), rtol=1e-6, atol=1e-12)


def incomplete(share=0.1, seed=3):
    X = DATA.X.copy()
    X[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return X


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "alternating_projections", "rank": 3},
        {"method": "stable", "sigma": 1e-3 / 120},
        {"method": "godec", "rank": 3, "n_outliers": 720},
        {"method": "online", "rank": 3, "alpha": 1e-2 / 120},
    ],
    ids=lambda o: o.get("method", "pcp"),
)
def test_missing_entries_are_found_by_every_method(options) -> None:
    X, truth, _ = make_low_rank_plus_sparse(120, rank=3, density=0.05, missing=0.1, random_state=0)
    model = RobustPCA(missing_values=np.nan, **options).fit(X)
    assert model.rank_ == 3
    low_rank, sparse = model.decompose(X)
    missing = np.isnan(X)
    assert relative(low_rank, truth) < 2e-2
    assert relative(low_rank[missing], truth[missing]) < 2e-2
    assert not sparse[missing].any()
    assert np.all(np.isfinite(model.score_samples(X)))
    again = model.inverse_transform(model.transform(X))
    np.testing.assert_allclose(again, low_rank, atol=1e-12)


def test_new_rows_with_missing_entries(model: RobustPCA) -> None:
    clean, corrupted = new_rows(model)
    corrupted[np.random.default_rng(5).random(corrupted.shape) < 0.2] = np.nan
    corrupted[4] = np.nan
    tolerant = RobustPCA(missing_values=np.nan).fit(DATA.X)
    np.testing.assert_array_equal(tolerant.low_rank_, model.low_rank_)
    low_rank, _ = tolerant.decompose(corrupted)
    seen = np.arange(len(clean)) != 4
    assert relative(low_rank[seen], clean[seen]) < 2e-3
    assert not low_rank[4].any()  # nothing is known of it
    assert not tolerant.transform(corrupted)[4].any()
    assert tolerant.score_samples(corrupted)[4] == 0
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.transform(corrupted)
    corrupted[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        tolerant.transform(corrupted)


@pytest.mark.parametrize("method", ["pcp", "online"])
def test_a_row_or_column_with_nothing_in_it_is_one_clear_error(method) -> None:
    rank = 2 if method == "online" else None
    model = RobustPCA(method=method, rank=rank, missing_values=np.nan)
    for index, line in ((3, "row 3"), ((slice(None), 5), "column 5")):
        X = DATA.X.copy()
        X[index] = np.nan
        with pytest.raises(ValueError, match=f"{line} of X has no observed entry"):
            model.fit(X)


def test_scores_count_what_is_there(model: RobustPCA) -> None:
    tolerant = RobustPCA(missing_values=np.nan).fit(DATA.X)
    rows = incomplete()[:10]
    z, alpha = tolerant.transform(rows), tolerant.transform_alpha_
    r = np.abs(np.nan_to_num(rows - z @ tolerant.components_))
    huber = np.where(r <= alpha, 0.5 * r * r, alpha * r - 0.5 * alpha**2)
    np.testing.assert_allclose(tolerant.score_samples(rows), -huber.sum(axis=1), rtol=1e-6)


def test_stable_is_the_solver_and_transforms_at_the_level_of_the_noise() -> None:
    X = DATA.X + 1e-3 * np.random.default_rng(1).standard_normal(DATA.X.shape)
    model = RobustPCA(method="stable", sigma=1e-3).fit(X)
    result = stable_pcp(X, 1e-3)
    np.testing.assert_array_equal(model.low_rank_, result.low_rank)
    np.testing.assert_array_equal(model.sparse_, result.sparse)
    assert (model.alpha_, model.dual_gap_) == (1 / np.sqrt(N), result.dual_gap)
    assert model.transform_alpha_ == 1e-3
    assert RobustPCA(method="stable", sigma=0.0).fit(DATA.X).transform_alpha_ > 0


def test_godec_is_the_solver_and_transforms_at_the_level_of_the_noise() -> None:
    X = DATA.X + 0.02 * np.random.default_rng(1).standard_normal(DATA.X.shape)
    model = RobustPCA(method="godec", rank=RANK, n_outliers=500).fit(X)
    result = godec(X, RANK, 500)
    np.testing.assert_array_equal(model.low_rank_, result.low_rank)
    np.testing.assert_array_equal(model.sparse_, result.sparse)
    assert np.isnan(model.alpha_)
    assert np.isnan(model.dual_gap_)
    assert model.transform_alpha_ == pytest.approx(0.02, rel=0.2)


class TestOnline:
    @pytest.mark.parametrize("missing_values", [None, np.nan])
    def test_fit_is_partial_fit_over_batches_to_the_bit(self, missing_values) -> None:
        X = DATA.X if missing_values is None else incomplete()
        options = {"method": "online", "rank": RANK, "missing_values": missing_values}
        whole = RobustPCA(batch_size=30, **options).fit(X)
        parts = RobustPCA(**options)
        for start in range(0, N, 30):
            assert parts.partial_fit(X[start : start + 30]) is parts
        for name in ("components_", "singular_values_"):
            assert getattr(whole, name).tobytes() == getattr(parts, name).tobytes()
        assert whole.transform(X).tobytes() == parts.transform(X).tobytes()
        assert whole.n_samples_seen_ == parts.n_samples_seen_ == N
        assert (whole.n_iter_, whole.alpha_, whole.dual_gap_) == (
            parts.n_iter_,
            parts.alpha_,
            parts.dual_gap_,
        )

    def test_it_finds_the_subspace_and_keeps_no_rows(self) -> None:
        model = RobustPCA(method="online", rank=RANK).fit(DATA.X)
        assert not hasattr(model, "low_rank_")
        assert model.transform_alpha_ == model.alpha_
        V = model.components_
        assert relative(DATA.low_rank @ V.T @ V, DATA.low_rank) < 0.05
        closer = RobustPCA(method="online", rank=RANK, alpha=0.1 * model.alpha_).fit(DATA.X)
        low_rank, sparse = closer.decompose(DATA.X)
        assert relative(low_rank, DATA.low_rank) < 0.02
        assert relative(sparse, DATA.sparse) < 0.02

    def test_the_solver_says_the_same(self) -> None:
        model = RobustPCA(method="online", rank=RANK, batch_size=60, forgetting=0.99).fit(DATA.X)
        first = online_robust_pca(DATA.X[:60], RANK, forgetting=0.99)
        second = online_robust_pca(DATA.X[60:], state=first.state)
        assert model.components_.tobytes() == second.components.tobytes()
        assert model.n_iter_ == first.n_iter + second.n_iter

    def test_only_it_has_partial_fit(self) -> None:
        assert not hasattr(RobustPCA(), "partial_fit")
        with pytest.raises(AttributeError, match="partial_fit"):
            RobustPCA().partial_fit(DATA.X)
        model = RobustPCA(method="online", rank=2)
        assert hasattr(model, "partial_fit")

    def test_fit_begins_anew_and_a_changed_parameter_is_noticed(self) -> None:
        model = RobustPCA(method="online", rank=RANK).fit(DATA.X)
        once = model.components_.copy()
        np.testing.assert_array_equal(model.fit(DATA.X).components_, once)
        assert model.n_samples_seen_ == N
        with pytest.raises(ValueError, match=r"the first batch had .*'rank': 5.*fit begins anew"):
            model.set_params(rank=2).partial_fit(DATA.X)
        with pytest.raises(ValueError, match="X has 3 features, but RobustPCA is expecting 100"):
            model.set_params(rank=RANK).partial_fit(np.ones((2, 3)))
        model.set_params(method="pcp", rank=None).fit(DATA.X)
        assert not hasattr(model, "n_samples_seen_")
        assert hasattr(model, "low_rank_")
        model.set_params(method="online", rank=2).partial_fit(DATA.X)
        assert model.n_samples_seen_ == N

    @pytest.mark.parametrize("scale", [1e-150, 1e150])
    def test_scale(self, scale) -> None:
        plain = RobustPCA(method="online", rank=RANK).fit(DATA.X)
        scaled = RobustPCA(method="online", rank=RANK).fit(scale * DATA.X)
        assert scaled.transform_alpha_ == pytest.approx(scale * plain.transform_alpha_)
        np.testing.assert_allclose(
            scaled.decompose(scale * DATA.X)[0] / scale, plain.decompose(DATA.X)[0], atol=1e-8
        )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "alternating_projections", "rank": 1},
        {"method": "stable", "sigma": 0.1},
        {"method": "godec", "rank": 1, "n_outliers": 0},
        {"method": "online", "rank": 1},
    ],
    ids=lambda o: o.get("method", "pcp"),
)
@pytest.mark.filterwarnings("ignore:alternating_projections took")  # what it says is right
def test_small_and_plain_matrices_have_answers(options) -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 5), (6, 1), (3, 4)):
        for X in (np.zeros(shape), np.full(shape, 3.0), rng.standard_normal(shape)):
            model = RobustPCA(**options).fit(X)
            assert model.components_.shape == (model.rank_, shape[1])
            assert model.transform_alpha_ > 0
            low_rank, sparse = model.decompose(X)
            assert low_rank.shape == sparse.shape == X.shape
            left = np.abs(X - low_rank - sparse)
            assert np.all(left <= model.transform_alpha_ * (1 + 1e-9))


def test_rows_are_transformed_in_tiles(model: RobustPCA, tmp_path) -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((20_000, RANK)) @ model.components_
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    model.transform(mapped[:10])
    for method in (model.transform, model.score_samples):
        tracemalloc.start()
        answer = method(mapped)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < answer.nbytes + 0.25 * rows.nbytes
    tracemalloc.start()
    model.decompose(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.25 * rows.nbytes  # the two parts of the answer
