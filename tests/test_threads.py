"""Threads: order, errors, limits that are lifted again, and one thread inside joblib's workers."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sparsecode import solvers
from sparsecode._threads import at_most_cores, check_n_threads, map_tiles, single_threaded_blas
from sparsecode.solvers._convolution import Convolution, Domain


@pytest.fixture(autouse=True)
def two_threads_of_blas():
    """There is a limit to lift, on one core and in one of several processes too."""
    with threadpool_limits(limits=2, user_api="blas"):
        yield


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_the_answers_keep_the_order_of_the_tiles() -> None:
    barrier = threading.Barrier(2, timeout=10)

    def work(i):
        if i < 2:
            barrier.wait()  # passes only if two threads are at work at once
        return i * i

    assert map_tiles(work, range(20), 2) == [i * i for i in range(20)]
    assert map_tiles(lambda i: threading.get_ident(), range(3), 1) == [threading.get_ident()] * 3


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_in_a_tile_comes_through_and_lifts_the_limit(n_threads) -> None:
    before = blas_threads()

    def work(i):
        if i == 3:
            raise KeyError("tile 3")
        return i

    with pytest.raises(KeyError, match="tile 3"):
        map_tiles(work, range(8), n_threads)
    assert blas_threads() == before


def test_of_several_errors_the_first_tile_s_is_raised() -> None:
    barrier = threading.Barrier(2, timeout=10)

    def work(i):
        barrier.wait()  # both tiles are at work when they fail
        raise ValueError(f"tile {i}")

    for _ in range(20):
        with pytest.raises(ValueError, match="tile 0"):
            map_tiles(work, range(2), 2)


def test_holders_share_one_limit() -> None:
    before = blas_threads()
    assert max(before, default=2) == 2
    with single_threaded_blas():
        assert set(blas_threads()) <= {1}
        with single_threaded_blas():
            assert set(blas_threads()) <= {1}
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before


@pytest.mark.parametrize("first", ["here", "there"])
def test_every_thread_can_hold_and_lift(first) -> None:
    before = blas_threads()
    with single_threaded_blas():  # from now on a library may heed this thread alone
        pass
    here, there = single_threaded_blas(), single_threaded_blas()
    begins, ends = (here, there) if first == "here" else (there, here)
    with ThreadPoolExecutor(1) as pool:

        def done(hold, step):
            run = getattr(hold, step)
            arguments = (None,) * 3 if step == "__exit__" else ()
            return pool.submit(run, *arguments).result() if hold is there else run(*arguments)

        done(begins, "__enter__")
        assert set(blas_threads()) <= {1}
        done(ends, "__enter__")
        done(begins, "__exit__")
        assert set(blas_threads()) <= {1}
        done(ends, "__exit__")
        assert blas_threads() == before


def test_the_number_of_threads() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert check_n_threads(None) == cores
    assert check_n_threads(7) == 7
    for bad in (0, -1, 1.5):
        with pytest.raises((ValueError, TypeError), match="n_threads has to be"):
            check_n_threads(bad)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores cannot be taken away")
def test_no_library_is_told_to_start_more_threads_than_there_are_cores(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert check_n_threads(None) == 3
    assert [at_most_cores(n) for n in (1, 3, 4, 100_000)] == [1, 3, 3, 3]
    domain = Domain((16,), (4,), "periodic")
    assert Convolution(np.ones((1, 1, 4)), domain, 100_000).n_threads == 3


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_inside_a_joblib_worker_the_default_is_one(backend) -> None:
    parallel = joblib.Parallel(n_jobs=2, backend=backend)
    assert parallel(joblib.delayed(check_n_threads)(None) for _ in range(2)) == [1, 1]
    assert parallel(joblib.delayed(check_n_threads)(3) for _ in range(2)) == [3, 3]


def test_eight_threads_at_once() -> None:
    """Every solver in each thread: the bits of a serial run, and the limits as they were."""
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((600, 16)), rng.standard_normal((32, 16))
    before = blas_threads()

    def work(seed):
        local = np.random.default_rng(seed)
        y = local.standard_normal(16)
        learned = solvers.ksvd(X, 20, n_nonzero_coefs=2, max_iter=2, random_state=seed, n_threads=2)
        return [
            solvers.sparse_encode(X, D, n_nonzero_coefs=3, n_threads=2).data,
            solvers.sparse_encode(X, D, algorithm="lasso", alpha=3.0, n_threads=2).data,
            solvers.fista(D.T, y, alpha_ratio=0.2).x,
            solvers.omp(D.T, y, n_nonzero_coefs=3).x,
            learned.dictionary,
            solvers.principal_component_pursuit(local.standard_normal((12, 3))).low_rank,
        ]

    serial = [work(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        concurrent = list(pool.map(work, range(8)))
    for alone, together in zip(serial, concurrent, strict=True):
        for a, b in zip(alone, together, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11)
        for i in (0, 1, 4):  # where the bits are promised
            assert alone[i].tobytes() == together[i].tobytes()
    assert blas_threads() == before
