"""Interrupted work goes on where it was, to the same bits; failed layers stay as they are."""

import sys
import warnings

import numpy as np
import pytest

from sparsecode.layers import compress

QUICK = ["low_rank", "sparse"]


def a_network(seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((32, 24)).astype(np.float32) for name in "abc"}


class Stop(Exception):
    pass


@pytest.mark.parametrize("after", [1, 4, 8])
def test_what_was_interrupted_goes_on_to_the_same_bits(tmp_path, after) -> None:
    net = a_network()

    def stop(done, total):
        if done == after:
            raise Stop

    whole = compress(net, 0.5, methods=QUICK)
    with pytest.raises(Stop):
        compress(net, 0.5, methods=QUICK, checkpoint=tmp_path / "c", n_threads=1, progress=stop)
    kept = {p.name for p in (tmp_path / "c").iterdir()}
    assert len(kept) >= after
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "c").iterdir()}
    again = compress(net, 0.5, methods=QUICK, checkpoint=tmp_path / "c")
    assert again.factorizations == whole.factorizations
    assert all(p.stat().st_mtime_ns == time for p, time in times.items())


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_interrupt_leaves_the_warnings_of_other_threads_alone(monkeypatch, n_threads) -> None:
    """No filter is changed, which would hold for all threads, and nothing warns."""

    class Watched(warnings.catch_warnings):
        def __init__(self, *args, **kwargs):
            assert not sys._getframe(1).f_globals["__name__"].startswith("sparsecode.")
            super().__init__(*args, **kwargs)

    def stop(done, total):
        raise Stop

    monkeypatch.setattr(warnings, "catch_warnings", Watched)
    with pytest.raises(Stop):
        compress(a_network(), 0.5, methods=QUICK, n_threads=n_threads, progress=stop)


@pytest.mark.parametrize(
    "wrong", [{"include": "nobody"}, {"calibration": "none"}, {"suffix": ".csv"}]
)
def test_a_wrong_argument_makes_no_folder(tmp_path, wrong) -> None:
    arguments = {"budget": 0.5, "methods": QUICK} | wrong
    with pytest.raises((TypeError, ValueError)):
        compress(a_network(), checkpoint=tmp_path / "c", **arguments)
    assert not (tmp_path / "c").exists()


def test_another_layer_is_another_job(tmp_path) -> None:
    compress(a_network(), 0.5, methods=QUICK, checkpoint=tmp_path)
    changed = a_network()
    changed["a"][0, 0] += 1
    again = compress(changed, 0.5, methods=QUICK, checkpoint=tmp_path)
    assert again.factorizations == compress(changed, 0.5, methods=QUICK).factorizations


def test_a_damaged_checkpoint_is_none(tmp_path) -> None:
    net = a_network()
    whole = compress(net, 0.5, methods=QUICK, checkpoint=tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-20])
    again = compress(net, 0.5, methods=QUICK, checkpoint=tmp_path)
    assert again.factorizations == whole.factorizations


def test_a_layer_that_fails_stays_as_it_is_and_is_named() -> None:
    net = a_network()
    net["b"][3, 4] = np.nan
    small = compress(net, 0.8, methods=QUICK, keep_failed=True)
    assert list(small.report.failures) == ["b"]
    assert "W contains NaN" in small.report.failures["b"]
    np.testing.assert_array_equal(small.to_dense()["b"], net["b"])
    assert {row.name for row in small.report.rows} == {"a", "c"}
    assert small.ratio <= 0.8


def test_a_budget_that_a_failure_keeps_from_being_met_names_it() -> None:
    """A layer that no method could do takes all its bits: a larger budget is not what it lacks."""
    rule = {"match": "b", "methods": ["uniform"], "options": {"bits": 99}}
    with pytest.raises(ValueError, match=r"budget=0\.3 allows .*; the layer 'b': uniform failed"):
        compress(a_network(), 0.3, methods=QUICK, rules=[rule], keep_failed=True)
