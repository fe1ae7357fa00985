"""What `measure.py dictionary` leaves open: ``python benchmarks/learning.py [work ...]``.

Online learning beside SPAMS on a photograph that nothing was tuned on (learning_portrait.csv),
K-SVD beside PyPI's on the same data and on a quarter of it (learning_ksvd.csv), where an iteration
of K-SVD spends its time (learning_iteration.csv), and the memory that learning from a memory map
takes (learning_memory.csv). The seconds of the first two are those of the processor, over all
threads: they hardly depend on what else it has to do.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measure import ROUNDS, Case, Row, load, measured, problem, python

from sparsecode.datasets import load_image_patches
from sparsecode.solvers import ksvd, online_dictionary_learning, sparse_encode

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads of SPAMS that wait take no time
OURS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12)  # passes that are judged
SPAMS = (15,)


def timed(task: Any, solver: Any, n_iter: int) -> tuple[float, dict[str, Any]]:
    """Seconds of the processor, and what the answer is worth."""
    began = time.process_time()
    solver.run(n_iter)
    seconds = time.process_time() - began
    return seconds, task.evaluate_result(**solver.get_result())


def learning_portrait(tiny: bool) -> list[Row]:
    """`value` is the held-out objective; a line of SPAMS is a run, ours is one run with stops."""
    n, coding = 600 if tiny else 20_000, {"alpha": 0.05, "n_nonzero_coefs": None}
    data = f"{n:,} patches of a portrait, lasso"
    task = problem("dictionary", "portrait", Case("", {"n_samples": n}, coding, None))
    rows = []
    peer = load("dictionary", "solvers/spams", "Solver").get_instance()
    peer.set_objective(**task.get_objective())
    for n_passes in SPAMS[: 1 if tiny else None]:
        seconds, answer = timed(task, peer, n_passes)
        rows.append({"solver": f"SPAMS, {n_passes} passes", "seconds": seconds, **answer})

    seen: list[tuple[int, float, np.ndarray]] = []
    began = 0.0

    def keep(row: Mapping[str, Any]) -> None:
        seen.append((int(row["n_iter"]), time.process_time() - began, row["dictionary"]))

    def learn(X: np.ndarray, max_iter: int, callback: Any = None) -> None:
        online_dictionary_learning(
            X, len(task.first), alpha=0.05, init=task.first, max_iter=max_iter, callback=callback,
            random_state=0,
        )  # fmt: skip

    learn(task.X[:600], 1)  # compiles
    began = time.process_time()
    learn(task.X, 2 if tiny else OURS[-1], keep)
    for n_passes, seconds, dictionary in seen:
        if n_passes in OURS:
            answer = task.evaluate_result(dictionary)
            rows.append({"solver": f"sparsecode, {n_passes} passes", "seconds": seconds, **answer})
    return [{"data": data, "runs": 1, **row} for row in rows]


def learning_ksvd(tiny: bool) -> list[Row]:
    """`value` is the held-out error after ten iterations, on all of the patches and a quarter."""
    rows = []
    for n in (600,) if tiny else (20_000, 5000):
        coding = {"alpha": None, "n_nonzero_coefs": 8}
        task = problem("dictionary", "patches", Case("", {"n_samples": n}, coding, None))
        for file, parameters in (("ksvd", {}), ("sparsecode", {"method": "ksvd"})):
            solver = load("dictionary", f"solvers/{file}", "Solver").get_instance(**parameters)
            solver.set_objective(**task.get_objective())
            if file == "sparsecode":
                solver.run(1)  # compiles
            seconds, answer = timed(task, solver, 1 if tiny else 10)
            data = f"{n:,} patches, 8 atoms each"
            rows.append({"data": data, "solver": file, "seconds": seconds, "runs": 1, **answer})
    return rows


def learning_iteration(tiny: bool) -> list[Row]:
    """An iteration of K-SVD, and the coding in it alone: of the same patches in the same atoms."""
    n, rows = 2000 if tiny else 200_000, []
    for dtype in ("float64", "float32"):
        X = load_image_patches(n, random_state=0, dtype=dtype)
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
        options: dict[str, Any] = {"n_nonzero_coefs": 8, "random_state": 0}
        D = ksvd(X, 256, max_iter=2, **options).dictionary
        for update in ("approximate", "exact"):
            coding, whole = [], []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                sparse_encode(X, D, n_nonzero_coefs=8)
                coding.append(time.perf_counter() - began)
                result = ksvd(X, 256, init=D, max_iter=1, update=update, **options)
                whole.append(float(result.history["seconds"][0]))
            data = f"{n:,} patches, 8 atoms each, {dtype}"
            for solver, times in (
                (f"sparse_encode beside {update}", coding), (f"ksvd, {update}", whole)
            ):  # fmt: skip
                seconds = statistics.median(times)
                rows.append({"data": data, "solver": solver, "seconds": seconds, "runs": ROUNDS})
    return rows


MEMORY = """
import numpy as np
from sparsecode.solvers import ksvd, online_dictionary_learning
X = np.memmap({path!r}, dtype={dtype!r}, mode="r").reshape(-1, 64)
result = {learner}(X, 256, max_iter=1, random_state=0, {coding})
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(peak * 1024 / 1e6, result.history["n_nonzero"][-1])
"""
LEARNERS = (
    ("online_dictionary_learning", "alpha=0.05"),
    ("online_dictionary_learning", "n_nonzero_coefs=8"),
    ("ksvd", "n_nonzero_coefs=8"),
)


def learning_memory(tiny: bool) -> list[Row]:
    """`value` is the peak resident set of the process, in MB, with the codes of all patches."""
    n, rows = (10_000 if tiny else 1_000_000), []
    for dtype in ("float64", "float32"):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "patches")
            with open(path, "wb") as file:  # there are about 530,000 positions: two draws
                for seed in (0, 1):
                    X = load_image_patches(n // 2, random_state=seed, dtype=dtype)
                    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
                    X.tofile(file)
            for learner, coding in LEARNERS:
                code = MEMORY.format(path=path, dtype=dtype, learner=learner, coding=coding)
                peak, count = map(float, python(code).split())
                row = {"data": f"{n:,} patches, {dtype}", "solver": f"{learner}, {coding}"}
                rows.append(row | {"runs": 1, "value": peak, "count": count})
    return rows


WORKS: dict[str, Callable[[bool], list[Row]]] = {
    work.__name__: work
    for work in (learning_portrait, learning_ksvd, learning_iteration, learning_memory)
}


if __name__ == "__main__":
    measured(__doc__, WORKS)
