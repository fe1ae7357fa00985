"""The laws of penalties, objectives, operators and forms, at points that Hypothesis chooses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse.linalg import aslinearoperator

from sparsecode import operators, penalties
from sparsecode.layers import FAMILIES, factorize
from sparsecode.layers.factorizations import BudgetError, unpack
from sparsecode.objectives import alpha_max, duality_gap, lasso_objective

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)
SIDE = 6
ALL = {name: getattr(penalties, name) for name in penalties.__all__}
PENALTIES = {
    name: kind(np.arange(SIDE) // 2) if name == "GroupL1" else kind() for name, kind in ALL.items()
}
CONVEX = {name: penalty for name, penalty in PENALTIES.items() if penalty.convex}
numbers = st.floats(-100, 100, width=32)
steps = st.floats(2**-10, 8, width=32)


def points(m, n):
    return arrays(np.float64, (m, n), elements=numbers)


def distance(u, v):
    return float(np.linalg.norm(u - v))


def moreau(penalty, u, x, step):
    """The objective of the proximal operator at `x`."""
    return 0.5 * distance(u, x) ** 2 + step * float(np.sum(penalty.value(u)))


@few
@pytest.mark.parametrize("name", PENALTIES)
@given(x=points(SIDE, 2), u=points(SIDE, 2), step=steps)
def test_the_prox_is_the_best_point(name, x, u, step) -> None:
    penalty = PENALTIES[name]
    best = moreau(penalty, penalty.prox(x, step), x, step)
    for other in (u, x, 0 * x):
        assert best <= moreau(penalty, other, x, step) * (1 + 1e-12) + 1e-12


@few
@pytest.mark.parametrize("name", CONVEX)
@given(x=points(SIDE, 2), u=points(SIDE, 2), step=steps)
def test_a_convex_prox_brings_no_two_points_apart(name, x, u, step) -> None:
    p, q = (CONVEX[name].prox(v, step) for v in (x, u))
    # Firmly nonexpansive: <p - q, x - u> is at least the squared distance of p and q.
    assert distance(p, q) ** 2 <= np.sum((p - q) * (x - u)) + 1e-9 * (1 + distance(x, u) ** 2)


@few
@pytest.mark.parametrize("name", CONVEX)
@given(A=points(4, SIDE), y=points(4, 2), x=points(SIDE, 2), alpha=steps)
def test_the_gap_bounds_what_any_other_point_gains(name, A, y, x, alpha) -> None:
    penalty = CONVEX[name]
    gap = float(np.sum(duality_gap(y - A @ x, A.T @ (y - A @ x), x, alpha, penalty)))
    here = float(np.sum(lasso_objective(A, y, x, alpha, penalty)))
    for other in (0 * x, 0.5 * x, penalty.prox(x, 1.0)):
        gain = here - float(np.sum(lasso_objective(A, y, other, alpha, penalty)))
        assert gain <= gap + 1e-9 * abs(here)


FACTORIES = {
    "dct": lambda n, rows: operators.dct(n),
    "subsampled_dct": lambda n, rows: operators.subsampled_dct(n, rows),
    "subsampled_fft": lambda n, rows: operators.subsampled_fft(n, rows),
    "mask": lambda n, rows: operators.mask((n,), rows),
    "random_convolution": lambda n, rows: operators.random_convolution(n, rows, random_state=n),
    "gaussian": lambda n, rows: operators.gaussian(len(rows), n, random_state=n),
    "bernoulli": lambda n, rows: operators.bernoulli(len(rows), n, random_state=n),
    "finite_differences": lambda n, rows: operators.finite_differences(n),
    "blur": lambda n, rows: operators.blur(n, np.arange(1.0, 1 + min(n, 3))),
}


@few
@pytest.mark.parametrize("name", FACTORIES)
@given(data=st.data(), n=st.integers(1, 9))
def test_an_operator_is_linear_and_has_its_adjoint(name, data, n) -> None:
    rows = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
    A = aslinearoperator(FACTORIES[name](n, rows))
    u, v = (data.draw(points(side, 2)) for side in A.shape[::-1])
    w = data.draw(points(n, 2))
    size = 1 + np.abs(u).max() + np.abs(w).max()
    np.testing.assert_allclose(A @ (2 * u - w), 2 * (A @ u) - A @ w, atol=1e-10 * size * n)
    left, right = np.vdot(A @ u, v), np.vdot(u, A.H @ v)
    assert abs(left - right) <= 1e-10 * n * size * (1 + np.abs(v).max())


@few
@pytest.mark.parametrize("method", FAMILIES)
@given(data=st.data(), m=st.integers(1, 12), n=st.integers(1, 12), share=st.floats(0.3, 1))
def test_a_form_keeps_its_laws(method, data, m, n, share) -> None:
    W, X = data.draw(points(m, n)), data.draw(points(3, n))
    try:
        form = factorize(W, method, budget=share)
    except BudgetError:
        return  # nothing of this family is that small
    dense, bits = form.to_dense(), form.bits().total
    packed, meta = form.pack()
    assert dense.shape == (m, n)
    assert 8 * sum(array.nbytes for array in packed.values()) == bits <= share * 64 * m * n
    assert unpack(packed, meta) == form
    tolerance = 1e-10 * n * (1 + np.abs(dense).max()) * (1 + np.abs(X).max())
    np.testing.assert_allclose(form.apply(X), X @ dense.T, atol=tolerance)


@few
@pytest.mark.parametrize("name", CONVEX)
@given(A=points(4, SIDE), y=points(4, 1))
def test_at_alpha_max_zero_is_best(name, A, y) -> None:
    penalty = CONVEX[name]
    alpha = float(np.max(alpha_max(A, y, penalty)))
    if not (np.isfinite(alpha) and alpha > 0):
        return  # a ridge never gives zero, and no data always
    x = np.zeros((SIDE, 1))
    gap = float(np.sum(duality_gap(y, A.T @ y, x, alpha, penalty)))
    assert gap <= 1e-9 * float(np.sum(y * y))
