"""The same problem, by ours and by a peer: neither answer is better than the other by its measure.

A row is a problem, ours, a peer and what both minimise. The peers of the extra ``bench`` are tried
where it is installed.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import scipy.linalg

from sparsecode import solvers
from sparsecode.penalties import L21, ElasticNet
from sparsecode.solvers import reference

M, N, K, ALPHA = 20, 30, 4, 0.5


def data(seed):
    """Unit atoms and three signals of a few of them, with noise."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((M, N))
    A /= np.linalg.norm(A, axis=0)
    x = np.zeros((N, 3))
    x[rng.permutation(N)[:K]] = 1 + rng.random((K, 3))
    return A, A @ x + 0.05 * rng.standard_normal((M, 3))


def each(solve: Callable) -> Callable:
    """Of one signal after another."""
    return lambda A, Y: np.stack([solve(A, y) for y in Y.T], axis=1)


def sklearn_model(name, **options):
    import sklearn.linear_model

    return lambda A, Y: (
        getattr(sklearn.linear_model, name)(fit_intercept=False, **options).fit(A, Y).coef_.T
    )


def lasso(A, Y, x):
    return 0.5 * np.sum((Y - A @ x) ** 2) + ALPHA * np.abs(x).sum()


def elastic_net(A, Y, x):
    return 0.5 * np.sum((Y - A @ x) ** 2) + ALPHA * np.sum(0.6 * np.abs(x) + 0.2 * x * x)


def multitask(A, Y, x):
    return 0.5 * np.sum((Y - A @ x) ** 2) + ALPHA * np.linalg.norm(x, axis=1).sum()


def l1(A, Y, x):
    return np.abs(x).sum()


def residual(A, Y, x):
    return np.sum((Y - A @ x) ** 2)


def coded(algorithm, **options):
    return lambda A, Y: (
        solvers.sparse_encode(Y.T, A.T, algorithm=algorithm, sparse_output=False, **options).T
    )


class Row(NamedTuple):
    """A problem, twice; `slow` where the peer is of the extra ``bench``."""

    name: str
    ours: Callable
    peer: Callable
    measure: Callable
    needs: str | None = None


def penalized(solve, **options):
    return lambda A, Y: solve(A, Y, ALPHA, **options).x


def plain(solve, *args, **options):
    return each(lambda A, y: solve(A, y, *args, **options).x)


def celer(A, y):
    from celer import Lasso

    return Lasso(ALPHA / M, fit_intercept=False, tol=1e-10).fit(A, y).coef_


def skglm(A, y):
    from skglm import Lasso

    return Lasso(ALPHA / M, fit_intercept=False, tol=1e-10).fit(A, y).coef_


def spams_lasso(A, Y):
    import spams

    Y, A = np.asfortranarray(Y), np.asfortranarray(A)
    return spams.lasso(Y, D=A, lambda1=ALPHA, mode=2, numThreads=1).toarray()


def spams_omp(A, Y):
    """What is called `omp` there takes the atom that lowers the residual most."""
    import spams

    return spams.omp(np.asfortranarray(Y), np.asfortranarray(A), L=K, numThreads=1).toarray()


def spgl1(function, *args):
    def solve(A, y):
        import spgl1

        options = {"opt_tol": 1e-7, "bp_tol": 1e-7, "iter_lim": 5000, "verbosity": 0}
        return getattr(spgl1, function)(A, y, *args, **options)[0]

    return each(solve)


exact = {"tol": 1e-10, "max_iter": 100_000}
SKLEARN = {"tol": 1e-12, "max_iter": 100_000}
LASSO_CVXPY = each(lambda A, y: reference.lasso(A, y, ALPHA).x)
LASSO_SKLEARN = sklearn_model("Lasso", alpha=ALPHA / M, **SKLEARN)
NET = {"alpha": ALPHA / M, "l1_ratio": 0.6}
ROWS = [
    *(
        Row(f"{solve.__name__}, {peer}", plain(solve, ALPHA, **exact), other, lasso)
        for solve in (
            *(solvers.ista, solvers.fista, solvers.admm),
            *(solvers.coordinate_descent, solvers.semismooth_newton),
        )
        for peer, other in (("cvxpy", LASSO_CVXPY), ("scikit-learn", LASSO_SKLEARN))
    ),
    Row("encode, lasso", coded("lasso", alpha=ALPHA, tol=1e-10), LASSO_SKLEARN, lasso),
    Row("encode, lars", coded("lars", alpha=ALPHA), LASSO_SKLEARN, lasso),
    Row(
        "elastic net",
        penalized(solvers.fista, penalty=ElasticNet(0.6), **exact),
        sklearn_model("ElasticNet", **NET, **SKLEARN),
        elastic_net,
    ),
    Row(
        "multitask",
        penalized(solvers.fista, penalty=L21(), **exact),
        sklearn_model("MultiTaskLasso", alpha=ALPHA / M, **SKLEARN),
        multitask,
    ),
    Row(
        "omp",
        plain(solvers.omp, n_nonzero_coefs=K),
        sklearn_model("OrthogonalMatchingPursuit", n_nonzero_coefs=K),
        residual,
    ),
    Row(
        "encode, omp",
        coded("omp", n_nonzero_coefs=K),
        sklearn_model("OrthogonalMatchingPursuit", n_nonzero_coefs=K),
        residual,
    ),
    Row(
        "bpdn",
        plain(solvers.bpdn, 0.3, tol=1e-8),
        each(lambda A, y: reference.bpdn(A, y, 0.3)),
        l1,
    ),
    Row(
        "constrained lasso",
        plain(solvers.lasso_constrained, 2.0, tol=1e-8),
        each(lambda A, y: reference.lasso_constrained(A, y, 2.0)),
        residual,
    ),
    Row(
        "basis pursuit",
        plain(solvers.basis_pursuit, tol=1e-8),
        each(lambda A, y: linear_program(A, y)),
        l1,
    ),
    Row("celer", plain(solvers.coordinate_descent, ALPHA, **exact), each(celer), lasso, "celer"),
    Row("skglm", plain(solvers.coordinate_descent, ALPHA, **exact), each(skglm), lasso, "skglm"),
    Row("spams, lasso", coded("lasso", alpha=ALPHA, tol=1e-10), spams_lasso, lasso, "spams"),
    Row("spams, ols", coded("ols", n_nonzero_coefs=K), spams_omp, residual, "spams"),
    Row("spgl1, noise", plain(solvers.bpdn, 0.3, tol=1e-8), spgl1("spg_bpdn", 0.3), l1, "spgl1"),
]


def linear_program(A, y):
    """Basis pursuit by SciPy's HiGHS."""
    from scipy.optimize import linprog

    found = linprog(np.ones(2 * N), A_eq=np.hstack([A, -A]), b_eq=y).x
    return found[:N] - found[N:]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "row",
    [pytest.param(r, id=r.name, marks=pytest.mark.slow if r.needs else ()) for r in ROWS],
)
def test_a_peer_finds_the_same(row, seed) -> None:
    A, Y = data(seed)
    if row.needs:
        pytest.importorskip(row.needs)
    ours = row.ours(A, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peers say of themselves
        theirs = row.peer(A, Y)
    assert row.measure(A, Y, ours) == pytest.approx(row.measure(A, Y, theirs), rel=1e-5)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_low_rank_parts_are_those_of_scipy_and_cvxpy(seed) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((15, 4)) @ rng.standard_normal((4, 12))
    X[rng.random(X.shape) < 0.1] += 5
    u, s, vt = scipy.linalg.svd(X, full_matrices=False)
    found = solvers.truncated_svd(X, 3, tol=1e-12)
    np.testing.assert_allclose(
        (found.U * found.singular_values) @ found.Vt, (u[:, :3] * s[:3]) @ vt[:3], atol=1e-6
    )
    split = solvers.principal_component_pursuit(X, tol=1e-9, max_iter=5000)
    other = reference.principal_component_pursuit(X)
    # Many splits are as good to the digits of cvxpy's solver: the objective is what both minimise.
    assert split.objective == pytest.approx(other.objective, rel=1e-5)
    np.testing.assert_allclose(split.low_rank + split.sparse, X, atol=1e-8 * np.linalg.norm(X))
