r"""Greedy pursuits: one atom at a time, for one signal or for each column of many."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from sparsecode._scaling import from_units, to_units, unit_of, units_of
from sparsecode._validation import check_int, check_real, check_system
from sparsecode.operators import adjoint
from sparsecode.solvers._problem import answer_dtype, divided
from sparsecode.solvers._result import CodeResult, Status
from sparsecode.solvers._run import as_history

__all__ = ["omp"]


def omp(
    A: Any,
    y: Any,
    *,
    n_nonzero_coefs: int | None = None,
    residual_tol: float | None = None,
) -> CodeResult:
    r"""Orthogonal matching pursuit: greedily, few atoms that explain `y`.

    .. math:: \min_x \|y - A x\|_2^2 \quad \text{s.t.} \quad \|x\|_0 \le k

    At each step the atom with the largest :math:`|\langle a_j, r \rangle| / \|a_j\|` joins the
    support, and the residual `r` is made orthogonal to all selected atoms.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        Atoms in columns, of any norm; zero and duplicate atoms are legal. Real or complex.
    y : array of shape (m,) or (m, n_signals)
        One signal, or one a column.
    n_nonzero_coefs : int, optional
        At most so many atoms a signal. If neither this nor `residual_tol` is given, a tenth of
        the columns of `A`, at least one.
    residual_tol : float, optional
        Stop once ``||y - A x||_2`` (not squared) is at most this.

    Returns
    -------
    CodeResult
        `x`; `objective`, half the squared residual; `certificate`, the largest residual norm over
        the norm of its signal; `status`, EXHAUSTED if a residual target was out of reach.
        `dual_gap` is NaN: the problem is not convex.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.

    References
    ----------
    Pati, Rezaiifar and Krishnaprasad, "Orthogonal matching pursuit", 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import omp
    >>> omp(np.eye(3), np.array([1.0, 0.0, -2.0]), n_nonzero_coefs=1).x
    array([ 0.,  0., -2.])
    """
    given = np.asarray(y).dtype
    A, y = check_system(A, y)
    m, n = A.shape
    if n_nonzero_coefs is not None:
        limit = check_int(n_nonzero_coefs, "n_nonzero_coefs", high=n)
    else:
        limit = max(1, n // 10) if residual_tol is None else n
    target = 0.0 if residual_tol is None else check_real(residual_tol, "residual_tol", low=0)
    norms = _column_norms(A)
    matrix_unit, units = unit_of(norms.max(), y.dtype), units_of(np.max(np.abs(y), axis=0), y.dtype)
    A, norms, signals = divided(A, matrix_unit), norms / matrix_unit, to_units(y, units)
    signals = signals.reshape(m, -1)
    with np.errstate(over="ignore"):
        targets = np.ravel(target / units)
    x = np.zeros((n, signals.shape[1]), dtype=y.dtype)
    residuals, selected = np.zeros(signals.shape[1]), 0
    for j in range(signals.shape[1]):
        support, coefficients, residuals[j] = _omp(
            A, signals[:, j], norms, min(limit, m), targets[j]
        )
        x[support, j] = coefficients
        selected = max(selected, len(support))
    sizes = np.linalg.norm(signals, axis=0)
    relative = np.divide(residuals, sizes, out=np.zeros_like(residuals), where=sizes > 0)
    x = from_units(x.reshape(n, *y.shape[1:]), units, 1 / matrix_unit, name="x")
    # A support as large as was asked for is an answer too, whatever the residual.
    wanted = residual_tol is not None and selected < (n_nonzero_coefs or n + 1)
    exhausted = wanted and bool(np.any(residuals > targets))
    with np.errstate(over="ignore", under="ignore"):
        objective = 0.5 * float(np.sum(np.square(residuals * np.ravel(units))))
    return CodeResult(
        x=x.astype(answer_dtype(given, x.dtype), copy=False),
        dual_gap=np.nan,
        objective=objective,
        certificate=float(np.max(relative)),
        n_iter=selected,
        status=Status.EXHAUSTED if exhausted else Status.COMPLETED,
        history=as_history([]),
    )


def _omp(
    A: Any, y: np.ndarray, norms: np.ndarray, limit: int, target: float
) -> tuple[list[int], np.ndarray, float]:
    """Support, coefficients and residual norm of one signal.

    `Q R` are the selected columns, each over its norm: the scale of a column does not matter.
    """
    AH = adjoint(A)
    eps = np.finfo(y.dtype).eps
    Q = np.empty((y.size, limit), dtype=y.dtype, order="F")
    R = np.zeros((limit, limit), dtype=y.dtype)
    support: list[int] = []
    available = norms > 0
    floor = 10 * eps * np.linalg.norm(y)  # correlations below are rounding errors
    r = y
    while len(support) < limit and np.linalg.norm(r) > target:
        score = np.where(available, np.abs(AH @ r) / np.where(norms > 0, norms, 1), 0)
        chosen = int(np.argmax(score))
        if not score[chosen] > floor:
            break
        available[chosen] = False
        k = len(support)
        q = (_column(A, chosen) / norms[chosen]).astype(y.dtype)
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
        r = r - Q[:, k] * (Q[:, k].conj() @ r)
        support.append(chosen)
    k = len(support)
    coefficients = scipy.linalg.solve_triangular(R[:k, :k], Q[:, :k].conj().T @ y)
    return support, coefficients / norms[support], float(np.linalg.norm(r))


def _column(A: Any, j: int) -> np.ndarray:
    if isinstance(A, np.ndarray):
        return A[:, j]
    unit = np.zeros(A.shape[1], dtype=A.dtype)
    unit[j] = 1
    return A @ unit


def _column_norms(A: Any) -> np.ndarray:
    """The l2 norm of each column; of an operator by products with blocks of unit vectors."""
    if isinstance(A, np.ndarray):
        sizes = np.max(np.abs(A), axis=0).astype(np.float64)
        return sizes * np.linalg.norm(A / np.where(sizes > 0, sizes, 1), axis=0)
    blocks = []
    for start in range(0, A.shape[1], 256):
        columns = np.arange(start, min(start + 256, A.shape[1]))
        units = np.zeros((A.shape[1], columns.size), dtype=A.dtype)
        units[columns, np.arange(columns.size)] = 1
        blocks.append(_column_norms(np.asarray(A @ units)))
    return np.concatenate(blocks)
