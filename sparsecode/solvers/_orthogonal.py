"""Orthonormal bases and thin decompositions of matrices with few columns."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from sparsecode._mapped import row_tiles
from sparsecode._memory import check_fits
from sparsecode._scaling import from_units, magnitude, to_units


def svd(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The thin SVD by divide and conquer; where that fails, of `X` rescaled, then by QR."""
    short, room = min(X.shape), sum(X.shape) * min(X.shape)
    check_fits(
        X.itemsize * (X.size + room + 4 * short**2),  # a copy, the factors, LAPACK's work
        f"the SVD of a matrix of shape {X.shape}",
    )
    unit = np.ldexp(1.0, np.frexp(magnitude(X))[1])
    for driver, scale in (("gesdd", 1.0), ("gesdd", unit), ("gesvd", unit)):
        try:
            U, s, Vt = scipy.linalg.svd(
                to_units(X, scale), full_matrices=False, lapack_driver=driver, check_finite=False
            )
        except np.linalg.LinAlgError:
            continue
        return U, from_units(s, scale, name="a singular value"), Vt
    raise ValueError(
        f"the SVD of a {X.shape} matrix failed in LAPACK by both of its methods; "
        "look for entries of wildly different scale and rescale rows or columns"
    )


def orthonormal(Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``Y = Q R`` by Cholesky factors of the Gram matrix, twice; by LAPACK where these fail.

    The first factor leaves columns that are orthonormal but for the square of the condition of `Y`
    times a rounding; the second makes up for it (Yamamoto et al., 2015).
    """
    Q, R = Y, np.eye(Y.shape[1], dtype=Y.dtype)
    for _ in range(2):
        gram = Q.T @ Q
        try:
            factor = scipy.linalg.cholesky(gram, check_finite=False)
        except np.linalg.LinAlgError:
            return np.linalg.qr(Y)
        Q = scipy.linalg.solve_triangular(factor, Q.T, trans=1, check_finite=False).T
        R = factor @ R
    if not np.abs(gram - np.eye(len(gram))).max() < 0.1:
        return np.linalg.qr(Y)
    return Q, R


def thin_svd(Y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The SVD of a matrix with few columns."""
    Q, R = orthonormal(Y)
    U, s, Vt = svd(R)
    return Q @ U, s, Vt


def triangular_factor(X: np.ndarray) -> np.ndarray:
    """`R` of a tall ``X = Q R`` in double precision, tile by tile; `Q` is never formed."""
    R: np.ndarray = np.zeros((0, X.shape[1]))
    for rows in row_tiles(X):
        R = np.asarray(np.linalg.qr(np.vstack([R, X[rows]]), mode="r"))
    return R
