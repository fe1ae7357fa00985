"""Three problems of the Sparco collection, which solvers of basis pursuit are compared on."""

from __future__ import annotations

from math import comb
from typing import NamedTuple

import numpy as np
import scipy.fft

from sparsecode._validation import RandomSource, check_option, check_random_state

PIECES, LEVELS = 5, 5  # of the piecewise cubic signal, and of its wavelet transform
VANISHING = 4  # moments of the Daubechies wavelet of eight taps


class SparcoProblem(NamedTuple):
    """``y = A @ x`` with a sparse `x`, as `make_sparco_problem` draws it.

    Attributes
    ----------
    A : ndarray of shape (m, n), float64
        The measurements of the atoms.
    y : ndarray of shape (m,), float64
        What is measured, without noise.
    x : ndarray of shape (n,), float64
        The coefficients that were drawn.
    signal : ndarray, float64
        The signal that they stand for.
    """

    A: np.ndarray
    y: np.ndarray
    x: np.ndarray
    signal: np.ndarray


def make_sparco_problem(
    name: str, *, random_state: RandomSource | int | None = None
) -> SparcoProblem:
    r"""A problem of the Sparco collection: ``y = A x``, to be solved for a sparse `x`.

    ``"cosspike"`` (number 3): two cosines and 120 spikes in 1024 samples; the atoms are those of
    the orthonormal discrete cosine transform and unit vectors, and nothing is left out:
    `A` is (1024, 2048).

    ``"gcosspike"`` (number 5): three cosines and 60 spikes in the same atoms, measured by 300
    Gaussian rows: `A` is (300, 2048).

    ``"p3poly"`` (number 6): five pieces of cubic polynomials in 2048 samples, in the orthonormal
    Daubechies wavelets of eight taps to five levels, measured by 600 Gaussian rows: `A` is
    (600, 2048).

    The draws are not those of the MATLAB toolbox; sizes, atoms and amplitudes are. The Gaussian
    entries have variance 1. The last two are at the limit of what basis pursuit can recover: its
    answer may have a lower l1 norm than `x`.

    Parameters
    ----------
    name : {"cosspike", "gcosspike", "p3poly"}
        Which problem.
    random_state : int, RandomState, Generator or None, default=None
        An integer gives the same problem each time.

    Returns
    -------
    SparcoProblem
        `A`, `y`, `x` and `signal`.

    Raises
    ------
    ValueError
        If there is no such problem.

    References
    ----------
    van den Berg, Friedlander, Hennenfent, Herrmann, Saab and Yilmaz, "Algorithm 890: Sparco: a
    testing framework for sparse reconstruction", 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.datasets import make_sparco_problem
    >>> A, y, x, signal = make_sparco_problem("cosspike", random_state=0)
    >>> A.shape, int(np.count_nonzero(x)), bool(np.allclose(A @ x, y))
    ((1024, 2048), 122, True)
    """
    check_option(name, "name", PROBLEMS)
    return PROBLEMS[name](check_random_state(random_state))


def _cosines_and_spikes(
    rng: RandomSource, amplitudes: dict[int, float], n_spikes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The atoms, the coefficients and the signal."""
    n = 1024
    x = np.zeros(2 * n)
    for frequency, amplitude in amplitudes.items():
        x[frequency] = amplitude * np.sqrt(n / 2)
    x[n + rng.permutation(n)[:n_spikes]] = rng.standard_normal(n_spikes)
    atoms = np.hstack([scipy.fft.idct(np.eye(n), axis=0, norm="ortho"), np.eye(n)])
    return atoms, x, atoms @ x


def _cosspike(rng: RandomSource) -> SparcoProblem:
    atoms, x, signal = _cosines_and_spikes(rng, {4: 4.0, 12: 2.0}, 120)
    return SparcoProblem(atoms, signal, x, signal)


def _gcosspike(rng: RandomSource) -> SparcoProblem:
    atoms, x, signal = _cosines_and_spikes(rng, {3: 2.0, 9: 3.0, 20: -1.0}, 60)
    return _measured(rng, 300, atoms, x, signal)


def _p3poly(rng: RandomSource) -> SparcoProblem:
    n = 2048
    starts = np.sort(rng.permutation(np.arange(1, n))[: PIECES - 1])
    pieces = np.split(np.arange(n) / n, starts)
    signal = np.concatenate([np.polyval(rng.standard_normal(4), t) for t in pieces])
    atoms = np.eye(n)
    for level in range(LEVELS):
        size = n >> level
        atoms[:, :size] = atoms[:, :size] @ _synthesis(size)
    x = atoms.T @ signal
    x[np.abs(x) < 1e-10 * np.abs(x).max()] = 0
    return _measured(rng, 600, atoms, x, atoms @ x)


def _measured(
    rng: RandomSource, m: int, atoms: np.ndarray, x: np.ndarray, signal: np.ndarray
) -> SparcoProblem:
    A = rng.standard_normal((m, signal.size)) @ atoms
    return SparcoProblem(A, A @ x, x, signal)


def _synthesis(size: int) -> np.ndarray:
    """One level of the periodic transform: scaling functions in the left columns, then wavelets."""
    low = _daubechies()
    high = low[::-1] * (-1.0) ** np.arange(low.size)
    step = np.zeros((size, size))
    for column in range(size // 2):
        rows = (2 * column + np.arange(low.size)) % size
        step[rows, column], step[rows, size // 2 + column] = low, high
    return step


def _daubechies() -> np.ndarray:
    """The filter of extremal phase, by the roots of Daubechies' polynomial."""
    p = VANISHING
    # |filter|^2 is ((1 + cos) / 2)^p times a polynomial in y = (1 - cos) / 2; z + 1/z = 2 - 4 y.
    roots = np.roots([comb(p - 1 + k, k) for k in reversed(range(p))])
    inside = []
    for y in roots:
        both = np.roots([1.0, 4 * y - 2, 1.0])
        inside.append(both[np.argmin(np.abs(both))])
    taps = np.poly(np.concatenate([-np.ones(p), inside])).real
    return taps * (np.sqrt(2) / taps.sum())


PROBLEMS = {"cosspike": _cosspike, "gcosspike": _gcosspike, "p3poly": _p3poly}
