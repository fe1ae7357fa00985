"""What can be recovered: phase transitions, computed and measured, and guarantees."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsecode._memory import check_fits
from sparsecode._phase import fraction, minimax_threshold
from sparsecode._phase_cells import Cells
from sparsecode._threads import check_n_jobs
from sparsecode._validation import check_array, check_bool, check_int, check_real

__all__ = [
    "PhaseTransition",
    "RecoveryGuarantee",
    "empirical_phase_transition",
    "mutual_coherence",
    "phase_transition",
    "recovery_guarantee",
]

MOST_TRIALS = 1_000_000  # a draw: a share is known to less than 0.2 % then

Recover = Callable[[np.ndarray, np.ndarray, int], Any]  # A, y and k to x


def phase_transition(delta: Any, *, positive: bool = False) -> Any:
    r"""The Donoho-Tanner curve: how many nonzeros the l1 norm recovers, as a share of `m`.

    .. math:: \rho(\delta) = \max_{z \ge 0} \frac{1 - (c / \delta)
              \bigl[(1 + z^2) \Phi(-z) - z \phi(z)\bigr]}{1 + z^2 -
              c \bigl[(1 + z^2) \Phi(-z) - z \phi(z)\bigr]}, \qquad c = 2

    With :math:`m = \delta n` Gaussian measurements of a signal of length `n`, basis pursuit
    recovers nearly all signals with fewer than :math:`\rho\, m` nonzeros and nearly none with
    more, as `n` grows; so does approximate message passing. The step is of a width of
    about :math:`n^{-1/2}`.

    Parameters
    ----------
    delta : float or array
        Measurements over the length of the signal, above 0 and at most 1.
    positive : bool, default=False
        Of signals that are known not to be negative; `c` is 1 then.

    Returns
    -------
    float or ndarray
        :math:`\rho`, nonzeros over measurements, between 0 and 1.

    References
    ----------
    Donoho and Tanner, "Counting faces of randomly projected polytopes when the projection radically
    lowers dimension", 2009; Donoho, Maleki and Montanari, "Message-passing algorithms for
    compressed sensing", 2009, from whose threshold it is computed.

    Examples
    --------
    >>> from sparsecode.theory import phase_transition
    >>> round(phase_transition(0.5), 4), round(phase_transition(0.5, positive=True), 4)
    (0.3857, 0.5582)
    """
    deltas, positive = _shares(delta, "delta"), check_bool(positive, "positive")
    rho = [fraction(minimax_threshold(float(d), positive=positive)) for d in deltas.ravel()]
    return rho[0] if deltas.ndim == 0 else np.reshape(rho, deltas.shape)


def _shares(values: Any, name: str, ndim: Any = tuple(range(33))) -> np.ndarray:
    values = check_array(values, name, ndim=ndim).astype(np.float64)
    if not np.all((values > 0) & (values <= 1)):
        raise ValueError(f"{name} has to be above 0 and at most 1")
    return values


def mutual_coherence(A: Any) -> float:
    r"""The largest cosine between two different columns, :math:`\max_{i \ne j} |a_i^* a_j|`.

    Parameters
    ----------
    A : array of shape (m, n)
        Atoms in columns, of any norm; those of norm zero are left out.

    Returns
    -------
    float
        Between 0 and 1; 0 for fewer than two atoms.

    References
    ----------
    Donoho and Huo, "Uncertainty principles and ideal atomic decomposition", 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.theory import mutual_coherence
    >>> round(mutual_coherence(np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 4.0]])), 12)
    0.8
    """
    A = check_array(A, "A", allow_complex=True)
    size = np.abs(A).max(axis=0)
    A = A[:, size > 0] / size[size > 0]  # no norm leaves the range
    A = A / np.linalg.norm(A, axis=0)
    largest = 0.0
    for start in range(0, A.shape[1], 512):
        block = np.abs(A[:, start : start + 512].conj().T @ A[:, start:])
        np.fill_diagonal(block, 0)
        largest = max(largest, float(block.max(initial=0)))
    return min(largest, 1.0)


class RecoveryGuarantee(NamedTuple):
    """How many nonzeros are recovered whatever they are, and the coherence that says so."""

    n_nonzero: int
    coherence: float


def recovery_guarantee(A: Any) -> RecoveryGuarantee:
    r"""The number of nonzeros that basis pursuit and OMP recover for certain, by the coherence.

    .. math:: k < \tfrac12 (1 + 1 / \mu)

    It holds for each signal and each matrix, and is therefore far below what random matrices do
    for nearly all signals: see `phase_transition`.

    Parameters
    ----------
    A : array of shape (m, n)
        Atoms in columns, of any norm.

    Returns
    -------
    RecoveryGuarantee
        `n_nonzero`, at most `m`, and `coherence`, the :math:`\mu` above.

    References
    ----------
    Donoho and Elad, "Optimally sparse representation in general dictionaries via l1 minimization",
    2003; Tropp, "Greed is good", 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import dct
    >>> from sparsecode.theory import recovery_guarantee
    >>> spikes_and_cosines = np.hstack([np.eye(64), dct(64).H @ np.eye(64)])
    >>> recovery_guarantee(spikes_and_cosines).n_nonzero
    3
    """
    A = check_array(A, "A", allow_complex=True)
    coherence = mutual_coherence(A)
    most = A.shape[0]
    if coherence > 0:
        # Rounding of a coherence such as 1/3 must not grant the atom that equality does not.
        most = min(most, int(np.ceil(0.5 * (1 + 1 / coherence) * (1 - 1e-12))) - 1)
    return RecoveryGuarantee(most, coherence)


@dataclass(frozen=True, eq=False)
class PhaseTransition:
    """How often a solver recovered, over measurements and nonzeros, and where one half lies.

    Attributes
    ----------
    n : int
        Length of the signals.
    deltas : ndarray of shape (n_deltas,)
        Measurements over `n`, as they were after rounding.
    rhos : ndarray of shape (n_deltas, n_rhos)
        Nonzeros over measurements, as they were after rounding.
    n_successes : ndarray of shape (n_deltas, n_rhos)
        Of `n_trials` draws each.
    n_trials : int
        Draws a cell.
    midpoints, lows, highs : ndarray of shape (n_deltas,)
        Where half of the draws are recovered, by a logistic fit, and the ends of its 95 %
        confidence band. NaN where all draws, or none, were recovered,
        or with a single rho. Where no cell has both kinds,
        the band is the gap between the two cells, and the midpoint its middle.
    """

    n: int
    deltas: np.ndarray
    rhos: np.ndarray
    n_successes: np.ndarray
    n_trials: int
    midpoints: np.ndarray
    lows: np.ndarray
    highs: np.ndarray


def empirical_phase_transition(
    solver: Recover,
    n: int,
    deltas: Iterable[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    rhos: Any = None,
    *,
    n_trials: int = 20,
    success_tol: float = 1e-3,
    positive: bool = False,
    random_state: int = 0,
    n_jobs: int | None = None,
    path: str | os.PathLike[str] | None = None,
) -> PhaseTransition:
    r"""Recover many signals from Gaussian measurements, and fit where that fails.

    Of each cell :math:`(\delta, \rho)`, `n_trials` draws of a matrix with
    :math:`m = \delta n` rows and of a signal with :math:`k = \rho\, m` nonzeros, of values 1 and
    -1 (1 alone where `positive`), at random places. A draw is recovered if
    :math:`\|\hat x - x\|_2 \le` `success_tol` :math:`\|x\|_2`. The curve to hold it against is
    `phase_transition`.

    Parameters
    ----------
    solver : callable
        ``solver(A, y, k)`` returns an estimate of the signal, or an object that has it as `x`.
    n : int
        Length of the signals.
    deltas : iterable of float
        Measurements over `n`, above 0 and at most 1.
    rhos : array of shape (n_rhos,) or (n_deltas, n_rhos), optional
        Nonzeros over measurements. By default eleven about the curve of `phase_transition`, from
        0.7 to 1.3 of it.
    n_trials : int, default=20
        Draws a cell, at most a million.
    success_tol : float, default=1e-3
        How large the relative error may be.
    positive : bool, default=False
        Signals without negative values.
    random_state : int, default=0
        Each cell has draws of its own, whichever cells there are beside it.
    n_jobs : int, optional
        Processes, as joblib counts them.
    path : path, optional
        A file (JSON) in which finished cells are kept: a run that was cut off goes on from there.

    Returns
    -------
    PhaseTransition
        Counts, and the fitted curve with its band.

    Raises
    ------
    ValueError
        A parameter is out of range, or the file at `path` is damaged or of another experiment.
    OSError
        Cells are to be counted, and no file can be written at `path`: it is a folder
        (`IsADirectoryError`), or in none (`FileNotFoundError`), or read-only (`PermissionError`).

    References
    ----------
    Donoho and Tanner, "Observed universality of phase transitions in high-dimensional geometry",
    2009.

    Examples
    --------
    >>> from sparsecode.solvers import omp
    >>> from sparsecode.theory import empirical_phase_transition
    >>> found = empirical_phase_transition(
    ...     lambda A, y, k: omp(A, y, n_nonzero_coefs=k), 100, [0.5], [0.05, 0.9], n_trials=5
    ... )
    >>> found.n_successes.tolist()
    [[5, 0]]
    """
    from joblib import Parallel, delayed

    n, n_trials = check_int(n, "n"), check_int(n_trials, "n_trials", high=MOST_TRIALS)
    success_tol = check_real(success_tol, "success_tol", low=0)
    seed = check_int(random_state, "random_state", low=0)
    positive = check_bool(positive, "positive")
    if not callable(solver):
        raise TypeError(f"solver has to be callable, as (A, y, k), got {solver!r}")
    check_fits(8 * n * n, f"a matrix of signals of length n={n}")
    jobs = check_n_jobs(n_jobs)
    given = list(deltas) if isinstance(deltas, Iterable) else deltas
    wanted = _shares(given, "deltas", ndim=1)
    curve = np.atleast_1d(phase_transition(wanted, positive=positive))
    m = np.maximum(1, np.rint(wanted * n)).astype(int)
    if rhos is None:
        rhos = np.minimum(np.outer(curve, np.linspace(0.7, 1.3, 11)), 1)
    grid = np.atleast_2d(_shares(rhos, "rhos", ndim=(1, 2)))
    if len(grid) not in (1, m.size):
        raise ValueError(f"rhos has {len(grid)} rows; it has to have one, or {m.size} as deltas")
    grid = np.broadcast_to(grid, (m.size, grid.shape[1]))
    k = np.clip(np.rint(grid * m[:, None]).astype(int), 1, m[:, None])
    done = Cells(path, (n, n_trials, seed, int(positive)), success_tol)
    cells = dict.fromkeys(zip(np.repeat(m, k.shape[1]).tolist(), k.ravel().tolist(), strict=True))
    counted = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(_count)(solver, n, *cell, n_trials, success_tol, positive, seed)
        for cell in done.missing(cells)
    )
    for cell, count in counted:
        done.add(cell, count)
    successes = np.array(
        [[done.counts[m_i, k_j] for k_j in row] for m_i, row in zip(m, k, strict=True)]
    )
    shares = k / m[:, None]
    fits = [_half(*line, n_trials) for line in zip(shares, successes, strict=True)]
    midpoints, lows, highs = np.array(fits).T
    return PhaseTransition(n, m / n, shares, successes, n_trials, midpoints, lows, highs)


def _count(
    solver: Recover,
    n: int,
    m: int,
    k: int,
    n_trials: int,
    success_tol: float,
    positive: bool,
    seed: int,
) -> tuple[tuple[int, int], int]:
    """How many draws of a cell are recovered."""
    count = 0
    for trial in range(n_trials):
        rng = np.random.default_rng([seed, n, m, k, trial])
        A = rng.standard_normal((m, n)) / np.sqrt(m)
        x = np.zeros(n)
        x[rng.permutation(n)[:k]] = 1.0 if positive else rng.choice([-1.0, 1.0], k)
        found = solver(A, A @ x, k)
        error = np.linalg.norm(np.asarray(getattr(found, "x", found)) - x)
        count += bool(error <= success_tol * np.sqrt(k))
    return (m, k), count


def _half(rhos: np.ndarray, successes: np.ndarray, n_trials: int) -> tuple[float, float, float]:
    """Where a logistic curve is one half, and its 95 % confidence band by the delta method."""
    rhos, order = np.unique(rhos, return_index=True)
    if np.all(successes == n_trials) or not successes.any() or rhos.size == 1:
        return np.nan, np.nan, np.nan
    wins = successes[order]
    mixed = np.flatnonzero((wins > 0) & (wins < n_trials))
    if mixed.size == 0:
        low = rhos[wins == n_trials].max()
        high = rhos[(wins == 0) & (rhos > low)].min(initial=np.inf)
        return (low + high) / 2, low, high
    from sklearn.linear_model import LogisticRegression

    z = (rhos - rhos.mean()) / rhos.std()
    outcomes = np.repeat([1, 0], rhos.size)
    model = LogisticRegression(C=1e4, tol=1e-10, max_iter=10_000).fit(
        np.tile(z, 2)[:, None], outcomes, sample_weight=np.r_[wins, n_trials - wins]
    )
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    half = -intercept / slope
    p = 1 / (1 + np.exp(-(intercept + slope * z)))
    weights = n_trials * p * (1 - p)
    basis = np.vstack([np.ones_like(z), z])
    gradient = np.array([-1 / slope, -half / slope])
    spread = 1.96 * np.sqrt(gradient @ np.linalg.solve((basis * weights) @ basis.T, gradient))
    middle, unit = rhos.mean() + half * rhos.std(), rhos.std()
    return float(middle), float(middle - spread * unit), float(middle + spread * unit)
