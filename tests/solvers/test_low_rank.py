"""The truncated SVD against NumPy's full one, and its certificate against the truth."""

from itertools import islice

import ml_dtypes
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsecode.solvers import Status, effective_rank, truncated_svd
from sparsecode.solvers._krylov import krylov
from sparsecode.solvers._tail import captured, excess, missed

M, N = 420, 410  # large enough for a Krylov space


def with_spectrum(s, m, n, seed=0):
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((m, len(s))))[0]
    V = np.linalg.qr(rng.standard_normal((n, len(s))))[0]
    return (U * s) @ V.T


SPECTRA = {
    "reciprocal": 1 / np.arange(1, N + 1),
    "slow": np.arange(1, N + 1) ** -0.5,
    "fast": 0.8 ** np.arange(N),
    "flat": np.linspace(1, 0.99, N),
    "cliff": np.r_[np.ones(12), np.full(N - 12, 0.9)],
    "many equal": np.r_[np.ones(40), np.full(N - 40, 0.5)],
    "low rank": np.r_[np.linspace(2, 1, 12), np.zeros(N - 12)],
    "nearly low rank": np.r_[np.linspace(2, 1, 12), np.full(N - 12, 1e-9)],
}


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (6, 9), (30, 20)])
def test_small_problems_are_exact(shape, kind) -> None:
    X = np.random.default_rng(0).standard_normal(shape).astype(kind)
    s = np.linalg.svd(X.astype("d"), compute_uv=False)
    for rank in {1, min(shape) // 2 + 1, min(shape)}:
        result = truncated_svd(X, rank)
        tolerance = 1e-5 if kind == "f" else 1e-12
        assert result.converged
        assert result.U.dtype == result.singular_values.dtype == result.Vt.dtype == kind
        assert result.U.shape == (shape[0], rank)
        assert result.Vt.shape == (rank, shape[1])
        np.testing.assert_allclose(result.singular_values, s[:rank], rtol=10 * tolerance)
        np.testing.assert_allclose(result.U.T @ result.U, np.eye(rank), atol=tolerance)
        np.testing.assert_allclose(result.Vt @ result.Vt.T, np.eye(rank), atol=tolerance)
        residual = X - (result.U * result.singular_values) @ result.Vt
        assert result.error == pytest.approx(np.linalg.norm(residual), abs=1e2 * tolerance)
        assert result.error == pytest.approx(np.linalg.norm(s[rank:]), abs=1e2 * tolerance)
        assert result.objective == pytest.approx(0.5 * result.error**2)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("rank", [3, 12])
def test_the_certificate_is_a_bound_from_the_first_block_on(name, rank) -> None:
    s = SPECTRA[name]
    X, best, energy = with_spectrum(s, M, N), np.linalg.norm(s[rank:]), float(np.sum(s**2))
    for seed in range(2):
        rng = np.random.RandomState(seed)
        for _, space in zip(range(4), krylov(X, 16, rng), strict=False):
            leading = space.leading(rank)
            residual = X - (leading.U * leading.singular_values) @ leading.Vt
            squares, outside = captured(X, space, energy, 1)
            squared = outside + float(np.sum(squares[rank:]))
            error = np.sqrt(squared)
            assert error == pytest.approx(np.linalg.norm(residual), rel=1e-6, abs=1e-13)
            V = space.V[:, : len(space.core)]
            truth = np.linalg.norm(X - X @ V @ V.T, 2) ** 2
            for low, high in missed(X, V, rng, 1):
                assert low <= truth * (1 + 1e-7) + 1e-28
                assert high >= truth * (1 - 1e-7) - 1e-28
                certificate = excess(space, squares, squared, rank, high)
                assert certificate >= 0
                assert error / (1 + certificate) <= best * (1 + 1e-9) + 1e-13


def test_the_certificate_is_the_best_bound_on_what_is_known() -> None:
    # Another matrix with the same core, of which as much was missed as could have been.
    X = with_spectrum(SPECTRA["slow"], M, N)
    space = next(islice(krylov(X, 30, np.random.RandomState(0)), 1, None))
    k, (_, width) = len(space.core), space.core.shape
    V = space.V[:, :k]
    most = 1.1 * np.linalg.norm(X - X @ V @ V.T, 2) ** 2
    whole = most * np.eye(N)
    whole[:width, :width] = space.core.T @ space.core
    whole[k:, k:] = most * np.eye(N - k)
    eigenvalues = np.linalg.eigvalsh(whole)[::-1]
    squares, outside = captured(X, space, float(np.sum(X * X)), 1)
    rank = 12
    squared = outside + float(np.sum(squares[rank:]))
    best = np.sqrt(squared + np.sum(squares[:rank]) - np.sum(eigenvalues[:rank]))
    expected = np.sqrt(squared) / best - 1
    assert excess(space, squares, squared, rank, most) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("name", ["reciprocal", "slow", "fast", "cliff", "many equal"])
def test_large_problems_reach_what_was_asked(name, kind) -> None:
    s = SPECTRA[name]
    X = with_spectrum(s, M, N).astype(kind)
    result = truncated_svd(X, 12, tol=1e-2)
    best = np.linalg.norm(s[12:])
    assert result.status is Status.CONVERGED
    assert result.n_iter == len(result.history["certificate"]) < 20
    assert result.U.dtype == kind
    assert 0 < result.certificate <= 1e-2 or name in ("cliff", "many equal")
    assert best * (1 - 1e-4) <= result.error <= best * (1 + result.certificate) * (1 + 1e-5)
    residual = X.astype("d") - (result.U.astype("d") * result.singular_values) @ result.Vt
    assert result.error == pytest.approx(np.linalg.norm(residual), rel=1e-5)
    tolerance = 1e-5 if kind == "f" else 1e-13
    for basis in (result.U, result.Vt.T):
        np.testing.assert_allclose(basis.T @ basis, np.eye(12), atol=tolerance)


def test_values_that_many_directions_share_are_all_found() -> None:
    # A block of 16 finds 16 of the 40 in exact arithmetic, and new directions the others.
    result = truncated_svd(with_spectrum(SPECTRA["many equal"], M, N), 40)
    assert result.certificate <= 1e-3
    np.testing.assert_allclose(result.singular_values, np.ones(40))


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(450, 460), (460, 450), (900, 410)])
def test_an_exactly_low_rank_matrix_is_told_at_once(shape, kind) -> None:
    X = with_spectrum(np.linspace(2, 1, 12), *shape).astype(kind)
    for rank in (12, 17, 40):
        result = truncated_svd(X, rank)
        assert result.converged
        assert result.n_iter <= 1 + rank // 16
        assert result.error <= 1e-5 * np.linalg.norm(X) if kind == "f" else 1e-12
        np.testing.assert_allclose(result.U.T @ result.U, np.eye(rank), atol=1e-5)


def test_a_tail_far_below_the_square_root_of_the_rounding_is_measured() -> None:
    X = with_spectrum(SPECTRA["nearly low rank"], M, N)
    result = truncated_svd(X, 12)
    assert result.converged
    assert result.error == pytest.approx(1e-9 * np.sqrt(N - 12), rel=1e-3)
    assert truncated_svd(X, relative_error=1e-6).singular_values.size == 12


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(1, 7), (30, 20), (M, N)])
@pytest.mark.parametrize("name", ["reciprocal", "slow", "fast", "nearly low rank"])
def test_the_rank_of_an_error_is_the_smallest(name, shape, kind) -> None:
    s = SPECTRA[name][: min(shape)]
    X = with_spectrum(s, *shape).astype(kind)
    s = np.linalg.svd(X.astype("d"), compute_uv=False)
    norm = np.linalg.norm(s)
    tails = np.sqrt(np.append(np.cumsum(s[::-1] ** 2)[::-1], 0)) / norm
    for error in (0.9, 0.53, 0.1, 1e-3):
        smallest = int(np.argmax(tails <= error))
        for result in (
            truncated_svd(X, relative_error=error),
            truncated_svd(X, energy=1 - error**2),
        ):
            assert result.singular_values.size == smallest
            residual = X.astype("d") - (result.U.astype("d") * result.singular_values) @ result.Vt
            assert np.linalg.norm(residual) <= error * norm * (1 + 1e-6)
            assert result.error == pytest.approx(np.linalg.norm(residual), rel=1e-4, abs=1e-5)
            assert result.certificate <= 1e-3


def test_all_of_the_energy_is_the_numerical_rank() -> None:
    X = with_spectrum(np.linspace(2, 1, 7), 30, 20)
    assert truncated_svd(X, energy=1.0).singular_values.size == 7
    assert truncated_svd(X, relative_error=1e-300).singular_values.size == 7
    nothing = truncated_svd(np.zeros((4, 3)), energy=0.5)
    assert nothing.singular_values.size == nothing.error == 0
    assert nothing.U.shape == (4, 0)


def test_the_seed_decides_the_bits_and_the_threads_do_not() -> None:
    X = with_spectrum(SPECTRA["slow"], 3 * M, N)  # several tiles
    first, second = truncated_svd(X, 5, n_threads=1), truncated_svd(X, 5, n_threads=2)
    assert first.U.tobytes() == second.U.tobytes()
    assert first.certificate == second.certificate
    assert truncated_svd(X, 5, random_state=1).U.tobytes() != first.U.tobytes()


def test_iterations_run_out_with_a_bound() -> None:
    X, s = with_spectrum(SPECTRA["slow"], M, N), SPECTRA["slow"]
    with pytest.warns(ConvergenceWarning, match="truncated_svd did not converge"):
        result = truncated_svd(X, 5, max_iter=1, tol=1e-6)
    best = np.linalg.norm(s[5:])
    assert best <= result.error <= best * (1 + result.certificate)
    assert result.certificate < 2
    with pytest.warns(ConvergenceWarning, match="certificate is inf"):
        result = truncated_svd(X, 40, max_iter=1)
    assert result.singular_values.size == 16  # there is no more in one block
    with pytest.warns(ConvergenceWarning, match="certificate is inf"):
        result = truncated_svd(X, energy=0.9, max_iter=1)
    assert result.singular_values.size == 16


def test_what_a_subspace_does_not_reach_the_exact_decomposition_does() -> None:
    X = with_spectrum(SPECTRA["flat"], M, N)
    result = truncated_svd(X, 60, tol=1e-9)
    assert result.certificate == 0
    assert result.n_iter > 1
    assert result.error == pytest.approx(np.linalg.norm(SPECTRA["flat"][60:]), rel=1e-12)


@pytest.mark.parametrize("size", [20, N])
@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200])
def test_scale(size, scale) -> None:
    X = with_spectrum(0.8 ** np.arange(size), size, size)
    plain, scaled = truncated_svd(X, 4), truncated_svd(X * scale, 4)
    np.testing.assert_allclose(scaled.singular_values / scale, plain.singular_values, rtol=1e-12)
    assert scaled.error / scale == pytest.approx(plain.error, rel=1e-9)


@pytest.mark.parametrize("size", [4, N])
def test_nothing_has_rank_zero_but_is_answered(size) -> None:
    result = truncated_svd(np.zeros((size, size)), 2)
    assert result.error == result.certificate == 0
    assert result.converged


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_and_read_only(order) -> None:
    X = np.array(with_spectrum(SPECTRA["fast"], M, N), order=order)
    X.flags.writeable = False
    result = truncated_svd(X, 5)
    np.testing.assert_allclose(result.singular_values, SPECTRA["fast"][:5], rtol=1e-6)


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_comes_back_in_single(kind) -> None:
    X = with_spectrum(SPECTRA["fast"][:20], 30, 20).astype(kind)
    result = truncated_svd(X, 3)
    assert result.U.dtype == result.singular_values.dtype == result.Vt.dtype == np.float32
    assert result.U.tobytes() == truncated_svd(X.astype("f"), 3).U.tobytes()


@pytest.mark.parametrize("rank", [0, 5, 1.0])
def test_a_rank_that_will_not_do(rank) -> None:
    with pytest.raises((ValueError, TypeError), match="rank has to be"):
        truncated_svd(np.ones((4, 6)), rank)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of rank, energy, relative_error; got none"),
        ({"rank": 1, "energy": 0.5}, "exactly one of .* got rank, energy"),
        ({"energy": 0.0}, "energy"),
        ({"energy": 1.1}, "energy"),
        ({"relative_error": 1.0}, "relative_error"),
        ({"relative_error": 0.0}, "relative_error"),
        ({"rank": 1, "tol": -1.0}, "tol"),
        ({"rank": 1, "max_iter": 0}, "max_iter"),
        ({"rank": 1, "n_threads": 0}, "n_threads"),
    ],
)
def test_bad_options_are_one_clear_error(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        truncated_svd(np.ones((4, 6)), **options)


def test_effective_rank_laws() -> None:
    s = np.sort(np.random.default_rng(7).uniform(size=30))[::-1]
    assert 1 < effective_rank(s) < 30
    assert effective_rank([5.0, 0.0]) == 1
    assert effective_rank([0.0, 0.0]) == 0
    assert effective_rank(np.ones(17)) == pytest.approx(17)
    # Entropies add over a Kronecker product, so ranks multiply.
    t = np.array([3.0, 1.0])
    product = np.sort(np.kron(s, t))[::-1]
    assert effective_rank(product) == pytest.approx(effective_rank(s) * effective_rank(t))
    for scale in (1e-300, 1e300):
        assert effective_rank(s * scale) == pytest.approx(effective_rank(s))
    with pytest.raises(ValueError, match="singular_values has to be nonnegative and in descending"):
        effective_rank([1.0, 2.0])
