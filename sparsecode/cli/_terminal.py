"""What a user sees: lines, tables and progress, plain where the output is no terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self, TextIO

from sparsecode._text import printable

SHORT = 1.0  # seconds of work that need no progress
PAUSE = 10.0  # seconds between the lines that stand for a bar where there is no terminal
GAP = 2  # blanks between columns

Rows = Sequence[Sequence[str]]


def say(text: str = "") -> None:
    """Print lines of text to stdout."""
    print("\n".join(shown(line, sys.stdout) for line in text.split("\n")))


def complain(kind: str, message: str) -> None:
    """Print an error or a warning to stderr, in one line."""
    print(shown(f"sparsecode: {kind}: {' '.join(message.split())}", sys.stderr), file=sys.stderr)


def shown(text: str, stream: TextIO) -> str:
    """The text as the stream can show it, and nothing in it that a terminal would obey."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return printable(text).encode(encoding, "backslashreplace").decode(encoding)


def print_table(header: Sequence[str], rows: Rows) -> None:
    """Print a table; on a terminal too narrow for it, its columns come in several blocks."""
    from sparsecode.layers.report import is_numeric, text_table

    cells = [[shown(cell, sys.stdout) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        print(text_table(header, cells))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    columns = list(zip(*cells, strict=True)) or [() for _ in header]
    widths = [
        max(map(len, [*column, *name.split()]))
        for name, column in zip(header, columns, strict=True)
    ]
    widths[0] = min(widths[0], console.width // 2)
    for i, block in enumerate(_blocks(widths, console.width)):
        if i > 0:
            console.print()
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for j in block:
            justify: Any = "right" if is_numeric(columns[j]) else "left"
            name = Text(header[j].replace(" ", "\n"))
            table.add_column(
                name, justify=justify, overflow="fold", vertical="bottom", max_width=widths[j]
            )
        for row in cells:
            table.add_row(*(Text(row[j]) for j in block))  # Text: no markup in names
        console.print(table)


def _blocks(widths: Sequence[int], available: int) -> Iterator[list[int]]:
    """Columns that fit side by side, the first of all repeated in front of each block."""
    block = [0]
    for j in range(1, len(widths)):
        used = sum(widths[i] + GAP for i in block)
        if len(block) > 1 and used + widths[j] > available:
            yield block
            block = [0]
        block.append(j)
    yield block


class Progress:
    """How far some work is, on stderr, once it has taken a second.

    A bar on a terminal; elsewhere a line when the work changes, and now and then. The instance is
    itself the callback ``(done, total)`` that the functions of the package take, from any thread.
    """

    def __init__(self, what: str) -> None:
        self._what, self._done, self._total = what, 0, 0
        self._lock = threading.RLock()
        self._bar: Any = None
        self._task: Any = None
        self._begun = self._closed = False
        self._next_line = 0.0
        self._timer = threading.Timer(SHORT, self._begin)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._bar is not None:
                self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Say that so many steps of all are done."""
        with self._lock:
            self._done, self._total = max(done, self._done), total
            self._show()

    def stage(self, what: str) -> None:
        """Say that something else is being done, of which no step is done yet."""
        with self._lock:
            self._what, self._done, self._total, self._next_line = what, 0, 0, 0.0
            self._show()

    def _begin(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._begun = True
            if sys.stderr.isatty():
                self._bar = _bar()
                self._task = self._bar.add_task(self._what, total=None)
                self._bar.start()
            self._show()

    def _show(self) -> None:
        if not self._begun or self._closed:
            return
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=self._what,
                completed=self._done,
                total=self._total or None,
            )
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + PAUSE
            count = f": {self._done} of {self._total}" if self._total else ""
            print(f"{shown(self._what, sys.stderr)}{count} ...", file=sys.stderr, flush=True)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
