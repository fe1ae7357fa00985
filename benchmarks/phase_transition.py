"""How much is recovered, beside the theory: results/phase_transition*.csv, state_evolution.csv.

Gaussian matrices, signals with entries of 1 and -1 (the hardest), by the protocol of
`sparsecode.theory.empirical_phase_transition`; and the mean squared error of approximate message
passing in each iteration beside what state evolution predicts.
``python benchmarks/phase_transition.py [work ...]``; finished cells are kept beside the results,
and so are the rows of works that are not asked for.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measure import HERE, Row, write

from sparsecode import solvers, theory

DELTAS = (0.1, 0.3, 0.5, 0.7, 0.9)
FIELDS = ["solver", "n", "trials", "delta", "theory", "half", "low", "high"]
CELLS = ["solver", "n", "trials", "delta", "rho", "recovered"]
EVOLUTION = ["n", "delta", "rho", "sigma", "runs", "iteration", "predicted"]
EVOLUTION += ["mean", "standard_error", "median"]


class Work(NamedTuple):
    """A solver, the length of its signals, and where it is tried: parts of the curve."""

    recover: Callable[[np.ndarray, np.ndarray, int], Any]
    n: int
    deltas: tuple[float, ...] = DELTAS
    parts: tuple[float, float, int] = (0.8, 1.2, 11)
    n_trials: int = 20


def single_precision_amp(A: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """Half the bytes of the double one, and errors of 1e-3 need no more."""
    return solvers.amp(A.astype(np.float32), y.astype(np.float32), tol=1e-7, max_iter=3000).x


WORKS = {
    "basis_pursuit": Work(lambda A, y, k: solvers.basis_pursuit(A, y, tol=1e-5), 1000, n_trials=50),
    "omp": Work(lambda A, y, k: solvers.omp(A, y, n_nonzero_coefs=k), 1000, parts=(0.3, 1.1, 17)),
    "amp": Work(single_precision_amp, 8000, (0.5,), (0.93, 1.03, 6), 8),
}


def transition(name: str, work: Work, output: Path) -> tuple[list[Row], list[Row]]:
    """Where one half is recovered, and how many in each cell."""
    curve = theory.phase_transition(np.array(work.deltas))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is not recovered may well not converge
        found = theory.empirical_phase_transition(
            work.recover,
            work.n,
            work.deltas,
            np.outer(curve, np.linspace(*work.parts)),
            n_trials=work.n_trials,
            path=output / f".{name}-{work.n}.json",
        )
    about = name, work.n, work.n_trials
    columns = found.deltas, curve, found.midpoints, found.lows, found.highs
    halves = [
        dict(zip(FIELDS, (*about, *map(float, line)), strict=True))
        for line in zip(*columns, strict=True)
    ]
    cells = [
        dict(zip(CELLS, (*about, float(delta), float(rho), int(count)), strict=True))
        for delta, rhos, counts in zip(found.deltas, found.rhos, found.n_successes, strict=True)
        for rho, count in zip(rhos, counts, strict=True)
    ]
    return halves, cells


def replace_rows(path: Path, fields: list[str], rows: list[Row]) -> None:
    """Write the rows, and keep those of other solvers."""
    new = {row["solver"] for row in rows}
    kept: list[Row] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            kept = [row for row in csv.DictReader(file) if row["solver"] not in new]
    rows = sorted([*kept, *rows], key=lambda row: (row["solver"], float(row["delta"])))
    write(path, fields, rows)


def state_evolution(n: int, sigma: float, runs: int, n_iter: int = 25) -> list[Row]:
    """Soft thresholding as a denoiser that writes down its error."""
    delta, rho = 0.5, 0.2
    m, k = round(delta * n), round(rho * delta * n)

    def signs(rng: Any, size: int) -> np.ndarray:
        return np.where(rng.random_sample(size) < k / n, 1.0, 0.0)

    predicted = solvers.state_evolution(delta, signs, sigma, n_iter)
    errors = np.empty((runs, n_iter))
    for run in range(runs):
        rng = np.random.default_rng(run)
        A, x = rng.standard_normal((m, n)) / np.sqrt(m), np.zeros(n)
        x[rng.permutation(n)[:k]] = rng.choice([-1.0, 1.0], k)
        seen: list[float] = []

        def denoise(
            v: np.ndarray, noise: float, x: np.ndarray = x, seen: list[float] = seen
        ) -> tuple[np.ndarray, float]:
            found = np.sign(v) * np.maximum(np.abs(v) - predicted.threshold * noise, 0)
            seen.append(float(np.mean((found - x) ** 2)))
            return found, np.count_nonzero(found) / n

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is stopped after so many iterations
            y = A @ x + sigma * rng.standard_normal(m)
            solvers.amp(A, y, denoiser=denoise, tol=0.0, max_iter=n_iter)
        errors[run] = seen[:n_iter]
    spread = errors.std(axis=0, ddof=1) / np.sqrt(runs)
    measured = errors.mean(axis=0), spread, np.median(errors, axis=0)
    lines = zip(predicted.mse[1:], *measured, strict=True)
    return [
        dict(zip(EVOLUTION, (n, delta, rho, sigma, runs, t, *map(float, line)), strict=True))
        for t, line in enumerate(lines, 1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [*WORKS, "state_evolution"]
    parser.add_argument("works", nargs="*", metavar="work", help=", ".join(names))
    parser.add_argument("--tiny", action="store_true", help="small data: only to see that it runs")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    wanted = given.works or names
    for name in [name for name in WORKS if name in wanted]:
        work = WORKS[name]
        if given.tiny:
            work = work._replace(n=60, parts=(0.5, 1.4, 2), n_trials=2)
        halves, cells = transition(name, work, given.output)
        replace_rows(given.output / "phase_transition.csv", FIELDS, halves)
        replace_rows(given.output / "phase_transition_cells.csv", CELLS, cells)
    if "state_evolution" in wanted:
        n, runs = (400, 2) if given.tiny else (8000, 40)
        rows = [row for sigma in (0.0, 0.1) for row in state_evolution(n, sigma, runs)]
        write(given.output / "state_evolution.csv", EVOLUTION, rows)


if __name__ == "__main__":
    main()
