"""Patches learned from and coded on worker processes, beside the same work in memory.

``python benchmarks/cluster.py --patches 10000000 --workers 2``

A Dask array of 8 x 8 patches of photographs is made block by block, in the task that needs it, or
is made before and kept in the memory of the workers (``--kept``). `OnlineDictionaryLearning` learns
atoms from it, whose codes of a pass stay on the workers as CSR; then the patches are coded in these
atoms, and of each block only its error and its number of nonzeros are kept. In memory the same
calls have a part of the patches that is made beforehand, on one thread in each of as many processes
as there are workers, before and after. With several workers, atoms or heights of blocks all that go
together are measured. Printed are

- microseconds a patch and pass on a core, of the cluster and in memory, on the clock and of the
  processor (of all processes, which what else runs here hardly changes), with those to make a
  patch; and what memory takes over what the cluster takes, where patches that are not kept are
  made in memory as often as there, once to be looked at and again in every pass. Cores are the
  workers, at most those of this machine;
- the largest sum over all processes (this one, which is the scheduler too, the workers and what
  keeps them alive) of the memory that is theirs (PSS) or seen by them (RSS), every half a second;
- what workers have sent to one another and to this process, beside what the user guide says.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from itertools import product
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import psutil
from distributed import Client, LocalCluster, wait

from sparsecode import OnlineDictionaryLearning
from sparsecode.datasets import load_image_patches
from sparsecode.solvers import sparse_encode

N_NONZERO, SIDE = 8, 8
TINY = 4000


class Setting(NamedTuple):
    """What is done, whoever does it."""

    n_patches: int
    height: int  # rows of a block
    n_blocks: int  # of a batch
    n_passes: int
    n_atoms: int
    kept: bool  # patches are there already

    @property
    def batch_size(self) -> int:
        return self.height * self.n_blocks

    def learner(self, batch_size: int | None, **options: Any) -> OnlineDictionaryLearning:
        return OnlineDictionaryLearning(
            self.n_atoms, n_nonzero_coefs=N_NONZERO, batch_size=batch_size, max_iter=self.n_passes,
            random_state=0, **options,
        )  # fmt: skip


class Speed(NamedTuple):
    """Seconds for a patch (in a pass): on the clock of a core, and of the processors."""

    wall: float
    processor: float


def photographs() -> np.ndarray:
    """The two of scikit-learn, side by side."""
    pictures = [
        load_image_patches(1, patch_size=427, images=name, remove_mean=False, random_state=0,
                           dtype=np.float32).reshape(427, 427)
        for name in ("china", "flower")
    ]  # fmt: skip
    return np.hstack(pictures)


def patches(photographs: np.ndarray, seed: int, n: int) -> np.ndarray:
    """Random places with a little noise, so that no two are alike; no mean, and unit norm."""
    rng = np.random.default_rng(seed)
    windows = np.lib.stride_tricks.sliding_window_view(photographs, (SIDE, SIDE))
    i, j = (rng.integers(size, size=n) for size in windows.shape[:2])
    X = windows[i, j].reshape(n, SIDE * SIDE)
    X += np.float32(0.01) * rng.standard_normal(X.shape, dtype=np.float32)
    X -= X.mean(axis=1, keepdims=True)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X


def block(photographs: np.ndarray, block_info: Any = None) -> np.ndarray:
    """The patches of a block, the same whenever it is asked for."""
    info = block_info[None]
    return patches(photographs, 10 + info["chunk-location"][0], info["chunk-shape"][0])


def left(X: np.ndarray, codes: Any, D: np.ndarray) -> np.ndarray:
    """The squared error of a block and its nonzeros: all that is kept of its codes."""
    if not len(X):  # Dask asks what comes out
        return np.empty((0, 2))
    R = codes @ D
    np.subtract(X, R, out=R)
    return np.array([[np.einsum("ij,ij->", R, R, dtype=np.float64), codes.nnz]])


def timed(work: Callable[[], Any], n: int) -> tuple[Any, Speed]:
    began, cpu = time.perf_counter(), time.process_time()
    answer = work()
    return answer, Speed((time.perf_counter() - began) / n, (time.process_time() - cpu) / n)


def in_memory(setting: Setting, n: int, seed: int) -> dict[str, Speed]:
    """One thread; learning in the batches of the default and in those of the cluster."""
    source = photographs()
    warm = patches(source, 0, 2000)
    setting.learner(None, n_threads=1).fit(warm)  # compiles
    X, made = timed(lambda: patches(source, seed, n), n)
    found = {"making patches": made}
    for name, size in (("learning, batches of 256", None), ("learning", setting.batch_size)):
        learner = setting.learner(size, n_threads=1)
        _, found[name] = timed(lambda learner=learner: learner.fit(X), n * setting.n_passes)
    D, options = learner.components_, {"n_nonzero_coefs": N_NONZERO, "n_threads": 1}
    _, found["coding"] = timed(lambda: left(X, sparse_encode(X, D, **options), D), n)
    return found


def side_by_side(setting: Setting, n: int, n_processes: int) -> dict[str, Speed]:
    """The mean over processes that do the same at the same time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, mp_context=context) as pool:
        tasks = [pool.submit(in_memory, setting, n, seed) for seed in range(n_processes)]
        answers = [task.result() for task in tasks]
    return mean(answers)


def mean(answers: list[dict[str, Speed]]) -> dict[str, Speed]:
    return {
        name: Speed(*np.mean([answer[name] for answer in answers], axis=0)) for name in answers[0]
    }


class Watch:
    """The memory of this process and all that it started."""

    def __init__(self) -> None:
        self.pss = self.rss = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            seen = of_all(lambda process: process.memory_full_info())
            self.pss = max(self.pss, sum(each.pss for each in seen) / 1e9)
            self.rss = max(self.rss, sum(each.rss for each in seen) / 1e9)


def of_all(ask: Callable[[psutil.Process], Any]) -> list[Any]:
    """What this process and those that it started say, but for those that have just ended."""
    this, answers = psutil.Process(), []
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error):
            answers.append(ask(process))
    return answers


def processor_seconds() -> float:
    return sum(each.user + each.system for each in of_all(lambda process: process.cpu_times()))


def expected_to_be_sent(setting: Setting, n_workers: int) -> float:
    """While learning, by the formula of the user guide; one worker has the atoms from here."""
    K, m = setting.n_atoms, SIDE * SIDE
    steps = -(-setting.n_patches // setting.batch_size) * setting.n_passes
    sums, others = 8 * K * (K + m + 1), n_workers - 1
    return steps * (4 * K * m * others + sums * (1 + setting.n_blocks * others / n_workers))


def sent(client: Client) -> int:
    """Bytes that workers have sent: answers to one another, and to this process."""
    return sum(client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total).values())


@contextmanager
def cluster(n_workers: int, memory: float) -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=":0",
            memory_limit=f"{memory}GB",
        ) as workers,
        Client(workers) as client,
    ):  # fmt: skip
        yield client


def distributed(setting: Setting, n_workers: int, memory: float) -> tuple[dict[str, Speed], str]:
    cores, n = min(n_workers, os.cpu_count() or 1), setting.n_patches
    heights = [min(setting.height, n - start) for start in range(0, n, setting.height)]
    found, bytes_sent = {}, {}

    def measured(name: str, n_done: int, work: Callable[[], Any]) -> Any:
        before, began, cpu = sent(client), time.perf_counter(), processor_seconds()
        answer = work()
        seconds = time.perf_counter() - began
        found[name] = Speed(seconds * cores / n_done, (processor_seconds() - cpu) / n_done)
        bytes_sent[name] = sent(client) - before
        return answer

    with Watch() as watch, cluster(n_workers, memory) as client:
        # Once to each worker: what stands in a graph travels with each of its parts.
        source = client.scatter(photographs(), broadcast=True)
        X = da.map_blocks(
            block, chunks=(tuple(heights), (SIDE * SIDE,)), dtype=np.float32,
            meta=np.empty((0, 0), np.float32), photographs=dask.delayed(source),
        )  # fmt: skip
        if setting.kept:
            X = X.persist()
            wait(X)
        warm = 2000 * n_workers
        few = X[:warm].rechunk((2000, -1))
        atoms = setting.learner(None).fit(few).components_  # compiles, here too
        sparse_encode(few, atoms, n_nonzero_coefs=N_NONZERO).compute()
        client.run(in_memory, setting._replace(n_passes=1), 2000, 0)
        learner = setting.learner(setting.batch_size)
        measured("learning", n * setting.n_passes, lambda: learner.fit(X))
        D = learner.components_

        def code() -> np.ndarray:
            codes = sparse_encode(X, D, n_nonzero_coefs=N_NONZERO)
            parts = da.map_blocks(
                left, X, codes, D=D, dtype=float, chunks=((1,) * len(heights), (2,)),
                meta=np.empty((0, 2)),
            )  # fmt: skip
            return np.asarray(parts.sum(axis=0).compute())

        error, n_nonzero = measured("coding", n, code)
    lines = [
        f"  relative error {learner.error_:.4f} in the last pass, {np.sqrt(error / n):.4f} coded",
        f"  {n_nonzero / n:.2f} nonzeros a code",
        f"  memory at most {watch.pss:.2f} GB (PSS), {watch.rss:.2f} GB (RSS)",
        f"  sent while learning: {bytes_sent['learning'] / 1e6:,.1f} MB",
        f"  by the formula: {expected_to_be_sent(setting, n_workers) / 1e6:,.1f} MB",
        f"  sent while coding: {bytes_sent['coding'] / 1e6:,.1f} MB",
    ]
    return found, "\n".join(lines)


def compare(setting: Setting, there: dict[str, Speed], here: dict[str, Speed]) -> None:
    """The ratios are to what is quicker in memory."""

    def said(speed: Speed) -> str:
        return f"{1e6 * speed.wall:.2f} us, of the processor {1e6 * speed.processor:.2f}"

    for name, speed in here.items():
        print(f"  in memory, {name}: {said(speed)}")
    # A block is made in each pass, and once before the first to be looked at.
    makings = {"learning": 1 + 1 / setting.n_passes, "coding": 1}
    for name, speed in there.items():
        peers = [each for label, each in here.items() if label.startswith(name)]
        alone = np.min(peers, axis=0)
        if not setting.kept:
            alone = alone + makings[name] * np.array(here["making patches"])
        wall, processor = alone / speed
        print(f"  cluster, {name}: {said(speed)}; in memory {wall:.3f} and {processor:.3f} of it")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patches", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--atoms", type=int, nargs="+", default=[256])
    parser.add_argument("--block", type=int, nargs="+", default=[100_000], help="rows of a block")
    parser.add_argument("--batch", type=int, default=8, help="blocks of a mini-batch")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--kept", action="store_true", help="patches are made before, and kept")
    parser.add_argument("--sample", type=int, default=200_000, help="patches of each in memory")
    parser.add_argument("--memory", type=float, default=1.5, help="GB that a worker may take")
    parser.add_argument("--tiny", action="store_true", help="small data: only to see that it runs")
    given = parser.parse_args()
    n, heights, sample = given.patches, given.block, given.sample
    if given.tiny:
        n, heights, sample = TINY, [TINY // 16], TINY // 4
    for n_workers, n_atoms, height in product(given.workers, given.atoms, heights):
        setting = Setting(n, height, given.batch, given.passes, n_atoms, given.kept)
        print(
            f"{n:,} patches in blocks of {height:,}, {setting.batch_size:,} a batch, "
            f"{given.passes} passes, {n_atoms} atoms, {n_workers} workers; "
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        n_processes = min(n_workers, os.cpu_count() or 1)
        before = side_by_side(setting, sample, n_processes)
        began = time.perf_counter()
        there, said = distributed(setting, n_workers, given.memory)
        seconds = time.perf_counter() - began
        here = mean([before, side_by_side(setting, sample, n_processes)])
        compare(setting, there, here)
        print(f"{said}\n  {seconds:,.0f} seconds, with the start of the workers", flush=True)


if __name__ == "__main__":
    main()
