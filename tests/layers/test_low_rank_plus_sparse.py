"""Low rank plus sparse: exact where the layer is that, and no worse than its parts."""

from itertools import islice

import numpy as np
import pytest

from sparsecode.layers import BudgetError, factorize, output_error
from sparsecode.layers.factorizations.low_rank_plus_sparse import FIRST_ROUNDS, _alternate
from sparsecode.solvers.low_rank import gram_root


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


@pytest.mark.parametrize("metric", [False, True])
def test_the_answer_is_no_worse_than_any_round(rng, metric):
    W = rng.standard_normal((24, 32))
    gram = a_gram(32, rng) if metric else None
    f = factorize(W, "low_rank+sparse", budget=0.5, gram=gram, low_rank_share=0.4, **exactly(gram))
    root = gram_root(gram, 32) if metric else None
    rounds = islice(_alternate(W, gram, root, f.low_rank.rank, f.sparse.values.size), 20)
    energy = np.sum(W * (W if gram is None else W @ gram))
    best = min(round_.error for round_ in rounds) / energy
    assert output_error(W, f.to_dense(), gram) <= best * (1 + 1e-9)


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
