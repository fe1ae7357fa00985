"""Operators: the dot test, norms and the matrices they stand for."""

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import scipy.ndimage
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from sparsecode.operators import (
    adjoint,
    as_real,
    bernoulli,
    blur,
    concatenation,
    dct,
    finite_differences,
    gaussian,
    mask,
    overcomplete_dct,
    projection_onto_complement,
    random_convolution,
    spectral_norm,
    subsampled_dct,
    subsampled_fft,
    subsampled_hadamard,
    wavelet_synthesis,
)


def orthonormal(rows, columns, *, dtype=np.float64):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((columns, rows))
    Z = Z + 1j * rng.standard_normal(Z.shape) if np.dtype(dtype).kind == "c" else Z
    return np.linalg.qr(Z)[0].conj().T.astype(dtype)


RNG = np.random.default_rng(0)
OPERATORS = [
    dct(1),
    dct(8),
    subsampled_dct(9, [4]),
    subsampled_dct(16, [5, 0, 11]),
    projection_onto_complement(orthonormal(2, 7)),
    projection_onto_complement(orthonormal(2, 7, dtype=np.complex128)),
    projection_onto_complement(np.zeros((0, 3))),
    dct((3, 4)),
    subsampled_dct((3, 4), [7, 0, 11]),
    subsampled_fft(7, [0, 3, 6]),
    subsampled_fft((4, 3), np.arange(12).reshape(4, 3) % 2 == 0),
    subsampled_hadamard(8, [5, 0, 2]),
    subsampled_hadamard((2, 4), [7, 1]),
    random_convolution(7, [6, 2, 3], random_state=0),
    random_convolution(8, [1], random_state=0),
    mask((2, 3), [4, 0]),
    gaussian(3, 5, random_state=0),
    bernoulli(5, 3, random_state=0),
    blur(6, [1.0, 2.0, 3.0]),
    blur((5, 4), RNG.standard_normal((2, 3)), boundary="zero"),
    blur(4, [1.0, 1j], boundary="zero"),
    finite_differences(5),
    finite_differences((3, 1, 4)),
    finite_differences((3, 1, 4), boundary="periodic"),
    concatenation([np.eye(6), dct(6).H, sp.csr_array(np.ones((6, 2)))]),
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


@pytest.mark.parametrize("A", OPERATORS)
@pytest.mark.parametrize("kind", ["f", "d"])
def test_products_are_those_with_the_matrix(A, kind) -> None:
    """And keep the precision of the vector, where the matrix is not an array of doubles."""
    matrix = A @ np.eye(A.shape[1])
    x = np.random.default_rng(6).standard_normal(A.shape[1]).astype(kind)
    y = np.random.default_rng(7).standard_normal(A.shape[0]).astype(kind)
    tolerance = 1e-5 if kind == "f" else 1e-12
    np.testing.assert_allclose(A @ x, matrix @ x, atol=tolerance)
    np.testing.assert_allclose(adjoint(A) @ y, matrix.conj().T @ y, atol=tolerance)


ISOMETRIES = [
    subsampled_dct((4, 6), np.arange(24).reshape(4, 6) % 5 == 0),
    subsampled_fft((4, 6), [20, 3, 7]),
    subsampled_hadamard((4, 8), [31, 0, 5]),
    random_convolution(30, [0, 4, 29], random_state=1),
    mask(9, [1, 8]),
]


@pytest.mark.parametrize("A", ISOMETRIES)
def test_rows_of_unitary_transforms_are_orthonormal(A) -> None:
    rows = A.shape[0]
    np.testing.assert_allclose(A @ (A.H @ np.eye(rows)), np.eye(rows), atol=1e-13)


def test_transforms_are_those_of_scipy() -> None:
    X = np.random.default_rng(8).standard_normal((4, 8))
    keep = np.random.default_rng(8).random(X.shape) < 0.4
    np.testing.assert_allclose(
        subsampled_fft((4, 8), keep) @ X.ravel(), scipy.fft.fft2(X, norm="ortho")[keep]
    )
    np.testing.assert_allclose(
        subsampled_dct((4, 8), keep) @ X.ravel(), scipy.fft.dctn(X, norm="ortho")[keep]
    )
    H = scipy.linalg.hadamard(8) / np.sqrt(8)
    np.testing.assert_allclose(subsampled_hadamard(8, [6, 1]) @ np.eye(8), H[[6, 1]], atol=1e-15)
    both = np.kron(scipy.linalg.hadamard(4), scipy.linalg.hadamard(8))
    np.testing.assert_allclose(
        subsampled_hadamard((4, 8), keep) @ X.ravel(),
        (both @ X.ravel())[keep.ravel()] / np.sqrt(32),
    )


@pytest.mark.parametrize(("boundary", "mode"), [("periodic", "wrap"), ("zero", "constant")])
@pytest.mark.parametrize("size", [(3, 3), (2, 5), (1, 4)])
def test_the_blur_is_the_convolution_of_scipy(boundary, mode, size) -> None:
    X, kernel = (
        np.random.default_rng(8).standard_normal((6, 7)),
        np.random.default_rng(9).standard_normal(size),
    )
    expected = scipy.ndimage.convolve(X, kernel, mode=mode)
    found = blur((6, 7), kernel, boundary=boundary) @ X.ravel()
    np.testing.assert_allclose(found.reshape(6, 7), expected, atol=1e-13)


def test_differences_have_no_step_over_the_edge() -> None:
    X = np.random.default_rng(8).standard_normal((4, 5))
    down, right = (finite_differences((4, 5)) @ X.ravel()).reshape(2, 4, 5)
    np.testing.assert_array_equal(down[:-1], np.diff(X, axis=0))
    np.testing.assert_array_equal(right[:, :-1], np.diff(X, axis=1))
    assert not down[-1].any()
    assert not right[:, -1].any()
    assert spectral_norm(finite_differences((30, 40))) < 2 * np.sqrt(2)


def test_differences_of_what_repeats_go_around() -> None:
    X = np.random.default_rng(8).standard_normal((4, 5))
    down, right = (finite_differences((4, 5), boundary="periodic") @ X.ravel()).reshape(2, 4, 5)
    np.testing.assert_array_equal(down, np.roll(X, -1, axis=0) - X)
    np.testing.assert_array_equal(right, np.roll(X, -1, axis=1) - X)


def test_a_random_pulse_is_the_same_for_the_same_seed() -> None:
    one, same, other = (random_convolution(9, [2], random_state=s) @ np.eye(9) for s in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1
    np.testing.assert_array_equal(
        gaussian(4, 6, random_state=1).A, gaussian(4, 6, random_state=1).A
    )


def test_random_matrices_have_columns_of_unit_norm() -> None:
    np.testing.assert_allclose(np.linalg.norm(bernoulli(50, 40, random_state=0).A, axis=0), 1)
    energies = np.sum(gaussian(2000, 30, random_state=0).A ** 2, axis=0)
    np.testing.assert_allclose(energies, 1, atol=6 * np.sqrt(2 / 2000))


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym5", "coif1"])
@pytest.mark.parametrize("shape", [(64,), (16, 32), (8, 8, 16)])
def test_wavelets_are_an_orthonormal_basis(wavelet, shape) -> None:
    pytest.importorskip("pywt")
    W = wavelet_synthesis(shape, wavelet, level=2)
    X = np.random.default_rng(8).standard_normal((W.shape[0], 2))
    np.testing.assert_allclose(W.H @ (W @ X), X, atol=1e-11)
    np.testing.assert_allclose(W @ (W.H @ X), X, atol=1e-11)
    Z = np.random.default_rng(8).standard_normal((W.shape[0], 2))
    assert np.vdot(W @ Z, X) == pytest.approx(np.vdot(Z, W.H @ X))
    flat = W.H @ np.ones(W.shape[0])
    n_coarse = W.shape[0] // 4 ** len(shape)  # all other coefficients of a constant are zero
    assert np.count_nonzero(abs(flat) > 1e-8) == n_coarse


def test_wavelets_that_do_not_fit_are_refused() -> None:
    pytest.importorskip("pywt")
    with pytest.raises(ValueError, match="no adjoint"):
        wavelet_synthesis(16, "bior2.2")
    with pytest.raises(ValueError, match=r"no multiples of 2\*\*level = 8"):
        wavelet_synthesis((16, 20), "haar", level=3)
    assert wavelet_synthesis(7, "haar").shape == (7, 7)  # by default as deep as the length allows
    with pytest.raises(ValueError, match="Unknown wavelet name"):
        wavelet_synthesis(16, "nobody")


def test_a_complex_matrix_measures_real_signals() -> None:
    A = subsampled_fft(12, [1, 4, 6])
    x, y = np.random.default_rng(8).standard_normal(12), np.random.default_rng(9).standard_normal(6)
    np.testing.assert_allclose(as_real(A) @ x, np.r_[(A @ x).real, (A @ x).imag])
    assert np.vdot(as_real(A) @ x, y) == pytest.approx(np.vdot(x, as_real(A).H @ y))
    assert as_real(A).dtype == np.float64


def test_parts_of_different_heights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"same number of rows; got \[2, 3\]"):
        concatenation([np.eye(2), np.eye(3)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: subsampled_hadamard(6, [0]), "powers of two"),
        (lambda: mask((2, 3), np.ones((3, 2), dtype=bool)), r"the mask in rows has shape \(3, 2\)"),
        (lambda: dct(()), "one length at least"),
        (lambda: dct((3, 0)), "a length in shape"),
        (lambda: blur(3, np.ones(4)), "longer than the signal"),
        (lambda: blur(3, np.ones((2, 2))), "kernel"),
        (lambda: blur(3, np.ones(2), boundary="reflect"), "boundary has to be one of"),
        (lambda: finite_differences(3, boundary="zero"), "boundary has to be one of"),
    ],
)
def test_what_does_not_fit_is_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
