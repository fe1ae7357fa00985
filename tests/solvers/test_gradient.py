"""The gradient of least squares: whichever way it is computed, it is ``A^* (A x - y)``."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from sparsecode.solvers._gradient import REFRESH, least_squares_gradient


class Counted(np.ndarray):
    """A matrix that counts its products: with signals, and with itself."""

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if ufunc is np.matmul:
            right = inputs[1]
            self.counts["gram" if isinstance(right, Counted) else "signal"] += 1
        plain = [np.asarray(i) if isinstance(i, Counted) else i for i in inputs]
        return getattr(ufunc, method)(*plain, **options)

    def __array_finalize__(self, parent):
        self.counts = getattr(parent, "counts", {"gram": 0, "signal": 0})


def counted(A):
    view = A.view(Counted)
    view.counts = {"gram": 0, "signal": 0}
    return view


@pytest.mark.parametrize("kind", "fdFD")
@pytest.mark.parametrize("shape", [(12, 5), (5, 5), (5, 12), (40, 3)])
@pytest.mark.parametrize("tail", [(), (1,), (20,)])
@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, sp.csr_array, aslinearoperator])
def test_it_is_the_gradient_at_every_call(kind, shape, tail, form) -> None:
    rng = np.random.default_rng(0)

    def normal(*size):
        x = rng.standard_normal(size)
        return (x + 1j * rng.standard_normal(size) if kind in "FD" else x).astype(kind)

    A, y = normal(*shape), normal(shape[0], *tail)
    gradient = least_squares_gradient(form(A), y)
    for _ in range(2 * REFRESH + 5):
        x = normal(shape[1], *tail)
        expected = A.conj().T @ (A @ x - y)
        g = gradient(x)
        assert g.dtype == kind
        np.testing.assert_allclose(g, expected, atol=500 * np.finfo(kind).eps * 40)


def test_the_gram_matrix_is_formed_once_and_when_it_has_paid() -> None:
    rng = np.random.default_rng(0)
    A, y = counted(rng.standard_normal((100, 40))), rng.standard_normal(100)
    gradient = least_squares_gradient(A, y)
    x, first = np.zeros(40), None
    for call in range(1, 4 * REFRESH + 1):
        gradient(x)
        if A.counts["gram"] and first is None:
            first = call
            before = A.counts["signal"]
    # m n^2 flops, over the 4 m n - 2 n^2 that each call saves, at an eighth of the price of those.
    assert first == int(100 * 40**2 / (4 * 100 * 40 - 2 * 40**2) / 8) + 1
    assert before == 2 * first
    assert A.counts["gram"] == 1
    assert A.counts["signal"] - before <= 2 * 4  # the anchors


@pytest.mark.parametrize(("shape", "calls"), [((40, 41), 300), ((400, 400), 20)])
def test_no_gram_matrix_where_it_would_not_pay(shape, calls) -> None:
    rng = np.random.default_rng(0)
    A, y = counted(rng.standard_normal(shape)), rng.standard_normal(shape[0])
    gradient = least_squares_gradient(A, y)
    for _ in range(calls):
        gradient(np.zeros(shape[1]))
    assert A.counts == {"gram": 0, "signal": 2 * calls}


def test_near_its_anchor_it_is_as_exact_as_two_products() -> None:
    """Where the Gram matrix alone would lose the digits that cancel in ``A^* A x - A^* y``."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((300, 50)) + 1e3
    x = rng.standard_normal(50)
    y = A @ x
    gradient = least_squares_gradient(A, y)
    for _ in range(REFRESH - 1):
        gradient(np.zeros(50))
    gradient(x)  # the new anchor
    near = x + 1e-9 * rng.standard_normal(50)
    exact = (A.T.astype(np.longdouble) @ (A.astype(np.longdouble) @ near - y)).astype(float)
    error = np.linalg.norm(gradient(near) - exact)
    alone = np.linalg.norm(A.T @ A @ near - A.T @ y - exact)
    assert error < 0.1 * alone
