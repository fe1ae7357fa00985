"""Missing pixels: against a plain implementation of the algorithm, and the laws of filling in."""

import numpy as np
import pytest
from pictures import drawing, photograph, plain_omp, psnr, with_noise
from scipy.interpolate import griddata

from sparsecode.images import denoise, inpaint
from sparsecode.images._coding import cosines, gain


def random_mask(shape, share, seed=1):
    return np.random.default_rng(seed).random(shape) < share


def test_filled_in_by_cosines_it_is_the_plain_implementation() -> None:
    clean = drawing()
    mask = random_mask(clean.shape, 0.4)
    ours = inpaint(clean, mask, n_components=81, n_nonzero_coefs=3, max_iter=0)
    D, level = cosines(81, 8, 1), np.ptp(clean[~mask]) / 255
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


@pytest.mark.parametrize("known", [[(3, 4)], [(0, 0), (29, 25)], [(i, 0) for i in range(30)]])
def test_few_known_pixels_are_enough_for_an_answer(known) -> None:
    """All of the patches but a few are missing as a whole."""
    clean, mask = drawing(30, 26), np.ones((30, 26), dtype=bool)
    mask[tuple(np.transpose(known))] = False
    restored = inpaint(np.where(mask, np.nan, clean), mask, n_components=16, max_iter=2)
    assert np.all(np.isfinite(restored))
    np.testing.assert_array_equal(restored[~mask], clean[~mask])
    assert restored.min() >= clean[~mask].min()
    assert restored.max() <= clean[~mask].max()


def test_integers_with_holes_become_floats_of_the_same_scale() -> None:
    clean = np.clip(drawing(), 0, 255).astype(np.uint8)
    mask = random_mask(clean.shape, 0.5)
    restored = inpaint(clean, mask, n_components=64)
    assert restored.dtype == np.float64
    np.testing.assert_array_equal(restored[~mask], clean[~mask])
    assert np.abs(restored - clean)[mask].mean() < 10


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
