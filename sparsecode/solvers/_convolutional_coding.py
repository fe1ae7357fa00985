"""Convolutional codes by splitting, with or without entries that were not observed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sparsecode._validation import (
    as_array,
    check_array,
    check_bool,
    check_missing_values,
    check_option,
    refuse_missing,
    without_mask,
)
from sparsecode.penalties import L1
from sparsecode.solvers._convolution import BOUNDARIES, Convolution, Domain
from sparsecode.solvers.splitting import Ridge, _admm_step, _Splitting

RELAXATION = 1.6


class Samples(NamedTuple):
    """Signals with their channels behind the number of the sample."""

    X: np.ndarray  # (n_samples, n_channels, *signal), zero where missing
    observed: np.ndarray | None  # of the shape of `X`; None if everything was

    @classmethod
    def checked(cls, X: Any, multichannel: Any, missing_values: Any) -> Samples:
        """From the arguments."""
        missing = check_missing_values(missing_values)
        dims = (3, 4) if check_bool(multichannel, "multichannel") else (2, 3)
        X = as_array(without_mask(X, "X"), "X")
        if X.ndim == 4 and not multichannel:
            raise ValueError(
                "X has 4 dimensions; where the last are channels say multichannel=True"
            )
        X = channels_first(check_array(X, "X", ndim=dims, allow_missing=True), multichannel)
        if not missing:
            refuse_missing(X)
            return cls(X, None)
        observed = ~np.isnan(X)
        return cls(X, None) if observed.all() else cls(np.where(observed, X, 0), observed)

    def on_grid(self, domain: Domain) -> tuple[np.ndarray, np.ndarray | None]:
        """Columns, and which of their entries were observed."""
        observed = self.observed
        if observed is None and domain.boundary == "valid":
            observed = np.ones((1, *self.X.shape[1:]), dtype=bool)
        if observed is not None:
            observed = domain.on_grid(observed, domain.window)
        return domain.on_grid(self.X, domain.window), observed


def checked_atoms(dictionary: Any, name: str, ndim: int, multichannel: bool) -> np.ndarray:
    """(n_components, n_channels, *atom)."""
    D = channels_first(check_array(dictionary, name, ndim=(2, 3, 4)), multichannel)
    if D.ndim != ndim:
        raise ValueError(
            f"{name} has shape {np.shape(dictionary)}; X and {name} both hold signals, one a row, "
            "or both pictures, with channels or without: one signal alone is X[None]"
        )
    return D


def checked_boundary(boundary: Any) -> str:
    return check_option(boundary, "boundary", BOUNDARIES)


def channels_first(X: np.ndarray, multichannel: bool) -> np.ndarray:
    """Channels, one where there are none, behind the first axis."""
    return np.ascontiguousarray(np.moveaxis(X, -1, 1) if multichannel else X[:, None])


def channels_last(X: np.ndarray, multichannel: bool) -> np.ndarray:
    """The way back."""
    return np.ascontiguousarray(np.moveaxis(X, 1, -1)) if multichannel else X[:, 0]


class Coding(NamedTuple):
    """``min 0.5 * ||W (y - A x)||^2 + alpha * penalty(x)`` by the multiplier method.

    `W` keeps the entries that were observed. Where that is not all of them ``A x`` is split off,
    too (Wohlberg, "Boundary handling for convolutional sparse representations", 2016), in a unit in
    which one `rho` suits both it and the codes.
    """

    y: np.ndarray  # columns, zero where nothing was observed
    observed: np.ndarray | None  # None if everything was
    penalty: L1
    alpha: Any
    energy: float  # of the atoms: the mean eigenvalue of ``A A^*``, at least at first

    @property
    def scale(self) -> float:
        """That unit."""
        return float(self.energy or 1.0) ** -0.5

    def seen(self, signals: np.ndarray) -> np.ndarray:
        """Columns, zero where nothing was observed."""
        return signals if self.observed is None else signals * self.observed

    def start(self, A: Convolution, x: np.ndarray) -> _Splitting:
        """From codes `x`, with the multipliers that they would have at the minimum."""
        fitted, rho = A @ x, A.energy or 1.0
        residual = self.y - self.seen(fitted)
        multiplier = A.columns(A.correlated(A.transformed(residual)))
        if self.observed is not None:
            x = np.vstack([x, self.scale * fitted])
            multiplier = np.vstack([multiplier, -residual / self.scale])
        return _Splitting(x, multiplier / rho, rho)

    def step(self, A: Convolution, at: _Splitting) -> _Splitting:
        """One iteration; the codes are the first rows of ``at.z``."""
        ridge, prox = self.halves(A)
        return _admm_step(at, ridge, prox, RELAXATION, balanced=True)

    def descent(self, A: Convolution, x: np.ndarray) -> Iterator[np.ndarray]:
        """Codes, one iteration after the other."""
        at, (ridge, prox) = self.start(A, x), self.halves(A)
        while True:
            at = _admm_step(at, ridge, prox, RELAXATION, balanced=True)
            yield at.z[: A.shape[1]]

    def halves(self, A: Convolution) -> tuple[Ridge, Ridge]:
        """The two minimisations, each of a point and `rho`."""
        if self.observed is None:
            target = A.transformed(self.y)
            return lambda v, rho: A.nearest(v, target, rho)[0], lambda v, rho: self._shrunk(
                A, v, rho
            )
        n, scale, observed = A.shape[1], self.scale, self.observed

        def ridge(v: np.ndarray, rho: float) -> np.ndarray:
            x, fitted = A.nearest(v[:n], A.transformed(v[n:]) / scale, 1 / (scale * scale))
            return np.vstack([x, scale * A.columns(fitted)])

        def prox(v: np.ndarray, rho: float) -> np.ndarray:
            known = (self.y / scale + rho * v[n:]) / (1 / (scale * scale) + rho)
            return np.vstack([self._shrunk(A, v[:n], rho), np.where(observed, known, v[n:])])

        return ridge, prox

    def _shrunk(self, A: Convolution, v: np.ndarray, rho: float) -> np.ndarray:
        return A.allowed(self.penalty.prox(v, self.alpha / rho))
