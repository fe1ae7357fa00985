"""Approximate message passing beside its prediction, the lasso and the limit of recovery."""

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator
from sklearn.exceptions import ConvergenceWarning

from sparsecode.operators import gaussian, subsampled_dct
from sparsecode.penalties import L1
from sparsecode.solvers import Status, amp, fista, semismooth_newton, state_evolution
from sparsecode.theory import phase_transition


def problem(m, n, k, *, noise=0.0, seed=0, positive=False, kind="d"):
    rng = np.random.default_rng(seed)
    A = (rng.standard_normal((m, n), dtype=kind) / np.sqrt(m)).astype(kind)
    x = np.zeros(n)
    x[rng.permutation(n)[:k]] = 1.0 if positive else rng.choice([-1.0, 1.0], k)
    return A, (A @ x + noise * rng.standard_normal(m)).astype(kind), x


def signs(share):
    def draw(rng, size):
        return np.where(rng.random_sample(size) < share, rng.choice([-1.0, 1.0], size), 0.0)

    return draw


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_a_fixed_point_is_a_lasso(noise) -> None:
    A, y, _ = problem(200, 400, 20, noise=noise)
    result = amp(A, y, tol=1e-12)
    assert result.status is Status.CONVERGED
    other = semismooth_newton(A, y, result.alpha, tol=1e-14)
    np.testing.assert_allclose(result.x, other.x, atol=1e-5)
    assert result.objective == pytest.approx(other.objective, rel=1e-9)
    assert 0 <= result.objective - other.objective + 1e-12 <= result.dual_gap + 2e-12


def test_a_fixed_point_of_positive_coefficients_is_their_lasso() -> None:
    A, y, _ = problem(200, 400, 20, noise=0.2, positive=True)
    result = amp(A, y, positive=True, tol=1e-10)
    assert result.converged
    other = fista(A, y, result.alpha, penalty=L1(positive=True), tol=1e-11)
    np.testing.assert_allclose(result.x, other.x, atol=1e-4)
    assert result.objective == pytest.approx(other.objective, rel=1e-7)


def test_signals_are_recovered_below_the_curve_and_not_above() -> None:
    m, n = 700, 1400
    edge = phase_transition(0.5) * m
    A, y, x = problem(m, n, int(0.75 * edge))
    below = amp(A, y, tol=1e-9)
    assert np.linalg.norm(below.x - x) < 1e-3 * np.linalg.norm(x)
    A, y, x = problem(m, n, int(1.25 * edge))
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        above = amp(A, y, tol=1e-9, max_iter=120)
    assert np.linalg.norm(above.x - x) > 0.1 * np.linalg.norm(x)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_error_is_what_state_evolution_says(noise) -> None:
    """To five per cent, or to what six draws can tell."""
    m, n, k, n_iter = 4000, 8000, 1000, 12
    predicted = state_evolution(0.5, signs(k / n), noise, n_iter)
    errors = []
    for seed in range(6):
        A, y, x = problem(m, n, k, noise=noise, seed=seed, kind="f")
        errors.append([])

        def soft(v, tau, x=x, measured=errors[-1]):
            found = np.sign(v) * np.maximum(np.abs(v) - predicted.threshold * tau, 0)
            measured.append(np.mean((found - x) ** 2))
            return found, np.mean(found != 0)

        amp(A, y, denoiser=soft, callback=lambda row: row["n_iter"] == n_iter)
    mean, uncertainty = np.mean(errors, axis=0), np.std(errors, axis=0, ddof=1) / np.sqrt(6)
    off = np.abs(mean - predicted.mse[1:])
    assert (off <= np.maximum(0.05 * predicted.mse[1:], 3 * uncertainty)).all()
    assert (uncertainty < 0.1 * predicted.mse[1:]).all()


def test_state_evolution_has_the_closed_form_of_a_point_mass() -> None:
    """Of X = 0 the threshold leaves 2 [(1 + z^2) Phi(-z) - z phi(z)] of the noise."""
    from scipy.stats import norm

    z = 1.2
    found = state_evolution(0.5, lambda rng, size: np.zeros(size), 1.0, 1, threshold=z)
    tail = 2 * ((1 + z * z) * norm.cdf(-z) - z * norm.pdf(z))
    assert found.noise[0] == 1
    assert found.mse[1] == pytest.approx(tail, rel=0.02)
    assert found.noise[1] == pytest.approx(np.sqrt(1 + tail / 0.5), rel=0.02)
    one = state_evolution(0.5, lambda rng, size: np.zeros(size), 1.0, 1, threshold=z, positive=True)
    assert one.mse[1] == pytest.approx(tail / 2, rel=0.02)


def test_the_first_noise_is_that_of_the_measurements() -> None:
    A, y, _ = problem(300, 600, 40, noise=0.1)
    first = amp(A, y, max_iter=1, callback=lambda row: True).history["noise"][0]
    scale = np.linalg.norm(A) / np.sqrt(600)
    assert first == pytest.approx(np.linalg.norm(y) / np.sqrt(300) / scale, rel=0.2)


def test_positive_signals_need_fewer_measurements() -> None:
    m, n = 500, 1000
    k = int(0.8 * phase_transition(0.5, positive=True) * m)
    assert k > 1.1 * phase_transition(0.5) * m
    A, y, x = problem(m, n, k, positive=True)
    result = amp(A, y, positive=True, tol=1e-8)
    assert np.linalg.norm(result.x - x) < 1e-2 * np.linalg.norm(x)
    assert (result.x >= 0).all()


def test_a_denoiser_that_knows_the_signal_needs_fewer_still() -> None:
    """The posterior mean of a sparse sign, by the formula of Bayes."""
    m, n, k = 1000, 2000, 420
    A, y, x = problem(m, n, k)
    share = k / n

    def posterior(v, tau):
        t = np.abs(v) / tau**2
        other, none = (
            np.exp(-2 * t),
            2 * (1 - share) / share * np.exp(np.minimum(0.5 / tau**2 - t, 700)),
        )
        total = 1 + other + none
        mean, square = np.sign(v) * (1 - other) / total, (1 + other) / total
        return mean, float(np.mean(square - mean**2)) / tau**2

    result = amp(A, y, denoiser=posterior, tol=1e-6)
    assert np.linalg.norm(result.x - x) < 0.05 * np.linalg.norm(x)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        assert np.linalg.norm(amp(A, y, tol=1e-8, max_iter=200).x - x) > 0.2 * np.linalg.norm(x)
    assert np.isnan([result.alpha, result.dual_gap]).all()


def test_damping_changes_the_way_and_not_the_answer() -> None:
    A, y, _ = problem(200, 400, 20, noise=0.1)
    plain, damped = amp(A, y, tol=1e-11), amp(A, y, tol=1e-11, damping=0.3)
    assert damped.n_iter > plain.n_iter
    np.testing.assert_allclose(damped.x, plain.x, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e150])
def test_any_scale_of_the_matrix_and_of_the_signal(scale) -> None:
    A, y, _ = problem(100, 200, 10, noise=0.05)
    plain = amp(A, y)
    np.testing.assert_allclose(amp(A * scale, y).x * scale, plain.x, rtol=1e-6, atol=1e-9)
    scaled = amp(A, y * scale)
    np.testing.assert_allclose(scaled.x / scale, plain.x, rtol=1e-6, atol=1e-9)
    assert scaled.noise / scale == pytest.approx(plain.noise)
    assert scaled.alpha / scale == pytest.approx(plain.alpha)
    assert amp(A * scale, y).alpha / scale == pytest.approx(plain.alpha)


@pytest.mark.parametrize("kind", ["f", "d"])
def test_operators_and_single_precision(kind) -> None:
    A, y, x = problem(200, 400, 20)
    A, y = A.astype(kind), y.astype(kind)
    result = amp(aslinearoperator(A), y, tol=1e-5)
    assert result.x.dtype == kind
    np.testing.assert_allclose(result.x, x, atol=2e-2)


def test_nothing_measured_is_nothing() -> None:
    result = amp(gaussian(20, 40, random_state=0), np.zeros(20))
    assert result.converged
    assert not result.x.any()
    assert amp(np.zeros((5, 9)), np.ones(5)).x.tolist() == [0] * 9


@pytest.mark.parametrize(
    "A",
    [
        subsampled_dct(400, np.random.default_rng(0).permutation(400)[:200]),
        np.random.default_rng(0).standard_normal((200, 400)) + 0.3,
        np.random.default_rng(0).standard_normal((200, 400)) * np.r_[10, np.ones(399)],
    ],
    ids=["orthonormal rows", "a mean", "a large column"],
)
def test_other_matrices_are_warned_of(A) -> None:
    y = A @ np.r_[np.ones(5), np.zeros(395)]
    with pytest.warns(ConvergenceWarning, match="independent entries of mean zero, and"):
        amp(A, y, max_iter=3, callback=lambda row: row["n_iter"] == 3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(20, 40), (300, 400), (50, 2000)])
def test_gaussian_matrices_are_not_warned_of(seed, shape) -> None:
    A = gaussian(*shape, random_state=seed)
    for form in (A, A.A):
        amp(form, form @ np.ones(shape[1]), max_iter=1, callback=lambda row: True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.ones((20, 2))}, "one real signal"),
        ({"y": np.ones(20) * 1j}, "one real signal"),
        ({"y": np.ones(19)}, "A has 20 rows"),
        ({"damping": 1.0}, "damping"),
        ({"threshold": 0.0}, "threshold"),
        ({"denoiser": lambda v, t: (v, 1.0), "threshold": 1.0}, "threshold is not used"),
        ({"denoiser": lambda v, t: (v, 1.0), "positive": True}, "positive is not used"),
        ({"A": np.ones((20, 20))}, "give threshold"),
    ],
)
def test_bad_arguments_are_refused(change, message) -> None:
    arguments = {"A": gaussian(20, 40, random_state=0), "y": np.ones(20)} | change
    with pytest.raises(ValueError, match=message):
        amp(arguments.pop("A"), arguments.pop("y"), **arguments)


def test_a_sampler_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="asked for"):
        state_evolution(0.5, lambda rng, size: np.zeros(3), 0.1, 2)


@pytest.mark.parametrize("scale", [2.0**-400, 2.0**400])
def test_the_prediction_has_no_scale(scale) -> None:
    """The noise and the root of the error are in the units of the signal."""
    plain, scaled = (
        state_evolution(
            0.5, lambda rng, n, s=s: s * rng.standard_normal(n), 0.1 * s, 4, n_samples=500
        )
        for s in (1.0, scale)
    )
    np.testing.assert_allclose(scaled.noise / scale, plain.noise, rtol=1e-12)
    np.testing.assert_allclose(scaled.mse / scale / scale, plain.mse, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior_sampler": 3}, "prior_sampler has to be callable"),
        ({"prior_sampler": lambda rng, n: np.full(n, np.nan)}, "prior_sampler gave contains NaN"),
        ({"denoiser": 3}, "denoiser has to be callable"),
        ({"sigma": 1e200}, "exceeds the range of float64 at this sigma and delta"),
        ({"n_iter": 2**50}, "n_iter=.* would take"),
        ({"n_samples": 2**50}, "n_samples=.* would take"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_what_cannot_be_predicted_is_named(change, message) -> None:
    arguments = {
        "delta": 0.5, "prior_sampler": lambda rng, n: rng.standard_normal(n), "sigma": 0.1,
        "n_iter": 2, "n_samples": 100,
    }  # fmt: skip
    with pytest.raises((ValueError, TypeError, MemoryError), match=message):
        state_evolution(**arguments | change)


def test_a_run_that_is_too_short_says_so() -> None:
    A, y, _ = problem(100, 200, 20)
    with pytest.warns(ConvergenceWarning, match="amp did not converge"):
        assert not amp(A, y, max_iter=2).converged
