"""The convolution with all atoms as an operator, and the descent on codes that it makes cheap."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.fft
from scipy.sparse.linalg import LinearOperator

from sparsecode.penalties import Penalty
from sparsecode.solvers.splitting import _admm

RELAXATION = 1.6


class Convolution(LinearOperator):
    """Codes of all atoms, one signal's a column, to signals; periodic at the border."""

    def __init__(self, D: np.ndarray, grid: tuple[int, ...], n_threads: int) -> None:
        super().__init__(D.dtype, (math.prod(grid), len(D) * math.prod(grid)))
        self.grid, self.n_threads, self.n_atoms = grid, n_threads, len(D)
        self.spectrum = scipy.fft.rfftn(D, grid, axes=range(1, D.ndim))[..., None]

    def transformed(self, X: np.ndarray) -> np.ndarray:
        """The spectra of columns: (..., frequencies, n_signals)."""
        X = X.reshape(-1, *self.grid, X.shape[-1])
        return scipy.fft.rfftn(X, axes=range(1, X.ndim - 1), workers=self.n_threads)

    def columns(self, spectra: np.ndarray) -> np.ndarray:
        """The way back."""
        axes = range(1, spectra.ndim - 1)
        X = scipy.fft.irfftn(spectra, self.grid, axes=axes, workers=self.n_threads)
        return X.reshape(-1, X.shape[-1])

    def _matmat(self, X: np.ndarray) -> np.ndarray:
        spectra = self.transformed(X)
        return self.columns(np.sum(self.spectrum * spectra, axis=0, keepdims=True))

    def _rmatmat(self, Y: np.ndarray) -> np.ndarray:
        return self.columns(self.spectrum.conj() * self.transformed(Y))

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._matmat(x.reshape(-1, 1))

    def _rmatvec(self, y: np.ndarray) -> np.ndarray:
        return self._rmatmat(y.reshape(-1, 1))

    @property
    def energy(self) -> np.ndarray:
        """``sum_k |d_k|^2`` at each frequency: the eigenvalues of ``A A^*``."""
        return np.sum(self.spectrum.real**2 + self.spectrum.imag**2, axis=0, keepdims=True)

    def ridge(self, y: np.ndarray) -> Any:
        """The minimiser of ``0.5 * ||y - A x||^2 + rho / 2 * ||x - v||^2``, given `v` and `rho`.

        At each frequency a system of rank one, by Sherman and Morrison.
        """
        target, energy = self.transformed(y), self.energy

        def solve(v: np.ndarray, rho: float) -> np.ndarray:
            missed = target - np.sum(self.spectrum * self.transformed(v), axis=0, keepdims=True)
            return v + self.columns(self.spectrum.conj() * (missed / (energy + rho)))

        return solve

    def descent(
        self, y: np.ndarray, penalty: Penalty, alpha: Any, start: np.ndarray, *, balance: bool
    ) -> Iterator[np.ndarray]:
        """Codes of the columns of `y` by the alternating direction method of multipliers."""
        return _admm(
            self.ridge(y),
            lambda v, rho: penalty.prox(v, alpha / rho),
            float(np.mean(self.energy)) or 1.0,
            RELAXATION,
            balance,
            start,
            self.H @ (y - self @ start),
        )


def check_size(atom: tuple[int, ...], grid: tuple[int, ...]) -> None:
    if len(atom) != len(grid) or any(a > n for a, n in zip(atom, grid, strict=True)):
        raise ValueError(f"an atom of shape {atom} does not fit into a signal of shape {grid}")
