"""The pairs on a few worker processes, each under a time limit; the dead are counted, replaced."""

from __future__ import annotations

import json
import os
import queue
import selectors
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .entries import REGISTRY
from .pairs import pairs_of

LIMIT, WARM_LIMIT = 30.0, 300.0  # seconds a pair, and for compiling what the pairs of a name need
SERVED = 10  # callables, before a worker is replaced by a fresh one
IDLE, PATIENCE = 0.2, 3  # with less work than this, so many limits long, it waits for nothing


@dataclass(frozen=True)
class Verdict:
    """A pair and what came of it."""

    entry: str
    room: str
    argument: str
    case: str
    outcome: str
    detail: str


class _Told(list[Verdict]):
    def __init__(self, tell: Callable[[Verdict], None]) -> None:
        super().__init__()
        self.tell = tell

    def append(self, verdict: Verdict) -> None:
        super().append(verdict)
        self.tell(verdict)


class Worker:
    """A process and the lines it answers with."""

    def __init__(self, cache: Path | None) -> None:
        environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONWARNINGS="ignore")
        if cache is not None:
            environment["NUMBA_CACHE_DIR"] = str(cache)
        root = Path(__file__).parents[1]
        paths = [str(root), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bad_input.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        assert self.process.stdout is not None
        self.buffer = b""
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def order(self, **words: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()

    def line(self, limit: float) -> dict[str, Any] | None:
        """The next answer; None if it takes too long, EOFError if there will be none.

        Too long is counted in its own seconds: others may be using the machine, or have stopped it.
        """
        assert self.process.stdout is not None
        began = last = self._seconds()[0]
        idle = 0
        while b"\n" not in self.buffer:
            if not self.selector.select(limit):
                used, stopped = self._seconds()
                idle = idle + 1 if used - last < IDLE and not stopped else 0
                if used - began > limit or idle > PATIENCE:
                    return None
                last = used
                continue
            piece = self.process.stdout.read()
            if not piece:
                raise EOFError
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def _seconds(self) -> tuple[float, bool]:
        """Processor time it used, where the system tells, and whether somebody stopped it."""
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return 0.0, False
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), fields[0] == "T"

    def end(self) -> int | None:
        self.process.kill()
        self.selector.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return self.process.wait()


def _cache(place: int) -> Path | None:
    """A cache of kernels of its own for each worker, begun with what is there already."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    if not given:
        return None
    mine = Path(given, f"worker-{place}")
    if not mine.exists() and Path(given).exists():
        skipped = shutil.ignore_patterns("worker-*", "gw*")
        shutil.copytree(given, mine, ignore=skipped)
    return mine


def run(
    names: list[str] | None = None,
    n_workers: int = 2,
    limit: float = LIMIT,
    tell: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Judge every pair of the named callables, of all by default; `tell` hears of each at once."""
    waiting: queue.Queue[str] = queue.Queue()
    names = list(REGISTRY) if names is None else names
    for name in sorted(names, key=lambda n: -len(pairs_of(REGISTRY[n]))):
        waiting.put(name)
    verdicts: dict[str, list[Verdict]] = {n: _Told(tell) for n in names}
    threads = [
        threading.Thread(target=_serve, args=(waiting, verdicts, _cache(place), limit))
        for place in range(n_workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [verdict for name in names for verdict in verdicts[name]]


def _serve(
    waiting: queue.Queue[str],
    verdicts: dict[str, list[Verdict]],
    cache: Path | None,
    limit: float,
) -> None:
    worker, served = Worker(cache), 0
    try:
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            if served == SERVED:  # what one leaves behind is not the next ones' burden
                worker.end()
                worker, served = Worker(cache), 0
            served += 1
            found = verdicts[name]
            pairs, start = pairs_of(REGISTRY[name]), 0
            while start < len(pairs):
                start, how = _run_entry(worker, name, pairs, start, found, limit)
                if how is None:
                    break
                code = worker.end()
                if start < 0:
                    found.append(_verdict(name, "", "ordinary input", how, str(code)))
                    worker = Worker(cache)
                    break
                found.append(_verdict(name, *_names(pairs[start]), how, f"exit status {code}"))
                worker, start = Worker(cache), start + 1
    finally:
        worker.end()


def _run_entry(
    worker: Worker, name: str, pairs: Any, start: int, found: list[Verdict], limit: float
) -> tuple[int, str | None]:
    """The pair it ended at and how: None if it is done, "hang" or "crash"."""
    at = -1
    try:
        worker.order(entry=name, start=start)
        while True:
            answer = worker.line(WARM_LIMIT if at < 0 else limit)
            if answer is None:
                return at, "hang"
            if "broken" in answer:
                found.append(_verdict(name, "", "ordinary input", "broken", answer["broken"]))
                return at, None
            if "finished" in answer:
                return at, None
            if "begin" in answer:
                at = -1 if answer["begin"] == "warm" else answer["begin"]
            elif answer["end"] != "warm":
                outcome, detail = answer["outcome"], answer["detail"]
                found.append(_verdict(name, *_names(pairs[answer["end"]]), outcome, detail))
    except (EOFError, BrokenPipeError):
        return at, "crash"


def _names(pair: Any) -> tuple[str, str]:
    return pair[0], pair[1].name


def _verdict(name: str, argument: str, case: str, outcome: str, detail: str) -> Verdict:
    return Verdict(name, REGISTRY[name].room, argument, case, outcome, detail)
