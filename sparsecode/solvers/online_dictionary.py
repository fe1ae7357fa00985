r"""Dictionary learning from batches of signals: what they say of the atoms is kept as two sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecode._dask import is_dask
from sparsecode._threads import check_n_threads, single_threaded_blas
from sparsecode._validation import (
    check_int,
    check_missing_values,
    check_n_components,
    check_random_state,
    check_real,
    check_unused,
)
from sparsecode.solvers._learning import Coding, with_atoms
from sparsecode.solvers._online import Batches, Memory, OnlineState, Pass, passes
from sparsecode.solvers._online_blocks import BlockRows
from sparsecode.solvers._online_rows import Rows
from sparsecode.solvers._result import DictionaryResult
from sparsecode.solvers._run import Callback, run

__all__ = ["OnlineState", "online_dictionary_learning"]


def online_dictionary_learning(
    X: Any,
    n_components: int | None = None,
    *,
    n_nonzero_coefs: int | None = None,
    residual_tol: float | None = None,
    alpha: float | None = None,
    batch_size: int | None = None,
    max_iter: int = 10,
    init: Any = None,
    state: OnlineState | None = None,
    tol: float | None = None,
    missing_values: float | None = None,
    positive: bool = False,
    random_state: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> DictionaryResult:
    r"""Dictionary learning in mini-batches: the codes of a batch, then a step of all atoms.

    .. math:: \min_{C, D} \tfrac12 \|X - C D\|_F^2 + \alpha \|C\|_1
              \quad \text{s.t.} \quad \|d_j\|_2 = 1

    or without the l1 norm and with at most `n_nonzero_coefs` atoms a signal, or with the fewest
    whose residual is at most `residual_tol`. Of the rows only :math:`A = \sum c^T c` and
    :math:`B = \sum c^T x` are kept for the atoms, which minimise
    :math:`\tfrac12 \mathrm{tr}(D^T A D) - \mathrm{tr}(D^T B)` one after another. In the first pass
    the rows of long ago fade. In later ones the new codes of a batch take the place of its old
    ones in the sums, codes of the lasso go on from where they were, and codes are found for where
    the atoms are going to be, after half a pass at their present velocity; not so in a pass after
    one that raised the objective.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Signals, one a row; batches are of adjacent rows in the order given, nothing is shuffled
        here: do so with rows that are sorted. A `np.memmap` is read in batches, and what has been
        read is given back to the system. Of a Dask array each batch is coded on the workers where
        its blocks are, and its part of the sums comes here, where the atoms take their step. The
        answer is that of the array in memory with this `batch_size`, to rounding. A pass goes over
        the blocks once, after a first look at them.
    n_components : int, optional
        Atoms; needed where there is no `state`.
    n_nonzero_coefs : int, optional
        Atoms a signal at the most, by orthogonal matching pursuit. Give this, `residual_tol` or
        both, or `alpha`.
    residual_tol : float, optional
        A signal takes no more atoms once the l2 norm of its residual (not squared) is at most this.
    alpha : float, optional
        The weight of the l1 norm of the codes, which are those of the lasso then, nearly: a few
        sweeps of descent a visit.
    batch_size : int, optional
        Rows between two steps of the atoms; it does not depend on the threads. By default 256, or
        of a Dask array eight times the rows of its largest block: each step costs a round trip,
        and the blocks of one batch are what workers share.
    max_iter : int, default=10
        Passes over the rows at the most.
    init : {"data", "svd", "dct"}, array or DictionaryResult, optional
        The first atoms: different signals of the first `batch_size` (or `n_components`) rows that
        are not zero ("data", the default), their right singular vectors and random ones behind
        them, cosines, or those given. From a result for the same rows and arguments the run goes
        on as if it had not ended, to the bit.
    state : OnlineState, optional
        The `state` of a result: `X` are new rows then, which add to the sums of those before. All
        that is left out of `n_components` to `batch_size` and `positive` is as it was.
        One pass over batches, each with the state of the one before, is one pass over all rows.
    tol : float, optional
        Stop when a pass changes the objective by less than this fraction; by default all
        `max_iter` passes are done. The problem is not convex: a small change certifies no more
        than that the descent has come to rest.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown: a row is coded on the others, and its
        missing ones are in the sums as its code says. All rows are then held in memory.
    positive : bool, default=False
        Atoms and codes without negative entries.
    random_state : int, RandomState, Generator or None, default=None
        Draws the first atoms.
    n_threads : int, optional
        Threads of the coding. The result does not depend on it, to the bit.
    callback : callable, optional
        Called after each pass with the named numbers of the history and the atoms so far,
        `"dictionary"`; a true answer stops.

    Returns
    -------
    DictionaryResult
        `dictionary`; `codes` (CSR, or a Dask array of such blocks, which live on the workers as
        long as the result does), each row's from its last visit; `objective`, the sum over the
        batches of the last pass, each in the atoms that it was coded in; `certificate`, the last
        relative change of it; `n_iter`, `status`, `converged`, `history` and `state`. The history
        also has `"relative_error"`, ``||X - C D||_F / ||X||_F``, `"n_nonzero"`, the mean over
        the signals, `"coherence"`, the largest of two atoms, and `"n_replaced"`: atoms that were
        used by no signal or nearly equal to another one, replaced by the worst-coded signals of a
        batch, and those used less than 0.3 times as often as the mean in the whole pass before,
        replaced by the worst-coded of all; none of these twice.

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
    Mairal, Bach, Ponce and Sapiro, "Online learning for matrix factorization and sparse coding",
    2010; Mairal, "Optimization with first-order surrogate functions", 2013 (the sums in which each
    batch has its last codes).

    Examples
    --------
    >>> from sparsecode.datasets import make_sparse_coded_signals
    >>> from sparsecode.solvers import online_dictionary_learning
    >>> data = make_sparse_coded_signals(
    ...     2000, n_components=12, n_features=8, n_nonzero_coefs=2, random_state=0
    ... )
    >>> result = online_dictionary_learning(data.X, 12, alpha=0.1, random_state=0)
    >>> result.dictionary.shape, bool(result.history["relative_error"][-1] < 0.3)
    ((12, 8), True)
    """
    tol = None if tol is None else check_real(tol, "tol", low=0)
    max_iter, threads = check_int(max_iter, "max_iter"), check_n_threads(n_threads)
    missing = check_missing_values(missing_values)
    if is_dask(X):
        check_unused("a Dask array", missing_values=missing_values, n_threads=n_threads)
    codes = None
    if state is not None:
        if not isinstance(state, OnlineState):
            raise TypeError(f"state has to be that of a result, got a {type(state).__name__}")
        check_unused(
            "a state, which knows it",
            n_components=n_components, n_nonzero_coefs=n_nonzero_coefs, residual_tol=residual_tol,
            alpha=alpha, batch_size=batch_size, init=init, positive=positive or None,
            random_state=random_state,
        )  # fmt: skip
        rows = _rows(X, missing, state.batch_size, len(state.D), state.unit)
        state = _with_new_rows(state, rows)
    else:
        if n_components is None:
            raise ValueError("give n_components, the number of atoms, or a state")
        n_components = check_int(n_components, "n_components")
        coding = Coding.checked(n_components, n_nonzero_coefs, residual_tol, alpha, positive)
        size = None if batch_size is None else check_int(batch_size, "batch_size")
        if isinstance(init, DictionaryResult):
            state, rows = _resumed(init, X, n_components, coding, missing, size)
            codes = init.codes
        else:
            rows = _rows(X, missing, size, n_components, None)
            state = _first_state(rows, n_components, coding, init, random_state)
    return _learned(state, rows, codes, max_iter, tol, threads, callback)


def _rows(
    X: Any, missing: bool, size: int | None, n_components: int, unit: float | None
) -> Rows | BlockRows:
    if is_dask(X):
        return BlockRows.checked(X, size, n_components, unit)
    return Rows.checked(X, missing, 256 if size is None else size, unit)


def _first_state(
    rows: Rows | BlockRows, n_components: int, coding: Coding, init: Any, random_state: Any
) -> OnlineState:
    n_components = check_n_components(n_components, rows.shape[1])
    rng = check_random_state(random_state)
    D = rows.first_atoms(n_components, init, rng, positive=coding.positive)
    A, B = np.zeros((n_components, n_components)), np.zeros(D.shape)
    return OnlineState(coding, rows.batch_size, rows.dtype, rows.unit, D, A, B, 0, _unseen(rows, D))


def _unseen(rows: Rows | BlockRows, D: np.ndarray) -> Memory:
    """Of rows that have not been seen yet."""
    return Memory(
        weights=np.zeros(rows.n_batches),
        born=np.full(len(D), -1),
        rows=rows.unseen(),
        uses=np.zeros(len(D), dtype=np.int64),
        velocity=np.zeros_like(D),
        n_passes=0,
        objective=0.0,
        leading=False,
    )


def _with_new_rows(state: OnlineState, rows: Rows | BlockRows) -> OnlineState:
    if rows.shape[1] != state.D.shape[1]:
        raise ValueError(f"X has {rows.shape[1]} features but state has {state.D.shape[1]}")
    if rows.dtype != state.dtype:
        raise ValueError(f"X is {rows.dtype} but state comes from {state.dtype}")
    return state._replace(memory=_unseen(rows, state.D))


def _resumed(
    init: DictionaryResult,
    X: Any,
    n_components: int,
    coding: Coding,
    missing: bool,
    size: int | None,
) -> tuple[OnlineState, Rows | BlockRows]:
    """Where the result's run ended."""
    state = init.state
    if not isinstance(state, OnlineState):
        raise ValueError("init is a result of another learner; it has to be one of this")
    rows = _rows(X, missing, size, n_components, state.unit)
    same = (
        coding == state.coding
        and (rows.batch_size, rows.dtype, rows.shape[0])
        == (state.batch_size, state.dtype, init.codes.shape[0])
        and (n_components, rows.shape[1]) == state.D.shape
        and rows.fits(state.memory.rows)
    )
    if not same:
        raise ValueError(
            "init is a result for other rows or arguments: the shapes and dtype of X, whether it "
            "is a Dask array and its blocks, n_components, how codes are found, batch_size and "
            "missing_values have to be the same"
        )
    return state, rows


def _learned(
    state: OnlineState,
    rows: Rows | BlockRows,
    codes: Any,
    max_iter: int,
    tol: float | None,
    n_threads: int,
    callback: Callback | None,
) -> DictionaryResult:
    """Run it."""
    previous, D = state.memory.objective, state.D
    energy, squared_unit = rows.energy, rows.unit * rows.unit

    def measure(done: Pass) -> dict[str, float]:
        nonlocal previous, D
        D = done.D
        before = previous or 0.5 * energy
        change = abs(before - done.objective) / before if before > 0 else 0.0
        previous = done.objective
        return {
            "objective": done.objective * squared_unit,
            "certificate": change,
            "relative_error": float(np.sqrt(done.energy / energy)) if energy > 0 else 0.0,
            "n_nonzero": done.n_nonzero / rows.shape[0],
            "coherence": done.coherence,
            "n_replaced": done.n_replaced,
        }

    batches: Batches = rows.batches(state.memory.rows, codes, n_threads)
    with single_threaded_blas():  # bits would depend on the number of its threads
        last, ending = run(
            passes(state, batches), measure, tol=tol, max_iter=max_iter,
            callback=with_atoms(callback, lambda: D), name="online_dictionary_learning",
        )  # fmt: skip
    found = rows.codes_of(last.codes, len(last.D))
    return DictionaryResult(dictionary=last.D, codes=found, state=last.state, **ending)
