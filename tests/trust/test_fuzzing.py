"""Files that went wrong at random: every reader gives a clear error or an answer that holds.

The same files from a seed in every run; ``python -m fuzzing`` goes on for longer, under atheris.
"""

import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")  # of whose files one reader is

from fuzzing import corpus, mutations, readers
from fuzzing.__main__ import READERS, main
from fuzzing.guard import Guard


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    return Guard(tmp_path_factory.mktemp("fuzzing"))


def test_every_reader_is_fuzzed():
    assert tuple(readers.READERS) == READERS == tuple(corpus.MAKERS)


@pytest.mark.parametrize(
    ("status", "stats", "told"),
    [
        (0, "stat::number_of_executed_units: 7", "npz: 7 executions, nothing found"),
        (0, "stat::number_of_executed_units: 0", "npz: 0 executions, NOT FUZZED"),
        (0, "", "npz: 0 executions, NOT FUZZED"),
        (77, "stat::number_of_executed_units: 7", "npz: 7 executions, FOUND"),
        (1, "", "npz: 0 executions, NOT FUZZED"),
    ],
)
def test_an_engine_that_ran_nothing_found_nothing_out(
    monkeypatch, capsys, tmp_path, status, stats, told
):
    done = subprocess.CompletedProcess([], status, "", stats)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: done)
    monkeypatch.setattr(sys, "argv", ["fuzzing", "npz", "--findings", str(tmp_path)])
    if "nothing found" in told:
        main()
    else:
        with pytest.raises(SystemExit, match="what was found is in"):
            main()
    assert capsys.readouterr().out.startswith(told)


@pytest.mark.parametrize("name", READERS)
def test_what_is_wrong_at_random_is_refused_or_right(guard, name):
    honest, n_refused = list(corpus.honest(name).values()), 0
    suffix = readers.READERS[name].suffix
    for data in honest:
        assert not readers.check(name, data, readers.emptied(guard.folder))
    for seed in range(150):
        rng, data = random.Random(seed), honest[seed % len(honest)]
        data = mutations.mutated(data, suffix(data), honest, rng)
        with guard.of(readers.emptied(guard.folder)):
            n_refused += readers.check(name, data, guard.folder)
    assert n_refused < 150
    assert (n_refused > 15) == readers.READERS[name].refuses


def test_the_command_line_shows_any_network_or_one_line(tmp_path):
    for name in ("npz", "safetensors", "onnx"):
        for seed, (file, data) in enumerate(corpus.honest(name).items()):
            path = tmp_path / file
            path.write_bytes(mutations.mutated(data, path.suffix, [data], random.Random(seed)))
            readers.inspect(path)


def test_a_guard_sees_what_is_outside(guard, tmp_path):
    with guard.of(guard.folder):
        (guard.folder / "inside").write_text("")
        with pytest.raises(AssertionError, match="opened"):
            (tmp_path / "outside").write_text("")
        with pytest.raises(AssertionError, match="opened"):
            Path("/etc/passwd").read_bytes()
    (tmp_path / "outside").write_text("")
