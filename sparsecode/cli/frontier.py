"""``sparsecode frontier``: error against bits, for every family and layer."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sparsecode.cli._files import (
    check_ending,
    claimed_files,
    path_name,
    read_any,
    read_moments,
)
from sparsecode.cli._options import add_choice_of_layers, check_methods
from sparsecode.cli._terminal import Progress, print_table, say

if TYPE_CHECKING:
    from sparsecode.layers import Frontier
    from sparsecode.layers.html import Picture

AT = (0.125, 0.25, 0.5)  # the shares of the table
MOST_PICTURES = 12


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "frontier",
        help="error against bits, for every method and layer",
        description="Fit every layer by every method at several sizes, and show which one loses "
        "least at equal bits.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "input", type=path_name, metavar="IN", help="the network, .safetensors, .npz or .onnx"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=path_name,
        metavar="HTML",
        required=True,
        help="the page to write, .html",
    )
    add_choice_of_layers(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit, print the table, write the page."""
    methods = check_methods(args)
    inputs = [path for path in (args.input, args.calibration) if path is not None]
    with claimed_files(inputs, [args.output], force=args.force):
        check_ending(args.output, ".html", "-o/--output")
        return _frontier(args, methods)


def _frontier(args: argparse.Namespace, methods: list[str] | str) -> int:
    from sparsecode import layers
    from sparsecode.layers.html import Table, render_page, write_page

    network = read_any(args.input, args.orientation)
    if not isinstance(network, layers.Network):
        raise ValueError(f"{args.input} is compressed already; `sparsecode expand` it first")
    if not network.select(args.include, args.exclude):
        raise ValueError(
            f"{args.input} has no layer to fit: no 2-D floating array and no convolution, or "
            "--exclude leaves none"
        )
    with Progress("fitting") as progress:
        fronts = layers.frontier(
            network,
            methods=methods,
            calibration=read_moments(args.calibration, network, args.threads),
            include=args.include,
            exclude=args.exclude,
            random_state=args.seed,
            n_threads=args.threads,
            progress=progress,
        )
    header = ["layer", "shape", *(f"at {share:.1%}" for share in AT)]
    rows = [
        [name, "x".join(map(str, network.layer(name).shape)), *(_best(front, s) for s in AT)]
        for name, front in fronts.items()
    ]
    print_table(header, rows)
    caption = (
        "The method of the least error at a share of the layer's bits, and that error: squared, of "
        "the layer's outputs, relative. “-”: no method is so small."
    )
    summary = (
        f"{len(fronts)} layers, each fitted by every method at several sizes. Bits are those of "
        "the packed arrays, indices, masks, scales and all, without the names a file gives them."
    )
    page = render_page(
        title=f"{args.input}: error against bits",
        summary=[summary],
        table=Table(caption=caption, header=header, rows=rows),
        pictures=_pictures(fronts, {layer.name: layer.shape for layer in network.layers}),
    )
    write_page(args.output, page)
    say(f"wrote {args.output}")
    return 0


def _best(front: Frontier, share: float) -> str:
    point = front.best(share)
    return "-" if point is None else f"{point.method} {point.error:.2g}"


def _pictures(
    fronts: Mapping[str, Frontier], shapes: Mapping[str, tuple[int, int]]
) -> list[Picture]:
    """Of the largest layers."""
    from matplotlib.figure import Figure

    from sparsecode.layers.html import Picture, png
    from sparsecode.plotting import FrontierDisplay

    largest = sorted(fronts, key=lambda name: -shapes[name][0] * shapes[name][1])[:MOST_PICTURES]
    pictures = []
    for name in (name for name in fronts if name in largest and fronts[name].points):
        figure = Figure(figsize=(6.8, 4.2), layout="constrained")
        FrontierDisplay(fronts[name].curves).plot(figure.subplots())
        pictures.append(
            Picture(
                title=name,
                caption="Lower and further left is better: the error of the layer's outputs, "
                "squared and relative, against the share of its bits.",
                alt=f"Line plot of error against bits for the layer {name}, a curve a method.",
                png=png(figure),
            )
        )
    return pictures
