"""Sparse codes of many signals in one dictionary; rows are signals, here only."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from sparsecode._scaling import to_units, units_of
from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import (
    check_array,
    check_bool,
    check_int,
    check_option,
    check_real,
    check_unused,
)
from sparsecode.solvers import _tiles
from sparsecode.solvers._run import warn_not_converged, warn_out_of_reach
from sparsecode.solvers._tiles import TILE, Tile

__all__ = ["sparse_encode"]

ALGORITHMS = ("omp", "ols", "lasso", "threshold")


def sparse_encode(
    X: Any,
    dictionary: Any,
    *,
    algorithm: str = "omp",
    n_nonzero_coefs: int | None = None,
    residual_tol: float | None = None,
    alpha: float | None = None,
    positive: bool = False,
    tol: float | None = None,
    max_iter: int | None = None,
    sparse_output: bool = True,
    n_threads: int | None = None,
) -> Any:
    r"""Codes ``C`` with ``X ~ C @ dictionary``, one signal a row, each signal a problem of its own.

    ``"omp"`` and ``"ols"``: :math:`\min_c \|x - c D\|_2^2` subject to
    :math:`\|c\|_0 \le` `n_nonzero_coefs`, or the fewest atoms with
    :math:`\|x - c D\|_2 \le` `residual_tol`, greedily. OMP takes the atom that correlates most
    with the residual, OLS the one that reduces it most.

    ``"lasso"``: :math:`\min_c \tfrac12 \|x - c D\|_2^2 + \alpha \|c\|_1`.

    ``"threshold"``: :math:`c = \mathrm{soft}(x D^T, \alpha)`, the lasso when the atoms are
    orthonormal.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Signals; float32 and float64 are computed in their own precision.
    dictionary : array of shape (n_components, n_features)
        Atoms, one a row. They need not have unit norm; zero and duplicate atoms are legal.
    algorithm : {"omp", "ols", "lasso", "threshold"}, default="omp"
        The problem, as above.
    n_nonzero_coefs : int, optional
        For `omp` and `ols`: at most so many atoms a signal. By default a tenth of the features,
        at least one, when `residual_tol` is not given either; no limit when it is.
    residual_tol : float, optional
        For `omp` and `ols`: stop once the l2 norm of the residual (not squared) is at most this.
    alpha : float, optional
        For `lasso` and `threshold`, which need it: the weight of the l1 norm, positive.
    positive : bool, default=False
        For `lasso` and `threshold`: only coefficients that are not negative.
    tol : float, optional
        For `lasso`: duality gap over the objective at zero, of each signal; 1e-6 by default.
    max_iter : int, optional
        For `lasso`: sweeps over the coordinates at the most; 10,000 by default.
    sparse_output : bool, default=True
        CSR, or a dense array. Dense codes of a million signals are large: ask for them knowingly.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker. The codes
        do not depend on it, to the bit.

    Returns
    -------
    scipy.sparse.csr_array or ndarray of shape (n_samples, n_components)
        The codes. A zero signal has a zero code.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, or an argument is out of range or not
        used by the algorithm.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached for a signal; it states the worst relative gap. Or if
        `residual_tol` is out of reach of the atoms for a signal, without a count that limits them.

    References
    ----------
    Rubinstein, Zibulevsky and Elad, "Efficient implementation of the K-SVD algorithm using batch
    orthogonal matching pursuit", 2008; Chen, Billings and Luo, "Orthogonal least squares methods
    and their application to non-linear system identification", 1989; Friedman, Hastie and
    Tibshirani, "Regularization paths for generalized linear models via coordinate descent", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import sparse_encode
    >>> codes = sparse_encode([[3.0, 0.0, -1.0]], np.eye(3), n_nonzero_coefs=1)
    >>> codes.toarray()
    array([[3., 0., 0.]])
    """
    check_option(algorithm, "algorithm", ALGORITHMS)
    positive = check_bool(positive, "positive")
    sparse_output = check_bool(sparse_output, "sparse_output")
    X = check_array(X, "X")
    D = check_array(dictionary, "dictionary")
    if X.shape[1] != D.shape[1]:
        raise ValueError(
            f"X has {X.shape[1]} features but dictionary has {D.shape[1]}; "
            "both hold one signal or atom a row"
        )
    D = np.ascontiguousarray(D, dtype=np.result_type(X, D))
    wanted = 1e-6 if tol is None else check_real(tol, "tol", low=0)
    sweeps = 10_000 if max_iter is None else check_int(max_iter, "max_iter")
    if algorithm in ("omp", "ols"):
        check_unused(algorithm, alpha=alpha, tol=tol, max_iter=max_iter, positive=positive or None)
        code_tile = _tiles.pursuit(D, algorithm == "ols", n_nonzero_coefs, residual_tol)
    else:
        check_unused(algorithm, n_nonzero_coefs=n_nonzero_coefs, residual_tol=residual_tol)
        if alpha is None:
            raise ValueError(f"algorithm={algorithm!r} needs alpha, the weight of the l1 norm")
        weight = check_real(alpha, "alpha", low=0, open_low=True)
        if algorithm == "threshold":
            check_unused(algorithm, tol=tol, max_iter=max_iter)
            code_tile = _tiles.threshold(D, weight, positive)
        else:
            code_tile = _tiles.lasso(D, weight, positive, wanted, sweeps)
    coded = map_tiles(
        lambda start: code_tile(*_padded(X[start : start + TILE], D.dtype)),
        range(0, X.shape[0], TILE),
        check_n_threads(n_threads),
    )
    worst = max(tile.certificate for tile in coded)
    if algorithm == "lasso" and worst > wanted:
        warn_not_converged("lasso", worst, wanted, sweeps)
    elif residual_tol is not None and n_nonzero_coefs is None and worst > 1:
        warn_out_of_reach(algorithm, worst)
    codes = _assemble(coded, X.shape[0], D.shape[0])
    return codes if sparse_output else codes.toarray()


def _padded(rows: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """A tile of signals in units, and these, one a row.

    It always is of the same height, and each row has a unit of its own: the bits of a code must not
    depend on the batch.
    """
    tile, units = np.zeros((TILE, rows.shape[1]), dtype=dtype), np.ones((TILE, 1))
    rows = rows.astype(dtype, copy=False)
    units[: len(rows)] = units_of(np.max(np.abs(rows), axis=1, keepdims=True), dtype)
    tile[: len(rows)] = to_units(rows, units[: len(rows)])
    return tile, units


def _assemble(coded: list[Tile], n_samples: int, n_atoms: int) -> sp.csr_array:
    counts = np.concatenate([tile.counts for tile in coded])[:n_samples]
    indptr = np.concatenate([[0], np.cumsum(counts)])
    index_dtype = np.int32 if max(indptr[-1], n_atoms) < 2**31 else np.int64
    codes = sp.csr_array(
        (
            np.concatenate([tile.values for tile in coded]),
            np.concatenate([tile.indices for tile in coded]).astype(index_dtype),
            indptr.astype(index_dtype),
        ),
        shape=(n_samples, n_atoms),
    )
    codes.sort_indices()
    return codes
