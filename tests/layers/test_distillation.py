"""Outputs matched in closed form, and soft targets: against least squares and cvxpy."""

import cvxpy as cp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning

from sparsecode import layers


def seen(seed=0, n=300, d=6):
    """Inputs of a teacher's layer, and what a student sees in their place."""
    rng = np.random.default_rng(seed)
    teacher = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return teacher, np.tanh(teacher) @ rng.standard_normal((d, d))


def test_matched_weights_are_the_least_squares_fit() -> None:
    x_t, x_s = seen()
    W = np.random.default_rng(1).standard_normal((4, 6))
    V = layers.match_outputs(W, x_t.T @ x_s / 300, x_s.T @ x_s / 300, damping=1e-13)
    expected = np.linalg.lstsq(x_s, x_t @ W.T)[0].T
    np.testing.assert_allclose(V, expected, rtol=1e-8)


def test_what_another_weight_misses_more_is_measured_by_the_moment() -> None:
    x_t, x_s = seen(2)
    rng = np.random.default_rng(3)
    W, other = rng.standard_normal((2, 4, 6))
    H = x_s.T @ x_s / 300
    V = layers.match_outputs(W, x_t.T @ x_s / 300, H, damping=1e-13)

    def missed(weight):
        return np.sum((x_t @ W.T - x_s @ weight.T) ** 2) / 300

    more = np.trace((V - other) @ H @ (V - other).T)
    assert missed(other) == pytest.approx(missed(V) + more, rel=1e-8)


def test_directions_that_the_student_does_not_show_keep_the_teachers_weights() -> None:
    x_t, x_s = seen(4)
    x_s[:, 2] = 0
    W = np.random.default_rng(5).standard_normal((4, 6))
    V = layers.match_outputs(W, x_t.T @ x_s / 300, x_s.T @ x_s / 300)
    np.testing.assert_allclose(V[:, 2], W[:, 2], rtol=1e-6)
    np.testing.assert_array_equal(layers.match_outputs(W, np.zeros((6, 6)), np.zeros((6, 6))), W)


@pytest.mark.parametrize("damping", [1e-300, 1e-13])
def test_a_singular_moment_gives_the_nearest_of_the_least_squares_fits(damping) -> None:
    x_t, x_s = seen(8, n=4)  # fewer samples than inputs
    W = np.random.default_rng(9).standard_normal((4, 6))
    V = layers.match_outputs(W, x_t.T @ x_s, x_s.T @ x_s, damping=damping)
    expected = W + np.linalg.lstsq(x_s, (x_t - x_s) @ W.T, rcond=1e-10)[0].T
    np.testing.assert_allclose(V, expected, rtol=1e-5, atol=1e-7)


def test_what_is_no_moment_is_refused() -> None:
    indefinite = np.eye(6)
    indefinite[0, 1] = indefinite[1, 0] = 2.0
    for gram, message in ((indefinite, "negative eigenvalue"), (np.tri(6), "symmetric")):
        with pytest.raises(ValueError, match=f"gram has .*{message}"):
            layers.match_outputs(np.eye(6), np.eye(6), gram)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_matching_scales_with_the_inputs(scale) -> None:
    x_t, x_s = seen(6)
    W = np.eye(6)
    V = layers.match_outputs(W, x_t.T @ x_s, x_s.T @ x_s)
    scaled = layers.match_outputs(W, scale * (x_t.T @ x_s), scale * (x_s.T @ x_s))
    np.testing.assert_allclose(scaled, V, rtol=1e-8)


def head(seed=0, n=80, d=4, c=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), 3 * rng.standard_normal((n, c))


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")  # cvxpy's: to 1e-6 it is not
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_head_is_the_optimum_of_cvxpy(temperature) -> None:
    X, logits = head()
    result = layers.distill_head(X, logits, temperature=temperature, damping=1e-2, tol=1e-12)
    T, s2 = temperature, np.mean(X**2)
    p = softmax(logits / T, axis=1)
    W, b = cp.Variable((3, 4)), cp.Variable(3)
    scores = (X @ W.T + np.ones((80, 1)) @ cp.reshape(b, (1, 3), order="C")) / T
    cross = cp.sum(cp.log_sum_exp(scores, axis=1)) - cp.sum(cp.multiply(p, scores))
    pull = 0.5 * 1e-2 * (s2 * cp.sum_squares(W) + cp.sum_squares(b))
    best = cp.Problem(cp.Minimize(T**2 / 80 * cross + pull)).solve(solver="CLARABEL")
    best += T**2 / 80 * np.sum(p * np.log(p))
    assert result.converged
    assert result.objective == pytest.approx(best, rel=1e-6)
    np.testing.assert_allclose(result.weight, W.value, atol=1e-4)
    np.testing.assert_allclose(result.bias, b.value, atol=1e-4)


def test_the_certificate_bounds_what_is_left() -> None:
    X, logits = head(1)
    best = layers.distill_head(X, logits, tol=1e-14).objective
    with pytest.warns(ConvergenceWarning, match="distill_head did not converge"):
        early = layers.distill_head(X, logits, tol=1e-14, max_iter=2)
    p = softmax(logits / 2, axis=1)
    first = 4 * np.mean(np.sum(p * np.log(3 * p), axis=1))  # at zero all classes are alike
    assert early.objective - best <= early.certificate * first


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_the_head_does_not_hang_on_the_scale_of_its_inputs(scale) -> None:
    X, logits = head(2)
    one, other = (layers.distill_head(s * X, logits, tol=1e-12) for s in (1.0, scale))
    np.testing.assert_allclose(other.weight * scale, one.weight, rtol=1e-5)
    np.testing.assert_allclose(other.bias, one.bias, rtol=1e-5)


def test_a_head_that_is_right_already_stays() -> None:
    rng = np.random.default_rng(3)
    X, W, b = rng.standard_normal((50, 4)), rng.standard_normal((3, 4)), np.arange(3.0)
    result = layers.distill_head(X, X @ W.T + b, weight=W, bias=b)
    assert result.converged
    np.testing.assert_allclose(result.weight, W, rtol=1e-6)
    assert result.divergence < 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"teacher_logits": np.ones((3, 2))}, "X has 80 samples but teacher_logits has 3"),
        ({"weight": np.ones((2, 2))}, r"weight has shape \(2, 2\); it has to be \(3, 4\)"),
        ({"temperature": 0.0}, "temperature has to be"),
        ({"damping": 0.0}, "damping has to be"),
    ],
)
def test_bad_arguments_are_named(arguments, message) -> None:
    X, logits = head()
    with pytest.raises(ValueError, match=message):
        layers.distill_head(**({"X": X, "teacher_logits": logits} | arguments))
