r"""Convolutional sparse coding: ``x ~ sum_k d_k * c_k``, every atom at every place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from scipy.sparse.linalg import LinearOperator

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads
from sparsecode._validation import (
    RandomSource,
    check_array,
    check_bool,
    check_int,
    check_random_state,
    check_real,
)
from sparsecode.penalties import L1
from sparsecode.solvers._problem import Iterate, PenalizedLeastSquares
from sparsecode.solvers._result import CodeResult, ConvolutionalResult
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers.proximal import _fista
from sparsecode.solvers.splitting import _admm

__all__ = [
    "convolutional_dictionary_learning",
    "convolutional_sparse_encode",
    "convolutional_synthesis",
]

RELAXATION = 1.6
STEPS = 10  # of either half of an iteration of learning


class _Convolution(LinearOperator):
    """Codes of all atoms, one signal's a column, to signals; periodic at the border."""

    def __init__(self, D: np.ndarray, grid: tuple[int, ...], n_threads: int) -> None:
        super().__init__(D.dtype, (math.prod(grid), len(D) * math.prod(grid)))
        self.grid, self.n_threads, self.n_atoms = grid, n_threads, len(D)
        self.spectrum = scipy.fft.rfftn(D, grid, axes=range(1, D.ndim))[..., None]

    def transformed(self, X: np.ndarray) -> np.ndarray:
        """The spectra of columns: (..., frequencies, n_signals)."""
        X = X.reshape(-1, *self.grid, X.shape[-1])
        return scipy.fft.rfftn(X, axes=range(1, X.ndim - 1), workers=self.n_threads)

    def columns(self, spectra: np.ndarray) -> np.ndarray:
        """The way back."""
        axes = range(1, spectra.ndim - 1)
        X = scipy.fft.irfftn(spectra, self.grid, axes=axes, workers=self.n_threads)
        return X.reshape(-1, X.shape[-1])

    def _matmat(self, X: np.ndarray) -> np.ndarray:
        spectra = self.transformed(X)
        return self.columns(np.sum(self.spectrum * spectra, axis=0, keepdims=True))

    def _rmatmat(self, Y: np.ndarray) -> np.ndarray:
        return self.columns(self.spectrum.conj() * self.transformed(Y))

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._matmat(x.reshape(-1, 1))

    def _rmatvec(self, y: np.ndarray) -> np.ndarray:
        return self._rmatmat(y.reshape(-1, 1))

    @property
    def energy(self) -> np.ndarray:
        """``sum_k |d_k|^2`` at each frequency: the eigenvalues of ``A A^*``."""
        return np.sum(self.spectrum.real**2 + self.spectrum.imag**2, axis=0, keepdims=True)

    def ridge(self, y: np.ndarray) -> Any:
        """The minimiser of ``0.5 * ||y - A x||^2 + rho / 2 * ||x - v||^2``, given `v` and `rho`.

        At each frequency a system of rank one, by Sherman and Morrison.
        """
        target, energy = self.transformed(y), self.energy

        def solve(v: np.ndarray, rho: float) -> np.ndarray:
            missed = target - np.sum(self.spectrum * self.transformed(v), axis=0, keepdims=True)
            return v + self.columns(self.spectrum.conj() * (missed / (energy + rho)))

        return solve


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
    A = _Convolution(to_units(D, unit), grid, check_n_threads(n_threads))
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
    iterates = _admm(
        A.ridge(problem.y),
        lambda v, rho: problem.penalty.prox(v, problem.alpha / rho),
        float(np.mean(A.energy)) or 1.0,
        RELAXATION,
        True,
        start,
        A.H @ (problem.y - A @ start),
    )
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
    A = _Convolution(D, signals.shape[1:], check_n_threads(n_threads))
    columns = codes.reshape(len(codes), -1).T.astype(D.dtype, copy=False)
    return np.ascontiguousarray((A @ columns).T).reshape(signals.shape)


def _checked(X: Any, dictionary: Any) -> tuple[np.ndarray, np.ndarray]:
    X, D = check_array(X, "X", ndim=(2, 3)), check_array(dictionary, "dictionary", ndim=(2, 3))
    if X.ndim != D.ndim:
        raise ValueError(
            f"X has shape {X.shape} but dictionary {D.shape}; both hold signals, one a row, or "
            "both pictures: one signal alone is X[None]"
        )
    _check_size(D.shape[1:], X.shape[1:])
    dtype = np.result_type(X, D)
    return X.astype(dtype, copy=False), D.astype(dtype, copy=False)


def _check_size(atom: tuple[int, ...], grid: tuple[int, ...]) -> None:
    if len(atom) != len(grid) or any(a > n for a, n in zip(atom, grid, strict=True)):
        raise ValueError(f"an atom of shape {atom} does not fit into a signal of shape {grid}")


class _Learned(NamedTuple):
    D: np.ndarray
    codes: np.ndarray  # columns
    objective: float


def convolutional_dictionary_learning(
    X: Any,
    n_components: int,
    atom_shape: int | tuple[int, ...],
    *,
    alpha: float,
    max_iter: int = 50,
    init: Any = None,
    tol: float | None = None,
    positive: bool = False,
    random_state: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> ConvolutionalResult:
    r"""Atoms that whole signals or pictures are made of, wherever these stand.

    .. math:: \min_{c, D} \sum_i \tfrac12 \Big\| x_i - \sum_k d_k * c_{ik} \Big\|_2^2
              + \alpha \sum_{ik} \|c_{ik}\|_1 \quad \text{s.t.} \quad \|d_k\|_2 \le 1

    with atoms on a small support and periodic convolution. In turn ten steps of the alternating
    direction method of multipliers on the codes, and ten of the accelerated projected gradient on
    the atoms, which with the codes held never raise the objective.

    Parameters
    ----------
    X : array of shape (n_samples, n) or (n_samples, height, width)
        Signals or grey pictures; slow trends, which few small atoms can follow, are best taken out.
    n_components : int
        Atoms.
    atom_shape : int or tuple of int
        The size of an atom, or its height and width; an integer is a square.
    alpha : float
        The weight of the l1 norm, positive.
    max_iter : int, default=50
        Iterations at the most.
    init : array with one atom of `atom_shape` a row, optional
        The first atoms; by default pieces of the signals.
    tol : float, optional
        Stop when an iteration changes the objective by less than this fraction; by default all
        `max_iter` iterations are done. The problem is not convex: a small change certifies no more
        than that the descent has come to rest.
    positive : bool, default=False
        Only coefficients that are not negative.
    random_state : int, RandomState, Generator or None, default=None
        Draws the first atoms.
    n_threads : int, optional
        Threads of the transforms, which change no bit.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    ConvolutionalResult
        `dictionary`, `codes`, `objective`, `certificate` (the last relative change of the
        objective), `n_iter`, `status`, `converged` and `history`.

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
    Garcia-Cardona and Wohlberg, "Convolutional dictionary learning: a comparative review and new
    algorithms", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import convolutional_dictionary_learning, convolutional_synthesis
    >>> codes = np.zeros((5, 1, 60))
    >>> codes[:, :, ::15] = np.random.default_rng(0).normal(size=(5, 1, 4))
    >>> X = convolutional_synthesis(codes, [[0.6, 0.0, -0.8]])
    >>> result = convolutional_dictionary_learning(X, 1, 3, alpha=0.01, random_state=0)
    >>> np.abs(result.dictionary).shape
    (1, 3)
    """
    X = check_array(X, "X", ndim=(2, 3))
    grid, n_components = X.shape[1:], check_int(n_components, "n_components")
    sides = atom_shape if isinstance(atom_shape, tuple) else (atom_shape,) * len(grid)
    shape = (n_components, *(check_int(side, "atom_shape") for side in sides))
    _check_size(shape[1:], grid)
    alpha = check_real(alpha, "alpha", low=0, open_low=True)
    tol = None if tol is None else check_real(tol, "tol", low=0)
    penalty = L1(positive=check_bool(positive, "positive"))
    unit = unit_of(magnitude(X), X.dtype)
    signals, rng = to_units(X, unit), check_random_state(random_state)
    D = _first_atoms(signals, shape, init, rng)
    columns = np.ascontiguousarray(signals.reshape(len(X), -1).T)
    iterates = _alternation(columns, D, grid, alpha / unit, penalty, check_n_threads(n_threads))
    previous = 0.5 * float(np.vdot(columns, columns))

    def measure(iterate: _Learned) -> dict[str, float]:
        nonlocal previous
        change = abs(previous - iterate.objective) / previous if previous > 0 else 0.0
        previous = iterate.objective
        return {
            "objective": iterate.objective * unit * unit,
            "certificate": change,
            "n_nonzero": np.count_nonzero(iterate.codes) / len(X),
        }

    last, ending = run(
        iterates, measure, tol=tol, max_iter=check_int(max_iter, "max_iter"), callback=callback,
        name="convolutional_dictionary_learning",
    )  # fmt: skip
    codes = from_units(last.codes.T, unit, name="codes")
    codes = np.ascontiguousarray(codes).reshape(len(X), n_components, *grid)
    return ConvolutionalResult(dictionary=last.D, codes=codes, **ending)


def _first_atoms(X: np.ndarray, shape: tuple[int, ...], init: Any, rng: RandomSource) -> np.ndarray:
    """Those given, or pieces of the signals, of norm one; where a piece is zero, random numbers."""
    if init is not None:
        D = check_array(init, "init", ndim=X.ndim).astype(X.dtype)
        if D.shape != shape:
            raise ValueError(f"init has shape {D.shape}; it has to be {shape}")
        D = to_units(D, unit_of(magnitude(D), D.dtype))
    else:
        axes = tuple(range(1, X.ndim))
        pieces = np.lib.stride_tricks.sliding_window_view(X, shape[1:], axis=axes)
        places = (rng.random((shape[0], X.ndim)) * pieces.shape[: X.ndim]).astype(int)
        D = pieces[tuple(places.T)].copy()
        empty = ~D.any(axis=axes)
        D[empty] = rng.standard_normal((int(empty.sum()), *shape[1:]))
    return _within_the_ball(D / np.maximum(magnitude(D), np.finfo(D.dtype).tiny), exactly=True)


def _within_the_ball(D: np.ndarray, exactly: bool = False) -> np.ndarray:
    """Atoms of norm at most one, or exactly one but for zeros."""
    norms = np.sqrt(np.sum(D * D, axis=tuple(range(1, D.ndim)), keepdims=True))
    return D / (np.where(norms > 0, norms, 1) if exactly else np.maximum(norms, 1))


def _alternation(
    Y: np.ndarray, D: np.ndarray, grid: tuple[int, ...], alpha: float, penalty: L1, n_threads: int
) -> Iterator[_Learned]:
    A = _Convolution(D, grid, n_threads)
    codes = np.zeros((A.shape[1], Y.shape[1]), dtype=Y.dtype)
    while True:
        steps = _admm(
            A.ridge(Y),
            lambda v, rho: penalty.prox(v, alpha / rho),
            float(np.mean(A.energy)) or 1.0,
            RELAXATION,
            False,
            codes,
            A.H @ (Y - A @ codes),
        )
        codes = next(islice(steps, STEPS - 1, None))
        D, energy = _improved(A, Y, D, codes)
        A = _Convolution(D, grid, n_threads)
        absolute = float(np.sum(np.abs(codes), dtype=np.float64))
        yield _Learned(D, codes, 0.5 * energy + alpha * absolute)


def _improved(
    A: _Convolution, Y: np.ndarray, D: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, float]:
    """Better atoms for codes that are held, and the squared residual."""
    spectra, target = A.transformed(codes), A.transformed(Y)[0]
    support, axes = tuple(slice(side) for side in D.shape[1:]), tuple(range(1, D.ndim))

    def residual(D: np.ndarray) -> np.ndarray:
        atoms = scipy.fft.rfftn(D, A.grid, axes=axes)[..., None]
        return np.sum(atoms * spectra, axis=0) - target

    def gradient(D: np.ndarray) -> np.ndarray:
        correlation = np.sum(spectra.conj() * residual(D), axis=-1)
        return scipy.fft.irfftn(correlation, A.grid, axes=axes)[(slice(None), *support)]

    def energy(D: np.ndarray) -> float:
        back = scipy.fft.irfftn(residual(D), A.grid, axes=range(D.ndim - 1))
        return float(np.sum(back * back, dtype=np.float64))

    by_frequency = spectra.reshape(len(D), -1, Y.shape[1]).transpose(1, 0, 2)
    if by_frequency.shape[1] > by_frequency.shape[2]:
        by_frequency = by_frequency.conj().transpose(0, 2, 1)
    gram = by_frequency @ by_frequency.conj().transpose(0, 2, 1)
    largest = float(np.linalg.eigvalsh(gram).max())
    if not largest > 0:
        return D, energy(D)
    steps = _fista(
        gradient, lambda D, step: _within_the_ball(D), 1 / largest, lambda u, v: np.sum(u * v), D
    )
    new = next(islice(steps, STEPS - 1, None)).x
    before, after = energy(D), energy(new)
    return (new, after) if after <= before else (D, before)
