r"""Dictionary learning: atoms and codes with ``X ~ codes @ dictionary``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads
from sparsecode._validation import (
    RandomSource,
    check_array,
    check_int,
    check_option,
    check_random_state,
    check_real,
)
from sparsecode.operators import overcomplete_dct
from sparsecode.solvers._result import DictionaryResult
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers.encoding import sparse_encode

__all__ = ["ksvd"]

COHERENCE = 0.99  # two atoms closer than this are one atom too many (Aharon et al.)


class _Iterate(NamedTuple):
    D: np.ndarray
    codes: sp.csr_array
    energy: float  # ||X - codes @ D||_F^2
    n_replaced: int


def ksvd(
    X: Any,
    n_components: int,
    *,
    n_nonzero_coefs: int,
    max_iter: int = 20,
    update: str = "approximate",
    init: Any = None,
    tol: float | None = None,
    random_state: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> DictionaryResult:
    r"""K-SVD: codes by orthogonal matching pursuit, then atom by atom the best rank-one fit.

    .. math:: \min_{C, D} \tfrac12 \|X - C D\|_F^2 \quad \text{s.t.} \quad
              \|c_i\|_0 \le k, \; \|d_j\|_2 = 1

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Signals, one a row.
    n_components : int
        Atoms.
    n_nonzero_coefs : int
        Atoms a signal, :math:`k`.
    max_iter : int, default=20
        Iterations at the most: one coding of all signals and one sweep over all atoms each.
    update : {"approximate", "exact"}, default="approximate"
        One power iteration an atom, or enough of them for the leading singular pair.
    init : {"data", "dct"} or array of shape (n_components, n_features), optional
        The first atoms; different signals that are not zero by default ("data").
    tol : float, optional
        Stop when an iteration changes the objective by less than this fraction; by default
        all `max_iter` iterations are done. The problem is not convex: a small change certifies
        no more than that the descent has come to rest.
    random_state : int, RandomState, Generator or None, default=None
        Draws the first atoms and the order of the updates.
    n_threads : int, optional
        Threads of the coding step. The result does not depend on it.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    DictionaryResult
        `dictionary`, `codes` (CSR), `objective`, `certificate` (the last relative decrease),
        `n_iter`, `status`, `converged` and `history`, which also has `"relative_error"`,
        ``||X - C D||_F / ||X||_F``, and `"n_replaced"`: atoms that were used by no signal or nearly
        equal to another one, replaced by the worst-coded signals.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.

    Warns
    -----
    ConvergenceWarning
        If `tol` was given and `max_iter` was reached first.

    References
    ----------
    Aharon, Elad and Bruckstein, "K-SVD: an algorithm for designing overcomplete dictionaries for
    sparse representation", 2006; Rubinstein, Zibulevsky and Elad, "Efficient implementation of the
    K-SVD algorithm using batch orthogonal matching pursuit", 2008.

    Examples
    --------
    >>> from sparsecode.datasets import make_sparse_coded_signals
    >>> from sparsecode.solvers import ksvd
    >>> data = make_sparse_coded_signals(
    ...     500, n_components=12, n_features=8, n_nonzero_coefs=2, random_state=0
    ... )
    >>> result = ksvd(data.X, 12, n_nonzero_coefs=2, max_iter=50, random_state=0)
    >>> result.codes.shape, bool(result.history["relative_error"][-1] < 0.3)
    ((500, 12), True)
    """
    X = check_array(X, "X")
    n_components = check_int(n_components, "n_components")
    limit = check_int(n_nonzero_coefs, "n_nonzero_coefs", high=n_components)
    check_option(update, "update", ("approximate", "exact"))
    tol = None if tol is None else check_real(tol, "tol", low=0)
    max_iter = check_int(max_iter, "max_iter")
    rng, n_threads = check_random_state(random_state), check_n_threads(n_threads)
    unit = unit_of(magnitude(X), X.dtype)
    X = np.ascontiguousarray(to_units(X, unit))
    D = _initial_atoms(X, n_components, init, rng)
    total = _energy(X)
    previous = total

    def measure(iterate: _Iterate) -> dict[str, float]:
        nonlocal previous
        # Repair may raise the error once: that is no rest either, hence the absolute value.
        decrease = abs(previous - iterate.energy) / previous if previous > 0 else 0.0
        previous = iterate.energy
        return {
            "objective": 0.5 * iterate.energy * unit * unit,
            "certificate": decrease,
            "relative_error": float(np.sqrt(iterate.energy / total)) if total > 0 else 0.0,
            "n_replaced": iterate.n_replaced,
        }

    last, ending = run(
        _ksvd(X, D, limit, 1 if update == "approximate" else 100, rng, n_threads),
        measure, tol=tol, max_iter=max_iter, callback=callback, name="ksvd",
    )  # fmt: skip
    codes = last.codes
    codes.data = from_units(codes.data, unit, name="codes")
    return DictionaryResult(dictionary=last.D, codes=codes, **ending)


def _initial_atoms(X: np.ndarray, n_components: int, init: Any, rng: RandomSource) -> np.ndarray:
    if init is None or isinstance(init, str):
        if check_option(init or "data", "init", ("data", "dct")) == "dct":
            return overcomplete_dct(n_components, X.shape[1]).astype(X.dtype)
        candidates = np.flatnonzero(np.linalg.norm(X, axis=1))
        atoms = X[rng.permutation(candidates)[:n_components]]
        if atoms.shape[0] < n_components:  # too few signals: the rest is random
            more = rng.standard_normal((n_components - atoms.shape[0], X.shape[1])).astype(X.dtype)
            atoms = np.vstack([atoms, more])
    else:
        atoms = check_array(init, "init").astype(X.dtype)
        if atoms.shape != (n_components, X.shape[1]):
            raise ValueError(
                f"init has shape {atoms.shape}; it has to be {(n_components, X.shape[1])}"
            )
        atoms = to_units(atoms, unit_of(magnitude(atoms), atoms.dtype))
    norms = np.linalg.norm(atoms, axis=1, keepdims=True)
    if not np.all(norms > 0):
        raise ValueError("init has a zero atom; every atom needs a direction")
    return np.ascontiguousarray(atoms / norms)


def _ksvd(
    X: np.ndarray, D: np.ndarray, limit: int, n_passes: int, rng: RandomSource, n_threads: int
) -> Iterator[_Iterate]:
    from sparsecode.solvers._kernels.dictionary import sweep_atoms

    taken = np.zeros(X.shape[0], dtype=bool)  # signals that became atoms by repair
    n_replaced = 0
    while True:
        codes = sparse_encode(X, D, n_nonzero_coefs=limit, n_threads=n_threads)
        R, D = X - codes @ D, D.copy()
        # The same pattern by columns, holding where each atom's coefficients stand in the rows.
        places = sp.csr_array(
            (np.arange(codes.nnz), codes.indices, codes.indptr), shape=codes.shape
        ).tocsc()
        sweep_atoms(
            R, D, rng.permutation(D.shape[0]), places.indptr, places.indices, places.data,
            codes.data, n_passes, 1e-6, np.empty(D.shape[1], dtype=D.dtype),
        )  # fmt: skip
        yield _Iterate(D, codes, _energy(R), n_replaced)
        D, n_replaced = _repair(X, D, R, np.diff(places.indptr), taken)


def _repair(
    X: np.ndarray, D: np.ndarray, R: np.ndarray, uses: np.ndarray, taken: np.ndarray
) -> tuple[np.ndarray, int]:
    """Unused atoms, and the later of two nearly equal ones, become the worst-coded signals."""
    coherence = np.triu(np.abs(D @ D.T), 1)
    poor = np.flatnonzero((uses == 0) | np.any(coherence > COHERENCE, axis=0))
    energy = np.einsum("ij,ij->i", R, R)
    energy[taken] = 0
    worst = np.argsort(-energy, kind="stable")[: poor.size]
    worst = worst[energy[worst] > 0]
    poor = poor[: worst.size]
    taken[worst] = True
    D = D.copy()
    D[poor] = X[worst] / np.linalg.norm(X[worst], axis=1, keepdims=True)
    return D, poor.size


def _energy(R: np.ndarray) -> float:
    return float(np.sum(np.square(R), dtype=np.float64))
