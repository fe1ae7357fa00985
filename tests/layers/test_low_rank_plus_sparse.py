"""Low rank plus sparse: exact where the layer is that, and no worse than its parts."""

import tracemalloc
from itertools import islice

import numpy as np
import pytest

from sparsecode.layers import BudgetError, factorize, output_error
from sparsecode.layers.factorizations.low_rank_plus_sparse import (
    FIRST_ROUNDS,
    diagonal_rounds,
    full_rounds,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def low_rank_plus_sparse(shape, rank, density, rng):
    L = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    return L + np.where(rng.random(shape) < density, 10 * rng.standard_normal(shape), 0)


def a_gram(n, rng):
    X = rng.standard_normal((4 * n, n)) @ (np.eye(n) + 0.2 * rng.standard_normal((n, n)))
    return X.T @ X / len(X)


def exactly(gram):
    """The metric as it is; without one there is nothing to damp."""
    return {} if gram is None else {"damping": 0}


@pytest.mark.parametrize("metric", [False, True])
def test_a_layer_that_is_low_rank_plus_sparse(rng, metric):
    """Neither part comes near alone in the same bits."""
    W = low_rank_plus_sparse((40, 50), 2, 0.03, rng)
    gram = a_gram(50, rng) if metric else None
    forms = {m: factorize(W, m, budget=0.25, gram=gram) for m in ("low_rank", "sparse")}
    forms["both"] = factorize(
        W, "low_rank+sparse", budget=0.25, gram=gram, low_rank_share=0.4, n_rounds=30
    )
    errors = {name: output_error(W, f.to_dense(), gram) for name, f in forms.items()}
    assert errors["both"] < 1e-4
    assert min(errors["low_rank"], errors["sparse"]) > 0.01


def decaying(shape, rng):
    U, s, Vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    return (U * s * np.arange(1, len(s) + 1) ** -0.7) @ Vt


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["generic", "decaying"])
def test_no_round_is_worse_than_the_one_before(seed, kind):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((24, 32)) if kind == "generic" else decaying((24, 32), rng)
    gram = a_gram(32, rng)
    sizes = np.sqrt(np.diag(gram))
    oats = list(islice(diagonal_rounds(W, sizes, 3, 150), 20))
    full = list(islice(full_rounds(W, gram, oats[-1]), 10))
    for rounds, metric in [(oats, np.diag(sizes**2)), (full, gram)]:
        misses = [W - r.left @ r.right - r.S for r in rounds]
        errors = [np.sum(miss * (miss @ metric)) for miss in misses]
        np.testing.assert_allclose([r.error for r in rounds], errors, rtol=1e-9)
        assert np.all(np.diff(errors) <= 1e-12 * errors[0])
        for r in rounds:
            assert np.count_nonzero(r.support) == 150
            assert not r.S[~r.support].any()
    miss = W - oats[-1].left @ oats[-1].right - oats[-1].S
    assert full[0].error <= np.sum(miss * (miss @ gram))
    assert full[-1].error < full[0].error


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_full_metric_is_never_worse_than_the_diagonal_one(seed, share):
    rng = np.random.default_rng(seed)
    W, gram = decaying((30, 40), rng), a_gram(40, rng)
    options = {"budget": 0.4, "gram": gram, "damping": 0, "low_rank_share": share}
    forms = [factorize(W, "low_rank+sparse", metric=m, **options) for m in ("full", "diagonal")]
    full, diagonal = (output_error(W, f.to_dense(), gram) for f in forms)
    assert full < 0.95 * diagonal


@pytest.mark.parametrize("metric", ["full", "diagonal"])
def test_the_answer_is_no_worse_than_any_round(rng, metric):
    W, gram = rng.standard_normal((24, 32)), a_gram(32, rng)
    f = factorize(
        W, "low_rank+sparse", budget=0.5, gram=gram, damping=0, metric=metric, low_rank_share=0.4
    )
    sizes, count = np.sqrt(np.diag(gram)), f.sparse.values.size
    rounds = list(islice(diagonal_rounds(W, sizes, f.low_rank.rank, count), 20))
    H = gram if metric == "full" else np.diag(np.diag(gram))
    if metric == "full":
        rounds = islice(full_rounds(W, gram, rounds[-1]), 20)
    best = min(r.error for r in rounds) / np.sum(W * (W @ H))
    assert output_error(W, f.to_dense(), H) <= best * (1 + 1e-9)


def test_oats_is_what_the_paper_does(rng):
    """Independent: algorithm 1 with the inverse of the diagonal, step by step."""
    W, gram = rng.standard_normal((20, 30)), a_gram(30, rng)
    f = factorize(
        W, "low_rank+sparse", budget=0.5, gram=gram, damping=0, metric="diagonal",
        low_rank_share=0.3, n_rounds=80,
    )  # fmt: skip
    D = np.sqrt(np.diag(gram))
    A, S = W * D, np.zeros_like(W)
    for _ in range(80):
        U, s, Vt = np.linalg.svd(A - S, full_matrices=False)
        r = f.low_rank.rank
        L = (U[:, :r] * s[:r]) @ Vt[:r]
        S = A - L
        S[np.abs(S) < np.sort(np.abs(S), axis=None)[-f.sparse.values.size]] = 0
    np.testing.assert_allclose(f.to_dense(), (L + S) / D, atol=1e-8)


@pytest.mark.parametrize("metric", ["full", "diagonal"])
def test_a_dead_input_leaves_no_nan(rng, metric):
    """OATS divides the column of a dead input by zero."""
    W, gram = rng.standard_normal((20, 30)), a_gram(30, rng)
    gram[:, 4] = gram[4] = 0
    f = factorize(W, "low_rank+sparse", budget=0.5, gram=gram, damping=0, metric=metric)
    assert np.isfinite(f.to_dense()).all()
    assert output_error(W, f.to_dense(), gram) < 0.5


def test_robust_pca_finds_the_share_and_the_start(rng):
    W = low_rank_plus_sparse((60, 80), 2, 0.03, rng)
    f = factorize(W, "low_rank+sparse", budget=0.2, start="robust_pca", n_rounds=5)
    assert output_error(W, f.to_dense()) < 1e-12
    gram = a_gram(80, rng)
    f = factorize(W, "low_rank+sparse", budget=0.2, gram=gram, start="robust_pca", n_rounds=5)
    assert output_error(W, f.to_dense(), gram) < 1e-10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "full"}, "metric='full' needs gram"),
        ({"metric": "diagonal"}, "metric='diagonal' needs gram"),
        ({"metric": "plain", "gram": np.eye(8)}, "metric has to be one of 'diagonal', 'full'"),
        ({"start": "svd"}, "start has to be one of"),
        ({"start": "robust_pca", "low_rank_share": 0.5}, "low_rank_share"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        factorize(np.eye(8), "low_rank+sparse", budget=0.9, **options)


@pytest.mark.parametrize("metric", [False, True])
def test_the_automatic_share_is_the_best_of_those_tried(rng, metric):
    W = low_rank_plus_sparse((30, 40), 2, 0.1, rng) + rng.standard_normal((30, 40))
    gram = a_gram(40, rng) if metric else None

    def error(share):
        f = factorize(
            W,
            "low_rank+sparse",
            budget=0.4,
            gram=gram,
            **exactly(gram),
            low_rank_share=share,
            n_rounds=FIRST_ROUNDS,  # after these the lesser shares are dropped
        )
        return output_error(W, f.to_dense(), gram)

    assert error(None) <= min(error(share) for share in (0.1, 0.25, 0.5)) * (1 + 1e-2)


@pytest.mark.parametrize("kind", ["generic", "decaying"])
def test_it_beats_the_worse_of_its_parts(rng, kind):
    W = rng.standard_normal((40, 60))
    if kind == "decaying":
        U, s, Vt = np.linalg.svd(W, full_matrices=False)
        W = (U * s * np.arange(1, len(s) + 1) ** -1.0) @ Vt
    gram = a_gram(60, rng)
    errors = {
        m: output_error(W, factorize(W, m, budget=0.4, gram=gram).to_dense(), gram)
        for m in ("low_rank", "sparse", "low_rank+sparse")
    }
    assert errors["low_rank+sparse"] < max(errors["low_rank"], errors["sparse"])


def test_the_share_and_the_parts(rng):
    W = rng.standard_normal((40, 60)).astype(np.float32)
    budget = 0.5 * 8 * W.nbytes
    for share in (0.05, 0.3, 0.6):
        f = factorize(W, "low_rank+sparse", budget=0.5, low_rank_share=share, n_rounds=2)
        rank_one = 32 * 100
        assert f.low_rank.rank == max(int(share * budget) // rank_one, 1)
        assert budget - 64 < f.bits().total <= budget  # not a nonzero less than fits
    with pytest.raises(BudgetError, match="rank 1 and one nonzero"):
        factorize(W[:6, :6], "low_rank+sparse", budget=0.34)  # 391 bits, and rank 1 takes 384


def test_float16_is_rounded_once(rng):
    """Against the exact sum of the parts: half a unit in the last place, not one and a half."""
    W = low_rank_plus_sparse((30, 40), 2, 0.3, rng).astype(np.float16)
    f = factorize(W, "low_rank+sparse", budget=0.8)
    L = f.low_rank.left.astype(float) @ f.low_rank.right.astype(float)
    exact = L + f.sparse.to_dense().astype(float)
    half_unit = np.spacing(np.abs(f.to_dense())).astype(float) / 2
    assert np.all(np.abs(f.to_dense().astype(float) - exact) <= half_unit * 1.01)


def test_memory_does_not_grow_with_the_rounds(rng):
    W = rng.standard_normal((150, 100))

    def peak(n_rounds):
        tracemalloc.start()
        factorize(W, "low_rank+sparse", budget=0.5, n_rounds=n_rounds)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)  # what the first one loads
    assert peak(30) <= peak(8) + W.nbytes
