"""The convolution with all atoms as an operator, and where signals and codes lie on its grid."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from scipy.sparse.linalg import LinearOperator

from sparsecode._threads import at_most_cores

BOUNDARIES = ("full", "periodic", "valid")


class Domain(NamedTuple):
    """Where signals and codes lie on the grid of the transforms, on which all is periodic.

    Past the border there is grid enough that nothing goes round, unless that is asked for.
    """

    signal: tuple[int, ...]
    atom: tuple[int, ...]
    boundary: str

    @classmethod
    def checked(cls, signal: tuple[int, ...], atom: tuple[int, ...], boundary: str) -> Domain:
        """Of atoms that fit into the signals."""
        if len(atom) != len(signal) or any(a > n for a, n in zip(atom, signal, strict=True)):
            raise ValueError(
                f"an atom of shape {atom} does not fit into a signal of shape {signal} in X"
            )
        return cls(signal, atom, boundary)

    @classmethod
    def of_codes(cls, places: tuple[int, ...], atom: tuple[int, ...], boundary: str) -> Domain:
        """The same from the shape of the codes of an atom."""
        more = {"periodic": 0, "valid": -1, "full": 1}[boundary]
        signal = tuple(n + more * (a - 1) for n, a in zip(places, atom, strict=True))
        if any(n < 1 for n in signal):
            raise ValueError(
                f"codes at {places} places are too few for atoms of shape {atom} with "
                f"boundary={boundary!r}"
            )
        return cls(signal, atom, boundary)

    @property
    def places(self) -> tuple[int, ...]:
        """Where an atom may stand."""
        more = {"periodic": 0, "valid": 1, "full": -1}[self.boundary]
        return tuple(n + more * (a - 1) for n, a in zip(self.signal, self.atom, strict=True))

    @property
    def grid(self) -> tuple[int, ...]:
        if self.boundary == "periodic":
            return self.signal
        sides = (max(pair) for pair in zip(self.signal, self.places, strict=True))
        return tuple(scipy.fft.next_fast_len(side, real=True) for side in sides)

    @property
    def window(self) -> tuple[slice, ...]:
        """The signal on the grid."""
        first = tuple(a - 1 if self.boundary == "valid" else 0 for a in self.atom)
        return tuple(slice(i, i + n) for i, n in zip(first, self.signal, strict=True))

    def on_grid(self, X: np.ndarray, region: tuple[slice, ...], fill: float = 0) -> np.ndarray:
        """Columns from (n_signals, n, *region): zero, or what else, on the rest of the grid."""
        whole = np.full((X.shape[1], *self.grid, len(X)), fill, dtype=X.dtype)
        whole[(slice(None), *region)] = np.moveaxis(X, 0, -1)
        return whole.reshape(-1, len(X))

    def off_grid(self, columns: np.ndarray, region: tuple[slice, ...]) -> np.ndarray:
        """The way back."""
        whole = columns.reshape(-1, *self.grid, columns.shape[-1])
        return np.ascontiguousarray(np.moveaxis(whole[(slice(None), *region)], -1, 0))

    @property
    def region(self) -> tuple[slice, ...]:
        """The codes on the grid."""
        return tuple(slice(n) for n in self.places)


class Convolution(LinearOperator):
    """Codes of all atoms, one signal's a column, to signals with channels."""

    def __init__(self, D: np.ndarray, domain: Domain, n_threads: int) -> None:
        """`D` is (n_components, n_channels, *atom)."""
        self.domain, self.grid = domain, domain.grid
        self.n_threads = at_most_cores(n_threads)
        self.energy = (
            float(np.sum(D * D, dtype=np.float64)) / D.shape[1]
        )  # the mean eigenvalue of ``A A^*``
        size = math.prod(self.grid)
        super().__init__(D.dtype, (D.shape[1] * size, len(D) * size))
        self.spectrum = scipy.fft.rfftn(
            D, self.grid, axes=range(2, D.ndim), workers=self.n_threads
        )  # (n_components, n_channels, *frequencies)
        self.inside: np.ndarray | None = None
        if domain.places != self.grid:
            self.inside = np.zeros((*self.grid, 1), dtype=bool)
            self.inside[domain.region] = True

    def transformed(self, X: np.ndarray) -> np.ndarray:
        """The spectra of columns: (..., *frequencies, n_signals)."""
        X = X.reshape(-1, *self.grid, X.shape[-1])
        return scipy.fft.rfftn(X, axes=range(1, X.ndim - 1), workers=self.n_threads)

    def columns(self, spectra: np.ndarray) -> np.ndarray:
        """The way back."""
        axes = range(1, spectra.ndim - 1)
        X = scipy.fft.irfftn(spectra, self.grid, axes=axes, workers=self.n_threads)
        return X.reshape(-1, X.shape[-1])

    def summed(self, codes: np.ndarray) -> np.ndarray:
        """Spectra of codes to those of signals; no array of the size of all products."""
        atoms = self.spectrum[..., None]
        total = atoms[0] * codes[0]
        for atom, code in zip(atoms[1:], codes[1:], strict=True):
            total += atom * code
        return total

    def correlated(self, signals: np.ndarray) -> np.ndarray:
        """The adjoint, from spectra of signals to those of codes."""
        atoms = self.spectrum[..., None].conj()
        total = atoms[:, 0] * signals[0]
        for channel in range(1, len(signals)):
            total += atoms[:, channel] * signals[channel]
        return total

    def allowed(self, X: np.ndarray) -> np.ndarray:
        """Codes with zeros where no atom may stand."""
        if self.inside is None:
            return X
        return (X.reshape(-1, *self.grid, X.shape[-1]) * self.inside).reshape(X.shape)

    def _matmat(self, X: np.ndarray) -> np.ndarray:
        return self.columns(self.summed(self.transformed(self.allowed(X))))

    def _rmatmat(self, Y: np.ndarray) -> np.ndarray:
        return self.allowed(self.columns(self.correlated(self.transformed(Y))))

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._matmat(x.reshape(-1, 1))

    def _rmatvec(self, y: np.ndarray) -> np.ndarray:
        return self._rmatmat(y.reshape(-1, 1))

    @cached_property
    def _eigen(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the smaller Gram matrix at each frequency: values (r, *f, 1), vectors (*f, r, r)."""
        S = np.moveaxis(self.spectrum, (0, 1), (-1, -2))  # (*frequencies, n_channels, n_components)
        if S.shape[-2] == 1 or S.shape[-1] == 1:
            values = np.sum(S.real**2 + S.imag**2, axis=(-2, -1))
            return values[None, ..., None], np.empty(0)
        adjoint = S.conj().swapaxes(-1, -2)
        values, vectors = np.linalg.eigh(S @ adjoint if self.wide else adjoint @ S)
        return np.moveaxis(np.maximum(values, 0), -1, 0)[..., None], vectors

    @property
    def wide(self) -> bool:
        """Whether there are at least as many atoms as channels."""
        return self.spectrum.shape[0] >= self.spectrum.shape[1]

    def _regularized_inverse(self, b: np.ndarray, rho: float) -> np.ndarray:
        """Spectra over the smaller Gram matrix plus `rho`."""
        values, vectors = self._eigen
        if not vectors.size:
            return b / (values + rho)
        turned = vectors.conj().swapaxes(-1, -2) @ np.moveaxis(b, 0, -2)
        turned /= np.moveaxis(values, 0, -2) + rho
        return np.moveaxis(vectors @ turned, -2, 0)

    def nearest(self, v: np.ndarray, target: np.ndarray, rho: float) -> tuple[Any, Any]:
        """The minimiser of ``||y - A x||^2 + rho ||x - v||^2``, and the spectra of its ``A x``.

        At each frequency a system as large as there are channels, by Woodbury's identity; `target`
        are the spectra of `y`.
        """
        found = self.summed(self.transformed(v))
        missed = target - found
        if self.wide:
            step = self.correlated(self._regularized_inverse(missed, rho))
        else:
            step = self._regularized_inverse(self.correlated(missed), rho)
        return v + self.columns(step), found + self.summed(step)
