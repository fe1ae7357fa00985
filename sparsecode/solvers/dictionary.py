r"""Dictionary learning in batches: atoms and codes with ``X ~ codes @ dictionary``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from sparsecode._dask import is_dask
from sparsecode._docs import documented
from sparsecode._validation import check_option, check_unused
from sparsecode.solvers._alternation import (
    Iterate,
    alternate,
    least_squares_atoms,
    nonnegative_atoms,
    rescaled,
    to_unit_norm,
)
from sparsecode.solvers._learning import Learner, Signals, moments, repaired, squared_rows
from sparsecode.solvers._learning_blocks import BlockLearner, mod_of_blocks
from sparsecode.solvers._result import DictionaryResult
from sparsecode.solvers._run import Callback

__all__ = ["ksvd", "mod"]

EXACT_PASSES = 100  # power iterations of the exact update at the most; few are needed
BLOCK = 256  # users of an atom whose signals are read in one go


class _Updated(NamedTuple):
    D: np.ndarray
    codes: sp.csr_array
    energies: np.ndarray  # what they leave of each signal


Update = Callable[[Learner, np.ndarray, sp.csr_array], _Updated]


@documented
def ksvd(
    X: Any,
    n_components: int,
    *,
    n_nonzero_coefs: int | None = None,
    residual_tol: float | None = None,
    alpha: float | None = None,
    update: str = "approximate",
    max_iter: int = 20,
    init: Any = None,
    tol: float | None = None,
    missing_values: float | None = None,
    positive: bool = False,
    random_state: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> DictionaryResult:
    r"""K-SVD: codes of all signals, then atom by atom the best rank-one fit.

    .. math:: \min_{C, D} \tfrac12 \|X - C D\|_F^2 \quad \text{s.t.} \quad
              \|c_i\|_0 \le k, \; \|d_j\|_2 = 1

    or with the fewest atoms whose residual is at most `residual_tol`, or with
    :math:`\alpha \|C\|_1` beside the squares. With the supports of the codes held, each update of
    an atom and its coefficients lowers the objective.

    %(dictionary_learning)s
    update : {"approximate", "exact"}, default="approximate"
        One power iteration an atom, or enough of them for the leading singular pair.
    %(dictionary_learning_iterations)s

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
    check_option(update, "update", ("approximate", "exact"))
    n_passes = 1 if update == "approximate" else EXACT_PASSES

    def sweep(learner: Learner, D: np.ndarray, codes: sp.csr_array) -> _Updated:
        return _swept(learner, D, codes, n_passes)

    learner = Learner.checked(
        X, n_components, n_nonzero_coefs=n_nonzero_coefs, residual_tol=residual_tol, alpha=alpha,
        positive=positive, init=init, missing_values=missing_values, random_state=random_state,
        n_threads=n_threads,
    )  # fmt: skip
    return _learned(learner, sweep, max_iter, tol, callback, "ksvd")


@documented
def mod(
    X: Any,
    n_components: int,
    *,
    n_nonzero_coefs: int | None = None,
    residual_tol: float | None = None,
    alpha: float | None = None,
    max_iter: int = 20,
    init: Any = None,
    tol: float | None = None,
    missing_values: float | None = None,
    positive: bool = False,
    random_state: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> DictionaryResult:
    r"""The method of optimal directions: codes of all signals, then all atoms by least squares.

    .. math:: \min_{C, D} \tfrac12 \|X - C D\|_F^2 \quad \text{s.t.} \quad
              \|c_i\|_0 \le k, \; \|d_j\|_2 = 1

    with codes as in `ksvd`. With these held the least squares fit
    :math:`D = (C^T C)^{+} C^T X` lowers the squared error as far as it goes; its atoms then come
    to unit norm, and their coefficients with them, which leaves the product as it is. (With
    `alpha` the l1 norm changes by that, and the objective may rise.) With `positive` each entry of
    an atom moves to its own minimum in turn.

    A Dask array is learned from block by block: its signals and their codes stay where they are,
    and moments of the codes are added up. Each iteration goes over the blocks twice, so persist
    them where they fit. The answer is that of the array in memory, to rounding; `codes` are a Dask
    array of CSR blocks.

    %(dictionary_learning)s
    %(dictionary_learning_iterations)s

    References
    ----------
    Engan, Aase and Husoy, "Method of optimal directions for frame design", 1999.

    Examples
    --------
    >>> from sparsecode.datasets import make_sparse_coded_signals
    >>> from sparsecode.solvers import mod
    >>> data = make_sparse_coded_signals(
    ...     500, n_components=12, n_features=8, n_nonzero_coefs=2, random_state=0
    ... )
    >>> result = mod(data.X, 12, n_nonzero_coefs=2, max_iter=50, random_state=0)
    >>> bool(result.history["relative_error"][-1] < 0.4)
    True
    """
    if is_dask(X):
        check_unused("a Dask array", missing_values=missing_values, n_threads=n_threads)
        learner_of_blocks = BlockLearner.checked(
            X, n_components, n_nonzero_coefs=n_nonzero_coefs, residual_tol=residual_tol,
            alpha=alpha, positive=positive, init=init, random_state=random_state,
        )  # fmt: skip
        return mod_of_blocks(learner_of_blocks, max_iter, tol, callback)
    learner = Learner.checked(
        X, n_components, n_nonzero_coefs=n_nonzero_coefs, residual_tol=residual_tol, alpha=alpha,
        positive=positive, init=init, missing_values=missing_values, random_state=random_state,
        n_threads=n_threads,
    )  # fmt: skip
    return _learned(learner, _least_squares, max_iter, tol, callback, "mod")


def _learned(
    learner: Learner,
    update: Update,
    max_iter: int,
    tol: float | None,
    callback: Callback | None,
    name: str,
) -> DictionaryResult:
    """Run it: every batch learner differs in the update of the atoms alone."""
    signals = learner.signals
    last, ending = alternate(
        _alternation(learner, update), learner.D, signals.energy, signals.unit, max_iter=max_iter,
        tol=tol, callback=callback, name=name,
    )  # fmt: skip
    return learner.result(last, ending)


def _alternation(learner: Learner, update: Update) -> Iterator[Iterate]:
    signals, coding, missing = learner.signals, learner.coding, learner.signals.observed is not None
    D, taken, n_replaced = learner.D, learner.taken, 0
    while True:
        codes = coding.codes(signals.given, D, learner.n_threads, missing=missing)
        D, codes, energies = update(learner, D, codes)
        uses = np.bincount(codes.indices, minlength=len(D))
        next_D, taken, replaced, coherence = repaired(
            signals.X, D, energies, uses, taken, coding.positive
        )
        energy = float(energies.sum())
        yield Iterate(
            D, codes, energy, coding.objective(energy, codes),
            np.count_nonzero(codes.data) / len(signals.X), coherence, n_replaced, next_D, taken,
        )  # fmt: skip
        D, n_replaced = next_D, replaced


def _swept(learner: Learner, D: np.ndarray, codes: sp.csr_array, n_passes: int) -> _Updated:
    """One K-SVD sweep, the atoms in random order."""
    from sparsecode.solvers._kernels.dictionary import sweep_atoms, sweep_observed_atoms

    signals, dtype, (K, m) = learner.signals, D.dtype, D.shape
    D, order = D.copy(), learner.rng.permutation(K)
    # The same pattern by columns, holding where each atom's coefficients stand in the rows.
    places = sp.csr_array(
        (np.arange(codes.nnz, dtype=codes.indptr.dtype), codes.indices, codes.indptr),
        shape=codes.shape,
    ).tocsc()
    by_atoms = (places.indptr, places.indices, places.data)
    options = (
        dtype.type(learner.coding.alpha or 0), learner.coding.positive, n_passes, dtype.type(1e-6)
    )  # fmt: skip
    if signals.observed is not None:
        R = signals.residual(codes, D)
        sweep_observed_atoms(
            R, signals.observed, D, order, *by_atoms, codes.data, *options,
            np.empty((3, m), dtype=dtype),
        )  # fmt: skip
        return _Updated(D, codes, squared_rows(R))
    sweep_atoms(
        signals.X, D, order, *by_atoms, codes.indptr, codes.indices, codes.data,
        *moments(signals.X, codes, learner.n_threads), *options,
        np.empty(m), np.empty(K), np.empty(K, dtype=dtype), np.empty(BLOCK, dtype=dtype),
    )  # fmt: skip
    return _Updated(D, codes, signals.energies(codes, D, learner.n_threads))


def _least_squares(learner: Learner, D: np.ndarray, codes: sp.csr_array) -> _Updated:
    """All atoms at once, then to unit norm."""
    signals, positive = learner.signals, learner.coding.positive
    if signals.observed is None:
        fit = nonnegative_atoms if positive else least_squares_atoms
        fitted = fit(*moments(signals.X, codes, learner.n_threads), D)
    elif positive:
        fitted = _descended(signals, signals.observed, D, codes)
    else:  # each feature is seen by signals of its own
        fitted = np.empty_like(D)
        for f, seen in enumerate(signals.observed.T):
            C = codes[seen]
            gram, correlation = (C.T @ C).toarray(), C.T @ signals.X[seen, f : f + 1]
            fitted[:, f : f + 1] = least_squares_atoms(gram, correlation, D[:, f : f + 1])
    new, factors = to_unit_norm(fitted, D)
    scaled = rescaled(codes, factors)
    return _Updated(new, scaled, signals.energies(scaled, new, learner.n_threads))


def _descended(
    signals: Signals, observed: np.ndarray, D: np.ndarray, codes: sp.csr_array
) -> np.ndarray:
    """`nonnegative_atoms` on what was observed, which no moments of all signals know."""
    fitted, R, C = D.copy(), signals.residual(codes, D), codes.tocsc()
    for k in range(len(D)):
        users, g = C.indices[C.indptr[k] : C.indptr[k + 1]], C.data[C.indptr[k] : C.indptr[k + 1]]
        if users.size == 0:
            continue
        seen = observed[users]
        weight = (g * g) @ seen
        step = np.divide(g @ R[users], weight, out=np.zeros_like(D[k]), where=weight > 0)
        moved = np.maximum(fitted[k] + step, 0)
        R[users] -= np.outer(g, moved - fitted[k]) * seen
        fitted[k] = moved
    return fitted
