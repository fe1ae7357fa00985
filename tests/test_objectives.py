"""Objectives and gaps against the definitions, and against cvxpy's optimum."""

import numpy as np
import pytest

from sparsecode.objectives import (
    alpha_max,
    dual_point,
    duality_gap,
    lasso_objective,
    least_squares,
    pcp_duality_gap,
    pcp_objective,
)
from sparsecode.penalties import L1, ElasticNet, GroupL1, NuclearNorm
from sparsecode.solvers import reference

PENALTIES = [
    L1(),
    L1(weights=np.linspace(0.5, 2, 8)),
    L1(positive=True),
    ElasticNet(0.3),
    GroupL1([0, 0, 1, 1, 2, 2, 2, 3]),
    NuclearNorm(),
]
ids = [f"{i}-{type(p).__name__}" for i, p in enumerate(PENALTIES)]


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    return rng.standard_normal((5, 8)), rng.standard_normal((5, 3))


def test_the_objective_is_the_formula(problem) -> None:
    A, y = problem
    x = np.arange(24.0).reshape(8, 3) / 24
    expected = [0.5 * sum((y[:, j] - A @ x[:, j]) ** 2) + 0.7 * sum(abs(x[:, j])) for j in range(3)]
    np.testing.assert_allclose(lasso_objective(A, y, x, 0.7), expected, rtol=1e-13)
    np.testing.assert_allclose(least_squares(y * 1j), 0.5 * np.sum(y**2, axis=0), rtol=1e-14)


@pytest.mark.parametrize("penalty", PENALTIES, ids=ids)
def test_the_gap_bounds_the_suboptimality_of_any_point(problem, penalty) -> None:
    A, y = problem
    best = reference.lasso(A, y, 0.4, penalty=penalty)
    rng = np.random.default_rng(1)
    for size in 10.0 ** np.arange(-7, 1):
        x = best.x + size * rng.standard_normal(best.x.shape)
        x = np.abs(x) if getattr(penalty, "positive", False) else x
        residual = y - A @ x
        gap = float(np.sum(duality_gap(residual, A.T @ residual, x, 0.4, penalty)))
        excess = float(np.sum(lasso_objective(A, y, x, 0.4, penalty))) - best.objective
        assert gap >= excess - 1e-9 * best.objective


@pytest.mark.parametrize("penalty", PENALTIES, ids=ids)
def test_the_gap_closes_at_the_optimum(problem, penalty) -> None:
    A, y = problem
    best = reference.lasso(A, y, 0.4, penalty=penalty)
    assert 0 <= best.certificate < 1e-9


@pytest.mark.parametrize("penalty", PENALTIES, ids=ids)
def test_the_gap_is_primal_minus_dual(problem, penalty) -> None:
    A, y = problem
    x = np.abs(np.random.default_rng(2).standard_normal((8, 3)))
    residual = y - A @ x
    theta, v = dual_point(residual, A.T @ residual, 0.4, penalty)
    np.testing.assert_allclose(v, A.T @ theta, rtol=1e-12)
    dual = np.sum(y * theta) - 0.5 * np.sum(theta**2)
    dual = dual - 0.4 * np.sum(penalty.conjugate(v / 0.4))
    primal = np.sum(lasso_objective(A, y, x, 0.4, penalty))
    gap = np.sum(duality_gap(residual, A.T @ residual, x, 0.4, penalty))
    assert gap == pytest.approx(primal - dual, rel=1e-12)


@pytest.mark.parametrize("penalty", PENALTIES, ids=ids)
def test_alpha_max_is_where_zero_becomes_optimal(problem, penalty) -> None:
    A, y = problem
    largest = float(np.max(alpha_max(A, y, penalty)))
    zero = np.zeros((8, 3))

    def gap_at_zero(alpha):
        return float(np.sum(duality_gap(y, A.T @ y, zero, alpha, penalty)))

    assert gap_at_zero(largest * (1 + 1e-12)) <= 1e-12
    assert gap_at_zero(largest * 0.99) > 1e-8
    assert np.max(np.abs(reference.lasso(A, y, largest * 1.01, penalty=penalty).x)) < 1e-6
    assert np.max(np.abs(reference.lasso(A, y, largest * 0.9, penalty=penalty).x)) > 1e-4


def test_a_ridge_has_no_alpha_max(problem) -> None:
    A, y = problem
    assert np.all(np.isinf(alpha_max(A, y, ElasticNet(0.0))))


def test_the_pcp_gap_bounds_the_suboptimality_of_any_split() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((7, 2)) @ rng.standard_normal((2, 6)) + 4 * (rng.random((7, 6)) < 0.1)
    alpha = 1 / np.sqrt(7)
    best = reference.principal_component_pursuit(X)
    assert best.dual_gap < 1e-7
    for size in 10.0 ** np.arange(-6, 1):
        L = best.low_rank + size * rng.standard_normal(X.shape)
        objective, gap = pcp_duality_gap(X, L, rng.standard_normal(X.shape), alpha)
        assert objective == pytest.approx(pcp_objective(L, X - L, alpha), rel=1e-13)
        assert gap >= objective - best.objective - 1e-6


def test_the_pcp_gap_of_nothing_is_zero() -> None:
    zero = np.zeros((3, 4), dtype=np.float32)
    assert pcp_duality_gap(zero, zero, zero, 0.5) == (0.0, 0.0)


CALLS = {
    "least_squares": (least_squares, {"residual": np.ones(5)}),
    "alpha_max": (alpha_max, {"A": np.eye(5), "y": np.ones(5)}),
    "lasso_objective": (
        lasso_objective,
        {"A": np.eye(5), "y": np.ones(5), "x": np.ones(5), "alpha": 1.0},
    ),
    "dual_point": (
        dual_point,
        {"residual": np.ones(5), "correlation": np.ones(4), "alpha": 1.0, "penalty": L1()},
    ),
    "duality_gap": (
        duality_gap,
        {"residual": np.ones(5), "correlation": np.ones(4), "x": np.ones(4), "alpha": 1.0},
    ),
    "pcp_objective": (
        pcp_objective,
        {"low_rank": np.eye(4), "sparse": np.eye(4), "alpha": 1.0, "weights": np.ones((4, 4))},
    ),
    "pcp_duality_gap": (
        pcp_duality_gap,
        {"X": np.eye(4), "low_rank": np.eye(4), "dual": np.eye(4), "alpha": 1.0, "radius": 0.0},
    ),
}
ARGUMENTS = [(name, argument) for name, (_, given) in CALLS.items() for argument in given]


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
@pytest.mark.parametrize("wrong", [np.nan, np.full((4, 4), np.nan), np.ones((2, 7)), "a", object()])
def test_what_is_no_number_or_does_not_fit_is_named(name, argument, wrong) -> None:
    function, given = CALLS[name]
    function(**given)
    if name == "least_squares" and np.shape(wrong) == (2, 7):
        pytest.skip("half the square is that of any shape")
    with pytest.raises((TypeError, ValueError), match=rf"\b{argument}\b"):
        function(**given | {argument: wrong})


def test_short_integers_do_not_overflow() -> None:
    r = np.array([100, -100], dtype=np.int8)
    assert least_squares(r) == 10_000
    assert lasso_objective(np.eye(2, dtype=np.uint8), r, r, 1.0) == 200
