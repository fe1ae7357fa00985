"""``sparsecode inspect``: the tensors of a network, and how compressible its layers look."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from sparsecode._text import printable
from sparsecode.cli._files import check_files, path_name, read_any
from sparsecode.cli._terminal import Progress, print_table, say
from sparsecode.cli.compress import print_report

if TYPE_CHECKING:
    import numpy as np

    from sparsecode.layers import Layer, Network

HEADER = ("tensor", "shape", "dtype", "bytes", "effective rank", "kurtosis")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "inspect",
        help="list the layers of a network, or what a compressed one takes",
        description="List tensors with shape (out x in for layers, and the kernel of a "
        "convolution), dtype and bytes; for layers "
        "also the effective rank (Roy and Vetterli, 2007: low for a matrix that few directions "
        "describe) and the excess kurtosis of the entries (0 for normal ones, high for a matrix "
        "of few large entries). For a compressed network: its report.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "input", type=path_name, metavar="FILE", help="the network, .safetensors, .npz or .onnx"
    )
    parser.add_argument(
        "--orientation",
        choices=("out_in", "in_out"),
        help="how arrays are stored: (out, in) as in PyTorch, the default, or (in, out); an .onnx "
        "model says it itself",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read and print."""
    from sparsecode.layers import CompressedNetwork

    check_files([args.input], [], force=False)
    network = read_any(args.input, args.orientation)
    if isinstance(network, CompressedNetwork):
        print_report(network.report)
        return 0
    with Progress("inspecting") as progress:
        rows = []
        for name in network:
            rows.append(_row(network, name))
            progress(len(rows), len(network))
    print_table(HEADER, rows)
    in_layers = sum(network[layer.name].nbytes for layer in network.layers)
    say(
        f"{_count(len(network), 'tensor')}, {network.n_bytes:,} bytes; "
        f"{_count(len(network.layers), 'layer')}, {in_layers:,} bytes"
    )
    for name, reason in network.layout.left_alone.items():
        say(f"left alone: {printable(name)} is {reason}")
    for name, owner in network.tied.items():
        say(f"tied: {printable(name)} is {printable(owner)}, which counts once")
    return 0


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _row(network: Network, name: str) -> list[str]:
    tensor = network[name]
    layers = {layer.name: layer for layer in network.layers}
    shape = _sides(layers[name]) if name in layers else tensor.shape
    described = [
        name,
        "x".join(map(str, shape)) or "scalar",
        tensor.dtype.name,
        f"{tensor.nbytes:,}",
    ]
    return described + (_statistics(network.weight(name)) if name in layers else ["-", "-"])


def _sides(layer: Layer) -> tuple[int, ...]:
    """Outputs, inputs, and a convolution's kernel."""
    return layer.n_outputs, layer.n_inputs // math.prod(layer.kernel), *layer.kernel


def _statistics(W: np.ndarray) -> list[str]:
    """Effective rank and kurtosis, or what keeps them from being known."""
    import numpy as np

    from sparsecode.plotting import SpectrumDisplay
    from sparsecode.solvers import effective_rank

    W = W.astype(np.float64)
    if not np.isfinite(W).all():
        return ["not finite", "not finite"]
    singular_values = SpectrumDisplay.from_matrix(W, label="W").singular_values["W"]
    return [f"{effective_rank(singular_values):.1f}", f"{kurtosis(W):.2f}"]


def kurtosis(W: np.ndarray) -> float:
    """The excess kurtosis of the entries, ``m4 / m2**2 - 3``; -3 if all are the same.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.cli.inspect import kurtosis
    >>> kurtosis(np.array([[1.0, -1.0], [1.0, -1.0]]))
    -2.0
    """
    import numpy as np

    x = W / (np.abs(W).max() or 1.0)  # powers of it neither overflow nor vanish
    x = x - x.mean()
    x = x / (np.abs(x).max() or 1.0)
    variance = float(np.mean(x**2))
    return float(np.mean(x**4)) / variance**2 - 3 if variance else -3.0
