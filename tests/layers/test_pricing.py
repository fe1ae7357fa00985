"""Rough prices of large layers: near those of good fits, and never of what cannot be."""

import numpy as np
import pytest

from sparsecode.layers.pricing import LARGE, Failure, Job, as_task, price


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def a_layer(rng, m=384, n=256, noise=1.0):
    W = rng.standard_normal((m, 40)) @ rng.standard_normal((40, n))
    W += noise * rng.standard_normal((m, n))
    X = rng.standard_normal((4 * n, n)) * np.linspace(0.2, 2, n)
    assert m * n > LARGE
    return W.astype(np.float32), X.T @ X / len(X)


def prices(W, H, *tasks, rough):
    tasks = tuple(as_task("w", method, options, share) for method, options, share in tasks)
    return price(Job(tasks, W, H, None, 0, rough))


@pytest.mark.parametrize("with_gram", [True, False])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("uniform", {}),
        ("codebook", {}),
        ("sparse", {}),
        ("sparse", {"value_bits": 4}),
        ("low_rank", {}),
        ("low_rank", {"value_bits": 4}),
    ],
)
def test_rough_prices_are_near_those_of_good_fits(rng, method, options, with_gram):
    W, H = a_layer(rng)
    H = H if with_gram else None
    share = 0.05 if options and method == "low_rank" else 0.11  # one round, where two are better
    (rough,), (good,) = (
        prices(W, H, (method, options, share), rough=rough) for rough in (True, False)
    )
    assert rough.form is None
    assert rough.error == pytest.approx(good.error, rel=0.3)
    # Of fewer rows as many codebooks are finer: a little nearer to what the share allows.
    assert rough.packed == pytest.approx(good.packed, rel=0.12 if method == "codebook" else 0.05)
    assert rough.packed <= share * 8 * W.nbytes * 1.01
    assert rough.stored > rough.packed


@pytest.mark.parametrize("options", [{}, {"value_bits": 4}])
def test_some_rows_of_a_tall_layer_tell_its_rank(rng, options):
    W, H = a_layer(rng, m=6000, n=48)
    share = 0.05 if options else 0.3
    task = "low_rank", options, share
    (rough,), (good,) = (prices(W, H, task, rough=rough) for rough in (True, False))
    assert rough.error == pytest.approx(good.error, rel=0.3)
    assert rough.packed == pytest.approx(good.packed, rel=0.01)
    assert rough.packed <= share * 8 * W.nbytes


def test_widths_that_are_past_the_best_are_not_tried(rng):
    W, H = a_layer(rng)
    widths = [("sparse", {"value_bits": bits}, 0.11) for bits in (8, 6, 4, 3)]
    found = {c.task.options for c in prices(W, H, ("sparse", {}, 0.11), *widths, rough=True)}
    errors = {c.task.options: c.error for c in prices(W, H, *widths, rough=False)}
    assert min(errors, key=errors.get) in found
    assert () not in found


def test_what_a_rough_fit_cannot_do_is_a_failure_or_none(rng):
    W, H = a_layer(rng)
    assert (
        prices(W, H, ("low_rank", {}, 1e-6), ("low_rank", {"value_bits": 4}, 0.5), rough=True) == []
    )
    W[0, 0] = np.nan
    assert isinstance(prices(W, H, ("sparse", {}, 0.1), rough=True), Failure)
