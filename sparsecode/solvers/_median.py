"""The median of the entries of a matrix, without a copy of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sparsecode._mapped import row_tiles

DIGIT = 16  # bits that are counted at once
FEW = 2**20  # entries that may be gathered


def median_size(X: np.ndarray) -> float:
    """Of the absolute values of the entries that are there; of two in the middle, the larger.

    Numbers that are not negative are in the order of their bits. So the first digit of the median
    is found by counting; then what has that digit is gathered, or its next digit counted.
    """
    kind = np.dtype(f"u{X.dtype.itemsize}")
    shift, prefix, place = 8 * kind.itemsize, 0, -1
    while True:
        shift -= DIGIT
        counts = np.zeros(2**DIGIT, dtype=np.int64)
        for bits in _with_prefix(X, kind, prefix, shift + DIGIT):
            digits = (bits >> kind.type(shift)) & kind.type(2**DIGIT - 1)
            counts += np.bincount(digits.astype(np.int64), minlength=2**DIGIT)
        up_to = np.cumsum(counts)
        place = up_to[-1] // 2 if place < 0 else place
        digit = int(np.searchsorted(up_to, place, side="right"))
        place -= up_to[digit] - counts[digit]
        prefix = (prefix << DIGIT) + digit
        if shift == 0 or counts[digit] <= FEW:
            break
    found = np.concatenate(list(_with_prefix(X, kind, prefix, shift))) if shift else None
    median = np.partition(found, place)[place] if found is not None else kind.type(prefix)
    return float(median.view(X.dtype))


def _with_prefix(X: np.ndarray, kind: np.dtype, prefix: int, shift: int) -> Iterator[np.ndarray]:
    """The bits of the absolute values that, without the last `shift` of them, are these."""
    for rows in row_tiles(X):
        sizes = np.abs(X[rows]).ravel()
        bits = sizes[~np.isnan(sizes)].view(kind)
        yield bits if shift == 8 * kind.itemsize else bits[bits >> kind.type(shift) == prefix]
