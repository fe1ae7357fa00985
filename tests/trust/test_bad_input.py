"""Bad input, systematically: every public callable is listed, no judged pair silently wrong."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest
from bad_input import report
from bad_input.cases import CASES
from bad_input.coverage import callables, left_out
from bad_input.entries import JUDGED, OPEN, REGISTRY, networks
from bad_input.judge import GOOD
from bad_input.pairs import pairs_of
from bad_input.pool import run

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "bad_input_table.inc"


def test_every_public_callable_is_registered() -> None:
    covered = {entry.covers for entry in REGISTRY.values()}
    missing = [name for name in callables() if name not in covered and not left_out(name)]
    assert missing == []
    assert [name for name in sorted(covered) if name not in callables()] == []


def test_the_table_has_each_case_once() -> None:
    assert [key for key, n in Counter(case.key for case in CASES).items() if n > 1] == []


def test_every_case_is_used() -> None:
    used = {case.key for entry in REGISTRY.values() for _, case in pairs_of(entry)}
    assert [case.key for case in CASES if case.key not in used] == []


def test_every_callable_has_cases() -> None:
    assert [name for name, entry in REGISTRY.items() if not pairs_of(entry)] == []


def test_the_page_has_the_numbers_of_pairs() -> None:
    pairs: Counter[str] = Counter()
    for entry in (REGISTRY[name] for name in JUDGED):
        pairs[entry.room] += len(pairs_of(entry))
    rows = report.read(PAGE.read_text(encoding="utf-8"))
    told = {row["room"]: int(row["pairs"]) for row in rows if row["room"] != "total"}
    if importlib.util.find_spec("torch") is None:
        told.pop(networks.TORCH, None)
    assert told == pairs


def test_what_is_open_is_registered() -> None:
    assert sorted(OPEN - set(REGISTRY)) == []


@pytest.mark.slow
def test_nothing_is_silent_and_nothing_is_lost() -> None:
    verdicts = run(JUDGED)
    print(report.table(report.counts(verdicts)))
    wrong = [v for v in verdicts if v.outcome not in GOOD]
    assert [f"{v.outcome}: {v.entry} | {v.argument} | {v.case} | {v.detail}" for v in wrong] == []
