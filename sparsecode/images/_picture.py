"""A picture, checked, and its patches."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._validation import as_array, check_array, check_int, without_mask


class Picture(NamedTuple):
    """A picture in units, and where it is known."""

    pixels: np.ndarray  # (height, width, n_channels), zero where missing
    known: np.ndarray  # (height, width, 1)
    patch_size: int
    unit: float

    @classmethod
    def checked(cls, image: Any, name: str, patch_size: Any, missing: Any = None) -> Picture:
        """From the arguments."""
        pixels = check_array(image, name, ndim=(2, 3), allow_missing=missing is not None)
        patch_size = check_int(patch_size, "patch_size")
        height, width = pixels.shape[:2]
        if min(height, width) < patch_size:
            raise ValueError(
                f"{name} is {height} x {width} pixels, less than a patch of "
                f"{patch_size} x {patch_size}; lower patch_size"
            )
        pixels = np.ascontiguousarray(pixels.reshape(height, width, -1))
        known = np.ones((height, width, 1), dtype=bool)
        if missing is not None:
            known = ~checked_mask(missing, (height, width), name)[:, :, None]
            pixels = np.where(known, pixels, 0)
            if np.isnan(pixels).any():
                raise ValueError(f"{name} is NaN at a pixel that mask does not call missing")
        unit = unit_of(magnitude(pixels), pixels.dtype)
        return cls(to_units(pixels, unit), known, patch_size, unit)

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of the known pixels."""
        known = self.pixels[self.known[:, :, 0]]
        return float(known.min()), float(known.max())

    @property
    def n_features(self) -> int:
        return self.patch_size**2 * self.pixels.shape[2]

    def windows(self, array: np.ndarray) -> np.ndarray:
        """A view of all patches: (rows, columns, patch_size, patch_size, n_channels)."""
        size = (self.patch_size, self.patch_size)
        views = np.lib.stride_tricks.sliding_window_view(array, size, axis=(0, 1))
        return np.moveaxis(views, 2, -1)


def checked_mask(mask: Any, shape: tuple[int, int], name: str) -> np.ndarray:
    mask = as_array(without_mask(mask, "mask"), "mask")
    if mask.shape != shape:
        raise ValueError(
            f"mask has shape {mask.shape}; it has to be that of the picture, {shape}, as {name} is"
        )
    if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
        raise ValueError("mask has to be True or 1 where a pixel is missing, else False or 0")
    mask = mask.astype(bool)
    if mask.all():
        raise ValueError("mask says that every pixel is missing: nothing is known")
    return mask
