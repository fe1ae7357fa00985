"""The laws of every solver for a given number of atoms; a new one is tested by being listed."""

import functools
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from scipy.sparse.linalg import aslinearoperator
from sklearn.exceptions import ConvergenceWarning

from sparsecode.operators import subsampled_dct
from sparsecode.solvers import Status
from sparsecode.solvers.greedy import matching_pursuit, ols, omp
from sparsecode.solvers.subspace import cosamp, subspace_pursuit
from sparsecode.solvers.thresholding import htp, iht

SOLVERS = {
    "matching_pursuit": matching_pursuit,
    "omp": omp,
    "ols": ols,
    "cosamp": cosamp,
    "subspace_pursuit": subspace_pursuit,
    "htp": htp,
    "iht": partial(iht, variant="plain"),
    "normalized iht": partial(iht, variant="normalized"),
    "accelerated iht": partial(iht, variant="accelerated"),
}
FINITE = {"omp", "ols"}  # they take neither tol nor max_iter
POSITIVE = ["omp", "ols", "htp"]
SCALE_INVARIANT = ["matching_pursuit", "omp", "ols"]
NO_OPERATOR = {"ols"}

every_solver = pytest.mark.parametrize("name", SOLVERS)
every_iteration = pytest.mark.parametrize("name", [s for s in SOLVERS if s not in FINITE])

K = 3


def solve(name, A, y, **options):
    if name not in FINITE:
        options = {"tol": 1e-4 if np.asarray(y).dtype.char in "efF" else 1e-10, **options}
    return SOLVERS[name](A, y, **{"n_nonzero_coefs": K, **options})


@functools.cache
def sparse_data(kind="d", m=40, n=45, signals=3):
    """Unit atoms, and signals that K of them explain exactly."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((m, n))
    x = np.zeros((n, signals), dtype=complex if kind in "FD" else float)
    for j in range(signals):
        support = rng.permutation(n)[:K]
        x[support, j] = rng.choice([-1, 1], K) * rng.uniform(1, 2, K)
        if kind in "FD":
            x[support, j] *= np.exp(1j * rng.uniform(0, 6, K))
    if kind in "FD":
        A = A + 1j * rng.standard_normal((m, n))
    A = (A / np.linalg.norm(A, axis=0)).astype(kind)
    x = x.astype(kind)
    y = A @ x
    for array in (A, x, y):
        array.flags.writeable = False
    return A, x, y


@functools.cache
def noisy_data(m=20, n=30):
    rng = np.random.default_rng(1)
    A, y = rng.standard_normal((m, n)) / np.sqrt(m), rng.standard_normal((m, 3))
    A.flags.writeable = y.flags.writeable = False
    return A, y


@functools.cache
def noisy_answer(name):
    """The answer, a residual that it is below, and how many iterations get there."""
    A, y = noisy_data()
    x = solve(name, A, y).x
    target = 1.1 * np.linalg.norm(y - A @ x, axis=0).max()
    return x, target, solve(name, A, y, residual_tol=target).n_iter


@every_solver
@pytest.mark.parametrize("kind", ["f", "d", "F", "D"])
def test_it_recovers_sparse_signals_in_their_dtype(name, kind) -> None:
    A, x, y = sparse_data(kind)
    result = solve(name, A, y)
    assert result.converged
    assert result.x.dtype == kind
    assert np.isnan(result.dual_gap)
    np.testing.assert_allclose(result.x, x, atol=1e-3 if kind in "fF" else 1e-8)
    assert np.all(np.count_nonzero(result.x, axis=0) == K)


@every_solver
def test_the_objective_is_half_the_squared_residual_of_at_most_k_atoms(name) -> None:
    A, y = noisy_data()
    for k in (1, 2, 5):
        result = solve(name, A, y, n_nonzero_coefs=k)
        assert np.all(np.count_nonzero(result.x, axis=0) <= k)
        residual = y - A @ result.x
        assert result.objective == pytest.approx(0.5 * np.sum(residual**2), rel=1e-10)
        assert np.all(np.linalg.norm(residual, axis=0) <= np.linalg.norm(y, axis=0))
        largest = np.max(np.linalg.norm(residual, axis=0) / np.linalg.norm(y, axis=0))
        if name in FINITE:
            assert result.certificate == pytest.approx(largest)
        else:
            assert result.certificate <= 1e-10
            assert result.history["residual"][-1] == pytest.approx(largest)


@every_solver
def test_each_signal_is_a_problem_of_its_own_to_the_bit(name) -> None:
    A, y = noisy_data()
    y = y * [1, 1e-200, 1e3]
    together = solve(name, A, y)
    for j in range(y.shape[1]):
        alone = solve(name, A, y[:, j])
        assert alone.x.shape == (A.shape[1],)
        np.testing.assert_array_equal(together.x[:, j], alone.x)


class Duck:
    def __init__(self, A):
        self.A, self.shape, self.dtype = A, A.shape, A.dtype

    def matvec(self, x):
        return self.A @ x

    def rmatvec(self, y):
        return self.A.conj().T @ y


FORMS = {
    "operator": aslinearoperator,
    "duck": Duck,
    "csr": sp.csr_array,
    "csc matrix": sp.csc_matrix,
    "fortran": np.asfortranarray,
    "list": np.ndarray.tolist,
}


@every_solver
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["d", "D"])
def test_the_form_of_the_matrix_does_not_matter(name, form, kind) -> None:
    A, _, y = sparse_data(kind)
    if name in NO_OPERATOR and form in ("operator", "duck"):
        with pytest.raises(TypeError, match=r"A is a LinearOperator; .* use omp"):
            solve(name, FORMS[form](A), y)
        return
    y = y + 0.01 * noisy_data(40)[1]
    expected = solve(name, A, y).x
    np.testing.assert_allclose(solve(name, FORMS[form](A), y).x, expected, atol=1e-8)


@pytest.mark.parametrize("name", [s for s in SOLVERS if s not in NO_OPERATOR])
def test_a_fast_transform_recovers(name) -> None:
    rng = np.random.default_rng(0)
    A = subsampled_dct(256, rng.permutation(256)[:120])
    x = np.zeros(256)
    x[[20, 100, 180]] = [3.0, -2.0, 2.0]
    np.testing.assert_allclose(solve(name, A, A @ x).x, x, atol=1e-7)


@every_solver
@pytest.mark.parametrize(("a", "b"), [(1e-150, 1.0), (1e150, 1.0), (1.0, 1e-150), (1.0, 1e150),
                                      (1e-150, 1e-150), (1e150, 1e150)])  # fmt: skip
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, aslinearoperator])
def test_scaling_the_data_scales_the_answer(name, a, b, form) -> None:
    if name in NO_OPERATOR and form is aslinearoperator:
        return
    A, y = noisy_data()
    plain, target, n_iter = noisy_answer(name)
    scaled = solve(name, form(A * a), y * b)
    assert scaled.converged
    np.testing.assert_allclose(scaled.x * (a / b), plain, atol=1e-7 * np.abs(plain).max())
    assert solve(name, form(A * a), y * b, residual_tol=target * b).n_iter == n_iter


@pytest.mark.parametrize("name", SCALE_INVARIANT)
def test_the_norms_of_the_atoms_do_not_matter(name) -> None:
    A, y = noisy_data()
    sizes = 10.0 ** np.linspace(-30, 20, A.shape[1])
    expected = solve(name, A, y).x
    x = solve(name, A * sizes, y).x
    np.testing.assert_allclose(x * sizes[:, None], expected, atol=1e-8)


@every_solver
def test_zero_and_duplicate_atoms_are_legal(name) -> None:
    A, _, y = sparse_data()
    wide = np.hstack([np.zeros((40, 2)), A, A[:, :5], np.zeros((40, 1))])
    result = solve(name, wide, y, n_nonzero_coefs=2 * K)
    assert not result.x[[0, 1, -1]].any()
    np.testing.assert_allclose(wide @ result.x, y, atol=1e-5)
    zero = solve(name, np.zeros((4, 5)), np.ones(4))
    assert not zero.x.any()
    assert zero.converged
    assert zero.objective == 2.0


@every_solver
def test_zero_signals_have_zero_codes_without_a_warning(name) -> None:
    A, _, y = sparse_data()
    for zero in (np.zeros(40), np.zeros((40, 2))):
        result = solve(name, A, zero)
        assert not result.x.any()
        assert result.converged
        assert result.objective == result.certificate == 0
    mixed = solve(name, A, np.column_stack([y[:, 0], np.zeros(40)]))
    assert not mixed.x[:, 1].any()
    assert mixed.x[:, 0].any()


@every_solver
def test_more_atoms_than_rows(name) -> None:
    A, y = noisy_data(4, 10)
    result = solve(name, A, y, n_nonzero_coefs=10, residual_tol=1e-3)
    assert result.converged
    if name != "cosamp":  # it fits 3k atoms, and would have to choose among them
        np.testing.assert_allclose(A @ result.x, y, atol=1.1e-3)


@every_solver
@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_one_row_or_one_column(name, shape) -> None:
    rng = np.random.default_rng(1)
    A, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    result = solve(name, A, y, n_nonzero_coefs=1)
    best = np.min([np.linalg.norm(y - a * (a @ y) / (a @ a)) for a in A.T])
    if name != "cosamp" or shape[0] > 1:  # it fits 3k atoms, which have to be independent
        assert np.linalg.norm(y - A @ result.x) == pytest.approx(best, abs=1e-8)


@every_solver
def test_a_residual_target_is_enough_and_is_not_squared(name) -> None:
    A, _, y = sparse_data()
    for tol in (1.0, 0.1, 1e-3):
        result = solve(name, A, y, residual_tol=tol, n_nonzero_coefs=K)
        assert result.converged
        assert np.all(np.linalg.norm(y - A @ result.x, axis=0) <= tol)
    assert not solve(name, A, y, residual_tol=100.0).x.any()
    loose, tight = (solve(name, A, y[:, 0], residual_tol=t).n_iter for t in (1.0, 1e-6))
    assert loose <= tight


@every_iteration
def test_max_iter_is_a_warning_with_the_certificate(name) -> None:
    A, y = noisy_data()
    with pytest.warns(ConvergenceWarning, match=r"its certificate is \S+ after max_iter=1 "):
        result = solve(name, A, y, tol=0.0, max_iter=1)
    assert result.status is Status.MAX_ITER
    assert not result.converged
    assert result.n_iter == 1


@every_iteration
def test_the_answer_does_not_get_worse(name) -> None:
    """By theory for each of them: the iterates of CoSaMP are the best ones so far."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        A, y = rng.standard_normal((15, 40)), rng.standard_normal(15)
        A *= rng.uniform(0.5, 2, 40)
        objective = solve(name, A, y, n_nonzero_coefs=4, tol=1e-8).history["objective"]
        assert np.all(np.diff(objective) <= 1e-12 * objective[0])


@every_iteration
def test_the_callback_may_stop(name) -> None:
    A, y = noisy_data()
    rows = []
    result = solve(name, A, y, tol=0.0, callback=lambda row: rows.append(row) or len(rows) == 1)
    assert result.status is Status.CALLBACK
    assert result.n_iter == 1
    assert rows[0]["objective"] == result.objective


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize("kind", ["f", "d"])
def test_nonnegative_codes_are_the_nonnegative_fit_over_their_support(name, kind) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        A, y = rng.standard_normal((12, 20)).astype(kind), rng.standard_normal((12, 2)).astype(kind)
        for k in (1, 3, 6):
            x = solve(name, A, y, n_nonzero_coefs=k, positive=True).x
            assert x.dtype == kind
            assert np.all(x >= 0)
            for j in range(2):
                support = np.flatnonzero(x[:, j])
                assert len(support) <= k
                expected = nnls(A[:, support].astype("d"), y[:, j].astype("d"))[0]
                np.testing.assert_allclose(
                    x[support, j], expected, atol=1e-4 if kind == "f" else 1e-10
                )


@pytest.mark.parametrize("name", POSITIVE)
def test_with_all_atoms_allowed_it_is_nonnegative_least_squares(name) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        A, y = np.abs(rng.standard_normal((20, 8))), rng.standard_normal(20) + 0.5
        x = solve(name, A, y, n_nonzero_coefs=8, positive=True).x
        np.testing.assert_allclose(x, nnls(A, y)[0], atol=1e-9)


@pytest.mark.parametrize("name", POSITIVE)
def test_nonnegative_recovery_and_nothing_to_explain(name) -> None:
    A, x, _ = sparse_data()
    A, x = np.abs(A), np.abs(x)
    np.testing.assert_allclose(solve(name, A, A @ x, positive=True).x, x, atol=1e-8)
    nothing = solve(name, A, -np.ones(40), positive=True)
    assert not nothing.x.any()
    assert nothing.converged
    with pytest.raises(ValueError, match="positive=True needs real data"):
        solve(name, A * 1j, A @ x, positive=True)


@pytest.mark.parametrize("name", POSITIVE)
def test_nonnegative_codes_at_any_scale_in_any_form(name) -> None:
    A, y = noisy_data()
    A = np.hstack([A, A[:, :3], np.zeros((20, 1))])  # duplicate and zero atoms
    expected = solve(name, A, y, positive=True).x
    for form in FORMS.values():
        if name in NO_OPERATOR and not isinstance(form(A), np.ndarray | list | sp.sparray):
            continue
        x = solve(name, form(A), y, positive=True).x
        np.testing.assert_allclose(A @ x, A @ expected, atol=1e-9)
    for a, b in ((1e-150, 1.0), (1e150, 1e150), (1.0, 1e-150)):
        x = solve(name, A * a, y * b, positive=True).x * (a / b)
        np.testing.assert_allclose(A @ x, A @ expected, atol=1e-9)


@pytest.mark.parametrize("name", [s for s in SOLVERS if s not in POSITIVE])
def test_the_others_do_not_take_positive(name) -> None:
    with pytest.raises(TypeError, match="positive"):
        solve(name, np.eye(4), np.ones(4), positive=True)


@every_solver
def test_half_precision_comes_back_as_it_came(name) -> None:
    A, x, y = sparse_data()
    result = solve(name, A.astype(np.float16), y.astype(np.float16))
    assert result.x.dtype == np.float16
    np.testing.assert_allclose(result.x, x, atol=0.02)


@every_solver
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"A": np.full((4, 5), np.nan)}, ValueError, "A contains NaN"),
        ({"y": np.full(4, np.inf)}, ValueError, "y contains infinity"),
        ({"A": np.ones(4)}, ValueError, "A has to be 2-D"),
        ({"y": np.ones(3)}, ValueError, "A has 4 rows but y has 3"),
        ({"n_nonzero_coefs": 6}, ValueError, "n_nonzero_coefs has to be between 1 and 5, got 6"),
        ({"n_nonzero_coefs": 0}, ValueError, "n_nonzero_coefs"),
        ({"n_nonzero_coefs": 2.0}, TypeError, "n_nonzero_coefs has to be an integer"),
        ({"residual_tol": -1.0}, ValueError, "residual_tol"),
        ({"residual_tol": np.nan}, ValueError, "residual_tol"),
        ({"tol": -1.0}, (TypeError, ValueError), "tol"),
        ({"max_iter": 0}, (TypeError, ValueError), "max_iter"),
        ({"alpha": 1.0}, TypeError, "alpha"),
    ],
)
def test_bad_input_is_one_clear_error(name, change, error, message) -> None:
    arguments = {"A": np.ones((4, 5)), "y": np.ones(4), **change}
    with pytest.raises(error, match=message):
        solve(name, **arguments)


@every_solver
@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(
    m=st.integers(1, 8),
    n=st.integers(1, 10),
    kind=st.sampled_from("dD"),
    order=st.sampled_from("CF"),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_any_shape_dtype_and_order(name, m, n, kind, order, seed, data) -> None:
    rng = np.random.default_rng(seed)
    A, y = rng.standard_normal((m, n)), rng.standard_normal(m)
    if kind == "D":
        A, y = A + 1j * rng.standard_normal((m, n)), y + 1j * rng.standard_normal(m)
    k = data.draw(st.integers(1, n))
    options = {} if name in FINITE else {"tol": 1e-3, "max_iter": 100_000}
    result = solve(name, np.array(A, order=order), y, n_nonzero_coefs=k, **options)
    assert result.x.dtype == kind
    assert np.count_nonzero(result.x) <= min(k, m if name != "matching_pursuit" else n)
    assert np.linalg.norm(y - A @ result.x) <= np.linalg.norm(y) * (1 + 1e-12)
