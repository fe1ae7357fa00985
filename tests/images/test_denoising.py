"""Noise out of pictures: against a plain implementation of the algorithm, and the laws of scale."""

import tracemalloc

import numpy as np
import pytest
from pictures import drawing, photograph, plain_omp, psnr, with_noise

from sparsecode.images import _coding, denoise
from sparsecode.images._coding import cosines, gain


def plain_sweep(X, D, codes, order):
    for k in order:
        users = np.flatnonzero(codes[:, k])
        if users.size:
            E = X[users] - codes[users] @ D + np.outer(codes[users, k], D[k])
            U, s, Vt = np.linalg.svd(E, full_matrices=False)
            D[k], codes[users, k] = Vt[0], s[0] * U[:, 0]
        else:
            worst = X[np.argmax(np.sum((X - codes @ D) ** 2, axis=1))]
            D[k] = worst / np.linalg.norm(worst)


def plain_denoise(noisy, sigma, side, n_iter, n_training, seed):
    """Elad and Aharon (2006) with the constants of the authors' own code."""
    rng, p = np.random.RandomState(seed), 8
    windows = np.lib.stride_tricks.sliding_window_view(noisy, (p, p))
    patches = windows.reshape(-1, p * p)
    means = patches.mean(axis=1, keepdims=True)
    one = np.cos(np.pi * np.arange(side)[:, None] * np.arange(p) / side)
    one[1:] -= one[1:].mean(axis=1, keepdims=True)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    D, energy = np.kron(one, one), p * p * (1.15 * sigma) ** 2
    X = (patches - means)[rng.permutation(len(patches))[:n_training]]
    for _ in range(n_iter):
        plain_sweep(X, D, plain_omp(X, D, energy, 32), rng.permutation(len(D)))
    estimates = (plain_omp(patches - means, D, energy, 32) @ D + means).reshape(windows.shape)
    total, weight = np.zeros_like(noisy), np.zeros_like(noisy)
    for i, j in np.ndindex(windows.shape[:2]):
        total[i : i + p, j : j + p] += estimates[i, j]
        weight[i : i + p, j : j + p] += 1
    return (noisy + 0.034 * sigma * total) / (1 + 0.034 * sigma * weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["china", "flower"])
def test_no_worse_than_a_plain_implementation_of_the_same_algorithm(name) -> None:
    clean = photograph(name, slice(150, 230), slice(200, 280))
    noisy = with_noise(clean)
    plain = plain_denoise(noisy, 25.0, side=11, n_iter=3, n_training=1500, seed=0)
    ours = denoise(noisy, 25.0, n_components=121, max_iter=3)
    assert psnr(clean, ours) > psnr(clean, plain) - 0.05
    assert psnr(clean, ours) > psnr(clean, noisy) + 3


def test_without_learning_it_is_the_plain_implementation_with_cosines() -> None:
    clean = drawing()
    noisy = with_noise(clean)
    ours = denoise(noisy, 25.0, n_components=81, max_iter=0, data_range=255)
    windows = np.lib.stride_tricks.sliding_window_view(noisy, (8, 8))
    patches = windows.reshape(-1, 64)
    X = patches - patches.mean(axis=1, keepdims=True)
    codes = plain_omp(X, cosines(81, 8, 1), 64 * (gain(64) * 25) ** 2, 32)
    restored = (patches - X + codes @ cosines(81, 8, 1)).reshape(windows.shape)
    total, weight = 30 / 25 * noisy, np.full(noisy.shape, 30 / 25)
    for i, j in np.ndindex(windows.shape[:2]):
        total[i : i + 8, j : j + 8] += restored[i, j]
        weight[i : i + 8, j : j + 8] += 1
    np.testing.assert_allclose(ours, total / weight, rtol=1e-10)


@pytest.mark.slow
def test_colours_together_are_better_than_each_alone() -> None:
    clean = photograph("flower", slice(150, 246), slice(200, 296), grey=False)
    noisy = with_noise(clean)
    alone = np.dstack([denoise(noisy[:, :, k], 25.0, n_components=64) for k in range(3)])
    together = denoise(noisy, 25.0, n_components=128)
    assert together.shape == clean.shape
    assert psnr(clean, together) > psnr(clean, alone) + 0.3


def test_the_gain_is_exceeded_as_often_at_every_size() -> None:
    assert gain(64) == pytest.approx(1.15, rel=1e-12)
    rng = np.random.default_rng(0)
    shares = [
        np.mean(np.sum(rng.standard_normal((20_000, n)) ** 2, axis=1) > n * gain(n) ** 2)
        for n in (16, 64, 192)
    ]
    assert np.ptp(shares) < 0.01


@pytest.mark.parametrize("shape", [(40, 36), (40, 36, 1), (24, 30, 3), (8, 8), (8, 40), (33, 8, 2)])
@pytest.mark.parametrize("kind", ["f", "d"])
def test_the_bits_follow_the_seed_and_not_the_threads(shape, kind) -> None:
    noisy = with_noise(np.resize(drawing(), shape)).astype(kind)
    options = {"n_components": 30, "max_iter": 2}
    one = denoise(noisy, n_threads=1, **options)
    assert (one.shape, one.dtype) == (shape, noisy.dtype)
    for other in (noisy, np.asfortranarray(noisy), np.repeat(noisy, 2, axis=0)[::2]):
        other.flags.writeable = False
        assert denoise(other, n_threads=2, **options).tobytes() == one.tobytes()
    assert np.all(np.isfinite(one))


def test_tiles_change_nothing_but_the_order_of_sums(monkeypatch) -> None:
    noisy = with_noise(drawing())
    whole = denoise(noisy, n_components=30, max_iter=1)
    monkeypatch.setattr(_coding, "TILE", 7)
    np.testing.assert_allclose(denoise(noisy, n_components=30, max_iter=1), whole, rtol=1e-12)


def test_memory_is_that_of_tiles_and_not_of_all_patches() -> None:
    noisy, options = with_noise(np.full((400, 420), 100.0)), {"n_components": 9, "n_threads": 1}
    denoise(noisy[:80, :80], max_iter=0, **options)  # compiles
    tracemalloc.start()
    denoise(noisy, max_iter=0, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * noisy.nbytes * 64  # all patches are 64 times the picture


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (3, 17), (17, 3, 2)])
def test_a_picture_of_any_shape_has_patches_that_fit(shape) -> None:
    noisy = with_noise(np.full(shape, 100.0))
    restored = denoise(noisy, patch_size=min(shape[:2]), n_components=9, max_iter=2)
    assert restored.shape == shape
    assert np.std(restored - 100) <= np.std(noisy - 100)
    with pytest.raises(ValueError, match="less than a patch of 8 x 8; lower patch_size"):
        denoise(noisy)


@pytest.mark.parametrize("exponent", [-500, -60, -8, 60, 500])
def test_the_scale_of_the_picture_does_not_matter(exponent) -> None:
    noisy, options = with_noise(drawing()), {"n_components": 30, "max_iter": 2}
    plain = denoise(noisy, 25.0, **options)
    scaled = denoise(np.ldexp(noisy, exponent), np.ldexp(25.0, exponent), **options)
    np.testing.assert_allclose(scaled, np.ldexp(plain, exponent), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sigma_beyond_either_end_is_that_of_the_end(dtype) -> None:
    noisy = with_noise(drawing(20), 25.0, 4).astype(dtype)
    options = {"n_components": 30, "max_iter": 1}
    np.testing.assert_allclose(denoise(noisy, 5e-324, **options), noisy, rtol=1e-3)
    largest, beyond = (denoise(noisy, sigma, **options) for sigma in (1e6, 1e300))
    np.testing.assert_allclose(beyond, largest, rtol=1e-4)


def test_a_range_of_one_is_a_range_of_255() -> None:
    noisy = with_noise(drawing())
    grey_levels = denoise(noisy, 25.0, n_components=30, max_iter=2, data_range=255)
    units = denoise(noisy / 255, 25 / 255, n_components=30, max_iter=2, data_range=1)
    np.testing.assert_allclose(255 * units, grey_levels, rtol=1e-6)


def test_integers_become_floats_of_the_same_scale() -> None:
    clean = drawing()
    noisy = np.clip(with_noise(clean), 0, 255).astype(np.uint8)
    restored = denoise(noisy, 25.0, n_components=64)
    assert restored.dtype == np.float64
    assert restored.tobytes() == denoise(noisy.astype(float), 25.0, n_components=64).tobytes()
    assert psnr(clean, restored) > psnr(clean, noisy) + 4


@pytest.mark.parametrize("value", [0.0, 7.0, 1e-150, 1e150])
def test_a_constant_picture_comes_back(value) -> None:
    picture = np.full((20, 17), value)
    np.testing.assert_allclose(denoise(picture, n_components=16, max_iter=2), picture, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"noisy": np.ones((7, 30))}, ValueError, "noisy is 7 x 30 pixels, less than a patch of 8"),
        ({"noisy": np.ones(30)}, ValueError, "noisy has to be 2-D or 3-D"),
        ({"noisy": np.full((9, 9), np.nan)}, ValueError, "noisy contains NaN"),
        ({"noisy": np.zeros((9, 9, 0))}, ValueError, "noisy is empty"),
        ({"sigma": 0}, ValueError, "sigma has to be"),
        ({"patch_size": 0}, ValueError, "patch_size has to be at least 1"),
        ({"n_components": 0}, ValueError, "n_components has to be at least 1"),
        ({"max_iter": -1}, ValueError, "max_iter has to be at least 0"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"data_range": -1.0}, ValueError, "data_range"),
        ({"n_components": 2**40}, MemoryError, "n_components=.* would take"),
        ({"n_threads": 0}, ValueError, "n_threads"),
    ],
)
def test_bad_input_is_one_clear_error(options, error, message) -> None:
    arguments = {"noisy": np.ones((9, 9)), **options}
    with pytest.raises(error, match=message):
        denoise(arguments.pop("noisy"), **arguments)


@pytest.mark.parametrize(("scale", "sigma"), [(1e200, 1e-200), (1e-200, 1e200)])
def test_a_constant_picture_of_one_end_and_a_sigma_of_the_other(scale, sigma) -> None:
    picture = np.full((16, 16), scale)
    restored = denoise(picture, sigma, n_components=8, max_iter=1)
    np.testing.assert_allclose(restored / scale, 1, rtol=1e-6)
