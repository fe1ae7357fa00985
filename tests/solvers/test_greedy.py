"""Orthogonal matching pursuit against brute force, scikit-learn and its own definition."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator
from sklearn.linear_model import orthogonal_mp

from sparsecode.solvers import Status, omp


def plain_omp(A, y, k):
    """The definition: the most correlated atom joins, then least squares over the support."""
    support, r = [], y
    norms = np.linalg.norm(A, axis=0)
    for _ in range(k):
        score = np.abs(A.conj().T @ r) / np.where(norms > 0, norms, np.inf)
        score[support] = -1
        support.append(int(np.argmax(score)))
        c = np.linalg.lstsq(A[:, support], y, rcond=None)[0]
        r = y - A[:, support] @ c
    x = np.zeros(A.shape[1], dtype=np.result_type(A, y))
    x[support] = c
    return x


def best_subset(A, y, k):
    """The least residual over all supports of size k."""
    supports = itertools.combinations(range(A.shape[1]), k)
    return min(
        np.linalg.norm(y - A[:, s] @ np.linalg.lstsq(A[:, s], y, rcond=None)[0])
        for s in map(list, supports)
    )


def gaussian(seed, m=12, n=30, *, kind="d"):
    rng = np.random.default_rng(seed)
    A, y = rng.standard_normal((m, n)), rng.standard_normal(m)
    if kind in "FD":
        A, y = A + 1j * rng.standard_normal((m, n)), y + 1j * rng.standard_normal(m)
    return A.astype(kind), y.astype(kind)


@pytest.mark.parametrize("seed", range(10))
def test_on_orthogonal_atoms_no_subset_is_better(seed) -> None:
    rng = np.random.default_rng(seed)
    A = np.linalg.qr(rng.standard_normal((7, 7)))[0] * rng.uniform(0.1, 10, 7)
    y = rng.standard_normal(7)
    for k in range(1, 7):
        x = omp(A, y, n_nonzero_coefs=k).x
        assert np.count_nonzero(x) == k
        assert np.linalg.norm(y - A @ x) == pytest.approx(best_subset(A, y, k), rel=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_below_the_coherence_bound_it_recovers_exactly(seed) -> None:
    """Tropp (2004): exact when ``k < (1 + 1/mu) / 2``; identity and Hadamard have mu = 1/8."""
    import scipy.linalg

    rng = np.random.default_rng(seed)
    A = np.hstack([np.eye(64), scipy.linalg.hadamard(64) / 8])
    x = np.zeros(128)
    x[rng.permutation(128)[:4]] = rng.choice([-1, 1], 4) * rng.uniform(0.1, 10, 4)
    result = omp(A, A @ x, residual_tol=1e-9)
    np.testing.assert_allclose(result.x, x, atol=1e-12)
    assert result.n_iter == 4


@pytest.mark.parametrize("kind", ["f", "d", "F", "D"])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_it_is_its_definition(kind, k) -> None:
    for seed in range(5):
        A, y = gaussian(seed, kind=kind)
        A = A * np.random.default_rng(seed).uniform(0.01, 100, A.shape[1]).astype(kind)
        result = omp(A, y, n_nonzero_coefs=k)
        expected = plain_omp(A.astype("D" if kind in "FD" else "d"), y, k)
        assert result.x.dtype == kind
        np.testing.assert_array_equal(np.flatnonzero(result.x), np.flatnonzero(expected))
        np.testing.assert_allclose(result.x, expected, rtol=2e-3 if kind in "fF" else 1e-9)
        residual = np.linalg.norm(y - A @ expected)
        assert result.objective == pytest.approx(0.5 * residual**2, rel=1e-3)
        assert result.certificate == pytest.approx(residual / np.linalg.norm(y), rel=1e-3)


def test_it_agrees_with_scikit_learn_on_unit_atoms() -> None:
    for seed in range(10):
        A, y = gaussian(seed)
        A = A / np.linalg.norm(A, axis=0)
        for k in (1, 4, 8):
            theirs = orthogonal_mp(A, y, n_nonzero_coefs=k)
            np.testing.assert_allclose(omp(A, y, n_nonzero_coefs=k).x, theirs, atol=1e-10)
        theirs = orthogonal_mp(A, y, tol=0.5**2)  # theirs is squared
        np.testing.assert_allclose(omp(A, y, residual_tol=0.5).x, theirs, atol=1e-10)


def test_the_residual_target_is_used_and_not_squared() -> None:
    A, y = gaussian(1)
    sizes = []
    for tol in (2.0, 1.0, 0.3, 0.01):
        result = omp(A, y, residual_tol=tol)
        assert result.status is Status.COMPLETED
        assert np.linalg.norm(y - A @ result.x) <= tol
        fewer = plain_omp(A, y, result.n_iter - 1)
        assert np.linalg.norm(y - A @ fewer) > tol
        sizes.append(result.n_iter)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_both_limits_hold() -> None:
    A, y = gaussian(2)
    few = omp(A, y, n_nonzero_coefs=2, residual_tol=1e-6)
    assert (few.n_iter, few.status) == (2, Status.COMPLETED)
    loose = omp(A, y, n_nonzero_coefs=12, residual_tol=2.0)
    assert loose.n_iter < 12
    assert np.linalg.norm(y - A @ loose.x) <= 2.0


def test_a_target_out_of_reach_is_said() -> None:
    A = np.eye(4)[:, :2]
    result = omp(A, np.ones(4), residual_tol=0.1)
    assert result.status is Status.EXHAUSTED
    assert not result.converged
    np.testing.assert_allclose(result.x, [1, 1])
    assert result.certificate == pytest.approx(np.sqrt(0.5))


def test_more_atoms_than_rows_are_not_taken() -> None:
    A, y = gaussian(3, m=4, n=10)
    result = omp(A, y, n_nonzero_coefs=10)
    assert np.count_nonzero(result.x) <= 4
    np.testing.assert_allclose(A @ result.x, y, atol=1e-10)


def test_zero_and_duplicate_atoms() -> None:
    A, y = gaussian(4, m=6, n=5)
    full = np.column_stack([np.zeros(6), A, A[:, 0], 2 * A[:, 1], A[:, 0] + A[:, 1], np.zeros(6)])
    result = omp(full, y, residual_tol=0.0)
    assert result.x[0] == result.x[-1] == 0
    assert np.count_nonzero(result.x) == 5
    best = np.linalg.lstsq(A, y, rcond=None)[0]
    assert np.linalg.norm(y - full @ result.x) == pytest.approx(np.linalg.norm(y - A @ best))
    assert not omp(np.zeros((6, 3)), y).x.any()


def test_nearly_dependent_atoms_do_not_spoil_the_projection() -> None:
    import scipy.linalg

    A = scipy.linalg.hilbert(10)[:, :8]
    y = np.random.default_rng(0).standard_normal(10)
    result = omp(A, y, residual_tol=0.0)
    support = np.flatnonzero(result.x)
    assert len(support) >= 7
    U = np.linalg.svd(A[:, support], full_matrices=False)[0]
    best = np.linalg.norm(y - U @ (U.T @ y))
    # One Gram-Schmidt pass is off by a ten-thousandth here and by a half on other signals.
    assert result.certificate * np.linalg.norm(y) == pytest.approx(best, rel=1e-6)


def test_a_zero_signal_has_a_zero_code_without_a_warning() -> None:
    A, _ = gaussian(5)
    for y in (np.zeros(12), np.zeros((12, 3))):
        result = omp(A, y, n_nonzero_coefs=3)
        assert not result.x.any()
        assert result.converged
        assert result.certificate == 0


@pytest.mark.parametrize(
    "form", [aslinearoperator, sp.csr_array, sp.csc_array, np.asfortranarray, np.ndarray.tolist]
)
@pytest.mark.parametrize("kind", ["d", "D"])
def test_the_form_of_the_matrix_does_not_matter(form, kind) -> None:
    A, y = gaussian(6, kind=kind)
    expected = omp(A, y, n_nonzero_coefs=5).x
    np.testing.assert_allclose(omp(form(A), y, n_nonzero_coefs=5).x, expected, atol=1e-12)


def test_an_operator_with_many_columns() -> None:
    A, y = gaussian(7, m=20, n=600)
    expected = omp(A, y, n_nonzero_coefs=4).x
    np.testing.assert_allclose(
        omp(aslinearoperator(A), y, n_nonzero_coefs=4).x, expected, atol=1e-12
    )


def test_entries_given_twice_in_a_sparse_matrix_add_up() -> None:
    A = sp.csr_array((np.ones(3), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    np.testing.assert_allclose(omp(A, np.array([2.0, 0.5]), n_nonzero_coefs=1).x, [1, 0])
    np.testing.assert_allclose(omp(A, np.array([2.0, 4.5]), n_nonzero_coefs=1).x, [0, 4.5])


@pytest.mark.parametrize(("a", "b"), [(1e150, 1.0), (1e-150, 1.0), (1e200, 1e200), (1e-200, 1e-200),
                                      (1.0, 1e-200), (1.0, 1e200), (1e-120, 1e150)])  # fmt: skip
@pytest.mark.parametrize("form", [np.asarray, aslinearoperator, sp.csr_array])
def test_scale(a, b, form) -> None:
    A, y = gaussian(8)
    expected = omp(A, y, n_nonzero_coefs=4).x
    x = omp(form(A * a), y * b, n_nonzero_coefs=4).x
    np.testing.assert_allclose(x * a / b, expected, rtol=1e-10)
    assert (
        omp(form(A * a), y * b, residual_tol=1.0 * b).n_iter == omp(A, y, residual_tol=1.0).n_iter
    )


def test_columns_and_signals_of_wildly_different_scale() -> None:
    A, y = gaussian(9, kind="f")
    sizes = np.float32(10.0) ** np.linspace(-25, 12, 30, dtype=np.float32)
    expected = plain_omp(A.astype("d"), y.astype("d"), 4)
    x = omp(A * sizes, y, n_nonzero_coefs=4).x
    np.testing.assert_array_equal(np.flatnonzero(x), np.flatnonzero(expected))
    np.testing.assert_allclose(x * sizes.astype("d"), expected, rtol=1e-3)
    many = np.column_stack([y, y * np.float32(1e-30), y * np.float32(1e30)])
    together = omp(A, many, n_nonzero_coefs=4).x
    for j in range(3):
        np.testing.assert_array_equal(together[:, j], omp(A, many[:, j], n_nonzero_coefs=4).x)
        np.testing.assert_array_equal(np.flatnonzero(together[:, j]), np.flatnonzero(expected))


def test_half_precision_comes_back_as_it_came() -> None:
    A, y = gaussian(10)
    assert omp(A.astype(np.float16), y.astype(np.float16)).x.dtype == np.float16


def test_the_defaults() -> None:
    A, y = gaussian(11)
    assert omp(A, y).n_iter == 3  # a tenth of the columns
    assert omp(A[:, :4], y).n_iter == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_nonzero_coefs": 31}, ValueError, "n_nonzero_coefs has to be between 1 and 30, got 31"),
        ({"n_nonzero_coefs": 0}, ValueError, "n_nonzero_coefs"),
        ({"n_nonzero_coefs": 2.0}, TypeError, "n_nonzero_coefs has to be an integer"),
        ({"residual_tol": -1.0}, ValueError, "residual_tol"),
        ({"residual_tol": np.nan}, ValueError, "residual_tol"),
        ({"tol": 1.0}, TypeError, "tol"),
    ],
)
def test_bad_options(options, error, message) -> None:
    with pytest.raises(error, match=message):
        omp(*gaussian(0), **options)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    m=st.integers(1, 9),
    n=st.integers(1, 12),
    kind=st.sampled_from("fdFD"),
    order=st.sampled_from("CF"),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_any_shape_dtype_and_order(m, n, kind, order, seed, data) -> None:
    A, y = gaussian(seed, m, n, kind=kind)
    k = data.draw(st.integers(1, n))
    result = omp(np.array(A, order=order), y, n_nonzero_coefs=k)
    support = np.flatnonzero(result.x)
    assert result.x.dtype == kind
    assert len(support) <= min(k, m)
    # The residual is orthogonal to what was chosen.
    r = y - A @ result.x
    tolerance = 1e-3 if kind in "fF" else 1e-9
    bound = tolerance * np.linalg.norm(A) * np.linalg.norm(y)
    assert np.all(np.abs(A[:, support].conj().T @ r) <= bound)
    assert np.linalg.norm(r) <= np.linalg.norm(y) * (1 + tolerance)
