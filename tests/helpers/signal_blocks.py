"""Signals of few atoms, some of them zero, and the same as a Dask array of blocks."""

from typing import Any

import numpy as np

from sparsecode.datasets import make_sparse_coded_signals


def signals() -> np.ndarray:
    """(300, 10), of 16 atoms and some noise."""
    data = make_sparse_coded_signals(
        300, n_components=16, n_features=10, n_nonzero_coefs=2, random_state=0
    )
    X = data.X + 0.02 * np.random.default_rng(0).standard_normal(data.X.shape)
    X[[3, 150, 151]] = 0
    return X


def blocks(X: np.ndarray, height: int = 70) -> Any:
    """Cut along the features too."""
    import dask.array as da

    return da.from_array(X, chunks=(height, 4))
