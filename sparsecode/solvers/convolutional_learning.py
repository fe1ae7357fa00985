r"""Atoms of convolutional sparse codes, learned from whole signals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sparsecode._memory import check_fits
from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads
from sparsecode._validation import (
    check_bool,
    check_int,
    check_random_state,
    check_real,
)
from sparsecode.objectives._formulas import duality_gap
from sparsecode.penalties import L1
from sparsecode.solvers._convolution import Convolution, Domain
from sparsecode.solvers._convolutional_atoms import first_atoms, improved, repaired
from sparsecode.solvers._convolutional_coding import (
    Coding,
    Samples,
    channels_last,
    checked_boundary,
)
from sparsecode.solvers._learning import energy_of
from sparsecode.solvers._result import ConvolutionalResult
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers.splitting import _Splitting

__all__ = ["convolutional_dictionary_learning"]

CHECK_EVERY = 10  # iterations from one look at the objective, and at atoms of no use, to the next


def convolutional_dictionary_learning(
    X: Any,
    n_components: int,
    atom_shape: int | tuple[int, ...],
    *,
    alpha: float,
    max_iter: int = 200,
    init: Any = None,
    tol: float | None = None,
    positive: bool = False,
    boundary: str = "periodic",
    multichannel: bool = False,
    missing_values: float | None = None,
    random_state: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> ConvolutionalResult:
    r"""Atoms that whole signals or pictures are made of, wherever these stand.

    .. math:: \min_{c, D} \sum_i \tfrac12 \Big\| W_i \Big( x_i - \sum_k d_k * c_{ik} \Big)
              \Big\|_2^2 + \alpha \sum_{ik} \|c_{ik}\|_1 \quad \text{s.t.} \quad \|d_k\|_2 \le 1

    with atoms on a small support, and :math:`W_i` to keep what was observed. One iteration is one
    of the multiplier method on the codes, whose multipliers stay, and five accelerated projected
    gradient steps on the atoms, which with the codes held never raise the objective. After every
    ten of them atoms that no signal uses become pieces of what the others leave: the largest ones,
    no two that overlap, and none that alpha would keep at zero.

    Parameters
    ----------
    X : array of shape (n_samples, n) or (n_samples, height, width), and channels
        Signals or pictures, with `multichannel` with one axis more; slow trends, which few small
        atoms can follow, are best taken out.
    n_components : int
        Atoms.
    atom_shape : int or tuple of int
        The size of an atom, or its height and width; an integer is a square.
    alpha : float
        The weight of the l1 norm, positive.
    max_iter : int, default=200
        Iterations at the most.
    init : array with one atom of `atom_shape` a row, or ConvolutionalResult, optional
        The first atoms; by default pieces of the signals. A result of this function for the same
        signals goes on where it ended, to the bit.
    tol : float, optional
        Stop when ten iterations change the objective by less than this fraction; by default all
        `max_iter` iterations are done. The problem is not convex: a small change certifies no more
        than that the descent has come to rest.
    positive : bool, default=False
        Only coefficients that are not negative.
    boundary : {"periodic", "valid", "full"}, default="periodic"
        What becomes of atoms at the border, as in `convolutional_sparse_encode`.
    multichannel : bool, default=False
        The last axis of `X` are channels: atoms have them, too, and one map of coefficients.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown, and no atom has to fit them.
    random_state : int, RandomState, Generator or None, default=None
        Draws the first atoms.
    n_threads : int, optional
        Threads of the transforms, which change no bit.
    callback : callable, optional
        Called after every ten iterations with the named numbers of the history; a true answer
        stops.

    Returns
    -------
    ConvolutionalResult
        `dictionary`, `codes`, `objective`, `dual_gap`, by which the objective is at the most above
        that of the best codes in these atoms, `certificate` (the last relative change of the
        objective), `n_iter`, `status`, `converged` and `history`, with an entry for every ten
        iterations: ``"n_nonzero"`` coefficients of a signal and ``"n_replaced"`` atoms, among
        others.

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
    samples = Samples.checked(X, multichannel, missing_values)
    n_components, channels = check_int(n_components, "n_components"), samples.X.shape[1]
    signal = samples.X.shape[2:]
    sides = atom_shape if isinstance(atom_shape, tuple | list) else (atom_shape,) * len(signal)
    atom = tuple(check_int(side, "atom_shape") for side in sides)
    domain = Domain.checked(signal, atom, checked_boundary(boundary))
    check_fits(8 * n_components * samples.X.size, f"n_components={n_components}: its codes")
    tol = None if tol is None else check_real(tol, "tol", low=0)
    penalty = L1(positive=check_bool(positive, "positive"))
    unit = unit_of(magnitude(samples.X), samples.X.dtype)
    y, observed = samples.on_grid(domain)
    alpha = check_real(alpha, "alpha", low=0, open_low=True) / unit
    coding = Coding(to_units(y, unit), observed, penalty, alpha, n_components / channels)
    threads, shape = check_n_threads(n_threads), (n_components, channels, *atom)
    if isinstance(init, ConvolutionalResult):
        state, previous = _resumed(init, shape, coding, domain), init.objective / unit / unit
    else:
        D = first_atoms(samples, shape, init, check_random_state(random_state), multichannel)
        A = Convolution(D, domain, threads)
        nothing = np.zeros((A.shape[1], y.shape[1]), dtype=y.dtype)
        state, previous = _State(D, coding.start(A, nothing), 0.0), 0.5 * energy_of(coding.y)
    n_replaced = 0

    def measure(at: _Learned) -> dict[str, float]:
        nonlocal previous, n_replaced
        change = abs(previous - at.objective) / previous if previous > 0 else 0.0
        previous, before, n_replaced = at.objective, n_replaced, at.n_replaced
        return {
            "objective": at.objective * unit * unit,
            "certificate": change,
            "n_nonzero": np.count_nonzero(at.codes) / len(samples.X),
            "n_replaced": n_replaced - before,
        }

    last, ending = run(
        _alternation(coding, state, domain, threads), measure, tol=tol,
        max_iter=check_int(max_iter, "max_iter"), check_every=CHECK_EVERY, callback=callback,
        name="convolutional_dictionary_learning",
    )  # fmt: skip
    codes = from_units(last.codes, unit, name="codes")
    return ConvolutionalResult(
        dictionary=channels_last(last.state.D, multichannel),
        codes=domain.off_grid(codes, domain.region),
        dual_gap=last.gap(coding, domain, threads) * unit * unit,
        state=last.state,
        **ending,
    )


class _State(NamedTuple):
    """What another call needs to go on, bit for bit, where this one ended."""

    D: np.ndarray  # (n_components, n_channels, *atom)
    at: _Splitting
    curvature: float  # of the last step on the atoms


class _Learned(NamedTuple):
    state: _State
    codes: np.ndarray  # columns
    objective: float
    n_replaced: int  # so far

    def gap(self, coding: Coding, domain: Domain, n_threads: int) -> float:
        """How far the codes can be from the best of these atoms."""
        A = Convolution(self.state.D, domain, n_threads)
        residual = coding.y - coding.seen(A @ self.codes)
        correlation = A.H @ residual
        gaps = duality_gap(residual, correlation, self.codes, coding.alpha, coding.penalty)
        return float(np.sum(gaps))


def _resumed(
    init: ConvolutionalResult, shape: tuple[int, ...], coding: Coding, domain: Domain
) -> _State:
    state, size = init.state, math.prod(domain.grid)
    rows = (shape[0] + (0 if coding.observed is None else shape[1])) * size
    if not isinstance(state, _State) or state.D.shape != shape:
        raise ValueError(
            f"init is a result with a dictionary of shape {init.dictionary.shape}; it has to be "
            "that of this function for as many atoms of the same shape"
        )
    if state.at.z.shape != (rows, coding.y.shape[1]):
        raise ValueError(
            "init is a result for other signals: their number, shape and boundary have to be the "
            "same"
        )
    return state


def _alternation(
    coding: Coding, state: _State, domain: Domain, n_threads: int
) -> Iterator[_Learned]:
    D, at, curvature = state
    n_replaced = 0
    while True:
        A = Convolution(D, domain, n_threads)
        if at.n_iter and at.n_iter % CHECK_EVERY == 0:
            D, at, n_new = repaired(A, coding, D, at)
            A = Convolution(D, domain, n_threads) if n_new else A
            n_replaced += n_new
        at = coding.step(A, at)
        codes = at.z[: A.shape[1]]
        D, energy, curvature = improved(A, coding, D, codes, curvature)
        absolute = float(np.sum(np.abs(codes), dtype=np.float64))
        objective = 0.5 * energy + coding.alpha * absolute
        yield _Learned(_State(D, at, curvature), codes, objective, n_replaced)
