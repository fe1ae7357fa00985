"""``sparsecode decompose``: robust PCA of one matrix."""

from __future__ import annotations

import argparse
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsecode.cli._files import check_files, check_formats
from sparsecode.cli._terminal import Progress, say

if TYPE_CHECKING:
    import numpy as np


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "decompose",
        help="split a matrix into low rank plus sparse (robust PCA)",
        description="Split a matrix into low rank plus sparse by principal component pursuit. OUT "
        "gets the arrays low_rank, sparse, singular_values, components, objective and dual_gap "
        "(relative to the objective).",
        allow_abbrev=False,
    )
    parser.add_argument("input", metavar="M.npy", help="the matrix, as numpy.save writes it")
    parser.add_argument(
        "-o", "--output", metavar="OUT.npz", required=True, help="the file to write"
    )
    parser.add_argument(
        "--alpha", type=float, help="weight of the l1 norm; default 1/sqrt(longer side)"
    )
    parser.add_argument(
        "--tol",
        type=float,
        default=1e-7,
        help="relative residual to stop at, once the duality gap is at most 1 %% of the "
        "objective; default 1e-7",
    )
    parser.add_argument("--max-iter", type=int, default=1000, help="iterations; default 1000")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, split, write."""
    import numpy as np

    from sparsecode._validation import check_int, check_real
    from sparsecode.layers.formats import write_tensors
    from sparsecode.solvers import principal_component_pursuit

    if args.alpha is not None:
        check_real(args.alpha, "--alpha", low=0, open_low=True)
    check_real(args.tol, "--tol", low=0)
    check_int(args.max_iter, "--max-iter")
    check_files([args.input], [args.output], force=args.force)
    check_formats(args.output)
    X = read_matrix(args.input)
    with Progress("splitting") as progress:
        result = principal_component_pursuit(
            X,
            alpha=args.alpha,
            tol=args.tol,
            max_iter=args.max_iter,
            callback=lambda row: progress(int(row["n_iter"]), args.max_iter),
        )
    names = ("low_rank", "sparse", "singular_values", "components")
    arrays = {name: getattr(result, name) for name in names}
    numbers = {name: np.array(getattr(result, name)) for name in ("objective", "dual_gap")}
    write_tensors(args.output, {**arrays, **numbers})
    # The number compared with --tol: the gap, where that is what was left to do.
    limit = "duality gap" if result.certificate == result.dual_gap else "residual"
    say(
        f"rank {result.rank}, {np.count_nonzero(result.sparse):,} of {X.size:,} entries sparse, "
        f"objective {result.objective:.6g}, relative duality gap {result.dual_gap:.2g}, "
        f"certificate {result.certificate:.2g} (the relative {limit}), {result.n_iter} iterations"
    )
    say(f"wrote {args.output}")
    return 0


def read_matrix(path: str, *, max_bytes: int = 16 * 2**30) -> np.ndarray:
    """Read a 2-D array of real numbers from ``.npy``; nothing in the file is executed.

    The header is checked against the file and `max_bytes` before anything is allocated.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sparsecode.cli.decompose import read_matrix
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/M.npy", np.eye(2))
    ...     read_matrix(f"{folder}/M.npy")
    array([[1., 0.],
           [0., 1.]])
    """
    import numpy as np

    try:
        _check_header(Path(path), max_bytes)
        return np.load(path, allow_pickle=False)
    # What struct, NumPy and its parser of headers raise on bytes that make no sense.
    except (ValueError, TypeError, EOFError, OverflowError, SyntaxError, struct.error) as error:
        raise ValueError(f"{path} cannot be read as a .npy matrix: {str(error)[:500]}") from error


def _check_header(path: Path, max_bytes: int) -> None:
    import numpy as np

    with open(path, "rb") as file:
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"its .npy version is {version}; save it with numpy.save")
        shape, _, dtype = readers[version](file)
        n_bytes = path.stat().st_size - file.tell()
    if dtype.kind not in "biuf":
        raise ValueError(f"its dtype is {str(dtype)[:80]}; real numbers are needed")
    if len(shape) != 2:
        raise ValueError(f"it holds an array of shape {shape}; a matrix has two axes")
    needed = math.prod(shape) * dtype.itemsize
    if min(shape) < 0 or needed != n_bytes:
        raise ValueError(f"its header asks for {needed} bytes of data, and it holds {n_bytes}")
    if needed > max_bytes:
        raise ValueError(
            f"its {needed} bytes are over the limit of {max_bytes}; split a part of it"
        )
