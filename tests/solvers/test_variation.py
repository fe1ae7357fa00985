"""Total variation, held against cvxpy, against exact answers and against its own dual."""

import functools

import cvxpy as cp
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from sklearn.exceptions import ConvergenceWarning

from sparsecode.datasets import radial_lines, shepp_logan
from sparsecode.operators import (
    adjoint,
    blur,
    dct,
    finite_differences,
    mask,
    subsampled_dct,
    subsampled_fft,
    wavelet_synthesis,
)
from sparsecode.solvers import Status, total_variation

SHAPES = [(24,), (6, 5), (3, 4, 3)]


def steps(shape, boundary="symmetric", basis=None, weight=0.0):
    """``K`` as a matrix."""
    n = int(np.prod(shape))
    K = finite_differences(shape, boundary=boundary) @ np.eye(n)
    return K if basis is None else np.vstack([K, weight * (adjoint(basis) @ np.eye(n))])


def sizes(p, shape, isotropic):
    """Of what ``K x`` or a dual field counts."""
    n, d = int(np.prod(shape)), len(shape)
    rows = np.abs(np.reshape(p, (-1, n)))
    joint = np.sqrt(np.sum(rows[:d] ** 2, axis=0, keepdims=True)) if isotropic else rows[:d]
    return np.concatenate([joint, rows[d:]])


def best(
    A,
    y,
    shape,
    *,
    alpha=None,
    sigma=None,
    isotropic=True,
    boundary="symmetric",
    basis=None,
    weight=0.0,
    real=False,
):
    """The least objective, by cvxpy."""
    n, d = int(np.prod(shape)), len(shape)
    A = np.eye(n) if A is None else A @ np.eye(n)
    x = cp.Variable(n, complex=(np.iscomplexobj(A) or np.iscomplexobj(y)) and not real)
    K = steps(shape, boundary, basis, weight)
    parts = [K[i * n : (i + 1) * n] @ x for i in range(len(K) // n)]
    if isotropic:
        R = cp.sum(cp.norm(cp.vstack(parts[:d]), 2, axis=0)) + sum(map(cp.norm1, parts[d:]))
    else:
        R = sum(map(cp.norm1, parts))
    r = y - A @ x
    if alpha is not None:
        problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(r) + alpha * R))
    else:
        bound = [A @ x == y] if sigma == 0 else [cp.norm(r, 2) <= sigma]
        problem = cp.Problem(cp.Minimize(R), bound)
    problem.solve(solver="CLARABEL")
    return problem.value


def check(
    result,
    A,
    y,
    shape,
    *,
    alpha=None,
    sigma=None,
    isotropic=True,
    boundary="symmetric",
    basis=None,
    weight=0.0,
    tol=1e-6,
):
    """All the result says, computed anew; the value of its dual."""
    n = int(np.prod(shape))
    A = aslinearoperator(np.eye(n)) if A is None else A
    x, q, p = result.x.ravel(), result.dual, result.dual_field
    K = steps(shape, boundary, basis, weight)
    assert result.converged
    assert result.certificate <= tol
    assert result.x.shape == shape
    r = y - A @ x
    R = np.sum(sizes(K @ x, shape, isotropic))
    assert result.residual == pytest.approx(np.linalg.norm(r), rel=1e-6, abs=1e-9)
    image = adjoint(A) @ q
    image = image if np.iscomplexobj(x) else image.real
    np.testing.assert_allclose(K.conj().T @ p.ravel(), image, atol=1e-9 * (1 + np.abs(q).max()))
    polar = np.max(sizes(p, shape, isotropic))
    fit = np.vdot(q, y).real
    if alpha is None:
        objective, value = R, fit - sigma * np.linalg.norm(q)
        assert polar <= 1 + 1e-9
        assert result.residual <= sigma + tol * np.linalg.norm(y)
    else:
        objective, value = 0.5 * np.vdot(r, r).real + alpha * R, fit - 0.5 * np.vdot(q, q).real
        assert polar <= alpha * (1 + 1e-9)
        assert result.infeasibility == 0
    assert result.objective == pytest.approx(objective, rel=1e-9, abs=1e-12)
    assert abs(objective - value) <= result.dual_gap * (1 + 1e-6) + 1e-8 * (1 + objective)
    return value


def operators(shape):
    """One of each kind: with a transform, tight, of few entries, and only products."""
    rng = np.random.default_rng(3)
    n = int(np.prod(shape))
    rows = rng.permutation(n)[: (2 * n) // 3]
    matrix = rng.standard_normal((n // 2, n))
    tall = rng.standard_normal((n + 5, n))
    return {
        "identity": None,
        "dct": subsampled_dct(shape, rows),
        "fft": subsampled_fft(shape, rows),
        "blur": blur(shape, np.ones((2,) * len(shape)) / 2 ** len(shape)),
        "zero blur": blur(shape, rng.random((2,) * len(shape)), boundary="zero"),
        "mask": mask(shape, rows),
        "matrix": matrix,
        "sparse": sp.csr_array(np.where(np.abs(matrix) > 0.5, matrix, 0)),
        "tall": tall,
        "products": aslinearoperator(matrix),
        "complex matrix": matrix + 1j * rng.standard_normal(matrix.shape),
        "complex products": aslinearoperator(matrix + 1j * rng.standard_normal(matrix.shape)),
    }


@functools.cache
def image(shape, kind="d"):
    rng = np.random.default_rng(4)
    x = 10 + np.round(rng.random(shape)) + 0.1 * rng.standard_normal(shape)
    return x + 1j * np.round(rng.random(shape)) if kind == "D" else x


def measured(A, x, noise=0.1):
    rng = np.random.default_rng(5)
    y = x.ravel() if A is None else A @ x.ravel()
    e = rng.standard_normal(y.shape)
    e = e + 1j * rng.standard_normal(y.shape) if np.iscomplexobj(y) else e
    return y + noise * e


KINDS = list(operators((4, 4)))
FORMS = [{"alpha": 0.3}, {"sigma": 0.5}, {"sigma": 0.0}]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_matrix_gives_the_answer_of_cvxpy(kind, form) -> None:
    shape = (6, 5)
    A = operators(shape)[kind]
    if kind == "tall" and "sigma" in form:
        form = {"sigma": form["sigma"] + 0.7}
    y = measured(A, image(shape), noise=0.0 if form.get("sigma") == 0 else 0.1)
    result = total_variation(A, y, shape, **form, tol=1e-7)
    value = check(result, A, y, shape, **form, tol=1e-7)
    least = best(A, y, shape, **form)
    assert result.objective == pytest.approx(least, rel=1e-5)
    assert value <= least * (1 + 1e-5)


@pytest.mark.parametrize("boundary", ["symmetric", "periodic"])
@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("form", FORMS[:2], ids=str)
def test_every_variation_is_that_of_cvxpy(shape, isotropic, boundary, form) -> None:
    rng = np.random.default_rng(6)
    n = int(np.prod(shape))
    matrix = rng.standard_normal((2 * n // 3, n))
    options = {"isotropic": isotropic, "boundary": boundary}
    for A in (None, matrix, subsampled_fft(shape, rng.permutation(n)[: n // 2])):
        y = measured(A, image(shape))
        result = total_variation(A, y, shape, **form, **options, tol=1e-6)
        check(result, A, y, shape, **form, **options)
        assert result.objective == pytest.approx(best(A, y, shape, **form, **options), rel=1e-4)


@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_complex_images_and_real_images_of_complex_data(form, isotropic) -> None:
    shape = (6, 5)
    noise = 0.0 if form.get("sigma") == 0 else 0.1
    for A in (operators(shape)["fft"], operators(shape)["complex matrix"]):
        for kind, real in (("D", False), ("d", True), ("d", False)):
            y = measured(A, image(shape, kind), noise)
            options = {**form, "isotropic": isotropic}
            result = total_variation(A, y, shape, **options, real=real, tol=1e-5)
            assert result.x.dtype == (np.float64 if real else np.complex128)
            assert np.iscomplexobj(result.dual)
            check(result, A, y, shape, **options, tol=1e-5)
            least = best(A, y, shape, **options, real=real)
            assert result.objective == pytest.approx(least, rel=1e-4)


@pytest.mark.parametrize("kind", ["identity", "fft", "mask", "matrix", "products"])
@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("basis", ["haar", "dct"])
def test_with_a_basis_too_it_is_that_of_cvxpy(kind, form, basis) -> None:
    shape, weight = (8, 4), 0.4
    if basis == "haar":
        pytest.importorskip("pywt")
    given = basis if basis == "haar" else dct(shape).H
    basis = wavelet_synthesis(shape, "haar") if basis == "haar" else given
    A = operators(shape)[kind]
    x = image(shape, "D" if kind == "fft" else "d") - 10
    y = measured(A, x, noise=0.0 if form.get("sigma") == 0 else 0.1)
    result = total_variation(A, y, shape, **form, wavelet=given, wavelet_weight=weight, tol=1e-5)
    check(result, A, y, shape, **form, basis=basis, weight=weight, tol=1e-5)
    least = best(A, y, shape, **form, basis=basis, weight=weight)
    assert result.objective == pytest.approx(least, rel=1e-4)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 2.0, 100.0])
def test_denoising_a_line_is_exact(alpha) -> None:
    """Its dual is least squares within bounds, which an active set solves exactly."""
    rng = np.random.default_rng(7)
    n = 40
    y = np.cumsum(rng.standard_normal(n))
    D = np.diff(np.eye(n), axis=0)
    p = scipy.optimize.lsq_linear(D.T, y, (-alpha, alpha), method="bvls", tol=1e-14).x
    result = total_variation(None, y, n, alpha=alpha, tol=1e-12)
    np.testing.assert_allclose(result.x, y - D.T @ p, atol=1e-4)
    np.testing.assert_allclose(result.dual, y - result.x, atol=1e-4)


def test_a_step_moves_by_alpha_over_its_length() -> None:
    y = np.repeat([0.0, 1.0, 0.4], [4, 5, 10])
    result = total_variation(None, y, y.size, alpha=0.2, tol=1e-12)
    levels = [0.2 / 4, 1 - 2 * 0.2 / 5, 0.4 + 0.2 / 10]
    np.testing.assert_allclose(result.x, np.repeat(levels, [4, 5, 10]), atol=1e-5)


@pytest.mark.parametrize("kind", ["identity", "dct", "mask", "matrix", "products"])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_constant_is_nothing(kind, form) -> None:
    """Neither in the answer nor in what is added to one."""
    shape = (6, 5)
    A = operators(shape)[kind]
    y = measured(A, np.full(shape, 3.0), noise=0.0)
    result = total_variation(A, y, shape, **form)
    np.testing.assert_allclose(result.x, 3.0, rtol=1e-12)
    assert result.converged
    assert result.objective == pytest.approx(0, abs=1e-20)
    y = measured(A, image(shape), noise=0.0)
    one, other = (
        total_variation(A, y + shift * measured(A, np.ones(shape), 0.0), shape, **form, tol=1e-7)
        for shift in (0.0, 1e3)
    )
    np.testing.assert_allclose(one.x + 1e3, other.x, atol=1e-5)


@pytest.mark.parametrize("kind", ["identity", "dct", "mask", "matrix", "products"])
def test_a_constraint_that_a_constant_obeys_needs_no_more(kind) -> None:
    shape = (6, 5)
    A = operators(shape)[kind]
    y, ones = measured(A, image(shape)), measured(A, np.ones(shape), 0.0)
    mean = (ones @ y) / (ones @ ones)
    least = np.linalg.norm(y - mean * ones)
    result = total_variation(A, y, shape, sigma=least * (1 + 1e-9))
    np.testing.assert_allclose(result.x, mean, rtol=1e-12)
    assert result.objective == result.dual_gap == 0
    assert result.converged
    assert total_variation(A, y, shape, sigma=0.9 * least).objective > 1e-3
    zero = total_variation(A, 0 * y, shape, alpha=1.0)
    assert not zero.x.any()
    assert zero.converged


@pytest.mark.parametrize(
    ("a", "b"), [(2.0**-498, 1.0), (2.0**498, 2.0**-498), (2.0**498, 2.0**498)]
)  # about 1e150; a power of two changes no mantissa, nor when conjugate gradients end
@pytest.mark.parametrize("kind", ["blur", "matrix", "products", "identity"])
def test_any_scale(a, b, kind) -> None:
    shape = (6, 5)
    A = operators(shape)[kind]
    a = 1.0 if A is None else a
    y = measured(A, image(shape))
    with_basis = {"wavelet": dct(shape).H, "wavelet_weight": 0.3}
    for options in ({"sigma": 0.5}, {"alpha": 0.3}, {"sigma": 0.5, **with_basis}):
        units = {"sigma": b, "alpha": a * b}
        scaled = {
            name: given * units.get(name, 1) for name, given in options.items() if name in units
        }
        scaled = total_variation(A if A is None else A * a, y * b, shape, **{**options, **scaled})
        plain = total_variation(A, y, shape, **options)
        np.testing.assert_allclose(scaled.x / b * a, plain.x, atol=1e-9)
        if "sigma" in options:
            assert scaled.objective / b * a == pytest.approx(plain.objective)
            np.testing.assert_allclose(scaled.dual * a, plain.dual, atol=1e-9)


@pytest.mark.parametrize("kind", ["identity", "dct", "mask", "matrix"])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_single_precision_stays(kind, form) -> None:
    shape = (6, 5)
    A = operators(shape)[kind]
    A = A.astype(np.float32) if isinstance(A, np.ndarray) else A
    y = measured(A, image(shape)).astype(np.float32)
    result = total_variation(A, y, shape, **form, tol=1e-3)
    dtype = np.float32 if kind in ("identity", "matrix") else np.float64  # as the operators are
    assert result.x.dtype == result.dual.dtype == result.dual_field.dtype == dtype
    exact = total_variation(A, y.astype(float), shape, **form, tol=1e-3)
    np.testing.assert_allclose(result.x, exact.x, atol=1e-2)
    half = total_variation(None, image(shape).astype(np.float16), shape, alpha=0.1)
    assert half.x.dtype == np.float16


@pytest.mark.parametrize("form", [sp.csr_array, aslinearoperator, np.asfortranarray])
def test_all_forms_of_a_matrix_are_one(form) -> None:
    shape = (6, 5)
    A = operators(shape)["matrix"]
    y = measured(A, image(shape))
    plain, other = (total_variation(M, y, shape, alpha=0.3, tol=1e-8) for M in (A, form(A)))
    np.testing.assert_allclose(plain.x, other.x, atol=1e-3)


@pytest.mark.parametrize("kind", ["tall", "rank", "tall products", "blur"])
def test_data_that_no_image_has_are_an_error_with_the_least_residual(kind) -> None:
    rng = np.random.default_rng(8)
    shape = (4, 4)
    A = {
        "tall": rng.standard_normal((20, 16)),
        "rank": np.repeat(rng.standard_normal((4, 16)), 2, axis=0),
        "tall products": aslinearoperator(rng.standard_normal((20, 16))),
        "blur": blur(shape, np.ones((2, 2))),
    }[kind]
    y = rng.standard_normal(A.shape[0])
    matrix = A @ np.eye(16)
    least = np.linalg.norm(y - matrix @ np.linalg.lstsq(matrix, y)[0])
    for sigma in (0.0, 0.9 * least):
        with pytest.raises(ValueError, match=f"the least residual is {least:.6g}"):
            total_variation(A, y, shape, sigma=sigma)
    assert total_variation(A, y, shape, sigma=1.1 * least).converged
    assert total_variation(A, y, shape, alpha=0.1).converged


def test_an_operator_that_is_not_one() -> None:
    A, y = np.ones((4, 6)), np.ones(4)
    wrong = LinearOperator((4, 6), matvec=lambda x: A @ x, rmatvec=lambda r: 2 * A.T @ r)
    with pytest.raises(ValueError, match="not the adjoint"):
        total_variation(wrong, y, (2, 3), alpha=1.0)
    one_way = LinearOperator((4, 6), matvec=lambda x: A @ x)
    with pytest.raises(ValueError, match="has no adjoint"):
        total_variation(one_way, y, (2, 3), alpha=1.0)


IMAGE = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({}, ValueError, "give exactly one of alpha, sigma; got none"),
        ({"alpha": 1.0, "sigma": 1.0}, ValueError, "exactly one of alpha, sigma"),
        ({"alpha": 0.0}, ValueError, "alpha has to be a finite number in"),
        ({"sigma": -1.0}, ValueError, "sigma has to be a finite number in"),
        (
            {"sigma": 1.0, "shape": (4, 3)},
            ValueError,
            r"it is the image itself, \(4, 3\)",
        ),
        ({"sigma": 1.0, "shape": ()}, ValueError, "one length at least"),
        (
            {"sigma": 1.0, "A": np.ones((12, 5))},
            ValueError,
            "A has 5 columns, but .* 12 pixels",
        ),
        ({"sigma": 1.0, "A": np.ones((5, 12))}, ValueError, "A has 5 rows but y has 12"),
        ({"sigma": 1.0, "boundary": "zero"}, ValueError, "boundary has to be one of"),
        ({"sigma": 1.0, "isotropic": 1}, TypeError, "isotropic has to be True or False"),
        ({"sigma": 1.0, "real": None}, TypeError, "real has to be True or False"),
        ({"sigma": 1.0, "wavelet": "haar"}, ValueError, "wavelet is not used by .* without wavele"),
        ({"sigma": 1.0, "wavelet_weight": 0.0}, ValueError, "wavelet_weight has to be"),
        ({"sigma": 1.0, "wavelet_weight": 1.0}, ValueError, "too small or odd for wavelet='db4'"),
        (
            {"sigma": 1.0, "wavelet_weight": 1.0, "wavelet": np.ones((12, 12))},
            ValueError,
            "has to be an orthonormal basis",
        ),
        (
            {"sigma": 1.0, "wavelet_weight": 1.0, "wavelet": np.eye(11)},
            ValueError,
            r"wavelet has shape \(11, 11\); a basis of images has \(12, 12\)",
        ),
        ({"sigma": 1.0, "init": np.ones(12)}, ValueError, "init has to be 2-D"),
        ({"sigma": 1.0, "init": np.ones((2, 6))}, ValueError, r"init has shape \(2, 6\)"),
        ({"sigma": 1.0, "y": np.full((3, 4), np.nan)}, ValueError, "y contains NaN"),
    ],
)
def test_bad_input_is_one_clear_error(change, error, message) -> None:
    if "wavelet_weight" in change:
        pytest.importorskip("pywt")
    arguments = {"A": None, "y": IMAGE.ravel() if "A" in change else IMAGE, "shape": (3, 4)}
    with pytest.raises(error, match=message):
        total_variation(**{**arguments, **change})


def test_many_images_are_refused() -> None:
    with pytest.raises(ValueError, match="y has to be 1-D, one image"):
        total_variation(np.eye(12), np.ones((12, 2)), (3, 4), alpha=1.0)


@pytest.mark.parametrize("kind", ["dct", "mask", "products"])
def test_the_start_is_used_and_stopping_early_is_said(kind) -> None:
    shape = (6, 5)
    A = operators(shape)[kind]
    y = measured(A, image(shape))
    cold = total_variation(A, y, shape, sigma=0.5, tol=1e-6)
    warm = total_variation(
        A, y, shape, sigma=0.5, max_iter=1, callback=lambda row: True, init=cold.x
    )
    nothing = total_variation(A, y, shape, sigma=0.5, max_iter=1, callback=lambda row: True)
    assert warm.status is Status.CALLBACK
    assert np.linalg.norm(warm.x - cold.x) < 0.5 * np.linalg.norm(nothing.x - cold.x)
    with pytest.warns(ConvergenceWarning, match="total_variation did not converge"):
        total_variation(A, y, shape, sigma=0.5, max_iter=3, tol=1e-9)
    assert set(cold.history) >= {"objective", "certificate", "dual_gap", "residual", "seconds"}


@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("boundary", ["symmetric", "periodic"])
def test_the_phantom_comes_back_from_few_lines(isotropic, boundary) -> None:
    """Candes, Romberg and Tao: 22 lines of 256 x 256; here of 64 x 64."""
    x = shepp_logan(64)
    A = subsampled_fft(x.shape, radial_lines(x.shape, 22))
    y = A @ x.ravel()
    result = total_variation(
        A, y, x.shape, sigma=0.0, real=True, isotropic=isotropic, boundary=boundary
    )
    assert result.converged
    assert np.linalg.norm(result.x - x) <= 1e-4 * np.linalg.norm(x)
    assert np.linalg.norm((A.H @ y).reshape(x.shape) - x) > 0.2 * np.linalg.norm(x)


@pytest.mark.slow
def test_the_phantom_of_the_paper_comes_back() -> None:
    x = shepp_logan(256)
    A = subsampled_fft(x.shape, radial_lines(x.shape, 22))
    result = total_variation(A, A @ x.ravel(), x.shape, sigma=0.0, real=True)
    assert result.converged
    assert np.linalg.norm(result.x - x) <= 1e-4 * np.linalg.norm(x)
