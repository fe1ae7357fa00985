"""The path of the lasso: certified at and between breakpoints, whatever the scale and the ties."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lars_path

from sparsecode.objectives import duality_gap, lasso_objective
from sparsecode.penalties import L1
from sparsecode.solvers import Status, homotopy, reference
from sparsecode.solvers.homotopy import lars

SHAPES = [(5, 8), (20, 50), (50, 20), (20, 20), (1, 6), (6, 1), (1, 1)]
every_sign = pytest.mark.parametrize("positive", [False, True])


def data(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape), rng.standard_normal(shape[0])


def interpolated(path, alpha):
    return np.array([np.interp(-alpha, -path.alphas, row) for row in path.x])


def worst_gap(A, y, path, positive):
    """The relative gap at and between all breakpoints, computed here."""
    between = np.concatenate(
        [path.alphas[:-1] * (1 - t) + path.alphas[1:] * t for t in (0, 0.3, 0.8)]
    )
    gaps = [0.0]
    for alpha in between:
        x = interpolated(path, alpha)
        residual = y - A @ x
        gaps.append(duality_gap(residual, A.T @ residual, x, alpha, L1(positive=positive)))
    return max(gaps) / (0.5 * y @ y)


def assert_a_path(A, y, path, positive=False, tol=1e-11):
    assert path.status is Status.COMPLETED
    assert np.all(np.diff(path.alphas) < 0)
    assert path.x.shape == (A.shape[1], path.alphas.size)
    assert not path.x[:, 0].any()
    assert path.certificate <= tol
    assert worst_gap(A, y, path, positive) <= tol
    assert np.all(path.x >= 0) or not positive


@every_sign
@pytest.mark.parametrize("shape", SHAPES)
def test_it_agrees_with_scikit_learn_on_benign_data(shape, positive) -> None:
    A, y = data(shape)
    y = np.abs(y) if positive else y
    A[:, 0] += y if positive else 0
    path = lars(A, y, alpha_ratio=0.05, positive=positive)
    alphas, _, coefs = lars_path(
        A, y, method="lasso", positive=positive, alpha_min=path.alphas[-1] / shape[0]
    )
    np.testing.assert_allclose(path.alphas, alphas * shape[0], rtol=1e-10)
    # Theirs of the last alpha is not theirs between the last two (positive=True, documented).
    np.testing.assert_allclose(path.x[:, :-1], coefs[:, :-1], atol=1e-10)
    assert_a_path(A, y, path, positive)


@every_sign
@pytest.mark.parametrize("shape", [(8, 12), (12, 8)])
def test_between_breakpoints_cvxpy_finds_no_better(shape, positive) -> None:
    A, y = data(shape, 1)
    path = lars(A, y, positive=positive)
    for alpha in np.random.default_rng(2).uniform(0.02, 1, 6) * path.alphas[0]:
        x = interpolated(path, alpha)
        best = reference.lasso(A, y, alpha, penalty=L1(positive=positive))
        mine = float(lasso_objective(A, y, x, alpha))
        assert mine <= best.objective * (1 + 1e-12)
        np.testing.assert_allclose(x, best.x, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_path_ends_at_least_squares(shape) -> None:
    A, y = data(shape)
    path = lars(A, y)
    assert path.alphas[-1] == 0
    residual = y - A @ path.x[:, -1]
    np.testing.assert_allclose(A.T @ residual, 0, atol=1e-11 * path.alphas[0])
    assert path.objective == pytest.approx(0.5 * residual @ residual, abs=1e-24)


def tied_problems():
    rng = np.random.default_rng(3)
    A, y = data((12, 9), 4)
    duplicates = np.column_stack([A, A[:, :4], -A[:, 2:5], np.zeros(12)])
    yield "duplicate, opposite and zero columns", duplicates, y
    yield "low rank", rng.standard_normal((12, 2)) @ rng.standard_normal((2, 9)), y
    yield "identity", np.eye(6), np.array([3, 3, -3, 1, 1, 0.0])
    hadamard = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1.0]])
    yield "orthogonal, all tied", hadamard, np.array([1, 0, 0, 0.0])
    for k in range(12):
        m, n = rng.integers(2, 16, 2)
        integers = rng.integers(-1, 2, (m, n)).astype(float)
        yield f"integers {k}", integers, rng.integers(-2, 3, m) + np.eye(m)[0]


TIED = {name: (A, y) for name, A, y in tied_problems()}


@every_sign
@pytest.mark.parametrize("name", TIED)
def test_ties_are_followed_exactly(name, positive) -> None:
    A, y = TIED[name]
    assert_a_path(A, y, lars(A, y, positive=positive), positive)


@every_sign
@pytest.mark.parametrize("name", ["gauss", *TIED])
@pytest.mark.parametrize(("a", "b"), [(1e-9, 1), (1, 1e-9), (1e-150, 1), (1, 1e150), (1e-9, 1e9)])
def test_the_path_of_scaled_data_is_the_scaled_path(name, positive, a, b) -> None:
    A, y = data((20, 30)) if name == "gauss" else TIED[name]
    plain, scaled = lars(A, y, positive=positive), lars(A * a, y * b, positive=positive)
    assert scaled.alphas.size == plain.alphas.size
    np.testing.assert_allclose(
        scaled.alphas / (a * b), plain.alphas, rtol=0, atol=1e-12 * plain.alphas[0]
    )
    np.testing.assert_allclose(
        scaled.x * a / b, plain.x, rtol=0, atol=1e-11 * np.abs(plain.x).max(initial=1e-300)
    )
    # The gap at alpha = 0 is one at the level of rounding, and so not the same number.
    assert scaled.certificate <= 1e-11


def test_a_coefficient_that_reaches_zero_leaves_and_may_come_back() -> None:
    A, y = data((20, 20))
    path = lars(A, y)
    signs = np.sign(path.x)
    left = (signs[:, :-1] != 0) & (signs[:, 1:] == 0)
    assert left.any()
    # Between two breakpoints no coefficient changes its sign.
    assert np.all(signs[:, :-1] * signs[:, 1:] >= 0)
    assert_a_path(A, y, path)


@pytest.mark.parametrize("correlation", [0.9, 0.9999])
def test_correlated_columns(correlation) -> None:
    A, y = data((40, 60))
    for j in range(1, 60):
        A[:, j] = correlation * A[:, j - 1] + np.sqrt(1 - correlation**2) * A[:, j]
    assert_a_path(A, y, lars(A, y, alpha_ratio=1e-3), tol=1e-9)


@pytest.mark.parametrize("scale", [1e-100, 1e-9, 1.0, 1e100])
def test_alpha_is_in_the_callers_units(scale) -> None:
    A, y = data((10, 15))
    whole = lars(A, y)
    alpha = 0.3 * whole.alphas[0]
    part = lars(A, y * scale, alpha * scale)
    assert part.alphas[-1] == pytest.approx(alpha * scale, rel=1e-14)
    np.testing.assert_allclose(
        part.x[:, -1] / scale, interpolated(whole, alpha), rtol=1e-10, atol=1e-13
    )
    ratio = lars(A, y * scale, alpha_ratio=0.3)
    np.testing.assert_allclose(ratio.alphas, part.alphas, rtol=1e-12)


def test_above_the_first_breakpoint_the_path_is_one_zero() -> None:
    A, y = data((10, 15))
    largest = float(np.max(np.abs(A.T @ y)))
    path = lars(A, y, 2 * largest)
    assert path.alphas.tolist() == [2 * largest]
    assert path.n_iter == 0
    assert not path.x.any()
    assert path.dual_gaps.tolist() == [0]


@every_sign
def test_a_zero_signal_and_a_zero_matrix_have_a_zero_path(positive) -> None:
    A, y = data((4, 7))
    for path in (
        lars(A, 0 * y, positive=positive),
        lars(0 * A, y, positive=positive),
        lars(sp.csr_array((4, 7)), y, positive=positive),
    ):
        assert path.alphas.tolist() == [0]
        assert not path.x.any()
        assert path.certificate == 0


@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_matrix, sp.coo_array, np.asfortranarray])
def test_the_form_of_the_matrix_does_not_matter(form) -> None:
    A, y = data((10, 15))
    A[np.abs(A) < 0.5] = 0
    plain, other = lars(A, y), lars(form(A), y)
    np.testing.assert_allclose(other.alphas, plain.alphas, atol=1e-12)
    np.testing.assert_allclose(other.x, plain.x, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_single_precision_comes_back_as_single(dtype) -> None:
    A, y = (a.astype(dtype) for a in data((10, 15)))
    path, double = lars(A, y), lars(A.astype(float), y.astype(float))
    assert path.x.dtype == dtype
    np.testing.assert_allclose(path.alphas, double.alphas, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(path.x, double.x, atol=1e-2 if dtype == np.float16 else 1e-5)


def test_max_iter_is_the_number_of_steps() -> None:
    A, y = data((10, 15))
    whole = lars(A, y)
    for max_iter in (1, 4, 10_000):
        path = lars(A, y, max_iter=max_iter)
        assert path.n_iter == path.alphas.size - 1 == min(max_iter, whole.n_iter)
        np.testing.assert_array_equal(path.x, whole.x[:, : path.n_iter + 1])


def test_the_result_is_consistent_and_frozen() -> None:
    A, y = data((10, 15))
    path = lars(A, y, alpha_ratio=0.1)
    objective = float(lasso_objective(A, y, path.x[:, -1], path.alphas[-1]))
    assert path.objective == pytest.approx(objective, rel=1e-13)
    assert path.certificate == pytest.approx(path.dual_gaps.max() / (0.5 * y @ y), rel=1e-12)
    np.testing.assert_array_equal(path.history["alpha"], path.alphas)
    assert all(not column.flags.writeable for column in path.history.values())
    assert "alphas=<float64" in repr(path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        path.alphas = None


def test_it_says_so_when_it_cannot_move(monkeypatch) -> None:
    def stuck(x, alpha, *_):
        return x, alpha, np.zeros(x.size, dtype=bool)

    monkeypatch.setattr(homotopy, "_move", stuck)
    with pytest.raises(RuntimeError, match="cannot follow the path below 1 of its first alpha"):
        lars(*data((4, 6)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": np.ones((4, 2))}, ValueError, r"y has to be 1-D for lars.*\(4, 2\)"),
        ({"A": np.ones((4, 6)) * 1j}, ValueError, "A or y is complex.*use fista"),
        ({"A": aslinearoperator(np.ones((4, 6)))}, TypeError, "lars needs its columns.*fista"),
        ({"A": np.full((4, 6), np.nan)}, ValueError, "A contains NaN"),
        ({"y": np.ones(5)}, ValueError, "A has 4 rows but y has 5"),
        ({"alpha": -1.0}, ValueError, "alpha"),
        ({"alpha": 1.0, "alpha_ratio": 0.5}, ValueError, "give exactly one of alpha, alpha_ratio"),
        ({"alpha_ratio": 1.5}, ValueError, "alpha_ratio"),
        ({"max_iter": 0}, ValueError, "max_iter has to be at least 1"),
    ],
)
def test_bad_input_is_one_clear_error(change, error, message) -> None:
    A, y = data((4, 6))
    arguments = {"A": A, "y": y, **change}
    with pytest.raises(error, match=message):
        lars(**arguments)


def test_a_path_that_rounding_spoiled_is_not_called_converged() -> None:
    """A Vandermonde matrix, whose columns are dependent to working precision."""
    A = np.vander(np.linspace(0, 1, 50), 25)
    y = np.random.default_rng(0).standard_normal(50)
    with pytest.warns(ConvergenceWarning, match="lars lost its accuracy"):
        path = lars(A, y)
    assert path.certificate > 1e-6
    assert path.status is Status.INACCURATE
    assert not path.converged
