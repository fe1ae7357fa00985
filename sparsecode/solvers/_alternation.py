"""Codes of all signals and an update of all atoms in turn: the loop of learning in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparsecode._validation import check_int, check_real
from sparsecode.solvers._learning import with_atoms
from sparsecode.solvers._run import Callback, run


class Iterate(NamedTuple):
    """Atoms, and the codes of all signals in them; all in units of the data."""

    D: np.ndarray
    codes: Any
    energy: float  # ||X - codes @ D||_F^2 where X was observed
    objective: float
    n_nonzero: float  # the mean over the signals
    coherence: float
    n_replaced: int  # before the codes were found
    next_D: np.ndarray  # after repair
    taken: np.ndarray


def alternate(
    iterates: Iterator[Iterate],
    D: np.ndarray,
    energy: float,
    unit: float,
    *,
    max_iter: Any,
    tol: Any,
    callback: Callback | None,
    name: str,
) -> tuple[Iterate, dict[str, Any]]:
    """Run it, from atoms `D` and for data of this energy."""
    tol = None if tol is None else check_real(tol, "tol", low=0)
    previous = 0.5 * energy

    def measure(iterate: Iterate) -> dict[str, float]:
        nonlocal previous, D
        D, objective = iterate.D, iterate.objective
        # Repair may raise the error once: that is no rest either, hence the absolute value.
        decrease = abs(previous - objective) / previous if previous > 0 else 0.0
        previous = objective
        return {
            "objective": objective * unit * unit,
            "certificate": decrease,
            "relative_error": float(np.sqrt(iterate.energy / energy)) if energy > 0 else 0.0,
            "n_nonzero": iterate.n_nonzero,
            "coherence": iterate.coherence,
            "n_replaced": iterate.n_replaced,
        }

    return run(
        iterates, measure, tol=tol, max_iter=check_int(max_iter, "max_iter"),
        callback=with_atoms(callback, lambda: D), name=name,
    )  # fmt: skip


def least_squares_atoms(gram: np.ndarray, correlation: np.ndarray, D: np.ndarray) -> np.ndarray:
    """The atoms that fit best, of moments of the codes; one that no code uses stays as it is."""
    used = np.diag(gram) > 0
    fitted = D.copy()
    A, B = gram[np.ix_(used, used)].astype(np.float64), correlation[used].astype(np.float64)
    values, vectors = scipy.linalg.eigh(A, check_finite=False)
    kept = values > len(values) * np.finfo(D.dtype).eps * max(values[-1], 0) if len(values) else []
    V = vectors[:, kept]
    fitted[used] = (V / values[kept]) @ (V.T @ B)
    return fitted


def nonnegative_atoms(gram: np.ndarray, correlation: np.ndarray, D: np.ndarray) -> np.ndarray:
    """Each entry of each atom to its minimum in turn, none below zero."""
    fitted = D.astype(np.float64)
    for k in np.flatnonzero(np.diag(gram) > 0):
        step = (correlation[k] - gram[k] @ fitted) / gram[k, k]
        fitted[k] = np.maximum(fitted[k] + step, 0)
    return fitted.astype(D.dtype)


def rescaled(codes: sp.csr_array, factors: np.ndarray) -> sp.csr_array:
    """The coefficients of each atom times its factor; the pattern is shared."""
    data = codes.data * factors[codes.indices]
    return sp.csr_array((data, codes.indices, codes.indptr), shape=codes.shape)


def to_unit_norm(fitted: np.ndarray, D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit atoms, and what their coefficients are multiplied by; one that is zero stays as it was.

    `D` are the atoms from before.
    """
    norms = np.linalg.norm(fitted, axis=1)
    alive = norms > 0
    new = np.where(alive[:, None], fitted, D)
    new[alive] /= norms[alive, None]
    return new, np.where(alive, norms, 0)
