"""Missing pixels of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecode._scaling import from_units
from sparsecode._threads import check_n_threads
from sparsecode._validation import check_int, check_real, check_unused
from sparsecode.images._coding import PatchCoder
from sparsecode.images._denoising import blended, shares_of
from sparsecode.images._picture import Picture

__all__ = ["inpaint"]


def inpaint(
    image: Any,
    mask: Any,
    *,
    sigma: float = 0.0,
    patch_size: int = 8,
    n_components: int = 256,
    n_nonzero_coefs: int = 3,
    max_iter: int = 25,
    random_state: Any = 0,
    data_range: float | None = None,
    n_threads: int | None = None,
) -> np.ndarray:
    r"""Fill in the missing pixels of a picture, with a dictionary learned from those that are not.

    .. math:: \min_{D, c} \; \sum_p \| M_p (R_p y - \mu_p - c_p D) \|_2^2
              \quad \text{s.t.} \quad \|c_p\|_0 \le k

    where :math:`R_p` cuts patch :math:`p` out of the picture, all overlapping ones, and
    :math:`M_p` keeps its known pixels, whose mean is :math:`\mu_p`. A missing pixel becomes the
    average over its patches, each with its number of known pixels for a weight, and stays in the
    range of the known pixels. Wide holes are filled from their rims: pixels whose best patch knows
    half as much as that of any other go first, and count as known in the next pass.

    Parameters
    ----------
    image : array of shape (height, width) or (height, width, n_channels)
        The picture, at any scale; missing pixels may have any value, NaN too.
    mask : array of shape (height, width)
        True, or 1, where a pixel is missing, in all channels: as in scikit-image.
    sigma : float, default=0.0
        Standard deviation of white noise in the known pixels, in the units of the picture. With 0
        they come back as they are; else they are restored as `denoise` does. Patches are coded no
        closer than the noise, or a 255th of the range of the known pixels.
    patch_size : int, default=8
        Side of a patch in pixels.
    n_components : int, default=256
        Atoms.
    n_nonzero_coefs : int, default=3
        Atoms a patch at the most, :math:`k`.
    max_iter : int, default=25
        Iterations of K-SVD; 0 leaves the first atoms, cosines, as they are.
    random_state : int, RandomState, Generator or None, default=0
        Draws the patches to learn from (65,000, or all of them), and the order of the updates.
    data_range : float, optional
        As in `denoise`, for `sigma` above 0.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker. The picture
        does not depend on it, to the bit.

    Returns
    -------
    ndarray of the shape of `image`
        The picture in the units it came in, float32 if it was, float64 for integers.

    Raises
    ------
    ValueError
        If the picture is smaller than a patch, every pixel is missing, a known entry is NaN or
        infinite, or a parameter is out of range or not used.

    See Also
    --------
    denoise : Noise, and nothing missing.

    References
    ----------
    Mairal, Elad and Sapiro, "Sparse representation for color image restoration", 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.images import inpaint
    >>> clean = 100 + 50 * np.sin(np.add.outer(np.arange(30), 2 * np.arange(30)))
    >>> mask = np.random.default_rng(0).random(clean.shape) < 0.3
    >>> restored = inpaint(np.where(mask, 0, clean), mask, n_components=64)
    >>> bool(np.abs(restored - clean)[mask].mean() < 5)
    True
    """
    if mask is None:
        raise ValueError("mask has to say which pixels are missing, got None; see denoise")
    picture = Picture.checked(image, "image", patch_size, mask)
    sigma = check_real(sigma, "sigma", low=0) / picture.unit
    if sigma == 0:
        check_unused("sigma=0", data_range=data_range)
    shares = shares_of(picture, sigma, data_range) if sigma > 0 else (0.0, 1.0)
    low, high = picture.range
    grey_level = (high - low) / 255  # closer fits extrapolate wildly
    n_components = check_int(n_components, "n_components")
    n_nonzero_coefs = check_int(n_nonzero_coefs, "n_nonzero_coefs", high=n_components)
    coder = PatchCoder.learned(
        picture, max(sigma, grey_level), n_nonzero_coefs, n_components, max_iter, random_state,
        check_n_threads(n_threads),
    )  # fmt: skip
    total, weight = coder.averaged(picture, everywhere=sigma > 0)
    restored = picture.pixels
    if sigma > 0:
        restored = np.where(picture.known, blended(total, weight, picture, shares), 0)
    while not picture.known.all():
        reached = _best_known(picture)
        filled = np.clip(total / np.where(weight > 0, weight, 1), low, high)
        restored = np.where(reached, filled, restored)
        pixels = np.where(reached, filled, picture.pixels)
        picture = picture._replace(pixels=pixels, known=picture.known | reached)
        total, weight = coder.averaged(picture, everywhere=False)
    return from_units(restored.reshape(np.shape(image)), picture.unit, name="the picture")


def _best_known(picture: Picture) -> np.ndarray:
    """The missing pixels with a patch that knows much, beside the best one of them all."""
    size = picture.patch_size
    n_known = picture.windows(picture.known).sum(axis=(2, 3))
    around = np.pad(n_known, ((size - 1, size - 1), (size - 1, size - 1), (0, 0)))
    best = np.where(picture.known, 0, picture.windows(around).max(axis=(2, 3)))
    return ~picture.known & (2 * best >= best.max())
