"""Pictures from patches, by a dictionary learned from the picture: noise out, holes filled."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammainc, gammaincinv

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import (
    check_array,
    check_int,
    check_random_state,
    check_real,
    check_unused,
)
from sparsecode.operators import overcomplete_dct
from sparsecode.solvers import ksvd, sparse_encode

__all__ = ["denoise", "inpaint"]

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
    picture = _Picture.checked(noisy, "noisy", patch_size)
    sigma = check_real(sigma, "sigma", low=0, open_low=True) / picture.unit
    half = max(1, picture.n_features // 2)  # of what would describe any patch
    coder = _Coder.learned(
        picture, sigma, half, n_components, max_iter, random_state, check_n_threads(n_threads)
    )
    own = _own_weight(picture, sigma, data_range)
    total, weight = coder.averaged(picture, everywhere=True)
    restored = (total + own * picture.pixels) / (weight + own)
    return from_units(restored.reshape(np.shape(noisy)), picture.unit, name="the picture")


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
    picture = _Picture.checked(image, "image", patch_size, mask)
    sigma = check_real(sigma, "sigma", low=0) / picture.unit
    if sigma == 0:
        check_unused("sigma=0", data_range=data_range)
    own = _own_weight(picture, sigma, data_range) if sigma > 0 else 0.0
    low, high = picture.range
    grey_level = (high - low) / 255  # closer fits extrapolate wildly
    n_components = check_int(n_components, "n_components")
    n_nonzero_coefs = check_int(n_nonzero_coefs, "n_nonzero_coefs", high=n_components)
    coder = _Coder.learned(
        picture, max(sigma, grey_level), n_nonzero_coefs, n_components, max_iter, random_state,
        check_n_threads(n_threads),
    )  # fmt: skip
    total, weight = coder.averaged(picture, everywhere=sigma > 0)
    restored = picture.pixels
    if sigma > 0:
        restored = np.where(picture.known, (total + own * restored) / (weight + own), 0)
    while not picture.known.all():
        reached = _best_known(picture)
        filled = np.clip(total / np.where(weight > 0, weight, 1), low, high)
        restored = np.where(reached, filled, restored)
        pixels = np.where(reached, filled, picture.pixels)
        picture = picture._replace(pixels=pixels, known=picture.known | reached)
        total, weight = coder.averaged(picture, everywhere=False)
    return from_units(restored.reshape(np.shape(image)), picture.unit, name="the picture")


class _Picture(NamedTuple):
    """A picture in units, and where it is known."""

    pixels: np.ndarray  # (height, width, n_channels), zero where missing
    known: np.ndarray  # (height, width, 1)
    patch_size: int
    unit: float

    @classmethod
    def checked(cls, image: Any, name: str, patch_size: Any, missing: Any = None) -> _Picture:
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
            known = ~_checked_mask(missing, (height, width))[:, :, None]
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


def _checked_mask(mask: Any, shape: tuple[int, int]) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.shape != shape:
        raise ValueError(f"mask has shape {mask.shape}; it has to be that of the picture, {shape}")
    if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
        raise ValueError("mask has to be True or 1 where a pixel is missing, else False or 0")
    mask = mask.astype(bool)
    if mask.all():
        raise ValueError("mask says that every pixel is missing: nothing is known")
    return mask


def _best_known(picture: _Picture) -> np.ndarray:
    """The missing pixels with a patch that knows much, beside the best one of them all."""
    size = picture.patch_size
    n_known = picture.windows(picture.known).sum(axis=(2, 3))
    around = np.pad(n_known, ((size - 1, size - 1), (size - 1, size - 1), (0, 0)))
    best = np.where(picture.known, 0, picture.windows(around).max(axis=(2, 3)))
    return ~picture.known & (2 * best >= best.max())


def _own_weight(picture: _Picture, sigma: float, data_range: float | None) -> float:
    """Of a noisy pixel beside the patches over it: 30 over the noise in grey levels."""
    if data_range is None:
        spread = picture.range[1] - picture.range[0]
    else:
        spread = check_real(data_range, "data_range", low=0) / picture.unit
    return 30 / 255 * spread / sigma


def gain(n_features: int) -> float:
    """`GAIN` for another number of entries: as many patches of pure noise exceed it."""
    surely_noise = gammainc(32, 32 * GAIN**2)  # the law of chi squared
    return math.sqrt(gammaincinv(n_features / 2, surely_noise) / (n_features / 2))


class _Signals(NamedTuple):
    """Patches as signals: without their means, in units of the residual they may have."""

    X: np.ndarray  # NaN where missing
    means: np.ndarray
    targets: np.ndarray
    weights: np.ndarray  # the shares of known pixels


class _Coder(NamedTuple):
    """Atoms, and how patches are coded in them."""

    D: np.ndarray
    targets: np.ndarray  # the norm of a residual, by the number of known pixels
    n_nonzero_coefs: int
    n_threads: int

    @classmethod
    def learned(
        cls, picture: _Picture, sigma: float, n_nonzero_coefs: int, n_components: int,
        max_iter: int, random_state: Any, n_threads: int,
    ) -> _Coder:  # fmt: skip
        """By K-SVD from some of the patches, cosines first."""
        n_components = check_int(n_components, "n_components")
        max_iter, rng = check_int(max_iter, "max_iter", low=0), check_random_state(random_state)
        n_channels, dtype = picture.pixels.shape[2], picture.pixels.dtype
        targets = np.ones(picture.patch_size**2 + 1, dtype=dtype)
        if sigma > 0:
            sizes = n_channels * np.arange(1, len(targets))
            targets[1:] = [gain(n) * sigma * math.sqrt(n) for n in sizes]
        D = cosines(n_components, picture.patch_size, n_channels).astype(dtype)
        coder = cls(D, targets, min(n_nonzero_coefs, n_components), n_threads)
        if max_iter == 0:
            return coder
        windows, known = picture.windows(picture.pixels), picture.windows(picture.known)
        grid = windows.shape[:2]
        order = rng.permutation(math.prod(grid))
        if not picture.known.all():
            order = order[known.any(axis=(2, 3, 4)).ravel()[order]]
        chosen = np.unravel_index(order[:N_TRAINING], grid)
        X = coder.signals(windows[chosen], known[chosen]).X
        result = ksvd(
            X, n_components, init=D, max_iter=max_iter, random_state=rng, **coder.options(X),
            n_threads=n_threads,
        )  # fmt: skip
        return coder._replace(D=result.dictionary)

    def signals(self, patches: np.ndarray, known: np.ndarray) -> _Signals:
        n_known = known.sum(axis=(-3, -2, -1), keepdims=True)
        means = patches.sum(axis=(-3, -2), keepdims=True) / np.maximum(n_known, 1)
        targets = self.targets[n_known]
        X = (patches - means.astype(patches.dtype)) / targets
        X[~np.broadcast_to(known, X.shape)] = np.nan
        weights = (n_known / (len(self.targets) - 1)).astype(X.dtype)
        return _Signals(X.reshape(-1, self.D.shape[1]), means, targets, weights)

    def options(self, X: np.ndarray) -> dict[str, Any]:
        """How signals are coded."""
        return {
            "n_nonzero_coefs": self.n_nonzero_coefs,
            "residual_tol": 1.0,
            "missing_values": np.nan if np.isnan(X).any() else None,
        }

    def averaged(self, picture: _Picture, *, everywhere: bool) -> tuple[np.ndarray, np.ndarray]:
        """The weighted sum over all patches of what codes make of them, and that of the weights.

        Or only where a pixel is missing, and about there.
        """
        windows, known = picture.windows(picture.pixels), picture.windows(picture.known)
        reach = TILE + picture.patch_size - 1
        corners = itertools.product(*(range(0, side, TILE) for side in windows.shape[:2]))
        places = [
            (slice(top, top + TILE), slice(left, left + TILE))
            for top, left in corners
            if everywhere or not picture.known[top : top + reach, left : left + reach].all()
        ]

        def restored(place: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
            X, means, targets, weights = self.signals(windows[place], known[place])
            codes = sparse_encode(X, self.D, n_threads=1, **self.options(X))
            patches = (codes @ self.D).reshape(windows[place].shape) * targets + means
            return _overlaid(patches * weights), _overlaid(
                np.broadcast_to(weights, known[place].shape)
            )

        total = np.zeros_like(picture.pixels)
        weight = np.zeros(picture.known.shape, dtype=total.dtype)
        for place, part in zip(places, map_tiles(restored, places, self.n_threads), strict=True):
            rows, columns = part[1].shape[:2]
            here = (
                slice(place[0].start, place[0].start + rows),
                slice(place[1].start, place[1].start + columns),
            )
            total[here] += part[0]
            weight[here] += part[1]
        return total, weight


def cosines(n_components: int, patch_size: int, n_channels: int) -> np.ndarray:
    """Products of overcomplete cosines along rows, columns and channels; the lowest ones."""
    side = math.ceil(math.sqrt(n_components / n_channels))
    one = overcomplete_dct(side, patch_size)
    D = np.einsum("ai,bj,ck->abcijk", one, one, overcomplete_dct(n_channels, n_channels))
    a, b, c = np.indices(D.shape[:3]).reshape(3, -1)
    order = np.argsort(a * a + b * b + c * c, kind="stable")[:n_components]
    return D.reshape(side * side * n_channels, -1)[np.sort(order)]


def _overlaid(patches: np.ndarray) -> np.ndarray:
    """The sum of patches side by side, each moved by one pixel."""
    rows, columns, size, _, n_channels = patches.shape
    total = np.zeros((rows + size - 1, columns + size - 1, n_channels), dtype=patches.dtype)
    for i, j in np.ndindex(size, size):
        total[i : i + rows, j : j + columns] += patches[:, :, i, j]
    return total
