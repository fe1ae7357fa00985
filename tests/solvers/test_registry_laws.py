"""The laws of every iterative solver of penalised least squares, with every convex penalty.

A new solver or penalty is tested by being listed here. cvxpy is the independent answer.
"""

import functools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator
from sklearn.exceptions import ConvergenceWarning

from sparsecode.objectives import lasso_objective
from sparsecode.penalties import L0, L1, L21, MCP, SCAD, ElasticNet, GroupL1, LHalf, NuclearNorm
from sparsecode.solvers import Status, fista, ista, reference
from sparsecode.solvers.splitting import admm

M, N, K = 8, 12, 3
SOLVERS = {
    "ista": ista,
    "fista": fista,
    "fista, backtracking": functools.partial(fista, step="backtracking"),
    "fista, greedy": functools.partial(fista, step="greedy"),
    "admm": admm,
}
NEEDS_ENTRIES = {admm}  # of the matrix: they take no operators
NONCONVEX = {"l0": L0(), "l1/2": LHalf(), "scad": SCAD(threshold=0.5), "mcp": MCP(threshold=0.5)}
PENALTIES = {
    "l1": L1(),
    "weighted l1": L1(weights=np.linspace(0.5, 2, N)),
    "positive l1": L1(positive=True),
    "weighted positive l1": L1(weights=np.linspace(0.5, 2, N), positive=True),
    "elastic net": ElasticNet(0.6),
    "ridge": ElasticNet(0.0),
    "group l1": GroupL1(np.arange(N) // 3),
    "nuclear norm": NuclearNorm(),
    "l2,1": L21(),
    "weighted l2,1": L21(weights=np.linspace(0.5, 2, N)),
}
REAL_ONLY = {"positive l1", "weighted positive l1"}
ALPHA = 0.7

every_solver = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
every_penalty = pytest.mark.parametrize("name", PENALTIES)


@functools.cache
def data(kind="d"):
    rng = np.random.default_rng(0)
    A, y = rng.standard_normal((M, N)), rng.standard_normal((M, K))
    if kind in "FD":
        A = A + 1j * rng.standard_normal((M, N))
        y = y + 1j * rng.standard_normal((M, K))
    A, y = A.astype(kind), y.astype(kind)
    A.flags.writeable = y.flags.writeable = False
    return A, y


@functools.cache
def exact(name, kind="d"):
    return reference.lasso(*data(kind), ALPHA, penalty=PENALTIES[name])


def objective(x, name, kind="d"):
    A, y = data(kind)
    return float(np.sum(lasso_objective(A, y, x, ALPHA, PENALTIES[name])))


@functools.cache
def as_given(solve, name):
    """The answer that those of scaled data are compared with."""
    return solve(*data(), alpha_ratio=0.1, penalty=PENALTIES[name], tol=1e-9, max_iter=100_000).x


@functools.cache
def as_given_where_not_convex(solve, name):
    return solve(*data(), 0.05, penalty=NONCONVEX[name], tol=1e-8, max_iter=100_000).x


def at_zero(kind="d"):
    return 0.5 * np.sum(np.abs(data(kind)[1]) ** 2, axis=0)


@every_solver
@every_penalty
@pytest.mark.parametrize("kind", ["d", "D"])
def test_it_finds_the_optimum_and_certifies_it(solve, name, kind) -> None:
    if kind == "D" and name in REAL_ONLY:
        return
    result = solve(*data(kind), ALPHA, penalty=PENALTIES[name], tol=1e-10, max_iter=200_000)
    best = exact(name, kind)
    assert result.status is Status.CONVERGED
    assert result.x.dtype == kind
    assert result.certificate <= 1e-10
    assert result.dual_gap <= 1e-10 * at_zero(kind).sum()
    assert result.objective == pytest.approx(objective(result.x, name, kind), rel=1e-12)
    # The true suboptimality, as far as cvxpy's own gap allows to tell.
    assert result.objective - best.objective <= result.dual_gap + 1e-12 * best.objective
    assert result.objective == pytest.approx(best.objective, rel=1e-8)
    np.testing.assert_allclose(result.x, best.x, atol=1e-4)


@every_solver
@every_penalty
def test_the_gap_is_a_bound_long_before_the_end(solve, name) -> None:
    best = exact(name)
    for max_iter in (1, 2, 5, 20):
        with pytest.warns(ConvergenceWarning, match=r"its certificate is \S+ after max_iter"):
            result = solve(*data(), ALPHA, penalty=PENALTIES[name], tol=0.0, max_iter=max_iter)
        assert result.status is Status.MAX_ITER
        assert not result.converged
        assert result.n_iter == max_iter
        assert result.dual_gap >= result.objective - best.objective - best.dual_gap - 1e-12


@every_solver
@every_penalty
def test_single_precision_stays_single_and_close(solve, name) -> None:
    for kind in "fF":
        if kind == "F" and name in REAL_ONLY:
            continue
        result = solve(*data(kind), ALPHA, penalty=PENALTIES[name], tol=1e-5, max_iter=100_000)
        assert result.x.dtype == kind
        double = {"f": "d", "F": "D"}[kind]
        best = exact(name, double).objective
        excess = objective(result.x.astype(double), name, double) - best
        assert excess <= 1e-5 * at_zero(kind).sum() + 1e-6 * best


class Duck:
    def __init__(self, A):
        self.A, self.shape, self.dtype = A, A.shape, A.dtype

    def matvec(self, x):
        return self.A @ x

    def rmatvec(self, y):
        return self.A.conj().T @ y


FORMS = {
    "operator": aslinearoperator,
    "csr": sp.csr_array,
    "csc matrix": sp.csc_matrix,
    "duck": Duck,
    "fortran": np.asfortranarray,
    "strided": lambda A: np.repeat(np.repeat(A, 2, 0), 3, 1)[::2, ::3],
    "list": lambda A: A.tolist(),
}
OPERATORS = {"operator", "duck"}


@every_solver
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["f", "d", "D"])
def test_the_form_of_the_matrix_does_not_matter(solve, form, kind) -> None:
    if form in OPERATORS and solve in NEEDS_ENTRIES:
        return
    A, y = data(kind)
    plain = solve(A, y, ALPHA, tol=0.05)
    other = solve(FORMS[form](A), y, ALPHA, tol=0.05)
    if form != "list":
        assert other.x.dtype == plain.x.dtype
    assert other.n_iter == plain.n_iter
    np.testing.assert_allclose(other.x, plain.x, atol=1e-4 if kind == "f" else 1e-11)


@every_solver
@pytest.mark.parametrize(
    ("a", "b"), [(1e-150, 1.0), (1e150, 1.0), (1.0, 1e-200), (1.0, 1e200), (1e-150, 1e-150),
                 (1e150, 1e150), (1e-200, 1e-100), (1e200, 1e100)],
)  # fmt: skip
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("l1", "fortran"),
        ("l1", "operator"),
        ("l1", "csr"),
        ("positive l1", "fortran"),
        ("group l1", "fortran"),
        ("nuclear norm", "fortran"),
    ],
)
def test_scaling_the_data_scales_the_answer(solve, name, a, b, form) -> None:
    if form in OPERATORS and solve in NEEDS_ENTRIES:
        return
    A, y = data()
    plain, scaled_A = as_given(solve, name), FORMS[form](A * a)
    scaled = solve(
        scaled_A, y * b, alpha_ratio=0.1, penalty=PENALTIES[name], tol=1e-9, max_iter=100_000
    )
    assert scaled.converged
    np.testing.assert_allclose(scaled.x * a / b, plain, atol=1e-7 * np.abs(plain).max())


@every_solver
@pytest.mark.parametrize("exponent", [-600, -40, 40, 600])
def test_a_power_of_two_changes_no_bit(solve, exponent) -> None:
    A, y = data()
    plain = solve(A, y, ALPHA, tol=1e-8, max_iter=100_000)
    scaled = solve(A, np.ldexp(y, exponent), np.ldexp(ALPHA, exponent), tol=1e-8, max_iter=100_000)
    np.testing.assert_array_equal(scaled.x, np.ldexp(plain.x, exponent))


@every_solver
@every_penalty
def test_a_zero_signal_has_a_zero_code_at_once(solve, name) -> None:
    A, y = data()
    for init in (None, np.ones((N, K))):
        result = solve(A, 0 * y, ALPHA, penalty=PENALTIES[name], init=init)
        assert result.converged
        assert not result.x.any()
        assert result.objective == result.dual_gap == result.certificate == 0
    assert not solve(A, 0 * y, alpha_ratio=0.5).x.any()


@every_solver
@every_penalty
def test_a_zero_matrix_explains_nothing(solve, name) -> None:
    y = data()[1]
    forms = [np.zeros((M, N)), sp.csr_array((M, N))]
    if solve not in NEEDS_ENTRIES:
        forms.append(aslinearoperator(np.zeros((M, N))))
    for A in forms:
        result = solve(A, y, ALPHA, penalty=PENALTIES[name])
        assert result.converged
        assert not result.x.any()
        assert result.objective == pytest.approx(at_zero().sum(), rel=1e-14)


@every_solver
@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_one_row_or_one_column(solve, shape) -> None:
    rng = np.random.default_rng(1)
    A, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    result = solve(A, y, alpha_ratio=0.3, tol=1e-10, max_iter=100_000)
    alpha = 0.3 * np.max(np.abs(A.T @ y))
    assert result.x.shape == (shape[1],)
    assert result.objective == pytest.approx(reference.lasso(A, y, alpha).objective, rel=1e-8)


@every_solver
def test_each_signal_is_a_problem_of_its_own(solve) -> None:
    A, y = data()
    together = solve(A, y, ALPHA, tol=1e-11, max_iter=200_000).x
    for j in range(K):
        alone = solve(A, y[:, j], ALPHA, tol=1e-11, max_iter=200_000).x
        assert alone.shape == (N,)
        np.testing.assert_allclose(together[:, j], alone, atol=1e-5)


@every_solver
@every_penalty
def test_alpha_ratio_is_a_fraction_of_the_alpha_that_leaves_nothing(solve, name) -> None:
    A, y = data()
    if name == "ridge":
        with pytest.raises(ValueError, match="alpha_ratio needs an l1 part"):
            solve(A, y, alpha_ratio=0.5, penalty=PENALTIES[name])
        return
    nothing = solve(A, y, alpha_ratio=1.0, penalty=PENALTIES[name]).x
    np.testing.assert_allclose(nothing, 0, atol=1e-14)  # on the edge rounding decides
    assert solve(A, y, alpha_ratio=0.95, penalty=PENALTIES[name], tol=1e-9).x.any()


@every_solver
@every_penalty
def test_started_at_the_answer_it_stays_there(solve, name) -> None:
    options = {"penalty": PENALTIES[name], "max_iter": 200_000}
    answer = solve(*data(), ALPHA, tol=1e-10, **options)
    again = solve(*data(), ALPHA, tol=1e-8, init=answer.x, **options)
    assert again.n_iter == 10  # the first check
    assert again.objective <= answer.objective * (1 + 1e-12)


@every_solver
def test_the_start_is_taken_in_the_callers_units(solve) -> None:
    A, y = data()
    answer = solve(A, y, alpha_ratio=0.1, tol=1e-10, max_iter=200_000)
    for a, b in ((1e-150, 1.0), (1.0, 1e-200), (1e150, 1e150)):
        again = solve(A * a, y * b, alpha_ratio=0.1, tol=1e-8, init=answer.x * b / a)
        assert again.n_iter == 10


@every_solver
def test_the_callback_sees_the_objective_fall_and_may_stop(solve) -> None:
    rows = []
    result = solve(*data(), 0.01, tol=0.0, callback=lambda row: rows.append(row) or len(rows) == 3)
    assert result.status is Status.CALLBACK
    assert result.n_iter == 30
    assert [row["n_iter"] for row in rows] == [10, 20, 30]
    assert rows[-1]["objective"] < rows[0]["objective"]
    np.testing.assert_array_equal(result.history["dual_gap"], [row["dual_gap"] for row in rows])


@every_solver
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"A": np.full((M, N), np.nan)}, ValueError, "A contains NaN"),
        ({"y": np.full(M, np.inf)}, ValueError, "y contains infinity"),
        ({"A": np.ones(M)}, ValueError, "A has to be 2-D"),
        ({"y": np.ones((M, 1, 1))}, ValueError, "y has to be 1-D or 2-D"),
        ({"y": np.ones(M + 1)}, ValueError, f"A has {M} rows but y has {M + 1}"),
        ({"A": np.zeros((0, 3)), "y": np.zeros(0)}, ValueError, "A is empty"),
        ({"A": "matrix"}, ValueError, "A has to be numeric"),
        ({"alpha": 0.0}, ValueError, "alpha has to be a finite number in"),
        ({"alpha": -1.0}, ValueError, "alpha"),
        ({"alpha": np.nan}, ValueError, "alpha"),
        ({"alpha": "0.1"}, TypeError, "alpha has to be a real number, got '0.1'"),
        ({"alpha": None}, ValueError, "give exactly one of alpha, alpha_ratio"),
        ({"alpha_ratio": 0.1}, ValueError, "give exactly one of alpha, alpha_ratio"),
        ({"alpha": None, "alpha_ratio": 1.5}, ValueError, "alpha_ratio"),
        ({"alpha": None, "alpha_ratio": 0.1, "penalty": L0()}, ValueError, "needs a convex"),
        ({"tol": -1e-3}, ValueError, "tol"),
        ({"tol": None}, TypeError, "tol"),
        ({"max_iter": 0}, ValueError, "max_iter has to be at least 1, got 0"),
        ({"max_iter": 10.0}, TypeError, "max_iter"),
        ({"init": np.zeros(3)}, ValueError, rf"init has shape \(3,\); .* shape \({N},\)"),
        ({"init": np.full(N, np.nan)}, ValueError, "init contains NaN"),
        ({"init": np.ones(N) * 1j}, ValueError, "init is complex"),
        ({"penalty": L1(weights=np.ones(3))}, ValueError, f"weights has 3 entries for {N}"),
        ({"penalty": GroupL1([0, 1])}, ValueError, f"groups has 2 labels for {N}"),
        ({"penalty": NuclearNorm()}, ValueError, "nuclear norm needs a 2-D array"),
        ({"A": np.ones((M, N)) * 1j, "penalty": L1(positive=True)}, ValueError, "positive=True"),
        ({"alpha": 1e-320}, ValueError, "alpha=1e-320 cannot be told from 0"),
        ({"alpha": None, "alpha_ratio": 5e-324}, ValueError, "alpha_ratio=5e-324 cannot be told"),
        ({"penalty": "l1"}, TypeError, "penalty has to be one of sparsecode.penalties"),
        ({"penalty": L1}, TypeError, "penalty has to be one of sparsecode.penalties"),
        ({"callback": 3}, TypeError, "callback has to be callable, or None, got 3"),
        ({"y": [[1.0, 2.0], [3.0]]}, ValueError, "y is no array of numbers"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_error(solve, change, error, message) -> None:
    A, y = data()
    arguments = {"A": A, "y": y[:, 0], "alpha": ALPHA, **change}
    with pytest.raises(error, match=message):
        solve(arguments.pop("A"), arguments.pop("y"), arguments.pop("alpha"), **arguments)


@every_solver
def test_an_unknown_argument_is_refused(solve) -> None:
    with pytest.raises(TypeError, match="aplha"):
        solve(*data(), aplha=1.0)


@every_solver
@pytest.mark.parametrize("name", NONCONVEX)
def test_a_stationary_point_of_a_penalty_that_is_not_convex(solve, name) -> None:
    A, y = data()
    penalty = NONCONVEX[name]
    result = solve(A, y, 0.05, penalty=penalty, tol=1e-8, max_iter=100_000)
    assert result.converged
    assert np.isnan(result.dual_gap)
    assert result.objective < at_zero().sum()
    step = 1 / np.linalg.norm(A, 2) ** 2
    again = penalty.prox(result.x + step * A.T @ (y - A @ result.x), step * 0.05)
    np.testing.assert_allclose(again, result.x, atol=1e-6)


@every_solver
@pytest.mark.parametrize("name", NONCONVEX)
@pytest.mark.parametrize(("a", "b"), [(2.0**-500, 1.0), (1.0, 2.0**400), (2.0**400, 2.0**300)])
def test_a_penalty_that_is_not_convex_is_taken_in_the_callers_units(solve, name, a, b) -> None:
    A, y = data()
    unit, penalty = b / a, NONCONVEX[name]
    if isinstance(penalty, SCAD | MCP):
        scaled = type(penalty)(threshold=penalty.threshold * unit)
    else:
        scaled = penalty
    degree = {"l0": 0.0, "l1/2": 0.5}.get(name, 1.0)
    alpha = 0.05 * b * (b / unit**degree)
    other = solve(A * a, y * b, alpha, penalty=scaled, tol=1e-8, max_iter=100_000)
    np.testing.assert_allclose(other.x / unit, as_given_where_not_convex(solve, name), atol=1e-6)


@every_solver
def test_half_precision_comes_back_as_it_came(solve) -> None:
    A, y = data()
    result = solve(A.astype(np.float16), y.astype(np.float16), ALPHA, tol=1e-4)
    assert result.x.dtype == np.float16
    np.testing.assert_allclose(result.x, exact("l1").x, atol=0.02)
