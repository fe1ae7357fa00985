"""The largest singular value of a matrix, an array or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse.linalg
from scipy.sparse.linalg import LinearOperator

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._systems import check_operator
from sparsecode._validation import check_real
from sparsecode.operators._base import adjoint


def spectral_norm(A: Any, *, tolerance: float = 1e-3) -> float:
    """The largest singular value; for large matrices and operators an upper estimate.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        The matrix.
    tolerance : float, default=1e-3
        How far the estimate may be above the norm, relative to it.

    Returns
    -------
    float
        The norm, at any scale; 0 for a matrix of zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import spectral_norm
    >>> round(spectral_norm(np.diag([3.0, 4.0])), 12)
    4.0
    """
    tolerance = check_real(tolerance, "tolerance", low=0)
    if not isinstance(A, LinearOperator):
        A = check_operator(A)
    small = min(A.shape)
    if small <= 256 and not isinstance(A, np.ndarray):
        A = _to_dense(A)
    dtype = np.result_type(A.dtype, np.float32)
    start = np.random.RandomState(0).standard_normal(A.shape[1]).astype(dtype)
    size = magnitude(A if isinstance(A, np.ndarray) else A @ start)
    if size == 0:
        return 0.0
    unit = unit_of(size, dtype)
    if unit != 1.0:  # squares are formed below
        A = to_units(A, unit) if isinstance(A, np.ndarray) else A * (1 / unit)
        return spectral_norm(A, tolerance=tolerance) * unit
    if isinstance(A, np.ndarray) and small <= 500:
        # The Gram matrix squares the condition number, which the largest value does not feel.
        gram = A @ adjoint(A) if A.shape[0] <= A.shape[1] else adjoint(A) @ A
        return float(np.sqrt(max(np.linalg.eigvalsh(gram)[-1], 0.0)))
    tolerance = max(tolerance, 10 * float(np.finfo(dtype).eps))
    # Its square, by which svds stops, bounds twice the relative error.
    stop = min(1e-3, float(np.sqrt(2 * tolerance)))
    value = scipy.sparse.linalg.svds(
        A, k=1, tol=stop, v0=start[:small], return_singular_vectors=False
    )[0]
    return float(value) * (1 + tolerance)


def _to_dense(A: Any) -> np.ndarray:
    if not isinstance(A, LinearOperator):
        return A.toarray()
    rows, columns = A.shape
    if rows < columns:
        return (A.H @ np.eye(rows, dtype=A.dtype)).conj().T
    return A @ np.eye(columns, dtype=A.dtype)
