"""Time ours beside the peers: ``python benchmarks/measure.py [work ...]`` writes results/*.csv.

The data, the objectives and the solvers are those of the benchopt folders, run in one plain
process. A solver is given the loosest tolerance at which the *evaluated* gap is at the target, or
all are given the same; then all are timed in turn, five rounds, and the medians are kept.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
ROUNDS = 5
PATIENCE = 30.0  # seconds: a solver that has taken them is not timed again
TOLERANCES = [float(f"{t:.3g}") for t in np.logspace(-4, -15, 23)]
DESIGNS = [(200, 7000), (1000, 20_000), (5000, 2000)]
TINY_DESIGNS = [(40, 120), (60, 30)]
PACKAGES = ("numpy", "scipy", "numba", "scikit-learn")
PACKAGES += ("celer", "skglm", "spams-bin", "pylops", "tensorly", "sporco", "rpca", "fbpca", "ksvd")
PACKAGES += ("cvxpy", "spgl1")

Row = dict[str, Any]
METRICS = ["value", "count", "largest_count", "misplaced", "rank", "residual", "norm"]
FIELDS = ["data", "solver", "seconds", "runs", *METRICS, "target", "tolerance"]


class Case(NamedTuple):
    """One data set of a benchmark, and the value that everyone has to reach."""

    data: str
    arguments: dict[str, Any]
    objective: dict[str, Any]
    target: float | None
    tolerance: float | None = None  # given to all; by default each solver's own is searched for


def load(benchmark: str, file: str, name: str) -> Any:
    """The class `name` of one file of a benchmark."""
    path = HERE / benchmark / f"{file}.py"
    spec = importlib.util.spec_from_file_location(f"{benchmark}.{file}".replace("/", "."), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def problem(benchmark: str, dataset: str, case: Case) -> Any:
    """The objective, with its data."""
    data = load(benchmark, f"datasets/{dataset}", "Dataset").get_instance(**case.arguments)
    objective = load(benchmark, "objective", "Objective").get_instance(**case.objective)
    objective.set_data(**data.get_data())
    return objective


def solvers(benchmark: str, objective: Any) -> Iterator[tuple[str, Any]]:
    """Each solver with each of its parameters, ready to run."""
    from benchopt.utils.parametrized_name_mixin import product_param

    for path in sorted((HERE / benchmark / "solvers").glob("*.py")):
        Solver = load(benchmark, f"solvers/{path.stem}", "Solver")
        for parameters in product_param(Solver.parameters):
            solver = Solver.get_instance(**parameters)
            if not solver.skip(**objective.get_objective())[0]:
                solver.set_objective(**objective.get_objective())
                yield str(solver), solver


def timed(objective: Any, solver: Any, tolerance: float) -> tuple[float, dict[str, Any]]:
    began = time.perf_counter()
    solver.run(tolerance)
    seconds = time.perf_counter() - began
    return seconds, objective.evaluate_result(**solver.get_result())


def loosest(objective: Any, solver: Any, case: Case) -> float | None:
    """The loosest tolerance that brings the evaluated gap to the target, or else the tightest.

    Of a solver that loses patience the last one tried: its gap stands in the table.
    """
    solver.run(1.0)  # compiles
    if case.tolerance or case.target is None or solver.sampling_strategy == "run_once":
        return case.tolerance
    spent = 0.0
    for tolerance in (t for t in TOLERANCES if t <= 100.1 * case.target):
        seconds, answer = timed(objective, solver, tolerance)
        spent += seconds
        if answer["value"] <= case.target or spent > PATIENCE:
            break
    return tolerance


def side_by_side(benchmark: str, dataset: str, case: Case) -> list[Row]:
    """One row a solver; all are timed in turn, so that what slows the machine slows all."""
    objective = problem(benchmark, dataset, case)
    contest = dict(solvers(benchmark, objective))
    tolerances = {name: loosest(objective, s, case) for name, s in contest.items()}
    times: dict[str, list[float]] = {name: [] for name in contest}
    answers = {}
    for _ in range(ROUNDS):
        for name, solver in contest.items():
            if sum(times[name]) < PATIENCE:
                seconds, answers[name] = timed(objective, solver, tolerances[name] or 1.0)
                times[name].append(seconds)
    return [
        {
            "data": case.data,
            "solver": name,
            "seconds": statistics.median(times[name]),
            "runs": len(times[name]),
            **{key: answers[name].get(key) for key in METRICS},
            "target": case.target,
            "tolerance": tolerances[name],
        }
        for name in contest
    ]


def designs(tiny: bool) -> list[tuple[int, int]]:
    return TINY_DESIGNS if tiny else DESIGNS


def lasso(tiny: bool) -> list[Row]:
    cases = [
        Case(
            f"{n} x {p}, max / {round(1 / ratio)}",
            {"n_samples": n, "n_features": p},
            {"alpha_ratio": ratio},
            1e-8,
        )
        for n, p in designs(tiny)
        for ratio in (0.1, 0.01)
    ]
    return [row for case in cases for row in side_by_side("lasso", "correlated", case)]


def lasso_path(tiny: bool) -> list[Row]:
    cases = [
        Case(f"{n} x {p}", {"n_samples": n, "n_features": p}, {}, 1e-6) for n, p in designs(tiny)
    ]
    return [row for case in cases for row in side_by_side("lasso_path", "correlated", case)]


def batch_lasso(tiny: bool) -> list[Row]:
    n = 200 if tiny else 10_000
    return side_by_side(
        "batch_lasso", "patches", Case(f"{n:,} patches", {"n_samples": n}, {}, 1e-9)
    )


def omp(tiny: bool) -> list[Row]:
    n = 500 if tiny else 50_000
    rows = []
    for dtype in ("float64", "float32"):
        case = Case(f"{n:,} patches, {dtype}", {"n_samples": n, "dtype": dtype}, {}, None)
        rows += side_by_side("omp", "patches", case)
        rows.append(floor("omp", "patches", case, "one product X D^T", lambda o: o.X @ o.D.T))
    m, p, k = (40, 120, 5) if tiny else (2000, 10_000, 100)
    arguments = {"n_features": m, "n_components": p, "n_nonzero_coefs": k}
    case = Case(f"one signal, {m} x {p}, {k} atoms", arguments, {}, None)
    return rows + side_by_side("omp", "one_signal", case)


def floor(
    benchmark: str, dataset: str, case: Case, name: str, work: Callable[[Any], object]
) -> Row:
    """What an answer is measured against: one piece of plain linear algebra on the same data."""
    objective = problem(benchmark, dataset, case)
    work(objective)
    times: list[float] = []
    while len(times) < ROUNDS and sum(times) < PATIENCE / 2:
        began = time.perf_counter()
        work(objective)
        times.append(time.perf_counter() - began)
    seconds = statistics.median(times)
    return {"data": case.data, "solver": name, "seconds": seconds, "runs": len(times)}


def splits(tiny: bool) -> Iterator[tuple[str, Case]]:
    """The data sets of `robust_pca`; all stop by the rule of Candes et al., 1e-7."""
    shapes = [(500, 500, 25), (1000, 1000, 50), (3000, 3000, 150), (25_344, 200, 3)]
    for m, n, rank in [(60, 60, 2), (90, 20, 1)] if tiny else shapes:
        for density in (0.05, 0.1):
            name = f"{m} x {n}, rank {rank}, {round(100 * density)} % errors"
            arguments = {"n_samples": m, "n_features": n, "rank": rank, "density": density}
            yield "protocol", Case(name, arguments, {}, 1e-5 if m == n else None, 1e-7)
    n, rank = (60, 2) if tiny else (500, 5)
    for density in (0.1, 0.3):
        name = f"{n} x {n}, rank {rank}, {round(100 * density)} % small errors"
        arguments = {"n": n, "rank": rank, "density": density}
        yield "small_errors", Case(name, arguments, {}, 1e-5, 1e-7)
    height, width, n_frames = (16, 20, 30) if tiny else (144, 176, 200)
    name = f"video, {height * width} x {n_frames}, rank 3, 10 % movers"
    arguments = {"height": height, "width": width, "n_frames": n_frames}
    yield "video", Case(name, arguments, {}, 1e-5, 1e-7)


def robust_pca(tiny: bool) -> list[Row]:
    """`value` is the relative error of the low-rank part; one full decomposition is the unit."""
    from scipy.linalg import svd

    def decompose(objective: Any) -> None:
        svd(objective.X, full_matrices=False, lapack_driver="gesdd")

    rows: list[Row] = []
    for dataset, case in splits(tiny):
        rows.append(floor("robust_pca", dataset, case, "gesdd", decompose))
        rows += side_by_side("robust_pca", dataset, case)
    return rows


def truncated_svd(tiny: bool) -> list[Row]:
    """Singular values i^-0.5, which fall slowly, and orthogonal factors drawn at random.

    `value` is the error over that of the best matrix of the rank, less 1. A peer is given the
    fewest iterations with which it is at the target; ours decides by its certificate.
    """
    import fbpca
    from sklearn.utils.extmath import randomized_svd

    from sparsecode.solvers import truncated_svd

    n, rank = (600, 30) if tiny else (4096, 256)
    rng, s = np.random.default_rng(0), np.arange(1, n + 1) ** -0.5
    left, right = (np.linalg.qr(rng.standard_normal((n, n), dtype=np.float32))[0] for _ in range(2))
    X = (left * s.astype(np.float32)) @ right.T

    def ours() -> Any:
        result = truncated_svd(X, rank)
        return result.U, result.singular_values, result.Vt

    def excess(answer: Any) -> float:
        U, values, Vt = answer
        return float(np.linalg.norm((X - (U * values) @ Vt).astype(float)) / norm - 1)

    def scikit_learn(n_iter: int) -> Any:
        return randomized_svd(X, rank, n_iter=n_iter, random_state=0)

    norm, target = float(np.linalg.norm(s[rank:])), 1e-3
    contest: dict[str, Callable[[], Any]] = {"sparsecode": ours}
    for name, solve in (
        ("scikit-learn", scikit_learn),
        ("fbpca", lambda n_iter: fbpca.pca(X, rank, raw=True, n_iter=n_iter)),
    ):
        fewest = next(k for k in range(1, 30) if k == 29 or excess(solve(k)) <= target)
        contest[f"{name}[n_iter={fewest}]"] = lambda solve=solve, fewest=fewest: solve(fewest)
    times: dict[str, list[float]] = {name: [] for name in contest}
    answers = {}
    for _ in range(ROUNDS):
        for name, solve in contest.items():
            began = time.perf_counter()
            answers[name] = solve()
            times[name].append(time.perf_counter() - began)
    return [
        {
            "data": f"{n} x {n}, float32, rank {rank}",
            "solver": name,
            "seconds": statistics.median(spent),
            "runs": len(spent),
            "value": excess(answers[name]),
            "target": target,
        }
        for name, spent in times.items()
    ]


def compressed_sensing(tiny: bool) -> list[Row]:
    """`value` is the relative error; with noise, and in Sparco's, all have one tolerance."""
    n = 1024 if tiny else 65_536
    exact = Case(f"{n} cosines, a quarter seen", {"n": n, "noise": 0.0}, {}, 1e-6)
    noisy = Case(f"{n} cosines, noise", {"n": n, "noise": 0.01}, {}, None, 1e-4)
    rows = side_by_side("compressed_sensing", "partial_dct", exact)
    rows += side_by_side("compressed_sensing", "partial_dct", noisy)
    for name in ("cosspike",) if tiny else ("cosspike", "gcosspike", "p3poly"):
        case = Case(name, {"problem": name}, {}, None, 1e-2 if tiny else 1e-5)
        rows += side_by_side("compressed_sensing", "sparco", case)
    size = (64, 32, 3, 5) if tiny else (1024, 400, 40, 1000)
    names = ("n", "m", "n_nonzero_coefs", "n_signals")
    arguments = dict(zip(names, size, strict=True))
    case = Case(f"{size[3]:,} signals, {size[1]} x {size[0]}", arguments, {}, 1e-6)
    return rows + side_by_side("compressed_sensing", "many_signals", case)


# Passes over the patches after which a dictionary is judged.
PASSES = {
    "sparsecode": (1, 2, 3, 4, 5, 6, 7, 10, 20, 40),
    "SPAMS": (1, 15, 51),
    "scikit-learn": (1,),
}


def dictionary(tiny: bool) -> list[Row]:
    """`value` is the held-out objective or error; each line starts from the same first atoms."""
    rows = []
    for data, n, coding in (
        ("patches, lasso", 20_000, (0.05, None)),
        ("patches, 8 atoms each", 5000, (None, 8)),
    ):
        n = 600 if tiny else n
        objective = {"alpha": coding[0], "n_nonzero_coefs": coding[1]}
        task = problem("dictionary", "patches", Case("", {"n_samples": n}, objective, None))
        for name, solver in solvers("dictionary", task):
            if name.startswith("sparsecode"):
                solver.run(1)  # compiles
            passes = PASSES[name.partition("[")[0]] if coding[0] else (10,)
            for n_passes in passes[: 1 if tiny else None]:
                seconds, answer = timed(task, solver, n_passes)
                line = {"data": f"{n:,} {data}", "solver": f"{name}, {n_passes} passes"}
                rows.append(line | {"seconds": seconds, "runs": 1, **answer})
    return rows


# Iterations after which the atoms of convolutional codes are judged.
STEPS = {"sparsecode": (10, 20, 50, 100), "SPORCO": (20, 60)}


def convolutional(tiny: bool) -> list[Row]:
    """`value` is the held-out objective over that of zero; all start from the same noise."""
    rows = []
    arguments = {"side": 96, "n_components": 32, "size": 8}
    if tiny:
        arguments = {"side": 24, "n_components": 4, "size": 4}
    task = problem("convolutional", "photographs", Case("", arguments, {}, None))
    for name, solver in solvers("convolutional", task):
        solver.run(1)  # plans
        for n_iter in STEPS[name.partition("[")[0]][: 1 if tiny else None]:
            seconds, answer = timed(task, solver, n_iter)
            line = {
                "data": f"8 pictures of {arguments['side']} x {arguments['side']}",
                "solver": f"{name}, {n_iter} iterations",
            }
            rows.append(line | {"seconds": seconds, "runs": 1, **answer})
    return rows


# The first fit of a process: what a package takes to be imported, and its first lasso.
FIRST_CALL = """
import time
import numpy as np
rng = np.random.RandomState(0)
X, y = np.asfortranarray(rng.standard_normal((100, 200))), rng.standard_normal(100)
began = time.perf_counter()
from {package} import Lasso
imported = time.perf_counter()
Lasso(alpha=0.1).fit(X, y)
print(imported - began, time.perf_counter() - imported)
"""


def first_call(tiny: bool) -> list[Row]:
    """`seconds` is the first `Lasso.fit` of a new process, `value` its import before that."""
    rows = []
    packages = ("sparsecode", "celer", "skglm")
    times: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(1 if tiny else ROUNDS):
        for package in packages:
            with tempfile.TemporaryDirectory() as cache:  # of numba, empty at first
                for state in ("cache cold", "cache warm"):
                    printed = python(FIRST_CALL.format(package=package), NUMBA_CACHE_DIR=cache)
                    pair = [float(number) for number in printed.split()]
                    times.setdefault((state, package), []).append(pair)
    for (state, package), pairs in sorted(times.items()):
        importing, fitting = (statistics.median(column) for column in zip(*pairs, strict=True))
        row = {"data": state, "solver": package, "seconds": fitting, "value": importing}
        rows.append(row | {"runs": len(pairs)})
    return rows


MEMORY = """
import time
import numpy as np
from sparsecode.solvers import sparse_encode
X = np.memmap({path!r}, dtype={dtype!r}, mode="r").reshape(-1, 64)
D = np.random.RandomState(0).standard_normal((256, 64)).astype({dtype!r})
D /= np.linalg.norm(D, axis=1, keepdims=True)
began = time.perf_counter()
codes = sparse_encode(X, D, n_nonzero_coefs=8)
seconds = time.perf_counter() - began
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(seconds, peak * 1024 / 1e6, codes.nnz / len(X))
"""


def memory(tiny: bool) -> list[Row]:
    """`value` is the peak resident set of the process, in MB; pages of the file count in it."""
    from sparsecode.datasets import load_image_patches

    n, rows = (10_000 if tiny else 1_000_000), []
    for dtype in ("float64", "float32"):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "patches")
            with open(path, "wb") as file:  # there are about 530,000 positions: two draws
                for seed in (0, 1):
                    load_image_patches(n // 2, random_state=seed, dtype=dtype).tofile(file)
            seconds, peak, count = map(float, python(MEMORY.format(path=path, dtype=dtype)).split())
        row = {"data": f"{n:,} patches, {dtype}", "solver": "sparsecode", "seconds": seconds}
        rows.append(row | {"runs": 1, "value": peak, "count": count})
    return rows


def python(code: str, **environment: str) -> str:
    """What a new process prints."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    env = os.environ | environment
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def lasso_gap_against_time(tiny: bool) -> list[Row]:
    """The points of the user guide's picture: each solver at tolerances from 1 down to 1e-12."""
    rows = []
    for n, p in TINY_DESIGNS if tiny else [(200, 7000), (5000, 2000)]:
        arguments = {"n_samples": n, "n_features": p}
        case = Case(f"{n} x {p}, max / 100", arguments, {"alpha_ratio": 0.01}, None)
        objective = problem("lasso", "correlated", case)
        for name, solver in solvers("lasso", objective):
            solver.run(1.0)  # compiles
            spent = 0.0
            for tolerance in (10.0**-k for k in range(13)):
                if spent < PATIENCE:
                    runs = [timed(objective, solver, tolerance) for _ in range(3)]
                    spent += sum(seconds for seconds, _ in runs)
                    row = {"data": case.data, "solver": name, "runs": 3, "tolerance": tolerance}
                    row["seconds"] = statistics.median(seconds for seconds, _ in runs)
                    rows.append(row | {key: runs[-1][1].get(key) for key in METRICS})
    return rows


def machine() -> list[Row]:
    """What the numbers were measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(": ")[2] if names else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts: Row = {"processor": cpu, "cores": cores, "system": platform.system()}
    facts["Python"] = platform.python_version()
    facts["OPENBLAS_NUM_THREADS"] = os.environ.get("OPENBLAS_NUM_THREADS", "not set")
    facts |= {package: version(package) for package in ("sparsecode", *PACKAGES)}
    return [{"what": what, "is": value} for what, value in facts.items()]


WORKS: dict[str, Callable[[bool], list[Row]]] = {
    work.__name__: work
    for work in (
        lasso,
        lasso_path,
        batch_lasso,
        omp,
        robust_pca,
        truncated_svd,
        dictionary,
        compressed_sensing,
        convolutional,
        first_call,
        memory,
        lasso_gap_against_time,
    )
}


def write(path: Path, fields: list[str], rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            short = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow(short)


def measured(doc: str | None, works: dict[str, Callable[[bool], list[Row]]]) -> Path:
    """Measure what the command line asks for; the folder of the results."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("works", nargs="*", metavar="work", help=", ".join(works))
    parser.add_argument("--tiny", action="store_true", help="small data: only to see that it runs")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder")
    given = parser.parse_args()
    unknown = set(given.works) - set(works)
    if unknown:
        parser.error(f"no such work: {', '.join(sorted(unknown))}; there are {', '.join(works)}")
    warnings.simplefilter("ignore")  # what counts is the gap that is evaluated
    given.output.mkdir(parents=True, exist_ok=True)
    for name in given.works or works:
        print(f"{name} ...", flush=True)
        write(given.output / f"{name}.csv", FIELDS, works[name](given.tiny))
    output: Path = given.output
    return output


def main() -> None:
    write(measured(__doc__, WORKS) / "machine.csv", ["what", "is"], machine())


if __name__ == "__main__":
    main()
