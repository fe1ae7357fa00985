"""The laws that the generators' docstrings state, each checked from the drawn arrays alone."""

import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
from threadpoolctl import threadpool_limits

from sparsecode.datasets import (
    make_compressed_measurements,
    make_low_rank_plus_sparse,
    make_sparse_coded_signals,
)

SIGNALS = {"n_samples": 300, "n_components": 50, "n_features": 20, "n_nonzero_coefs": 3}
LOW_RANK = {"n": 60, "rank": 4, "density": 0.1}
MEASURED = {"n_samples": 40, "n_features": 100, "n_measurements": 30, "n_nonzero_coefs": 5}
GENERATORS = [
    pytest.param(make_sparse_coded_signals, {**SIGNALS, "snr_db": 10}, id="signals"),
    pytest.param(
        make_low_rank_plus_sparse, {**LOW_RANK, "noise": 0.1, "missing": 0.2}, id="low-rank"
    ),
    pytest.param(
        make_compressed_measurements,
        {**MEASURED, "noise": 0.1, "sensing": "bernoulli", "amplitudes": "signs"},
        id="measurements",
    ),
]


def dense(array):
    return array.toarray() if sp.issparse(array) else array


def same_bits(first, second):
    return all(dense(a).tobytes() == dense(b).tobytes() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("make", "options"), GENERATORS)
def test_a_seed_decides_every_bit(make, options):
    assert same_bits(make(**options, random_state=3), make(**options, random_state=3))
    assert not same_bits(make(**options, random_state=3), make(**options, random_state=4))
    assert not same_bits(make(**options), make(**options))


@pytest.mark.parametrize("source", [np.random.RandomState, np.random.default_rng])
@pytest.mark.parametrize(("make", "options"), GENERATORS)
def test_both_kinds_of_random_source_are_taken_and_advanced(make, options, source):
    rng = source(3)
    first = make(**options, random_state=rng)
    assert same_bits(first, make(**options, random_state=source(3)))
    assert not same_bits(first, make(**options, random_state=rng))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (make_sparse_coded_signals, {**SIGNALS, "n_samples": 2000}),
        (make_low_rank_plus_sparse, {**LOW_RANK, "n": 400, "rank": 20}),
        (make_compressed_measurements, {**MEASURED, "n_samples": 500}),
    ],
)
def test_bits_do_not_depend_on_the_number_of_threads(make, options):
    with threadpool_limits(1):
        one = make(**options, random_state=0)
    with threadpool_limits(2):
        assert same_bits(one, make(**options, random_state=0))


# --- make_sparse_coded_signals


def test_signals_are_codes_times_unit_atoms():
    X, dictionary, codes = make_sparse_coded_signals(**SIGNALS, random_state=0)
    assert (X.shape, dictionary.shape, codes.shape) == ((300, 20), (50, 20), (300, 50))
    np.testing.assert_array_equal(X, codes @ dictionary)
    np.testing.assert_allclose(np.linalg.norm(dictionary, axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(np.count_nonzero(codes.toarray(), axis=1), 3)
    assert codes.has_canonical_format


def test_dense_and_sparse_codes_are_the_same_draw():
    sparse = make_sparse_coded_signals(**SIGNALS, random_state=0)
    full = make_sparse_coded_signals(**SIGNALS, sparse_output=False, random_state=0)
    assert sp.issparse(sparse.codes)
    assert isinstance(full.codes, np.ndarray)
    assert same_bits(sparse, full)


@pytest.mark.parametrize("k", [1, 2, 4, 5])
def test_every_support_is_equally_likely(k):
    codes = make_sparse_coded_signals(
        20_000, n_components=5, n_features=2, n_nonzero_coefs=k, random_state=1
    ).codes
    supports, counts = np.unique(codes.toarray() != 0, axis=0, return_counts=True)
    assert len(supports) == len(list(itertools.combinations(range(5), k)))
    if len(supports) > 1:
        assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_coefficients_are_standard_normal_at_every_rank_of_the_support():
    codes = make_sparse_coded_signals(
        4000, n_components=9, n_features=2, n_nonzero_coefs=3, random_state=2
    ).codes
    for coefs in codes.data.reshape(-1, 3).T:
        assert scipy.stats.kstest(coefs, "norm").pvalue > 1e-3


@pytest.mark.parametrize("snr_db", [-10, 0, 20.0])
def test_snr_is_the_nominal_global_one(snr_db):
    X, dictionary, codes = make_sparse_coded_signals(
        3000, n_components=50, n_features=20, n_nonzero_coefs=3, snr_db=snr_db, random_state=0
    )
    signal = codes @ dictionary
    measured = 20 * np.log10(np.linalg.norm(signal) / np.linalg.norm(X - signal))
    # 60,000 noise entries: the standard deviation of the ratio is 0.025 dB.
    assert abs(measured - snr_db) < 0.1


def test_noise_is_a_standard_deviation():
    X, dictionary, codes = make_sparse_coded_signals(**SIGNALS, noise=0.25, random_state=0)
    residual = X - codes @ dictionary
    assert scipy.stats.kstest(residual.ravel() / 0.25, "norm").pvalue > 1e-3


def test_memory_does_not_grow_with_samples_times_components():
    tracemalloc.start()
    try:
        codes = make_sparse_coded_signals(
            2000, n_components=1_000_000, n_features=2, n_nonzero_coefs=3, random_state=0
        ).codes
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert codes.shape == (2000, 1_000_000)
    assert peak < 200e6  # dense codes would be 16 GB


# --- make_low_rank_plus_sparse


def test_rank_and_number_of_corruptions_are_exact():
    X, low_rank, sparse = make_low_rank_plus_sparse(n=500, rank=25, density=0.05, random_state=0)
    singular_values = np.linalg.svd(low_rank, compute_uv=False)
    assert singular_values[24] > 0.1
    assert singular_values[25] < 1e-13 * singular_values[0]
    assert np.count_nonzero(sparse) == 12_500
    assert set(np.unique(sparse)) == {-1.0, 0.0, 1.0}
    np.testing.assert_array_equal(X, low_rank + sparse)


def test_low_rank_entries_have_the_variance_of_the_protocol():
    # Var((A B^T)_ij) = rank / n^2 for A and B with entries N(0, 1/n).
    low_rank = make_low_rank_plus_sparse(n=400, rank=10, density=0, random_state=0).low_rank
    assert np.var(low_rank) * 400**2 / 10 == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("n", "n_features"), [(2000, 50), (50, 2000)])
def test_rectangular_singular_values_stay_near_one(n, n_features):
    X, low_rank, sparse = make_low_rank_plus_sparse(
        n, n_features=n_features, rank=2, density=0.013, random_state=0
    )
    assert X.shape == (n, n_features)
    assert np.count_nonzero(sparse) == 1300
    singular_values = np.linalg.svd(low_rank, compute_uv=False)
    assert np.all(np.abs(singular_values[:2] - 1) < 0.35)
    assert singular_values[2] < 1e-13


def test_random_signs_are_balanced_and_positions_uniform():
    _, low_rank, sparse = make_low_rank_plus_sparse(
        n=200, rank=2, density=0.25, magnitude=3.0, random_state=1
    )
    assert set(np.unique(sparse)) == {-3.0, 0.0, 3.0}
    positive = int(np.sum(sparse > 0))
    assert scipy.stats.binomtest(positive, 10_000).pvalue > 1e-3
    agree = int(np.sum(np.sign(sparse) * np.sign(low_rank) > 0))
    assert scipy.stats.binomtest(agree, 10_000).pvalue > 1e-3
    quarters = (sparse != 0).reshape(2, 100, 2, 100).sum(axis=(1, 3))
    assert scipy.stats.chisquare(quarters.ravel()).pvalue > 1e-3


def test_coherent_signs_are_those_of_the_low_rank_part():
    _, low_rank, sparse = make_low_rank_plus_sparse(
        n=80, rank=3, density=0.3, magnitude=0.5, signs="coherent", random_state=0
    )
    corrupted = sparse != 0
    assert corrupted.sum() == 1920
    np.testing.assert_array_equal(sparse[corrupted], 0.5 * np.sign(low_rank[corrupted]))


def test_missing_entries_are_nan_in_the_observation_only():
    X, low_rank, sparse = make_low_rank_plus_sparse(
        n=100, rank=3, density=0.1, missing=0.37, random_state=0
    )
    missing = np.isnan(X)
    assert missing.sum() == 3700
    np.testing.assert_array_equal(X[~missing], (low_rank + sparse)[~missing])
    # Independent of the corruptions: about 37 % of those are missing too (1.5 % is one sigma).
    assert np.mean(missing[sparse != 0]) == pytest.approx(0.37, abs=0.06)


def test_noise_is_added_to_the_observation():
    X, low_rank, sparse = make_low_rank_plus_sparse(
        n=100, rank=3, density=0.1, noise=0.01, random_state=0
    )
    residual = (X - low_rank - sparse).ravel()
    assert scipy.stats.kstest(residual / 0.01, "norm").pvalue > 1e-3


def test_density_one_corrupts_every_entry():
    sparse = make_low_rank_plus_sparse(n=10, rank=1, density=1, random_state=0).sparse
    assert np.count_nonzero(sparse) == 100


# --- make_compressed_measurements


@pytest.mark.parametrize("sensing", ["gaussian", "bernoulli"])
def test_measurements_are_products_with_a_matrix_of_variance_one_over_m(sensing):
    Y, A, X = make_compressed_measurements(
        7,
        n_features=400,
        n_measurements=100,
        n_nonzero_coefs=9,
        sensing=sensing,
        random_state=0,
    )
    assert (Y.shape, A.shape, X.shape) == ((7, 100), (100, 400), (7, 400))
    np.testing.assert_allclose(Y, X @ A.T, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(np.count_nonzero(X, axis=1), 9)
    if sensing == "gaussian":
        assert scipy.stats.kstest(A.ravel() * 10, "norm").pvalue > 1e-3
    else:
        np.testing.assert_allclose(np.abs(A), 0.1)
        assert scipy.stats.binomtest(int(np.sum(A > 0)), A.size).pvalue > 1e-3


def test_amplitudes_have_the_law_that_is_asked_for():
    options = {**MEASURED, "n_samples": 2000}
    gaussian = make_compressed_measurements(**options, random_state=0).signals
    assert scipy.stats.kstest(gaussian[gaussian != 0], "norm").pvalue > 1e-3
    signs = make_compressed_measurements(**options, amplitudes="signs", random_state=0).signals
    assert set(np.unique(signs)) == {-1.0, 0.0, 1.0}
    assert scipy.stats.binomtest(int(np.sum(signs > 0)), 10_000).pvalue > 1e-3
    counts = np.count_nonzero(signs, axis=0)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_measurement_noise():
    options = {**MEASURED, "n_samples": 300}
    Y, A, X = make_compressed_measurements(**options, noise=0.2, random_state=0)
    assert scipy.stats.kstest((Y - X @ A.T).ravel() / 0.2, "norm").pvalue > 1e-3


# --- bad arguments


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (make_sparse_coded_signals, {**SIGNALS, "n_samples": 0}, ValueError, "n_samples"),
        (make_sparse_coded_signals, {**SIGNALS, "n_samples": 2.5}, TypeError, "n_samples"),
        (
            make_sparse_coded_signals,
            {**SIGNALS, "n_nonzero_coefs": 51},
            ValueError,
            "n_nonzero_coefs has to be between 1 and 50, got 51",
        ),
        (make_sparse_coded_signals, {**SIGNALS, "noise": -1.0}, ValueError, "noise"),
        (make_sparse_coded_signals, {**SIGNALS, "snr_db": np.inf}, ValueError, "snr_db"),
        (
            make_sparse_coded_signals,
            {**SIGNALS, "snr_db": 20, "noise": 0.1},
            ValueError,
            "noise or snr_db, not both",
        ),
        (make_sparse_coded_signals, {**SIGNALS, "sparse_output": "yes"}, TypeError, "sparse_out"),
        (make_sparse_coded_signals, {**SIGNALS, "random_state": "x"}, TypeError, "random_state"),
        (make_low_rank_plus_sparse, {**LOW_RANK, "rank": 61}, ValueError, "between 1 and 60"),
        (
            make_low_rank_plus_sparse,
            {**LOW_RANK, "n_features": 3},
            ValueError,
            "rank has to be between 1 and 3, got 4",
        ),
        (make_low_rank_plus_sparse, {**LOW_RANK, "density": 5}, ValueError, "density"),
        (make_low_rank_plus_sparse, {**LOW_RANK, "magnitude": 0}, ValueError, "magnitude"),
        (make_low_rank_plus_sparse, {**LOW_RANK, "signs": "plus"}, ValueError, "'coherent'"),
        (make_low_rank_plus_sparse, {**LOW_RANK, "missing": 1.0}, ValueError, "missing"),
        (make_low_rank_plus_sparse, {**LOW_RANK, "noise": np.nan}, ValueError, "noise"),
        (
            make_compressed_measurements,
            {**MEASURED, "n_nonzero_coefs": 101},
            ValueError,
            "n_nonzero_coefs has to be between 1 and 100, got 101",
        ),
        (make_compressed_measurements, {**MEASURED, "sensing": "dct"}, ValueError, "'bernoulli'"),
        (make_compressed_measurements, {**MEASURED, "amplitudes": 1}, ValueError, "amplitudes"),
        (make_compressed_measurements, {**MEASURED, "noise": "0"}, TypeError, "noise"),
    ],
)
def test_bad_arguments_are_named(make, options, error, message):
    with pytest.raises(error, match=message):
        make(**options)
