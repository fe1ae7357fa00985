"""Threads and processes at once, before and after a fork: nothing hangs, the bits are the same."""

import inspect
import multiprocessing
import os
import signal
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import pytest
from bad_input.entries import REGISTRY
from bad_input.entry import public
from concurrent_work import bits, enlarged, everyday
from threadpoolctl import threadpool_info, threadpool_limits

from sparsecode import _threads
from sparsecode._threads import map_tiles, single_threaded_blas

LIMIT = 600  # seconds; what takes longer hangs
SOLVERS = {name: e for name, e in REGISTRY.items() if name.startswith("sparsecode.solvers.")}
THREADED = {
    name: e
    for name, e in SOLVERS.items()
    if "n_threads" in inspect.signature(public(e.covers)).parameters and "X" in e.arguments
}


@pytest.fixture(autouse=True)
def two_threads_of_blas():
    """There is a limit to lift, and something to get wrong, on one core too."""
    with warnings.catch_warnings(), threadpool_limits(limits=2, user_api="blas"):
        warnings.simplefilter("ignore")
        yield


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.mark.slow
def test_eight_threads_call_every_solver_at_once():
    """Each goes around the registry from another place: the bits of a serial run."""
    names = list(SOLVERS)
    serial = {name: bits(SOLVERS[name]) for name in names}
    start = threading.Barrier(8, timeout=60)

    def around(place):
        start.wait()
        first = place * len(names) // 8
        return {name: bits(SOLVERS[name]) for name in names[first:] + names[:first]}

    before = blas_threads()
    with ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(around, place) for place in range(8)]
        for run in runs:
            together = run.result(timeout=LIMIT)
            assert [name for name in names if together[name] != serial[name]] == []
    assert blas_threads() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", THREADED)
def test_the_bits_depend_on_no_number_of_threads(name):
    """Of the package or of BLAS; with more rows than fit a tile."""
    entry, large = THREADED[name], enlarged(THREADED[name])
    found = {}
    for blas in (1, 2):
        with threadpool_limits(limits=blas, user_api="blas"):
            for n_threads in (1, 2, 4):
                found[blas, n_threads] = bits(entry, n_threads=n_threads, **large)
    assert len(set(found.values())) == 1, found


def forked(work):
    """What `work` returns, a string, in a forked process; None where that hangs or dies."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: of forks beside threads
        pid = os.fork()
    if pid == 0:
        try:
            os.write(write, work().encode())
        finally:
            os._exit(0)
    os.close(write)
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.01)
    else:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        return pipe.read() or None


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_a_forked_process_works_after_kernels_and_threads_were_used():
    here = everyday()
    assert forked(everyday) == here
    assert everyday() == here


@needs_fork
def test_a_fork_while_other_threads_hold_blas_and_the_lock():
    """The child has none of these threads, and does not wait for what they would give back."""
    held, done = threading.Event(), threading.Event()

    def hold():
        with single_threaded_blas():
            held.set()
            done.wait(LIMIT)

    def hold_the_lock():
        with _threads._lock:
            locked.set()
            done.wait(LIMIT)

    locked = threading.Event()
    threads = [threading.Thread(target=hold)]
    threads[0].start()
    assert held.wait(60)
    threads.append(threading.Thread(target=hold_the_lock))
    threads[1].start()
    assert locked.wait(60)

    def child():
        before = blas_threads()
        squares = map_tiles(lambda i: i * i, range(5), 2)
        return f"{squares} {before == blas_threads()} {max(before, default=2)}"

    try:
        assert forked(child) == "[0, 1, 4, 9, 16] True 2"
    finally:
        done.set()
        for thread in threads:
            thread.join(60)
    assert max(blas_threads(), default=2) == 2


@needs_fork
def test_a_fork_inside_a_hold_keeps_it():
    """What this thread holds, its copy in the child gives back."""

    def child():
        inside = set(blas_threads()) <= {1}
        with single_threaded_blas():
            pass
        return f"{inside} {set(blas_threads()) <= {1}} {_threads._holders}"

    with single_threaded_blas():
        assert forked(child) == "True True 1"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    here = [everyday(seed) for seed in range(2)]
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(everyday, range(2), timeout=LIMIT)) == here


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_of_joblib(backend):
    here = [everyday(seed) for seed in range(4)]
    parallel = joblib.Parallel(n_jobs=2, backend=backend, timeout=LIMIT)
    assert parallel(joblib.delayed(everyday)(seed) for seed in range(4)) == here


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_no_more_threads_than_were_asked_for(n_threads):
    """The caller works too, BLAS has one thread in each, and all of them are gone afterwards."""
    before = threading.active_count()
    seen = map_tiles(
        lambda i: (time.sleep(0.001), threading.active_count(), max(blas_threads(), default=1)),
        range(40),
        n_threads,
    )
    assert max(count for _, count, _ in seen) <= before + n_threads - 1
    assert {blas for _, _, blas in seen} == {1}
    assert threading.active_count() == before
