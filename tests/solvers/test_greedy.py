"""The pursuits of one atom at a time against brute force, scikit-learn and their definitions."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from scipy.sparse.linalg import aslinearoperator
from sklearn.linear_model import orthogonal_mp

from sparsecode.solvers import Status, omp
from sparsecode.solvers.greedy import matching_pursuit, ols


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


@pytest.mark.parametrize("solve", [omp, ols])
@pytest.mark.parametrize("seed", range(10))
def test_on_orthogonal_atoms_no_subset_is_better(solve, seed) -> None:
    rng = np.random.default_rng(seed)
    A = np.linalg.qr(rng.standard_normal((7, 7)))[0] * rng.uniform(0.1, 10, 7)
    y = rng.standard_normal(7)
    for k in range(1, 7):
        x = solve(A, y, n_nonzero_coefs=k).x
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


def nonnegative_fit(A, y, support):
    coefficients, left = nnls(A[:, support], y)
    return coefficients, left


def least_squares_fit(A, y, support):
    coefficients = np.linalg.lstsq(A[:, support], y, rcond=None)[0]
    return coefficients, np.linalg.norm(y - A[:, support] @ coefficients)


def one_step_ahead(A, y, k, fit, *, best):
    """Brute force: of all atoms the one that leaves least, or else the most correlated one."""
    support, c, left = [], np.empty(0), np.linalg.norm(y)
    while len(support) < k:
        others = [j for j in range(A.shape[1]) if j not in support]
        if best:
            j = min(others, key=lambda j: fit(A, y, [*support, j])[1])
        else:
            score = A.conj().T @ (y - A[:, support] @ c) / np.linalg.norm(A, axis=0)
            j = max(others, key=lambda j: score[j])
        c, after = fit(A, y, [*support, j])
        if after >= left * (1 - 1e-12):
            c = fit(A, y, support)[0]
            break
        support, left = [i for i, value in zip([*support, j], c, strict=True) if value], after
        c = c[c != 0]
    x = np.zeros(A.shape[1], dtype=np.result_type(A, y))
    x[support] = c
    return x


@pytest.mark.parametrize("kind", ["f", "d", "F", "D"])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_ols_takes_the_atom_that_leaves_least(kind, k) -> None:
    differs = False
    for seed in range(5):
        A, y = gaussian(seed, kind=kind)
        A = A * np.random.default_rng(seed).uniform(0.01, 100, A.shape[1]).astype(kind)
        x = ols(A, y, n_nonzero_coefs=k).x
        A, y = A.astype("D" if kind in "FD" else "d"), y.astype("D" if kind in "FD" else "d")
        expected = one_step_ahead(A, y, k, least_squares_fit, best=True)
        np.testing.assert_array_equal(np.flatnonzero(x), np.flatnonzero(expected))
        np.testing.assert_allclose(x, expected, rtol=5e-3 if kind in "fF" else 1e-8)
        differs |= np.any(np.flatnonzero(x) != np.flatnonzero(plain_omp(A, y, k)))
    assert differs == (k > 1)  # with one atom they are the same


def test_ols_sees_through_nearly_dependent_atoms() -> None:
    """Two atoms differ by a millionth, and the signal is their difference."""
    rng = np.random.default_rng(0)
    A, _ = gaussian(0, 10, 12)
    A[:, 7] = A[:, 3] + 1e-6 * rng.standard_normal(10)
    y = 1e6 * (A[:, 7] - A[:, 3]) + 10 * A[:, 3]
    for form in (np.asarray, sp.csr_array):
        x = ols(form(A), y, n_nonzero_coefs=2).x
        np.testing.assert_array_equal(np.flatnonzero(x), [3, 7])
        np.testing.assert_allclose(x[[3, 7]], [10 - 1e6, 1e6], rtol=1e-6)


@pytest.mark.parametrize(("solve", "best"), [(omp, False), (ols, True)])
def test_nonnegative_pursuits_are_their_definition(solve, best) -> None:
    left_again = False
    for seed in range(30):
        rng = np.random.default_rng(seed)
        A = (rng.standard_normal((10, 15)) + seed % 3) * rng.uniform(0.1, 10, 15)
        y = rng.standard_normal(10) + seed % 3
        for k in (1, 3, 5, 15):
            result = solve(A, y, n_nonzero_coefs=k, positive=True)
            expected = one_step_ahead(A, y, min(k, 10), nonnegative_fit, best=best)
            np.testing.assert_allclose(result.x, expected, atol=1e-9)
        left_again |= result.n_iter < 10
    assert left_again


def test_matching_pursuit_is_its_definition() -> None:
    A, y = gaussian(0)
    A = A * np.random.default_rng(0).uniform(0.1, 10, 30)
    x, norms = np.zeros(30), np.linalg.norm(A, axis=0)
    for iterations in range(1, 30):
        score = A.T @ (y - A @ x) / norms
        j = np.argmax(np.abs(score))
        x[j] += score[j] / norms[j]
        result = matching_pursuit(
            A, y, n_nonzero_coefs=30, tol=0.0, callback=lambda row, n=iterations: row["n_iter"] == n
        )
        np.testing.assert_allclose(result.x, x, atol=1e-10)
        expected = np.max(np.abs(A.T @ (y - A @ x)) / norms) / np.linalg.norm(y)
        assert result.certificate == pytest.approx(expected, rel=1e-8)


def test_matching_pursuit_tends_to_the_fit_over_the_atoms_it_may_use() -> None:
    for seed in range(5):
        A, y = gaussian(seed)
        for k in (1, 3, 6):
            x = matching_pursuit(A, y, n_nonzero_coefs=k, tol=1e-12).x
            support = np.flatnonzero(x)
            assert len(support) <= k
            np.testing.assert_allclose(x[support], least_squares_fit(A, y, support)[0], atol=1e-9)
    assert np.count_nonzero(matching_pursuit(A, y).x) == 3  # a tenth of the columns
    many = matching_pursuit(A, y, residual_tol=1e-3).x
    assert np.linalg.norm(y - A @ many) <= 1e-3
    assert np.count_nonzero(many) > 3


@pytest.mark.parametrize("seed", [47, 92, 319])
def test_nonnegative_ols_looks_past_the_atom_that_signed_least_squares_would_take(seed) -> None:
    """Problems in which that atom would make another coefficient negative, and leaves more."""
    rng = np.random.default_rng(seed)
    A, y = rng.standard_normal((5, 30)) + 1, rng.standard_normal(5) + 1
    x = ols(A, y, n_nonzero_coefs=3, positive=True).x
    expected = one_step_ahead(A, y, 3, nonnegative_fit, best=True)
    np.testing.assert_allclose(x, expected, atol=1e-9)


@pytest.mark.parametrize("solve", [omp, ols])
def test_one_signal_that_misses_its_target_is_not_hidden_by_another(solve) -> None:
    """The first reaches it with both atoms; the second is left with what no atom explains."""
    y = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    result = solve(np.diag([1.0, 1.0, 0.0]), y, n_nonzero_coefs=2, residual_tol=1e-3)
    assert result.status is Status.EXHAUSTED
    assert not result.converged
