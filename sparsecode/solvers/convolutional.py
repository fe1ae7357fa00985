r"""Convolutional sparse coding: ``x ~ sum_k d_k * c_k``, every atom at every place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads
from sparsecode._validation import check_array, check_bool, check_int, check_real
from sparsecode.penalties import L1
from sparsecode.solvers._convolution import Convolution, Domain
from sparsecode.solvers._convolutional_coding import (
    Coding,
    Samples,
    channels_last,
    checked_atoms,
    checked_boundary,
)
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
    boundary: str = "periodic",
    multichannel: bool = False,
    missing_values: float | None = None,
    tol: float = 1e-4,
    max_iter: int = 1000,
    init: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> CodeResult:
    r"""Codes of whole signals or pictures in atoms that may stand at every place.

    .. math:: \min_c \tfrac12 \Big\| W \Big( x - \sum_k d_k * c_k \Big) \Big\|_2^2
              + \alpha \sum_k \|c_k\|_1

    for each signal :math:`x`, by the alternating direction method of multipliers: at each frequency
    of the Fourier transform the quadratic half is a system as large as there are channels. Channels
    have one map of coefficients in common for each atom. :math:`W` keeps what was observed.

    Parameters
    ----------
    X : array of shape (n_samples, n) or (n_samples, height, width), and channels
        Signals or pictures; with `multichannel` there is one axis more.
    dictionary : array of shape (n_components, size) or (n_components, height, width), and channels
        Atoms, of any norm, no larger than a signal.
    alpha : float, optional
        The weight of the l1 norm. Give this or `alpha_ratio`.
    alpha_ratio : float, optional
        The same as a fraction of the smallest alpha with which the codes are zero, of each signal.
    positive : bool, default=False
        Only coefficients that are not negative.
    boundary : {"periodic", "valid", "full"}, default="periodic"
        ``"periodic"``: an atom that leaves at one border comes in at the other; quickest, and for
        signals that end as they begin. ``"valid"``: atoms may hang over every border, of what is a
        window on something longer. ``"full"``: atoms lie inside, in what is zero outside. The last
        two are the modes of `scipy.signal.convolve` by which codes and atoms make the signal.
    multichannel : bool, default=False
        The last axis of `X` and of `dictionary` are channels: colours, or sensors.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown, and the signal that the codes make has
        values for them. So signals of several sizes fit into one array.
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
        entry ``i`` of a code is the weight of its atom with its first entry at ``i``. With
        ``"valid"`` there are ``size - 1`` places more, before the border, and entry ``i`` is at
        ``i - (size - 1)``; with ``"full"`` as many less. `objective`, summed over the signals,
        `dual_gap` likewise, `certificate` and `history`.

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
    Wohlberg, "Efficient algorithms for convolutional sparse representations", 2016; Wohlberg,
    "Boundary handling for convolutional sparse representations", 2016; Bristow, Eriksson and Lucey,
    "Fast convolutional sparse coding", 2013.

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
    samples = Samples.checked(X, multichannel, missing_values)
    X, D = samples.X, checked_atoms(dictionary, "dictionary", samples.X.ndim, multichannel)
    if D.shape[1] != X.shape[1]:
        raise ValueError(f"X has {X.shape[1]} channels but the atoms have {D.shape[1]}")
    domain = Domain.checked(X.shape[2:], D.shape[2:], checked_boundary(boundary))
    penalty = L1(positive=check_bool(positive, "positive"))
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    dtype = np.result_type(X, D)
    unit = unit_of(magnitude(D), D.dtype)  # then that of the operator is 1
    A = Convolution(to_units(D, unit).astype(dtype, copy=False), domain, check_n_threads(n_threads))
    if alpha is not None:
        alpha = check_real(alpha, "alpha", low=0, open_low=True) / unit
    y, observed = samples.on_grid(domain)
    problem = PenalizedLeastSquares.from_arguments(
        A, y.astype(dtype, copy=False), alpha, alpha_ratio, penalty, needs_norm=False
    )
    coding = Coding(problem.y, observed, penalty, problem.alpha, A.energy)
    start = problem.initial(_checked_start(init, domain, len(X), len(D), unit))
    last, ending = run(
        coding.descent(A, start),
        lambda z: problem.measure(Iterate(z, coding.seen(A @ z))),
        tol=tol,
        max_iter=max_iter,
        check_every=10,
        callback=callback,
        name="convolutional_sparse_encode",
    )
    result = problem.result(Iterate(last), ending)
    codes = from_units(result.x, 1 / unit, name="codes")
    return replace(result, x=domain.off_grid(codes, domain.region))


def _checked_start(
    init: Any, domain: Domain, n_samples: int, n_components: int, unit: float
) -> np.ndarray | None:
    """Columns on the grid, in units of the atoms."""
    if init is None:
        return None
    shape = (n_samples, n_components, *domain.places)
    init = check_array(init, "init", ndim=len(shape))
    if init.shape != shape:
        raise ValueError(f"init has shape {init.shape}; the codes have shape {shape}")
    return from_units(domain.on_grid(init, domain.region), unit, name="init")


def convolutional_synthesis(
    codes: Any,
    dictionary: Any,
    *,
    boundary: str = "periodic",
    multichannel: bool = False,
    n_threads: int | None = None,
) -> np.ndarray:
    r"""The signals of given codes, :math:`\sum_k d_k * c_k`.

    Parameters
    ----------
    codes : array of shape (n_samples, n_components, n) or (n_samples, n_components, height, width)
        As `convolutional_sparse_encode` returns them.
    dictionary : array of shape (n_components, size) or (n_components, height, width), and channels
        The atoms.
    boundary : {"periodic", "valid", "full"}, default="periodic"
        That of the codes.
    multichannel : bool, default=False
        The last axis of `dictionary` are channels.
    n_threads : int, optional
        Threads of the transforms; None means the cores this process was given.

    Returns
    -------
    ndarray of shape (n_samples, n) or (n_samples, height, width), and channels
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
    multichannel = check_bool(multichannel, "multichannel")
    D = checked_atoms(dictionary, "dictionary", codes.ndim, multichannel)
    if codes.shape[1] != len(D):
        raise ValueError(f"codes are for {codes.shape[1]} atoms; dictionary has {len(D)}")
    domain = Domain.of_codes(codes.shape[2:], D.shape[2:], checked_boundary(boundary))
    dtype = np.result_type(codes, D)
    A = Convolution(D.astype(dtype, copy=False), domain, check_n_threads(n_threads))
    columns = domain.on_grid(codes.astype(dtype, copy=False), domain.region)
    return channels_last(domain.off_grid(A @ columns, domain.window), multichannel)
