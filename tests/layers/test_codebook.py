"""Codebook: the best few weights, single or in runs."""

import numpy as np
import pytest

from sparsecode.layers import BudgetError, Codebook, factorize, output_error, unpack
from sparsecode.solvers import kmeans_1d


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def moment(n, rng):
    X = rng.standard_normal((4 * n, n)) @ (np.eye(n) + 0.3 * rng.standard_normal((n, n)))
    return X.T @ X / len(X)


def test_without_feedback_it_is_the_optimum_for_a_diagonal_metric(rng):
    """Independent: the optimum of the weighted k-means of all weights."""
    W, h = rng.standard_normal((8, 12)), rng.random(12)
    f = factorize(W, "codebook", budget=1, gram=np.diag(h), damping=0, bits=3, rows_per_codebook=8)
    best = kmeans_1d(W.ravel(), 8, weights=np.broadcast_to(h, W.shape).ravel())
    found = output_error(W, f.to_dense(), np.diag(h))
    np.testing.assert_allclose(found, best.error / np.sum(W * W * h), rtol=1e-10)


@pytest.mark.parametrize("options", [{"bits": 2}, {"bits": 5}, {"bits": 6, "subvector": 2}])
def test_error_feedback_loses_less(rng, options):
    W, H = rng.standard_normal((40, 32)), moment(32, rng)
    options = {"budget": 1, "gram": H, "rows_per_codebook": 40} | options
    errors = [
        output_error(W, factorize(W, "codebook", rounding=r, **options).to_dense(), H)
        for r in ("error_feedback", "nearest")
    ]
    assert errors[0] < errors[1]


def test_error_feedback_is_never_worse(rng):
    """Where a few centroids cannot follow what is fed back, the nearest are kept."""
    W, H = rng.standard_normal((40, 32)), moment(32, rng)
    for bits in (1, 2, 3, 4):
        options = {"budget": 1, "gram": H, "damping": 0, "bits": bits, "subvector": 4}
        fed, near = (
            output_error(W, factorize(W, "codebook", rounding=r, **options).to_dense(), H)
            for r in ("error_feedback", "nearest")
        )
        assert fed <= near


def test_a_layer_of_few_runs_is_exact(rng):
    C = rng.standard_normal((8, 4)).astype(np.float32)
    W = C[rng.integers(0, 8, (30, 5))].reshape(30, 20)
    f = factorize(W, "codebook", budget=0.5, bits=3, subvector=4, rows_per_codebook=30)
    np.testing.assert_allclose(f.to_dense(), W, atol=1e-6)
    arrays, meta = f.pack()
    assert f.bits().values == 8 * -(-30 * 5 * 3 // 8)
    assert f.bits().codebook == 32 * 8 * 4
    assert unpack(arrays, meta) == f
    X = rng.standard_normal((3, 20))
    np.testing.assert_allclose(f.apply(X), X @ W.T.astype(np.float64), atol=1e-5)


def test_runs_heed_the_metric_of_their_place(rng):
    W, H = rng.standard_normal((60, 24)), moment(24, rng) * np.outer(*2 * [np.logspace(0, -1, 24)])
    options = {"budget": 1, "bits": 4, "subvector": 3, "rounding": "nearest"}
    seeing = factorize(W, "codebook", gram=H, **options)
    blind = factorize(W, "codebook", budget=1, bits=4, subvector=3)
    assert output_error(W, seeing.to_dense(), H) < output_error(W, blind.to_dense(), H)


def test_the_same_seed_gives_the_same_bits(rng):
    W = rng.standard_normal((20, 12))
    one, two, other = (
        factorize(W, "codebook", budget=1, bits=4, subvector=2, random_state=seed)
        for seed in (1, 1, 2)
    )
    assert one == two
    assert one != other


def test_bits_and_books_are_the_most_that_fit(rng):
    W = rng.standard_normal((64, 64)).astype(np.float32)
    for budget in (0.05, 0.1, 0.15, 0.26):
        f = factorize(W, "codebook", budget=budget)
        more = Codebook(f.codes, np.zeros((1, 2 ** (f.width + 1), 1), np.float32), 64)
        assert f.bits().total <= budget * 32 * W.size < more.bits().total
    assert factorize(W, "codebook", budget=0.15, bits=2).centroids.shape == (64, 4, 1)


def test_wrong_options_are_named(rng):
    W = rng.standard_normal((4, 10))
    for options, message in [
        ({"subvector": 3}, "subvector=3 does not divide the 10 inputs"),
        ({"subvector": 0}, "subvector"),
        ({"n_rounds": 3}, "n_rounds is not used by codebooks of single weights"),
        ({"rounding": "error_feedback"}, "needs gram"),
        ({"rounding": "up"}, "rounding"),
        ({"bits": 13}, "bits"),
        ({"rows_per_codebook": 0}, "rows_per_codebook"),
    ]:
        with pytest.raises(ValueError, match=message):
            factorize(W, "codebook", budget=1, **options)
    with pytest.raises(BudgetError):
        factorize(W, "codebook", budget=0.05, bits=8)


def test_codebooks_that_do_not_fit_are_refused(rng):
    f = factorize(rng.standard_normal((8, 10)), "codebook", budget=0.5, bits=2, rows_per_codebook=4)
    arrays, meta = f.pack()
    C = arrays["centroids"]
    for centroids in (C[:1], C[:, :3], C[:, :0], C[:, :, :0], C[:, :1], np.repeat(C, 3, axis=2)):
        with pytest.raises(ValueError, match=r"do not fit|codes of"):
            unpack(arrays | {"centroids": centroids}, meta)
    for rows in (None, 0, -4, 5, 4.0, True, 10**30):
        if rows != 5:
            with pytest.raises(ValueError, match="do not fit"):
                unpack(arrays, meta | {"rows": rows})
