"""How much rank and how many errors a split bears: writes results/phase_diagram.csv.

The protocol of figure 1 of Candes, Li, Ma and Wright (2011), at a smaller size: errors of +1 or -1
at random positions, with random signs or with those of the low-rank part; a split has recovered
that if it is within 1e-3 of it. ``python benchmarks/phase_diagram.py``
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from measure import HERE, Row, write

from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.solvers import SplitResult, alternating_projections, principal_component_pursuit

SIGNS = ("random", "coherent")
METHODS: dict[str, Callable[[np.ndarray, int], SplitResult]] = {
    "pursuit": lambda X, rank: principal_component_pursuit(X),
    "projections": partial(alternating_projections, decay=0.9),
}
SHARES = [k / 20 for k in range(1, 11)]  # of n the rank, of all entries the errors
FIELDS = ["signs", "method", "n", "rank", "density", "trials", "recovered", "unnoticed"]


def cell(signs: str, method: str, n: int, rank: int, density: float, trials: int) -> Row:
    """`unnoticed` are splits that are not the true ones, of which the status does not say so."""
    warnings.simplefilter("ignore")  # the status is counted
    recovered = unnoticed = 0
    for seed in range(trials):
        X, low_rank, _ = make_low_rank_plus_sparse(
            n, rank=rank, density=density, signs=signs, random_state=seed
        )
        split = METHODS[method](X, rank)
        error = np.linalg.norm(split.low_rank - low_rank) / np.linalg.norm(low_rank)
        recovered += error <= 1e-3
        unnoticed += error > 1e-3 and split.converged
    values: list[Any] = [signs, method, n, rank, density, trials, int(recovered), int(unnoticed)]
    return dict(zip(FIELDS, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small data: only to see that it runs")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder")
    given = parser.parse_args()
    n, trials = (20, 1) if given.tiny else (100, 5)
    cells = itertools.product(SIGNS, METHODS, SHARES, SHARES)
    rows = Parallel(n_jobs=-1)(
        delayed(cell)(signs, method, n, round(share * n), density, trials)
        for signs, method, share, density in cells
    )
    given.output.mkdir(parents=True, exist_ok=True)
    write(given.output / "phase_diagram.csv", FIELDS, rows)


if __name__ == "__main__":
    main()
