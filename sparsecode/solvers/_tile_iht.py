"""Iterative hard thresholding over a tile of signals; the file beside `_tiles` that does it.

The algorithm is `thresholding.iht(variant="accelerated")`, one row a signal. Nothing is summed over
rows, and a row that has settled is left alone: its bits do not depend on the others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import single_threaded_blas
from sparsecode.operators import spectral_norm
from sparsecode.solvers._tiles import TILE, CodeTile, Tile, nonzeros, product


class Rows(NamedTuple):
    """A point for each signal: coefficients, where they may be, and residuals."""

    x: np.ndarray
    support: np.ndarray
    residual: np.ndarray

    def or_else(self, others: Rows, chosen: np.ndarray) -> Rows:
        """These rows, and the others' where `chosen` says so."""
        return Rows(*(np.where(chosen[:, None], b, a) for a, b in zip(self, others, strict=True)))


def iht(D: np.ndarray, n_nonzero_coefs: int, tol: float, max_iter: int) -> CodeTile:
    """Of each signal; the certificate is the last change of the worst one over its size."""
    k, dtype = min(n_nonzero_coefs, *D.shape), D.dtype
    atom_unit = unit_of(magnitude(D), dtype)
    D = to_units(D, atom_unit)
    with single_threaded_blas():
        norm = spectral_norm(D)
    shortest = 1 / (norm * norm) if norm > 0 else 1.0

    def code(tile: np.ndarray, units: np.ndarray) -> Tile:
        x = np.zeros((TILE, D.shape[0]), dtype=dtype)
        before = last = Rows(x, _largest(product(tile, D.T), k), tile)
        changes = np.full(TILE, np.inf)
        for _ in range(max_iter):
            now = _descended(D, tile, last, k, shortest)
            now = _overshot(D, tile, now, before, k)
            moving = changes > tol
            changes = np.where(moving, _change(now.x, last.x), changes)
            before, last = last, last.or_else(now, moving)
            if not np.any(changes > tol):
                break
        codes = from_units(last.x, units, 1 / atom_unit, name="codes")
        return nonzeros(codes, float(changes.max()))

    return code


def _descended(D: np.ndarray, tile: np.ndarray, last: Rows, k: int, shortest: float) -> Rows:
    """The best step on the support, made shorter where the support changes until it must help."""
    gradient = product(last.residual, D.T)
    along = np.where(last.support, gradient, 0)
    trial = np.maximum(_ratio(along, product(along, D)), shortest)
    now, pending = last, np.ones(len(tile), dtype=bool)
    while True:
        there = _point(D, tile, last.x + _column(trial, tile) * gradient, k)
        now = now.or_else(there, pending)
        bound = _ratio(there.x - last.x, there.residual - last.residual)
        pending &= np.any(there.support != last.support, axis=1) & (trial > shortest)
        pending &= (bound > 0) & (trial > 0.99 * bound)
        if not pending.any():
            return now
        trial = np.where(pending, np.maximum(trial / 2, shortest), trial)


def _overshot(D: np.ndarray, tile: np.ndarray, now: Rows, before: Rows, k: int) -> Rows:
    """The best point on the line from `before` through `now`, its k largest entries, if better."""
    direction = now.x - before.x
    image = product(direction, D)
    size = _norms(image)
    pairing = np.sum(image.astype(np.float64) * now.residual, axis=1)
    length = np.divide(pairing, size * size, where=size * size > 0, out=np.zeros(len(tile)))
    there = _point(D, tile, now.x + _column(length, tile) * direction, k)
    slack = 1 + 4 * np.finfo(tile.dtype).eps
    return now.or_else(there, _norms(there.residual) <= slack * _norms(now.residual))


def _point(D: np.ndarray, tile: np.ndarray, u: np.ndarray, k: int) -> Rows:
    support = _largest(u, k)
    x = np.where(support, u, 0)
    return Rows(x, support, tile - product(x, D))


def _largest(u: np.ndarray, k: int) -> np.ndarray:
    """Where the `k` entries of largest absolute value of each row are."""
    mask = np.zeros(u.shape, dtype=bool)
    np.put_along_axis(mask, np.argpartition(-np.abs(u), k - 1, axis=1)[:, :k], True, axis=1)
    return mask


def _ratio(direction: np.ndarray, image: np.ndarray) -> np.ndarray:
    """``||d||^2 / ||d D||^2`` of each row; 0 where ``d D`` vanishes."""
    size = _norms(image)
    return np.divide(_norms(direction), size, where=size > 0, out=np.zeros(len(size))) ** 2


def _change(x: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The distance of two rows over the norm of the larger one."""
    size = np.maximum(_norms(x), _norms(last))
    return np.divide(_norms(x - last), size, where=size > 0, out=np.zeros(len(size)))


def _norms(u: np.ndarray) -> np.ndarray:
    """Of the rows, each on its own, in double precision."""
    return np.sqrt(np.sum(np.square(u, dtype=np.float64), axis=1))


def _column(numbers: np.ndarray, like: np.ndarray) -> np.ndarray:
    return numbers.astype(like.dtype)[:, None]
