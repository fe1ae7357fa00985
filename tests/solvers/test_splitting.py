"""ADMM beyond the laws of the registry: its parameters, its factorisation, its errors."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator
from sklearn.exceptions import ConvergenceWarning

from sparsecode.penalties import L1
from sparsecode.solvers import reference, splitting
from sparsecode.solvers.splitting import admm

RNG = np.random.default_rng(0)
SHAPES = [(12, 30), (30, 12), (15, 15)]


def data(shape, kind="d"):
    rng = np.random.default_rng(1)
    A, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    if kind == "D":
        A, y = A + 1j * rng.standard_normal(shape), y + 1j * rng.standard_normal(shape[0])
    return A, y


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["d", "D"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_wide_and_tall_matrices_on_either_side_of_the_factorisation(shape, kind, form) -> None:
    A, y = data(shape, kind)
    best = reference.lasso(A, y, 0.8)
    result = admm(form(A), y, 0.8, tol=1e-11, max_iter=50_000)
    assert result.objective <= best.objective + best.dual_gap + 1e-11 * np.linalg.norm(y) ** 2
    np.testing.assert_allclose(result.x, best.x, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["d", "D"])
@pytest.mark.parametrize("rho", [1e-8, 1.0, 1e6])
def test_the_ridge_step_solves_its_normal_equations(shape, kind, rho) -> None:
    A, y = data(shape, kind)
    v = RNG.standard_normal(shape[1])
    ridge, mean = splitting._ridge(A, y)
    AH = A.conj().T
    expected = np.linalg.lstsq(
        np.vstack([A, np.sqrt(rho) * np.eye(shape[1])]),
        np.concatenate([y, np.sqrt(rho) * v]),
        rcond=None,
    )[0]
    np.testing.assert_allclose(ridge(v, rho), expected, rtol=1e-6, atol=1e-6)
    assert mean == pytest.approx(np.trace(AH @ A).real / min(shape))


@pytest.mark.parametrize("rho", [None, 0.5, 20.0, 200.0])
@pytest.mark.parametrize("over_relaxation", [1.0, 1.6, 1.9])
def test_the_answer_does_not_depend_on_how_it_is_found(rho, over_relaxation) -> None:
    A, y = data((12, 30))
    best = reference.lasso(A, y, 0.8)
    result = admm(A, y, 0.8, rho=rho, over_relaxation=over_relaxation, tol=1e-9, max_iter=100_000)
    assert result.objective == pytest.approx(best.objective, rel=1e-7)


def test_one_factorisation_serves_every_rho(monkeypatch) -> None:
    calls = []
    eigh = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda G: calls.append(G.shape) or eigh(G))
    A, y = data((12, 30))
    assert admm(A, y, alpha_ratio=0.01, tol=1e-10, max_iter=50_000).n_iter > 20
    assert calls == [(12, 12)]


@pytest.mark.parametrize("start", [1e-3, 1e3])
def test_balancing_mends_a_bad_start(start) -> None:
    A, y = data((20, 40))
    AH, alpha = A.T, 0.1 * np.max(np.abs(A.T @ y))
    ridge, mean = splitting._ridge(A, y)

    def iterations(balance):
        iterates = splitting._admm(
            ridge,
            lambda v, rho: L1().prox(v, alpha / rho),
            start * mean,
            1.6,
            balance,
            np.zeros(40),
            AH @ y,
        )
        best = reference.lasso(A, y, alpha).x
        for n_iter, z in enumerate(iterates):
            if np.linalg.norm(z - best) <= 1e-4 or n_iter == 2000:
                return n_iter
        raise AssertionError

    assert iterations(False) == 2000
    assert iterations(True) < 1000


def test_a_rho_that_is_given_is_in_the_callers_units() -> None:
    A, y = data((12, 30))
    plain = admm(A, y, alpha_ratio=0.1, rho=30.0, tol=1e-8)
    for a in (1e-3, 2.0**-400, 2.0**400):
        scaled = admm(A * a, y, alpha_ratio=0.1, rho=30.0 * a * a, tol=1e-8)
        assert scaled.n_iter == plain.n_iter
        np.testing.assert_allclose(scaled.x * a, plain.x, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"A": aslinearoperator(np.ones((4, 6)))}, TypeError, "LinearOperator.*use fista"),
        ({"rho": 0.0}, ValueError, "rho has to be a finite number in"),
        ({"rho": "1"}, TypeError, "rho has to be a real number"),
        ({"rho": 1e-310}, ValueError, "rho=1e-310 cannot be told from 0"),
        ({"over_relaxation": 2.0}, ValueError, r"over_relaxation has to be .* \[1, 2\)"),
        ({"over_relaxation": 0.9}, ValueError, "over_relaxation"),
    ],
)
def test_bad_input_is_one_clear_error(change, error, message) -> None:
    A, y = data((4, 6))
    arguments = {"A": A, "y": y, "alpha": 1.0, **change}
    with pytest.raises(error, match=message):
        admm(**arguments)


def test_not_converged_is_a_warning_that_names_it() -> None:
    with pytest.warns(ConvergenceWarning, match="admm did not converge.*max_iter=3"):
        admm(*data((12, 30)), 0.1, tol=1e-12, max_iter=3)
