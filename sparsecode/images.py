"""Pictures from patches: noise taken out by a dictionary learned from the picture itself."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammainc, gammaincinv

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import (
    RandomSource,
    check_array,
    check_int,
    check_random_state,
    check_real,
)
from sparsecode.operators import overcomplete_dct
from sparsecode.solvers import ksvd, sparse_encode

__all__ = ["denoise"]

N_TRAINING = 65_000  # patches that a dictionary is learned from, at the most
TILE = 64  # patches a side that are in memory at once, in each thread
GAIN = 1.15  # by which a residual of 8 x 8 pixels may exceed the noise (Elad and Aharon)


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
    picture = _Picture.checked(noisy, "noisy", patch_size)
    sigma = check_real(sigma, "sigma", low=0, open_low=True)
    n_threads = check_n_threads(n_threads)
    if data_range is None:
        spread = float(picture.pixels.max()) - float(picture.pixels.min())
    else:
        spread = check_real(data_range, "data_range", low=0) / picture.unit
    sigma = sigma / picture.unit
    target = gain(picture.n_features) * sigma * math.sqrt(picture.n_features)
    D = _learned(picture, target, n_components, max_iter, check_random_state(random_state),
                 n_threads)  # fmt: skip
    total, weight = _averaged(picture, D, target, n_threads)
    own = 30 / 255 * spread / sigma
    restored = (total + own * picture.pixels) / (weight + own)
    return from_units(restored.reshape(np.shape(noisy)), picture.unit, name="the picture")


class _Picture(NamedTuple):
    """A picture in units, with what its patches are."""

    pixels: np.ndarray  # (height, width, n_channels)
    patch_size: int
    unit: float

    @classmethod
    def checked(cls, image: Any, name: str, patch_size: Any) -> _Picture:
        pixels = check_array(image, name, ndim=(2, 3))
        patch_size = check_int(patch_size, "patch_size")
        if min(pixels.shape[:2]) < patch_size:
            raise ValueError(
                f"{name} is {pixels.shape[0]} x {pixels.shape[1]} pixels, less than a patch of "
                f"{patch_size} x {patch_size}; lower patch_size"
            )
        unit = unit_of(magnitude(pixels), pixels.dtype)
        pixels = np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], -1))
        return cls(to_units(pixels, unit), patch_size, unit)

    @property
    def n_features(self) -> int:
        return self.patch_size**2 * self.pixels.shape[2]

    @property
    def windows(self) -> np.ndarray:
        """A view: (rows, columns, patch_size, patch_size, n_channels)."""
        size = (self.patch_size, self.patch_size)
        views = np.lib.stride_tricks.sliding_window_view(self.pixels, size, axis=(0, 1))
        return np.moveaxis(views, 2, -1)


def gain(n_features: int) -> float:
    """The same for another number of entries: exceeded by as many patches of pure noise."""
    surely_noise = gammainc(32, 32 * GAIN**2)  # the law of chi squared
    return math.sqrt(gammaincinv(n_features / 2, surely_noise) / (n_features / 2))


def _learned(
    picture: _Picture,
    target: float,
    n_components: int,
    max_iter: int,
    rng: RandomSource,
    n_threads: int,
) -> np.ndarray:
    """The atoms, from patches without their means."""
    n_components = check_int(n_components, "n_components")
    max_iter = check_int(max_iter, "max_iter", low=0)
    windows = picture.windows
    grid = windows.shape[:2]
    chosen = rng.permutation(math.prod(grid))[:N_TRAINING]
    patches = windows[np.unravel_index(chosen, grid)]
    D = cosines(n_components, picture.patch_size, picture.pixels.shape[2])
    D = D.astype(patches.dtype)
    if max_iter == 0:
        return D
    X = (patches - patches.mean(axis=(1, 2), keepdims=True)).reshape(len(patches), -1)
    return ksvd(
        X, n_components, n_nonzero_coefs=_limit(D), residual_tol=target, init=D,
        max_iter=max_iter, random_state=rng, n_threads=n_threads,
    ).dictionary  # fmt: skip


def _limit(D: np.ndarray) -> int:
    """Atoms a patch at the most: half of what would describe any patch."""
    return max(1, min(len(D), D.shape[1] // 2))


def cosines(n_components: int, patch_size: int, n_channels: int) -> np.ndarray:
    """Products of overcomplete cosines along rows, columns and channels; the lowest ones."""
    side = math.ceil(math.sqrt(n_components / n_channels))
    one = overcomplete_dct(side, patch_size)
    D = np.einsum("ai,bj,ck->abcijk", one, one, overcomplete_dct(n_channels, n_channels))
    a, b, c = np.indices(D.shape[:3]).reshape(3, -1)
    order = np.argsort(a * a + b * b + c * c, kind="stable")[:n_components]
    return D.reshape(side * side * n_channels, -1)[np.sort(order)]


def _averaged(
    picture: _Picture, D: np.ndarray, target: float, n_threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """The sum over all patches of what their codes make of them, and how many there are."""
    windows, size = picture.windows, picture.patch_size
    corners = [range(0, side, TILE) for side in windows.shape[:2]]
    tiles = list(itertools.product(corners[0], corners[1]))

    def restored(corner: tuple[int, int]) -> np.ndarray:
        top, left = corner
        patches = windows[top : top + TILE, left : left + TILE]
        means = patches.mean(axis=(2, 3), keepdims=True)
        X = (patches - means).reshape(-1, picture.n_features)
        codes = sparse_encode(X, D, n_nonzero_coefs=_limit(D), residual_tol=target, n_threads=1)
        return _overlaid((codes @ D).reshape(patches.shape) + means)

    total = np.zeros_like(picture.pixels)
    for (top, left), part in zip(tiles, map_tiles(restored, tiles, n_threads), strict=True):
        rows, columns = part.shape[:2]
        total[top : top + rows, left : left + columns] += part
    over = [np.convolve(np.ones(side), np.ones(size)) for side in windows.shape[:2]]
    return total, np.outer(*over)[:, :, None].astype(total.dtype)


def _overlaid(patches: np.ndarray) -> np.ndarray:
    """The sum of patches side by side, each moved by one pixel."""
    rows, columns, size, _, n_channels = patches.shape
    total = np.zeros((rows + size - 1, columns + size - 1, n_channels), dtype=patches.dtype)
    for i, j in np.ndindex(size, size):
        total[i : i + rows, j : j + columns] += patches[:, :, i, j]
    return total
