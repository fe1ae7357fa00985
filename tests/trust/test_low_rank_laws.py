"""The laws of splits, singular values and completion, over all solvers, on drawn matrices."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparsecode.objectives import pcp_objective
from sparsecode.solvers import (
    alternating_projections,
    complete,
    godec,
    online_robust_pca,
    principal_component_pursuit,
    singular_value_threshold,
    stable_pcp,
    truncated_svd,
    weighted_spectrum,
    weighted_svd,
)

few = settings(max_examples=12, deadline=None, derandomize=True, database=None)
# A matrix that nothing was told about may have no split, or none within so many iterations.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
numbers = st.floats(-100, 100, width=32)
shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))
matrices = shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=numbers))
seeds = st.integers(0, 2**32 - 1)
powers = st.sampled_from([-300, -7, 9, 300])


def pcp_of_weights(X, **options):
    weights = 1 + np.add.outer(np.arange(len(X)), np.arange(X.shape[1])) % 3
    return principal_component_pursuit(X, weights=weights, **options)


CONVEX = {  # their objective has one least value
    "pcp": principal_component_pursuit,
    "pcp, alpha": functools.partial(principal_component_pursuit, alpha=0.6),
    "stable pcp": functools.partial(stable_pcp, sigma=1.0),
}
SPLITS = CONVEX | {
    "pcp, weights": pcp_of_weights,
    "alternating projections": alternating_projections,
    "alternating projections, rank": functools.partial(alternating_projections, rank=1),
    "godec": functools.partial(godec, rank=1, n_outliers=1),
}
EXACT = [name for name in SPLITS if "pcp" in name and "stable" not in name]
every = pytest.mark.parametrize("name", SPLITS)
convex = pytest.mark.parametrize("name", CONVEX)


def split(name, X, by=0, **options):
    """Of the matrix times a power of two, with all that has its unit."""
    if name == "stable pcp":
        options["sigma"] = np.ldexp(1.0, by)
    return SPLITS[name](np.ldexp(X, by), max_iter=300, **options)


def alpha_of(name, X):
    return 0.6 if name == "pcp, alpha" else 1 / np.sqrt(max(X.shape))


def corrupted(seed, m=9, n=7):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, 2)) @ rng.standard_normal((2, n))
    return X + 5 * (rng.random((m, n)) < 0.1) * rng.standard_normal((m, n))


def orthogonal(seed, n):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


@few
@every
@given(X=matrices)
def test_the_parts_are_what_the_result_says(name, X) -> None:
    result, size = split(name, X), float(np.linalg.norm(X))
    L, V = result.low_rank, result.components
    s = np.linalg.svd(L, compute_uv=False)
    np.testing.assert_allclose(result.singular_values, s[: result.rank], atol=1e-7 * size)
    assert np.all(s[result.rank :] <= 1e-7 * size)
    np.testing.assert_allclose(V @ V.T, np.eye(result.rank), atol=1e-9)
    np.testing.assert_allclose(L @ V.T @ V, L, atol=1e-7 * size)
    if name in EXACT and result.converged:
        np.testing.assert_allclose(L + result.sparse, X, atol=1e-6 * size)
    if "rank" in name or name == "godec":
        assert result.rank <= 1
    if name == "godec":
        assert np.count_nonzero(result.sparse) <= 1
        assert np.all(np.diff(result.history["objective"]) <= 1e-12 * size**2)


@few
@every
@given(X=matrices, exponent=powers)
def test_a_power_of_two_changes_no_bit_of_a_split(name, X, exponent) -> None:
    plain, other = split(name, X), split(name, X, exponent)
    np.testing.assert_array_equal(other.low_rank, np.ldexp(plain.low_rank, exponent))
    np.testing.assert_array_equal(other.sparse, np.ldexp(plain.sparse, exponent))


@few
@every
@given(X=matrices)
def test_the_negative_of_a_matrix_has_the_negative_split(name, X) -> None:
    plain, other = split(name, X), split(name, -X)
    size = 1e-6 * float(np.linalg.norm(X))
    np.testing.assert_allclose(other.low_rank, -plain.low_rank, atol=size)


@few
@convex
@given(X=matrices, data=st.data())
def test_no_other_split_is_better_than_the_gap_allows(name, X, data) -> None:
    result, alpha = split(name, X), alpha_of(name, X)
    size = pcp_objective(X, 0 * X, 1.0) + float(np.abs(X).sum())
    sparse = result.sparse if name == "stable pcp" else X - result.low_rank
    bound = (1 - result.dual_gap) * pcp_objective(result.low_rank, sparse, alpha)
    other = data.draw(arrays(np.float64, X.shape, elements=st.floats(-1, 1, width=32)))
    for L in (0 * X, X, 0.5 * X, result.low_rank * (1 + other), X * (1 + other)):
        assert pcp_objective(L, X - L, alpha) >= bound - 1e-9 * size


@few
@convex
@given(seed=seeds)
def test_the_split_of_the_transpose_is_the_transposed_one(name, seed) -> None:
    X = corrupted(seed)
    plain, other = split(name, X, tol=1e-8), split(name, X.T, tol=1e-8)
    assert same_value(name, X, plain, X.T, other)
    np.testing.assert_allclose(other.low_rank.T, plain.low_rank, atol=1e-3 * np.linalg.norm(X))


@few
@convex
@given(seed=seeds)
def test_neither_order_nor_signs_of_rows_and_columns_matter(name, seed) -> None:
    X, rng = corrupted(seed), np.random.default_rng(seed)
    rows, columns = (rng.permutation(n) for n in X.shape)
    signs = rng.choice([-1.0, 1.0], len(X))[:, None]

    def turned(Y):
        return (signs * Y)[np.ix_(rows, columns)]

    plain, other = split(name, X, tol=1e-8), split(name, turned(X), tol=1e-8)
    assert same_value(name, X, plain, turned(X), other)
    size = np.linalg.norm(X)
    np.testing.assert_allclose(other.low_rank, turned(plain.low_rank), atol=1e-3 * size)


def same_value(name, X, one, Y, other):
    """Each within its own gap of the least value, which both share."""
    sums = [
        pcp_objective(part.low_rank, part.sparse, alpha_of(name, Z))
        for part, Z in ((one, X), (other, Y))
    ]
    gap = max(one.dual_gap, other.dual_gap) + 1e-6
    return abs(sums[0] - sums[1]) <= gap * max(sums)


@few
@every
@given(seed=seeds)
def test_single_precision_stays_single_and_close_where_it_converges(name, seed) -> None:
    X = corrupted(seed).astype("f")
    plain, other = split(name, X.astype("d"), tol=1e-5), split(name, X, tol=1e-5)
    for part in (other.low_rank, other.sparse, other.components):
        assert part.dtype == np.float32
    if name in CONVEX:
        assert same_value(name, X.astype("d"), plain, X, other)


@few
@given(X=matrices, exponent=powers)
def test_rows_one_after_the_other_at_any_scale(X, exponent) -> None:
    # Not to the bit: the square root of a singular value goes to each of the factors.
    plain, other = (online_robust_pca(np.ldexp(X, by), 1, max_iter=50) for by in (0, exponent))
    size = 1e-9 * float(np.linalg.norm(X))
    for part in ("low_rank", "sparse"):
        back = np.ldexp(getattr(other, part), -exponent)
        np.testing.assert_allclose(back, getattr(plain, part), atol=size)


def product(result):
    return (result.U * result.singular_values) @ result.Vt


@few
@given(X=matrices, data=st.data())
def test_truncated_singular_values_are_the_leading_ones(X, data) -> None:
    rank, size = data.draw(st.integers(1, min(X.shape))), float(np.linalg.norm(X))
    result, s = truncated_svd(X, rank), np.linalg.svd(X, compute_uv=False)
    kept = result.singular_values.size
    np.testing.assert_allclose(result.singular_values, s[:kept], atol=1e-12 * size)
    for frame in (result.U.T, result.Vt):
        np.testing.assert_allclose(frame @ frame.T, np.eye(kept), atol=1e-12)
    assert result.error == pytest.approx(np.linalg.norm(X - product(result)), abs=1e-12 * size)
    # No other matrix of this rank is nearer.
    best = np.linalg.norm(s[rank:])
    assert best - 1e-12 * size <= result.error <= best * (1 + result.certificate) + 1e-12 * size


SVDS = {
    "truncated": lambda X, by=0: truncated_svd(np.ldexp(X, by), 1),
    "energy": lambda X, by=0: truncated_svd(np.ldexp(X, by), energy=0.9),
    "error": lambda X, by=0: truncated_svd(np.ldexp(X, by), relative_error=0.3),
    "threshold": lambda X, by=0: singular_value_threshold(np.ldexp(X, by), np.ldexp(2.0, by)),
}
every_svd = pytest.mark.parametrize("name", SVDS)


@few
@every_svd
@given(X=matrices, exponent=powers)
def test_a_power_of_two_changes_no_bit_of_singular_vectors(name, X, exponent) -> None:
    plain, other = SVDS[name](X), SVDS[name](X, exponent)
    np.testing.assert_array_equal(other.singular_values, np.ldexp(plain.singular_values, exponent))
    np.testing.assert_array_equal(other.U, plain.U)
    np.testing.assert_array_equal(other.Vt, plain.Vt)


@few
@every_svd
@given(seed=seeds)
def test_rotations_turn_what_singular_values_leave(name, seed) -> None:
    X = corrupted(seed)
    Q, P = orthogonal(seed, len(X)), orthogonal(seed + 1, X.shape[1])
    plain = SVDS[name](X)
    for other, turned in (
        (SVDS[name](Q @ X @ P), Q @ product(plain) @ P),
        (SVDS[name](X.T), product(plain).T),
        (SVDS[name](np.insert(X, 2, 0.0, axis=1)), np.insert(product(plain), 2, 0.0, axis=1)),
    ):
        np.testing.assert_allclose(other.singular_values, plain.singular_values, rtol=1e-10)
        np.testing.assert_allclose(product(other), turned, atol=1e-10 * np.linalg.norm(X))
        assert other.error == pytest.approx(plain.error, rel=1e-8)


@few
@given(X=matrices, share=st.floats(0.01, 0.999))
def test_the_rank_of_an_error_is_enough_and_the_smallest(X, share) -> None:
    energies = np.linalg.svd(X, compute_uv=False) ** 2
    total = energies.sum()
    left = np.append(np.cumsum(energies[::-1])[::-1], 0.0)
    for limit, result in (
        (share**2 * total, truncated_svd(X, relative_error=share)),
        ((1 - share) * total, truncated_svd(X, energy=share)),
    ):
        rank = max(result.singular_values.size, 0)
        assert left[rank] <= limit + 1e-12 * total
        assert rank <= 1 or left[rank - 1] >= limit - 1e-12 * total


@few
@given(X=matrices, Y=matrices, t=st.floats(0, 300, width=32))
def test_a_singular_value_threshold_is_a_proximal_operator(X, Y, t) -> None:
    L, size = product(singular_value_threshold(X, t)), 1 + float(np.linalg.norm(X))

    def objective(Z):
        return 0.5 * np.sum((X - Z) ** 2) + t * np.linalg.svd(Z, compute_uv=False).sum()

    for Z in (0 * X, X, 0.5 * (X + L), L + np.resize(Y, X.shape)):
        squared = 0.5 * np.sum((Z - L) ** 2)  # strongly convex: by so much it is better
        assert objective(L) + squared <= objective(Z) + 1e-9 * size * (size + t)


@few
@given(X=matrices, holes=seeds, exponent=powers, ratio=st.floats(0.05, 1))
def test_a_completion_is_as_good_as_its_certificate_says(X, holes, exponent, ratio) -> None:
    unknown = np.random.default_rng(holes).random(X.shape) < 0.3
    unknown[np.arange(max(X.shape)) % len(X), np.arange(max(X.shape)) % X.shape[1]] = False
    X[unknown] = np.nan
    result = complete(X, alpha_ratio=ratio)
    other = complete(np.ldexp(X, exponent), alpha_ratio=ratio)
    np.testing.assert_array_equal(other.matrix, np.ldexp(result.matrix, exponent))
    known = np.nan_to_num(X)

    def objective(Z):
        fit = 0.5 * np.sum((known - Z)[~unknown] ** 2)
        return fit + result.alpha * np.linalg.svd(Z, compute_uv=False).sum()

    at_zero = 0.5 * float(np.sum(known**2))
    bound = objective(result.matrix) - (result.certificate + 1e-9) * at_zero
    for Z in (0 * known, known, 0.5 * result.matrix, 0.5 * (known + result.matrix)):
        assert objective(Z) >= bound
    turned = complete(X.T, alpha_ratio=ratio)
    slack = (result.certificate + turned.certificate + 1e-9) * at_zero
    assert abs(turned.objective - result.objective) <= slack


@few
@given(W=matrices, seed=seeds, data=st.data())
def test_weighted_low_rank_is_the_best_in_its_metric(W, seed, data) -> None:
    rng, size = np.random.default_rng(seed), float(np.linalg.norm(W)) ** 2
    n = W.shape[1]
    Z = rng.standard_normal((data.draw(st.integers(1, 9)), n))  # H may be singular
    H, rank = Z.T @ Z, data.draw(st.integers(1, min(W.shape)))
    s = np.linalg.svd(W @ Z.T, compute_uv=False)
    left, right, error = weighted_svd(W, H, rank)
    slack = 1e-8 * size * np.trace(H)
    assert error == pytest.approx(np.sum(s[rank:] ** 2), rel=1e-6, abs=slack)
    assert np.sum(((W - left @ right) @ Z.T) ** 2) == pytest.approx(error, rel=1e-6, abs=slack)
    Q = orthogonal(seed, n)
    spectra = weighted_spectrum(W, H), weighted_spectrum(W @ Q, Q.T @ H @ Q)
    np.testing.assert_allclose(*(part.energies for part in spectra), atol=slack)
    assert spectra[0].energies.sum() == pytest.approx(np.sum((W @ Z.T) ** 2), rel=1e-8, abs=slack)
