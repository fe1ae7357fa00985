"""``sparsecode compress``: a network in a fraction of its bits."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsecode.cli._files import (
    check_ending,
    check_formats,
    claimed_files,
    path_name,
    read_any,
    read_moments,
    write_unless_other,
)
from sparsecode.cli._options import add_choice_of_layers, check_methods
from sparsecode.cli._terminal import Progress, complain, print_table, say

if TYPE_CHECKING:
    from sparsecode.layers import CompressedNetwork, CompressionReport


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compress",
        help="store a network in a fraction of its bits",
        description="Store a network in a fraction of its bits, with the least damage to the "
        "outputs of its layers.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "input", type=path_name, metavar="IN", help="the network, .safetensors, .npz or .onnx"
    )
    parser.add_argument(
        "-o", "--output", type=path_name, metavar="OUT", required=True, help="the file to write"
    )
    parser.add_argument(
        "--budget",
        metavar="SIZE",
        help="size of OUT: a fraction of the tensors' bytes in (0, 1], or a size such as '24 MB'; "
        "default 0.25",
    )
    parser.add_argument(
        "--max-error",
        type=float,
        metavar="E",
        help="instead: the smallest OUT whose layers' outputs have a mean relative squared error "
        "of at most E",
    )
    parser.add_argument(
        "--recipe",
        type=path_name,
        metavar="FILE",
        help=".toml with budget, methods and rules for layers, or the .json record of a "
        "compression, which makes the same one again",
    )
    add_choice_of_layers(parser)
    parser.add_argument(
        "--heldout",
        type=path_name,
        metavar="FILE",
        help="other inputs, which only the reported errors look at",
    )
    parser.add_argument(
        "--report", type=path_name, metavar="HTML", help="also write a report, .html"
    )
    parser.add_argument(
        "--manifest",
        type=path_name,
        metavar="JSON",
        help="the record, .json: hashes, versions, recipe, bits and errors; by default "
        "OUT.manifest.json",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compress, write, and say what it cost."""
    from sparsecode.layers.checkpoint import check_ours

    methods, budget = check_methods(args), _budget(args)
    record = args.manifest or f"{args.output}.manifest.json"
    inputs = [args.input, args.calibration, args.heldout, args.recipe]
    outputs = [path for path in (args.output, args.report, record) if path is not None]
    checkpoint = Path(f"{args.output}.checkpoint")
    inputs = [path for path in inputs if path is not None]
    # What a run left that was killed between its outputs is compared when this one writes them.
    force = args.force or checkpoint.is_dir()
    with claimed_files(inputs, outputs, force=force):
        check_formats(args.output)
        check_ending(args.report, ".html", "--report")
        check_ending(args.manifest, ".json", "--manifest")
        check_ours(checkpoint)
        asked = _asked(args, methods, budget)
        with _resumable(checkpoint):
            small = _compressed(args, checkpoint, asked)
            _write(args, small, record, checkpoint)
    print_report(small.report)
    for path in outputs:
        say(f"wrote {path}")
    for name, reason in small.report.failures.items():
        complain("warning", f"the layer {name!r}: {reason}")
    return 1 if small.report.failures else 0


def _compressed(
    args: argparse.Namespace, checkpoint: Path, asked: dict[str, Any]
) -> CompressedNetwork:
    from sparsecode import layers

    network = read_any(args.input, args.orientation)
    if not isinstance(network, layers.Network):
        raise ValueError(f"{args.input} is compressed already; `sparsecode expand` it first")
    calibration = read_moments(args.calibration, network, args.threads)
    heldout = read_moments(args.heldout, network, args.threads)
    with Progress("compressing") as progress:
        return layers.compress(
            network,
            calibration=calibration,
            heldout=heldout,
            include=args.include,
            exclude=args.exclude,
            suffix=Path(args.output).suffix,
            keep_failed=True,
            checkpoint=checkpoint,
            n_threads=args.threads,
            progress=progress,
            **asked,
        )


def _write(
    args: argparse.Namespace, small: CompressedNetwork, record: str, checkpoint: Path
) -> None:
    """All outputs; the record last, which has the hash of the first."""
    from sparsecode import layers
    from sparsecode._files import write_json

    def write(path: str, how: Callable[[str], None]) -> None:
        write_unless_other(path, how, checkpoint, force=args.force)

    write(args.output, small.write)
    if args.report is not None:
        from sparsecode.layers.html import write_page

        page = small.report.to_html(f"{args.input}, compressed")
        write(args.report, lambda path: write_page(path, page))
    others = {"calibration": args.calibration, "heldout": args.heldout, "recipe": args.recipe}
    content = layers.manifest(small, args.input, args.output, **others)
    write(record, lambda path: write_json(path, content))


@contextmanager
def _resumable(checkpoint: Path) -> Iterator[None]:
    """What is done lies in this folder until the work ends, well or with an input to mend.

    After an interrupt or a full disk it stays, and the same command goes on from there. What an
    earlier run left is not lost by one that asks for something else, and wrongly.
    """
    from sparsecode.layers.checkpoint import remove

    mine = not checkpoint.exists()
    try:
        yield
    except ValueError:
        if mine:
            remove(checkpoint)
        raise
    remove(checkpoint)


def _budget(args: argparse.Namespace) -> float | str | None:
    from sparsecode._validation import check_real
    from sparsecode.layers.sizes import share_of

    if args.max_error is not None:
        check_real(args.max_error, "--max-error", low=0, open_low=True)
    if args.budget is None:
        return None
    if args.max_error is not None:
        raise ValueError("give --budget or --max-error, not both")
    try:
        budget: float | str = float(args.budget)
    except ValueError:
        budget = args.budget
    try:
        share_of(budget, 1)
    except ValueError as error:
        raise ValueError(f"--{error}") from error
    return budget


def _asked(
    args: argparse.Namespace, methods: list[str] | str, budget: float | str | None
) -> dict[str, Any]:
    """What the options ask for, or the recipe where they say nothing."""
    if args.recipe is None:
        return {
            "budget": budget,
            "max_error": args.max_error,
            "methods": methods,
            "random_state": args.seed,
        }
    from sparsecode.layers import Recipe

    recipe = Recipe.from_file(args.recipe)
    if args.method is not None or args.seed != 0:
        raise ValueError("--method and --seed are not used with --recipe, which says both")
    given = budget is not None or args.max_error is not None
    fixed = bool(recipe.rules) and all(rule.share is not None for rule in recipe.rules)
    asked = {"budget": recipe.budget, "max_error": recipe.max_error}
    if given:
        asked = {"budget": budget, "max_error": args.max_error}
    elif fixed and recipe.budget is None and recipe.max_error is None:
        asked["budget"] = 1.0  # the rules say it all
    return {
        **asked,
        "methods": recipe.methods,
        "damping": recipe.damping,
        "random_state": recipe.seed,
        "rules": recipe.rules,
    }


def print_report(report: CompressionReport) -> None:
    """Print what a report knows: that of a file that was read back has no errors in it."""
    header, rows = report.table()
    known = [j for j in range(len(header)) if any(row[j] != "-" for row in rows)]
    print_table([header[j] for j in known], [[row[j] for j in known] for row in rows])
    size, errors = report.summary().split("\n")
    say(f"{size}\n{errors}" if "weights" in (header[j] for j in known) else size)
    if found := report.certificate():
        say(found)
