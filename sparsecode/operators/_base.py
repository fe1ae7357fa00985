"""The adjoint, and an operator from a function and its adjoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from sparsecode._memory import check_fits
from sparsecode._systems import check_operator
from sparsecode._validation import as_array, check_int

Map = Callable[[np.ndarray], np.ndarray]


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
    plain = isinstance(A, np.ndarray) and not isinstance(A, np.ma.MaskedArray)
    if not (((plain and A.dtype.kind in "fc") or sp.issparse(A)) and A.ndim == 2):
        A = check_operator(A)
    return A.conj().T if np.iscomplexobj(A) else A.T


def operator(
    shape: tuple[int, int], forward: Map, backward: Map, dtype: Any = np.float64
) -> LinearOperator:
    """A matrix from its product and that of its adjoint, each for one column or many."""
    return LinearOperator(
        shape,
        matvec=forward,
        rmatvec=backward,
        matmat=forward,
        rmatmat=backward,
        dtype=np.dtype(dtype),
    )


def check_shape(shape: Any, name: str = "shape") -> tuple[int, ...]:
    """The shape of a signal, an image or a volume; an integer is the length of a signal."""
    if isinstance(shape, tuple | list):
        if not shape:
            raise ValueError(f"{name} has to have one length at least")
        lengths = tuple(check_int(length, f"a length in {name}") for length in shape)
    else:
        lengths = (check_int(shape, name),)
    check_fits(8 * math.prod(lengths), f"a signal of {name}={shape!r}")
    return lengths


def check_rows(rows: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Which entries of an array of this shape are chosen: a mask, or places in its C order."""
    size = math.prod(shape)
    rows = as_array(rows, "rows")
    if rows.dtype == bool:
        if rows.shape not in (shape, (size,)):
            raise ValueError(f"the mask in rows has shape {rows.shape}; the signal has {shape}")
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu":
        raise ValueError("rows has to be a non-empty 1-D array of integers, or a mask")
    if rows.min() < 0 or rows.max() >= size or np.unique(rows).size != rows.size:
        raise ValueError(f"rows has to hold different integers from 0 to {size - 1}")
    return rows


def chosen(
    rows: np.ndarray, shape: tuple[int, ...], transform: Map, inverse: Map, dtype: Any = np.float64
) -> LinearOperator:
    """Chosen rows of a unitary transform of arrays of a shape; one column, or many, at a time.

    `transform` and its `inverse` act on the axes of the shape, and leave a last one alone.
    """
    n = math.prod(shape)

    def forward(x: np.ndarray) -> np.ndarray:
        return transform(x.reshape(*shape, -1)).reshape(n, *x.shape[1:])[rows]

    def backward(y: np.ndarray) -> np.ndarray:
        spectrum = np.zeros((n, *y.shape[1:]), dtype=y.dtype)
        spectrum[rows] = y
        return inverse(spectrum.reshape(*shape, -1)).reshape(n, *y.shape[1:])

    return operator((rows.size, n), forward, backward, dtype)
