"""Problems drawn at random together with their answers. Rows are samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from sparsecode._memory import check_fits
from sparsecode._validation import (
    RandomSource,
    check_bool,
    check_int,
    check_option,
    check_random_state,
    check_real,
)


class SparseCodedSignals(NamedTuple):
    """`X = codes @ dictionary + noise`, as `make_sparse_coded_signals` draws it.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features), float64
        The signals.
    dictionary : ndarray of shape (n_components, n_features), float64
        The atoms, each of unit l2 norm.
    codes : csr_array or ndarray of shape (n_samples, n_components), float64
        The coefficients.
    """

    X: np.ndarray
    dictionary: np.ndarray
    codes: sp.csr_array | np.ndarray


class CorruptedLowRank(NamedTuple):
    """`X = low_rank + sparse + noise`, as `make_low_rank_plus_sparse` draws it.

    Attributes
    ----------
    X : ndarray of shape (n, n_features), float64
        What is observed; NaN where an entry is missing.
    low_rank : ndarray of shape (n, n_features), float64
        The part of exact rank `rank`.
    sparse : ndarray of shape (n, n_features), float64
        The corruptions, a dense array that is zero at most positions.
    """

    X: np.ndarray
    low_rank: np.ndarray
    sparse: np.ndarray


class CompressedMeasurements(NamedTuple):
    """`measurements = signals @ sensing_matrix.T + noise`, as drawn.

    Attributes
    ----------
    measurements : ndarray of shape (n_samples, n_measurements), float64
        What is measured, one row for each signal.
    sensing_matrix : ndarray of shape (n_measurements, n_features), float64
        The measurement operator `A`.
    signals : ndarray of shape (n_samples, n_features), float64
        The answer to recover.
    """

    measurements: np.ndarray
    sensing_matrix: np.ndarray
    signals: np.ndarray


def make_sparse_coded_signals(
    n_samples: int,
    *,
    n_components: int,
    n_features: int,
    n_nonzero_coefs: int,
    noise: float = 0.0,
    snr_db: float | None = None,
    sparse_output: bool = True,
    random_state: Any = None,
) -> SparseCodedSignals:
    """Draw signals that are sparse combinations of known atoms: `X = codes @ dictionary + E`.

    The atoms are uniform on the unit sphere. Each row of `codes` has exactly `n_nonzero_coefs`
    nonzero entries, N(0, 1), at positions drawn uniformly among all subsets of that size.
    The noise `E` is N(0, noise^2), independent.

    Parameters
    ----------
    n_samples : int
        Number of signals.
    n_components : int
        Number of atoms.
    n_features : int
        Length of a signal.
    n_nonzero_coefs : int
        Atoms per signal, at most `n_components`.
    noise : float, default=0.0
        Standard deviation of the noise in each entry of X.
    snr_db : float, optional
        The noise as a signal-to-noise ratio in decibels instead. It is global and nominal:
        `10 log10(||codes @ dictionary||_F^2 / E||E||_F^2)`, the expectation over the noise.
        Leave `noise` at 0 when this is given.
    sparse_output : bool, default=True
        Whether `codes` is a `scipy.sparse.csr_array` or a dense array. X is the same, bit for bit.
    random_state : None, int, RandomState or Generator
        The source of randomness; the same seed gives the same bits.

    Returns
    -------
    SparseCodedSignals
        The named tuple `(X, dictionary, codes)`; without noise `X` is `codes @ dictionary`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or both `noise` and `snr_db` are given.

    References
    ----------
    M. Aharon, M. Elad, A. Bruckstein, "K-SVD: An Algorithm for Designing Overcomplete
    Dictionaries for Sparse Representation", IEEE Trans. Signal Processing 54(11), 2006, sec. V-A.
    The normal distributions and sizes are those of the toolbox which its authors published.

    Examples
    --------
    >>> from sparsecode.datasets import make_sparse_coded_signals
    >>> X, dictionary, codes = make_sparse_coded_signals(
    ...     1500, n_components=50, n_features=20, n_nonzero_coefs=3, snr_db=20, random_state=0
    ... )
    >>> X.shape, dictionary.shape, codes.shape, codes.nnz
    ((1500, 20), (50, 20), (1500, 50), 4500)
    """
    n_samples = check_int(n_samples, "n_samples")
    n_components = check_int(n_components, "n_components")
    n_features = check_int(n_features, "n_features")
    n_nonzero_coefs = check_int(n_nonzero_coefs, "n_nonzero_coefs", high=n_components)
    noise = check_real(noise, "noise", low=0)
    if snr_db is not None:
        snr_db = check_real(snr_db, "snr_db", low=-3000, high=3000)
        if noise > 0:
            raise ValueError(f"give noise or snr_db, not both; got noise={noise}, snr_db={snr_db}")
    check_bool(sparse_output, "sparse_output")
    _check_sizes(n_samples=n_samples, n_features=n_features)
    _check_sizes(n_components=n_components, n_features=n_features)  # of the codes only nonzeros
    rng = check_random_state(random_state)

    dictionary = rng.standard_normal((n_components, n_features))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    supports = _random_supports(n_samples, n_components, n_nonzero_coefs, rng)
    coefs = rng.standard_normal(supports.size)
    codes = _codes(supports, coefs, n_components)
    X = codes @ dictionary
    if snr_db is not None:
        noise = np.linalg.norm(X) / np.sqrt(X.size) * 10 ** (-snr_db / 20)
    _add_noise(X, noise, rng)
    return SparseCodedSignals(X, dictionary, codes if sparse_output else codes.toarray())


def make_low_rank_plus_sparse(
    n: int = 500,
    *,
    n_features: int | None = None,
    rank: int,
    density: float,
    magnitude: float = 1.0,
    signs: str = "random",
    noise: float = 0.0,
    missing: float = 0.0,
    random_state: Any = None,
) -> CorruptedLowRank:
    """Draw a low-rank matrix with gross corruptions: `X = A B^T + S + E`.

    With `m = n_features`, `A` (n, rank) has entries N(0, 1/n) and `B` (m, rank) entries N(0, 1/m).
    Square matrices follow the published protocol exactly; for the others, which it does not
    cover, each factor keeps columns of unit expected squared norm, so that the nonzero singular
    values of `A B^T` stay near 1 in every shape (as long as `rank` is small against both sides).

    `S` has exactly `round(density * n * m)` nonzero entries of absolute value `magnitude`, at
    positions drawn uniformly without replacement. The noise `E` is N(0, noise^2), independent.

    Parameters
    ----------
    n : int, default=500
        Number of rows.
    n_features : int, optional
        Number of columns; by default the matrix is square.
    rank : int
        Rank of the low-rank part, at most `min(n, n_features)`.
    density : float
        Fraction of corrupted entries, in [0, 1].
    magnitude : float, default=1.0
        Absolute value of each corruption.
    signs : {"random", "coherent"}, default="random"
        "random": + or - with probability 1/2 each. "coherent": the sign of the low-rank part at
        the same position. The paper's phase diagram has a panel for each.
    noise : float, default=0.0
        Standard deviation of the noise in each entry.
    missing : float, default=0.0
        Fraction of entries of X that are NaN, in [0, 1): exactly `round(missing * n * m)`, at
        uniform positions, independent of the corruptions.
    random_state : None, int, RandomState or Generator
        The source of randomness; the same seed gives the same bits.

    Returns
    -------
    CorruptedLowRank
        The named tuple `(X, low_rank, sparse)`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    E. J. Candès, X. Li, Y. Ma, J. Wright, "Robust Principal Component Analysis?",
    J. ACM 58(3):11, 2011, sec. 4.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.datasets import make_low_rank_plus_sparse
    >>> X, low_rank, sparse = make_low_rank_plus_sparse(n=100, rank=5, density=0.05, random_state=0)
    >>> int(np.linalg.matrix_rank(low_rank)), int(np.count_nonzero(sparse))
    (5, 500)
    """
    n = check_int(n, "n")
    n_features = n if n_features is None else check_int(n_features, "n_features")
    _check_sizes(n=n, n_features=n_features)
    rank = check_int(rank, "rank", high=min(n, n_features))
    density = check_real(density, "density", low=0, high=1)
    magnitude = check_real(magnitude, "magnitude", low=0, open_low=True)
    signs = check_option(signs, "signs", ("random", "coherent"))
    noise = check_real(noise, "noise", low=0)
    missing = check_real(missing, "missing", low=0, high=1, open_high=True)
    rng = check_random_state(random_state)

    A = rng.standard_normal((n, rank)) / np.sqrt(n)
    B = rng.standard_normal((n_features, rank)) / np.sqrt(n_features)
    low_rank = A @ B.T
    sparse = np.zeros_like(low_rank)
    corrupted = rng.permutation(sparse.size)[: round(density * sparse.size)]
    if signs == "random":
        sparse.flat[corrupted] = magnitude * _random_signs(corrupted.size, rng)
    else:
        sparse.flat[corrupted] = magnitude * np.sign(low_rank.flat[corrupted])
    X = low_rank + sparse
    _add_noise(X, noise, rng)
    if missing > 0:
        X.flat[rng.permutation(X.size)[: round(missing * X.size)]] = np.nan
    return CorruptedLowRank(X, low_rank, sparse)


def make_compressed_measurements(
    n_samples: int = 1,
    *,
    n_features: int,
    n_measurements: int,
    n_nonzero_coefs: int,
    noise: float = 0.0,
    sensing: str = "gaussian",
    amplitudes: str = "gaussian",
    random_state: Any = None,
) -> CompressedMeasurements:
    """Draw sparse signals and measure them: `measurements = signals @ A.T + E`.

    `A` (n_measurements, n_features) has independent entries of mean 0 and variance
    1 / n_measurements, so its columns have unit expected squared norm. Each signal has exactly
    `n_nonzero_coefs` nonzero entries, at positions drawn uniformly among all subsets of that
    size. The noise `E` is N(0, noise^2), independent.

    Parameters
    ----------
    n_samples : int, default=1
        Number of signals; all are measured by the same `A`.
    n_features : int
        Length of a signal.
    n_measurements : int
        Number of measurements of a signal.
    n_nonzero_coefs : int
        Nonzero entries per signal, at most `n_features`.
    noise : float, default=0.0
        Standard deviation of the noise in each measurement.
    sensing : {"gaussian", "bernoulli"}, default="gaussian"
        Law of the entries of `A`: N(0, 1/m), or +-1/sqrt(m) with probability 1/2 each.
    amplitudes : {"gaussian", "signs"}, default="gaussian"
        Law of the nonzero entries of a signal: N(0, 1), or +-1 with probability 1/2 each.
    random_state : None, int, RandomState or Generator
        The source of randomness; the same seed gives the same bits.

    Returns
    -------
    CompressedMeasurements
        The named tuple `(measurements, sensing_matrix, signals)`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    A. Maleki, D. L. Donoho, "Optimally Tuned Iterative Reconstruction Algorithms for Compressed
    Sensing", IEEE J. Selected Topics in Signal Processing 4(2), 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.datasets import make_compressed_measurements
    >>> Y, A, X = make_compressed_measurements(
    ...     10, n_features=200, n_measurements=60, n_nonzero_coefs=8, random_state=0
    ... )
    >>> Y.shape, A.shape, np.allclose(Y, X @ A.T)
    ((10, 60), (60, 200), True)
    """
    n_samples = check_int(n_samples, "n_samples")
    n_features = check_int(n_features, "n_features")
    n_measurements = check_int(n_measurements, "n_measurements")
    _check_sizes(n_samples=n_samples, n_features=n_features, n_measurements=n_measurements)
    n_nonzero_coefs = check_int(n_nonzero_coefs, "n_nonzero_coefs", high=n_features)
    noise = check_real(noise, "noise", low=0)
    sensing = check_option(sensing, "sensing", ("gaussian", "bernoulli"))
    amplitudes = check_option(amplitudes, "amplitudes", ("gaussian", "signs"))
    rng = check_random_state(random_state)

    draw = {"gaussian": _standard_normal, "bernoulli": _random_signs, "signs": _random_signs}
    entries = draw[sensing](n_measurements * n_features, rng)
    sensing_matrix = entries.reshape(n_measurements, n_features) / np.sqrt(n_measurements)
    supports = _random_supports(n_samples, n_features, n_nonzero_coefs, rng)
    codes = _codes(supports, draw[amplitudes](supports.size, rng), n_features)
    measurements = codes @ sensing_matrix.T
    _add_noise(measurements, noise, rng)
    return CompressedMeasurements(measurements, sensing_matrix, codes.toarray())


def _check_sizes(**sizes: int) -> None:
    """A matrix of any two of the sizes has to fit into the memory."""
    first, second = sorted(sizes, key=sizes.__getitem__)[-2:]
    what = f"a matrix with {second}={sizes[second]} and {first}={sizes[first]}"
    check_fits(8 * sizes[first] * sizes[second], what)


def _random_supports(n_samples: int, n: int, k: int, rng: RandomSource) -> np.ndarray:
    """For each sample a uniformly random k-subset of range(n), ascending; (n_samples, k).

    Floyd's sampling, all samples at once: memory and random numbers grow with k, never with n.
    """
    chosen = np.empty((k, n_samples), dtype=np.int32 if n <= np.iinfo(np.int32).max else np.int64)
    for i in range(k):
        last = n - k + i
        drawn = (rng.random(n_samples) * (last + 1)).astype(chosen.dtype)
        taken = (chosen[:i] == drawn).any(axis=0)
        chosen[i] = np.where(taken, last, drawn)
    return np.sort(chosen.T, axis=1)


def _codes(supports: np.ndarray, coefs: np.ndarray, n_components: int) -> sp.csr_array:
    n_samples, k = supports.shape
    indptr = np.arange(0, n_samples * k + 1, k)
    return sp.csr_array((coefs, supports.ravel(), indptr), shape=(n_samples, n_components))


def _standard_normal(size: int, rng: RandomSource) -> np.ndarray:
    return rng.standard_normal(size)


def _random_signs(size: int, rng: RandomSource) -> np.ndarray:
    return rng.choice(np.array([-1.0, 1.0]), size=size)


def _add_noise(X: np.ndarray, noise: float, rng: RandomSource) -> None:
    if noise > 0:
        X += noise * rng.standard_normal(X.shape)
