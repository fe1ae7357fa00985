"""The pairs of a callable, and what is compiled before they are timed."""

from __future__ import annotations

import contextlib

import numpy as np

from .arguments import Data
from .cases import Case, cases_of
from .entry import Entry
from .judge import base, call, values_of


def pairs_of(entry: Entry) -> list[tuple[str, Case]]:
    """The arguments of a callable with the cases that concern them, always in the same order."""
    return [(name, case) for name, a in entry.arguments.items() for case in cases_of(a)]


def warm(entry: Entry) -> None:
    """The ordinary answer, which has to pass the check, and kernels in single precision."""
    answers = base(entry)
    wrong = entry.check(values_of(entry), answers, entry.rtol) if entry.check else None
    if wrong or (wrong := entry.finite(answers)):
        raise RuntimeError(f"{entry.name} on ordinary input: {wrong}")
    single = {
        n: v.astype(np.float32) if isinstance(entry.arguments[n], Data) else v
        for n, v in values_of(entry).items()
    }
    with contextlib.suppress(Exception):
        call(entry, single)
