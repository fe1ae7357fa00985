r"""Robust PCA of rows that come in batches: streams, video, data that are read once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, single_threaded_blas
from sparsecode._validation import (
    check_array,
    check_int,
    check_missing_values,
    check_real,
    check_unused,
    refuse_missing,
)
from sparsecode.solvers._factored import Sums, best_basis, grown, in_basis, ridge_of
from sparsecode.solvers._result import Result
from sparsecode.solvers._rows import half_squares
from sparsecode.solvers._run import Callback, run

__all__ = ["OnlineResult", "SubspaceState", "online_robust_pca"]

START = 20  # rows for each direction of the basis that are kept until it stands
TYPICAL = 0.2  # of the median size of an entry: alpha by default
BESIDE = 2.0**200  # times larger than the rows before: no products of both are in range
COOLING = 0.8  # from one pass over the first rows to the next, alpha comes down to what was asked


@dataclass(frozen=True, eq=False, repr=False)
class SubspaceState:
    """What `online_robust_pca` keeps of the rows it has seen; in units, but for what was given.

    Attributes
    ----------
    basis : ndarray of shape (n_directions, n_features)
        `V`, of any norm.
    moment : ndarray of shape (n_directions, n_directions)
        The sum of ``z^T z`` over the rows, with their weights.
    cross : ndarray of shape (n_directions, n_features)
        The sum of ``z^T (x - s)``.
    fixed : float
        The sum of what the objective of a row has that does not depend on the basis.
    residuals : float
        The sum of ``||x - z V - s||^2``.
    held : ndarray of shape (n_held, n_features) or None
        The first rows, as they were given, until the basis stands.
    n_rows : int
        Rows seen.
    rank, alpha, forgetting
        As they were given; `alpha` may be None.
    weight : float
        The alpha that is used.
    unit : float
        A power of two.
    """

    basis: np.ndarray
    moment: np.ndarray
    cross: np.ndarray
    held: np.ndarray | None
    rank: int
    alpha: float | None
    forgetting: float
    fixed: float = 0.0
    residuals: float = 0.0
    n_rows: int = 0
    weight: float = 1.0
    unit: float = 1.0

    def __repr__(self) -> str:
        shape = f"{len(self.basis)} directions of {self.basis.shape[1]}"
        return f"<{type(self).__name__}: {shape} after {self.n_rows} rows>"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class OnlineResult(Result):
    """A subspace, and the last batch of rows split by it.

    Attributes
    ----------
    low_rank, sparse : ndarray of shape (n_samples, n_features)
        The two parts of the rows of the batch.
    rank : int
        The number of components.
    singular_values : ndarray of shape (rank,)
        Of the low-rank parts of all rows so far, with their weights; those above the weight of the
        nuclear norm.
    components : ndarray of shape (rank, n_features)
        Orthonormal rows that span the subspace.
    dual_gap : float
        That of the row where it is largest, relative to its objective without a sparse part.
    alpha : float
        The weight of the l1 norm.
    state : SubspaceState
        For the next batch.
    """

    low_rank: np.ndarray
    sparse: np.ndarray
    rank: int
    singular_values: np.ndarray
    components: np.ndarray
    dual_gap: float
    alpha: float
    state: SubspaceState


class _Pass(NamedTuple):
    """All rows solved in one basis, and the state after that moved it."""

    state: SubspaceState
    low_rank: np.ndarray
    clipped: np.ndarray  # x - z V - s, zero where an entry is missing
    objective: float
    certificate: float
    gap: float


def online_robust_pca(
    X: Any,
    rank: int | None = None,
    *,
    state: SubspaceState | None = None,
    alpha: float | None = None,
    forgetting: float | None = None,
    tol: float = 1e-2,
    max_iter: int = 1000,
    missing_values: float | None = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> OnlineResult:
    r"""A subspace learned from one batch of rows after another, robust to gross errors in them.

    .. math:: \min_V \sum_i \gamma^{t - i} \min_{z, s} \Bigl( \tfrac12 \|x_i - z V - s\|^2
              + \tfrac{\lambda}{2} \|z\|^2 + \alpha \|s\|_1 \Bigr) + \tfrac{\lambda}{2} \|V\|_F^2,
              \qquad \lambda = \alpha \sqrt{n}

    for rows :math:`x_1, \ldots, x_t` of `n` entries. Half the two squares together are, at their
    least, the nuclear norm of what the basis explains, so that this is principal component pursuit
    with noise, for a rank that is bounded. A batch is a step of block coordinate descent: its rows
    are solved in the basis there is, exactly; then the basis that is best for the coordinates and
    the sparse parts of all rows so far, of which only :math:`\sum z^T z` and
    :math:`\sum z^T (x - s)` are kept. That is repeated until the basis stays: a few times early,
    once when it has settled.

    The first `20 * rank` rows are kept, and the basis made anew from all of them at each call:
    along the leading singular vectors of the rows clipped at the median size of an entry, from
    where alpha comes down to what was asked. Later rows are seen once. A basis with fewer than
    `rank` directions grows by those in which the clipped residuals of a batch have a singular value
    above :math:`\lambda`. Nothing is random.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The rows of this batch. All is computed in float64, and given back in their precision.
    rank : int, optional
        Directions of the basis at the most; needed where there is no `state`.
    state : SubspaceState, optional
        The `state` of the result for the last batch. The arguments `rank`, `alpha` and
        `forgetting` are those it began with.
    alpha : float, optional
        The weight of the l1 norm, in the units of the data: residuals well above it count as
        errors, and each error pulls the basis with this force, no more. A fifth of the median size
        of the first rows' entries by default. A smaller one is more accurate where little else
        than errors disturbs the rows; where the subspace moves, one below the change from batch to
        batch follows too slowly.
    forgetting : float, optional
        The weight of a row over that of the next, in (0, 1]; 1 by default. Below 1 the basis
        follows a subspace that changes, from the last ``1 / (1 - forgetting)`` rows or so.
    tol : float, default=1e-2
        A batch is done when the gradient in the basis is at most this times the product of the
        norms whose Cauchy-Schwarz bound it obeys, those of all residuals and all coordinates.
    max_iter : int, default=1000
        Passes over a batch at the most.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown: a row is solved on those it has, and has
        what the basis says elsewhere.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker. The answer
        does not depend on it, to the bit.
    callback : callable, optional
        Called after each pass with the named numbers of the history; a true answer stops.

    Returns
    -------
    OnlineResult
        `components`, orthonormal, and `singular_values` of all rows so far (with their weights)
        as far as the basis explains them; `rank`; `low_rank` and `sparse`, the parts of the rows of
        this batch in the last pass; `objective`, the sum above where each earlier row counts with
        the `z` and `s` that it had, which is no less than with the best; `dual_gap`, of the row
        where it is largest, over its objective without a sparse part; `certificate`, the number
        that `tol` bounds; `alpha`, the weight that was used; and `state`, for the next batch.

    Raises
    ------
    ValueError
        If `X` has infinite entries, or NaN that `missing_values` does not announce, another number
        of columns than before, or a parameter is out of range or missing.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    References
    ----------
    Feng, Xu and Yan, "Online robust PCA via stochastic optimization", 2013; Mairal, Bach, Ponce and
    Sapiro, "Online learning for matrix factorization and sparse coding", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.datasets import make_low_rank_plus_sparse
    >>> from sparsecode.solvers import online_robust_pca
    >>> X, low_rank, _ = make_low_rank_plus_sparse(
    ...     300, n_features=60, rank=2, density=0.1, random_state=0
    ... )
    >>> result = online_robust_pca(X[:100], rank=2)
    >>> for rows in (X[100:200], X[200:]):
    ...     result = online_robust_pca(rows, state=result.state)
    >>> V = result.components
    >>> bool(np.linalg.norm(low_rank - low_rank @ V.T @ V) < 0.01 * np.linalg.norm(low_rank))
    True
    """
    X = check_array(X, "X", allow_missing=True)
    if not check_missing_values(missing_values):
        refuse_missing(X)
    if state is None:
        state = _nothing(X.shape[1], rank, alpha, forgetting)
    elif not isinstance(state, SubspaceState):
        raise TypeError(f"state has to be that of a result, got a {type(state).__name__}")
    else:
        check_unused("a state, which knows it", rank=rank, alpha=alpha, forgetting=forgetting)
    if X.shape[1] != state.basis.shape[1]:
        raise ValueError(f"X has {X.shape[1]} features but state has {state.basis.shape[1]}")
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    n_threads = check_n_threads(n_threads)
    before, rows = _before(state, X.astype(np.float64, copy=False))
    unit = before.unit

    def measure(last: _Pass) -> dict[str, float]:
        return {
            "objective": last.objective * unit * unit,
            "certificate": last.certificate,
            "rank": len(last.state.basis),
        }

    with single_threaded_blas():  # bits would depend on the number of its threads
        last, ending = run(
            _passes(before, rows, n_threads),
            measure,
            tol=tol,
            max_iter=max_iter,
            callback=callback,
            name="online_robust_pca",
        )
        s, Vt = _explained(last.state)
    low_rank, clipped = last.low_rank[-len(X) :], last.clipped[-len(X) :]
    sparse = np.nan_to_num(rows[-len(X) :] - low_rank - clipped)

    def given_back(part: np.ndarray, name: str) -> np.ndarray:
        return from_units(part, unit, name=name).astype(X.dtype, copy=False)

    return OnlineResult(
        low_rank=given_back(low_rank, "low_rank"),
        sparse=given_back(sparse, "sparse"),
        rank=s.size,
        singular_values=given_back(s, "singular_values"),
        components=Vt.astype(X.dtype, copy=False),
        dual_gap=last.gap,
        alpha=before.weight * unit,
        state=_after(state, last.state, X),
        **ending,
    )


def _nothing(
    n_features: int, rank: int | None, alpha: float | None, forgetting: float | None
) -> SubspaceState:
    """The state before any row."""
    if rank is None:
        raise ValueError("online_robust_pca needs rank, the directions at the most, or a state")
    rank = check_int(rank, "rank", high=n_features)
    if alpha is not None:
        alpha = check_real(alpha, "alpha", low=0, open_low=True)
    forgetting = 1.0 if forgetting is None else forgetting
    forgetting = check_real(forgetting, "forgetting", low=0, high=1, open_low=True)
    return _fresh(np.zeros((0, n_features)), rank, alpha, forgetting)


def _fresh(held: np.ndarray, rank: int, alpha: float | None, forgetting: float) -> SubspaceState:
    """A state without a basis."""
    nothing = np.zeros((0, held.shape[1]))
    return SubspaceState(nothing, np.zeros((0, 0)), nothing, held, rank, alpha, forgetting)


def _before(state: SubspaceState, X: np.ndarray) -> tuple[SubspaceState, np.ndarray]:
    """The state that rows are added to, and these in its units: all the first ones together."""
    before = state.unit if state.held is None else magnitude(state.held)
    if magnitude(X) > before * BESIDE > 0:
        raise ValueError(
            f"X has entries of up to {magnitude(X):.3g}, beside which the rows before, of "
            f"{before:.3g}, are nothing; rescale X, or begin anew"
        )
    if state.held is None:
        return state, to_units(X, state.unit)
    X = np.vstack([state.held, X])
    unit = unit_of(magnitude(X), np.float64)
    X = to_units(X, unit)
    alpha = TYPICAL * _median_size(X) if state.alpha is None else state.alpha / unit
    weight = float(np.clip(alpha, 1e-150, 1e150))
    fresh = _fresh(state.held, state.rank, state.alpha, state.forgetting)
    return replace(fresh, weight=weight, unit=unit), X


def _after(before: SubspaceState, last: SubspaceState, X: np.ndarray) -> SubspaceState:
    """The state for the next batch: the first rows are held until there are enough of them."""
    held, n_rows = before.held, before.n_rows + len(X)
    if held is not None:
        nonzero = np.any(np.nan_to_num(X) != 0, axis=1)  # others say nothing
        held = np.vstack([held, X[nonzero].astype(np.float64, copy=False)])
        held = held if len(held) < START * before.rank else None
    return replace(last, held=held, n_rows=n_rows)


def _median_size(X: np.ndarray) -> float:
    """Of the entries that are there and not zero; 1.0 if there are none."""
    sizes = np.abs(X[np.nan_to_num(X) != 0])
    return float(np.median(sizes)) if sizes.size else 1.0


def _passes(state: SubspaceState, X: np.ndarray, n_threads: int) -> Iterator[_Pass]:
    """Rows in the basis, the basis for the rows, and the scales of both: each at its best."""
    weight, V = state.weight, state.basis
    if state.held is not None:
        weight = max(weight, _median_size(X))
    past = Sums(state.moment, state.cross, state.fixed, state.residuals)
    fade = state.forgetting ** len(X)
    while True:
        ridge = ridge_of(weight, V)
        rows = in_basis(X, V, weight, ridge, n_threads)
        larger = grown(V, rows.clipped, ridge, state.rank)
        if len(larger) > len(V):
            V, past = larger, past.padded(len(larger))
            rows = in_basis(X, V, weight, ridge, n_threads)
        sums = rows.sums.plus(past, fade)
        hessian = sums.moment + ridge * np.eye(len(V))
        bound = float(np.sqrt(sums.residuals * np.trace(sums.moment)))
        gradient = float(np.linalg.norm(hessian @ V - sums.cross))
        certificate = gradient / bound if bound > 0 else 0.0
        objective = sums.fixed + float(np.vdot(V, 0.5 * (hessian @ V) - sums.cross))
        V, T = best_basis(sums, ridge)
        past, sums = (part.transformed(T, ridge) for part in (past, sums))
        yield _Pass(
            replace(state, basis=V, **sums._asdict()),
            rows.low_rank,
            rows.clipped,
            objective,
            certificate if weight == state.weight else np.inf,
            rows.gap,
        )
        weight = max(COOLING * weight, state.weight)


def _explained(state: SubspaceState) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and right singular vectors of the low-rank parts of all rows.

    Those below the weight of the nuclear norm, which it takes from each, are left out. The basis
    is balanced: its rows are orthogonal, and their squares the singular values.
    """
    s = 2 * half_squares(state.basis)
    s = s[s > ridge_of(state.weight, state.basis)]
    return s, state.basis[: s.size] / np.sqrt(s[:, None])
