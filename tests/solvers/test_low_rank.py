"""Low-rank factors against NumPy's SVD, and the certificate against the truth."""

import numpy as np
import pytest
import scipy.linalg
from sklearn.exceptions import ConvergenceWarning

from sparsecode.solvers import Status, effective_rank, low_rank, truncated_svd, weighted_svd
from sparsecode.solvers.low_rank import _error, _excess, _missed, _subspace_iteration


def with_spectrum(s, m, n, seed=0):
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((m, len(s))))[0]
    V = np.linalg.qr(rng.standard_normal((n, len(s))))[0]
    return (U * s) @ V.T


SPECTRA = {
    "reciprocal": 1 / np.arange(1, 251),
    "slow": np.arange(1, 251) ** -0.5,
    "fast": 0.8 ** np.arange(250),
    "flat": np.linspace(1, 0.99, 250),
    "cliff": np.r_[np.ones(12), np.full(238, 0.9)],
    "low rank": np.r_[np.linspace(2, 1, 12), np.zeros(238)],
    "nearly low rank": np.r_[np.linspace(2, 1, 12), np.full(238, 1e-9)],
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
def test_the_certificate_is_a_bound_from_the_first_iteration_on(name, rank) -> None:
    s = SPECTRA[name]
    X, best = with_spectrum(s, 260, 250), np.linalg.norm(s[rank:])
    for seed in range(3):
        rng = np.random.RandomState(seed)
        spaces = _subspace_iteration(X, rng.standard_normal((250, rank + 10)))
        for _, space in zip(range(5), spaces, strict=False):
            error = _error(X, np.sum(s**2), space, rank)
            residual = X - (space.U[:, :rank] * space.singular_values[:rank]) @ space.Vt[:rank]
            assert error == pytest.approx(np.linalg.norm(residual), rel=1e-6, abs=1e-12)
            certificate = _excess(error, space, rank, _missed(X, space.U, rng))
            assert certificate >= 0
            assert error / (1 + certificate) <= best * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("name", ["reciprocal", "slow", "fast", "cliff"])
def test_large_problems_reach_what_was_asked(name, kind) -> None:
    s = SPECTRA[name]
    X = with_spectrum(s, 260, 250).astype(kind)
    result = truncated_svd(X, 12, tol=1e-2)
    best = np.linalg.norm(s[12:])
    assert result.status is Status.CONVERGED
    assert result.n_iter == len(result.history["certificate"]) < 50
    assert result.U.dtype == kind
    assert result.certificate <= 1e-2
    assert best * (1 - 1e-4) <= result.error <= best * (1 + result.certificate) * (1 + 1e-5)
    residual = X.astype("d") - (result.U.astype("d") * result.singular_values) @ result.Vt
    assert result.error == pytest.approx(np.linalg.norm(residual), rel=1e-3)
    np.testing.assert_allclose(result.U.T @ result.U, np.eye(12), atol=1e-4)


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("shape", [(250, 260), (260, 250), (400, 210)])
def test_an_exactly_low_rank_matrix_is_told_at_once(shape, kind) -> None:
    X = with_spectrum(np.linspace(2, 1, 12), *shape).astype(kind)
    for rank in (12, 15):
        result = truncated_svd(X, rank)
        assert result.converged
        assert result.n_iter <= 3
        assert result.error <= 1e-4 * np.linalg.norm(X) if kind == "f" else 1e-12


def test_a_tail_far_below_the_square_root_of_the_rounding_is_measured() -> None:
    X = with_spectrum(SPECTRA["nearly low rank"], 260, 250)
    result = truncated_svd(X, 12)
    assert result.converged
    assert result.error == pytest.approx(1e-9 * np.sqrt(238), rel=1e-3)


def test_the_seed_decides_the_bits_and_iterations_run_out() -> None:
    X = with_spectrum(SPECTRA["slow"], 260, 250)
    first, second = truncated_svd(X, 5), truncated_svd(X, 5, random_state=0)
    assert first.U.tobytes() == second.U.tobytes()
    assert truncated_svd(X, 5, random_state=1).U.tobytes() != first.U.tobytes()
    with pytest.warns(ConvergenceWarning, match="truncated_svd did not converge"):
        result = truncated_svd(X, 5, max_iter=1, tol=1e-6)
    best = np.linalg.norm(SPECTRA["slow"][5:])
    assert best <= result.error <= best * (1 + result.certificate)


@pytest.mark.parametrize("size", [20, 250])
@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200])
def test_scale(size, scale) -> None:
    X = with_spectrum(0.8 ** np.arange(size), size, size)
    plain, scaled = truncated_svd(X, 4), truncated_svd(X * scale, 4)
    np.testing.assert_allclose(scaled.singular_values / scale, plain.singular_values, rtol=1e-12)
    assert scaled.error / scale == pytest.approx(plain.error, rel=1e-9)


@pytest.mark.parametrize("size", [4, 250])
def test_nothing_has_rank_zero_but_is_answered(size) -> None:
    result = truncated_svd(np.zeros((size, size)), 2)
    assert result.error == result.certificate == 0
    assert result.converged


def test_a_failing_svd_falls_back_and_then_says_so(monkeypatch) -> None:
    real, tried = scipy.linalg.svd, []

    def failing(X, *, lapack_driver, **options):
        tried.append(lapack_driver)
        if lapack_driver in broken:
            raise np.linalg.LinAlgError
        return real(X, lapack_driver=lapack_driver, **options)

    monkeypatch.setattr(scipy.linalg, "svd", failing)
    broken = {"gesdd"}
    U, s, Vt = low_rank.svd(np.diag([2.0, 1.0]))
    np.testing.assert_allclose((U * s) @ Vt, np.diag([2.0, 1.0]), atol=1e-15)
    assert tried == ["gesdd", "gesvd"]
    broken = {"gesdd", "gesvd"}
    with pytest.raises(ValueError, match=r"the SVD of a \(2, 2\) matrix failed"):
        low_rank.svd(np.eye(2))


@pytest.mark.parametrize("rank", [0, 5, 1.0, None])
def test_a_rank_that_will_not_do(rank) -> None:
    with pytest.raises((ValueError, TypeError), match="rank has to be"):
        truncated_svd(np.ones((4, 6)), rank)
    with pytest.raises((ValueError, TypeError), match="rank has to be"):
        weighted_svd(np.ones((4, 6)), None, rank)


def metric(E, H):
    return float(np.trace(E @ H @ E.T))


GRAMS = {
    "identity": np.eye(9),
    "full": with_spectrum(np.linspace(5, 0.1, 9) ** 2, 9, 9),
    "singular": np.zeros((9, 9)),
    "zero": np.zeros((9, 9)),
    "steep": np.diag(10.0 ** -np.arange(9)),
}
GRAMS["full"] = GRAMS["full"] @ GRAMS["full"].T
GRAMS["singular"][:4, :4] = np.cov(np.random.default_rng(1).standard_normal((4, 50)))


@pytest.mark.parametrize("name", GRAMS)
@pytest.mark.parametrize("rank", [1, 3, 7])
def test_the_weighted_svd_attains_the_optimal_tail(name, rank) -> None:
    H = GRAMS[name]
    W = np.random.default_rng(2).standard_normal((7, 9))
    left, right, error = weighted_svd(W, H, rank)
    # The tail of the singular values of W H^(1/2), by an eigendecomposition of W H W^T.
    eigenvalues = np.linalg.eigvalsh(W @ H @ W.T)[::-1]
    tail, total = float(np.sum(np.maximum(eigenvalues[rank:], 0))), metric(W, H)
    assert error == pytest.approx(tail, rel=1e-10, abs=1e-10 * total)
    assert metric(W - left @ right, H) == pytest.approx(error, rel=1e-10, abs=1e-10 * total)
    np.testing.assert_allclose(left.T @ left, np.eye(rank), atol=1e-12)
    rng = np.random.default_rng(3)
    for _ in range(200):  # and nothing of that rank is better
        other = (
            rng.standard_normal((7, rank)) * 0.3 + left,
            rng.standard_normal((rank, 9)) * 0.3 + right,
        )
        assert metric(W - other[0] @ other[1], H) >= error * (1 - 1e-10) - 1e-10 * total


def test_without_a_gram_it_is_the_plain_svd() -> None:
    W = np.random.default_rng(4).standard_normal((6, 9))
    U, s, Vt = np.linalg.svd(W)
    left, right, error = weighted_svd(W, None, 2)
    np.testing.assert_allclose(left @ right, (U[:, :2] * s[:2]) @ Vt[:2], atol=1e-12)
    assert error == pytest.approx(np.sum(s[2:] ** 2), rel=1e-12)
    same = weighted_svd(W, np.eye(9), 2)
    np.testing.assert_allclose(same.left @ same.right, left @ right, atol=1e-12)


@pytest.mark.parametrize("kind", ["f", "d", np.float16])
def test_the_dtype_of_the_factors(kind) -> None:
    W = np.random.default_rng(5).standard_normal((6, 9)).astype(kind)
    left, right, _ = weighted_svd(W, GRAMS["full"], 2)
    assert left.dtype == right.dtype == (np.float64 if kind == "d" else np.float32)
    assert left.flags.c_contiguous
    assert right.flags.c_contiguous


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_the_scale_of_weights_and_gram(scale) -> None:
    W, H = np.random.default_rng(6).standard_normal((6, 9)), GRAMS["full"]
    plain = weighted_svd(W, H, 2)
    scaled = weighted_svd(W * scale, H, 2)
    np.testing.assert_allclose(
        scaled.left @ scaled.right / scale, plain.left @ plain.right, rtol=1e-9
    )
    scaled = weighted_svd(W, H * scale, 2)
    np.testing.assert_allclose(scaled.left @ scaled.right, plain.left @ plain.right, rtol=1e-6)
    assert scaled.error == pytest.approx(plain.error * scale, rel=1e-9)


@pytest.mark.parametrize(
    ("gram", "message"),
    [
        (np.eye(3), r"gram has shape \(3, 3\); the layer has 9 inputs"),
        (np.triu(np.ones((9, 9))), "gram has to be symmetric"),
        (-np.eye(9), "gram has a negative diagonal entry"),
        (np.diag([1.0] * 8 + [-0.1]), "gram has a negative diagonal entry"),
        (2 * np.ones((9, 9)) - np.eye(9), "gram has a negative eigenvalue, -1"),
        (np.full((9, 9), np.nan), "gram contains NaN"),
    ],
)
def test_a_gram_that_is_none(gram, message) -> None:
    with pytest.raises(ValueError, match=message):
        weighted_svd(np.ones((4, 9)), gram, 2)


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
