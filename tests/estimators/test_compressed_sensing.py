"""Measurements, and signals back from them."""

import warnings
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import scipy.fft
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import orthogonal_mp
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sparsecode import KSVD, CompressedSensing
from sparsecode.datasets import make_compressed_measurements
from sparsecode.estimators import _compressed_sensing
from sparsecode.estimators._recovery import RECOVERIES
from sparsecode.operators import adjoint, concatenation, dct, subsampled_dct, wavelet_synthesis

M, N, K = 40, 100, 5
Y, A, X = make_compressed_measurements(
    30, n_features=N, n_measurements=M, n_nonzero_coefs=K, random_state=0
)
ROWS = np.random.default_rng(0).permutation(N)[:M]


class Foreign:
    """No LinearOperator, but it looks like one."""

    shape, dtype = A.shape, A.dtype

    def matvec(self, x: np.ndarray) -> np.ndarray:
        return A @ x

    def rmatvec(self, y: np.ndarray) -> np.ndarray:
        return A.T @ y


def sparse_in(basis: str) -> np.ndarray:
    return X if basis == "identity" else scipy.fft.idct(X, norm="ortho")


@pytest.mark.parametrize("basis", ["identity", "dct"])
@pytest.mark.parametrize("sensing", ["gaussian", "bernoulli", "dct"])
def test_sparse_signals_come_back_exactly(sensing: str, basis: str) -> None:
    if sensing == basis:
        pytest.skip("a cosine seen through cosines: most measurements are zero")
    signals = sparse_in(basis)
    sensor = CompressedSensing(M, sensing=sensing, basis=basis, random_state=1)
    measured = sensor.fit_transform(signals)
    assert measured.shape == (30, M)
    np.testing.assert_allclose(sensor.inverse_transform(measured), signals, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "sensing",
    [A, sp.csr_array(A), aslinearoperator(A), Foreign(), subsampled_dct(N, ROWS)],
    ids=["array", "sparse", "operator", "foreign", "dct"],
)
@pytest.mark.parametrize("solver", ["omp", "fista"])
@pytest.mark.parametrize("size", [2**24, 0], ids=["written out", "operator"])
def test_the_operator_may_be_given(
    sensing: Any, solver: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_compressed_sensing, "DENSE_SIZE", size)
    sensor = CompressedSensing(sensing=sensing, solver=solver).fit(X)
    assert sensor.n_measurements_ == M
    tolerance = 1e-10 if solver == "omp" else 1e-2
    recovered = sensor.inverse_transform(sensor.transform(X))
    np.testing.assert_allclose(recovered, X, rtol=0, atol=tolerance * np.abs(X).max())


def test_transform_measures() -> None:
    np.testing.assert_allclose(CompressedSensing(sensing=A).fit_transform(X), Y, atol=1e-12)
    drawn = CompressedSensing(M, random_state=0).fit(X)
    np.testing.assert_allclose(drawn.transform(X), X @ drawn.sensing_matrix_.T, atol=1e-12)
    cosines = CompressedSensing(M, sensing="dct", random_state=0).fit(X)
    expected = scipy.fft.dct(X, norm="ortho")[:, cosines.frequencies_]
    np.testing.assert_allclose(cosines.transform(X), expected, rtol=0, atol=1e-12)


def test_the_laws_of_the_entries() -> None:
    wide = np.zeros((1, 2000))
    normal = CompressedSensing(500, random_state=0).fit(wide).sensing_matrix_
    assert normal.std() * np.sqrt(500) == pytest.approx(1, abs=0.005)  # 5 standard errors
    assert abs(normal.mean()) * np.sqrt(500) < 0.005
    signs = CompressedSensing(500, sensing="bernoulli", random_state=0).fit(wide).sensing_matrix_
    np.testing.assert_allclose(np.abs(signs), 1 / np.sqrt(500), rtol=1e-15)
    assert abs(signs.mean()) * np.sqrt(500) < 0.005


def test_attributes_say_what_there_is() -> None:
    drawn = CompressedSensing(random_state=0)
    assert not hasattr(drawn, "measurement_operator_")
    drawn.fit(np.zeros((2, 11)))
    assert drawn.n_measurements_ == 6
    assert drawn.measurement_operator_ is drawn.sensing_matrix_
    assert drawn.frequencies_ is drawn.components_ is None
    drawn.set_params(sensing="dct").fit(np.zeros((2, 11)))  # nothing stays from the fit before
    assert drawn.sensing_matrix_ is None
    assert isinstance(drawn.measurement_operator_, LinearOperator)
    assert drawn.measurement_operator_.shape == (6, 11)
    assert np.all(np.diff(drawn.frequencies_) > 0)


def test_omp_is_that_of_scikit_learn() -> None:
    sensor = CompressedSensing(sensing=A, n_nonzero_coefs=3).fit(X)
    # Every column of the peer's is normalised first.
    norms = np.linalg.norm(A, axis=0)
    expected = orthogonal_mp(A / norms, Y.T, n_nonzero_coefs=3) / norms[:, None]
    np.testing.assert_allclose(sensor.inverse_transform(Y), expected.T, rtol=0, atol=1e-10)


@pytest.mark.parametrize("parameters", [{"alpha": 0.1}, {"alpha_ratio": 0.1}], ids=str)
def test_fista_is_the_lasso(parameters: dict[str, float]) -> None:
    sensor = CompressedSensing(sensing=A, solver="fista", tol=1e-12, **parameters).fit(X)
    for y, x in zip(Y[:3], sensor.inverse_transform(Y[:3]), strict=True):
        alpha = parameters.get("alpha", 0.1 * np.abs(A.T @ y).max())
        best = cp.Variable(N)
        cost = 0.5 * cp.sum_squares(y - A @ best) + alpha * cp.norm1(best)
        lowest = cp.Problem(cp.Minimize(cost)).solve(solver=cp.CLARABEL)
        ours = 0.5 * np.sum((y - A @ x) ** 2) + alpha * np.abs(x).sum()
        assert ours == pytest.approx(lowest, rel=1e-7)
        np.testing.assert_allclose(x, best.value, rtol=0, atol=1e-3)


def test_a_signal_does_not_depend_on_its_neighbours() -> None:
    measured = Y.copy()
    measured[0] *= 1e6  # a fraction of the largest alpha of all would be too much for the others
    measured[1] = 0
    for solver, given in (("omp", {}), ("fista", {"tol": 1e-12})):
        sensor = CompressedSensing(sensing=A, solver=solver, **given).fit(X)
        together = sensor.inverse_transform(measured)
        np.testing.assert_array_equal(together[1], 0)
        for i in (2, 3):
            alone = sensor.inverse_transform(measured[i : i + 1])[0]
            np.testing.assert_allclose(together[i], alone, rtol=0, atol=1e-5)


def test_as_many_measurements_as_features_determine_any_signal() -> None:
    signals = np.random.default_rng(0).standard_normal((10, 24))
    sensor = CompressedSensing(24, random_state=0)
    recovered = sensor.fit(signals).inverse_transform(sensor.transform(signals))
    np.testing.assert_allclose(recovered, signals, rtol=0, atol=1e-8)


def test_noise_is_not_fitted_where_its_level_is_known() -> None:
    sigma = 0.02
    noisy = Y + sigma * np.random.default_rng(0).standard_normal(Y.shape)

    def error(**parameters: Any) -> float:
        recovered = CompressedSensing(sensing=A, **parameters).fit(X).inverse_transform(noisy)
        return float(np.linalg.norm(recovered - X) / np.linalg.norm(X))

    told = error(residual_tol=sigma * np.sqrt(M))
    assert told < 0.05
    assert told < 0.7 * error()


@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: e.components_, FrozenEstimator])
def test_a_learned_dictionary_is_a_basis(wrap: Any) -> None:
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((30, 20))
    codes = rng.standard_normal((400, 30)) * (rng.random((400, 30)) < 0.04)
    learner = KSVD(30, n_nonzero_coefs=3, random_state=0).fit(codes @ atoms)
    signals = learner.transform(codes @ atoms)[:50, :] @ learner.components_
    sensor = CompressedSensing(16, basis=wrap(learner), n_nonzero_coefs=3, random_state=0)
    measured = sensor.fit_transform(signals)
    recovered = sensor.inverse_transform(measured)
    np.testing.assert_array_equal(sensor.components_, learner.components_)
    exact = np.linalg.norm(recovered - signals, axis=1) < 1e-8 * np.linalg.norm(signals)
    assert exact.mean() > 0.8


def test_a_frozen_dictionary_survives_cloning() -> None:
    from sklearn.linear_model import Ridge

    signals = np.random.default_rng(0).standard_normal((60, 12))
    learner = KSVD(15, random_state=0, max_iter=2).fit(signals)
    sensor = CompressedSensing(11, basis=FrozenEstimator(learner), random_state=0)
    scores = cross_val_score(make_pipeline(sensor, Ridge()), signals, signals @ np.ones(12), cv=2)
    assert scores.min() > 0.5


def test_threads_are_refused_where_there_are_none() -> None:
    with pytest.raises(ValueError, match="n_threads is not used by solver='fista'"):
        CompressedSensing(M, solver="fista", n_threads=2, random_state=0).fit(X)


LENGTH = 64
SENSINGS = {
    **dict.fromkeys(["gaussian", "bernoulli", "dct", "fft", "hadamard"]),
    "matrix": np.random.default_rng(5).standard_normal((32, LENGTH)),
    "operator": subsampled_dct(LENGTH, np.random.default_rng(5).permutation(LENGTH)[:32]),
}


def bases() -> dict[str, Any]:
    atoms = np.random.default_rng(6).standard_normal((LENGTH, LENGTH + 8))
    learned = KSVD(LENGTH + 8, n_nonzero_coefs=2, max_iter=2, random_state=0)
    learned.fit(np.random.default_rng(7).standard_normal((200, LENGTH)))
    given = {"identity": "identity", "dct": "dct", "matrix": atoms.T, "fitted": learned}
    given["operator"] = concatenation([adjoint(dct(LENGTH)), np.eye(LENGTH)])
    return given


@pytest.mark.parametrize("sensing", SENSINGS)
def test_every_sensing_with_every_basis_and_solver(sensing: str) -> None:
    matrix = SENSINGS[sensing]
    given = {"n_measurements": 32, "random_state": 0} if matrix is None else {}
    for name, basis in bases().items():
        sensor = CompressedSensing(
            sensing=sensing if matrix is None else matrix, basis=basis, **given
        ).fit(np.zeros((1, LENGTH)))
        codes = np.zeros((3, sensor._synthesis.shape[1]))
        codes[:, [7, 29]] = [[1.0, -2.0], [3.0, 3.0], [0.5, 0.0]]
        signals = (sensor._synthesis @ codes.T).T
        for solver in sorted(RECOVERIES.keys() - {"amp"}):
            sensor.set_params(solver=solver, **PARAMETERS.get(solver, {})).fit(signals)
            measured = sensor.transform(signals)
            recovered = sensor.inverse_transform(measured)
            again = sensor.transform(recovered) - measured
            # What is measured is explained, and is the signal where sensing and basis are apart.
            # An exchange of atoms may come to rest before.
            share = 1.0 if solver in EXCHANGES else 0.02
            assert np.linalg.norm(again) <= share * np.linalg.norm(measured), (name, solver)
            if sensing in ("gaussian", "bernoulli", "matrix") and solver not in EXCHANGES:
                error = np.linalg.norm(recovered - signals)
                assert error <= 0.02 * np.linalg.norm(signals), (name, solver)
            sensor.set_params(**dict.fromkeys(PARAMETERS.get(solver, {})))


EXCHANGES = ("cosamp", "htp", "iht", "subspace_pursuit")
PARAMETERS: dict[str, dict[str, Any]] = {
    "bpdn": {"sigma": 1e-4},
    "fista": {"alpha_ratio": 1e-3},
    **{name: {"n_nonzero_coefs": 2} for name in ("omp", *EXCHANGES)},
}


@pytest.mark.parametrize("size", [2**24, 0], ids=["written out", "operator"])
@pytest.mark.parametrize("sensing", ["fft", (1 + 1j) * A, aslinearoperator(1j * A)], ids=type)
def test_complex_measurements_of_real_signals(
    sensing: Any, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_compressed_sensing, "DENSE_SIZE", size)
    drawn = {"n_measurements": M, "random_state": 0} if isinstance(sensing, str) else {}
    sensor = CompressedSensing(sensing=sensing, **drawn).fit(X)
    measured = sensor.transform(X)
    assert measured.dtype == np.complex128
    recovered = sensor.inverse_transform(measured)
    assert recovered.dtype == np.float64
    np.testing.assert_allclose(recovered, X, rtol=0, atol=1e-10)
    short = sensor.fit(X.astype(np.float32)).transform(X.astype(np.float32))
    assert short.dtype == np.complex64
    assert sensor.inverse_transform(short).dtype == np.float32


def test_no_frequency_is_measured_twice() -> None:
    sensor = CompressedSensing(N // 2 + 1, sensing="fft", random_state=0).fit(X)
    np.testing.assert_array_equal(sensor.frequencies_, np.arange(N // 2 + 1))
    np.testing.assert_allclose(sensor.transform(X), scipy.fft.rfft(X, norm="ortho"), atol=1e-12)
    with pytest.raises(ValueError, match="n_measurements has to be between 1 and 51"):
        CompressedSensing(N // 2 + 2, sensing="fft").fit(X)


def test_complex_measurements_are_refused_where_the_sensing_is_real() -> None:
    with pytest.raises(ValueError, match="measurements is complex"):
        CompressedSensing(M, random_state=0).fit(X).inverse_transform(1j * Y)


@pytest.mark.parametrize("name", sorted(RECOVERIES))
def test_every_solver_recovers(name: str) -> None:
    given: dict[str, Any] = {"sigma": 1e-4} if name == "bpdn" else {}
    if name in ("cosamp", "htp", "iht", "subspace_pursuit"):
        given = {"n_nonzero_coefs": K}
    if name == "fista":
        given = {"alpha_ratio": 1e-5}
    n, rng = 400, np.random.default_rng(0)  # amp needs more rows than 40 to see Gaussian noise
    signals = np.zeros((6, n))
    for row in signals:
        row[rng.permutation(n)[:K]] = rng.choice([-1.0, 1.0], K)
    sensor = CompressedSensing(200, solver=name, random_state=0, **given).fit(signals)
    recovered = sensor.inverse_transform(sensor.transform(signals))
    np.testing.assert_allclose(recovered, signals, rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("given", "solver"),
    [
        ({}, "omp"),
        ({"residual_tol": 0.1}, "omp"),
        ({"sigma": 0.1}, "bpdn"),
        ({"alpha": 0.1}, "fista"),
        ({"alpha_ratio": 0.1}, "fista"),
    ],
    ids=str,
)
def test_the_parameters_choose_the_solver(given: dict[str, Any], solver: str) -> None:
    by_parameter = CompressedSensing(sensing=A, **given).fit(X).inverse_transform(Y)
    by_name = CompressedSensing(sensing=A, solver=solver, **given).fit(X).inverse_transform(Y)
    np.testing.assert_array_equal(by_parameter, by_name)


def test_sparsest_of_all_within_the_noise() -> None:
    noisy, sigma = Y + 0.01, 0.01 * np.sqrt(M)
    sensor = CompressedSensing(sensing=A, sigma=sigma, n_threads=2).fit(X)
    for y, x in zip(noisy[:3], sensor.inverse_transform(noisy[:3]), strict=True):
        best = cp.Variable(N)
        problem = cp.Problem(cp.Minimize(cp.norm1(best)), [cp.norm2(A @ best - y) <= sigma])
        assert np.abs(x).sum() == pytest.approx(problem.solve(solver=cp.CLARABEL), rel=1e-5)
        assert np.linalg.norm(A @ x - y) <= sigma * (1 + 1e-6)


@pytest.mark.parametrize("size", [2**24, 0], ids=["written out", "operator"])
@pytest.mark.parametrize("solver", ["amp", "basis_pursuit", "cosamp", "htp", "iht", "omp"])
def test_threads_change_no_bit(solver: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compressed_sensing, "DENSE_SIZE", size)
    given = {} if solver == "omp" else {"max_iter": 50}
    sensor = CompressedSensing(sensing=aslinearoperator(A), solver=solver, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, two = (sensor.set_params(n_threads=n).fit(X).inverse_transform(Y) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_wavelets_and_operators_are_bases() -> None:
    pytest.importorskip("pywt")
    n = 128
    W = wavelet_synthesis(n)
    codes = np.zeros((5, n))
    codes[:, :4] = np.random.default_rng(0).standard_normal((5, 4)) + 3
    signals = (W @ codes.T).T
    for basis in ("wavelet", W):
        sensor = CompressedSensing(48, basis=basis, random_state=0).fit(signals)
        recovered = sensor.inverse_transform(sensor.transform(signals))
        np.testing.assert_allclose(recovered, signals, rtol=0, atol=1e-10)


def test_two_bases_side_by_side() -> None:
    n = 128
    both = concatenation([adjoint(dct(n)), np.eye(n)])
    codes = np.zeros((5, 2 * n))
    codes[:, [3, 20, n + 5]] = 1.0
    signals = (both @ codes.T).T
    sensor = CompressedSensing(64, basis=both, n_nonzero_coefs=3, random_state=0).fit(signals)
    recovered = sensor.inverse_transform(sensor.transform(signals))
    np.testing.assert_allclose(recovered, signals, rtol=0, atol=1e-10)


def test_a_hadamard_transform_needs_a_power_of_two() -> None:
    signals = np.zeros((2, 64))
    signals[:, 5] = 1.0
    sensor = CompressedSensing(16, sensing="hadamard", random_state=0).fit(signals)
    recovered = sensor.inverse_transform(sensor.transform(signals))
    np.testing.assert_allclose(recovered, signals, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="the Hadamard transform is for powers of two"):
        CompressedSensing(sensing="hadamard").fit(X)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
@pytest.mark.parametrize("solver", ["omp", "fista"])
def test_scale_does_not_matter(solver: str, scale: float) -> None:
    sensor = CompressedSensing(sensing=A, solver=solver).fit(X)
    recovered = sensor.inverse_transform(scale * Y) / scale
    np.testing.assert_allclose(recovered, sensor.inverse_transform(Y), rtol=0, atol=1e-4)
