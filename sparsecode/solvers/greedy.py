r"""Greedy pursuits: one atom at a time, for one signal or for each column of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from sparsecode._docs import documented
from sparsecode._systems import check_system
from sparsecode._validation import as_array, check_bool, check_int
from sparsecode.operators import adjoint
from sparsecode.solvers._pursuits import nonnegative, orthogonal
from sparsecode.solvers._result import CodeResult, Status
from sparsecode.solvers._run import Callback, as_history
from sparsecode.solvers._support import (
    Iterate,
    Signals,
    check_real_data,
    column_norms,
    columns,
)

__all__ = ["matching_pursuit", "ols", "omp", "simultaneous_omp"]

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
    dtype = as_array(y, "y").dtype
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
    positive = check_bool(positive, "positive")
    one = partial(nonnegative if positive else orthogonal, best=False)
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
    positive = check_bool(positive, "positive")
    one = partial(nonnegative if positive else orthogonal, best=True)
    return _pursue(one, A, y, n_nonzero_coefs, residual_tol, positive)


@documented
def simultaneous_omp(
    A: Any,
    y: Any,
    *,
    n_nonzero_coefs: int | None = None,
    residual_tol: float | None = None,
) -> CodeResult:
    r"""Orthogonal matching pursuit of signals that share their support: multiple measurements.

    .. math:: \min_X \|Y - A X\|_F^2 \quad \text{s.t.} \quad
              \text{at most } k \text{ rows of } X \text{ are not zero}

    At each step the atom with the largest :math:`\|a_j^* R\|_2 / \|a_j\|` joins the support: that
    which alone explains most of the residual `R` of all signals. Then the residual is made
    orthogonal to all selected atoms. Of one signal it is `omp`. The convex counterpart is `fista`
    with ``penalty=L21()``.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        Atoms in columns, of any norm; zero and duplicate atoms are legal. Real or complex.
    y : array of shape (m, n_signals) or (m,)
        The signals, one a column, which have their atoms in common: their scales count.
    n_nonzero_coefs : int, optional
        At most so many atoms. If neither this nor `residual_tol` is given, a tenth of the columns
        of `A`, at least one.
    residual_tol : float, optional
        Stop once ``||Y - A X||_F`` (not squared), of all signals together, is at most this.

    Returns
    -------
    CodeResult
        `x`, with the same rows zero in all signals; `objective`, half the squared residual;
        `certificate`, ``||Y - A X||_F / ||Y||_F``; `n_iter`, the atoms; `status`, EXHAUSTED if a
        residual target was out of reach. `dual_gap` is NaN: the problem is not convex.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.

    References
    ----------
    Cotter, Rao, Engan and Kreutz-Delgado, "Sparse solutions to linear inverse problems with
    multiple measurement vectors", 2005; Tropp, Gilbert and Strauss, "Algorithms for simultaneous
    sparse approximation. Part I: greedy pursuit", 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import simultaneous_omp
    >>> Y = np.array([[1.0, 2.0], [0.0, 0.5], [3.0, 0.0]])
    >>> simultaneous_omp(np.eye(3), Y, n_nonzero_coefs=2).x
    array([[1., 2.],
           [0., 0.],
           [3., 0.]])
    """
    dtype = as_array(y, "y").dtype
    A, y = check_system(A, y)
    m, n = A.shape
    limit = min(_limit(n_nonzero_coefs, residual_tol, n), m)
    norms = column_norms(A)
    signals = Signals.in_units(A, y, norms.max(), residual_tol, dtype, together=True)
    norms, target = norms / signals.matrix_unit, float(signals.targets[0])
    support, coefficients, left = orthogonal(signals.A, signals.y, norms, limit, target, best=False)
    x = np.zeros((n, signals.y.shape[1]), dtype=y.dtype)
    x[support] = coefficients
    residuals = np.linalg.norm(signals.y - signals.A @ x, axis=0)
    size = float(np.linalg.norm(signals.y))
    missed = left > target and len(support) < (n_nonzero_coefs or n + 1)
    return CodeResult(
        x=signals.answer(x),
        dual_gap=np.nan,
        objective=signals.objective(residuals),
        certificate=float(np.linalg.norm(residuals)) / size if size > 0 else 0.0,
        n_iter=len(support),
        status=Status.EXHAUSTED if residual_tol is not None and missed else Status.COMPLETED,
        history=as_history([]),
    )


def _limit(n_nonzero_coefs: Any, residual_tol: Any, n: int) -> int:
    if n_nonzero_coefs is not None:
        return check_int(n_nonzero_coefs, "n_nonzero_coefs", high=n)
    return max(1, n // 10) if residual_tol is None else n


def _pursue(
    one: Pursuit, A: Any, y: Any, n_nonzero_coefs: Any, residual_tol: Any, positive: bool
) -> CodeResult:
    """The arguments checked, each signal pursued, and what all of them have in common."""
    dtype = as_array(y, "y").dtype
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
