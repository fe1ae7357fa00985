"""Sparse codes of many signals in one dictionary; rows are signals, here only."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from sparsecode._dask import check_blocks, is_dask, map_rows
from sparsecode._memory import check_fits
from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import check_array, check_bool, check_missing_values
from sparsecode.solvers._batches import (
    Part,
    assemble,
    check_dictionary,
    check_signals,
    code_rows,
    read,
)
from sparsecode.solvers._coders import Coder
from sparsecode.solvers._missing import code_incomplete
from sparsecode.solvers._tiles import TILE

__all__ = ["sparse_encode"]


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
    missing_values: float | None = None,
    sparse_output: bool = True,
    n_threads: int | None = None,
) -> Any:
    r"""Codes ``C`` with ``X ~ C @ dictionary``, one signal a row, each signal a problem of its own.

    ``"omp"`` and ``"ols"``: :math:`\min_c \|x - c D\|_2^2` subject to
    :math:`\|c\|_0 \le` `n_nonzero_coefs`, or the fewest atoms with
    :math:`\|x - c D\|_2 \le` `residual_tol`, greedily. OMP takes the atom that correlates most
    with the residual, OLS the one that reduces it most.

    ``"gradient_pursuit"``: the first problem, where each of `n_nonzero_coefs` steps takes the atom
    that correlates most and goes to the best point along the gradient on the atoms taken so far:
    nearly OMP, by products alone.

    ``"iht"``: the first problem by iterative hard thresholding (accelerated): a gradient step, of
    which the `n_nonzero_coefs` largest coefficients stay, again and again.

    ``"lasso"``: :math:`\min_c \tfrac12 \|x - c D\|_2^2 + \alpha \|c\|_1` by coordinate descent,
    and by the path of `lars` where that crawls (unless `max_iter` is given).

    ``"lars"``: the same by homotopy, exactly: the path of minimisers is followed from the smallest
    alpha with a zero code down, to `alpha`, to where one atom more than `n_nonzero_coefs` joins or
    to the first point with :math:`\|x - c D\|_2 \le` `residual_tol`, whichever comes first.

    ``"threshold"``: :math:`c = \mathrm{soft}(x D^T, \alpha)`, the lasso when the atoms are
    orthonormal.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Signals; float32 and float64 are computed in their own precision (but `lars` in double). A
        `np.memmap` is read in tiles, and what has been read is given back to the system. A Dask
        array is coded block by block, where its blocks are and when the codes are asked for.
    dictionary : array of shape (n_components, n_features)
        Atoms, one a row. They need not have unit norm; zero and duplicate atoms are legal.
    algorithm : str, default="omp"
        The problem, as above: "omp", "ols", "gradient_pursuit", "iht", "lasso", "lars" or
        "threshold".
    n_nonzero_coefs : int, optional
        For `omp`, `ols`, `lars`, and `gradient_pursuit` and `iht`, which need it: at most so many
        atoms a signal. With `omp` and `ols` a tenth of the features by default, at least one, when
        `residual_tol` is not given either; no limit when it is.
    residual_tol : float, optional
        For `omp`, `ols` and `lars`: stop once the l2 norm of the residual (not squared) is at most
        this.
    alpha : float, optional
        For `lasso` and `threshold`, which need it, and `lars`: the weight of the l1 norm, positive.
    positive : bool, default=False
        For `omp`, `lasso`, `lars` and `threshold`: only coefficients that are not negative. `omp`
        then fits the atoms taken by nonnegative least squares.
    tol : float, optional
        For `lasso`: duality gap over the objective at zero, of each signal. For `iht`: change of
        the coefficients in an iteration over their size. 1e-6 by default.
    max_iter : int, optional
        For `lasso`: sweeps over the coordinates at the most; for `iht`: iterations; 10,000 by
        default. For `lars`: steps of the path, as many as it takes by default.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, each signal is coded on its observed entries, those that are not NaN: its
        code is that of ``x[observed]`` in ``dictionary[:, observed]``. A signal with nothing
        observed has a zero code. `omp` and `ols` are quick whatever is missing (but with
        `positive`); with the other algorithms signals that miss the same entries share the work.
    sparse_output : bool, default=True
        CSR, or a dense array. Dense codes of a million signals are large: ask for them knowingly.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker and for each
        block of a Dask array. The codes do not depend on it, to the bit.

    Returns
    -------
    scipy.sparse.csr_array, ndarray or dask.array.Array of shape (n_samples, n_components)
        The codes. A zero signal has a zero code. Of a Dask array a Dask array, of blocks that are
        CSR or dense; the entries are checked, and warnings given, where the blocks are computed.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, or an argument is out of range or not
        used by the algorithm.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached for a signal; it states the worst certificate. Or if
        `residual_tol` is out of reach of the atoms for a signal, and neither a count nor an alpha
        says to stop before. Or if rounding errors led a path of `lars` astray.

    See Also
    --------
    sparsecode.solvers.code_certificates : How good each of the codes is.

    References
    ----------
    Rubinstein, Zibulevsky and Elad, "Efficient implementation of the K-SVD algorithm using batch
    orthogonal matching pursuit", 2008; Chen, Billings and Luo, "Orthogonal least squares methods
    and their application to non-linear system identification", 1989; Friedman, Hastie and
    Tibshirani, "Regularization paths for generalized linear models via coordinate descent", 2010;
    Osborne, Presnell and Turlach, "A new approach to variable selection in least squares problems",
    2000; Blumensath, "Accelerated iterative hard thresholding", 2012; Blumensath and Davies,
    "Gradient pursuits", 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import sparse_encode
    >>> codes = sparse_encode([[3.0, 0.0, -1.0]], np.eye(3), n_nonzero_coefs=1)
    >>> codes.toarray()
    array([[3., 0., 0.]])
    """
    sparse_output = check_bool(sparse_output, "sparse_output")
    if is_dask(X):
        X = check_blocks(X, "X")
        code_block = partial(
            sparse_encode,
            dictionary=check_array(dictionary, "dictionary"),
            algorithm=algorithm,
            n_nonzero_coefs=n_nonzero_coefs,
            residual_tol=residual_tol,
            alpha=alpha,
            positive=positive,
            tol=tol,
            max_iter=max_iter,
            missing_values=missing_values,
            sparse_output=sparse_output,
            n_threads=n_threads,
        )
        zero = np.zeros((1, X.shape[1]), X.dtype)  # coding it costs little and checks the arguments
        return map_rows(code_block, X, code_block(zero))
    missing, n_threads = check_missing_values(missing_values), check_n_threads(n_threads)
    X, dtype = check_signals(X)
    D = check_dictionary(dictionary, X, dtype)
    if not sparse_output:
        check_fits(
            X.shape[0] * len(D) * D.itemsize,
            f"dense codes of {X.shape[0]} signals in {len(D)} atoms (sparse_output=False)",
        )
    coder = Coder.checked(
        algorithm,
        len(D),
        n_nonzero_coefs=n_nonzero_coefs,
        residual_tol=residual_tol,
        alpha=alpha,
        positive=positive,
        tol=tol,
        max_iter=max_iter,
    )
    code_tile = coder.of_tiles(D)

    def code(start: int) -> Part:
        rows = slice(start, min(start + TILE, X.shape[0]))
        return code_rows(code_tile, rows, read(X, rows, D.dtype, missing=False))

    if missing:
        parts = code_incomplete(coder, code_tile, X, D, n_threads)
    else:
        parts = map_tiles(code, range(0, X.shape[0], TILE), n_threads)
    coder.warn(max(part.certificate for part in parts))
    codes = assemble(parts, (X.shape[0], len(D)), D.dtype)
    return codes if sparse_output else codes.toarray()
