"""Lasso codes of a tile of signals by homotopy; the file beside `_tiles` that does it."""

from __future__ import annotations

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import single_threaded_blas
from sparsecode.solvers._tiles import TILE, CodeTile, Tile, beyond, in_units, nonzeros


def lars(
    D: np.ndarray,
    n_nonzero_coefs: int | None,
    residual_tol: float | None,
    alpha: float | None,
    positive: bool,
    max_iter: int | None,
) -> CodeTile:
    """The path of each signal down to the first of the ends that are given.

    The certificate is the gap at the end of the path; or, if only `residual_tol` is given, the
    norm of the residual over it. All is computed in double precision.
    """
    from sparsecode.solvers._kernels.homotopy import lars_tile

    n_atoms, dtype = D.shape[0], D.dtype
    limit = n_atoms if n_nonzero_coefs is None else n_nonzero_coefs
    by_residual = alpha is None and n_nonzero_coefs is None
    most = 20 * (n_atoms + D.shape[1]) if max_iter is None else max_iter
    atom_unit = unit_of(magnitude(D), dtype)
    D = to_units(D, atom_unit).astype(np.float64, copy=False)
    with single_threaded_blas():
        gram = D @ D.T
    size = min(limit, *D.shape)

    def code(tile: np.ndarray, units: np.ndarray) -> Tile:
        tile = tile.astype(np.float64, copy=False)
        alphas = np.zeros(TILE)
        if alpha is not None:
            alphas = in_units(alpha, units[:, 0], atom_unit, np.dtype(np.float64))
        energy_targets, energies = np.zeros(TILE), np.zeros(TILE)
        if residual_tol is not None:
            with np.errstate(over="ignore", under="ignore"):
                energy_targets = np.square(residual_tol / units[:, 0])
        codes, certificates = np.zeros((TILE, n_atoms)), np.zeros(TILE)
        score = np.empty(n_atoms)
        lars_tile(
            tile, D, gram, tile @ D.T, alphas, energy_targets, limit, positive,
            most, max_iter is None, codes, certificates, energies,
            np.empty(size, dtype=np.int64), *np.empty((4, size)), np.empty((size, size)),
            *np.empty((4, n_atoms)), score, score.view(np.int64), np.empty(n_atoms, dtype=np.int64),
        )  # fmt: skip
        worst = beyond(energies, energy_targets) if by_residual else float(certificates.max())
        codes = from_units(codes.astype(dtype, copy=False), units, 1 / atom_unit, name="codes")
        return nonzeros(codes, worst)

    return code
