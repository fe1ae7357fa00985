"""What `CompressedSensing` measures by, and the bases in which signals are sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from sparsecode._systems import check_operator
from sparsecode._validation import check_array, check_option
from sparsecode.operators import (
    adjoint,
    bernoulli,
    dct,
    gaussian,
    subsampled_dct,
    subsampled_fft,
    subsampled_hadamard,
    wavelet_synthesis,
)

DRAWN = {"bernoulli": bernoulli, "gaussian": gaussian}
TRANSFORMS = {"dct": subsampled_dct, "fft": subsampled_fft, "hadamard": subsampled_hadamard}
# Signals from codes.
BASES = {
    "dct": lambda n: adjoint(dct(n)),
    "identity": lambda n: aslinearoperator(sp.eye_array(n)),
    "wavelet": wavelet_synthesis,
}


def atoms(basis: Any, n_features: int, dtype: np.dtype) -> np.ndarray | None:
    """The basis where it is a matrix, one atom a row."""
    if isinstance(basis, str):
        check_option(basis, "basis", BASES)
        return None
    if hasattr(basis, "matvec") and hasattr(basis, "rmatvec"):  # products, and no entries
        S = check_operator(basis, "basis", allow_complex=False)
        if S.shape[0] != n_features:
            raise ValueError(
                f"X has {n_features} features but the operator basis makes signals of "
                f"{S.shape[0]}; it has one atom a column"
            )
        return None
    given = basis
    if hasattr(basis, "get_params"):
        given = getattr(basis, "components_", None)
        if given is None:
            raise ValueError(
                f"basis is a {type(basis).__name__} without components_; fit it first, "
                "and where it is cloned (a grid search) give its components_ instead, or wrap "
                "it in sklearn.frozen.FrozenEstimator"
            )
    rows = check_array(given, "basis")
    if rows.shape[1] != n_features:
        raise ValueError(
            f"X has {n_features} features but basis has {rows.shape[1]}; "
            "both hold one signal or atom a row"
        )
    return rows.astype(dtype)


def synthesis(basis: Any, components: np.ndarray | None, n_features: int) -> Any:
    """Signals from codes, an atom a column: `B` transposed."""
    if components is not None:
        return components.T
    return BASES[basis](n_features) if isinstance(basis, str) else aslinearoperator(basis)


def with_precision(dtype: Any, real: np.dtype) -> np.dtype:
    """Real or complex as `dtype` is, of single precision where `real` is."""
    short = np.dtype(real) == np.float32
    if np.issubdtype(dtype, np.complexfloating):
        return np.dtype(np.complex64 if short else np.complex128)
    return np.dtype(real)
