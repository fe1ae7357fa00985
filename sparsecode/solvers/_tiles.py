"""Codes of a tile of signals: each algorithm once, on rows in units; `encoding` does the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of, units_of
from sparsecode._threads import single_threaded_blas
from sparsecode._validation import check_int, check_real
from sparsecode.penalties import soft_threshold

TILE = 256  # signals: with 256 atoms in float64 their correlations take half a megabyte


class Tile(NamedTuple):
    """Codes of a tile of signals, row after row."""

    counts: np.ndarray  # nonzeros of each signal
    indices: np.ndarray  # their atoms
    values: np.ndarray
    certificate: float = 0.0  # of the worst signal


CodeTile = Callable[[np.ndarray, np.ndarray], Tile]  # a tile in units, and these


class _Room(threading.local):
    """An array of each thread, for tile after tile.

    What is freed after each goes back to the system in processes that are told to keep little, as
    workers of Dask are; to get it anew for each took several hundredths of the pursuit's time.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.array = np.empty(shape, dtype)


def product(tile: np.ndarray, M: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """``tile @ M``, where the bits of a row hang neither on its place nor on the rows beside it.

    In `out` there is room for it.
    """
    if tile.dtype == np.float32 and not _blas_rounds_rows_alike():
        return (tile.astype(np.float64) @ M.astype(np.float64)).astype(np.float32)
    return np.matmul(tile, M, out=out)


@cache
def _blas_rounds_rows_alike() -> bool:
    """Whether equal rows have equal products in single precision.

    OpenBLAS's kernel for Haswell adds up the second half of every twelve rows in another order.
    """
    rng = np.random.RandomState(0)
    with single_threaded_blas():
        for n_features, n_atoms in ((17, 30), (64, 256)):
            row, atoms = (rng.standard_normal((n, n_features)).astype("f") for n in (1, n_atoms))
            rows = np.repeat(row, TILE, axis=0) @ atoms.T
            if np.any(rows != rows[0]):
                return False
    return True


def _gram(D: np.ndarray) -> np.ndarray:
    with single_threaded_blas():  # as everything here: the bits must not depend on the threads
        return D @ D.T


def pursuit(
    D: np.ndarray,
    least_squares: bool,
    n_nonzero_coefs: int | None,
    residual_tol: float | None,
    positive: bool = False,
    incomplete: bool = False,
) -> CodeTile:
    """OMP or OLS; with `incomplete`, NaN is what a signal misses, but not if `positive`."""
    from sparsecode.solvers._kernels.greedy import pursuit_tile

    if n_nonzero_coefs is not None:
        check_int(n_nonzero_coefs, "n_nonzero_coefs", high=D.shape[0])
    target = 0.0 if residual_tol is None else check_real(residual_tol, "residual_tol", low=0)
    # The scale of an atom does not matter: each has a unit of its own.
    atom_units = units_of(np.max(np.abs(D), axis=1), D.dtype)
    D = to_units(D, atom_units[:, None])
    dtype, nothing = D.dtype, np.empty((0, D.shape[0]), dtype=D.dtype)
    gram, DT = (nothing, np.ascontiguousarray(D.T)) if incomplete else (_gram(D), nothing)
    ordinary_atoms = bool(np.all(atom_units == 1))
    places = np.arange(D.shape[0], dtype=np.int64 if dtype == np.float64 else np.int32)
    room = _Room((TILE, D.shape[0]), dtype)

    def code(tile: np.ndarray, units: np.ndarray) -> Tile:
        observed = ~np.isnan(tile) if incomplete else np.ones((1, D.shape[1]), dtype=bool)
        limits = np.minimum(observed.sum(axis=1), D.shape[0])
        if n_nonzero_coefs is not None:
            limits = np.minimum(limits, n_nonzero_coefs)
        elif residual_tol is None:
            limits = np.minimum(limits, np.maximum(observed.sum(axis=1) // 10, 1))
        limits = np.broadcast_to(limits, TILE).astype(np.int64)
        indices = np.empty(limits.sum(), dtype=np.int32)
        values = np.empty(limits.sum(), dtype=dtype)
        counts, energies = np.empty(TILE, dtype=np.int64), np.empty(TILE)
        with np.errstate(over="ignore"):
            energy_target = np.square(target / units[:, 0])
        known = np.where(observed, tile, 0) if incomplete else tile
        correlation = product(known, D.T, room.array)
        if positive:
            from sparsecode.solvers._kernels.positive import positive_pursuit_tile

            total = positive_pursuit_tile(
                correlation, gram, tile, D, energy_target, limits[0], indices, values, counts,
                energies,
            )  # fmt: skip
        else:
            squares = product(observed.astype(dtype), DT * DT) if incomplete else np.diag(gram)
            total = pursuit_tile(
                correlation, squares.reshape(-1, len(D)), gram, tile, D, DT, energy_target,
                least_squares, limits, indices, values, counts, energies, places,
            )  # fmt: skip
        indices, values = indices[:total], values[:total]
        scales = [] if np.all(units == 1) else [np.repeat(units, counts)]
        scales += [] if ordinary_atoms else [1 / atom_units[indices]]
        values = from_units(values, *scales, name="codes")
        return Tile(counts, indices, values, beyond(energies, energy_target))

    return code


def lasso(D: np.ndarray, alpha: float, positive: bool, tol: float, max_iter: int) -> CodeTile:
    descent = lasso_descent(D, alpha, positive)

    def code(tile: np.ndarray, units: np.ndarray) -> Tile:
        codes = np.zeros((len(tile), len(D)), dtype=D.dtype)
        return nonzeros(codes, descent(tile, units, codes, tol, max_iter))

    return code


def lasso_descent(D: np.ndarray, alpha: float, positive: bool) -> Callable[..., float]:
    """Descent in place from the codes there are; the worst duality gap of what comes out."""
    from sparsecode.solvers._kernels.coordinate import PAD, SMALL, lasso_tile

    atom_unit = unit_of(magnitude(D), D.dtype)
    D = to_units(D, atom_unit)
    gram = _gram(D)
    n_atoms, dtype = D.shape[0], D.dtype
    room = max(n_atoms, SMALL) * (max(n_atoms, SMALL) + PAD)

    def descend(
        tile: np.ndarray, units: np.ndarray, codes: np.ndarray, tol: float, max_iter: int
    ) -> float:
        certificates = np.zeros(len(tile))
        energy = np.einsum("ij,ij->i", tile, tile, dtype=np.float64)
        started = from_units(codes, 1 / units, atom_unit, name="codes")
        lasso_tile(
            product(tile, D.T), gram, energy, in_units(alpha, units[:, 0], atom_unit, dtype),
            positive, tol, max_iter, started, certificates,
            np.empty(n_atoms, dtype=dtype), np.empty((3, n_atoms), dtype=np.int64),
            np.empty((5, n_atoms), dtype=dtype), np.empty(room, dtype=dtype),
            np.empty(room, dtype=dtype),
        )  # fmt: skip
        codes[:] = from_units(started, units, 1 / atom_unit, name="codes")
        return float(certificates.max())

    return descend


def threshold(D: np.ndarray, alpha: float, positive: bool) -> CodeTile:
    atom_unit = unit_of(magnitude(D), D.dtype)
    D = to_units(D, atom_unit)

    def code(tile: np.ndarray, units: np.ndarray) -> Tile:
        codes = soft_threshold(product(tile, D.T), in_units(alpha, units, atom_unit, D.dtype))
        codes = np.maximum(codes, 0) if positive else codes
        return nonzeros(from_units(codes, units, atom_unit, name="codes"))

    return code


def beyond(energies: np.ndarray, targets: np.ndarray) -> float:
    """The largest norm of a residual over the one that was asked for; 0 where none was."""
    over = np.divide(energies, targets, where=targets > 0, out=np.zeros(TILE))
    return float(np.sqrt(over.max()))


def in_units(alpha: float, units: np.ndarray, atom_unit: float, dtype: np.dtype) -> np.ndarray:
    """`alpha` for each signal; beyond the range of the dtype its ends say the same."""
    info = np.finfo(dtype)
    with np.errstate(over="ignore", under="ignore"):
        scaled = alpha / units / atom_unit
    return np.clip(scaled, info.tiny, info.max * info.eps).astype(dtype)


def nonzeros(codes: np.ndarray, certificate: float = 0.0) -> Tile:
    kept = codes != 0
    return Tile(kept.sum(axis=1), np.nonzero(kept)[1].astype(np.int32), codes[kept], certificate)
