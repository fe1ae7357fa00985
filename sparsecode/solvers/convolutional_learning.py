r"""Atoms of convolutional sparse codes, learned from whole signals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import scipy.fft

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
from sparsecode.solvers._convolution import Convolution, check_size
from sparsecode.solvers._result import ConvolutionalResult
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers.proximal import _fista

__all__ = ["convolutional_dictionary_learning"]

STEPS = 10  # of either half of an iteration


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
    check_size(shape[1:], grid)
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
    A = Convolution(D, grid, n_threads)
    codes = np.zeros((A.shape[1], Y.shape[1]), dtype=Y.dtype)
    while True:
        steps = A.descent(Y, penalty, alpha, codes, balance=False)
        codes = next(islice(steps, STEPS - 1, None))
        D, energy = _improved(A, Y, D, codes)
        A = Convolution(D, grid, n_threads)
        absolute = float(np.sum(np.abs(codes), dtype=np.float64))
        yield _Learned(D, codes, 0.5 * energy + alpha * absolute)


def _improved(
    A: Convolution, Y: np.ndarray, D: np.ndarray, codes: np.ndarray
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
