"""The report: every layer has its row, and the numbers add up."""

import numpy as np
import pytest

from sparsecode.layers import Bits, Calibration, CompressionReport, LayerRow, compress
from sparsecode.layers.report import text_table

HEADER = ["layer", "form", "shape", "bytes", "share", "weights", "calibration", "held-out", "sizes"]


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(0)
    net = {f"layer.{i}": rng.standard_normal((40, 30 + i)).astype(np.float32) for i in range(3)}
    net["bias"] = np.zeros(10)
    moments = Calibration.from_arrays({"layer.1": rng.standard_normal((99, 31))})
    return compress(net, 0.6, methods=["low_rank", "sparse"], calibration=moments)


def test_every_layer_has_a_row_that_says_what_it_is(small):
    text = str(small.report)
    lines = text.splitlines()
    assert lines[0].split() == HEADER
    for line, (name, form), row in zip(
        lines[1:], small.factorizations.items(), small.report.rows, strict=False
    ):
        cells = line.split()
        assert cells[:3] == [name, form.kind, "x".join(map(str, form.shape))]
        assert int(cells[3].replace(",", "")) * 8 == form.bits().total == row.bits.total
        assert cells[4] == f"{form.bits().total / small.original_bits:.1%}"
        np.testing.assert_allclose(float(cells[5]), row.weight_error, rtol=0.01)
        assert (cells[6] == "-") == (name != "layer.1")
        assert cells[7] == "-"
        assert line.endswith(form.summary)
    assert f"{small.bits // 8:,} bytes, {small.ratio:.1%} of {small.original_bits // 8:,}" in text


def test_the_bits_add_up(small):
    report = small.report
    packed = sum((row.bits for row in report.rows), Bits())
    assert report.bits.total == small.bits
    assert report.bits.total == packed.total + 8 * 80 + report.bits.container
    for item, count in packed.items().items():
        rest = 8 * 80 if item == "values" else 0
        if item != "container":
            assert report.bits.items()[item] == count + rest
    assert (report.original_bits, report.budget) == (small.original_bits, 0.6)


def test_the_choice_is_certified(small):
    found = small.report.allocation
    np.testing.assert_allclose(found.error, sum(row.error for row in small.report.rows))
    assert 0 < found.bound <= found.error
    said = f"sum to {found.error:.3g}; none among the forms that were tried gets below"
    assert said in small.report.certificate()
    assert small.report.certificate() in str(small.report)
    within = compress({"w": np.random.default_rng(0).standard_normal((40, 30))}, max_error=0.1)
    bits = within.report.allocation.bits
    assert f"layers take {bits // 8:,} bytes; none" in within.report.certificate()
    assert CompressionReport().certificate() == ""


def test_the_mean_of_an_error_needs_all_of_it(small):
    errors = [row.weight_error for row in small.report.rows]
    np.testing.assert_allclose(small.report.mean_error("weight_error"), np.mean(errors))
    assert small.report.mean_error("calibration_error") is None
    assert CompressionReport().mean_error("weight_error") is None


def test_an_empty_report_can_be_printed():
    assert str(CompressionReport()).startswith("layer")


def test_a_name_cannot_break_the_table():
    row = LayerRow(name="a\nb\x1b[2J", form="dense", summary="", shape=(2, 3), bits=Bits(values=8))
    text = str(CompressionReport((row,), row.bits, 80))
    assert r"a\nb\x1b[2J" in text
    assert "\x1b" not in text
    assert len(text.splitlines()) == 4


def test_columns_are_aligned():
    text = text_table(["name", "bytes", "note"], [["a", "1,024", "x"], ["long name", "8", ""]])
    assert text.splitlines() == [
        "name       bytes  note",
        "a          1,024  x",
        "long name      8",
    ]
    assert text_table(["a", "b"], []) == "a  b"
