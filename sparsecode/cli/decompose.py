"""``sparsecode decompose``: robust PCA of one matrix."""

from __future__ import annotations

import argparse
import math
import struct
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

from sparsecode.cli._files import check_formats, claimed_files, path_name
from sparsecode.cli._terminal import Progress, say

if TYPE_CHECKING:
    import numpy as np

    from sparsecode.solvers import SplitResult


# The solver of each method, its tol, and the options it takes beside those that all take: whether
# it has to have them. What works on batches of rows has no place here.
METHODS = {
    "pcp": ("principal_component_pursuit", 1e-7, {"alpha": False}),
    "stable": ("stable_pcp", 1e-6, {"sigma": True, "alpha": False}),
    "alternating_projections": ("alternating_projections", 1e-7, {"rank": True}),
    "godec": ("godec", 1e-6, {"rank": True, "n_outliers": True}),
}
MAPPED = 2**28  # bytes; a larger file is read in tiles, and the parts are files beside it


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "decompose",
        help="split a matrix into low rank plus sparse (robust PCA)",
        description="Split a matrix into low rank plus sparse. OUT gets the arrays low_rank, "
        "sparse, singular_values, components, objective and dual_gap (relative to the objective; "
        "NaN by alternating_projections and godec). A file of more than 256 MiB is not read into "
        "memory.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "input", type=path_name, metavar="M.npy", help="the matrix, as numpy.save writes it"
    )
    parser.add_argument(
        "-o", "--output", type=path_name, metavar="OUT.npz", required=True, help="the file to write"
    )
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        default="pcp",
        help="pcp: convex, finds the rank; stable: the same with noise; alternating_projections: "
        "for a given rank, faster; godec: for a given rank and number of outliers, with noise; "
        "default pcp",
    )
    parser.add_argument(
        "--rank", type=int, help="of the low-rank part: alternating_projections and godec"
    )
    parser.add_argument("--n-outliers", type=int, help="entries that are wrong: godec")
    parser.add_argument(
        "--alpha",
        type=float,
        help="weight of the l1 norm: pcp and stable; default 1/sqrt(longer side)",
    )
    parser.add_argument(
        "--sigma", type=float, help="standard deviation of the noise in an entry: stable"
    )
    parser.add_argument(
        "--missing", action="store_true", help="entries that are NaN are unknown, and no error"
    )
    parser.add_argument(
        "--tol",
        type=float,
        help="relative residual to stop at, by pcp once the duality gap is at most 1 %% of the "
        "objective; by stable the relative duality gap, by godec the last change of low_rank over "
        "its norm; default 1e-7, by stable and godec 1e-6",
    )
    parser.add_argument("--max-iter", type=int, default=1000, help="iterations; default 1000")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, split, write."""
    solve, options = _solver(args)
    with claimed_files([args.input], [args.output], force=args.force):
        check_formats(args.output)
        return _decompose(args, solve, options)


def _decompose(
    args: argparse.Namespace, solve: Callable[..., SplitResult], options: dict[str, Any]
) -> int:
    import numpy as np

    from sparsecode.layers.formats import write_tensors

    X = read_matrix(args.input)
    with Progress("splitting") as progress:
        options["callback"] = lambda row: progress(int(row["n_iter"]), args.max_iter)
        result = solve(X, **options)
    names = ("low_rank", "sparse", "singular_values", "components")
    arrays = {name: getattr(result, name) for name in names}
    numbers = {name: np.array(getattr(result, name)) for name in ("objective", "dual_gap")}
    write_tensors(args.output, {**arrays, **numbers})
    # The number compared with --tol: the gap, where that is what was left to do.
    limit = "duality gap" if result.certificate == result.dual_gap else "residual"
    limit = "change" if args.method == "godec" else limit
    gap = "" if np.isnan(result.dual_gap) else f"relative duality gap {result.dual_gap:.2g}, "
    say(
        f"rank {result.rank}, {np.count_nonzero(result.sparse):,} of {X.size:,} entries sparse, "
        f"objective {result.objective:.6g}, {gap}"
        f"certificate {result.certificate:.2g} (the relative {limit}), {result.n_iter} iterations"
    )
    say(f"wrote {args.output}")
    return 0


def _solver(args: argparse.Namespace) -> tuple[Callable[..., SplitResult], dict[str, Any]]:
    """The solver of the method and its options, once they are known to fit."""
    import numpy as np

    from sparsecode import solvers
    from sparsecode._validation import check_int, check_real, check_unused

    name, tol, takes = METHODS[args.method]
    given = {option: getattr(args, option) for option in ("rank", "n_outliers", "alpha", "sigma")}
    flags = {option: "--" + option.replace("_", "-") for option in given}
    others = {flags[option]: given[option] for option in given if option not in takes}
    check_unused(f"--method {args.method}", **others)
    for option, needed in takes.items():
        if needed and given[option] is None:
            raise ValueError(f"--method {args.method} needs {flags[option]}")
    if args.alpha is not None:
        check_real(args.alpha, "--alpha", low=0, open_low=True)
    if args.sigma is not None:
        check_real(args.sigma, "--sigma", low=0)
    if args.rank is not None:
        check_int(args.rank, "--rank")
    if args.n_outliers is not None:
        check_int(args.n_outliers, "--n-outliers", low=0)
    tol = tol if args.tol is None else args.tol
    options = {option: given[option] for option in takes} | {
        "tol": check_real(tol, "--tol", low=0),
        "max_iter": check_int(args.max_iter, "--max-iter"),
        "missing_values": np.nan if args.missing else None,
    }
    return getattr(solvers, name), options


# What struct, NumPy and its parsers of headers raise on bytes that make no sense.
_DAMAGE = (
    ValueError,
    TypeError,
    EOFError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TokenError,
    struct.error,
)


def read_matrix(path: str, *, max_bytes: int = 2**40) -> np.ndarray:
    """Read a 2-D array of real numbers from ``.npy``; nothing in the file is executed.

    The header is checked against the file before anything is allocated. A file of more than 256 MiB
    is mapped, one of more than `max_bytes` refused.

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

    from sparsecode._memory import check_fits

    try:
        n_bytes = _check_header(Path(path), max_bytes)
        large = n_bytes > MAPPED
        if not large:
            check_fits(n_bytes, f"the matrix in {path}")
        return np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
    except _DAMAGE as error:
        raise ValueError(f"{path} cannot be read as a .npy matrix: {str(error)[:500]}") from error


def _check_header(path: Path, max_bytes: int) -> int:
    """The bytes of data."""
    import numpy as np

    with open(path, "rb") as file:
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"its .npy version is {version}; save it with numpy.save")
        try:
            shape, _, dtype = readers[version](file)
        except MemoryError as error:  # of the parser, whose stack is short
            raise ValueError("its header is nested too deeply") from error
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
    return needed
