"""Compress: a network in no more than was asked for, and everything else as it was."""

import re
import threading
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from sparsecode.layers import (
    FAMILIES,
    Calibration,
    Network,
    compress,
    factorize,
    output_error,
    read,
    read_compressed,
)
from sparsecode.layers.compressed import METADATA_KEY

METHODS = [name for name in FAMILIES if name != "dense"]
QUICK = ["low_rank", "sparse"]  # those that take no time


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def a_network(rng, dtype=np.float32, n=48):
    """Three layers, and one of each thing that is no layer."""
    return {
        "embed.weight": rng.standard_normal((n, 32)).astype(dtype),
        "embed.bias": rng.standard_normal(n).astype(dtype),
        "step": np.int64(7),
        "scale": np.array(0.5, np.float32),
        "volume.weight": rng.standard_normal((4, 2, 3, 3, 1)).astype(dtype),
        "hidden.weight": rng.standard_normal((n, n)).astype(dtype),
        "table": np.arange(24, dtype=np.int16).reshape(4, 6),
        "empty": np.zeros((0, 5), np.float32),
        "row": rng.standard_normal((1, 9)),
        "mask": np.array([True, False]),
        "head.weight": rng.standard_normal((16, n)).astype(dtype),
    }


def calibration_of(rng, names, n=48):
    widths = {"embed.weight": 32, "hidden.weight": n, "head.weight": n}
    inputs = {
        name: rng.standard_normal((200, widths[name])) * np.logspace(0, -1, widths[name])
        for name in names
    }
    return Calibration.from_arrays(inputs)


LAYERS = ["embed.weight", "hidden.weight", "head.weight"]


@pytest.mark.parametrize("budget", [0.25, 0.3])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("orientation", ["out_in", "in_out"])
def test_size_budget_and_everything_else(rng, tmp_path, dtype, budget, orientation):
    arrays = a_network(rng, dtype)
    net = Network(arrays, metadata={"made by": "hand"}, orientation=orientation)
    small = compress(net, budget, methods=QUICK)
    assert list(small.factorizations) == LAYERS
    assert small.original_bits == 8 * net.n_bytes
    assert small.ratio == small.bits / small.original_bits <= budget
    for suffix in (".safetensors", ".npz"):
        path = tmp_path / f"small{suffix}"
        small.write(path)
        assert path.stat().st_size == small.predicted_bytes(suffix)
    assert (tmp_path / "small.safetensors").stat().st_size * 8 == small.bits
    assert small.itemized_bits.total == small.bits

    dense = small.to_dense()
    assert list(dense) == list(arrays)
    assert (dense.metadata, dense.orientation) == (net.metadata, orientation)
    for name, array in net.items():
        assert (dense[name].dtype, dense[name].shape) == (array.dtype, array.shape)
        assert (dense[name].tobytes() == array.tobytes()) == (name not in LAYERS)


def test_a_layer_is_the_same_whichever_way_round_it_is_stored(rng):
    weights = {name: rng.standard_normal((40, 24)) for name in "ab"}
    turned = Network(
        {n: np.ascontiguousarray(w.T) for n, w in weights.items()}, orientation="in_out"
    )
    moments = Calibration.from_arrays({"a": rng.standard_normal((99, 24)) * np.arange(1, 25)})
    one = compress(weights, 0.5, methods=QUICK, calibration=moments)
    two = compress(turned, 0.5, methods=QUICK, calibration=moments)
    assert one.factorizations == two.factorizations
    for name in weights:
        np.testing.assert_array_equal(two.to_dense()[name], one.to_dense()[name].T)


@pytest.mark.parametrize("method", METHODS)
def test_each_method(rng, method):
    small = compress(a_network(rng), 0.6, methods=method)
    forms = {f.kind for f in small.factorizations.values()}
    assert method in forms <= {method, "dense"}
    assert small.ratio <= 0.6


@pytest.mark.slow
def test_all_methods_are_no_worse_than_any_one(rng):
    net = {name: array for name, array in a_network(rng, n=24).items() if name in LAYERS}
    moments = calibration_of(rng, LAYERS, n=24)
    args = {"budget": 0.5, "calibration": moments}
    total = {
        m: sum(row.calibration_error for row in compress(net, methods=m, **args).report.rows)
        for m in ["all", *METHODS]
    }
    assert total["all"] <= min(total.values()) + 1e-9


def test_the_allocation_beats_the_same_share_for_every_layer(rng):
    """One layer of low rank, one that is noise: bits go where they help."""
    simple = rng.standard_normal((64, 2)) @ rng.standard_normal((2, 64))
    net = {"simple": simple, "noise": rng.standard_normal((64, 64))}
    small = compress(net, 0.08, methods=QUICK)
    rows = {row.name: row for row in small.report.rows}
    assert rows["simple"].weight_error < 0.3 * rows["noise"].weight_error
    assert rows["noise"].bits.total > 1.15 * 0.08 * 8 * net["noise"].nbytes
    alone = compress({"noise": net["noise"]}, 0.08, methods=QUICK)
    assert rows["noise"].weight_error < alone.report.rows[0].weight_error


def test_a_budget_of_everything_keeps_layers_that_are_large_enough_to_hold_the_header(rng):
    """The file's own names and shapes count too: 1.0 is a little less than the layers take."""
    net = {f"l{i}": rng.standard_normal((100, 100)) for i in range(4)}
    small = compress(net, 1.0, methods="low_rank")
    assert 0.7 < small.ratio <= 1
    assert sorted(f.kind for f in small.factorizations.values())[:3] == ["dense"] * 3


def test_patterns(rng):
    net = a_network(rng)
    kept = compress(net, 0.9, methods=QUICK, exclude="head.weight")
    assert list(kept.factorizations) == LAYERS[:2]
    assert kept.to_dense()["head.weight"] is net["head.weight"]
    one = compress(net, 0.9, methods=QUICK, include="re:hidden.*")
    assert list(one.factorizations) == ["hidden.weight"]
    with pytest.raises(
        ValueError, match=r"include pattern 'hiden.weight' matches no layer.*hidden"
    ):
        compress(net, 0.9, include="hiden.weight")
    with pytest.raises(ValueError, match=r"include pattern 'embed.bias'.*shape \(48,\)"):
        compress(net, 0.9, include="embed.bias")
    with pytest.raises(ValueError, match="exclude leaves none of the 3 layers"):
        compress(net, 0.9, exclude="re:.*")


def test_calibration_for_some_layers_and_held_out_inputs(rng):
    net = a_network(rng)
    some, other = calibration_of(rng, LAYERS[1:]), calibration_of(rng, LAYERS[:2])
    small = compress(net, 0.5, methods=QUICK, calibration=some, heldout=other)
    rows = {row.name: row for row in small.report.rows}
    assert rows["embed.weight"].calibration_error is None
    assert rows["head.weight"].heldout_error is None
    dense = small.to_dense()
    for name in LAYERS:
        row = rows[name]
        pairs = [(None, row.weight_error)]
        pairs += [(some.gram(name), row.calibration_error)] if name in some else []
        pairs += [(other.gram(name), row.heldout_error)] if name in other else []
        for gram, error in pairs:
            np.testing.assert_allclose(error, output_error(net[name], dense[name], gram))
    assert small.report.mean_error("weight_error") == np.mean(
        [r.weight_error for r in rows.values()]
    )
    assert small.report.mean_error("calibration_error") is None
    # Held-out inputs take no part in the fit.
    assert (
        compress(net, 0.5, methods=QUICK, calibration=some).factorizations == small.factorizations
    )


def test_calibration_lowers_the_error_it_measures(rng):
    net, moments = a_network(rng), calibration_of(rng, LAYERS)

    def mean_error(calibration):
        dense = compress(net, 0.22, methods=QUICK, calibration=calibration).to_dense()
        return np.mean([output_error(net[n], dense[n], moments.gram(n)) for n in LAYERS])

    assert mean_error(moments) < 0.8 * mean_error(None)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_any_number_of_threads_gives_the_same_bits(rng, method):
    net = {name: a_network(rng, n=24)[name] for name in LAYERS[:2]}
    moments = calibration_of(rng, LAYERS[:1])
    one, two, again = (
        compress(net, 0.5, methods=method, calibration=moments, n_threads=n) for n in (1, 2, 1)
    )
    assert one.factorizations == two.factorizations == again.factorizations
    assert one.bits == two.bits


def test_the_seed(rng):
    net = {"w": rng.standard_normal((40, 32))}
    one, same, other = (
        compress(net, 0.6, methods="dictionary", random_state=seed) for seed in (0, 0, 1)
    )
    assert one.factorizations == same.factorizations
    assert one.factorizations != other.factorizations


@pytest.mark.parametrize("n_threads", [1, 2])
def test_progress_counts_to_the_end_one_by_one(rng, n_threads):
    calls, busy = [], threading.Lock()

    def progress(done, total):
        assert busy.acquire(blocking=False), "two calls at a time"
        calls.append((done, total))
        busy.release()

    compress(a_network(rng), 0.5, methods=QUICK, n_threads=n_threads, progress=progress)
    assert [done for done, _ in calls] == list(range(1, len(calls) + 1))
    totals = [total for _, total in calls]
    assert totals == sorted(totals)
    assert calls[-1][0] == calls[-1][1]


def test_an_interrupt_in_progress_ends_it(rng):
    def progress(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(a_network(rng), 0.5, methods=QUICK, n_threads=2, progress=progress)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_layer_that_is_not_finite_is_named(rng, bad):
    net = a_network(rng)
    net["hidden.weight"][3, 4] = bad
    with pytest.raises(ValueError, match=r"the layer 'hidden.weight': W contains (NaN|infinity)"):
        compress(net, 0.5, methods=QUICK)
    small = compress(net, 0.9, methods=QUICK, exclude="hidden.weight")
    assert small.to_dense()["hidden.weight"] is net["hidden.weight"]


def test_a_form_that_float16_cannot_hold_is_passed_over(rng):
    W = np.clip(4e4 * rng.standard_normal((24, 32)), -65504, 65504).astype(np.float16)
    small = compress({"big": W, "other": W / np.float16(1e4)}, 0.95, methods="all")
    assert np.isfinite(small.to_dense()["big"]).all()


def test_layers_of_zeros_and_dead_inputs(rng):
    net = {"zero": np.zeros((32, 32), np.float32), "w": rng.standard_normal((32, 32)).astype("f4")}
    X = rng.standard_normal((20, 32))
    X[:, ::2] = 0
    moments = Calibration.from_arrays({"w": X, "zero": 0 * X})
    small = compress(net, 0.6, methods="all", calibration=moments)
    assert not small.to_dense()["zero"].any()
    assert small.report.rows[0].calibration_error == 0
    assert small.report.rows[1].calibration_error < 0.01  # 16 live inputs of 32


@pytest.mark.parametrize("method", ["low_rank", "sparse", QUICK], ids=str)
@pytest.mark.parametrize("budget", [0.02, 0.05])
def test_too_small_a_budget_is_one_error_that_names_one_that_will_do(rng, method, budget):
    net = {f"layer.{i}": rng.standard_normal((48, 64)).astype(np.float32) for i in range(2)}
    net["bias"] = np.zeros(300, np.float32)
    with pytest.raises(
        ValueError, match=r"names and shapes.*1,200 for tensors left alone"
    ) as raised:
        compress(net, budget, methods=method)
    assert f"budget={budget:g} allows {int(budget * (2 * 48 * 64 + 300) * 4):,} bytes" in str(
        raised.value
    )
    enough = float(re.search(r"budget=([\d.]+) is enough", str(raised.value))[1])
    assert enough < 0.5
    assert compress(net, enough, methods=method).ratio <= enough


def test_where_no_form_was_tried_that_fits_the_error_still_says_what_to_change(rng):
    with pytest.raises(ValueError, match="a larger budget or other methods may be enough"):
        compress({"w": rng.standard_normal((4, 6))}, 0.001, methods="dictionary")


def test_tensors_left_alone_can_exceed_the_budget():
    net = {"w": np.eye(32), "frozen": np.zeros(10_000)}
    with pytest.raises(ValueError, match="80,000 for tensors left alone"):
        compress(net, 0.5, methods="sparse")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": "lowrank"}, r"methods has to be one of .*'low_rank'.* got 'lowrank'"),
        ({"methods": ["sparse", "svd"]}, "got 'svd'"),
        ({"methods": []}, "methods is empty"),
        ({"budget": 0}, "budget"),
        ({"budget": 1.5}, "budget"),
        ({"damping": -1}, "^damping"),
        ({"random_state": -1}, "random_state"),
        ({"random_state": 2**32}, "random_state"),
        ({"n_threads": 0}, "n_threads"),
        ({"network": {}}, "no layer to compress"),
        ({"network": {"bias": np.zeros(3)}}, "no layer to compress"),
        (
            {"calibration": Calibration.from_arrays({"v": np.ones((2, 8))})},
            "did you mean|'v' is no",
        ),
        ({"heldout": Calibration.from_arrays({"w": np.ones((2, 7))})}, "have 7 columns"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    good = {"network": {"w": np.eye(8)}, "budget": 0.9}
    with pytest.raises(ValueError, match=message):
        compress(**good | arguments)


def test_wrong_types_are_named():
    with pytest.raises(
        TypeError, match=r"calibration has to be a Calibration, got dict; .*from_arr"
    ):
        compress({"w": np.eye(8)}, calibration={"w": np.ones((2, 8))})
    with pytest.raises(TypeError, match=r"a network has to be a Network, as layers\.read makes"):
        compress([np.eye(8)])


def test_a_compressed_file_is_not_compressed_again(rng, tmp_path):
    compress({"w": rng.standard_normal((64, 64))}, 0.5, methods="low_rank").write(
        tmp_path / "s.npz"
    )
    net = read(tmp_path / "s.npz")
    assert METADATA_KEY in net.metadata
    with pytest.raises(ValueError, match="the network is compressed: pass read_compressed"):
        compress(net, 0.5)


@pytest.mark.parametrize("method", ["sparse", "low_rank"])
def test_the_bits_that_are_left_over_are_used(rng, method):
    """One large layer: no share of the grid is just below what the file allows."""
    W = (rng.standard_normal((128, 160)) / 10).astype(np.float32)
    small = compress({"w": W}, 0.1, methods=method)
    assert 0.97 * 0.1 < small.ratio <= 0.1
    plain = factorize(W, method, budget=0.096)
    assert small.report.rows[0].weight_error <= output_error(W, plain.to_dense())


def test_the_report_says_how_good_the_choice_is(rng):
    small = compress(a_network(rng), 0.5, methods=QUICK)
    allocation = small.report.allocation
    assert allocation.bound <= allocation.error * (1 + 1e-12)
    errors = [row.weight_error for row in small.report.rows]
    assert np.isclose(allocation.error, sum(errors))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_the_budget_is_for_the_file_that_is_written(rng, tmp_path, suffix):
    network = a_network(rng)
    small = compress(network, 0.4, methods=QUICK, suffix=suffix)
    path = tmp_path / f"small{suffix}"
    small.write(path)
    assert 8 * path.stat().st_size == small.bits
    assert small.ratio <= 0.4
    assert read_compressed(path).bits == small.bits


def test_memory_does_not_grow_with_the_candidates(rng):
    """Beyond one fit there is room for the forms that were chosen, and for no others."""
    W = rng.standard_normal((512, 512)).astype(np.float32)

    def peak(work):
        tracemalloc.start()
        work()
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    one = peak(lambda: factorize(W, "sparse", budget=0.25, value_bits=6))
    many = peak(lambda: compress({"w": W}, 0.25, methods="sparse", n_threads=1))
    assert many < one + 6 * W.nbytes


@pytest.mark.slow
def test_sources_of_randomness(rng):
    network = {"w": rng.standard_normal((24, 24))}

    def form(source):
        return compress(network, 0.7, methods="dictionary", random_state=source).factorizations["w"]

    assert form(np.int64(3)) == form(3)
    assert form(np.random.RandomState(0)) == form(np.random.RandomState(0))
    assert form(np.random.default_rng(0)) == form(np.random.default_rng(0))
    assert form(None).shape == (24, 24)


def test_damping_without_a_metric_is_refused(rng):
    with pytest.raises(ValueError, match="damping is not used"):
        compress(a_network(rng), 0.5, damping=0.1)
    with pytest.raises(ValueError, match="damping is not used"):
        factorize(np.eye(4), "sparse", budget=0.5, damping=0.1)


def test_inputs_that_are_all_zero_lose_nothing(rng):
    network = a_network(rng)
    name = Network(network).layers[0].name
    n_inputs = Network(network).layers[0].n_inputs
    zero = Calibration.from_arrays({name: np.zeros((5, n_inputs))})
    small = compress(network, 0.5, methods=QUICK, calibration=zero)
    assert next(r for r in small.report.rows if r.name == name).calibration_error == 0.0


def test_what_cannot_be_stored_is_refused_before_the_work(rng):
    network = {**a_network(rng), "phase": np.ones(3, complex)}
    with pytest.raises(ValueError, match="phase"):
        compress(network, 0.5, progress=lambda done, total: pytest.fail("work was done"))
