"""``sparsecode compress``: a network in a fraction of its bits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsecode.cli._files import check_files, check_formats, read_any, read_moments
from sparsecode.cli._terminal import Progress, print_table, say

if TYPE_CHECKING:
    from sparsecode.layers import CompressionReport


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compress",
        help="store a network in a fraction of its bits",
        description="Store a network in a fraction of its bits, with the least damage to the "
        "outputs of its layers.",
        allow_abbrev=False,
    )
    parser.add_argument("input", metavar="IN", help="the network, .safetensors or .npz")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the file to write")
    parser.add_argument(
        "--budget",
        type=float,
        default=0.25,
        help="size of OUT as a fraction of the tensors' bytes, in (0, 1]; default 0.25",
    )
    parser.add_argument(
        "--method",
        action="append",
        metavar="NAME",
        help="low_rank, sparse, low_rank+sparse, dictionary, or all of them (all, the default); "
        "several with commas, or by repeating the option",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help=".npz with the inputs of layers by the layers' names, each (n_samples, n_inputs)",
    )
    parser.add_argument(
        "--heldout", metavar="FILE", help="other inputs, which only the reported errors look at"
    )
    for option, what in (("--include", "only layers"), ("--exclude", "no layers")):
        parser.add_argument(
            option,
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"{what} of this name; re:EXPRESSION for a regular expression; may be repeated",
        )
    parser.add_argument("--report", metavar="FILE", help="also write an HTML report")
    parser.add_argument(
        "--orientation",
        choices=("out_in", "in_out"),
        help="how the file stores matrices: (out, in) as PyTorch, the default, or (in, out)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the methods that draw; default 0")
    parser.add_argument("--threads", type=int, metavar="N", help="by default all cores")
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compress, write, and say what it cost."""
    from sparsecode import layers

    methods = _check_options(args)
    inputs = [path for path in (args.input, args.calibration, args.heldout) if path is not None]
    outputs = [path for path in (args.output, args.report) if path is not None]
    check_files(inputs, outputs, force=args.force)
    check_formats(args.output)
    network = read_any(args.input, args.orientation)
    if not isinstance(network, layers.Network):
        raise ValueError(f"{args.input} is compressed already; `sparsecode expand` it first")
    calibration = read_moments(args.calibration, network)
    heldout = read_moments(args.heldout, network)
    with Progress("compressing") as progress:
        small = layers.compress(
            network,
            args.budget,
            methods=methods,
            calibration=calibration,
            heldout=heldout,
            include=args.include,
            exclude=args.exclude,
            random_state=args.seed,
            suffix=Path(args.output).suffix,
            n_threads=args.threads,
            progress=progress,
        )
    small.write(args.output)
    print_report(small.report)
    say(f"wrote {args.output}")
    if args.report is not None:
        from sparsecode.layers.html import write_page

        write_page(args.report, small.report.to_html(f"{args.input}, compressed"))
        say(f"wrote {args.report}")
    return 0


def print_report(report: CompressionReport) -> None:
    """Print what a report knows: that of a file that was read back has no errors in it."""
    header, rows = report.table()
    known = [j for j in range(len(header)) if any(row[j] != "-" for row in rows)]
    print_table([header[j] for j in known], [[row[j] for j in known] for row in rows])
    size, errors = report.summary().split("\n")
    say(f"{size}\n{errors}" if "weights" in (header[j] for j in known) else size)


def _check_options(args: argparse.Namespace) -> list[str] | str:
    """Numbers in their ranges, before any file is read; the methods' names."""
    from sparsecode._validation import check_int, check_option, check_real
    from sparsecode.layers import FAMILIES

    check_real(args.budget, "--budget", low=0, high=1, open_low=True)
    check_int(args.seed, "--seed", low=0, high=2**32 - 1)
    if args.threads is not None:
        check_int(args.threads, "--threads")
    names = [name.strip() for given in args.method or ["all"] for name in given.split(",")]
    for name in names:
        check_option(name, "--method", [*FAMILIES, "all"])
    return "all" if "all" in names else names
