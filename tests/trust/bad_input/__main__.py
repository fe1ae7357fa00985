"""Run the table: ``python -m bad_input [--write] [names...]``; print what is not in order."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from .entries import JUDGED, REGISTRY
from .judge import GOOD
from .pool import LIMIT, Verdict, run
from .report import COLUMNS, counts, merged, page, table

PAGE = Path(__file__).parents[3] / "docs" / "user_guide" / "bad_input_table.inc"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bad_input", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names of callables; all by default")
    parser.add_argument("--write", action="store_true", help=f"keep the counts in {PAGE.name}")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds a pair")
    parser.add_argument("--all", action="store_true", help="show the pairs that are right, too")
    options = parser.parse_args()
    names = [n for n in REGISTRY if any(part in n for part in options.names)] or JUDGED
    if options.write:  # a room is told of in whole
        rooms = {REGISTRY[name].room for name in names}
        names = [name for name in JUDGED if REGISTRY[name].room in rooms]
    started = time.perf_counter()

    def tell(v: Verdict) -> None:
        if options.all or v.outcome not in GOOD:
            print(f"{v.outcome:13} {v.entry} | {v.argument} | {v.case} | {v.detail}", flush=True)

    verdicts = run(names, options.workers, options.limit, tell)
    rows = counts(verdicts)
    print(table(rows))
    print(f"{time.perf_counter() - started:.0f} s")
    if any(verdict.outcome not in COLUMNS for verdict in verdicts):
        raise SystemExit("the judge itself failed; the lines above say where")
    if options.write:
        rows = merged(rows, PAGE.read_text(encoding="utf-8"))
        PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
