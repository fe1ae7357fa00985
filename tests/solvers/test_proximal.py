"""What sets ista, fista and its steps apart; the laws that all obey are in test_registry_laws."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet as SklearnElasticNet
from sklearn.linear_model import Lasso

from sparsecode import penalties
from sparsecode.objectives import duality_gap
from sparsecode.operators import subsampled_dct
from sparsecode.solvers import _problem, fista, ista, proximal, reference
from sparsecode.solvers._gradient import least_squares_gradient

STEPS = ["fixed", "backtracking", "greedy"]
every_step = pytest.mark.parametrize("step", STEPS)


def correlated(m, n, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) + 2 * rng.standard_normal((m, 1))
    return A, A[:, :3] @ [3.0, -2.0, 1.0] + rng.standard_normal(m)


@every_step
def test_a_gap_of_1e_minus_10_on_200_by_1000_agrees_with_scikit_learn(step) -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((200, 1000))
    y = A[:, :20] @ rng.standard_normal(20) + 0.1 * rng.standard_normal(200)
    result = fista(A, y, alpha_ratio=0.05, tol=1e-10, step=step)
    assert result.converged
    assert result.dual_gap <= 1e-10 * 0.5 * y @ y
    alpha = 0.05 * np.max(np.abs(A.T @ y))
    theirs = Lasso(alpha / 200, fit_intercept=False, tol=1e-10, max_iter=100_000).fit(A, y).coef_
    np.testing.assert_allclose(result.x, theirs, atol=1e-5)


@pytest.mark.slow
@every_step
def test_a_gap_of_1e_minus_10_on_200_by_1000_agrees_with_cvxpy(step) -> None:
    rng = np.random.default_rng(1)
    A = rng.standard_normal((200, 1000))
    y = A[:, :20] @ rng.standard_normal(20) + 0.1 * rng.standard_normal(200)
    alpha = 0.05 * float(np.max(np.abs(A.T @ y)))
    result, best = fista(A, y, alpha, tol=1e-10, step=step), reference.lasso(A, y, alpha)
    assert result.objective == pytest.approx(best.objective, rel=1e-8)
    np.testing.assert_allclose(result.x, best.x, atol=1e-4)


def test_the_elastic_net_is_scikit_learns() -> None:
    A, y = correlated(40, 15)
    ours = fista(A, y, 5.0, penalty=penalties.ElasticNet(0.7), tol=1e-12).x
    theirs = SklearnElasticNet(5.0 / 40, l1_ratio=0.7, fit_intercept=False, tol=1e-12)
    np.testing.assert_allclose(ours, theirs.fit(A, y).coef_, atol=1e-6)


def test_every_step_of_ista_lowers_the_objective() -> None:
    A, y = correlated(10, 30)
    with pytest.warns(ConvergenceWarning):
        result = ista(A, y, alpha_ratio=0.05, tol=0.0, max_iter=300)
    objectives = result.history["objective"]
    assert len(objectives) > 10
    assert np.all(np.diff(objectives) <= 1e-12 * objectives[0])


def textbook_fista(A, y, alpha, n_iter):
    """Beck and Teboulle (2009), with every product written out and no restart."""
    step = 1 / np.linalg.norm(A, 2) ** 2
    x = z = np.zeros(A.shape[1])
    t = 1.0
    while n_iter > 0:
        v = z - step * A.T @ (A @ z - y)
        x_old, x = x, np.sign(v) * np.maximum(np.abs(v) - step * alpha, 0)
        t_old, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
        z = x + (t_old - 1) / t * (x - x_old)
        n_iter -= 1
    return x


@pytest.mark.parametrize("n_iter", [1, 2, 3, 6])
def test_until_it_restarts_fista_is_the_textbooks(n_iter) -> None:
    A, y = correlated(20, 30)
    with pytest.warns(ConvergenceWarning):
        x = fista(A, y, 2.0, tol=0.0, max_iter=n_iter).x
    np.testing.assert_allclose(x, textbook_fista(A, y, 2.0, n_iter), atol=1e-12)


def test_the_restart_makes_it_linear_on_strongly_convex_problems() -> None:
    A, y = correlated(80, 15)
    result = fista(A, y, 5.0, tol=1e-12)
    best = fista(A, y, 5.0, tol=1e-14).objective
    plain = textbook_fista(A, y, 5.0, 2 * result.n_iter)
    excess = 0.5 * np.sum((y - A @ plain) ** 2) + 5.0 * np.sum(np.abs(plain)) - best
    assert result.objective - best < 0.1 * excess


def test_momentum_pays_on_correlated_columns() -> None:
    A, y = correlated(30, 60)
    fast = fista(A, y, alpha_ratio=0.01, tol=1e-6, max_iter=100_000)
    slow = ista(A, y, alpha_ratio=0.01, tol=1e-6, max_iter=100_000)
    assert fast.objective == pytest.approx(slow.objective, rel=1e-5)
    assert fast.n_iter < 0.5 * slow.n_iter


def test_the_matrix_is_only_touched_through_products() -> None:
    """A subsampled transform of a size whose dense form is never wanted."""
    n, rng = 4096, np.random.default_rng(2)
    A = subsampled_dct(n, np.sort(rng.permutation(n)[:1024]))
    x = np.zeros(n)
    x[rng.permutation(n)[:30]] = rng.choice([-1.0, 1.0], 30) * rng.uniform(1, 2, 30)
    result = fista(A, A @ x, alpha_ratio=1e-3, tol=1e-8)
    assert result.converged
    np.testing.assert_allclose(result.x, x, atol=0.02)


@every_step
def test_products_an_iteration(step) -> None:
    counts = {"forward": 0, "backward": 0}
    A, y = correlated(300, 310)

    class Counted:
        shape, dtype = A.shape, A.dtype

        def matvec(self, x):
            counts["forward"] += 1
            return A @ x

        def rmatvec(self, r):
            counts["backward"] += 1
            return A.T @ r

    def spent(max_iter):
        counts.update(forward=0, backward=0)
        fista(
            Counted(),
            y,
            alpha_ratio=0.5,
            tol=1e-300,
            max_iter=max_iter,
            callback=lambda row: row["n_iter"] == max_iter,
            step=step,
        )
        return counts["forward"], counts["backward"]

    few, many = spent(10), spent(110)
    # One each way an iteration, accepted or not, and one each way for each check.
    assert many[0] - few[0] == many[1] - few[1] == 110


def test_the_arguments_are_left_alone() -> None:
    A, y = correlated(5, 7)
    init = np.ones(7)
    copies = A.copy(), y.copy(), init.copy()
    fista(A, y, alpha_ratio=0.1, init=init)
    fista(A * 1e200, y, alpha_ratio=0.1)
    for now, before in zip((A, y, init), copies, strict=True):
        np.testing.assert_array_equal(now, before)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    m=st.integers(1, 8),
    n=st.integers(1, 8),
    k=st.one_of(st.none(), st.integers(1, 3)),
    kind=st.sampled_from("fdFD"),
    order=st.sampled_from("CF"),
    ratio=st.floats(0.05, 1.0),
    operator=st.booleans(),
    step=st.sampled_from(STEPS),
    seed=st.integers(0, 2**31),
)
def test_any_shape_dtype_and_order(m, n, k, kind, order, ratio, operator, step, seed) -> None:
    rng = np.random.default_rng(seed)
    tail = () if k is None else (k,)
    A, y = rng.standard_normal((m, n)), rng.standard_normal((m, *tail))
    if kind in "FD":
        A, y = A + 1j * rng.standard_normal(A.shape), y + 1j * rng.standard_normal(y.shape)
    A, y = np.array(A, dtype=kind, order=order), np.array(y, dtype=kind, order=order)
    A_or_operator = aslinearoperator(A) if operator else A
    result = fista(A_or_operator, y, alpha_ratio=ratio, tol=1e-4, max_iter=100_000, step=step)
    assert result.converged
    assert result.x.shape == (n, *tail)
    assert result.x.dtype == kind
    # KKT: no correlation with the residual above alpha, whatever the solver believes.
    alpha = ratio * np.max(np.abs(A.conj().T @ y))
    correlation = np.abs(A.conj().T @ (y - A @ result.x))
    slack = np.linalg.norm(A, 2) * np.sqrt(2e-4) * np.linalg.norm(y)
    assert np.all(correlation <= alpha + slack)


def steps_taken(step, A, y, alpha, n_iter, penalty=None, init=None):
    """The iterates, and for each what its proximal operator was given: the point and the step."""
    problem = _problem.PenalizedLeastSquares.from_arguments(A, y, alpha, None, penalty)
    calls = []

    def prox(v, t):
        calls.append((v, np.array(t)))
        return problem.prox(v, t)

    first = proximal._first_step(problem) if step == "backtracking" else problem.step
    start = problem.initial(init)
    gradient = least_squares_gradient(problem.A, problem.y)
    iterates = proximal.STEPS[step](gradient, prox, first, problem.inner, start)
    xs = [start] + [next(iterates).x for _ in range(n_iter)]
    return xs, calls


def test_backtracking_takes_a_step_only_where_the_model_majorizes() -> None:
    """The point of departure follows from what the prox was given, without the algorithm."""
    A, y = correlated(25, 40)
    L, H, b = np.linalg.norm(A, 2) ** 2, A.T @ A, A.T @ y
    xs, calls = steps_taken("backtracking", A, y, 2.0, 150)
    taken = rejected = 0
    for (x_old, x), (v, t) in zip(pairwise(xs), calls, strict=True):
        u = penalties.L1().prox(v, t * 2.0)
        z = np.linalg.solve(np.eye(40) - t * H, v - t * b)
        holds = np.sum((A @ (u - z)) ** 2) * t <= (1 + 1e-6) * np.sum((u - z) ** 2)
        if np.array_equal(x, u):
            assert holds
            taken += 1
        else:
            np.testing.assert_array_equal(x, x_old)
            assert np.sum((A @ (u - z)) ** 2) * t >= (1 - 1e-6) * np.sum((u - z) ** 2)
            assert t > 0.999 / L  # the fixed step is never rejected
            rejected += 1
    assert taken > 5 * rejected > 0


def test_backtracking_moves_by_a_tenth_and_by_a_half() -> None:
    A, y = correlated(25, 40)
    xs, calls = steps_taken("backtracking", A, y, 2.0, 100)
    steps = np.array([float(t) for _, t in calls])
    ratios = steps[1:] / steps[:-1]
    stayed = np.array([np.array_equal(a, b) for a, b in pairwise(xs)])[:-1]
    np.testing.assert_allclose(ratios[stayed], 0.5)
    np.testing.assert_allclose(ratios[~stayed], 1 / 0.9)
    assert np.all(steps > 0.49 / np.linalg.norm(A, 2) ** 2)


def test_the_momentum_of_backtracking_knows_of_the_change_of_its_steps() -> None:
    """``t (t - 1) / L`` is what ``t^2 / L`` was: what the proof of the rate asks for."""
    A, y = correlated(25, 40)
    H, b = A.T @ A, A.T @ y
    xs, calls = steps_taken("backtracking", A, y, 2.0, 40)
    taken = [k for k, (x_old, x) in enumerate(pairwise(xs)) if not np.array_equal(x_old, x)]
    t, checked = 1.0, 0
    for first, second in pairwise(taken):
        (_, step_old), (v, step) = calls[first], calls[second]
        move = xs[first + 1] - xs[first]
        z = np.linalg.solve(np.eye(40) - step * H, v - step * b)
        beta = (z - xs[second]) @ move / (move @ move)
        if t > 1 and beta < 1e-6:  # a restart
            break
        t_new = (1 + np.sqrt(1 + 4 * step_old / step * t * t)) / 2
        assert beta == pytest.approx((t - 1) / t_new, rel=1e-5, abs=1e-8)
        t, checked = t_new, checked + 1
    assert checked > 3


@pytest.mark.parametrize("kind", "fd")
@pytest.mark.parametrize("shape", [(10, 30), (40, 15)])
@every_step
def test_it_stays_at_the_answer_to_the_last_digit(step, shape, kind) -> None:
    """Rounding alone neither rejects steps without end nor lets them grow until they hurt."""
    A, y = (part.astype(kind) for part in correlated(*shape))
    with pytest.warns(ConvergenceWarning):
        result = fista(A, y, alpha_ratio=0.1, tol=0.0, max_iter=4000, step=step)
    assert result.certificate <= 20 * np.finfo(kind).eps


@every_step
def test_only_backtracking_needs_no_norm(step, monkeypatch) -> None:
    def refuse(A):
        raise AssertionError("a norm was computed")

    A, y = correlated(20, 30)
    best = reference.lasso(A, y, 2.0).objective
    monkeypatch.setattr(_problem, "spectral_norm", refuse)
    for form, unit in ((np.asarray, 1.0), (aslinearoperator, 1.0), (aslinearoperator, 1e-200)):
        if step == "backtracking":
            result = fista(form(A * unit), y, 2.0 * unit, tol=1e-10, max_iter=100_000, step=step)
            assert result.objective == pytest.approx(best, rel=1e-8)
        else:
            with pytest.raises(AssertionError, match="a norm was computed"):
                fista(form(A * unit), y, 2.0 * unit, step=step)


@pytest.mark.parametrize("kind", "fdD")
@pytest.mark.parametrize("shape", [(3, 5), (40, 10), (10, 400)])
def test_backtracking_starts_below_the_norm_but_not_far(shape, kind) -> None:
    rng = np.random.default_rng(3)
    A, y = rng.standard_normal(shape).astype(kind), np.ones(shape[0], dtype=kind)
    problem = _problem.PenalizedLeastSquares.from_arguments(A, y, 1.0, None, None)
    L = np.linalg.norm(A, 2) ** 2
    assert 0.3 * L <= 1 / proximal._first_step(problem) <= (1 + 1e-5) * L


def test_each_signal_has_steps_of_its_own_unless_the_penalty_couples_them() -> None:
    A, y = correlated(25, 40)
    Y = np.stack([y, np.roll(y, 3), 0 * y], axis=1)
    for step in ("backtracking", "greedy"):
        calls = steps_taken(step, A, Y, 2.0, 80)[1]
        assert all(t.shape == (3,) for _, t in calls)
        for j in range(3):
            alone = steps_taken(step, A, Y[:, j], 2.0, 80)[1]
            for (_, together), (_, t) in zip(calls, alone, strict=True):
                np.testing.assert_allclose(together[j], t, rtol=1e-12)
        coupled = steps_taken(step, A, Y, 2.0, 80, penalty=penalties.NuclearNorm())[1]
        assert all(t.shape == () for _, t in coupled)


def test_the_greedy_step_shrinks_where_it_moves_further_than_at_first() -> None:
    A, y = correlated(20, 30)
    safe = 1 / np.linalg.norm(A, 2) ** 2
    for init in (None, np.full(30, 1e-3), 10 * np.ones(30)):
        xs, calls = steps_taken("greedy", A, y, 2.0, 200, init=init)
        moves = [np.linalg.norm(x - x_old) for x_old, x in pairwise(xs)]
        steps = np.array([float(t) for _, t in calls])
        assert steps[0] == pytest.approx(1.3 * safe, rel=1e-6)
        assert np.all(steps >= safe * (1 - 1e-6))
        for move, (now, after) in zip(moves[:-1], pairwise(steps), strict=True):
            expected = max(0.96 * now, safe) if move > moves[0] else now
            assert after == pytest.approx(expected, rel=1e-6)


def test_a_greedy_step_that_runs_away_ends_at_the_fixed_one() -> None:
    steps = []

    def run_away(v, t):
        steps.append(float(t))
        return 2 * v + 1

    iterates = proximal.STEPS["greedy"](np.zeros_like, run_away, 1.0, np.vdot, np.zeros(3))
    for _ in range(20):
        next(iterates)
    np.testing.assert_allclose(steps, np.maximum(1.3 * 0.96 ** np.maximum(np.arange(20) - 1, 0), 1))


@pytest.mark.parametrize("ratio", [0.1, 0.01])
def test_longer_steps_save_iterations_on_gaussian_matrices(ratio) -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((200, 1000))
    y = A[:, :20] @ rng.standard_normal(20) + 0.1 * rng.standard_normal(200)
    spent = {step: fista(A, y, alpha_ratio=ratio, tol=1e-10, step=step).n_iter for step in STEPS}
    assert spent["backtracking"] < spent["greedy"] < spent["fixed"]


@every_step
def test_the_gram_form_has_the_iterates_of_the_products(step) -> None:
    """An operator has none: to the same gap in as many iterations, over a wide range of shapes."""
    for shape, n_signals in (((80, 15), None), ((60, 50), 4), ((400, 5), 300)):
        A, y = correlated(*shape)
        if n_signals:
            y = y[:, None] + np.random.default_rng(1).standard_normal((shape[0], n_signals))
        gram = fista(A, y, alpha_ratio=0.02, tol=1e-11, max_iter=50_000, step=step)
        products = fista(
            aslinearoperator(A), y, alpha_ratio=0.02, tol=1e-11, max_iter=50_000, step=step
        )
        assert abs(gram.n_iter - products.n_iter) <= 10
        np.testing.assert_allclose(gram.x, products.x, atol=1e-4)


@pytest.mark.parametrize("kind", "dD")
@every_step
def test_the_certificate_of_the_gram_form_is_that_of_the_matrix(step, kind) -> None:
    A, y = (part.astype(kind) for part in correlated(80, 15))
    result = fista(A, y, 2.0, tol=1e-6, step=step)
    residual = y - A @ result.x
    gap = duality_gap(residual, A.conj().T @ residual, result.x, 2.0)
    assert result.dual_gap == pytest.approx(gap, rel=1e-12)


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(ValueError, match="step has to be one of 'backtracking', 'fixed', 'greedy'"):
        fista(*correlated(5, 7), 1.0, step="newton")
