"""Patches against scikit-learn's own extraction from the same photographs."""

import numpy as np
import pytest
from sklearn.datasets import load_sample_image
from sklearn.feature_extraction.image import extract_patches_2d

from sparsecode.datasets import load_image_patches

# ITU-R BT.601, written out once more.
WEIGHTS = [0.299, 0.587, 0.114]


def photograph(name, channels="grey"):
    rgb = load_sample_image(f"{name}.jpg") / 255
    return rgb if channels == "rgb" else rgb @ WEIGHTS


def all_patches(name, size, channels="grey"):
    image = photograph(name, channels)
    patches = extract_patches_2d(image, (size, size))
    return patches.reshape(len(patches), -1)


def as_set(rows):
    return {row.tobytes() for row in np.round(rows * 1e9).astype(np.int64)}


@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_sampled_patches_are_patches_of_the_image(channels):
    patches = load_image_patches(
        200,
        patch_size=5,
        images="flower",
        channels=channels,
        remove_mean=False,
        random_state=0,
    )
    assert patches.shape == (200, 25 if channels == "grey" else 75)
    assert as_set(patches) <= as_set(all_patches("flower", 5, channels))


def test_asking_for_every_position_gives_each_one_once():
    pixels = np.concatenate([photograph(name).ravel() for name in ("china", "flower")])
    drawn = load_image_patches(pixels.size, patch_size=1, remove_mean=False, random_state=0)
    np.testing.assert_allclose(np.sort(drawn.ravel()), np.sort(pixels), rtol=0, atol=1e-12)
    assert np.mean(np.abs(drawn.ravel() - pixels) < 1e-12) < 0.5  # in random order


def test_the_largest_patch_is_as_high_as_the_image():
    columns = load_image_patches(3, patch_size=427, images="china", remove_mean=False)
    image = photograph("china")
    for patch in columns.reshape(3, 427, 427):
        matches = [np.allclose(patch, image[:, j : j + 427], atol=1e-12) for j in range(214)]
        assert sum(matches) == 1


def test_the_tiling_puts_the_image_together_again():
    patches = load_image_patches(patch_size=8, images=["china", "flower"], remove_mean=False)
    assert patches.shape == (2 * 53 * 80, 64)
    tiles = patches.reshape(2, 53, 80, 8, 8).transpose(0, 1, 3, 2, 4).reshape(2, 424, 640)
    for tiled, name in zip(tiles, ["china", "flower"], strict=True):
        np.testing.assert_allclose(tiled, photograph(name)[:424], rtol=0, atol=1e-12)
    assert patches.min() >= 0
    assert patches.max() <= 1


@pytest.mark.parametrize("channels", ["grey", "rgb"])
def test_the_mean_is_removed_channel_by_channel(channels):
    options = {"patch_size": 6, "channels": channels, "random_state": 1}
    raw = load_image_patches(50, remove_mean=False, **options).reshape(50, 36, -1)
    centred = load_image_patches(50, **options).reshape(50, 36, -1)
    np.testing.assert_allclose(centred, raw - raw.mean(axis=1, keepdims=True), atol=1e-14)
    np.testing.assert_allclose(centred.sum(axis=1), 0, atol=1e-13)


@pytest.mark.parametrize("source", [int, np.random.RandomState, np.random.default_rng])
def test_the_same_seed_gives_the_same_bits(source):
    first = load_image_patches(100, random_state=source(5))
    assert first.tobytes() == load_image_patches(100, random_state=source(5)).tobytes()
    assert first.tobytes() != load_image_patches(100, random_state=source(6)).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, "float64"])
def test_dtype(dtype):
    patches = load_image_patches(20, random_state=0, dtype=dtype)
    assert patches.dtype == np.dtype(dtype)
    assert patches.flags.c_contiguous
    assert patches.flags.writeable
    np.testing.assert_allclose(patches, load_image_patches(20, random_state=0), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_patches": 0}, ValueError, "n_patches"),
        (
            {"n_patches": 268_381, "patch_size": 8, "images": "china"},
            ValueError,
            "between 1 and 265860",
        ),
        ({"patch_size": 428}, ValueError, "between 1 and 427"),
        ({"patch_size": (8, 8)}, TypeError, "patch_size"),
        ({"images": "lena"}, ValueError, "'china', 'flower'"),
        ({"images": []}, ValueError, "one or more photographs"),
        ({"images": ["china", "china"]}, ValueError, "each once"),
        ({"channels": "gray"}, ValueError, "'grey', 'rgb'"),
        ({"remove_mean": None}, TypeError, "remove_mean"),
        ({"dtype": np.int64}, ValueError, "float32 or float64"),
        ({"dtype": "single precision"}, ValueError, "float32 or float64"),
        ({"random_state": 0}, ValueError, "random_state is not used by n_patches=None"),
    ],
)
def test_bad_arguments_are_named(options, error, message):
    with pytest.raises(error, match=message):
        load_image_patches(**options)
