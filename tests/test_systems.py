"""What stands for a matrix: dense, sparse, or known by its products alone."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from sparsecode._systems import check_operator, check_system
from sparsecode.operators import dct, projection_onto_complement, subsampled_dct
from sparsecode.solvers import fista, omp


def test_a_sparse_matrix_keeps_the_callers_untouched() -> None:
    given = sp.csr_array(
        (np.array([1, 2, 3]), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2)
    )
    checked = check_operator(given)
    np.testing.assert_array_equal(checked.toarray(), [[3, 0], [0, 3]])
    assert checked.has_canonical_format
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(given.indices, [0, 0, 1])
    assert given.data.dtype.kind == "i"


@pytest.mark.parametrize("convert", [sp.csc_array, sp.coo_array, sp.csr_matrix])
def test_any_sparse_format(convert) -> None:
    A = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(check_operator(convert(A)).toarray(), A)


@pytest.mark.parametrize(
    "A", [sp.csr_array((0, 3)), sp.csr_array((3, 0)), sp.coo_array(np.ones(3))]
)
def test_a_sparse_matrix_needs_two_dimensions_and_entries(A) -> None:
    with pytest.raises(ValueError, match="A has to be 2-D and not empty"):
        check_operator(A)


def test_a_sparse_matrix_with_nan_is_named() -> None:
    with pytest.raises(ValueError, match="A contains NaN"):
        check_operator(sp.csr_array([[np.nan]]))


class Duck:
    """As PyLops operators are: flat vectors, no dtype promotion, no base class of SciPy's."""

    shape = (2, 3)
    dtype = "float32"
    matrix = np.arange(6.0, dtype=np.float32).reshape(2, 3)

    def matvec(self, x):
        assert x.shape == (3,)
        return self.matrix @ x

    def rmatvec(self, y):
        assert y.shape == (2,)
        return self.matrix.T @ y


def test_an_operator_by_duck_type() -> None:
    A = check_operator(Duck())
    assert isinstance(A, LinearOperator)
    np.testing.assert_array_equal(A @ np.eye(3), Duck.matrix)
    np.testing.assert_array_equal(A.H @ np.eye(2), Duck.matrix.T)
    assert check_system(Duck(), np.ones(2, np.float32))[1].dtype == np.float32


def by_products(M, forward=None, backward=None, dtype=None):
    """`M` as an operator, one of its products replaced."""
    return LinearOperator(
        M.shape,
        matvec=forward or (lambda x: M @ x),
        rmatvec=backward or (lambda y: M.conj().T @ y),
        dtype=dtype or M.dtype,
    )


MATRIX = np.random.default_rng(0).standard_normal((7, 12))
COMPLEX = MATRIX + 1j * MATRIX[::-1]


@pytest.mark.parametrize(
    "solve",
    [lambda A: fista(A, np.ones(7), alpha=1), lambda A: omp(A, np.ones(7), n_nonzero_coefs=2)],
)
@pytest.mark.parametrize(
    ("A", "message"),
    [
        (LinearOperator((7, 12), matvec=lambda x: MATRIX @ x, dtype="d"), "A has no adjoint"),
        (by_products(MATRIX, forward=lambda x: np.full(7, np.nan)), "A.matvec .* not finite"),
        (by_products(MATRIX, backward=lambda y: np.full(12, np.inf)), "A.rmatvec .* not finite"),
        (by_products(MATRIX, backward=lambda y: 2 * MATRIX.T @ y), "A.rmatvec is not the adjoint"),
        (by_products(MATRIX, backward=lambda y: np.zeros(12)), "A.rmatvec is not the adjoint"),
        (by_products(MATRIX, forward=lambda x: np.zeros(7)), "A.rmatvec is not the adjoint"),
        (by_products(MATRIX.astype("f"), backward=lambda y: MATRIX[:, ::-1].T @ y), "not the adj"),
        (by_products(COMPLEX, backward=lambda y: COMPLEX.T @ y), "not the adjoint"),
    ],
)
def test_an_operator_whose_products_will_not_do(A, message, solve) -> None:
    with pytest.raises(ValueError, match=message):
        solve(A)


class InSinglePrecision:
    """Products in float32 whatever comes in, and no word about it."""

    shape = MATRIX.shape

    def matvec(self, x):
        return MATRIX.astype("f") @ x.astype("f")

    def rmatvec(self, y):
        return MATRIX.T.astype("f") @ y.astype("f")


@pytest.mark.parametrize(
    "A",
    [
        by_products(MATRIX),
        by_products(MATRIX.astype("f")),
        by_products(COMPLEX),
        by_products(COMPLEX.astype("F")),
        by_products(np.arange(6).reshape(2, 3)),
        by_products(np.zeros((2, 3))),
        by_products(MATRIX * 1e-150),
        by_products(MATRIX * 1e150),
        by_products(MATRIX * 1e-320),
        aslinearoperator(np.random.default_rng(1).standard_normal((300, 2000), dtype="f")),
        subsampled_dct(1000, np.arange(0, 1000, 7)),
        3.0 * dct(64),
        projection_onto_complement(np.linalg.qr(MATRIX[:, :7])[0]),
        projection_onto_complement(np.linalg.qr(MATRIX[:, :7].astype("f"))[0]),
        InSinglePrecision(),
    ],
)
def test_an_operator_that_will_do(A) -> None:
    checked = check_operator(A)
    assert checked is A or isinstance(A, InSinglePrecision)


@pytest.mark.parametrize(
    ("a", "b", "common"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float32, np.int16, np.float64),
        (np.float32, np.complex64, np.complex64),
        (np.float64, np.complex64, np.complex128),
        (np.float16, np.float16, np.float32),
    ],
)
def test_a_system_has_one_dtype(a, b, common) -> None:
    A, y = check_system(np.ones((2, 3), a), np.ones(2, b))
    assert A.dtype == y.dtype == common


def test_a_system_has_to_fit() -> None:
    with pytest.raises(ValueError, match="A has 2 rows but y has 3"):
        check_system(np.ones((2, 3)), np.ones(3))
