"""Low rank in the metric of a layer's inputs: the optimal tail, and no matrix that is better."""

import numpy as np
import pytest

from sparsecode.solvers import weighted, weighted_spectrum, weighted_svd


@pytest.fixture(params=["root", "squares"], autouse=True)
def _route(request, monkeypatch) -> None:
    """Both ways through: that of ordinary sizes, and that of large ones."""
    monkeypatch.setattr(weighted, "ORDINARY", {"root": 1024, "squares": 1}[request.param])


def metric(E, H):
    return float(np.trace(E @ H @ E.T))


GRAMS = {
    "identity": np.eye(9),
    "full": np.random.default_rng(0).standard_normal((9, 9)),
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
        (-np.eye(9), "gram has a negative eigenvalue"),
        (np.diag([1.0] * 8 + [-0.1]), "gram has a negative eigenvalue"),
        (2 * np.ones((9, 9)) - np.eye(9), "gram has a negative eigenvalue"),
        (np.full((9, 9), np.nan), "gram contains NaN"),
    ],
)
def test_a_gram_that_is_none(gram, message) -> None:
    with pytest.raises(ValueError, match=message):
        weighted_svd(np.random.default_rng(11).standard_normal((4, 9)), gram, 2)


@pytest.mark.parametrize("name", GRAMS)
@pytest.mark.parametrize("shape", [(7, 9), (12, 9), (9, 9)])
def test_the_spectrum_has_every_rank(name, shape) -> None:
    W = np.random.default_rng(8).standard_normal(shape)
    H = GRAMS[name]
    U, energies = spectrum = weighted_spectrum(W, H)
    assert U.shape == (shape[0], min(shape))
    assert energies.shape == (min(shape),)
    assert np.all(np.diff(energies) <= 0)
    np.testing.assert_allclose(U.T @ U, np.eye(min(shape)), atol=1e-12)
    total = metric(W, H)
    assert spectrum.errors[0] == pytest.approx(total, rel=1e-12)
    for rank in range(1, min(shape) + 1):
        miss = W - U[:, :rank] @ (U[:, :rank].T @ W)
        assert spectrum.errors[rank] == pytest.approx(metric(miss, H), abs=1e-12 * total)
        error = weighted_svd(W, H, rank).error
        assert error == pytest.approx(spectrum.errors[rank], abs=1e-12 * total)


def test_the_spectrum_without_a_gram_is_that_of_the_weights() -> None:
    W = np.random.default_rng(9).standard_normal((6, 9))
    np.testing.assert_allclose(
        weighted_spectrum(W, None).energies, np.linalg.svd(W, compute_uv=False) ** 2
    )


@pytest.mark.parametrize("shape", [(8, 12), (12, 8)])
@pytest.mark.parametrize("with_gram", [True, False])
def test_a_tiny_error_is_measured(shape, with_gram) -> None:
    rng = np.random.default_rng(10)
    W = rng.standard_normal((shape[0], 2)) @ rng.standard_normal((2, shape[1]))
    W += 1e-9 * rng.standard_normal(shape)
    B = rng.standard_normal((shape[1], shape[1]))
    H = B @ B.T if with_gram else None
    _, _, error = weighted_svd(W, H, 2)
    s = np.linalg.svd(W @ B if with_gram else W, compute_uv=False)
    assert error == pytest.approx(np.sum(s[2:] ** 2), rel=1e-4)


@pytest.mark.parametrize("rank", [0, 5, 1.0, None])
def test_a_rank_that_will_not_do(rank) -> None:
    with pytest.raises((ValueError, TypeError), match="rank has to be"):
        weighted_svd(np.ones((4, 6)), None, rank)
