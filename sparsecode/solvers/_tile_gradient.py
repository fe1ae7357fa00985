"""Gradient pursuit over a tile of signals; nothing is summed over rows, so none hangs on others."""

from __future__ import annotations

import numpy as np

from sparsecode._scaling import from_units, units_of
from sparsecode.solvers._tiles import CodeTile, Tile, nonzeros, product


def gradient_pursuit(D: np.ndarray, n_nonzero_coefs: int) -> CodeTile:
    """Of each signal; each step takes an atom and goes down the gradient on those taken so far."""
    atom_units = units_of(np.max(np.abs(D), axis=1, keepdims=True), D.dtype)
    D = D / atom_units.astype(D.dtype)
    norms = np.sqrt(np.einsum("ij,ij->i", D, D))[:, None]
    unit_atoms = np.divide(D, norms, where=norms > 0, out=np.zeros_like(D))

    def code(tile: np.ndarray, units: np.ndarray) -> Tile:
        x, residual = np.zeros((len(tile), len(D)), dtype=D.dtype), tile
        support = np.zeros(x.shape, dtype=bool)
        for _ in range(n_nonzero_coefs):
            gradient = product(residual, unit_atoms.T)
            best = np.argmax(np.abs(gradient), axis=1)[:, None]
            # A residual of zero correlates with nothing: no atom is taken for it.
            taken = np.take_along_axis(gradient, best, axis=1) != 0
            np.put_along_axis(support, best, np.take_along_axis(support, best, axis=1) | taken, 1)
            direction = np.where(support, gradient, 0)
            image = product(direction, unit_atoms)
            energy = np.sum(np.square(image, dtype=np.float64), axis=1)
            slope = np.sum(image.astype(np.float64) * residual, axis=1)
            step = np.divide(slope, energy, where=energy > 0, out=np.zeros_like(slope))
            step = step.astype(D.dtype)[:, None]
            x, residual = x + step * direction, residual - step * image
        x = np.divide(x, norms.T, where=norms.T > 0, out=np.zeros_like(x))
        return nonzeros(from_units(x, units, 1 / atom_units.T, name="codes"))

    return code
