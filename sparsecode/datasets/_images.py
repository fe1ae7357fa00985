"""Patches of the two photographs that ship with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from sparsecode._validation import (
    check_bool,
    check_int,
    check_option,
    check_random_state,
    check_unused,
)

IMAGE_NAMES = ("china", "flower")
IMAGE_SHAPE = (427, 640)
# ITU-R BT.601: the weights of red, green and blue in luma.
LUMA = np.array([0.299, 0.587, 0.114])


def load_image_patches(
    n_patches: int | None = None,
    *,
    patch_size: int = 8,
    images: str | Sequence[str] = IMAGE_NAMES,
    channels: str = "grey",
    remove_mean: bool = True,
    random_state: Any = None,
    dtype: Any = np.float64,
) -> np.ndarray:
    """Cut square patches from photographs: one row `vec(image[i:i+p, j:j+p])` for each patch.

    The photographs are the two of scikit-learn, 427 x 640 pixels, scaled to [0, 1]. Grey is the
    luma `0.299 R + 0.587 G + 0.114 B`.

    Parameters
    ----------
    n_patches : int, optional
        How many patches, drawn without replacement from all positions of all `images`, in random
        order. By default, every patch of the tiling that starts at the top left corner (patches
        do not overlap; pixels left over at the right and at the bottom are not used), image by
        image, row by row.
    patch_size : int, default=8
        Side of a patch in pixels, from 1 to 427.
    images : {"china", "flower"} or sequence of them
        The photographs to cut from.
    channels : {"grey", "rgb"}, default="grey"
        One value a pixel, or three.
    remove_mean : bool, default=True
        Whether each patch has its mean subtracted, channel by channel. Entries are then
        in [-1, 1].
    random_state : None, int, RandomState or Generator
        The source of the positions; not used, hence refused, when `n_patches` is None.
    dtype : dtype, default=float64
        Either float32 or float64.

    Returns
    -------
    ndarray of shape (n_patches, patch_size**2) or (n_patches, 3 * patch_size**2)
        Rows are patches in C order: row, column and, last and fastest, channel.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or `n_patches` is larger than the number of positions.

    References
    ----------
    M. Elad, M. Aharon, "Image Denoising Via Sparse and Redundant Representations Over Learned
    Dictionaries", IEEE Trans. Image Processing 15(12), 2006: the usual use of such patches, 8 x 8.

    Examples
    --------
    >>> from sparsecode.datasets import load_image_patches
    >>> load_image_patches(1000, patch_size=8, random_state=0).shape
    (1000, 64)
    """
    patch_size = check_int(patch_size, "patch_size", high=min(IMAGE_SHAPE))
    names = _check_images(images)
    channels = check_option(channels, "channels", ("grey", "rgb"))
    check_bool(remove_mean, "remove_mean")
    dtype = _check_dtype(dtype)
    grid = tuple(side - patch_size + 1 for side in IMAGE_SHAPE)
    if n_patches is None:
        check_unused("n_patches=None, which takes the whole tiling", random_state=random_state)
        positions = _tiling(len(names), grid, patch_size)
    else:
        n_positions = len(names) * grid[0] * grid[1]
        n_patches = check_int(n_patches, "n_patches", high=n_positions)
        positions = check_random_state(random_state).permutation(n_positions)[:n_patches]

    stack = np.stack([_image(name, channels, dtype) for name in names])
    size = (patch_size, patch_size)
    windows = np.lib.stride_tricks.sliding_window_view(stack, size, axis=(1, 2))
    # The index arrays copy the chosen windows only; all of them would take 64 times the images.
    patches = windows[np.unravel_index(positions, (len(names), *grid))]
    if remove_mean:
        patches -= patches.mean(axis=(2, 3), keepdims=True)
    return np.moveaxis(patches, 1, -1).reshape(len(patches), -1)


def _check_images(images: str | Sequence[str]) -> tuple[str, ...]:
    names = (images,) if isinstance(images, str) else tuple(images)
    for name in names:
        check_option(name, "images", IMAGE_NAMES)
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"images has to name one or more photographs, each once, got {images!r}; "
            f"there are {', '.join(map(repr, IMAGE_NAMES))}"
        )
    return names


def _check_dtype(dtype: Any) -> np.dtype:
    for supported in (np.float32, np.float64):
        try:
            if np.dtype(dtype) == supported:
                return np.dtype(supported)
        except TypeError:
            break
    raise ValueError(f"dtype has to be float32 or float64, got {dtype!r}")


def _tiling(n_images: int, grid: tuple[int, ...], patch_size: int) -> np.ndarray:
    """Flat positions, in (image, row, column) order, of the patches that do not overlap."""
    positions = np.arange(n_images * grid[0] * grid[1]).reshape(n_images, *grid)
    return positions[:, ::patch_size, ::patch_size].ravel()


def _image(name: str, channels: str, dtype: np.dtype) -> np.ndarray:
    """A photograph in [0, 1], (rows, columns, channels)."""
    from sklearn.datasets import load_sample_images

    bundle = load_sample_images()
    stems = [PurePath(filename).stem for filename in bundle.filenames]
    rgb = bundle.images[stems.index(name)] / 255.0
    if channels == "grey":
        rgb = (rgb @ LUMA)[:, :, np.newaxis]
    return rgb.astype(dtype, copy=False)
