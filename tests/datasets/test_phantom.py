"""The phantom, and the frequencies on lines through the origin."""

import numpy as np
import pytest

from sparsecode.datasets import radial_lines, shepp_logan


def test_the_phantom_is_piecewise_constant_with_the_levels_of_toft() -> None:
    image = shepp_logan(256)
    assert image.shape == (256, 256)
    np.testing.assert_array_equal(np.unique(image), [0, 0.1, 0.2, 0.3, 0.4, 1])
    edges = np.count_nonzero(np.diff(image, axis=0)) + np.count_nonzero(np.diff(image, axis=1))
    assert edges < 0.1 * image.size
    assert image[128, 128] == 0.2  # between the two ventricles
    assert image[128, 105] == image[128, 150] == 0  # inside them
    assert image[0].max() == image[:, 0].max() == 0


@pytest.mark.parametrize("n", [2, 3, 64, 101])
def test_the_phantom_of_another_size_is_the_same_picture(n) -> None:
    image = shepp_logan(n)
    assert image.shape == (n, n)
    assert image.min() == 0
    if n > 60:  # the same share of every level, but for the pixels at the edges
        shares = [np.mean(shepp_logan(256) == level) for level in (0, 0.2, 1)]
        np.testing.assert_allclose([np.mean(image == v) for v in (0, 0.2, 1)], shares, atol=0.02)


@pytest.mark.parametrize("shape", [(256, 256), (64, 64), (33, 33), (20, 31), (31, 20), (1, 8)])
@pytest.mark.parametrize("n_lines", [1, 4, 22])
def test_the_lines_hold_each_frequency_with_its_negative(shape, n_lines) -> None:
    mask = radial_lines(shape, n_lines)
    assert mask.shape == shape
    assert mask.dtype == bool
    assert mask[0, 0]
    mirrored = mask[np.ix_(-np.arange(shape[0]), -np.arange(shape[1]))]
    np.testing.assert_array_equal(mask, mirrored)


def test_the_first_lines_are_those_along_the_axes() -> None:
    one, two = radial_lines((8, 6), 1), radial_lines((8, 6), 2)
    assert set(zip(*np.nonzero(one), strict=True)) == {(0, c) for c in (0, 1, 2, 4, 5)}
    added = set(zip(*np.nonzero(two & ~one), strict=True))
    assert added == {(r, 0) for r in (1, 2, 3, 5, 6, 7)}


def test_22_lines_are_the_5481_frequencies_of_the_literature() -> None:
    assert radial_lines((256, 256), 22).sum() == 5481


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: shepp_logan(1), "n has to be at least 2"),
        (lambda: radial_lines((8, 8), 0), "n_lines has to be at least 1"),
        (lambda: radial_lines((8,), 2), "shape has to be that of an image"),
        (lambda: radial_lines((8, 0), 2), "a length in shape"),
    ],
)
def test_what_makes_no_picture_is_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_more_lines_than_the_memory_holds_are_refused() -> None:
    with pytest.raises(MemoryError, match=f"n_lines={2**60} lines would take"):
        radial_lines((6, 7), 2**60)
    with pytest.raises(ValueError, match="shape has to be that of an image"):
        radial_lines(3.5, 1)
