"""``sparsecode expand``: a compressed network as stock tools load it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sparsecode.cli._files import check_formats, claimed_files, path_name, read_any
from sparsecode.cli._terminal import say


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "expand",
        help="write a compressed network as the dense one that stock tools load",
        description="Write a compressed network under its original names, shapes and dtypes; one "
        "that was an .onnx model as that model again, or its tensors as .safetensors or .npz.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "input", type=path_name, metavar="SMALL", help="what `sparsecode compress` wrote"
    )
    parser.add_argument(
        "-o", "--output", type=path_name, metavar="DENSE", required=True, help="the file to write"
    )
    parser.add_argument(
        "--factored",
        action="store_true",
        help="compute layers through their factors where that is less work; only for DENSE.onnx",
    )
    parser.add_argument("--force", action="store_true", help="replace DENSE if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, multiply out, write."""
    with claimed_files([args.input], [args.output], force=args.force):
        if args.factored and Path(args.output).suffix.lower() != ".onnx":
            raise ValueError(f"--factored is not used by {args.output}; leave it out")
        check_formats(args.output, model=True)
        return _expand(args)


def _expand(args: argparse.Namespace) -> int:
    from sparsecode.layers import CompressedNetwork

    small = read_any(args.input)
    if not isinstance(small, CompressedNetwork):
        raise ValueError(
            f"{args.input} holds no compressed network; give what `sparsecode compress` wrote"
        )
    if args.factored:
        small.write_onnx(args.output, factored=True)
        say(f"wrote {args.output}: {Path(args.output).stat().st_size:,} bytes")
        return 0
    dense = small.to_dense()
    dense.write(args.output)
    say(f"wrote {args.output}: {len(dense)} tensors, {dense.n_bytes:,} bytes")
    return 0
