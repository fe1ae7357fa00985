"""The one loop: stopping, history, callback and warning for every iterative algorithm."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from sparsecode._memory import check_fits
from sparsecode._validation import check_callable
from sparsecode.solvers._result import History, Status

Iterate = TypeVar("Iterate")
Measure = Callable[[Any], Mapping[str, float]]
Callback = Callable[[Mapping[str, float]], Any]

ROW = 400  # bytes, roughly, that a row of the history takes

_local = threading.local()


def run(
    iterates: Iterator[Iterate],
    measure: Measure,
    *,
    tol: float | None,
    max_iter: int,
    check_every: int = 1,
    callback: Callback | None = None,
    name: str,
) -> tuple[Iterate, dict[str, Any]]:
    """Draw iterates until the certificate is at most `tol`, and say how it went.

    Parameters
    ----------
    iterates : iterator
        The algorithm: a generator that yields after each iteration and never stops by itself.
        What it yields must not be changed in place afterwards.
    measure : callable
        Maps an iterate to named numbers, `"objective"` and `"certificate"` among them.
    tol : float or None
        Relative, dimensionless, compared with the certificate. None asks for `max_iter`
        iterations whatever the certificate is: these done, the run is complete.
    max_iter : int
        At most so many iterations.
    check_every : int
        The certificate is evaluated after so many iterations, and after the last.
    callback : callable, optional
        Called with the measured numbers, `"n_iter"` and `"seconds"`; a true answer stops the run.
    name : str
        What the warning calls the algorithm.

    Returns
    -------
    iterate
        The last one.
    ending : dict
        `objective`, `certificate`, `n_iter`, `status` and `history`, as `Result` names them.

    Raises
    ------
    MemoryError
        If there is no `tol` and no memory could hold the history of `max_iter` iterations.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached; it states the certificate and what to change.
    """
    check_callable(callback, "callback")
    if tol is None:  # nothing else ends it: the history will be that long
        n_rows = max_iter // check_every + 1
        check_fits(ROW * n_rows, f"the history of max_iter={max_iter} iterations without a tol")
    started = time.perf_counter()
    rows: list[dict[str, float]] = []
    status = Status.COMPLETED if tol is None else Status.MAX_ITER
    for n_iter, iterate in enumerate(islice(iterates, min(max_iter, sys.maxsize)), start=1):
        if n_iter % check_every and n_iter < max_iter:
            continue
        row = {"n_iter": n_iter, "seconds": time.perf_counter() - started, **measure(iterate)}
        rows.append(row)
        asked_to_stop = callback is not None and callback(MappingProxyType(row))
        if tol is not None and row["certificate"] <= tol:
            status = Status.CONVERGED
        elif asked_to_stop:
            status = Status.CALLBACK
        else:
            continue
        break
    if tol is not None and status is Status.MAX_ITER:
        warn_not_converged(name, row["certificate"], tol, max_iter)
    return iterate, {
        "objective": row["objective"],
        "certificate": row["certificate"],
        "n_iter": n_iter,
        "status": status,
        "history": as_history(rows),
    }


def as_history(rows: list[dict[str, float]]) -> History:
    """Rows of named numbers as read-only columns."""
    columns = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    for column in columns.values():
        column.flags.writeable = False
    return columns


def warn_not_converged(name: str, certificate: float, tol: float, max_iter: int) -> None:
    """The warning of every iteration that ended too early."""
    warn(
        f"{name} did not converge: its certificate is {certificate:.3g} after max_iter={max_iter} "
        f"iterations, asked for tol={tol:.3g}; raise max_iter or tol"
    )


def warn_out_of_reach(name: str, worst: float) -> None:
    """The warning of a pursuit that ran out of atoms before the residual was small enough."""
    warn(
        f"{name} did not reach residual_tol: a residual is {worst:.3g} times as large when no atom "
        "reduces it any more; raise residual_tol, or add atoms"
    )


def warn_inaccurate(name: str, certificate: float) -> None:
    """The warning of a finite algorithm that rounding errors led astray."""
    warn(
        f"{name} lost its accuracy to rounding errors: its certificate is {certificate:.3g}; "
        "columns of A are nearly dependent: end the path earlier, or use fista"
    )


def warn_unidentified(name: str, share: float, rank: int) -> None:
    """The warning of a split in which nearly everything is an outlier."""
    warn(
        f"{name} took all but {share:.0%} of the entries for outliers: too few are left to tell "
        f"what a matrix of rank {rank} is; lower rank, raise decay, or raise tol to the noise"
    )


def warn_not_gaussian(name: str, why: str) -> None:
    """The warning of message passing with a matrix it is not meant for."""
    warn(
        f"{name} is for matrices with independent entries of mean zero, and {why}: it may diverge, "
        "and state evolution does not hold; raise damping, or use fista"
    )


@contextmanager
def without_warnings() -> Iterator[None]:
    """For a solver inside another one, whose certificate says what the inner one has left.

    It holds for this thread alone, as `warnings.catch_warnings` does not.
    """
    before = getattr(_local, "silent", False)
    _local.silent = True
    try:
        yield
    finally:
        _local.silent = before


def warn(message: str) -> None:
    """Of convergence, at the line that called the package."""
    if getattr(_local, "silent", False):
        return
    from sklearn.exceptions import ConvergenceWarning

    warnings.warn(message, ConvergenceWarning, stacklevel=_levels_inside())


def _levels_inside() -> int:
    """The stack level, seen from `warn`, of the line that called the package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        "sparsecode."
    ):
        level, frame = level + 1, frame.f_back
    return level
