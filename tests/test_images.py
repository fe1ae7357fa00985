"""Pictures: against plain implementations of the same algorithm, and the laws of scale."""

import numpy as np
import pytest
from scipy.interpolate import griddata
from sklearn.datasets import load_sample_images

from sparsecode import images
from sparsecode.images import denoise, gain, inpaint


def psnr(clean, picture):
    return 10 * np.log10(255**2 / np.mean((np.asarray(clean, dtype=float) - picture) ** 2))


def photograph(name, rows, columns, grey=True):
    china, flower = load_sample_images().images
    picture = {"china": china, "flower": flower}[name][rows, columns].astype(float)
    return picture @ [0.299, 0.587, 0.114] if grey else picture


def with_noise(clean, sigma=25.0, seed=0):
    return clean + np.random.default_rng(seed).normal(scale=sigma, size=clean.shape)


def drawing(height=40, width=36):
    """Edges, a slope and a texture."""
    y, x = np.mgrid[:height, :width]
    return 60 + 100 * (x + y > 40) + 1.5 * y + 20 * np.sin(x) * (y > 20)


def plain_omp(X, D, energy, most):
    codes, gram = np.zeros((len(X), len(D))), D @ D.T
    for x, code in zip(X, codes, strict=True):
        taken, residual = [], x
        while residual @ residual > energy and len(taken) < most:
            taken.append(int(np.argmax(np.abs(D @ residual))))
            fitted = np.linalg.solve(gram[np.ix_(taken, taken)], D[taken] @ x)
            residual = x - fitted @ D[taken]
        code[taken] = fitted if taken else 0
    return codes


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
    codes = plain_omp(X, images.cosines(81, 8, 1), 64 * (gain(64) * 25) ** 2, 32)
    restored = (patches - X + codes @ images.cosines(81, 8, 1)).reshape(windows.shape)
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
    monkeypatch.setattr(images, "TILE", 7)
    np.testing.assert_allclose(denoise(noisy, n_components=30, max_iter=1), whole, rtol=1e-12)


@pytest.mark.parametrize("exponent", [-500, -60, -8, 60, 500])
def test_the_scale_of_the_picture_does_not_matter(exponent) -> None:
    noisy, options = with_noise(drawing()), {"n_components": 30, "max_iter": 2}
    plain = denoise(noisy, 25.0, **options)
    scaled = denoise(np.ldexp(noisy, exponent), np.ldexp(25.0, exponent), **options)
    np.testing.assert_allclose(scaled, np.ldexp(plain, exponent), rtol=1e-9)


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


def random_mask(shape, share, seed=1):
    return np.random.default_rng(seed).random(shape) < share


def test_filled_in_by_cosines_it_is_the_plain_implementation() -> None:
    clean = drawing()
    mask = random_mask(clean.shape, 0.4)
    ours = inpaint(clean, mask, n_components=81, n_nonzero_coefs=3, max_iter=0)
    D, level = images.cosines(81, 8, 1), np.ptp(clean[~mask]) / 255
    total, weight = np.zeros_like(clean), np.zeros_like(clean)
    for i, j in np.ndindex(clean.shape[0] - 7, clean.shape[1] - 7):
        here = (slice(i, i + 8), slice(j, j + 8))
        seen = ~mask[here].ravel()
        x = clean[here].ravel()[seen]
        norms = np.linalg.norm(D[:, seen], axis=1)
        unit = D[:, seen] / norms[:, None]
        code = (
            plain_omp((x - x.mean())[None], unit, len(x) * (gain(len(x)) * level) ** 2, 3)[0]
            / norms
        )
        total[here] += seen.sum() * (code @ D + x.mean()).reshape(8, 8)
        weight[here] += seen.sum()
    filled = np.clip(total / weight, clean[~mask].min(), clean[~mask].max())
    np.testing.assert_allclose(ours, np.where(mask, filled, clean), rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("china", 0.3), ("flower", 0.5)])
def test_learned_atoms_fill_in_better_than_cosines_and_cubic_interpolation(name, share) -> None:
    clean = photograph(name, slice(150, 278), slice(200, 328))
    mask = random_mask(clean.shape, share)
    holed = np.where(mask, np.nan, clean)
    places = np.indices(clean.shape)
    known = tuple(places[:, ~mask])
    cubic, nearest = (
        griddata(known, clean[~mask], tuple(places), method) for method in ("cubic", "nearest")
    )
    cubic = np.where(np.isnan(cubic), nearest, cubic)
    learned, cosines = (
        psnr(clean, inpaint(holed, mask)),
        psnr(clean, inpaint(holed, mask, max_iter=0)),
    )
    assert learned > cosines + 0.5
    assert learned > psnr(clean, cubic) + 0.5


@pytest.mark.parametrize("shape", [(40, 36), (24, 30, 3), (8, 8)])
@pytest.mark.parametrize("kind", ["f", "d"])
def test_known_pixels_come_back_and_the_values_of_missing_ones_do_not_matter(shape, kind) -> None:
    clean = np.resize(drawing(), shape).astype(kind)
    mask, options = random_mask(shape[:2], 0.3), {"n_components": 30, "max_iter": 2}
    one = inpaint(clean, mask, n_threads=1, **options)
    assert (one.shape, one.dtype) == (shape, clean.dtype)
    np.testing.assert_array_equal(one[~mask], clean[~mask])
    assert np.all(np.isfinite(one))
    for missing in (0, np.nan, 1e30):
        holed = np.asfortranarray(clean.copy())
        holed[mask] = missing
        other = inpaint(holed, mask.astype(int), n_threads=2, **options)
        assert other.tobytes() == one.tobytes()


def test_a_hole_wider_than_a_patch_is_filled_from_its_rim() -> None:
    clean = np.add.outer(3 * np.arange(40.0), 2 * np.arange(36.0))
    mask = np.zeros(clean.shape, dtype=bool)
    mask[8:30, 8:26] = True
    restored = inpaint(np.where(mask, np.nan, clean), mask, patch_size=6, n_components=64)
    assert np.abs(restored - clean)[mask].mean() < 0.1 * np.ptp(clean)
    assert np.abs(restored - clean).max() < 0.3 * np.ptp(clean)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_filled_in_beyond_the_known_range(seed) -> None:
    stripes = np.add.outer(np.zeros(30), np.arange(36.0) % 2)
    mask = random_mask(stripes.shape, 0.3, seed)
    mask[8:25, 8:26] = True
    restored = inpaint(stripes, mask, n_components=64, max_iter=10, random_state=seed)
    assert restored.min() >= 0
    assert restored.max() <= 1
    scattered = mask.copy()
    scattered[8:25, 8:26] = False
    assert np.abs(restored - stripes)[scattered].mean() < 0.1


def test_with_noise_and_nothing_missing_it_is_denoising() -> None:
    noisy = with_noise(drawing())
    options = {"sigma": 25.0, "n_components": 30, "max_iter": 2}
    nothing = np.zeros(noisy.shape, dtype=bool)
    restored = inpaint(noisy, nothing, n_nonzero_coefs=30, **options)
    np.testing.assert_allclose(restored, denoise(noisy, **options), rtol=1e-12)
    np.testing.assert_array_equal(inpaint(noisy, nothing), noisy)


def test_noise_and_holes_at_once() -> None:
    clean = drawing()
    noisy, mask = with_noise(clean), random_mask(clean.shape, 0.3)
    restored = inpaint(np.where(mask, np.nan, noisy), mask, sigma=25.0, n_components=64)
    for part in (mask, ~mask):
        assert psnr(clean[part], restored[part]) > psnr(clean, noisy) + 2


@pytest.mark.parametrize("exponent", [-500, 500])
def test_the_scale_of_a_picture_with_holes_does_not_matter(exponent) -> None:
    clean, options = drawing(), {"n_components": 30, "max_iter": 2}
    mask = random_mask(clean.shape, 0.3)
    scaled = inpaint(np.ldexp(clean, exponent), mask, **options)
    np.testing.assert_array_equal(scaled, np.ldexp(inpaint(clean, mask, **options), exponent))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mask": np.zeros((9, 8))}, ValueError, r"mask has shape \(9, 8\).*picture, \(9, 9\)"),
        ({"mask": np.full((9, 9), 2)}, ValueError, "mask has to be True or 1 where"),
        ({"mask": np.ones((9, 9))}, ValueError, "every pixel is missing"),
        ({"image": np.full((9, 9), np.nan)}, ValueError, "image is NaN at a pixel that mask"),
        ({"image": np.ones((9, 7)), "mask": np.eye(9, 7)}, ValueError, "image is 9 x 7 pixels"),
        ({"data_range": 1.0}, ValueError, "data_range is not used by sigma=0"),
        ({"sigma": -1.0}, ValueError, "sigma has to be"),
        ({"n_nonzero_coefs": 300}, ValueError, "n_nonzero_coefs has to be between 1 and 256"),
    ],
)
def test_bad_input_to_inpaint_is_one_clear_error(options, error, message) -> None:
    arguments = {"image": np.ones((9, 9)), "mask": np.eye(9), **options}
    with pytest.raises(error, match=message):
        inpaint(arguments.pop("image"), arguments.pop("mask"), **arguments)


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
        ({"n_threads": 0}, ValueError, "n_threads"),
    ],
)
def test_bad_input_is_one_clear_error(options, error, message) -> None:
    arguments = {"noisy": np.ones((9, 9)), **options}
    with pytest.raises(error, match=message):
        denoise(arguments.pop("noisy"), **arguments)
