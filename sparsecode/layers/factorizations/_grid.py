r"""Grids of equally spaced numbers, one for each group of entries, and the best spacing of each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SHRINK = 12  # spacings that are tried, as parts of the one that clips nothing
REFINE = 2  # least-squares steps after the best of them


class Groups(NamedTuple):
    """How the entries of an array (m, n) share their scales.

    Groups are runs of `size` entries of a row, the last of a row being shorter, or, where `size` is
    at least `n`, ``size // n`` whole rows.
    """

    shape: tuple[int, int]
    size: int

    @property
    def inside_rows(self) -> bool:
        """Whether a row has several groups."""
        return self.size < self.shape[1]

    @property
    def rows(self) -> int:
        """The rows a group spans."""
        return 1 if self.inside_rows else max(1, self.size // max(1, self.shape[1]))

    @property
    def counts(self) -> tuple[int, int]:
        """The groups down the rows, and along one."""
        m, n = self.shape
        return -(-m // self.rows), -(-n // self.size) if self.inside_rows else min(n, 1)

    @property
    def number(self) -> int:
        """All groups."""
        down, along = self.counts
        return down * along

    def split(self, X: np.ndarray) -> np.ndarray:
        """The entries, one group a row, short groups filled up with zeros."""
        (m, n), (down, along) = self.shape, self.counts
        width = self.size if self.inside_rows else n
        fill = (down * self.rows - m, along * width - n)
        if any(fill):
            X = np.pad(X, ((0, fill[0]), (0, fill[1])))
        return X.reshape(self.number, -1)

    def spread(self, per_group: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """What belongs to the entries of some rows; it broadcasts against them."""
        (m, n), (down, along) = self.shape, self.counts
        of_rows = per_group.reshape(down, along)[np.arange(m)[rows] // self.rows]
        return np.repeat(of_rows, self.size, axis=1)[:, :n] if self.inside_rows else of_rows


class Grid(NamedTuple):
    """``value = scale * (code - zero)`` for codes of ``0`` to ``2**bits - 1``, by group.

    The scales are float16 numbers, times ``2**exponent``; they may be negative. `zeros` of None is
    the middle: ``2**(bits - 1)``, or a half for a single bit, whose two values are then opposite.
    """

    bits: int
    exponent: int
    scales: np.ndarray
    zeros: np.ndarray | None

    @property
    def middle(self) -> float:
        """The zero point of a symmetric grid."""
        return 2.0 ** (self.bits - 1) if self.bits > 1 else 0.5

    def steps(self, dtype: np.dtype) -> np.ndarray:
        """The scales in full."""
        with np.errstate(under="ignore", over="ignore"):
            return np.ldexp(self.scales.astype(np.float64), self.exponent).astype(dtype)

    def origins(self, dtype: np.dtype) -> np.ndarray:
        """The zero points."""
        if self.zeros is None:
            return np.full(self.scales.shape, self.middle, dtype=dtype)
        return self.zeros.astype(dtype)


def nearest(X: np.ndarray, step: np.ndarray, origin: np.ndarray, bits: int) -> np.ndarray:
    """The codes, as floats, of what is nearest on the grid."""
    parts = inverse(step, X.dtype)
    with np.errstate(over="ignore", under="ignore"):
        codes = np.rint(X * parts + origin)
    return np.clip(codes, 0, 2**bits - 1, out=codes)


def inverse(step: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """One over the steps, 0 where there is none."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        found = np.where(step != 0, 1 / step, 0).astype(dtype)
    found[~np.isfinite(found)] = 0
    return found


def common_exponent(X: np.ndarray, bits: int) -> int:
    """A power of two in whose units the scales of all grids are about one at the most."""
    largest = max(float(X.max(initial=0)), -float(X.min(initial=0)))
    return int(np.frexp(largest)[1]) - bits + 1


def best_grid(
    X: np.ndarray, weights: np.ndarray | None, bits: int, exponent: int, symmetric: bool
) -> Grid:
    r"""The spacing of each row's grid by a small search.

    .. math:: \min_{s, z} \sum_j h_j \bigl(x_j - s\,(c_j - z)\bigr)^2,
              \qquad c_j = \mathrm{clip}\bigl(\mathrm{round}(x_j / s + z)\bigr)

    over spacings that are parts of the one that clips nothing, then alternately over `s` by least
    squares and over the codes. No answer is worse than that of the largest entries.
    """
    low, high = np.minimum(X.min(axis=1), 0), np.maximum(X.max(axis=1), 0)
    low, high = low.astype(np.float64), high.astype(np.float64)
    top = 2**bits - 1
    # The lowest code is further from the middle than the highest: it is for the largest entry.
    signs = np.where(high > -low, -1.0, 1.0)
    widest = signs * np.maximum(-low, high) / (2 ** (bits - 1) if bits > 1 else 0.5)
    zeros = None
    if not symmetric:
        widest = (high - low) / top
        ratio = np.divide(-low, widest, out=np.zeros_like(low), where=widest > 0)
        zeros = np.clip(np.rint(ratio), 0, top).astype(np.uint8)

    def grid(steps: np.ndarray) -> Grid:
        with np.errstate(over="ignore", under="ignore"):
            short = np.ldexp(steps, -exponent).clip(-65504, 65504).astype(np.float16)
        return Grid(bits, exponent, short, zeros)

    best = grid(widest)
    error, ideal = _fit(X, weights, best)
    for part in np.linspace(1, 0.3 if bits < 6 else 0.6, SHRINK)[1:]:
        best, error, ideal = _better(X, weights, grid(part * widest), best, error, ideal)
    for _ in range(REFINE):
        best, error, ideal = _better(X, weights, grid(ideal), best, error, ideal)
    return best


def _better(
    X: np.ndarray,
    weights: np.ndarray | None,
    other: Grid,
    best: Grid,
    error: np.ndarray,
    ideal: np.ndarray,
) -> tuple[Grid, np.ndarray, np.ndarray]:
    error_of_other, ideal_of_other = _fit(X, weights, other)
    wins = error_of_other < error
    scales = np.where(wins, other.scales, best.scales)
    return (
        best._replace(scales=scales),
        np.where(wins, error_of_other, error),
        np.where(wins, ideal_of_other, ideal),
    )


def _fit(X: np.ndarray, weights: np.ndarray | None, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The weighted error of each row, and the step that is best for its codes."""
    from sparsecode.solvers._kernels.grids import round_groups

    error, product, square = (np.empty(len(X)) for _ in range(3))
    step, origin = grid.steps(X.dtype), grid.origins(X.dtype)
    counted = np.ones((1, 1), X.dtype) if weights is None else np.ascontiguousarray(weights)
    round_groups(
        np.ascontiguousarray(X), counted, weights is not None, step, inverse(step, X.dtype),
        origin, 2**grid.bits - 1, error, product, square,
    )  # fmt: skip
    current = step.astype(np.float64)
    return error, np.divide(product, square, out=current, where=square > 0)
