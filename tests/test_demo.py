"""The demo end to end: one real network, every method, the files, the table and the page."""

import argparse
import contextlib
import io
import re
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest

from sparsecode import layers
from sparsecode.cli import main
from sparsecode.cli.demo import Outcome, _outcome, comparison, file_name, findings, verdicts
from sparsecode.datasets import digits_network_accuracy, load_digits_network

METHODS = [*(name for name in layers.FAMILIES if name != "dense"), "all"]
POINTS = 0.02


class Demo:
    """One run, in a folder that held a file of that name before."""

    def __init__(self, folder):
        self.folder = folder / "demo"
        self.folder.mkdir()
        (self.folder / "report.html").write_text("old")
        (self.folder / "mine.txt").write_text("keep")
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            self.status = main(["demo", "-o", str(self.folder)])
        self.out = out.getvalue()
        header, *rows = (
            re.split(r"  +", line.strip()) for line in self.out.splitlines()[: 1 + len(METHODS)]
        )
        self.table = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
        self.page = (self.folder / "report.html").read_text(encoding="utf-8")

    def small(self, method):
        return layers.read_compressed(self.folder / f"{file_name(method)}.safetensors")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return Demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def digits():
    return load_digits_network(random_state=0)


def number(text):
    return float(text.replace(",", "").removesuffix("%"))


@pytest.mark.slow
def test_the_best_method_stays_within_two_points(demo, digits):
    after = [number(row["accuracy after"]) / 100 for row in demo.table.values()]
    assert demo.status == 0
    assert digits.accuracy > 0.96
    assert max(after) >= digits.accuracy - POINTS


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_row_says_what_the_file_is(demo, digits, method):
    row, small = demo.table[method], demo.small(method)
    path = demo.folder / f"{file_name(method)}.safetensors"
    original = layers.read(demo.folder / "original.safetensors")
    parts = ("values", "positions", "codebook", "scales", "container")
    assert path.stat().st_size == small.predicted_bytes() <= original.n_bytes / 4
    assert number(row["bytes on disk"]) == path.stat().st_size
    assert sum(number(row[part]) for part in parts) == 8 * path.stat().st_size
    dense = small.to_dense()
    accuracy = digits_network_accuracy(dense, digits.X_test, digits.y_test)
    assert row["accuracy after"] == f"{accuracy:.1%}"
    assert row["accuracy before"] == f"{digits.accuracy:.1%}"
    # The errors once more, from the outputs themselves.
    columns = {
        "weight error": None,
        "calibration error": digits.calibration_inputs,
        "held-out error": digits.heldout_inputs,
    }
    for column, inputs in columns.items():
        errors = []
        for name in small.factorizations:
            W = original[name].astype(np.float64)
            X = np.eye(W.shape[1]) if inputs is None else inputs[name].astype(np.float64)
            errors.append(np.sum((X @ (W - dense[name]).T) ** 2) / np.sum((X @ W.T) ** 2))
        assert number(row[column]) == pytest.approx(np.mean(errors), rel=6e-3)


@pytest.mark.slow
def test_it_says_plainly_which_methods_are_good(demo, digits):
    within, without = (
        set(re.findall(r"([\w+]+) \(", re.search(rf"^{start}.*: (.*)\.$", demo.out, re.M)[1]))
        for start in ("Within 2 points", "Not within 2 points")
    )
    good = {
        method
        for method in METHODS
        if digits_network_accuracy(demo.small(method).to_dense(), digits.X_test, digits.y_test)
        >= digits.accuracy - POINTS
    }
    assert within == good
    assert without == set(METHODS) - good
    assert "every file gives the same network" in demo.out


@pytest.mark.slow
def test_the_automatic_choice_has_the_least_error(demo):
    errors = {method: number(row["calibration error"]) for method, row in demo.table.items()}
    assert errors["all"] == min(errors.values())


@pytest.mark.slow
def test_the_page_has_the_table_and_four_pictures_and_loads_nothing(demo):
    visible = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "DATA", demo.page)
    assert visible.count('src="DATA"') == visible.count("<img") == 4
    assert "http" not in visible
    assert visible.count("<figcaption>") == visible.count('alt="') == 4
    for method, row in demo.table.items():
        assert f"<td>{method}</td>" in visible
        assert f'<td class="number">{row["bytes on disk"]}</td>' in visible
    assert "within 2 points, best" in visible


@pytest.mark.slow
def test_the_folder_is_whole_and_what_was_there_stays(demo):
    assert {path.name for path in demo.folder.iterdir()} == {
        "mine.txt",
        "report.html",
        "original.safetensors",
        "calibration.npz",
        "heldout.npz",
        *(f"{file_name(method)}.safetensors" for method in METHODS),
    }
    assert (demo.folder / "mine.txt").read_text() == "keep"


@pytest.mark.slow
def test_the_next_steps_work_as_printed(demo, capsys):
    import shlex

    steps = [line for line in demo.out.splitlines() if line.startswith("  sparsecode ")]
    assert [shlex.split(line)[1] for line in steps] == ["inspect", "compress", "expand"]
    assert str(demo.folder / "calibration.npz") in steps[1]
    inspect, compress, expand = (shlex.split(line)[1:] for line in steps)
    assert main(inspect) == 0
    assert main([*compress, "--method", "low_rank"]) == 0
    assert main(expand) == 0
    dense = layers.read(expand[-1])
    small = layers.read_compressed(expand[1])
    assert dict(dense).keys() == dict(layers.read(inspect[1])).keys()
    assert all(np.array_equal(dense[name], small.to_dense()[name]) for name in dense)
    for name in ("small.safetensors", "dense.npz"):
        (demo.folder / name).unlink()


def test_a_budget_that_no_method_can_meet_is_bad_input(tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path / "new"), "--budget", "0.01"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "no method" in error
    assert "--budget" in error


@pytest.mark.parametrize(
    ("error", "caught"), [(layers.BudgetError("too small"), True), (ValueError("a bug"), False)]
)
def test_only_a_budget_that_is_too_small_is_taken_for_one(tmp_path, monkeypatch, error, caught):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(layers, "compress", fail)
    args = argparse.Namespace(budget=0.25, seed=0)
    outcome = partial(_outcome, "sparse", {}, (None, None), None, tmp_path, args, None)
    with nullcontext() if caught else pytest.raises(ValueError, match="a bug"):
        assert outcome().small is None


def outcomes():
    rng = np.random.default_rng(0)
    plain = {"match": "w", "methods": ["sparse"], "options": {"criterion": "magnitude"}}
    small = layers.compress({"w": rng.standard_normal((32, 32))}, 0.5, rules=[plain])
    return [
        Outcome("good", small, small.bits // 8, 0.95, intact=True),
        Outcome("bad", small, small.bits // 8, 0.9, intact=False),
        Outcome("large", None, 0, float("nan"), intact=True),
    ]


def test_a_method_that_fails_is_in_the_table_and_in_the_words():
    header, rows = comparison(outcomes(), 0.96)
    assert all(len(row) == len(header) for row in rows)
    assert rows[2][0] == "large"
    assert rows[2][-1] == "-"
    assert "scales" not in header  # nothing has any
    assert verdicts(outcomes(), 0.96) == [
        "within 2 points, best",
        "not within 2 points",
        "not possible",
    ]
    text = "\n".join(findings(outcomes(), 0.96))
    assert "Not possible in so few bits: large." in text
    assert "NOT the same network when read back" in text
    assert "predicted: bad." in text


@pytest.mark.parametrize(("accuracy", "good"), [(0.94, True), (0.9399, False)])
def test_two_points_is_the_limit_itself(accuracy, good):
    outcome = outcomes()[0]
    edge = Outcome("edge", outcome.small, outcome.n_bytes, accuracy, intact=True)
    assert ("not" not in verdicts([edge], 0.96)[0]) is good


@pytest.mark.parametrize("method", METHODS)
def test_names_of_files_are_safe_and_differ(method):
    assert re.fullmatch(r"\w+", file_name(method))
    assert len({file_name(other) for other in METHODS}) == len(METHODS)
