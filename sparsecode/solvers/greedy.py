r"""Greedy pursuits: one atom at a time, for one signal or for each column of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparsecode._docs import documented
from sparsecode._validation import check_int, check_system
from sparsecode.operators import adjoint
from sparsecode.solvers._result import CodeResult, Status
from sparsecode.solvers._run import Callback, as_history
from sparsecode.solvers._support import (
    Iterate,
    Signals,
    check_real_data,
    column_norms,
    columns,
    largest,
    nonnegative,
)

__all__ = ["matching_pursuit", "ols", "omp"]

# The matrix, a signal, the norms of the columns, the most atoms and the residual norm to reach
# -> the support, its coefficients and the norm of the residual.
Pursuit = Callable[[Any, np.ndarray, np.ndarray, int, float], tuple[list[int], np.ndarray, float]]


@documented
def matching_pursuit(
    A: Any,
    y: Any,
    *,
    n_nonzero_coefs: int | None = None,
    residual_tol: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 10_000,
    callback: Callback | None = None,
) -> CodeResult:
    r"""Matching pursuit: each iteration explains what one atom can explain of the residual.

    .. math:: j = \arg\max_i \frac{|\langle a_i, r \rangle|}{\|a_i\|_2}, \qquad
              x_j \leftarrow x_j + \frac{\langle a_j, r \rangle}{\|a_j\|_2^2}

    An atom may be chosen again. Once `n_nonzero_coefs` atoms are in use only these are chosen, so
    that the coefficients tend to the least squares fit over them. `omp` gets there in one step
    an atom; this one needs no more than a product and a vector.

    Parameters
    ----------
    %(atoms_and_signals)s
    n_nonzero_coefs : int, optional
        At most so many different atoms a signal. If neither this nor `residual_tol` is given, a
        tenth of the columns of `A`, at least one.
    residual_tol : float, optional
        A signal is settled once its ``||y - A x||_2`` (not squared) is at most this.
    tol : float, default=1e-6
        A signal is settled, too, once no atom that may still be chosen correlates more than this
        with the residual: ``max_j |<a_j, r>| / ||a_j|| <= tol * ||y||``.
    max_iter : int, default=10000
        At most so many iterations.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    CodeResult
        `x`; `objective`, half the squared residual; `certificate`, the largest correlation above
        over the norm of the signal, of the worst signal whose residual is above `residual_tol`:
        0 says that `x` is the least squares fit over the atoms it may use. `dual_gap` is NaN: the
        choice of the atoms is not certified.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    References
    ----------
    Mallat and Zhang, "Matching pursuits with time-frequency dictionaries", 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers.greedy import matching_pursuit
    >>> matching_pursuit(np.eye(3), np.array([1.0, 0.0, -2.0]), n_nonzero_coefs=1).x
    array([ 0.,  0., -2.])
    """
    dtype = np.asarray(y).dtype
    A, y = check_system(A, y)
    limit = _limit(n_nonzero_coefs, residual_tol, A.shape[1])
    norms = column_norms(A)
    signals = Signals.in_units(A, y, norms.max(), residual_tol, dtype)
    norms = norms / signals.matrix_unit
    return signals.solve(
        [_matching_pursuit(signals.A, signal, norms, limit) for signal in signals.y.T],
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        name="matching_pursuit",
    )


def _matching_pursuit(A: Any, y: np.ndarray, norms: np.ndarray, limit: int) -> Iterator[Iterate]:
    AH, size = adjoint(A), np.linalg.norm(y)
    x, r, used = np.zeros(A.shape[1], dtype=y.dtype), y, np.zeros(A.shape[1], dtype=bool)
    sizes = np.where(norms > 0, norms, np.inf)
    correlation = (AH @ r / sizes).astype(y.dtype)
    while True:
        j = int(np.argmax(np.abs(correlation)))
        used = used | (np.arange(used.size) == j)
        q = (columns(A, [j])[:, 0] / sizes[j]).astype(y.dtype)
        r = r - correlation[j] * q
        x = x.copy()
        x[j] += correlation[j] / sizes[j]
        correlation = (AH @ r / sizes).astype(y.dtype)
        if np.count_nonzero(used) == limit:
            correlation = np.where(used, correlation, 0)
        yield Iterate(x, r, float(np.max(np.abs(correlation)) / size))


@documented
def omp(
    A: Any,
    y: Any,
    *,
    n_nonzero_coefs: int | None = None,
    residual_tol: float | None = None,
    positive: bool = False,
) -> CodeResult:
    r"""Orthogonal matching pursuit: greedily, few atoms that explain `y`.

    .. math:: \min_x \|y - A x\|_2^2 \quad \text{s.t.} \quad \|x\|_0 \le k

    At each step the atom with the largest :math:`|\langle a_j, r \rangle| / \|a_j\|` joins the
    support, and the residual `r` is made orthogonal to all selected atoms. With `positive`, the
    atom with the largest :math:`\langle a_j, r \rangle / \|a_j\|` joins, the fit over the support
    is nonnegative least squares, and an atom that gets a zero leaves again.

    Parameters
    ----------
    %(atoms_and_signals)s
    %(pursuit)s

    References
    ----------
    Pati, Rezaiifar and Krishnaprasad, "Orthogonal matching pursuit", 1993; Nguyen, Idier, Soussen
    and Djermoune, "Non-negative orthogonal greedy algorithms", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import omp
    >>> omp(np.eye(3), np.array([1.0, 0.0, -2.0]), n_nonzero_coefs=1).x
    array([ 0.,  0., -2.])
    """
    one = partial(_nonnegative if positive else _orthogonal, best=False)
    return _pursue(one, A, y, n_nonzero_coefs, residual_tol, positive)


@documented
def ols(
    A: Any,
    y: Any,
    *,
    n_nonzero_coefs: int | None = None,
    residual_tol: float | None = None,
    positive: bool = False,
) -> CodeResult:
    r"""Orthogonal least squares: greedily, the atom that reduces the residual most.

    .. math:: \min_x \|y - A x\|_2^2 \quad \text{s.t.} \quad \|x\|_0 \le k

    At each step the atom with the largest :math:`|\langle a_j, r \rangle| / \|P a_j\|` joins the
    support, where `P` projects onto what the selected atoms do not span: of all atoms, the one
    after which the least squares residual is smallest. With `positive`, the one after which the
    nonnegative least squares residual is smallest; an atom that gets a zero leaves again.

    Parameters
    ----------
    A : array or sparse array of shape (m, n)
        Atoms in columns, of any norm; zero and duplicate atoms are legal. Real or complex. A
        LinearOperator is refused, because each step needs all the columns.
    y : array of shape (m,) or (m, n_signals)
        One signal, or one a column. Each column is a problem of its own.
    %(pursuit)s

    References
    ----------
    Chen, Billings and Luo, "Orthogonal least squares methods and their application to non-linear
    system identification", 1989; Nguyen, Idier, Soussen and Djermoune, "Non-negative orthogonal
    greedy algorithms", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers.greedy import ols
    >>> ols(np.eye(3), np.array([1.0, 0.0, -2.0]), n_nonzero_coefs=1).x
    array([ 0.,  0., -2.])
    """
    if not isinstance(A, np.ndarray) and not sp.issparse(A) and hasattr(A, "matvec"):
        raise TypeError(
            "A is a LinearOperator; ols needs all its columns: pass an array or a sparse array, "
            "or use omp, which needs products only"
        )
    one = partial(_nonnegative if positive else _orthogonal, best=True)
    return _pursue(one, A, y, n_nonzero_coefs, residual_tol, positive)


def _limit(n_nonzero_coefs: Any, residual_tol: Any, n: int) -> int:
    if n_nonzero_coefs is not None:
        return check_int(n_nonzero_coefs, "n_nonzero_coefs", high=n)
    return max(1, n // 10) if residual_tol is None else n


def _pursue(
    one: Pursuit, A: Any, y: Any, n_nonzero_coefs: Any, residual_tol: Any, positive: bool
) -> CodeResult:
    """The arguments checked, each signal pursued, and what all of them have in common."""
    dtype = np.asarray(y).dtype
    A, y = check_system(A, y)
    m, n = A.shape
    if positive:
        check_real_data(y)
    limit = min(_limit(n_nonzero_coefs, residual_tol, n), m)
    norms = column_norms(A)
    signals = Signals.in_units(A, y, norms.max(), residual_tol, dtype)
    norms = norms / signals.matrix_unit
    x = np.zeros((n, signals.y.shape[1]), dtype=y.dtype)
    residuals, sizes = np.zeros(x.shape[1]), np.zeros(x.shape[1], dtype=int)
    for j, (signal, target) in enumerate(zip(signals.y.T, signals.targets, strict=True)):
        support, coefficients, residuals[j] = one(signals.A, signal, norms, limit, target)
        x[support, j] = coefficients
        sizes[j] = len(support)
    # A support as large as was asked for is an answer too, whatever the residual.
    missed = (residuals > signals.targets) & (sizes < (n_nonzero_coefs or n + 1))
    exhausted = residual_tol is not None and bool(np.any(missed))
    return CodeResult(
        x=signals.answer(x),
        dual_gap=np.nan,
        objective=signals.objective(residuals),
        certificate=signals.relative(residuals),
        n_iter=int(sizes.max()),
        status=Status.EXHAUSTED if exhausted else Status.COMPLETED,
        history=as_history([]),
    )


def _orthogonal(
    A: Any, y: np.ndarray, norms: np.ndarray, limit: int, target: float, *, best: bool
) -> tuple[list[int], np.ndarray, float]:
    """OMP, or OLS if `best`: the residual stays orthogonal to the support.

    `Q R` are the selected columns, each over its norm: the scale of a column does not matter.
    """
    AH, eps = adjoint(A), np.finfo(y.dtype).eps
    Q = np.empty((y.size, limit), dtype=y.dtype, order="F")
    images = np.empty((limit, norms.size), dtype=y.dtype)  # A^H Q, a column a row
    R = np.zeros((limit, limit), dtype=y.dtype)
    support: list[int] = []
    sizes = np.where(norms > 0, norms, 1)
    available, energy = norms > 0, np.ones(norms.size)
    gram = _GramRows(A, sizes, y.dtype) if isinstance(A, np.ndarray) else None
    floor = 10 * eps * np.linalg.norm(y)  # correlations below are rounding errors
    r, correlation, exact_at = y, AH @ y, np.linalg.norm(y)
    while (k := len(support)) < limit and (size := np.linalg.norm(r)) > target:
        if size < 1e-2 * exact_at:  # what has been subtracted was larger, and so is its rounding
            correlation, exact_at = AH @ r, size
        score = np.where(available, np.abs(correlation) / sizes, 0)
        score = np.where(score > floor, score / np.sqrt(energy), 0)
        chosen = int(np.argmax(score))
        if score[chosen] == 0:
            break
        available[chosen] = False
        q = _unit_atoms(A, [chosen], sizes, y.dtype)[:, 0]
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            overlap = Q[:, :k].conj().T @ q
            q = q - Q[:, :k] @ overlap
            R[:k, k] += overlap
        left = np.linalg.norm(q)
        if left <= 100 * eps:  # it depends on the selected atoms
            R[:k, k] = 0
            continue
        R[k, k] = left
        Q[:, k] = q / left
        step = Q[:, k].conj() @ r
        r = r - Q[:, k] * step
        support.append(chosen)
        if k + 1 == limit:
            break
        if gram is not None and left > 1e-3:  # else the difference would lose its digits
            images[k] = (gram.row(chosen, score, limit - k) - R[:k, k] @ images[:k]) / left
        else:
            images[k] = AH @ Q[:, k]
        correlation = correlation - step * images[k]
        if best:
            energy = energy - np.square(np.abs(images[k]) / sizes)
            energy = _repaired(energy, A, sizes, Q[:, : k + 1])
    k = len(support)
    coefficients = scipy.linalg.solve_triangular(R[:k, :k], Q[:, :k].conj().T @ y)
    return support, coefficients / norms[support], float(np.linalg.norm(r))


class _GramRows:
    """Rows ``A^H a_j`` for the unit atoms of a dense matrix, for many likely ones at once.

    A product with one column waits for the matrix to arrive from memory; many columns share that.
    """

    BLOCK = 32

    def __init__(self, A: np.ndarray, sizes: np.ndarray, dtype: np.dtype) -> None:
        self.A, self.sizes, self.dtype = A, sizes, dtype
        self.rows: dict[int, np.ndarray] = {}

    def row(self, chosen: int, score: np.ndarray, wanted: int) -> np.ndarray:
        """That of the chosen atom, which has the best of the scores; `wanted` more may follow."""
        if chosen not in self.rows:
            score = score.copy()
            score[list(self.rows)] = 0
            likely = np.union1d(largest(score, min(self.BLOCK, wanted)), [chosen])
            atoms = _unit_atoms(self.A, list(likely), self.sizes, self.dtype)
            self.rows.update(zip(likely, (atoms.conj().T @ self.A).conj(), strict=True))
        return self.rows.pop(chosen)


def _nonnegative(
    A: Any, y: np.ndarray, norms: np.ndarray, limit: int, target: float, *, best: bool
) -> tuple[list[int], np.ndarray, float]:
    """Nonnegative OMP, or OLS if `best`; the coefficients over the support are all positive."""
    AH, eps = adjoint(A), np.finfo(y.dtype).eps
    sizes = np.where(norms > 0, norms, 1)
    floor = 10 * eps * np.linalg.norm(y)
    support: list[int] = []
    coefficients, r, size = np.empty(0), y, float(np.linalg.norm(y))
    while len(support) < limit and size > target:
        score = (AH @ r) / sizes
        score = np.where((norms > 0) & (score > floor), score, 0)
        if best and support:
            Q = np.linalg.qr(_unit_atoms(A, support, sizes, y.dtype))[0]
            energy = 1 - np.sum(np.square((AH @ Q) / sizes[:, None]), axis=1)
            score = score / np.sqrt(_repaired(energy, A, sizes, Q))
        smallest = size * (1 - 4 * eps)
        joined: list[int] | None = None
        for j in np.argsort(-score, kind="stable")[: np.count_nonzero(score)]:
            # An atom leaves at least what it leaves with coefficients of any sign.
            if joined and (not best or size**2 - score[j] ** 2 >= smallest**2):
                break
            trial = [*support, int(j)]
            fitted, left = nonnegative(_unit_atoms(A, trial, sizes, y.dtype), y)
            if left < smallest:
                joined, smallest, coefficients = trial, left, fitted
        if joined is None:
            break
        support = [j for j, c in zip(joined, coefficients, strict=True) if c > 0]
        coefficients = coefficients[coefficients > 0]
        size = smallest
        r = (y - _unit_atoms(A, support, sizes, y.dtype) @ coefficients).astype(y.dtype)
    return support, coefficients / norms[support], size


def _unit_atoms(A: Any, support: list[int], sizes: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return (columns(A, support) / sizes[support]).astype(dtype)


def _repaired(energy: np.ndarray, A: Any, sizes: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """``||a_j||^2 - ||Q^* a_j||^2`` of unit atoms, anew where the difference has cancelled."""
    cancelled = np.flatnonzero(energy < 1e-3)
    if cancelled.size:
        P = _unit_atoms(A, list(cancelled), sizes, Q.dtype)
        for _ in range(2):
            P = P - Q @ (Q.conj().T @ P)
        # An atom of the span has rounding errors for energy, and nothing to give.
        left = np.sum(np.square(np.abs(P)), axis=0)
        negligible = np.square(100 * np.finfo(Q.dtype).eps)
        energy[cancelled] = np.where(left > negligible, left, np.inf)
    return energy
