"""Rows, each on its own, in the span of a few columns; entries may be missing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecode.penalties import soft_threshold
from sparsecode.solvers._orthogonal import svd

MAX_NEWTON = 100


class RobustRows(NamedTuple):
    """Rows of a subspace plus a sparse part, and what each costs."""

    z: np.ndarray
    low_rank: np.ndarray  # W z, at the missing entries too
    sparse: np.ndarray  # zero at the missing entries
    objectives: np.ndarray
    gaps: np.ndarray
    at_zero: np.ndarray  # the objective without a sparse part


def height_of_tiles(n_features: int) -> int:
    """So many rows that a tile is eight megabytes, or 64 rows."""
    return int(np.clip(2**20 // n_features, 8, 64))


def fit_rows(
    X: np.ndarray, W: np.ndarray, gram: np.ndarray, alpha: float, ridge: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``min_z sum_j huber(x_j - (W z)_j) + ridge/2 ||z||^2``, and ``W z``, for each row `x`.

    Also the minimum for an infinite alpha, which makes it least squares. The sum is over the
    entries that are not NaN. Where the observed part of `W` has not got its rank, and no ridge
    chooses, `z` is the one of least norm. A row's bits do not depend on the rows beside it.
    """
    from sparsecode.solvers._kernels.subspace import huber_rows

    Z, L = np.empty((len(X), W.shape[1])), np.empty(X.shape)
    at_zero, regular = np.empty(len(X)), np.empty(len(X), dtype=np.bool_)
    huber_rows(X, W, gram, alpha, ridge, MAX_NEWTON, Z, L, at_zero, regular)
    for i in np.flatnonzero(~regular):
        Q, s, Rt = basis_of_observed(X[i], W)
        inside, _, at_zero[i : i + 1] = fit_rows(X[i : i + 1], Q, Q.T @ Q, alpha)
        Z[i] = Rt.T @ (inside[0] / s)
        L[i] = W @ Z[i]
    return Z, L, at_zero


def basis_of_observed(x: np.ndarray, W: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The thin SVD of `W` without the rows where `x` is missing, as far as it has a rank."""
    Q, s, Rt = svd(np.where(np.isnan(x)[:, None], 0, W))
    rank = np.count_nonzero(s > max(W.shape) * np.finfo(s.dtype).eps * s[:1])
    return np.ascontiguousarray(Q[:, :rank]), s[:rank], Rt[:rank]


def robust_rows(X: np.ndarray, W: np.ndarray, gram: np.ndarray, alpha: float) -> RobustRows:
    """``min_{z,s} 0.5 ||x - W z - s||^2 + alpha ||s||_1`` for each row `x`."""
    _, L, at_zero = fit_rows(X, W, gram, alpha)
    return with_sparse(X, W, gram, alpha, soft_threshold(np.nan_to_num(X - L), alpha), at_zero)


def with_sparse(
    X: np.ndarray,
    W: np.ndarray,
    gram: np.ndarray,
    alpha: float,
    sparse: np.ndarray,
    at_zero: np.ndarray,
) -> RobustRows:
    """The best coordinates of rows whose sparse parts are given, and the duality gaps.

    With `P` the projection onto what the observed part of `W` does not span, `sparse` is an answer
    of the lasso ``0.5 ||P (x - s)||^2 + alpha ||s||_1``, whose residual is scaled to a dual point.
    """
    z, L, _ = fit_rows(X - sparse, W, gram, np.inf)
    residual = np.nan_to_num(X - sparse - L)
    largest = np.max(np.abs(residual), axis=1, initial=0.0, keepdims=True)
    theta = residual * np.minimum(1.0, alpha / np.where(largest > 0, largest, 1.0))
    absolute = alpha * np.sum(np.abs(sparse), axis=1)
    pairing = np.maximum(absolute - np.einsum("ij,ij->i", sparse, theta), 0)
    return RobustRows(
        z,
        L,
        sparse,
        half_squares(residual) + absolute,
        half_squares(residual - theta) + pairing,
        at_zero,
    )


def half_squares(X: np.ndarray) -> np.ndarray:
    """``0.5 ||x||^2`` of each row."""
    return 0.5 * np.einsum("ij,ij->i", X, X)
