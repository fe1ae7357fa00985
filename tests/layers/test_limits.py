"""No layer does worse than rounded to the nearest, wherever the budget holds such a network."""

import numpy as np
import pytest

from sparsecode.layers import Rule, compress, factorize, output_error

QUICK = ["low_rank", "uniform"]


@pytest.fixture
def net():
    """Layers that few bits suffice for, and one that is noise."""
    rng = np.random.default_rng(0)
    smooth = [rng.standard_normal((96, 12)) @ rng.standard_normal((12, 128)) for _ in range(2)]
    noise = rng.standard_normal((96, 128))
    layers = [W + 0.05 * rng.standard_normal(W.shape) for W in smooth] + [noise]
    return {f"{i}.w": W.astype(np.float32) for i, W in enumerate(layers)}


def errors_over_rounding(net, small, bits):
    """Each layer's error over that of `bits` bits in groups of 64 with a scale each."""
    options = {"bits": bits, "group_size": 64, "rounding": "nearest"}
    nearest = {
        name: output_error(W, factorize(W, "uniform", budget=1, **options).to_dense())
        for name, W in net.items()
    }
    return {row.name: row.weight_error / nearest[row.name] for row in small.report.rows}


def test_a_layer_that_counts_for_little_is_not_worse_than_rounded(net) -> None:
    rules = [Rule(match="2.w", weight=1e-3)]
    small = compress(net, 0.15, methods=QUICK, rules=rules)
    assert max(errors_over_rounding(net, small, 4).values()) <= 1
    assert small.bits <= 0.15 * small.report.original_bits
    # A limit of its own takes the place of that one.
    rules = [Rule(match="2.w", weight=1e-3, max_error=0.5)]
    ratios = errors_over_rounding(net, compress(net, 0.15, methods=QUICK, rules=rules), 4)
    assert ratios["2.w"] > 1 > max(ratios["0.w"], ratios["1.w"])


def test_limits_that_no_network_keeps_give_way(net) -> None:
    net = {"2.w": net["2.w"]}
    small = compress(net, 0.15, methods="low_rank")
    assert errors_over_rounding(net, small, 4)["2.w"] > 1
    assert small.bits <= 0.15 * small.report.original_bits


def test_a_cap_comes_before_the_limit(net) -> None:
    small = compress(net, 0.15, methods=QUICK, rules=[Rule(match="2.w", cap=0.08)])
    assert small.report.rows[2].bits.total <= 0.08 * 8 * net["2.w"].nbytes
    assert max(errors_over_rounding(net, small, 2).values()) <= 1
