"""Matrices made of others, without forming them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from sparsecode._systems import check_operator
from sparsecode._validation import check_array
from sparsecode.operators._base import adjoint, operator


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
    A = check_operator(A, allow_complex=False)
    offsets = check_array(offsets, "offsets", ndim=1)
    weights = np.ones(A.shape[0], offsets.dtype) if row_weights is None else row_weights
    weights = check_array(weights, "row_weights", ndim=1)
    if offsets.size != A.shape[1] or weights.size != A.shape[0]:
        raise ValueError(
            f"A has shape {A.shape}, so offsets has to have {A.shape[1]} entries and row_weights "
            f"{A.shape[0]}; got {offsets.size} and {weights.size}"
        )
    return _Centered(sp.csc_array(A) if sp.issparse(A) else A, offsets, weights)


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

    basis = check_array(basis, "basis", allow_complex=True, allow_empty=True)
    with np.errstate(over="ignore", invalid="ignore"):
        gram = basis @ basis.conj().T
    if not np.allclose(gram, np.eye(len(basis)), rtol=0, atol=1e-3):
        raise ValueError("basis has to have orthonormal rows; see numpy.linalg.qr")

    def project(x: np.ndarray) -> np.ndarray:
        return x - basis.conj().T @ (basis @ x)

    size = basis.shape[1]
    return operator((size, size), project, project, basis.dtype)


def concatenation(operators: Sequence[Any]) -> LinearOperator:
    """``[A_1, A_2, ...]``, side by side: what is sparse in one of several bases, or in all.

    Parameters
    ----------
    operators : sequence of arrays, sparse arrays or LinearOperators
        All with the same number of rows.

    Returns
    -------
    LinearOperator of shape (m, n_1 + n_2 + ...)
        One product costs one with each.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import concatenation, dct
    >>> spikes_and_cosines = concatenation([np.eye(8), dct(8).H])
    >>> spikes_and_cosines.shape
    (8, 16)
    """
    if not isinstance(operators, Sequence) or isinstance(operators, str) or not operators:
        raise TypeError(f"operators has to be a sequence of matrices, got {operators!r}")
    parts = [_linear(part, f"operators[{i}]") for i, part in enumerate(operators)]
    heights = sorted({part.shape[0] for part in parts})
    if len(heights) != 1:
        raise ValueError(f"operators have to have the same number of rows; got {heights}")
    ends = np.cumsum([part.shape[1] for part in parts])

    def forward(x: np.ndarray) -> np.ndarray:
        pieces = np.split(x, ends[:-1])
        return sum(part @ piece for part, piece in zip(parts, pieces, strict=True))

    def backward(y: np.ndarray) -> np.ndarray:
        return np.concatenate([adjoint(part) @ y for part in parts])

    dtype = np.result_type(*(part.dtype for part in parts))
    return operator((heights[0], int(ends[-1])), forward, backward, dtype)


def as_real(A: Any) -> LinearOperator:
    """A complex matrix that acts on real signals: its real part above its imaginary part.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        The matrix.

    Returns
    -------
    LinearOperator of shape (2 * m, n)
        Real: ``as_real(A) @ x`` is ``A @ x``, real parts first.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import as_real
    >>> as_real(np.array([[1.0, 1j]])) @ np.array([2.0, 3.0])
    array([2., 3.])
    """
    A = _linear(A, "A")
    m = A.shape[0]

    def forward(x: np.ndarray) -> np.ndarray:
        y = A @ x
        return np.concatenate([y.real, y.imag])

    def backward(y: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray((adjoint(A) @ (y[:m] + 1j * y[m:])).real)

    dtype = np.empty(0, A.dtype).real.dtype
    return operator((2 * m, A.shape[1]), forward, backward, dtype)


def _linear(A: Any, name: str) -> LinearOperator:
    return aslinearoperator(A if isinstance(A, LinearOperator) else check_operator(A, name))
