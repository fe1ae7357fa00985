r"""Convolutional sparse coding: ``x ~ sum_k d_k * c_k``, every atom at every place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads
from sparsecode._validation import check_array, check_bool, check_int, check_real
from sparsecode.penalties import L1
from sparsecode.solvers._convolution import Convolution, check_size
from sparsecode.solvers._problem import Iterate, PenalizedLeastSquares
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback, run

__all__ = ["convolutional_sparse_encode", "convolutional_synthesis"]


def convolutional_sparse_encode(
    X: Any,
    dictionary: Any,
    alpha: float | None = None,
    *,
    alpha_ratio: float | None = None,
    positive: bool = False,
    tol: float = 1e-4,
    max_iter: int = 1000,
    init: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> CodeResult:
    r"""Codes of whole signals or pictures in atoms that may stand at every place.

    .. math:: \min_c \tfrac12 \Big\| x - \sum_k d_k * c_k \Big\|_2^2 + \alpha \sum_k \|c_k\|_1

    for each signal :math:`x`, by the alternating direction method of multipliers: at each frequency
    of the Fourier transform the quadratic half is a system of rank one. The convolution is
    periodic: an atom that leaves at one border comes in at the other. Pad signals that are not.

    Parameters
    ----------
    X : array of shape (n_samples, n) or (n_samples, height, width)
        Signals or grey pictures.
    dictionary : array of shape (n_components, size) or (n_components, height, width)
        Atoms, of any norm, no larger than a signal.
    alpha : float, optional
        The weight of the l1 norm. Give this or `alpha_ratio`.
    alpha_ratio : float, optional
        The same as a fraction of the smallest alpha with which the codes are zero, of each signal.
    positive : bool, default=False
        Only coefficients that are not negative.
    tol : float, default=1e-4
        Duality gap over the objective at zero, of the worst signal.
    max_iter : int, default=1000
        At most so many iterations.
    init : array of the shape of the codes, optional
        Where to start; zero by default.
    n_threads : int, optional
        Threads of the transforms, which change no bit; None means the cores this process was given,
        1 inside a joblib worker.
    callback : callable, optional
        Called at each check with the named numbers of the history; a true answer stops the solver.

    Returns
    -------
    CodeResult
        `x`, the codes, (n_samples, n_components, n) or (n_samples, n_components, height, width):
        entry ``i`` of a code is the weight of its atom with its first entry at ``i``; `objective`,
        summed over the signals, `dual_gap` likewise, `certificate` and `history`.

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
    Wohlberg, "Efficient algorithms for convolutional sparse representations", 2016; Bristow,
    Eriksson and Lucey, "Fast convolutional sparse coding", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import convolutional_sparse_encode
    >>> x = np.zeros((1, 20))
    >>> x[0, [3, 4, 11, 12]] = [2, 1, -4, -2]
    >>> result = convolutional_sparse_encode(x, [[2.0, 1.0]], alpha=1e-3, tol=1e-8)
    >>> np.round(result.x[0, 0, [3, 11]], 2)
    array([ 1., -2.])
    """
    X, D = _checked(X, dictionary)
    grid, n_samples, penalty = X.shape[1:], len(X), L1(positive=check_bool(positive, "positive"))
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    unit = unit_of(magnitude(D), D.dtype)  # then that of the operator is 1
    A = Convolution(to_units(D, unit), grid, check_n_threads(n_threads))
    if alpha is not None:
        alpha = check_real(alpha, "alpha", low=0, open_low=True) / unit
    problem = PenalizedLeastSquares.from_arguments(
        A, X.reshape(n_samples, -1).T, alpha, alpha_ratio, penalty, needs_norm=False
    )
    shape = (n_samples, len(D), *grid)
    if init is not None:
        init = check_array(init, "init", ndim=len(shape))
        if init.shape != shape:
            raise ValueError(f"init has shape {init.shape}; the codes have shape {shape}")
        init = from_units(init.reshape(n_samples, -1).T, unit, name="init")
    start = problem.initial(init)
    iterates = A.descent(problem.y, problem.penalty, problem.alpha, start, balance=True)
    last, ending = run(
        iterates,
        lambda z: problem.measure(Iterate(z)),
        tol=tol,
        max_iter=max_iter,
        check_every=10,
        callback=callback,
        name="convolutional_sparse_encode",
    )
    result = problem.result(Iterate(last), ending)
    codes = from_units(result.x, 1 / unit, name="codes")
    return replace(result, x=np.ascontiguousarray(codes.T).reshape(shape))


def convolutional_synthesis(
    codes: Any, dictionary: Any, *, n_threads: int | None = None
) -> np.ndarray:
    r"""The signals of given codes, :math:`\sum_k d_k * c_k`, periodic at the border.

    Parameters
    ----------
    codes : array of shape (n_samples, n_components, n) or (n_samples, n_components, height, width)
        As `convolutional_sparse_encode` returns them.
    dictionary : array of shape (n_components, size) or (n_components, height, width)
        The atoms.
    n_threads : int, optional
        Threads of the transforms; None means the cores this process was given.

    Returns
    -------
    ndarray of shape (n_samples, n) or (n_samples, height, width)
        The signals.

    Raises
    ------
    ValueError
        If shapes do not fit or an entry is NaN or infinite.

    Examples
    --------
    >>> from sparsecode.solvers import convolutional_synthesis
    >>> convolutional_synthesis([[[0.0, 3.0, 0.0, 0.0]]], [[2.0, 1.0]]).round(12)
    array([[0., 6., 3., 0.]])
    """
    codes = check_array(codes, "codes", ndim=(3, 4))
    signals, D = _checked(codes[:, 0], dictionary)
    if codes.shape[1] != len(D):
        raise ValueError(f"codes are for {codes.shape[1]} atoms; dictionary has {len(D)}")
    A = Convolution(D, signals.shape[1:], check_n_threads(n_threads))
    columns = codes.reshape(len(codes), -1).T.astype(D.dtype, copy=False)
    return np.ascontiguousarray((A @ columns).T).reshape(signals.shape)


def _checked(X: Any, dictionary: Any) -> tuple[np.ndarray, np.ndarray]:
    X, D = check_array(X, "X", ndim=(2, 3)), check_array(dictionary, "dictionary", ndim=(2, 3))
    if X.ndim != D.ndim:
        raise ValueError(
            f"X has shape {X.shape} but dictionary {D.shape}; both hold signals, one a row, or "
            "both pictures: one signal alone is X[None]"
        )
    check_size(D.shape[1:], X.shape[1:])
    dtype = np.result_type(X, D)
    return X.astype(dtype, copy=False), D.astype(dtype, copy=False)
