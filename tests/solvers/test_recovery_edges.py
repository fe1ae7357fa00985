"""Every solver of compressed sensing at the edges; a new one is tested by being listed."""

import functools
import warnings
from functools import partial

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from sklearn.exceptions import ConvergenceWarning

from sparsecode import solvers
from sparsecode.penalties import L21, GroupL1

M, N = 8, 16
SOLVERS = {
    "basis_pursuit": solvers.basis_pursuit,
    "bpdn": partial(solvers.bpdn, sigma=0.1),
    "lasso_constrained": partial(solvers.lasso_constrained, tau=0.5),
    "amp": partial(solvers.amp, threshold=2.0, damping=0.5, max_iter=5000),
    "reweighted, exact": solvers.reweighted_l1,
    "reweighted, noisy": partial(solvers.reweighted_l1, sigma=0.1, max_iter=100),
    "reweighted, penalised": partial(solvers.reweighted_l1, alpha=0.05, max_iter=100),
    "group lasso": partial(solvers.fista, alpha=0.05, penalty=GroupL1(np.arange(N) // 2)),
    "joint lasso": partial(solvers.fista, alpha=0.05, penalty=L21()),
    "omp": partial(solvers.omp, n_nonzero_coefs=1),
    "simultaneous_omp": partial(solvers.simultaneous_omp, n_nonzero_coefs=1),
    "cosamp": partial(solvers.cosamp, n_nonzero_coefs=1),
    "subspace_pursuit": partial(solvers.subspace_pursuit, n_nonzero_coefs=1),
    "htp": partial(solvers.htp, n_nonzero_coefs=1),
    "iht": partial(solvers.iht, n_nonzero_coefs=1),
}
ONE_SIGNAL = {name for name in SOLVERS if name.startswith(("b", "lasso", "amp", "reweighted"))}
COUNTED = {name for name in SOLVERS if "n_nonzero_coefs" in getattr(SOLVERS[name], "keywords", {})}
GAUSSIAN = {"amp"}  # its matrix has real, independent entries; a small one may not look like it
EXACT = {"basis_pursuit", "reweighted, exact", *COUNTED}

every_solver = pytest.mark.parametrize("name", SOLVERS)
pytestmark = pytest.mark.filterwarnings("ignore:amp expects")


@functools.cache
def data(kind="d", m=M, n=N):
    rng = np.random.default_rng(3)
    A, x = rng.standard_normal((m, n)) / np.sqrt(m), np.zeros(n)
    if kind in "FD":
        A = A + 1j * rng.standard_normal((m, n)) / np.sqrt(m)
    x[n // 2] = -2.0
    return A.astype(kind), (A @ x).astype(kind), x


@every_solver
@pytest.mark.parametrize("form", [np.asarray, aslinearoperator])
@pytest.mark.parametrize("shape", [(1, N), (N, N), (1, 2), (2, 2)])
def test_one_measurement_or_as_many_as_unknowns(name, form, shape) -> None:
    A, y, _ = data(m=shape[0], n=shape[1])
    if name == "group lasso" and shape[1] != N:
        pytest.skip("its groups are of N entries")
    if name in GAUSSIAN and shape[0] == 1:  # the noise is not Gaussian, and may never settle
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            result = SOLVERS[name](form(A), y)
    else:
        result = SOLVERS[name](form(A), y)
        assert result.converged
    assert result.x.shape == (shape[1],)
    assert np.all(np.isfinite(result.x))
    if name in EXACT - {"cosamp"} and shape[0] == 1:  # which asks for three rows an atom
        assert np.linalg.norm(y - A @ result.x) <= 1e-6 * np.linalg.norm(y)
    if name in EXACT and shape == (N, N):
        np.testing.assert_allclose(result.x, data(m=N, n=N)[2], atol=1e-5)


@every_solver
@pytest.mark.parametrize("form", [np.asarray, aslinearoperator])
@pytest.mark.parametrize("kind", "dD")
def test_the_signal_without_nonzeros(name, form, kind) -> None:
    A, y, _ = data(kind)
    if kind == "D" and name in GAUSSIAN:
        with pytest.raises(ValueError, match="real"):
            SOLVERS[name](form(A), 0 * y)
        return
    result = SOLVERS[name](form(A), 0 * y)
    assert result.converged
    assert result.objective == result.certificate == 0
    assert not result.x.any()
    assert result.x.dtype == kind


@pytest.mark.parametrize("name", sorted(COUNTED))
def test_no_atoms_are_not_a_number_of_atoms(name) -> None:
    A, y, _ = data()
    with pytest.raises(ValueError, match="n_nonzero_coefs has to be between 1 and 16, got 0"):
        SOLVERS[name](A, y, n_nonzero_coefs=0)


@every_solver
@pytest.mark.parametrize("kind", "dD")
def test_an_operator_is_the_matrix_it_stands_for(name, kind) -> None:
    A, y, x = data(kind)
    if name in GAUSSIAN:
        if kind == "D":
            with pytest.raises(ValueError, match="real"):
                SOLVERS[name](A, y)
        return
    plain, other = (SOLVERS[name](form(A), y) for form in (np.asarray, aslinearoperator))
    np.testing.assert_allclose(other.x, plain.x, atol=1e-4)
    if name in EXACT:
        np.testing.assert_allclose(plain.x, x, atol=1e-5)


@pytest.mark.parametrize("name", sorted(SOLVERS.keys() - ONE_SIGNAL))
@pytest.mark.parametrize("kind", "dD")
def test_many_signals_through_an_operator(name, kind) -> None:
    A, y, _ = data(kind)
    Y = np.stack([y, 2 * y, 0 * y, y + y[::-1]], axis=1)
    plain, other = (SOLVERS[name](form(A), Y) for form in (np.asarray, aslinearoperator))
    assert plain.x.shape == (N, 4)
    np.testing.assert_allclose(other.x, plain.x, atol=1e-4)
    if name not in ("joint lasso", "simultaneous_omp"):
        for j in (0, 1, 2):
            np.testing.assert_allclose(plain.x[:, j], SOLVERS[name](A, Y[:, j]).x, atol=1e-4)


@pytest.mark.parametrize("name", sorted(ONE_SIGNAL))
def test_one_signal_is_one_signal(name) -> None:
    A, y, _ = data()
    with pytest.raises(ValueError, match="y has to be 1-D"):
        SOLVERS[name](A, np.stack([y, y], axis=1))


@every_solver
@pytest.mark.parametrize("kind", "dD")
def test_an_operator_that_is_not_one(name, kind) -> None:
    A, y, _ = data(kind)
    AH = A.conj().T

    def operator(forward, backward):
        return LinearOperator(A.shape, matvec=forward, rmatvec=backward, dtype=A.dtype)

    wrong = {
        "rmatvec is not the adjoint": (lambda x: A @ x, lambda r: 2 * (AH @ r)),
        "A.matvec": (lambda x: (A @ x)[1:], lambda r: AH @ r),
        "A.rmatvec": (lambda x: A @ x, lambda r: (AH @ r)[1:]),
        "A has no adjoint": (lambda x: A @ x, None),
        "A.matvec of a finite vector is not finite": (lambda x: np.nan * (A @ x), lambda r: AH @ r),
    }
    if kind == "D":
        wrong["is not the adjoint of"] = (lambda x: A @ x, lambda r: A.T @ r)
    for message, products in wrong.items():
        with pytest.raises(ValueError, match=message):
            SOLVERS[name](operator(*products), y)
    for form in (np.asarray, aslinearoperator):
        with pytest.raises(ValueError, match="A has 8 rows but y has 7"):
            SOLVERS[name](form(A), y[1:])
    with pytest.raises(ValueError, match="y has"):
        SOLVERS[name](A, y[:, None, None])
    with pytest.raises(ValueError, match="y contains NaN"):
        SOLVERS[name](A, np.where(np.arange(M) == 2, np.nan, y))


@pytest.mark.parametrize("name", ["bpdn", "reweighted, noisy"])
@pytest.mark.parametrize("form", [np.asarray, aslinearoperator])
@pytest.mark.parametrize("kind", "dD")
def test_a_residual_larger_than_the_signal_is_left_as_it_is(name, form, kind) -> None:
    A, y, _ = data(kind)
    size = np.linalg.norm(y)
    result = SOLVERS[name](form(A), y, sigma=1.001 * size)
    assert result.converged
    assert not result.x.any()
    assert result.objective == result.dual_gap == 0
    assert result.residual == pytest.approx(size)


@pytest.mark.parametrize("name", ["basis_pursuit", "bpdn", "reweighted, exact"])
@pytest.mark.parametrize("form", [np.asarray, aslinearoperator])
@pytest.mark.parametrize("kind", "dD")
def test_no_answer_is_an_error_with_the_least_residual(name, form, kind) -> None:
    A, y, _ = data(kind)
    A, y = A[:, :3], 100 * y
    least = np.linalg.norm(y - A @ np.linalg.lstsq(A, y, rcond=None)[0])
    with pytest.raises(ValueError, match=f"the least residual is {least:.6g}; use bpdn with a"):
        SOLVERS[name](form(A), y)
