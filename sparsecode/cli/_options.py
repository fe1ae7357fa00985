"""Options that several commands on layers take, and what is checked of them before any work."""

from __future__ import annotations

import argparse

from sparsecode.cli._files import path_name


def add_choice_of_layers(parser: argparse.ArgumentParser) -> None:
    """Methods, calibration, which layers, and how the work is done."""
    parser.add_argument(
        "--method",
        action="append",
        metavar="NAME",
        help="low_rank, sparse, low_rank+sparse, dictionary, codebook, uniform, or all of them "
        "(all, the default); several with commas, or by repeating the option",
    )
    parser.add_argument(
        "--calibration",
        type=path_name,
        metavar="FILE",
        help=".npz with the inputs of layers by the layers' names, each (n_samples, n_inputs); or "
        "with the inputs of an .onnx model by their names, which is then run",
    )
    for option, what in (("--include", "only layers"), ("--exclude", "no layers")):
        parser.add_argument(
            option,
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"{what} of this name; re:EXPRESSION for a regular expression; may be repeated",
        )
    parser.add_argument(
        "--orientation",
        choices=("out_in", "in_out"),
        help="how arrays are stored: (out, in) as in PyTorch, the default, or (in, out); an .onnx "
        "model says it itself",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the methods that draw; default 0")
    parser.add_argument("--threads", type=int, metavar="N", help="by default all cores")
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def check_methods(args: argparse.Namespace) -> list[str] | str:
    """The methods' names; numbers in their ranges."""
    from sparsecode._validation import check_int, check_option
    from sparsecode.layers import FAMILIES

    check_int(args.seed, "--seed", low=0, high=2**32 - 1)
    if args.threads is not None:
        check_int(args.threads, "--threads")
    names = [name.strip() for given in args.method or ["all"] for name in given.split(",")]
    for name in names:
        check_option(name, "--method", [*FAMILIES, "all"])
    return "all" if "all" in names else names
