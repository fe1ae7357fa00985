"""The slow exact answers: at any scale, and clear where there is none."""

import numpy as np
import pytest

from sparsecode.penalties import ElasticNet
from sparsecode.solvers import reference

rng = np.random.default_rng(0)
A, y = rng.standard_normal((5, 8)), rng.standard_normal(5)
X = np.outer(np.arange(1.0, 5), [1.0, -1, 2]) + np.diag([5.0, 0, 0, 0])[:, :3]


@pytest.mark.parametrize(("s", "t"), [(2.0**-500, 2.0**500), (2.0**600, 2.0**-300)])
def test_the_answer_scales_with_the_problem(s: float, t: float) -> None:
    """With ``t y`` and ``s A`` the coefficients are ``t / s`` times as large."""
    pairs = [
        (reference.lasso(A, y, 0.5).x, reference.lasso(s * A, t * y, 0.5 * s * t).x),
        (reference.bpdn(A, y, 0.3), reference.bpdn(s * A, t * y, 0.3 * t)),
        (
            reference.lasso_constrained(A, y, 1.0),
            reference.lasso_constrained(s * A, t * y, t / s),
        ),
    ]
    for plain, scaled in pairs:
        np.testing.assert_allclose(scaled / t * s, plain, atol=1e-6)
    split, scaled = reference.stable_pcp(X, 0.5), reference.stable_pcp(s * X, 0.5 * s)
    np.testing.assert_allclose(scaled.low_rank / s, split.low_rank, atol=1e-6)
    assert scaled.objective / s == pytest.approx(split.objective, rel=1e-6)


def test_a_penalty_that_is_not_homogeneous_scales_too() -> None:
    plain = reference.lasso(A, y, 0.5, penalty=ElasticNet(0.5))
    best = min(
        0.5 * np.sum((y - A @ x) ** 2) + 0.5 * ElasticNet(0.5).value(x)
        for x in plain.x + 1e-3 * rng.standard_normal((100, 8))
    )
    assert plain.objective < best
    large = reference.lasso(A, 1e6 * y, 0.5, penalty=ElasticNet(0.5))
    assert large.certificate < 1e-9


def test_beyond_what_matters_a_parameter_changes_nothing() -> None:
    assert np.abs(reference.lasso(A, y, 1e300).x).max() < 1e-8
    assert np.abs(reference.bpdn(A, y, 1e300)).max() < 1e-8
    least = reference.lasso_constrained(A, y, 1e300)
    np.testing.assert_allclose(A @ least, y, atol=1e-6)
    assert np.abs(reference.stable_pcp(X, 0.5, alpha=1e300).sparse).max() < 1e-6


def test_what_has_no_answer_is_named() -> None:
    with pytest.raises(ValueError, match=r"no x has a residual .* sigma=0.1"):
        reference.bpdn(np.ones((2, 1)), np.array([1.0, -1.0]), 0.1)
    with pytest.raises(ValueError, match="weights has 3 entries for 8 columns of A"):
        reference.bpdn(A, y, 0.1, weights=np.ones(3))
