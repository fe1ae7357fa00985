"""Patches coded in atoms learned from them, and put together again, tile by tile."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammainc, gammaincinv

from sparsecode._scaling import magnitude
from sparsecode._threads import map_tiles
from sparsecode._validation import check_int, check_n_components, check_random_state
from sparsecode.images._picture import Picture
from sparsecode.operators import overcomplete_dct
from sparsecode.solvers import ksvd, sparse_encode

N_TRAINING = 65_000  # patches that a dictionary is learned from, at the most
TILE = 64  # patches a side that are in memory at once, in each thread
GAIN = 1.15  # by which a residual of 8 x 8 pixels may exceed the noise (Elad and Aharon)


def gain(n_features: int) -> float:
    """`GAIN` for another number of entries: as many patches of pure noise exceed it."""
    surely_noise = gammainc(32, 32 * GAIN**2)  # the law of chi squared
    return math.sqrt(gammaincinv(n_features / 2, surely_noise) / (n_features / 2))


class Signals(NamedTuple):
    """Patches as signals: without their means, in units of the residual they may have."""

    X: np.ndarray  # NaN where missing
    means: np.ndarray
    targets: np.ndarray
    weights: np.ndarray  # the shares of known pixels


class PatchCoder(NamedTuple):
    """Atoms, and how patches are coded in them."""

    D: np.ndarray
    targets: np.ndarray  # the norm of a residual, by the number of known pixels
    n_nonzero_coefs: int
    n_threads: int

    @classmethod
    def learned(
        cls, picture: Picture, sigma: float, n_nonzero_coefs: int, n_components: int,
        max_iter: int, random_state: Any, n_threads: int,
    ) -> PatchCoder:  # fmt: skip
        """By K-SVD from some of the patches, cosines first."""
        n_components = check_n_components(n_components, picture.n_features)
        max_iter, rng = check_int(max_iter, "max_iter", low=0), check_random_state(random_state)
        n_channels, dtype = picture.pixels.shape[2], picture.pixels.dtype
        targets = np.ones(picture.patch_size**2 + 1, dtype=dtype)
        size = magnitude(picture.pixels)
        if sigma > 0 and size > 0:
            # Below rounding all is kept, and above any patch nothing is: without these ends the
            # targets would leave the range.
            sigma = min(max(sigma, float(np.finfo(dtype).eps) * size), 4 * size)
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

    def signals(self, patches: np.ndarray, known: np.ndarray) -> Signals:
        n_known = known.sum(axis=(-3, -2, -1), keepdims=True)
        means = patches.sum(axis=(-3, -2), keepdims=True) / np.maximum(n_known, 1)
        targets = self.targets[n_known]
        X = (patches - means.astype(patches.dtype)) / targets
        X[~np.broadcast_to(known, X.shape)] = np.nan
        weights = (n_known / (len(self.targets) - 1)).astype(X.dtype)
        return Signals(X.reshape(-1, self.D.shape[1]), means, targets, weights)

    def options(self, X: np.ndarray) -> dict[str, Any]:
        """How signals are coded."""
        return {
            "n_nonzero_coefs": self.n_nonzero_coefs,
            "residual_tol": 1.0,
            "missing_values": np.nan if np.isnan(X).any() else None,
        }

    def averaged(self, picture: Picture, *, everywhere: bool) -> tuple[np.ndarray, np.ndarray]:
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
