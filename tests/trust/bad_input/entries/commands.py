"""The command line: a command is a callable whose arguments are words.

What is wrong with one has to be said in one line, with exit status 2: never a traceback.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import io
import math
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from bad_input.arguments import OMITTED, Thing, Word
from bad_input.entry import Answers, Entry, entry
from sparsecode import layers
from sparsecode.cli import BAD_INPUT, main
from sparsecode.datasets import load_digits_network
from sparsecode.layers.formats import write_tensors

ROOM = "command line"
rng = np.random.default_rng(6)
# Large enough for what a file says of its arrays.
NETWORK = {"a.weight": rng.standard_normal((30, 40)), "b.weight": rng.standard_normal((20, 30))}


@functools.cache
def folder() -> Path:
    """Where each command finds its files, and writes."""
    made = Path(tempfile.mkdtemp(prefix="bad-input-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    layers.Network(NETWORK).write(made / "net.safetensors")
    layers.compress(NETWORK, 0.8, methods="low_rank").write(made / "small.safetensors")
    write_tensors(made / "acts.npz", {"a.weight": rng.standard_normal((50, 40))})
    np.save(made / "M.npy", np.outer(np.arange(1.0, 9), np.ones(6)))
    (made / "recipe.toml").write_text('methods = ["low_rank"]\n')
    return made


def status_of(argv: Any) -> int:
    """The exit status; bad input is an error with the line that was printed."""
    said = io.StringIO()
    with (
        contextlib.chdir(folder()),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(said),
    ):
        status = main(argv)
    lines = [each for each in said.getvalue().splitlines() if not each.endswith("...")]
    if status == BAD_INPUT:  # beside what tells of progress there is one line
        if len(lines) != 1 or not lines[0].startswith("sparsecode: error: "):
            raise AssertionError(f"{len(lines)} lines on stderr: {said.getvalue()!r}")
        raise ValueError(lines[0])
    return status


def mine(argv: Any) -> int:
    """With the words of the process where none are given."""
    with mock.patch.object(sys, "argv", ["sparsecode", "--version"]):
        return status_of(argv)


def number(word: str) -> bool:
    """Whether a float stands there, maybe one out of its range."""
    with contextlib.suppress(ValueError):
        return math.isfinite(float(word))
    return False


def whole(word: str) -> bool:
    """Whether an integer does."""
    with contextlib.suppress(ValueError):
        return int(word) >= 0
    return False


def file(value: str, **more: Any) -> Word:
    return Word(value=value, path=True, **more)


def command(name: str, *words: str, fixed: tuple[str, ...] = (), **given: Word) -> Entry:
    """The command with arguments in this order: `words` come as they are, others as options."""

    def call(**arguments: Any) -> int:
        argv = [name.partition(",")[0], *fixed]
        for key, word in arguments.items():
            argv += [word] if key in words else [f"--{key.replace('_', '-')}={word}"]
        return status_of(argv)

    def escaped(**arguments: Any) -> int:
        try:
            return call(**arguments)
        except ValueError:
            raise
        except BaseException as error:  # what is caught nowhere is a traceback on the terminal
            raise RuntimeError(f"traceback: {type(error).__name__}: {error}") from error

    return entry(
        f"cli.main, {name}", ROOM, given={"argv": None, **given}, call=escaped,
        answers=lambda status: {"status": status}, check=done,
        aliases={"input": ("IN", "FILE", "SMALL", "M.npy"), "n_outliers": ("--n-outliers",),
                 "max_error": ("--max-error",), "max_iter": ("--max-iter",),
                 "word": ("arguments",)},
    )  # fmt: skip


def done(arguments: dict[str, Any], answers: Answers, tolerance: float) -> str | None:
    """As asked, or not all of it."""
    return None if answers["status"] in (0, 1) else f"status {answers['status']}"


LAYERS = {
    "method": Word(value="low_rank", legal=lambda w: False),
    "calibration": file("acts.npz"),
    "include": Word(),
    "exclude": Word(),
    "orientation": Word(),
    "seed": Word(legal=whole),
    "threads": Word(legal=lambda w: whole(w) and int(w) > 0),
}


def shortened(demo: Entry) -> Entry:
    """Of one method, on networks that are trained once for all pairs."""
    digits = functools.cache(lambda random_state: load_digits_network(random_state=random_state))

    def call(**arguments: Any) -> Any:
        one = {"uniform": layers.FAMILIES["uniform"]}
        with (
            mock.patch("sparsecode.datasets.load_digits_network", digits),
            mock.patch("sparsecode.layers.FAMILIES", one),
            mock.patch("sparsecode.cli.demo.EVERY", "uniform"),
        ):
            return demo.call(**arguments)

    return dataclasses.replace(demo, call=call)


ENTRIES = [
    # Where it writes may be any folder, and one that is not there is made: no word is tried.
    shortened(command("demo", fixed=("--output=shown",), budget=Word(value="0.5", legal=number),
                      seed=Word(legal=whole))),
    command("warmup", "word", word=Word(value="--help")),
    entry("cli.main", ROOM, given={"argv": Thing(value=["--version"], none=True)},
          call=mine, answers=lambda status: {"status": status}, check=done),
    command("inspect", "input", input=file("net.safetensors"), orientation=Word()),
    command("compress", "input", fixed=("--force",), input=file("net.safetensors"),
            output=file("out.npz"), budget=Word(value="0.9", legal=number), **LAYERS,
            recipe=file(OMITTED), heldout=file(OMITTED), report=file(OMITTED),
            manifest=file(OMITTED)),
    command("compress, within an error", "input", fixed=("--force",),
            input=file("net.safetensors"), output=file("out.npz"),
            max_error=Word(value="0.5", legal=number)),
    command("expand", "input", fixed=("--force",), input=file("small.safetensors"),
            output=file("out.npz")),
    command("frontier", "input", fixed=("--force",), input=file("net.safetensors"),
            output=file("out.html"), **LAYERS),
    command("decompose", "input", fixed=("--force",), input=file("M.npy"), output=file("out.npz"),
            method=Word(), alpha=Word(legal=number), tol=Word(legal=number),
            max_iter=Word(legal=whole)),
    command("decompose, of a rank", "input", fixed=("--force", "--method=godec"),
            input=file("M.npy"), output=file("out.npz"), rank=Word(value="1", legal=whole),
            n_outliers=Word(value="2", legal=whole)),
    command("decompose, with noise", "input", fixed=("--force", "--method=stable"),
            input=file("M.npy"), output=file("out.npz"), sigma=Word(value="0.1", legal=number)),
]  # fmt: skip
