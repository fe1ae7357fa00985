r"""Missing entries of new rows, from a matrix that was completed before."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecode._mapped import give_back
from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import check_array, check_real, check_spectrum
from sparsecode.solvers._rows import fit_rows, height_of_tiles

__all__ = ["complete_rows"]


def complete_rows(
    X: Any,
    components: Any,
    singular_values: Any,
    alpha: float,
    *,
    n_threads: int | None = None,
) -> np.ndarray:
    r"""The missing entries of rows, from a low-rank matrix that is known.

    .. math:: \min_z \tfrac12 \sum_{j\ \mathrm{observed}} (x_j - (z V)_j)^2
              + \tfrac{\alpha}{2} \sum_k z_k^2 / \sigma_k

    for each row `x`, whose missing entries become those of :math:`z V`. A row of a matrix that
    `complete` found is its own answer: this is the problem of `complete` with all else fixed.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Rows, NaN where an entry is missing; a `np.memmap` is read in tiles.
    components : array of shape (rank, n_features)
        `V`, the components of the known matrix; `rank` may be 0.
    singular_values : array of shape (rank,)
        Its singular values :math:`\sigma`, positive.
    alpha : float
        The weight of its nuclear norm.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker. A row's bits
        depend neither on it nor on the other rows.

    Returns
    -------
    ndarray of shape (n_samples, n_features)
        The rows, filled; what was observed is as it was. A row with nothing observed is zero.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is infinite, or a parameter is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import complete, complete_rows
    >>> known = complete(np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0]), alpha_ratio=1e-4)
    >>> row = [[5.0, np.nan, np.nan]]
    >>> np.round(complete_rows(row, known.components, known.singular_values, known.alpha), 1)
    array([[ 5.,  5., 10.]])
    """
    X = check_array(X, "X", allow_missing=True)
    V = check_array(components, "components", allow_empty=True)
    if V.shape[1] != X.shape[1]:
        raise ValueError(f"X has {X.shape[1]} features but components has {V.shape[1]}")
    s = check_array(singular_values, "singular_values", ndim=1, allow_empty=True)
    if s.shape != V.shape[:1]:
        raise ValueError(f"singular_values has shape {s.shape}; components has {len(V)} rows")
    if s.size and check_spectrum(s, "singular_values")[-1] == 0:
        raise ValueError("singular_values has to be positive: leave out what is zero")
    alpha = check_real(alpha, "alpha", low=0, open_low=True)
    alpha = max(alpha, float(s.max(initial=0)) * 2.0**-900)  # less is nothing, and overflows
    # In coordinates in which each has the same weight, it is ridge regression.
    W = np.ascontiguousarray(np.sqrt(s.astype(np.float64) / alpha) * V.T)
    gram, filled, height = W.T @ W, np.array(X), height_of_tiles(X.shape[1])

    def fill(start: int) -> None:
        rows = slice(start, start + height)
        missing = np.isnan(filled[rows])
        some = np.flatnonzero(missing.any(axis=1))
        if some.size:
            tile = filled[rows][some].astype(np.float64)
            unit = unit_of(magnitude(tile), np.float64)
            _, fitted, _ = fit_rows(to_units(tile, unit), W, gram, np.inf, ridge=1.0)
            fitted = from_units(fitted, unit, name="the filled matrix")
            filled[rows][missing] = fitted[missing[some]]
        give_back(X, rows)

    map_tiles(fill, range(0, len(X), height), check_n_threads(n_threads))
    return filled
