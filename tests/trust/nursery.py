"""A process that imports and compiles once, and forks the runs that are to be killed.

``python nursery.py FOLDER SEED KILLS ARGUMENT...`` runs ``sparsecode ARGUMENT...`` in copies of the
folder: once whole, and then so many times until killed, and once more. It prints what lies in the
folders, a line of JSON each. A forked run lacks nothing but the imports, which write no files.

The moment of a kill is drawn in one of three ways: a share of the time of the whole run; when so
many files lie in the checkpoint, and a little later; before the run touches a file of the folder
for the so-manieth time, which is where it would hurt.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsecode.cli import main

TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
LIMIT = 1800.0  # seconds, also on a machine that others use; what takes longer hangs
N_OUTPUTS = 3
Meet = Callable[[int], None]  # given a process, in the parent, at the start of a run


def forked(folder: Path, argv: list[str], meet: Meet, last_touch: int | None = None) -> int:
    """Run the command in `folder`; the exit status, that of a kill negative."""
    pid = os.fork()
    if pid == 0:
        status = 70  # of an error in here, which must not go on as the parent
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            os.chdir(folder)
            touches = killed_at_touch(folder, last_touch)
            status = main(argv)
            if last_touch is None:
                (folder.parent / "counts").write_text(json.dumps(touches))
        finally:
            os._exit(status)
    meet(pid)
    end = time.monotonic() + LIMIT
    while not ended(pid):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            raise TimeoutError("a run hangs")
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ended(pid: int) -> bool:
    """Whether the process is done, without taking its status."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def killed_at_touch(folder: Path, last_touch: int | None) -> dict[str, int]:
    """Count from now on how this process touches files of the folder, until it is killed at one."""
    counts, place = dict.fromkeys(TOUCHES, 0), str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in TOUCHES and isinstance(arguments[0], str | os.PathLike):
            if not os.path.abspath(arguments[0]).startswith(place):
                return
            if sum(counts.values()) == last_touch:
                os.kill(os.getpid(), signal.SIGKILL)
            counts[event] += 1

    sys.addaudithook(hook)
    return counts


def kill(pid: int) -> None:
    """Unless it is done."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def nothing(pid: int) -> None:
    """It may go on."""


def after(seconds: float) -> Meet:
    """A kill so long after the start."""

    def meet(pid: int) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not ended(pid):
            time.sleep(0.001)
        kill(pid)

    return meet


def once_filled(checkpoint: Path, count: int, seconds: float) -> Meet:
    """A kill so long after so many files lie in the checkpoint."""

    def meet(pid: int) -> None:
        while not ended(pid):
            with contextlib.suppress(FileNotFoundError):
                if len(os.listdir(checkpoint)) >= count:
                    break
            time.sleep(0.001)
        after(seconds)(pid)

    return meet


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file in the folder, and of a folder in it that it is one."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.iterdir())
    }


def silent(argv: list[str]) -> int:
    """Run the command here, without a word."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        return main(argv)


def rounds(source: Path, seed: int, n_kills: int, argv: list[str]) -> None:
    """A whole run, and the killed ones."""
    rng = random.Random(seed)
    work = source.parent / "work"
    output = argv[argv.index("-o") + 1]

    def fresh() -> Path:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(source, work)
        return work

    with contextlib.chdir(fresh()):  # whatever is imported and compiled is so from here on
        assert silent(argv) == 0
    begun = time.monotonic()
    status = forked(fresh(), argv, nothing)
    seconds = time.monotonic() - begun
    counts = json.loads((source.parent / "counts").read_text())
    n_touches, n_files = sum(counts.values()), counts["os.rename"]
    print(json.dumps({"status": status, "whole": contents(work)}), flush=True)
    n_done = 0
    while n_done < n_kills:
        way = ("time", "checkpoint", "touch")[n_done % 3]
        meet, touch = nothing, None
        if way == "time":
            meet = after(rng.uniform(0, seconds))
        elif way == "checkpoint":
            n_there = rng.randrange(n_files - N_OUTPUTS)
            meet = once_filled(work / f"{output}.checkpoint", n_there, rng.uniform(0, 0.05))
        else:
            touch = rng.randrange(n_touches)
        begun = time.monotonic()
        status = forked(fresh(), argv, meet, touch)
        if status != -signal.SIGKILL:  # it was done before
            print(json.dumps({"missed": way, "status": status}), flush=True)
            seconds = min(seconds, time.monotonic() - begun)  # the machine has become faster
            continue
        left = contents(work)
        again = forked(work, argv, nothing)
        n_done += 1
        line = {"way": way, "left": left, "status": again, "then": contents(work)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    rounds(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
