"""Matrices that are never formed: factories of `scipy.sparse.linalg.LinearOperator`.

Each has a correct adjoint (the dot test is a law over all of them) and acts on many columns at
once. Any object with ``shape``, ``matvec`` and ``rmatvec`` works where one of these does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
import scipy.sparse as sp
import scipy.sparse.linalg
from scipy.sparse.linalg import LinearOperator

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._validation import check_array, check_int

__all__ = [
    "adjoint",
    "centered",
    "dct",
    "overcomplete_dct",
    "projection_onto_complement",
    "spectral_norm",
    "subsampled_dct",
]


def adjoint(A: Any) -> Any:
    """The conjugate transpose of an array, a sparse array or an operator.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        The matrix.

    Returns
    -------
    array, sparse array or LinearOperator of shape (n, m)
        ``A^*``, of the same kind.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import adjoint
    >>> adjoint(np.array([[1.0, 2.0]])).shape
    (2, 1)
    """
    if isinstance(A, LinearOperator):
        return A.H
    return A.conj().T if np.iscomplexobj(A) else A.T


class _Centered(LinearOperator):
    """``diag(w) (A - 1 offsets^T)``, with a quick way to its columns."""

    def __init__(self, A: Any, offsets: np.ndarray, row_weights: np.ndarray) -> None:
        super().__init__(np.result_type(A, offsets, row_weights), A.shape)
        self.A, self.offsets, self.row_weights = A, offsets, row_weights

    def columns(self, members: np.ndarray) -> np.ndarray:
        """``self[:, members]``, dense."""
        columns = self.A[:, members]
        columns = columns if isinstance(columns, np.ndarray) else columns.toarray()
        return self.row_weights[:, None] * (columns - self.offsets[members])

    def _matmat(self, X: np.ndarray) -> np.ndarray:
        return self.row_weights[:, None] * (self.A @ X - self.offsets @ X)

    def _rmatmat(self, Y: np.ndarray) -> np.ndarray:
        weighted = self.row_weights[:, None] * Y
        return self.A.T @ weighted - np.outer(self.offsets, weighted.sum(axis=0))

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._matmat(x.reshape(-1, 1))

    def _rmatvec(self, y: np.ndarray) -> np.ndarray:
        return self._rmatmat(y.reshape(-1, 1))


def centered(A: Any, offsets: np.ndarray, row_weights: np.ndarray | None = None) -> LinearOperator:
    """``diag(row_weights) (A - 1 offsets^T)`` without making a sparse `A` dense.

    What an intercept and sample weights make of a real matrix of features; the solvers that work
    on columns take it as quickly as `A` itself.

    Parameters
    ----------
    A : array or sparse array of shape (m, n)
        The matrix, real.
    offsets : array of shape (n,)
        What is taken from each column, such as its mean.
    row_weights : array of shape (m,), optional
        What each row is multiplied by; 1 by default.

    Returns
    -------
    LinearOperator of shape (m, n)
        The operator.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import centered
    >>> centered(np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([2.0, 2.0])) @ np.ones(2)
    array([-1.,  1.])
    """
    offsets = check_array(offsets, "offsets", ndim=1)
    weights = np.ones(A.shape[0], offsets.dtype) if row_weights is None else row_weights
    weights = check_array(weights, "row_weights", ndim=1)
    if offsets.size != A.shape[1] or weights.size != A.shape[0]:
        raise ValueError(
            f"A has shape {A.shape}, so offsets has to have {A.shape[1]} entries and row_weights "
            f"{A.shape[0]}; got {offsets.size} and {weights.size}"
        )
    return _Centered(sp.csc_array(A) if sp.issparse(A) else np.asarray(A), offsets, weights)


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


def dct(n: int) -> LinearOperator:
    """The orthonormal discrete cosine transform of length `n`, type II; its adjoint is its inverse.

    Parameters
    ----------
    n : int
        Length of the signal.

    Returns
    -------
    LinearOperator of shape (n, n)
        One product costs one fast transform.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import dct
    >>> x = np.arange(4.0)
    >>> np.allclose(dct(4).H @ (dct(4) @ x), x)
    True
    """
    return subsampled_dct(n, np.arange(check_int(n, "n")))


def subsampled_dct(n: int, rows: Any) -> LinearOperator:
    """Chosen rows of the orthonormal DCT of length `n`; the rows of the operator are orthonormal.

    Parameters
    ----------
    n : int
        Length of the signal.
    rows : array of int of shape (m,)
        The frequencies that are measured, each once.

    Returns
    -------
    LinearOperator of shape (m, n)
        One product costs one fast transform.

    Raises
    ------
    ValueError
        If a row is repeated or outside ``0 .. n - 1``.

    References
    ----------
    Ahmed, Natarajan and Rao, "Discrete cosine transform", 1974.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import subsampled_dct
    >>> A = subsampled_dct(8, [0, 3, 5])
    >>> A.shape, np.allclose(A @ (A.H @ np.ones(3)), 1)
    ((3, 8), True)
    """
    n = check_int(n, "n")
    rows = np.asarray(rows)
    if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu":
        raise ValueError("rows has to be a non-empty 1-D array of integers")
    if rows.min() < 0 or rows.max() >= n or np.unique(rows).size != rows.size:
        raise ValueError(f"rows has to hold different integers from 0 to {n - 1}")

    def forward(x: np.ndarray) -> np.ndarray:
        return scipy.fft.dct(x, axis=0, norm="ortho")[rows]

    def backward(y: np.ndarray) -> np.ndarray:
        spectrum = np.zeros((n, *y.shape[1:]), dtype=y.dtype)
        spectrum[rows] = y
        return scipy.fft.idct(spectrum, axis=0, norm="ortho")

    return _operator((rows.size, n), forward, backward)


def projection_onto_complement(basis: np.ndarray) -> LinearOperator:
    """``I - V^H V``, the projection onto what the orthonormal rows of `basis` do not span.

    Parameters
    ----------
    basis : array of shape (rank, n)
        Orthonormal rows; `rank` may be 0.

    Returns
    -------
    LinearOperator of shape (n, n)
        Symmetric and idempotent.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import projection_onto_complement
    >>> projection_onto_complement(np.array([[1.0, 0.0]])) @ np.array([3.0, 4.0])
    array([0., 4.])
    """

    def project(x: np.ndarray) -> np.ndarray:
        return x - basis.conj().T @ (basis @ x)

    size = basis.shape[1]
    return _operator((size, size), project, project, basis.dtype)


def _operator(
    shape: tuple[int, int], forward: Any, backward: Any, dtype: Any = np.float64
) -> LinearOperator:
    return LinearOperator(
        shape,
        matvec=forward,
        rmatvec=backward,
        matmat=forward,
        rmatmat=backward,
        dtype=np.dtype(dtype),
    )


def overcomplete_dct(n_components: int, n_features: int) -> np.ndarray:
    """A dictionary of `n_components` cosines with unit norm, one a row; orthonormal when square.

    Parameters
    ----------
    n_components : int
        Atoms.
    n_features : int
        Length of an atom.

    Returns
    -------
    ndarray of shape (n_components, n_features)
        The dictionary.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import overcomplete_dct
    >>> D = overcomplete_dct(4, 4)
    >>> np.allclose(D @ D.T, np.eye(4))
    True
    """
    frequency = np.arange(check_int(n_components, "n_components"))[:, None] / n_components
    time = np.arange(check_int(n_features, "n_features")) + 0.5
    atoms = np.cos(np.pi * frequency * time)
    if n_features > 1:
        atoms[1:] -= atoms[1:].mean(axis=1, keepdims=True)
    norms = np.linalg.norm(atoms, axis=1, keepdims=True)
    return atoms / np.where(norms > 1e-12, norms, 1)
