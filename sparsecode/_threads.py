"""The one mechanism for parallel work: tiles on a pool of threads, with BLAS held to one thread."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

from sparsecode._validation import check_int

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_lock = threading.Lock()
_local = threading.local()
_holders = 0
_limits: Any = None
_controller: Any = None


def check_n_threads(n_threads: int | None) -> int:
    """None means the cores this process was given, 1 inside a joblib worker or `one_of_many`."""
    if n_threads is not None:
        return check_int(n_threads, "n_threads")
    if _inside_joblib() or getattr(_local, "one_of_many", False):
        return 1
    return _cores()


def at_most_cores(n_threads: int) -> int:
    """For libraries that start as many threads as they are told: no more than can run at once."""
    return min(n_threads, _cores())


def _cores() -> int:
    """The cores this process was given."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_n_jobs(n_jobs: int | None) -> int | None:
    """`n_jobs` of joblib, counted in the cores of this process, as `n_threads` of the solver."""
    if n_jobs is None:
        return None
    jobs = check_int(n_jobs, "n_jobs", low=-(2**31))
    if jobs == 0:
        raise ValueError("n_jobs has to be a number of threads, or negative as in joblib, got 0")
    return jobs if jobs > 0 else max(1, check_n_threads(None) + 1 + jobs)


def _inside_joblib() -> bool:
    """Whether the caller runs in a worker of any joblib backend."""
    if "joblib" not in sys.modules:
        return False
    from joblib.parallel import get_active_backend

    return bool(get_active_backend()[0].nesting_level)


@contextmanager
def one_of_many() -> Iterator[None]:
    """What runs here is a task of a cluster or pool, whose other tasks have the other cores."""
    before = getattr(_local, "one_of_many", False)
    _local.one_of_many = True
    try:
        with single_threaded_blas():
            yield
    finally:
        _local.one_of_many = before


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread; concurrent holders share one limit, which the last lifts."""
    global _holders, _limits, _controller
    with _lock:
        if _holders == 0:
            import scipy.linalg  # noqa: F401  (its BLAS has to be loaded to be found)
            from threadpoolctl import ThreadpoolController

            if _controller is None:
                _controller = ThreadpoolController()
            _heed_this_thread()
            _limits = _controller.limit(limits=1, user_api="blas")
        _holders += 1
    _local.holds = getattr(_local, "holds", 0) + 1
    try:
        yield
    finally:
        _local.holds -= 1
        with _lock:
            _holders -= 1
            if _holders == 0:
                _lift()


def _lift() -> None:
    global _limits
    _heed_this_thread()
    _limits.restore_original_limits()
    _heed_this_thread()  # which may live on: the next one is free to set its own
    _limits = None


def _alone_after_fork() -> None:
    """A forked process has this thread alone: what others held at the time, nobody gives back."""
    global _lock, _holders
    _lock, _holders = threading.Lock(), getattr(_local, "holds", 0)
    if _holders == 0 and _limits is not None:
        _lift()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_alone_after_fork)


def _heed_this_thread() -> None:
    """From 3.8 on threadpoolctl silently heeds one thread alone, the first that set a limit."""
    for library in _controller.lib_controllers:
        if forget := getattr(library, "clear_controlling_thread", None):
            forget(force=True)


def map_tiles(
    work: Callable[[Item], Answer], tiles: Sequence[Item], n_threads: int
) -> list[Answer]:
    """``[work(tile) for tile in tiles]`` on so many threads; the order is that of the tiles.

    Each thread, the caller's too, takes the next tile when it is done with one: nobody waits for an
    answer but at the end. Of several errors that of the first tile is raised, but an interrupt
    before any. Where the system gives fewer threads, fewer do the work.
    """
    n_threads = min(n_threads, len(tiles))
    with single_threaded_blas():
        if n_threads <= 1:
            return [work(tile) for tile in tiles]
        from concurrent.futures import ThreadPoolExecutor

        answers: dict[int, Answer] = {}
        errors: dict[int, BaseException] = {}
        places = count()

        def take() -> None:
            while not errors and (place := next(places)) < len(tiles):
                try:
                    answers[place] = work(tiles[place])
                except BaseException as error:
                    errors[place] = error

        with ThreadPoolExecutor(n_threads - 1) as pool:
            try:
                for _ in range(n_threads - 1):
                    pool.submit(take)
            except RuntimeError:  # no room for the stack of another one
                pass
            except BaseException as error:
                errors[-1] = error
            try:
                take()
            except BaseException as error:  # between two tiles: the others go no further, either
                errors[-1] = error
        if errors:
            raise min(errors.items(), key=lambda e: (isinstance(e[1], Exception), e[0]))[1]
        return [answers[place] for place in range(len(tiles))]
