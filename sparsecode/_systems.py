"""What stands for a matrix, and the systems ``A x = y`` of it: checked at the public edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from sparsecode._scaling import magnitude
from sparsecode._validation import check_array


def check_operator(
    A: Any, name: str = "A", *, allow_complex: bool = True
) -> np.ndarray | sp.sparray | LinearOperator:
    """A dense array, a SciPy sparse array, or anything with `shape`, `matvec` and `rmatvec`.

    What is only known by its products is tried once, with fixed vectors: see `_check_products`.
    """
    if sp.issparse(A):
        if A.ndim != 2 or 0 in A.shape:
            raise ValueError(f"{name} has to be 2-D and not empty, got shape {A.shape}")
        A = sp.csr_array(A)
        if not A.has_canonical_format:  # entries given twice would count twice in the norms
            A = A.copy()
            A.sum_duplicates()
        A.data = check_array(A.data, name, ndim=1, allow_complex=allow_complex, allow_empty=True)
        return A
    if not isinstance(A, LinearOperator):
        if not (hasattr(A, "matvec") and hasattr(A, "rmatvec") and hasattr(A, "shape")):
            return check_array(A, name, allow_complex=allow_complex)
        A = _DuckOperator(A)
    _check_products(A, name)
    return A


def _check_products(A: LinearOperator, name: str) -> None:
    """One product each way: finite, and by the dot test ``<A u, v> = <u, A^H v>``."""
    dtype, rng = np.result_type(A.dtype, np.float32), np.random.RandomState(0)
    u, v = (rng.standard_normal(side).astype(dtype) for side in A.shape[::-1])
    if np.issubdtype(dtype, np.complexfloating):
        u, v = (w + (1j * rng.standard_normal(w.size)).astype(dtype) for w in (u, v))
    Au, AHv = _product(A, "matvec", u, name), _product(A, "rmatvec", v, name)
    for product, method in ((Au, "matvec"), (AHv, "rmatvec")):
        if not np.all(np.isfinite(product)):
            raise ValueError(
                f"{name}.{method} of a finite vector is not finite; look for NaN, infinity or "
                "overflow in it"
            )
    floating = [d for d in (dtype, Au.dtype, AHv.dtype) if d.kind in "fc"]
    eps = max(float(np.finfo(d).eps) for d in floating)
    size = max(1.0, magnitude(Au), magnitude(AHv))  # in units of it no square overflows
    Au, AHv = Au / size, AHv / size
    length_u, length_v = np.linalg.norm(u), np.linalg.norm(v)
    scale = np.linalg.norm(Au) * length_v + length_u * np.linalg.norm(AHv)
    # Of a product that cancels, as that of a projection to nothing, only rounding is left.
    rounding = 4 * eps * np.sqrt(max(A.shape)) * length_u * length_v / size
    if abs(np.vdot(v, Au) - np.vdot(AHv, u)) > np.sqrt(eps) * scale + rounding:
        raise ValueError(
            f"{name}.rmatvec is not the adjoint of {name}.matvec: <A u, v> and <u, A^H v> differ; "
            "it has to be the product with the conjugate transpose"
        )


def _product(A: LinearOperator, method: str, vector: np.ndarray, name: str) -> np.ndarray:
    """One product, or an error that says what the operator lacks."""
    length = A.shape[0] if method == "matvec" else A.shape[1]
    try:
        with np.errstate(all="ignore"):
            return np.asarray(getattr(A, method)(vector))
    except NotImplementedError as error:
        raise ValueError(
            f"{name} has no adjoint ({error}); its products both ways are needed: give it matvec "
            "and rmatvec"
        ) from error
    except ValueError as error:  # SciPy gives the product the length that `shape` promises
        raise ValueError(
            f"{name}.{method} of a vector of length {vector.size} failed ({error}); {name} has the "
            f"shape {A.shape}, so it has to give one of length {length}"
        ) from error


class _DuckOperator(LinearOperator):
    """Foreign operators (PyLops among them) seen through SciPy's interface."""

    def __init__(self, A: Any) -> None:
        self._foreign = A
        super().__init__(dtype=np.dtype(getattr(A, "dtype", np.float64)), shape=tuple(A.shape))

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self._foreign.matvec(x.ravel()))

    def _rmatvec(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(self._foreign.rmatvec(y.ravel()))


def check_system(A: Any, y: Any) -> tuple[Any, np.ndarray]:
    """`A` (m, n) and `y` (m,) or (m, n_signals) that fit together, in one common dtype."""
    A = check_operator(A)
    y = check_array(y, "y", ndim=(1, 2), allow_complex=True)
    if y.shape[0] != A.shape[0]:
        raise ValueError(
            f"A has {A.shape[0]} rows but y has {y.shape[0]}; "
            "A is (m, n) and y (m,) or (m, n_signals)"
        )
    dtype = np.result_type(A.dtype, y.dtype)
    if not np.issubdtype(dtype, np.inexact) or dtype.itemsize < 4:
        dtype = np.dtype(np.float64)
    if not isinstance(A, LinearOperator):
        A = A.astype(dtype, copy=False)
    return A, y.astype(dtype, copy=False)
