"""Lasso codes that coordinate descent did not finish, taken from the exact path instead."""

from __future__ import annotations

import numpy as np

from sparsecode._scaling import from_units
from sparsecode.solvers._tiles import CodeTile, Tile, nonzeros
from sparsecode.solvers.certificates import code_certificates


def finished_by_the_path(
    descent: CodeTile, path: CodeTile, D: np.ndarray, alpha: float, positive: bool, tol: float
) -> CodeTile:
    """Descent crawls between atoms that are nearly one; the path steps from one to the other.

    Of a signal whose certificate is above `tol` the code of the smaller gap is taken.
    """

    def code(tile: np.ndarray, units: np.ndarray) -> Tile:
        descended = descent(tile, units)
        if descended.certificate <= tol:
            return descended
        X = from_units(tile, units, name="signals")
        both = [_dense(coded, D) for coded in (descended, path(tile, units))]
        gaps = [
            code_certificates(X, D, codes, alpha=alpha, positive=positive, n_threads=1)
            for codes in both
        ]
        better = (gaps[0] > tol) & (gaps[1] < gaps[0])
        codes = np.where(better[:, None], both[1], both[0])
        return nonzeros(codes, float(np.where(better, gaps[1], gaps[0]).max()))

    return code


def _dense(coded: Tile, D: np.ndarray) -> np.ndarray:
    codes = np.zeros((len(coded.counts), len(D)), dtype=D.dtype)
    codes[np.repeat(np.arange(len(codes)), coded.counts), coded.indices] = coded.values
    return codes
