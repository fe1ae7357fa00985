"""Operators: the dot test, norms and the matrices they stand for."""

import numpy as np
import pytest
import scipy.fft
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from sparsecode.operators import (
    adjoint,
    dct,
    overcomplete_dct,
    projection_onto_complement,
    spectral_norm,
    subsampled_dct,
)


def orthonormal(rows, columns, *, dtype=np.float64):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((columns, rows))
    Z = Z + 1j * rng.standard_normal(Z.shape) if np.dtype(dtype).kind == "c" else Z
    return np.linalg.qr(Z)[0].conj().T.astype(dtype)


OPERATORS = [
    dct(1),
    dct(8),
    subsampled_dct(9, [4]),
    subsampled_dct(16, [5, 0, 11]),
    projection_onto_complement(orthonormal(2, 7)),
    projection_onto_complement(orthonormal(2, 7, dtype=np.complex128)),
    projection_onto_complement(np.zeros((0, 3))),
]


@pytest.mark.parametrize("A", OPERATORS)
def test_dot(A) -> None:
    """``<A u, v> = <u, A^* v>``, for vectors, many columns and complex numbers."""
    rng = np.random.default_rng(1)
    for k in (None, 1, 4):
        tail = () if k is None else (k,)
        u = rng.standard_normal((A.shape[1], *tail)) + 1j * rng.standard_normal((A.shape[1], *tail))
        v = rng.standard_normal((A.shape[0], *tail)) + 1j * rng.standard_normal((A.shape[0], *tail))
        assert (A @ u).shape == (A.shape[0], *tail)
        assert np.vdot(A @ u, v) == pytest.approx(np.vdot(u, adjoint(A) @ v), rel=1e-12)


@pytest.mark.parametrize("A", OPERATORS)
def test_many_columns_are_as_many_products(A) -> None:
    U = np.random.default_rng(2).standard_normal((A.shape[1], 3))
    columns = np.column_stack([A @ U[:, j] for j in range(3)])
    np.testing.assert_allclose(A @ U, columns, rtol=1e-13, atol=1e-14)


def test_the_dct_is_that_of_the_textbook() -> None:
    n, k = np.arange(6), np.arange(6)[:, None]
    matrix = np.cos(np.pi * (n + 0.5) * k / 6) * np.where(k == 0, np.sqrt(1 / 6), np.sqrt(2 / 6))
    np.testing.assert_allclose(dct(6) @ np.eye(6), matrix, atol=1e-14)
    np.testing.assert_allclose(subsampled_dct(6, [3, 1]) @ np.eye(6), matrix[[3, 1]], atol=1e-14)


@pytest.mark.parametrize("rows", [[], [0, 0], [8], [-1], [0.5], [[1, 2]]])
def test_bad_rows_are_refused(rows) -> None:
    with pytest.raises(ValueError, match="rows"):
        subsampled_dct(8, rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (280, 300)])
def test_the_spectral_norm_is_numpys(shape, dtype) -> None:
    rng = np.random.default_rng(3)
    A = rng.standard_normal(shape)
    A = (A + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else A).astype(dtype)
    exact = np.linalg.norm(A, 2)
    assert spectral_norm(A) == pytest.approx(exact, rel=1e-5)
    for form in (aslinearoperator(A), sp.csr_array(A)):
        assert exact * (1 - 1e-5) <= spectral_norm(form) <= exact * 1.0011


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200])
@pytest.mark.parametrize("size", [4, 300])
def test_the_spectral_norm_has_no_favourite_scale(scale, size) -> None:
    A = np.random.default_rng(4).standard_normal((size, size)) * scale
    exact = np.linalg.norm(A / scale, 2) * scale
    for form in (A, aslinearoperator(A), sp.csr_array(A)):
        assert spectral_norm(form) == pytest.approx(exact, rel=2e-3)


@pytest.mark.parametrize("size", [3, 300])
def test_the_spectral_norm_of_zero_is_zero(size) -> None:
    zero = np.zeros((size, size + 1))
    assert [spectral_norm(f) for f in (zero, aslinearoperator(zero), sp.csr_array(zero))] == [0] * 3


def test_integers_have_a_norm_too() -> None:
    A = aslinearoperator(np.diag([2, 5]))
    assert spectral_norm(A) == pytest.approx(5)


def test_the_projection_removes_exactly_the_basis() -> None:
    V = orthonormal(2, 6, dtype=np.complex128)
    P = projection_onto_complement(V)
    x = np.random.default_rng(5).standard_normal(6)
    np.testing.assert_allclose(V @ (P @ x), 0, atol=1e-14)
    np.testing.assert_allclose(P @ (P @ x), P @ x, atol=1e-14)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (8, 8), (20, 8), (5, 8), (256, 64)])
def test_the_overcomplete_dct_has_unit_atoms(shape) -> None:
    D = overcomplete_dct(*shape)
    assert D.shape == shape
    np.testing.assert_allclose(np.linalg.norm(D, axis=1), 1, rtol=1e-12)
    if shape[1] > 1:  # only the first has a mean
        np.testing.assert_allclose(D[1:].mean(axis=1), 0, atol=1e-12)
    if shape[0] == shape[1]:
        np.testing.assert_allclose(
            D @ scipy.fft.dct(np.eye(shape[0]), norm="ortho"), np.eye(*shape), atol=1e-12
        )
