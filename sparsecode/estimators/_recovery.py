"""Sparse codes of measurements: the solvers that `CompressedSensing` offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import check_exactly_one, check_unused
from sparsecode.solvers import (
    amp,
    basis_pursuit,
    bpdn,
    cosamp,
    fista,
    htp,
    iht,
    omp,
    reweighted_l1,
    sparse_encode,
    subspace_pursuit,
)


class Recovery(NamedTuple):
    """A solver of columns, and the parameters of the estimator that it has."""

    solve: Callable[..., Any]
    parameters: tuple[str, ...]
    by_signal: bool = False  # it takes one signal only
    together: bool = False  # its products are for all signals at once: BLAS has the threads


PURSUIT = ("n_nonzero_coefs", "residual_tol", "tol", "max_iter")
RECOVERIES = {
    "amp": Recovery(amp, ("tol", "max_iter"), by_signal=True),
    "basis_pursuit": Recovery(basis_pursuit, ("tol", "max_iter"), by_signal=True),
    "bpdn": Recovery(bpdn, ("sigma", "tol", "max_iter"), by_signal=True),
    "cosamp": Recovery(cosamp, PURSUIT),
    "fista": Recovery(fista, ("alpha", "alpha_ratio", "tol", "max_iter"), together=True),
    "htp": Recovery(htp, PURSUIT),
    "iht": Recovery(iht, PURSUIT),
    "omp": Recovery(omp, ("n_nonzero_coefs", "residual_tol")),
    "reweighted_l1": Recovery(
        reweighted_l1, ("sigma", "alpha", "alpha_ratio", "tol", "max_iter"), by_signal=True
    ),
    "subspace_pursuit": Recovery(subspace_pursuit, PURSUIT),
}
SOLVER_PARAMETERS = (*PURSUIT, "sigma", "alpha", "alpha_ratio", "n_threads")
# What "auto" takes for a parameter that is given.
CHOICES = {"sigma": "bpdn", "alpha": "fista", "alpha_ratio": "fista"}


def chosen_solver(solver: str, given: Mapping[str, Any]) -> str:
    """`solver`, or for "auto" the one whose parameters are among those that are `given`."""
    if solver != "auto":
        return solver
    wanted = {choice for name, choice in CHOICES.items() if given[name] is not None}
    return min(wanted, default="omp")


def solver_arguments(
    solver: str, given: Mapping[str, Any], n_measurements: int, n_components: int
) -> dict[str, Any]:
    """The arguments of a solver: those that are given, all of which it has to use, and defaults."""
    used = RECOVERIES[solver].parameters
    threads = () if RECOVERIES[solver].together else ("n_threads",)
    unused = {name: value for name, value in given.items() if name not in used + threads}
    check_unused(f"solver={solver!r}", **unused)
    arguments = {name: given[name] for name in used if given[name] is not None}
    if solver == "fista":
        if not arguments.keys() & {"alpha", "alpha_ratio"}:
            arguments["alpha_ratio"] = 1e-3
        check_exactly_one(alpha=given["alpha"], alpha_ratio=arguments.get("alpha_ratio"))
    if solver == "bpdn" and "sigma" not in arguments:
        raise ValueError("solver='bpdn' needs sigma, the l2 norm of the noise in the measurements")
    takes_count = "n_nonzero_coefs" in used and "n_nonzero_coefs" not in arguments
    if takes_count and (solver != "omp" or "residual_tol" not in arguments):
        half = max(1, n_measurements // 2)
        arguments["n_nonzero_coefs"] = n_components if n_measurements >= n_components else half
    return arguments


def recover(
    solver: str, E: Any, Y: np.ndarray, arguments: Mapping[str, Any], n_threads: int | None
) -> Any:
    """Codes of the rows of `Y`, in rows, of atoms that were measured: the columns of `E`."""
    solve, _, by_signal, together = RECOVERIES[solver]
    if solver == "omp" and isinstance(E, np.ndarray):
        return sparse_encode(Y, np.ascontiguousarray(E.T), n_threads=n_threads, **arguments)
    if together:
        return solve(E, Y.T, **arguments).x.T
    threads = check_n_threads(n_threads)
    if by_signal:
        return np.array(map_tiles(lambda y: solve(E, y, **arguments).x, list(Y), threads))
    tiles = np.array_split(Y, min(len(Y), threads))  # each takes the norm of `E` anew
    return np.vstack(map_tiles(lambda rows: solve(E, rows.T, **arguments).x.T, tiles, threads))
