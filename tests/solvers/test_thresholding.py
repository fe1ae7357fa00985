"""Iterative hard thresholding and hard thresholding pursuit: their laws, step by step."""

from functools import partial

import numpy as np
import pytest
from scipy.optimize import nnls

from sparsecode.solvers.thresholding import VARIANTS, htp, iht

every_variant = pytest.mark.parametrize("variant", VARIANTS)


def gaussian(seed, m=15, n=40):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) * rng.uniform(0.5, 2, n)
    return A, rng.standard_normal(m)


def hard(u, k):
    x = np.zeros_like(u)
    kept = np.argsort(-np.abs(u))[:k]
    x[kept] = u[kept]
    return x


def test_plain_steps_are_their_formula() -> None:
    A, y = gaussian(0)
    step = 1 / np.linalg.norm(A, 2) ** 2
    x = np.zeros(40)
    for iterations in range(1, 8):
        x = hard(x + step * A.T @ (y - A @ x), 4)
        result = steps(A, y, iterations, variant="plain")
        np.testing.assert_allclose(result.x, x, atol=1e-12)


def steps(A, y, iterations, **options):
    """So many iterations, whatever the certificate."""
    return iht(
        A, y, n_nonzero_coefs=4, max_iter=iterations + 1, tol=0.0,
        callback=lambda row: row["n_iter"] == iterations, **options,
    )  # fmt: skip


def test_the_first_normalized_step_is_the_best_one_on_the_largest_correlations() -> None:
    """Not on the first k atoms."""
    for seed in range(5):
        A, y = gaussian(seed)
        g = hard(A.T @ y, 4)
        support = np.flatnonzero(g)
        expected = g * (g @ g) / np.sum((A @ g) ** 2)
        result = steps(A, y, 1)
        np.testing.assert_array_equal(np.flatnonzero(result.x), support)
        np.testing.assert_allclose(result.x, expected, atol=1e-12)


@every_variant
def test_it_ends_at_a_fixed_point_of_short_steps(variant) -> None:
    for seed in range(8):
        A, y = gaussian(seed)
        x = iht(A, y, n_nonzero_coefs=4, variant=variant, tol=1e-12).x
        support = np.flatnonzero(x)
        best = np.linalg.lstsq(A[:, support], y, rcond=None)[0]
        np.testing.assert_allclose(x[support], best, atol=1e-8)
        step = (1 - 1e-9) / np.linalg.norm(A, 2) ** 2
        np.testing.assert_allclose(hard(x + step * A.T @ (y - A @ x), 4), x, atol=1e-8)


def test_with_all_atoms_it_is_least_squares_and_acceleration_pays() -> None:
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((m, 10)))[0] for m in (30, 10))
    A = U * np.geomspace(1, 0.05, 10) @ V
    y = rng.standard_normal(30)
    expected = np.linalg.lstsq(A, y, rcond=None)[0]
    n_iter = {}
    for variant in VARIANTS:
        result = iht(A, y, n_nonzero_coefs=10, variant=variant, tol=1e-10)
        np.testing.assert_allclose(result.x, expected, atol=1e-6)
        n_iter[variant] = result.n_iter
    # Conjugate gradients: as many steps as there are unknowns, and a few for the rounding errors.
    assert n_iter["accelerated"] <= 20 < n_iter["normalized"] < n_iter["plain"]


@every_variant
def test_orthonormal_atoms_take_one_step(variant) -> None:
    rng = np.random.default_rng(0)
    A = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    y = rng.standard_normal(12)
    result = iht(A, y, n_nonzero_coefs=3, variant=variant, tol=1e-12)
    np.testing.assert_allclose(result.x, hard(A.T @ y, 3), atol=1e-12)
    assert result.n_iter == 2  # the second shows that nothing changes


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="variant has to be one of 'accelerated', 'normalized'"):
        iht(np.eye(3), np.ones(3), n_nonzero_coefs=1, variant="fast")


@pytest.mark.parametrize("positive", [False, True])
def test_htp_ends_at_a_fixed_point_with_the_exact_fit(positive) -> None:
    solve = partial(htp, positive=positive)
    for seed in range(20):
        A, y = gaussian(seed)
        result = solve(A, y, n_nonzero_coefs=4)
        assert result.certificate == 0
        x, support = result.x, np.flatnonzero(result.x)
        atoms = A[:, support]
        fitted = nnls(atoms, y)[0] if positive else np.linalg.lstsq(atoms, y, rcond=None)[0]
        np.testing.assert_allclose(x[support], fitted, atol=1e-10)
        u = x + A.T @ (y - A @ x) / np.linalg.norm(A, 2) ** 2
        u = np.maximum(u, 0) if positive else u
        np.testing.assert_array_equal(np.flatnonzero(hard(u, len(support))), support)


def test_htp_never_does_worse_than_its_start_and_names_a_support_once() -> None:
    for seed in range(20):
        A, y = gaussian(seed)
        objective = htp(A, y, n_nonzero_coefs=4).history["objective"]
        assert np.all(np.diff(objective)[:-1] < 0)  # every exchange pays; the last is none
        start = np.flatnonzero(hard(A.T @ y, 4))
        left = y - A[:, start] @ np.linalg.lstsq(A[:, start], y, rcond=None)[0]
        assert objective[0] == pytest.approx(0.5 * left @ left)
