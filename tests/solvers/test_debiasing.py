"""Least squares on a support, and the noise by the median rule."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from sklearn.datasets import load_sample_image
from sklearn.exceptions import ConvergenceWarning

from sparsecode.operators import subsampled_dct, subsampled_fft
from sparsecode.solvers import Status, bpdn, debias, estimate_noise

M, N = 20, 40
SUPPORT = np.array([3, 5, 11, 17, 30])


def data(kind="d", n_signals=None):
    rng = np.random.default_rng(0)
    tail = () if n_signals is None else (n_signals,)
    A, y = rng.standard_normal((M, N)), rng.standard_normal((M, *tail))
    if kind in "FD":
        A, y = A + 1j * rng.standard_normal(A.shape), y + 1j * rng.standard_normal(y.shape)
    return A.astype(kind), y.astype(kind)


def exact(A, y, support):
    x = np.zeros((A.shape[1], *y.shape[1:]), dtype=np.result_type(A, y))
    x[support] = np.linalg.lstsq(A[:, support], y)[0]
    return x


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, aslinearoperator])
@pytest.mark.parametrize("kind", "fdFD")
@pytest.mark.parametrize("n_signals", [None, 3])
def test_it_is_that_of_numpy(form, kind, n_signals) -> None:
    A, y = data(kind, n_signals)
    tol = 1e-5 if kind in "fF" else 1e-10
    result = debias(form(A), y, SUPPORT, tol=tol)
    assert result.converged
    assert result.certificate <= tol
    assert result.x.dtype == y.dtype
    best = exact(A, y, SUPPORT)
    np.testing.assert_allclose(result.x, best, atol=100 * tol)
    assert not np.delete(result.x, SUPPORT, axis=0).any()
    assert result.objective == pytest.approx(0.5 * np.linalg.norm(y - A @ best) ** 2, rel=1e-4)
    gradient = (A.conj().T @ (y - A @ result.x))[SUPPORT]
    assert np.abs(gradient).max() <= 100 * tol * np.abs(A.conj().T @ y).max()


def test_every_way_to_say_a_support() -> None:
    A, y = data(n_signals=2)
    mask = np.zeros(N, dtype=bool)
    mask[SUPPORT] = True
    coefficients = np.where(mask, 1e-3, 0.0)
    plain = debias(A, y, SUPPORT).x
    for support in (mask, coefficients, 1j * coefficients, np.stack([mask, mask], axis=1)):
        np.testing.assert_array_equal(debias(A, y, support).x, plain)
    each = np.stack([mask, np.roll(mask, 1)], axis=1)
    result = debias(A, y, each)
    np.testing.assert_allclose(result.x[:, 0], plain[:, 0])
    np.testing.assert_allclose(result.x[:, 1], exact(A, y[:, 1], SUPPORT + 1), atol=1e-7)


@pytest.mark.parametrize("support", [[], np.zeros(N), np.zeros(N, dtype=bool)])
def test_nothing_is_the_answer_on_no_support(support) -> None:
    A, y = data()
    result = debias(A, y, support)
    assert result.converged
    assert not result.x.any()
    assert result.objective == pytest.approx(0.5 * y @ y)
    assert not debias(A, 0 * y, SUPPORT).x.any()
    assert debias(0 * A, y, SUPPORT).converged


def test_of_dependent_columns_the_least_coefficients() -> None:
    A, y = data()
    A[:, 5] = A[:, 3]
    result = debias(A, y, SUPPORT)
    np.testing.assert_allclose(result.x, exact(A, y, SUPPORT), atol=1e-7)
    assert result.x[3] == pytest.approx(result.x[5])
    many = np.arange(N)  # more than there are rows
    np.testing.assert_allclose(debias(A, y, many).x, np.linalg.pinv(A) @ y, atol=1e-6)


@pytest.mark.parametrize(("a", "b"), [(1e-150, 1.0), (1.0, 1e-150), (1e150, 1e150)])
@pytest.mark.parametrize("form", [np.asarray, aslinearoperator])
def test_any_scale(a, b, form) -> None:
    A, y = data()
    plain, scaled = debias(A, y, SUPPORT), debias(form(A * a), y * b, SUPPORT)
    np.testing.assert_allclose(scaled.x / b * a, plain.x, atol=1e-9)


@pytest.mark.parametrize("make", [subsampled_dct, subsampled_fft])
def test_it_takes_the_bias_of_the_l1_norm_away(make) -> None:
    rng = np.random.default_rng(1)
    n, m, k = 4096, 1024, 100
    A = make(n, rng.permutation(n)[:m])
    x = np.zeros(n, dtype=A.dtype)
    x[rng.permutation(n)[:k]] = rng.choice([-1.0, 1.0], k)
    noise = rng.standard_normal(m) + (1j * rng.standard_normal(m) if A.dtype.kind == "c" else 0)
    y = A @ x + 0.02 * noise
    shrunk = bpdn(A, y, 0.02 * np.linalg.norm(noise)).x
    better = debias(A, y, np.abs(shrunk) > 0.3).x
    assert np.linalg.norm(better - x) < 0.5 * np.linalg.norm(shrunk - x)
    assert np.linalg.norm(better - x) < 0.06 * np.linalg.norm(x)


@pytest.mark.parametrize(
    ("support", "error", "message"),
    [
        ([0, N], ValueError, "support has to hold places from 0 to 39"),
        ([-1], ValueError, "support has to hold places"),
        (np.ones(N - 1), ValueError, r"support has shape \(39,\); the coefficients have \(40,\)"),
        (np.ones((N, 2)), ValueError, r"support has shape \(40, 2\)"),
        (np.full(N, np.nan), ValueError, "support contains NaN"),
        (np.ones((N, 1, 1)), ValueError, "support has to be 1-D or 2-D"),
        ("abc", ValueError, "support has to be numeric"),
    ],
)
def test_a_bad_support_is_one_clear_error(support, error, message) -> None:
    with pytest.raises(error, match=message):
        debias(*data(), support)


def test_a_bad_system_and_an_early_end() -> None:
    A, y = data()
    wrong = LinearOperator(A.shape, matvec=lambda x: A @ x, rmatvec=lambda r: 2 * A.T @ r)
    with pytest.raises(ValueError, match="not the adjoint"):
        debias(wrong, y, SUPPORT)
    with pytest.raises(ValueError, match="A has 20 rows but y has 19"):
        debias(A, y[1:], SUPPORT)
    with pytest.warns(ConvergenceWarning, match="debias did not converge"):
        debias(A, y, SUPPORT, max_iter=2)
    assert debias(A, y, SUPPORT, callback=lambda row: True).status is Status.CALLBACK


@pytest.mark.parametrize("shape", [(20_000,), (150, 150), (30, 30, 30)])
@pytest.mark.parametrize("sigma", [1e-160, 0.3, 1e160])
def test_white_noise_is_estimated_whatever_lies_under_it(shape, sigma) -> None:
    rng = np.random.default_rng(2)
    noise = sigma * rng.standard_normal(shape)
    assert estimate_noise(noise) == pytest.approx(sigma, rel=0.04)
    steps = 20 * sigma * (np.indices(shape) // 10).sum(axis=0)
    slope = 0.02 * sigma * np.indices(shape).sum(axis=0)
    assert estimate_noise(noise + steps) == pytest.approx(sigma, rel=0.2)
    assert estimate_noise(noise + slope) == pytest.approx(sigma, rel=0.04)
    both = noise + 1j * sigma * rng.standard_normal(shape)
    assert estimate_noise(both) == pytest.approx(np.sqrt(2) * sigma, rel=0.04)


def test_single_precision_has_the_same_noise() -> None:
    noise = np.random.default_rng(2).standard_normal(1000)
    single = estimate_noise(noise.astype(np.float32))
    assert single == pytest.approx(estimate_noise(noise), rel=1e-5)
    assert isinstance(single, float)


@pytest.mark.parametrize("sigma", [10, 25])
def test_the_noise_of_a_photograph(sigma) -> None:
    rng = np.random.default_rng(3)
    picture = load_sample_image("flower.jpg").astype(float)
    noisy = picture + sigma * rng.standard_normal(picture.shape)
    assert estimate_noise(noisy, axes=(0, 1)) == pytest.approx(sigma, rel=0.1)
    assert estimate_noise(noisy[..., 1]) == pytest.approx(sigma, rel=0.1)


def test_what_has_no_noise_has_none() -> None:
    assert estimate_noise(np.repeat([1.0, 5.0], 50)) == 0.0
    assert estimate_noise(np.full((4, 4), 7)) == 0.0


@pytest.mark.parametrize(
    ("x", "axes", "message"),
    [
        (np.ones(1), None, "no difference along an axis of one entry"),
        (np.ones((4, 1)), None, "leave it out of axes"),
        (np.ones((4, 4)), 2, "axes has to hold axes of x, which has 2"),
        (np.ones((4, 4)), 0.5, "axes has to hold axes of x"),
        (np.ones((4, 4)), (0, -2), "axes has to hold different axes"),
        (np.ones((4, 4)), (), "axes has to hold different axes"),
        (np.array([1.0, np.nan]), None, "x contains NaN"),
        (3.0, None, "x has to be 1-D"),
    ],
)
def test_noise_of_nothing_is_one_clear_error(x, axes, message) -> None:
    with pytest.raises(ValueError, match=message):
        estimate_noise(x, axes=axes)
