"""``sparsecode warmup``: every compiled kernel, once."""

from __future__ import annotations

import argparse
import time
from typing import Any

from sparsecode.cli._terminal import Progress, say


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "warmup",
        help="compile all kernels now, and not when they are first needed",
        description="Compile all kernels for float32 and float64 and keep them on disk, where "
        "there is a place that can be written.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Solve a tiny problem of every kind."""
    started = time.perf_counter()
    with Progress("compiling kernels"):
        warm_up()
    say(f"all kernels are compiled ({time.perf_counter() - started:.1f} s)")
    return 0


def warm_up() -> None:
    """Call every kernel with float32 and float64."""
    import numpy as np

    from sparsecode.layers import factorize
    from sparsecode.solvers import (
        alternating_projections,
        coordinate_descent,
        kmeans_1d,
        ksvd,
        online_dictionary_learning,
        principal_component_pursuit,
        robust_projection,
        sparse_encode,
        stable_pcp,
    )

    kmeans_1d([0.0, 1.0, 2.0], 2)
    for dtype in (np.float32, np.float64):
        factorize(np.eye(4, dtype=dtype), "uniform", budget=1.0, bits=4, group_size="tensor")
        X, atoms = np.eye(8, 4, dtype=dtype), np.eye(4, dtype=dtype)
        for algorithm in ("omp", "ols"):
            sparse_encode(X, atoms, algorithm=algorithm, n_nonzero_coefs=1, n_threads=1)
        sparse_encode(X, atoms, algorithm="lasso", alpha=0.5, n_threads=1)
        sparse_encode(X, X, algorithm="lars", alpha=0.5)
        coordinate_descent(X, X[:, 0], alpha=0.5)
        principal_component_pursuit(X)
        stable_pcp(X, 0.1)
        alternating_projections(X, 1)
        robust_projection(X, atoms[:1], 0.5)
        signals = np.random.default_rng(0).standard_normal((8, 4)).astype(dtype)
        options: dict[str, Any] = {"n_nonzero_coefs": 1, "max_iter": 1, "random_state": 0}
        ksvd(signals, 4, **options)
        online_dictionary_learning(signals, 4, **options)
        signals[0, 0] = np.nan
        ksvd(signals, 4, missing_values=np.nan, **options)
        sparse_encode(X, atoms, n_nonzero_coefs=1, positive=True, n_threads=1)
