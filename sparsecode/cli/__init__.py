"""The command line: argparse over the public functions, one file a command.

A command has `add_parser`, which says what it takes, and `run`, which does it and gives the exit
status. Nothing but argparse is imported until a command runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from sparsecode import __version__
from sparsecode.cli import compress, decompose, demo, expand, frontier, inspect, warmup
from sparsecode.cli._terminal import complain

__all__ = ["main"]

COMMANDS = (demo, inspect, compress, expand, frontier, decompose, warmup)

DONE, NOT_AS_ASKED, BAD_INPUT = 0, 1, 2
INTERRUPTED, BROKEN_PIPE = 130, 141  # what a shell reports for SIGINT and SIGPIPE

EPILOG = """\
exit status: 0 done; 1 done, but not all of it is as asked (a solver did not converge);
2 bad usage or bad input, with one line on stderr that says what to do.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        complain("error", f"{message}; see `{self.prog} --help`")
        raise SystemExit(BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sparsecode",
        description="Sparse and low-rank structure in matrices and the weights of networks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sparsecode {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of ``sparsecode``.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; those of the process by default.

    Returns
    -------
    int
        The exit status: 0 done; 1 done, but not all of it is as asked; 2 bad usage or bad input,
        after one line on stderr; 130 interrupted; 141 nobody reads the output any more.

    Examples
    --------
    >>> from sparsecode.cli import main
    >>> main(["--version"])
    sparsecode ...
    0
    """
    if argv is not None and (
        isinstance(argv, str)
        or not isinstance(argv, Sequence)
        or not all(isinstance(word, str) for word in argv)
    ):
        raise TypeError(f"argv has to be a sequence of strings, got {argv!r}")
    parser = _parser()
    try:
        args = parser.parse_args(argv)
        if "run" not in args:
            names = ", ".join(command.__name__.rpartition(".")[2] for command in COMMANDS)
            parser.error(f"name a command: {names}")
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        status = _run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain("error", "interrupted; a file that was being written is as it was before")
        return INTERRUPTED
    except BrokenPipeError:
        # What is left in the buffer would fail once more when the interpreter closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (ValueError, OSError, MemoryError, ImportError) as error:
        complain("error", _reason(error))
        return BAD_INPUT


def _run(args: argparse.Namespace) -> int:
    """The command, its warnings as lines; a solver that did not converge is not as asked."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        status = args.run(args)
    # By name: importing the class means importing scikit-learn.
    unconverged = [w for w in caught if w.category.__name__ == "ConvergenceWarning"]
    for message in dict.fromkeys(str(w.message) for w in unconverged):
        complain("warning", message)
    return NOT_AS_ASKED if unconverged and status == DONE else status


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory for this input ({error or 'no more is known'})"
    return str(error) or type(error).__name__
