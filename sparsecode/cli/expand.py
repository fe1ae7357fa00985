"""``sparsecode expand``: a compressed network as stock tools load it."""

from __future__ import annotations

import argparse
from typing import Any

from sparsecode.cli._files import check_files, check_formats, read_any
from sparsecode.cli._terminal import say


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "expand",
        help="write a compressed network as the dense one that stock tools load",
        description="Write a compressed network under its original names, shapes and dtypes.",
        allow_abbrev=False,
    )
    parser.add_argument("input", metavar="SMALL", help="what `sparsecode compress` wrote")
    parser.add_argument("-o", "--output", metavar="DENSE", required=True, help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace DENSE if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, multiply out, write."""
    from sparsecode.layers import CompressedNetwork

    check_files([args.input], [args.output], force=args.force)
    check_formats(args.output)
    small = read_any(args.input)
    if not isinstance(small, CompressedNetwork):
        raise ValueError(
            f"{args.input} holds no compressed network; give what `sparsecode compress` wrote"
        )
    dense = small.to_dense()
    dense.write(args.output)
    say(f"wrote {args.output}: {len(dense)} tensors, {dense.n_bytes:,} bytes")
    return 0
