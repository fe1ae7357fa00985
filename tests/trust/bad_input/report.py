"""The counts, room by room."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from .entries import OPEN
from .judge import Outcome
from .pool import Verdict

COLUMNS = [str(outcome) for outcome in Outcome]
HEADER = ["room", "callables", "pairs", *COLUMNS]


def counts(verdicts: Iterable[Verdict]) -> list[list[str]]:
    """A row a room, and the total."""
    rooms: dict[str, Counter[str]] = {}
    names: dict[str, set[str]] = {}
    for v in verdicts:
        for room in (v.room, "total"):
            rooms.setdefault(room, Counter())[v.outcome] += 1
            names.setdefault(room, set()).add(v.entry)
    rows = []
    for room in sorted(rooms, key=lambda r: (r == "total", r)):
        found = rooms[room]
        numbers = [len(names[room]), found.total(), *(found[column] for column in COLUMNS)]
        rows.append([room, *map(str, numbers)])
    return rows


def table(rows: list[list[str]]) -> str:
    """Plain text."""
    lines = [HEADER, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in
                  enumerate(zip(line, widths, strict=True)))
        for line in lines
    )  # fmt: skip


def merged(rows: list[list[str]], page: str) -> list[list[str]]:
    """With the rooms of the page that were not run, as they stand there, and the sum of all."""
    rooms = {row["room"]: list(row.values()) for row in read(page)} | {row[0]: row for row in rows}
    del rooms["total"]
    columns = list(zip(*(row[1:] for row in rooms.values()), strict=True))
    total = ["total", *(str(sum(map(int, column))) for column in columns)]
    return [*(rooms[room] for room in sorted(rooms)), total]


def page(rows: list[list[str]]) -> str:
    """What the documentation includes."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [HEADER, *rows]:
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
    names = [f"``{name.removeprefix('sparsecode.')}``" for name in sorted(OPEN)]
    still = (
        f"\nRegistered, with pairs that are still to mend or to run: {', '.join(names)}.\n"
        if names
        else ""
    )
    return "\n".join(lines) + "\n" + still


def read(text: str) -> list[dict[str, str]]:
    """The rows of a page."""
    cells = re.findall(r"^ {3}(?:\* | {2})- ?(.*)$", text, flags=re.MULTILINE)
    width = len(HEADER)
    lines = [cells[i : i + width] for i in range(0, len(cells), width)]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
