"""Little memory: an error that says how much was needed, before the work where that is known."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sparsecode import _memory
from sparsecode._memory import check_fits
from sparsecode._validation import check_n_components

WORKER = Path(__file__).parent / "limited.py"
ESTIMATE = r"([\d.e+]+ [KMGTP]iB)"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")


@pytest.fixture(scope="module")
def outcomes():
    """What came of every case, in one process that had to live through all of them."""
    run = subprocess.run(
        [sys.executable, WORKER], capture_output=True, text=True, check=False, timeout=600
    )
    assert run.returncode == 0, run.stderr
    return {line["name"]: line for line in map(json.loads, run.stdout.splitlines())}


def names_of(table):
    """The names of the cases in a table of the worker's, which is not imported here."""
    source = WORKER.read_text(encoding="utf-8")
    block = source[source.index(f"{table}: dict") :]
    return re.findall(r'^    "([^"]+)": ', block[: block.index("\n}\n")], flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("name", names_of("KNOWN"))
def test_what_is_known_to_be_too_large_is_refused_with_an_estimate(outcomes, name):
    outcome = outcomes[name]
    assert outcome.get("error") == "MemoryError", outcome
    assert re.search(
        rf"would take {ESTIMATE}; this (process may take|machine has) [\d.]+", outcome["message"]
    ), outcome
    assert outcome["same"]


@pytest.mark.slow
@pytest.mark.parametrize("name", names_of("OTHERS"))
def test_what_turns_out_too_large_is_a_memory_error(outcomes, name):
    outcome = outcomes[name]
    assert outcome.get("error") == "MemoryError", outcome
    assert outcome["same"]  # and the process is as good as before; LAPACK says not how much


@pytest.mark.slow
@pytest.mark.parametrize("name", ["threads", "tiles"])
def test_fewer_threads_do_the_work_where_there_is_no_room_for_more(outcomes, name):
    assert outcomes[name].get("done"), outcomes[name]
    assert outcomes[name]["same"]


def test_an_estimate_that_no_float_holds_names_the_argument_too():
    with pytest.raises(MemoryError, match=r"^n_components=10+ atoms .* GiB; this machine has "):
        check_n_components(10**160, 3)
    with pytest.raises(MemoryError, match=r"^max_iter would take .* GiB; this machine has "):
        check_fits(10**400, "max_iter")


def test_the_least_of_the_limits_counts(tmp_path, monkeypatch):
    group = tmp_path / "memory.max"
    monkeypatch.setattr(_memory, "GROUPS", (str(group), str(tmp_path / "none")))
    check_fits(2**21, "it")  # no such file
    group.write_text("max\n")
    check_fits(2**21, "it")
    group.write_text(f"{2**21 - 1}\n")
    with pytest.raises(MemoryError, match=r"^it would take .* GiB; this machine has "):
        check_fits(2**21, "it")
    group.write_text("max\n")
    monkeypatch.setattr(_memory, "_left", lambda: 2**21 - 1)
    with pytest.raises(MemoryError, match="this process may take"):
        check_fits(2**21, "it")
    check_fits(2**20, "it")  # so little is not asked for
