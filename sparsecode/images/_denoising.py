"""White noise out of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecode._scaling import from_units
from sparsecode._threads import check_n_threads
from sparsecode._validation import check_real
from sparsecode.images._coding import PatchCoder
from sparsecode.images._picture import Picture

__all__ = ["blended", "denoise", "shares_of"]


def denoise(
    noisy: Any,
    sigma: float = 25.0,
    patch_size: int = 8,
    n_components: int = 256,
    max_iter: int = 10,
    random_state: Any = 0,
    *,
    data_range: float | None = None,
    n_threads: int | None = None,
) -> np.ndarray:
    r"""Take white noise out of a picture, with a dictionary learned from its own patches.

    .. math:: \min_{x, D, c} \; \lambda \|x - y\|_2^2
              + \sum_p \left( \mu_p \|c_p\|_0 + \|c_p D - R_p x\|_2^2 \right)

    where :math:`R_p` cuts patch :math:`p` out of the picture, all overlapping ones. K-SVD learns
    the atoms :math:`D` from patches of the noisy picture :math:`y`, each coded with the fewest
    atoms that leave a residual as large as the noise, :math:`C \sigma \sqrt m`; then all patches
    are coded, and each pixel becomes the average of the patches over it and, with weight
    :math:`\lambda`, of itself. The mean of each patch (and channel) is kept apart.

    Parameters
    ----------
    noisy : array of shape (height, width) or (height, width, n_channels)
        The picture, at any scale. Channels are coded together, in patches across all of them.
    sigma : float, default=25.0
        Standard deviation of the noise, in the units of the picture.
    patch_size : int, default=8
        Side of a patch in pixels.
    n_components : int, default=256
        Atoms.
    max_iter : int, default=10
        Iterations of K-SVD; 0 leaves the first atoms, cosines, as they are.
    random_state : int, RandomState, Generator or None, default=0
        Draws the patches to learn from (65,000, or all of them), and the order of the updates.
    data_range : float, optional
        White less black, by which :math:`\lambda = 30 r / (255 \sigma)`; by default the largest
        value of the picture less its smallest. It matters little.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker. The picture
        does not depend on it, to the bit.

    Returns
    -------
    ndarray of the shape of `noisy`
        The picture in the units it came in, float32 if it was, float64 for integers. Its values
        may lie a little outside the range that they were clipped to: nothing is clipped again.

    Raises
    ------
    ValueError
        If the picture is smaller than a patch, an entry is NaN or infinite, or a parameter is out
        of range.

    See Also
    --------
    inpaint : Pixels that are missing, with or without noise in the others.
    sparsecode.solvers.ksvd : How the atoms are learned.

    Notes
    -----
    :math:`C` is 1.15 for 8 x 8 patches, as in Elad and Aharon. For patches of other sizes, and in
    colour, it is such that pure noise stays below the target as often as there, which is how
    Mairal, Elad and Sapiro choose it.

    References
    ----------
    Elad and Aharon, "Image denoising via sparse and redundant representations over learned
    dictionaries", 2006; Mairal, Elad and Sapiro, "Sparse representation for color image
    restoration", 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.images import denoise
    >>> clean = np.kron([[0.0, 200.0], [100.0, 50.0]], np.ones((12, 12)))
    >>> noisy = clean + np.random.default_rng(0).normal(scale=25, size=clean.shape)
    >>> restored = denoise(noisy, sigma=25, n_components=64)
    >>> bool(np.std(restored - clean) < 0.5 * np.std(noisy - clean))
    True
    """
    picture = Picture.checked(noisy, "noisy", patch_size)
    sigma = check_real(sigma, "sigma", low=0, open_low=True) / picture.unit
    half = max(1, picture.n_features // 2)  # of what would describe any patch
    coder = PatchCoder.learned(
        picture, sigma, half, n_components, max_iter, random_state, check_n_threads(n_threads)
    )
    shares = shares_of(picture, sigma, data_range)
    restored = blended(*coder.averaged(picture, everywhere=True), picture, shares)
    return from_units(restored.reshape(np.shape(noisy)), picture.unit, name="the picture")


def shares_of(picture: Picture, sigma: float, data_range: float | None) -> tuple[float, float]:
    """Of a noisy pixel and of a patch over it: as 30 to the noise in grey levels; the larger is 1.

    Their quotient alone may be infinite.
    """
    if data_range is None:
        spread = picture.range[1] - picture.range[0]
    else:
        spread = check_real(data_range, "data_range", low=0) / picture.unit
    largest = float(np.finfo(float).max) / 2
    own, sigma = min(30 / 255 * spread, largest), min(max(sigma, 1 / largest), largest)
    return own / max(own, sigma), sigma / max(own, sigma)


def blended(
    total: np.ndarray, weight: np.ndarray, picture: Picture, shares: tuple[float, float]
) -> np.ndarray:
    """What the patches say of each pixel, averaged with the pixel itself."""
    own, each = shares
    return (each * total + own * picture.pixels) / (each * weight + own)
