"""What lies under a convolution's kernel at each of its output positions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_TILE = 1 << 22  # entries of the rows made at a time


class Geometry(NamedTuple):
    """How a convolution's kernel walks over its input, axis by axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]  # padding
    after: tuple[int, ...]
    mode: str = "constant"  # of numpy.pad


def same_padding(
    sides: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    *,
    more_after: bool = True,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding that gives ``ceil(side / stride)`` outputs an axis, the odd one at one end.

    Examples
    --------
    >>> from sparsecode.layers.patches import same_padding
    >>> same_padding((7, 8), (4, 4), (1, 2), (1, 1))
    ((1, 1), (2, 1))
    """
    less, more = [], []
    for side, k, s, d in zip(sides, kernel, stride, dilation, strict=True):
        total = max((-(-side // s) - 1) * s + d * (k - 1) + 1 - side, 0)
        less.append(total // 2)
        more.append(total - total // 2)
    return (tuple(less), tuple(more)) if more_after else (tuple(more), tuple(less))


def windows(X: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The patches of inputs (N, C, *sides) as a view (N, *positions, C, *kernel).

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers.patches import Geometry, windows
    >>> plain = Geometry((2,), (1,), (1,), (0,), (0,))
    >>> windows(np.array([[[1, 2, 3]]]), plain)[0, :, 0]
    array([[1, 2],
           [2, 3]])
    """
    kernel, stride, dilation, before, after, mode = geometry
    n_axes = len(kernel)
    margins = [(0, 0), (0, 0), *zip(before, after, strict=True)]
    padded = np.pad(X, margins, mode=mode) if any(map(any, margins)) else X  # type: ignore[call-overload]
    extents = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    axes = tuple(range(2, 2 + n_axes))
    view = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=axes)
    positions = tuple(slice(None, None, s) for s in stride)
    taps = tuple(slice(None, None, d) for d in dilation)
    return np.moveaxis(view[(slice(None), slice(None), *positions, *taps)], 1, 1 + n_axes)


def patch_rows(
    X: np.ndarray, geometry: Geometry, most: int, rng: np.random.Generator
) -> tuple[Iterator[np.ndarray], int]:
    """The patches as rows (n, C * prod(kernel)), in tiles, and how many there are in all.

    Where there are more than `most`, that many of them, drawn without replacement.
    """
    view = windows(X, geometry)
    places = view.shape[: 1 + len(geometry.kernel)]
    total = math.prod(places)
    chosen = np.arange(total) if total <= most else np.sort(rng.choice(total, most, replace=False))
    step = max(1, _TILE // max(math.prod(view.shape[len(places) :]), 1))

    def tiles() -> Iterator[np.ndarray]:
        for start in range(0, len(chosen), step):
            here = chosen[start : start + step]
            yield view[np.unravel_index(here, places)].reshape(len(here), -1)

    return tiles(), total
