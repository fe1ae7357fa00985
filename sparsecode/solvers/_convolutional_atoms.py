"""The atoms of convolutional codes: first ones, better ones, and others for those of no use."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.fft

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._validation import RandomSource
from sparsecode.solvers._convolution import Convolution
from sparsecode.solvers._convolutional_coding import Coding, Samples, checked_atoms
from sparsecode.solvers._learning import energy_of
from sparsecode.solvers.splitting import _Splitting

STEPS = 5  # of the projected gradient on the atoms, for each iteration on the codes


class Better(NamedTuple):
    """Atoms, the squared residual that they leave, and the ``L`` of their last step."""

    D: np.ndarray
    energy: float
    curvature: float


def improved(
    A: Convolution, coding: Coding, D: np.ndarray, codes: np.ndarray, curvature: float
) -> Better:
    """Atoms that fit codes which are held, no worse than before, by accelerated gradient steps.

    From `z` a step of length ``1 / L`` leads to the `d` for which the residual changes by no more
    than ``sqrt(L) ||d - z||``: `L` grows until it does, and falls a little from call to call.
    """
    spectra = A.transformed(codes)
    axes, support = tuple(range(2, D.ndim)), tuple(slice(side) for side in D.shape[2:])

    def residual(D: np.ndarray) -> np.ndarray:
        atoms = Convolution(D, A.domain, A.n_threads)
        return coding.seen(A.columns(atoms.summed(spectra)) - coding.y)

    def gradient(R: np.ndarray) -> np.ndarray:
        missed = A.transformed(R)
        products = np.stack([np.sum(code.conj() * missed, axis=-1) for code in spectra])
        whole = scipy.fft.irfftn(products, A.grid, axes=axes, workers=A.n_threads)
        return whole[(slice(None), slice(None), *support)]

    least = max(energy_of(code) for code in codes.reshape(len(D), -1))
    z, R = D, residual(D)
    Rz, t, L = R, 1.0, max(0.8 * curvature, least)
    best = Better(D, energy_of(R), L)
    if not least > 0:
        return best
    noise = (32 * float(np.finfo(D.dtype).eps)) ** 2 * energy_of(coding.y)
    for _ in range(STEPS):
        slope = gradient(Rz)
        while True:
            d = within_the_ball(z - slope / D.dtype.type(L))
            R_d, size = residual(d), energy_of(d - z)
            if energy_of(R_d - Rz) <= L * size + noise:
                break
            L *= 1.5
        # O'Donoghue and Candes (2015): forget the momentum where it points uphill.
        t = 1.0 if np.sum((z - d) * (d - D)) > 0 else t
        t_old, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
        beta = D.dtype.type((t_old - 1) / t)
        z, Rz = d + beta * (d - D), R_d + beta * (R_d - R)
        D, R = d, R_d
        energy = energy_of(R)
        if energy <= best.energy:
            best = Better(D, energy, L)
    return best._replace(curvature=L)


def repaired(
    A: Convolution, coding: Coding, D: np.ndarray, at: _Splitting
) -> tuple[np.ndarray, _Splitting, int]:
    """Atoms that no signal uses become pieces of what the others leave, and how many do.

    The piece of the largest norm first, no two that overlap, and none whose norm is at most alpha:
    its coefficient would be zero.
    """
    n = A.shape[1]
    dead = np.flatnonzero(~at.z[:n].reshape(len(D), -1).any(axis=1))
    if dead.size == 0:
        return D, at, 0
    domain = A.domain
    residual = coding.y - coding.seen(A @ at.z[:n])
    rest = domain.off_grid(residual, domain.window)  # (n_samples, n_channels, *signal)
    pieces = worst_pieces(rest, domain.atom, float(np.min(coding.alpha)), dead.size)
    if not pieces:
        return D, at, 0
    dead, D, u = dead[: len(pieces)], D.copy(), at.u.copy()
    D[dead] = pieces
    atoms = Convolution(D[dead], domain, A.n_threads)
    correlation = A.columns(atoms.correlated(A.transformed(residual)))
    rows = u[:n].reshape(len(D), -1)
    rows[dead] = correlation.reshape(len(dead), -1) / at.rho
    return D, at._replace(u=u), len(dead)


def worst_pieces(X: np.ndarray, atom: tuple[int, ...], above: float, most: int) -> list[np.ndarray]:
    """Pieces of the size of an atom and of norm one: those whose norm was largest."""
    energy: Any = np.sum(X * X, axis=1, dtype=np.float64)
    for axis, side in enumerate(atom, start=1):
        energy = np.lib.stride_tricks.sliding_window_view(energy, side, axis=axis).sum(axis=-1)
    pieces: list[np.ndarray] = []
    while len(pieces) < most:
        place = np.unravel_index(np.argmax(energy), energy.shape)
        sample, *corner = (int(i) for i in place)
        here = tuple(slice(i, i + side) for i, side in zip(corner, atom, strict=True))
        piece = X[sample][(slice(None), *here)]
        norm = float(np.linalg.norm(piece))
        if not norm > above or energy[place] == 0:
            break
        pieces.append(piece / X.dtype.type(norm))
        about = tuple(slice(max(0, i - s + 1), i + s) for i, s in zip(corner, atom, strict=True))
        energy[(sample, *about)] = 0
    return pieces


def first_atoms(
    samples: Samples, shape: tuple[int, ...], init: Any, rng: RandomSource, multichannel: bool
) -> np.ndarray:
    """Those given, or pieces of the signals, of norm one; where a piece is zero, random numbers."""
    X = samples.X
    if init is not None:
        D = checked_atoms(init, "init", X.ndim, multichannel).astype(X.dtype)
        if D.shape != shape:
            wanted = (shape[0], *shape[2:], *((shape[1],) if multichannel else ()))
            raise ValueError(f"init has shape {np.shape(init)}; it has to be {wanted}")
    else:
        views = np.lib.stride_tricks.sliding_window_view(X, shape[2:], axis=tuple(range(2, X.ndim)))
        views = np.moveaxis(views, 1, X.ndim - 1)  # (n_samples, *places, n_channels, *atom)
        places = rng.random((shape[0], X.ndim - 1)) * views.shape[: X.ndim - 1]
        D = views[tuple(places.astype(int).T)].copy()
        empty = ~D.reshape(len(D), -1).any(axis=1)
        D[empty] = rng.standard_normal((int(empty.sum()), *shape[1:]))
    D = to_units(D, unit_of(magnitude(D), D.dtype))
    return within_the_ball(D / np.maximum(magnitude(D), np.finfo(D.dtype).tiny), exactly=True)


def within_the_ball(D: np.ndarray, exactly: bool = False) -> np.ndarray:
    """Atoms of norm at most one, or exactly one but for zeros."""
    norms = np.sqrt(np.sum(D * D, axis=tuple(range(1, D.ndim)), keepdims=True))
    return D / (np.where(norms > 0, norms, 1) if exactly else np.maximum(norms, 1))
