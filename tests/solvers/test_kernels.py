"""Every kernel on tiny inputs; also run uncompiled and with checked bounds.

NUMBA_DISABLE_JIT=1 pytest -m kernels
NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=... pytest -m kernels
"""

import inspect
import os
import pkgutil
from itertools import combinations

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

from sparsecode.objectives import duality_gap
from sparsecode.penalties import L1
from sparsecode.solvers import _kernels, ksvd, sparse_encode
from sparsecode.solvers._kernels import compiled
from sparsecode.solvers._kernels.clusters import split_line
from sparsecode.solvers._kernels.coordinate import PAD, SMALL, lasso_tile, sweep_gram
from sparsecode.solvers._kernels.dictionary import (
    code_moments,
    descend_block,
    row_energies,
    sweep_atoms,
    sweep_observed_atoms,
)
from sparsecode.solvers._kernels.greedy import pursuit_tile
from sparsecode.solvers._kernels.grids import CHUNK, round_columns, round_groups
from sparsecode.solvers._kernels.homotopy import lars_tile
from sparsecode.solvers._kernels.positive import positive_pursuit_tile
from sparsecode.solvers._kernels.split import (
    huber_step,
    huber_sums,
    multiplier_step,
    replace_outliers,
)
from sparsecode.solvers._kernels.subspace import huber_rows

pytestmark = pytest.mark.kernels
TESTED = {
    *("lars_tile", "lasso_tile", "sweep_atoms", "sweep_gram", "pursuit_tile"),
    *("huber_rows", "huber_step", "huber_sums", "multiplier_step", "replace_outliers"),
    *("positive_pursuit_tile", "split_line", "sweep_observed_atoms", "descend_block"),
    *("round_columns", "round_groups"),
    *("code_moments", "row_energies"),
}
KINDS = pytest.mark.parametrize("kind", ["f", "d"])


def pursuit(X, D, limit, *, target=0.0, ols=False, holes=False):
    n, K, nothing = len(X), len(D), np.empty((0, len(D)), X.dtype)
    squares, gram, DT = np.sum(D * D, axis=1)[None], D @ D.T, nothing
    if holes:
        squares, gram, DT = ~np.isnan(X) @ (D * D).T, nothing, np.ascontiguousarray(D.T)
    indices, values = np.full(n * limit, -1), np.zeros(n * limit, X.dtype)
    counts, energies = np.zeros(n, np.int64), np.zeros(n)
    total = pursuit_tile(
        np.nan_to_num(X) @ D.T, squares, gram, X, D, DT, np.full(n, float(target)), ols,
        np.full(n, limit), indices, values, counts, energies,
        np.arange(K, dtype=np.int64 if X.dtype == np.float64 else np.int32),
    )  # fmt: skip
    assert total == counts.sum()
    indptr = np.concatenate([[0], np.cumsum(counts)])
    codes = sp.csr_array((values[:total], indices[:total], indptr), shape=(n, K))
    assert codes.has_canonical_format  # ascending in each row
    return codes.toarray(), counts, energies


def lasso(X, D, alpha, *, positive=False, tol=1e-6, max_sweeps=2000, start=0):
    n, K = len(X), len(D)
    codes, certificates = np.full((n, K), start, X.dtype), np.zeros(n)
    lasso_tile(
        X @ D.T, D @ D.T, np.sum(np.square(X, dtype="d"), axis=1), np.full(n, alpha, X.dtype),
        positive, tol, max_sweeps, codes, certificates, np.empty(K, X.dtype),
        np.empty((3, K), np.int64), np.empty((5, K), X.dtype),
        *np.empty((2, max(K, SMALL) * (max(K, SMALL) + PAD)), X.dtype),
    )  # fmt: skip
    return codes, certificates


def paths(X, D, alpha=0.0, *, target=0.0, limit=99, positive=False, max_steps=500, patient=True):
    n, K, size = len(X), len(D), min(limit, *D.shape)
    codes, certificates, energies = np.zeros((n, K)), np.zeros(n), np.zeros(n)
    score = np.empty(K)
    lars_tile(
        X, D, D @ D.T, X @ D.T, np.full(n, alpha), np.full(n, target), limit, positive, max_steps,
        patient, codes, certificates, energies, np.empty(size, np.int64), *np.empty((4, size)),
        np.empty((size, size)), *np.empty((4, K)), score, score.view(np.int64),
        np.empty(K, np.int64),
    )  # fmt: skip
    return codes, certificates, energies


def test_every_kernel_is_tested() -> None:
    found = set()
    for module in pkgutil.iter_modules(_kernels.__path__):
        source = __import__(f"{_kernels.__name__}.{module.name}", fromlist=["_"])
        found |= {
            name
            for name, value in vars(source).items()
            if hasattr(value, "py_func") or inspect.isfunction(value)
        }
    decorators = {"compiled", "compiled_sums", "inlined"}
    assert {name for name in found if name[0] != "_"} - decorators == TESTED


@KINDS
@pytest.mark.parametrize("ols", [False, True])
def test_a_pursuit_takes_the_best_atoms_of_an_orthogonal_basis(kind, ols) -> None:
    D = np.diag([2.0, 1.0, 3.0, 0.5]).astype(kind)
    X = np.array([[4.0, -3.0, 1.0, 0.1], [0.0, 0.0, 0.0, -1.0], [0, 0, 0, 0]], dtype=kind)
    codes, counts, energies = pursuit(X, D, 2, ols=ols)
    np.testing.assert_allclose(codes, [[2, -3, 0, 0], [0, 0, 0, -2], [0, 0, 0, 0]], atol=1e-6)
    np.testing.assert_array_equal(counts, [2, 1, 0])
    np.testing.assert_allclose(energies, [1.01, 0, 0], rtol=1e-5, atol=1e-12)


@KINDS
def test_a_pursuit_stops_at_its_target(kind) -> None:
    X = np.array([[3.0, 2.0, 1.0]], dtype=kind)
    for target, expected in ((20.0, 0), (5.5, 1), (1.5, 2), (0.5, 3)):
        _, counts, energies = pursuit(X, np.eye(3, dtype=kind), 3, target=target)
        assert counts[0] == expected
        assert energies[0] <= target


@KINDS
@pytest.mark.parametrize("ols", [False, True])
def test_a_pursuit_past_zero_and_duplicate_atoms(kind, ols) -> None:
    D = np.array([[0, 0, 0], [1, 1, 0], [1, 1, 0], [-2, -2, 0], [0, 1, 1]], dtype=kind)
    X = np.array([[1.0, 2.0, 1.0], [1.0, 0.0, 5.0]], dtype=kind)
    codes, counts, _ = pursuit(X, D, 3, ols=ols)
    np.testing.assert_array_equal(counts, [2, 2])
    best = X @ np.linalg.pinv(D[[1, 4]].astype("d")) @ D[[1, 4]]
    np.testing.assert_allclose(codes @ D, best, atol=1e-5)


@KINDS
def test_ols_takes_the_pair_that_omp_misses(kind) -> None:
    # After the first atom, the second is all but gone yet explains the rest; OMP prefers the third.
    rng = np.random.default_rng(0)
    for _ in range(200):
        D, x = rng.standard_normal((5, 4)).astype(kind), rng.standard_normal((1, 4)).astype(kind)
        ols, omp = pursuit(x, D, 2, ols=True), pursuit(x, D, 2, ols=False)
        first = pursuit(x, D, 1, ols=True)[0]
        np.testing.assert_array_equal(first, pursuit(x, D, 1)[0])
        j = np.flatnonzero(first[0])[0]
        others = [k for k in range(5) if k != j]
        errors = [
            np.sum((x - x @ np.linalg.pinv(D[[j, k]].astype("d")) @ D[[j, k]]) ** 2) for k in others
        ]
        assert ols[2][0] == pytest.approx(min(errors), rel=1e-3, abs=1e-4)
        assert omp[2][0] >= ols[2][0] - 1e-4


@KINDS
@pytest.mark.parametrize("ols", [False, True])
def test_a_pursuit_with_holes_is_one_on_the_observed_features(kind, ols) -> None:
    rng = np.random.default_rng(3)
    X, D = rng.standard_normal((6, 7)).astype(kind), rng.standard_normal((9, 7)).astype(kind)
    D[4, :5] = 0  # the last signal sees nothing of it
    X[rng.random(X.shape) < 0.3] = np.nan
    X[4], X[5, 5:] = np.nan, np.nan
    codes, counts, energies = pursuit(X, D, 3, target=1e-3, ols=ols, holes=True)
    for x, code, count, energy in zip(X, codes, counts, energies, strict=True):
        seen = ~np.isnan(x)
        alone = pursuit(x[None, seen], np.ascontiguousarray(D[:, seen]), 3, target=1e-3, ols=ols)
        np.testing.assert_allclose(code, alone[0][0], rtol=1e-3, atol=1e-5)
        assert count == alone[1][0]
        assert energy == pytest.approx(alone[2][0], rel=1e-3, abs=1e-6)
    assert counts[4] == 0
    assert codes[5, 4] == 0


@KINDS
@pytest.mark.parametrize("positive", [False, True])
def test_the_lasso_of_an_orthogonal_basis_is_soft_thresholding(kind, positive) -> None:
    X = np.array([[3.0, -2.0, 0.5], [0.0, 0.0, 0.0]], dtype=kind)
    codes, certificates = lasso(X, np.eye(3, dtype=kind), 1.0, positive=positive)
    np.testing.assert_allclose(codes, [[2, 0 if positive else -1, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(certificates, 0, atol=1e-6)


@KINDS
@pytest.mark.parametrize("positive", [False, True])
def test_the_lasso_satisfies_its_optimality_conditions(kind, positive) -> None:
    rng = np.random.default_rng(1)
    D = np.vstack([np.zeros(4), rng.standard_normal((6, 4)), np.zeros(4)]).astype(kind)
    X = rng.standard_normal((3, 4)).astype(kind)
    codes, certificates = lasso(X, D, 0.5, positive=positive)
    correlation = (X - codes @ D) @ D.T
    assert np.all(certificates <= 1e-6)
    assert np.all((correlation if positive else np.abs(correlation)) <= 0.5 + 5e-3)
    used = codes != 0
    np.testing.assert_allclose(correlation[used], 0.5 * np.sign(codes[used]), atol=5e-3)
    assert not used[:, [0, -1]].any()
    assert np.all(codes >= 0) or not positive


@KINDS
@pytest.mark.parametrize("positive", [False, True])
def test_the_lassos_certificate_is_the_duality_gap(kind, positive) -> None:
    rng = np.random.default_rng(5)
    D, X = rng.standard_normal((9, 4)).astype(kind), rng.standard_normal((6, 4)).astype(kind)
    for max_sweeps in (1, 3, 30):
        codes, certificates = lasso(X, D, 0.2, positive=positive, tol=0.0, max_sweeps=max_sweeps)
        residual, x = (X - codes @ D).T.astype("d"), codes.T.astype("d")
        gaps = duality_gap(residual, D @ residual, x, 0.2, L1(positive=positive))
        exact = gaps / (0.5 * np.sum(X**2, axis=1))
        np.testing.assert_allclose(
            certificates, exact, rtol=1e-3, atol=1e-5 if kind == "f" else 1e-13
        )


@pytest.mark.parametrize("positive", [False, True])
def test_a_path_of_an_orthogonal_basis_is_soft_thresholding(positive) -> None:
    X = np.array([[3.0, -2.0, 0.5], [0.0, 0.0, 0.0], [-1.0, 1.0, -1.0]])
    codes, certificates, energies = paths(X, np.eye(3), 0.75, positive=positive)
    size = np.maximum(X if positive else np.abs(X), 0)
    expected = np.sign(X) * np.maximum(size - 0.75, 0)
    np.testing.assert_allclose(codes, expected, atol=1e-14)
    np.testing.assert_allclose(certificates, 0, atol=1e-14)
    np.testing.assert_allclose(energies, np.sum((X - expected) ** 2, axis=1), atol=1e-14)


def test_a_path_ends_at_its_count_its_energy_or_its_steps() -> None:
    X = np.array([[4.0, 3.0, 2.0, 1.0]])
    np.testing.assert_allclose(paths(X, np.eye(4), limit=2)[0], [[2, 1, 0, 0]], atol=1e-14)
    for target in (28.0, 20.0, 3.0):
        codes, _, energies = paths(X, np.eye(4), target=target)
        np.testing.assert_allclose(energies, target, rtol=1e-12)
        np.testing.assert_allclose(np.sum((X - codes) ** 2), target, rtol=1e-12)
    codes, certificates, _ = paths(X, np.eye(4), 0.5, max_steps=1, patient=False)
    np.testing.assert_allclose(codes, [[1, 0, 0, 0]], atol=1e-14)
    assert certificates[0] > 0.1
    codes, certificates, _ = paths(X, np.eye(4), 0.5, max_steps=1, patient=True)
    np.testing.assert_allclose(codes, X - 0.5, atol=1e-5)
    assert certificates[0] <= 1e-11


@pytest.mark.parametrize("positive", [False, True])
def test_paths_past_zero_and_duplicate_atoms_satisfy_their_conditions(positive) -> None:
    rng = np.random.default_rng(6)
    D = rng.standard_normal((6, 4))
    D = np.vstack([np.zeros(4), D, D[1], -D[2], D[0] + D[3], np.zeros(4)])
    X = np.vstack([rng.standard_normal((5, 4)), rng.integers(-1, 2, (5, 4))])
    codes, certificates, _ = paths(X, D, 0.1, positive=positive)
    correlation = (X - codes @ D) @ D.T
    assert np.all(certificates <= 1e-11)
    assert np.all((correlation if positive else np.abs(correlation)) <= 0.1 + 1e-5)
    assert np.all(codes >= 0) or not positive
    assert not codes[:, [0, -1]].any()
    residual = (X - codes @ D).T
    gaps = duality_gap(residual, D @ residual, codes.T, 0.1, L1(positive=positive))
    half = 0.5 * np.sum(X**2, axis=1)
    np.testing.assert_allclose(certificates, gaps / np.where(half > 0, half, 1), atol=1e-13)


@KINDS
def test_the_lasso_counts_its_sweeps(kind) -> None:
    rng = np.random.default_rng(2)
    D, X = rng.standard_normal((9, 4)).astype(kind), rng.standard_normal((2, 4)).astype(kind)
    certificates = [lasso(X, D, 0.05, tol=0.0, max_sweeps=k)[1].max() for k in (1, 10)]
    assert certificates[0] > certificates[1]
    one = lasso(X[:1], np.eye(4, dtype=kind), 0.05, tol=0.0, max_sweeps=20)[0]
    np.testing.assert_allclose(one, np.sign(X[:1]) * np.maximum(np.abs(X[:1]) - 0.05, 0), atol=1e-6)


@KINDS
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("sweep", [sweep_atoms, sweep_observed_atoms])
def test_a_sweep_over_the_atoms(kind, index, sweep) -> None:
    """Two atoms with users of their own: each becomes the leading singular pair of its signals."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((5, 3)).astype(kind)
    D = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=kind)
    values = np.array([X[0, 0], X[1, 0], X[2, 1], X[3, 1], X[4, 1]])  # atom 2 has no users
    users, starts = np.arange(5, dtype=index), np.array([0, 2, 5, 5], dtype=index)
    places = np.arange(5, dtype=np.int64)
    codes = np.zeros((5, 3), dtype=kind)
    codes[[0, 1], 0], codes[[2, 3, 4], 1] = values[:2], values[2:]
    order, by_atoms = np.array([2, 1, 0]), (starts, users, places)
    options = (D.dtype.type(0), False, 10_000, D.dtype.type(1e-7))
    if sweep is sweep_atoms:
        rows, atoms = np.arange(6, dtype=index), np.array([0, 0, 1, 1, 1], dtype=index)
        sweep(
            X, D, order, *by_atoms, rows, atoms, values, (codes.T @ codes).astype("d"),
            (codes.T @ X).astype("d"), *options, np.empty(3), np.empty(3), np.empty(3, kind),
            np.empty(2, kind),
        )  # fmt: skip
        R, energies = np.empty_like(X), np.empty(5)
        row_energies(X, D, rows, atoms, values, energies, np.empty(3, kind))
        R[:2], R[2:] = X[:2] - np.outer(values[:2], D[0]), X[2:] - np.outer(values[2:], D[1])
        np.testing.assert_allclose(energies, np.sum(R * R, axis=1), rtol=1e-4, atol=1e-6)
    else:
        R = X - codes @ D
        sweep(
            R, np.ones(X.shape, dtype=bool), D, order, *by_atoms, values, *options,
            np.empty((3, 3), kind),
        )  # fmt: skip
    for atom, rows in ((0, slice(0, 2)), (1, slice(2, 5))):
        s = np.linalg.svd(X[rows], compute_uv=False)
        assert np.sum(R[rows] ** 2) == pytest.approx(np.sum(s[1:] ** 2), rel=1e-3)
        np.testing.assert_allclose(X[rows] - np.outer(values[rows], D[atom]), R[rows], atol=1e-5)
    np.testing.assert_array_equal(D[2], [0, 0, 1])
    np.testing.assert_allclose(np.linalg.norm(D, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("n_passes", [1, 3])
@pytest.mark.parametrize("alpha", [0.0, 0.2])
@pytest.mark.parametrize("positive", [False, True])
def test_atoms_that_share_signals_are_swept_as_a_residual_would_have_it(
    alpha, positive, n_passes
) -> None:
    rng = np.random.default_rng(4)
    X, D = rng.standard_normal((20, 6)), rng.standard_normal((5, 6))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    used = rng.random((20, 5)) < 0.5
    codes = used * rng.standard_normal((20, 5))
    if positive:
        X, D, codes = np.abs(X), np.abs(D), np.abs(codes)
    plain, expected = D.copy(), np.zeros((20, 5))
    rows, by_atom = sp.csr_array(codes), sp.csc_array(codes)
    places = sp.csc_array((np.arange(1, rows.nnz + 1), rows.indices, rows.indptr), (5, 20)).T
    places = sp.csc_array(places).data - 1
    expected[:] = codes
    for k in range(5):
        users = np.flatnonzero(used[:, k])
        E = X[users] - expected[users] @ plain + np.outer(expected[users, k], plain[k])
        g = expected[users, k]
        for _ in range(n_passes):
            d = np.maximum(E.T @ g, 0) if positive else E.T @ g
            plain[k] = d / np.linalg.norm(d)
            g = E @ plain[k]
            g = np.where(positive & (g < 0), 0, np.sign(g) * np.maximum(np.abs(g) - alpha, 0))
        expected[users, k] = g
    A, B = codes.T @ codes, codes.T @ X
    sweep_atoms(
        X, D, np.arange(5), by_atom.indptr, by_atom.indices, places, rows.indptr, rows.indices,
        rows.data, A, B, alpha, positive, n_passes, 0.0, np.empty(6), np.empty(5), np.empty(5),
        np.empty(3),
    )  # fmt: skip
    np.testing.assert_allclose(D, plain, atol=1e-12)
    np.testing.assert_allclose(rows.toarray(), expected, atol=1e-12)
    np.testing.assert_allclose(A, expected.T @ expected, atol=1e-10)


@KINDS
def test_the_moments_of_codes(kind) -> None:
    rng = np.random.default_rng(4)
    X, C = rng.standard_normal((7, 3)).astype(kind), rng.standard_normal((7, 5)).astype(kind)
    C *= rng.random(C.shape) < 0.5
    C[2] = 0
    codes, A, B = sp.csr_array(C), np.ones((5, 5)), np.ones((5, 3))  # it adds
    code_moments(X, codes.indptr, codes.indices, codes.data, A, B)
    C, X = C.astype("d"), X.astype("d")
    np.testing.assert_allclose(A, 1 + C.T @ C, rtol=1e-12)
    np.testing.assert_allclose(B, 1 + C.T @ X, rtol=1e-12)


@KINDS
def test_a_sweep_heeds_what_was_observed(kind) -> None:
    """One atom and three signals, an entry of one unknown: least squares on the others."""
    rng = np.random.default_rng(5)
    X, seen = rng.standard_normal((3, 4)).astype(kind), np.ones((3, 4), dtype=bool)
    seen[1, 2] = False
    D = np.full((1, 4), 0.5, dtype=kind)
    values = np.array(
        [np.sum((x * o) @ D[0]) / np.sum(D[0][o] ** 2) for x, o in zip(X, seen, strict=True)]
    )
    values = values.astype(kind)
    R = (X - np.outer(values, D[0])) * seen
    before = np.sum(R**2)
    rows = np.arange(3)
    sweep_observed_atoms(
        R, seen, D, np.array([0]), np.array([0, 3]), rows, rows, values, D.dtype.type(0), False,
        500, D.dtype.type(1e-7), np.empty((3, 4), kind),
    )  # fmt: skip
    np.testing.assert_allclose(R, (X - np.outer(values, D[0])) * seen, atol=1e-5)
    assert np.sum(R**2) < before
    np.testing.assert_allclose(R @ D[0], 0, atol=1e-4)  # no coefficient could do better
    np.testing.assert_allclose((R.T @ values) - D[0] * ((R.T @ values) @ D[0]), 0, atol=2e-3)


@KINDS
def test_a_positive_pursuit_drops_an_atom_that_turns_negative(kind) -> None:
    """The first atom is the best alone, and has no part in the best sum of the other two."""
    D = np.array([[1, 1, 0.1], [1, 0, 0], [0, 1, 0]], dtype=kind)
    X = np.array([[1, 1.2, -0.5], [-1, -1, -1], [0, 0, 0]], dtype=kind)
    indices, values = np.zeros(9, np.int32), np.zeros(9, kind)
    counts, energies = np.zeros(3, np.int64), np.zeros(3)
    total = positive_pursuit_tile(
        X @ D.T, D @ D.T, X, D, np.zeros(3), 3, indices, values, counts, energies
    )
    assert counts.tolist() == [2, 0, 0]
    assert total == 2
    assert indices[:2].tolist() == [1, 2]
    np.testing.assert_allclose(values[:2], [1, 1.2], atol=1e-5)
    np.testing.assert_allclose(energies, [0.25, 3, 0], atol=1e-5)


def pursued(X, D, limit):
    """What the kernel makes of them, dense."""
    n, codes = len(X), np.zeros((len(X), len(D)))
    indices, values = np.zeros(n * limit, np.int32), np.zeros(n * limit)
    counts, energies = np.zeros(n, np.int64), np.zeros(n)
    positive_pursuit_tile(
        X @ D.T, D @ D.T, X, D, np.zeros(n), limit, indices, values, counts, energies
    )
    places = np.repeat(np.arange(n), counts), indices[: counts.sum()]
    codes[places] = values[: counts.sum()]
    return codes, energies


def a_positive_pursuit(x, D, limit):
    """The same by SciPy's nonnegative least squares, of all that is taken anew at each step."""
    code, failed = np.zeros(len(D)), np.zeros(len(D), bool)
    while np.count_nonzero(code) < limit:
        scores = (D @ (x - code @ D)) / np.linalg.norm(D, axis=1)
        best = int(np.argmax(np.where(failed | (code > 0), -np.inf, scores)))
        if scores[best] <= 1e-12:
            break
        support = np.append(np.flatnonzero(code), best)
        code = np.zeros(len(D))
        code[support] = scipy.optimize.nnls(D[support].T, x)[0]
        failed[best] = code[best] == 0
    return code


def test_a_positive_pursuit_is_that_of_nonnegative_least_squares() -> None:
    rng = np.random.default_rng(0)
    D = rng.standard_normal((14, 8)) + 0.7  # correlated, so that some leave again
    X = np.abs(rng.standard_normal((30, 14))) @ D
    codes, energies = pursued(X, D, 6)
    expected = np.array([a_positive_pursuit(x, D, 6) for x in X])
    np.testing.assert_allclose(codes, expected, atol=1e-8)
    np.testing.assert_allclose(energies, np.sum((X - expected @ D) ** 2, axis=1), atol=1e-8)


def test_several_atoms_leave_a_positive_pursuit_in_the_order_in_which_they_vanish() -> None:
    # Of a million signals like these, one has an answer that hangs on it.
    rng = np.random.default_rng(1083)
    D = np.cumsum(rng.standard_normal((36, 24)), axis=1)
    X = (np.abs(rng.standard_normal((1000, 36))) @ D)[749:750]
    codes, _ = pursued(X, D, 11)
    np.testing.assert_allclose(codes[0], a_positive_pursuit(X[0], D, 11), atol=1e-8)


def test_a_positive_pursuit_refuses_what_is_all_but_in_the_span() -> None:
    D = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1e-7]])
    codes, _ = pursued(np.array([[0.2, 2, 0.5]]), D, 3)
    np.testing.assert_allclose(codes, [[0.2, 2, 0]])


@KINDS
def test_the_solvers_over_the_kernels(kind) -> None:
    rng = np.random.default_rng(4)
    X, D = rng.standard_normal((3, 4)).astype(kind), rng.standard_normal((5, 4)).astype(kind)
    for options in (
        {"n_nonzero_coefs": 2},
        {"algorithm": "ols", "n_nonzero_coefs": 4},
        {"residual_tol": 0.5},
        {"algorithm": "lasso", "alpha": 1.0, "tol": 1e-3},
        {"algorithm": "lars", "alpha": 1.0},
    ):
        codes = sparse_encode(X, D, n_threads=1, **options)
        assert np.all(np.linalg.norm(X - codes @ D, axis=1) <= np.linalg.norm(X, axis=1) + 1e-5)
    result = ksvd(X, 3, n_nonzero_coefs=2, max_iter=2, update="exact", random_state=0)
    assert result.history["relative_error"][-1] < 1


@KINDS
@pytest.mark.parametrize("positive", [False, True])
def test_sweeps_over_a_gram_matrix_solve_the_lasso(kind, positive) -> None:
    """Many sweeps end where the optimality conditions hold, and the gradient is kept up to date."""
    rng = np.random.default_rng(3)
    A, y = rng.standard_normal((6, 9)).astype(kind), rng.standard_normal(6).astype(kind)
    gram, threshold = A.T @ A + np.eye(9, dtype=kind), np.linspace(0.2, 0.6, 9).astype(kind)
    x, gradient = np.zeros(9, kind), A.T @ y
    sweep_gram(gram, threshold, positive, 2000, x, gradient)
    tolerance = 1e-5 if kind == "f" else 1e-12
    np.testing.assert_allclose(gradient, A.T @ y - gram @ x, atol=tolerance)
    active = x != 0
    np.testing.assert_allclose(
        gradient[active], threshold[active] * np.sign(x[active]), atol=tolerance
    )
    outside = gradient if positive else np.abs(gradient)
    assert np.all(outside[~active] <= threshold[~active] + tolerance)
    assert not positive or np.all(x >= 0)
    assert active.any()
    assert not active.all()


@KINDS
def test_outliers_are_replaced_and_the_rest_is_measured(kind) -> None:
    rng = np.random.default_rng(11)
    X, estimate = rng.standard_normal((2, 7, 5)).astype(kind)
    X[2, 3] = np.nan
    L, outliers, energies = estimate.copy(), np.zeros(7, np.int64), np.zeros(7)
    replace_outliers(X, L, X.dtype.type(0.8), outliers, energies)
    within = np.abs(X - estimate) <= 0.8
    np.testing.assert_array_equal(L, np.where(within, X, estimate))
    np.testing.assert_array_equal(outliers, np.sum(~within & ~np.isnan(X), axis=1))
    expected = np.sum(np.where(within, X - estimate, 0) ** 2, axis=1)
    np.testing.assert_allclose(energies, expected, rtol=1e-5)


@KINDS
@pytest.mark.parametrize("weighted", [False, True])
def test_a_multiplier_step_is_that_of_the_formulas(kind, weighted) -> None:
    rng = np.random.default_rng(12)
    X, L, Y, M = rng.standard_normal((4, 6, 5)).astype(kind)
    Y = np.clip(Y, -0.7, 0.7)
    X[1, 2], Y[1, 2] = np.nan, 0.0
    before, energies, absolutes = Y.copy(), np.zeros(6), np.zeros(6)
    mu, following = (X.dtype.type(number) for number in (2.0, 3.0))
    alpha = rng.uniform(0.7, 0.9, (6, 5) if weighted else (1, 5)).astype(kind)
    multiplier_step(X, L, Y, M, alpha, mu, following, energies, absolutes)
    known = np.where(np.isnan(X), L, X)
    t = known - L + before / mu
    S = np.sign(t) * np.maximum(np.abs(t) - alpha / mu, 0)
    S[1, 2] = 0
    np.testing.assert_allclose(Y, before + mu * (known - L - S), atol=1e-5)
    np.testing.assert_allclose(M, known - S + Y / following, atol=1e-5)
    np.testing.assert_allclose(energies, np.sum((known - L - S) ** 2, axis=1), atol=1e-5)
    np.testing.assert_allclose(absolutes, np.sum(alpha * np.abs(S), axis=1), atol=1e-5)


@KINDS
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_down_hubers_function_is_that_of_the_formulas(kind, weighted) -> None:
    rng = np.random.default_rng(14)
    X, N, before, start, M = rng.standard_normal((5, 6, 5)).astype(kind)
    X[1, 2] = np.nan
    bounds = rng.uniform(0.5, 2, (6, 5) if weighted else (1, 5)).astype(kind)
    L, Z, sums, level = before.copy(), start.copy(), np.zeros((6, 6)), X.dtype.type(0.4)
    huber_sums(X, N, L, Z, bounds, level, sums)
    np.testing.assert_array_equal(L, N)
    np.testing.assert_array_equal(Z, N - before)
    R = np.where(np.isnan(X), 0, X - N)
    E = np.clip(R, -level * bounds, level * bounds)
    expected = [
        E**2, np.where(E != R, E**2, 0), bounds * np.abs(R - E), N * E, (start - N) ** 2,
        (start - N) * (N - before),
    ]  # fmt: skip
    for place, part in enumerate(expected):
        np.testing.assert_allclose(sums[:, place], part.sum(axis=1), atol=1e-5)
    huber_step(X, L, Z, M, bounds, X.dtype.type(0.3), level)
    ahead = N + X.dtype.type(0.3) * (N - before)
    np.testing.assert_allclose(Z, ahead, atol=1e-6)
    R = np.where(np.isnan(X), 0, X - ahead)
    np.testing.assert_allclose(M, ahead + np.clip(R, -level * bounds, level * bounds), atol=1e-6)


def hubers(X, W, alpha, ridge=0.0, max_iter=10):  # few steps, if they are Newton's
    Z, L = np.full((len(X), W.shape[1]), np.nan), np.full(X.shape, np.nan)
    at_zero, regular = np.empty(len(X)), np.zeros(len(X), dtype=np.bool_)
    huber_rows(X, W, W.T @ W, alpha, ridge, max_iter, Z, L, at_zero, regular)
    np.testing.assert_allclose(L, Z @ W.T, atol=1e-12)
    return Z, L, regular


@pytest.mark.parametrize("ridge", [0.0, 0.5])
@pytest.mark.parametrize("rank", [0, 1, 3, 8])
def test_huber_rows_are_stationary(rank, ridge) -> None:
    rng = np.random.default_rng(13)
    W = np.ascontiguousarray(np.linalg.qr(rng.standard_normal((12, 8)))[0][:, :rank])
    W = W @ np.diag(np.linspace(0.3, 4, rank))  # the columns need not be of unit norm
    X = rng.standard_normal((4, rank)) @ W.T + 9 * (rng.random((4, 12)) < 0.3)
    X[1, :2] = X[2, [0, 4, 5]] = np.nan
    for alpha in (1e-3, 0.1, 100.0, np.inf):
        Z, L, regular = hubers(X, W, alpha, ridge)
        gradient = np.nan_to_num(np.clip(X - L, -alpha, alpha)) @ W - ridge * Z
        size = min(alpha, 9.0)
        np.testing.assert_allclose(gradient, 0, atol=4e-9 * size * 12 + 1e-13)
        assert regular.all()


def test_a_huber_row_says_where_its_entries_do_not_determine_it() -> None:
    rng = np.random.default_rng(14)
    W, X = rng.standard_normal((9, 3)), rng.standard_normal((4, 9))
    X[1, :7] = X[2] = np.nan
    Z, _, regular = hubers(X, W, 0.1)
    np.testing.assert_array_equal(regular, [True, False, True, True])
    assert not Z[1:3].any()
    Z, _, regular = hubers(X, W, np.inf, ridge=1e-6)  # which decides what they do not
    assert regular.all()
    np.testing.assert_allclose(Z[1], np.linalg.pinv(W[7:]) @ X[1, 7:], atol=1e-4)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_kernels_compile_serially_and_release_the_gil() -> None:
    kernels = (pursuit_tile, lasso_tile, lars_tile, sweep_atoms, sweep_gram)
    for kernel in (*kernels, huber_rows, huber_step, huber_sums, multiplier_step):
        assert kernel.targetoptions.get("nogil") is True
        assert not kernel.targetoptions.get("parallel")


def test_a_kernel_without_a_cache_folder_still_runs(monkeypatch) -> None:
    from numba.core import dispatcher

    def nowhere(self):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(dispatcher.Dispatcher, "enable_caching", nowhere)

    @compiled
    def twice(x):
        return 2 * x

    assert twice(3) == 6


def test_a_line_is_split_where_its_clusters_are():
    x, h = np.array([-3.0, -2.9, 0.0, 0.2, 5.0, 5.1, 5.2]), np.array([1.0, 2, 1, 0.5, 1, 1, 1])
    w, wx = np.append(0.0, np.cumsum(h)), np.append(0.0, np.cumsum(h * x))
    starts, cost = np.zeros(3, np.int64), np.zeros(8)
    best, stack = np.zeros((3, 8), np.int32), np.zeros((128, 4), np.int64)
    split_line(w, wx, 3, cost, np.zeros(8), best, stack, starts)
    np.testing.assert_array_equal(starts, [0, 2, 4])
    np.testing.assert_allclose(cost[-1], -(8.8**2 / 3 + 0.1**2 / 1.5 + 15.3**2 / 3))


def test_the_ends_of_a_line_may_be_clusters_of_one() -> None:
    x = np.array([0.0, 0.1, 0.2, 9, 20, 31])
    for k in (1, 2, 3, 4, 6):
        w, wx = np.arange(7.0), np.concatenate([[0], np.cumsum(x)])
        starts, best = np.empty(k, np.int64), np.empty((k, 7), np.int32)
        cost, stack = np.empty(7), np.empty((128, 4), np.int64)
        split_line(w, wx, k, cost, np.zeros(7), best, stack, starts)
        costs = {
            cut: sum(np.sum((p - p.mean()) ** 2) for p in np.split(x, cut))
            for cut in combinations(range(1, 6), k - 1)
        }
        cut = min(costs, key=costs.get)
        np.testing.assert_array_equal(starts, [0, *cut])
        np.testing.assert_allclose(np.sum(x * x) + cost[-1], costs[cut], atol=1e-10)


@pytest.mark.parametrize("ols", [False, True])
def test_a_long_pursuit_takes_and_fits_as_the_definition_says(ols) -> None:
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((5, 16)), rng.standard_normal((24, 16))
    codes, _, _ = pursuit(X, D, 10, ols=ols)
    for x, code in zip(X, codes, strict=True):
        support, fit = [], np.zeros(0)
        while len(support) < 10:
            if ols:
                left = [np.linalg.lstsq(D[[*support, k]].T, x)[0] for k in range(24)]
                scores = [-np.linalg.norm(x - c @ D[[*support, k]]) for k, c in enumerate(left)]
            else:
                scores = np.abs(D @ (x - fit @ D[support])) / np.linalg.norm(D, axis=1)
            scores = np.array(scores)
            scores[support] = -np.inf
            support.append(int(np.argmax(scores)))
            fit = np.linalg.lstsq(D[support].T, x)[0]
        expected = np.zeros(24)
        expected[support] = fit
        np.testing.assert_allclose(code, expected, atol=1e-10)


@pytest.mark.parametrize("ols", [False, True])
def test_a_pursuit_refuses_what_is_all_but_in_the_span(ols) -> None:
    D = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1e-7]])
    codes, counts, _ = pursuit(np.array([[0.2, 2, 0.5]]), D, 3, ols=ols)
    assert counts == [2]
    np.testing.assert_allclose(codes @ D @ D[:2].T, [[0.2, 2]], atol=1e-6)


@pytest.mark.parametrize("positive", [False, True])
def test_a_path_to_an_energy_is_exact_where_it_ends(positive) -> None:
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((12, 10)), rng.standard_normal((24, 10))
    codes, certificates, energies = paths(X, D, target=1.0, positive=positive)
    np.testing.assert_allclose(energies, 1.0)
    np.testing.assert_allclose(np.sum((X - codes @ D) ** 2, axis=1), 1.0)
    assert certificates.max() < 1e-10  # no descent mends these


def test_a_path_on_which_atoms_leave_and_come_back_with_the_other_sign() -> None:
    rng = np.random.default_rng(0)
    D = rng.standard_normal((24, 10)) + 5  # correlated: steps lose digits, of which the end has all
    X = rng.standard_normal((30, 10))
    codes, certificates, _ = paths(X, D, target=1e-6)
    np.testing.assert_allclose(np.sum((X - codes @ D) ** 2, axis=1), 1e-6, rtol=1e-8)
    assert certificates.max() < 1e-10


def test_an_atom_comes_back_with_the_other_sign_in_the_step_after_it_left() -> None:
    rng = np.random.default_rng(0)
    D, X = rng.standard_normal((6, 9)) + 5, rng.standard_normal((40, 9))
    best = np.linalg.norm(X - X @ np.linalg.pinv(D) @ D, axis=1) ** 2
    target = best + 1e-4 * (np.sum(X * X, axis=1) - best)  # there nothing joins any more
    _, certificates, energies = paths(X, D, target=target)
    np.testing.assert_allclose(energies, target, rtol=1e-10)
    assert certificates.max() < 1e-10


def test_a_path_that_was_cut_off_ends_by_descent() -> None:
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((6, 10)), rng.standard_normal((14, 10))
    whole, _, _ = paths(X, D, 0.5)
    assert (whole < 0).any()
    cut, certificates, energies = paths(X, D, 0.5, max_steps=2)
    np.testing.assert_allclose(cut, whole, atol=1e-4)
    np.testing.assert_allclose(energies, np.sum((X - cut @ D) ** 2, axis=1))
    assert certificates.max() <= 1e-11
    for x, code, count in zip(X, cut, np.count_nonzero(cut, axis=1), strict=True):
        enough, _, _ = paths(x[None], D, 0.5, max_steps=2, limit=count)
        np.testing.assert_allclose(enough[0], code, atol=1e-9)
        fewer, certificates, energies = paths(x[None], D, 0.5, max_steps=2, limit=count - 1)
        assert np.count_nonzero(fewer) < count
        assert certificates[0] > 1e-3
        np.testing.assert_allclose(energies[0], np.sum((x - fewer @ D) ** 2))


def test_the_lasso_goes_on_from_codes_it_is_given() -> None:
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((20, 10)), rng.standard_normal((30, 10))
    exact, _ = lasso(X, D, 1.0, tol=1e-12)
    for start in (exact, exact + 0.1 * (rng.random(exact.shape) < 0.2), -exact):
        np.testing.assert_allclose(lasso(X, D, 1.0, tol=1e-12, start=start)[0], exact, atol=1e-5)
    there, gaps = lasso(X, D, 1.0, tol=1e-6, start=exact)
    np.testing.assert_array_equal(there, exact)
    assert gaps.max() <= 1e-10


@pytest.mark.parametrize("positive", [False, True])
def test_a_block_descends_as_its_atoms_do_one_by_one(positive) -> None:
    rng = np.random.default_rng(0)
    C, X = rng.standard_normal((50, 5)), rng.standard_normal((50, 4))
    C[:, 3] = 0
    D = np.abs(rng.standard_normal((5, 4)))
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    A, B, plain = C.T @ C, C.T @ X, D.copy()
    for k in (0, 1, 2, 4):
        d = plain[k] + (B[k] - A[k] @ plain) / A[k, k]
        d = np.maximum(d, 0) if positive else d
        plain[k] = d / np.linalg.norm(d)
    descend_block(B - A @ D, A, D, positive, 1e-10, np.empty(4))
    np.testing.assert_allclose(D, plain, rtol=1e-10, atol=1e-12)


@KINDS
@pytest.mark.parametrize("weighted", [False, True])
def test_what_groups_lose_on_their_grids(kind, weighted) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3, CHUNK + 1)).astype(kind)
    h = rng.uniform(0.5, 2, X.shape).astype(kind) if weighted else np.ones((1, 1), kind)
    steps, origins = np.array([0.5, 0.25, 0], kind), np.array([3, 2, 3], kind)
    inverses = np.array([2, 4, 0], kind)
    error, product, square = np.empty((3, 3))
    round_groups(X, h, weighted, steps, inverses, origins, 7, error, product, square)
    x, h, s, o = (some.astype("d") for some in (X, h, steps[:, None], origins[:, None]))
    c = np.clip(np.rint(x * inverses[:, None] + o), 0, 7) - o
    rtol = 1e-4 if kind == "f" else 1e-12
    np.testing.assert_allclose(error, np.sum(h * (x - s * c) ** 2, axis=1), rtol=rtol)
    np.testing.assert_allclose(product, np.sum(h * c * x, axis=1), rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(square, np.sum(h * c * c, axis=1), rtol=rtol, atol=1e-9)


@KINDS
def test_columns_make_good_what_those_behind_them_missed(kind) -> None:
    given = np.array([[0.6, 0.7, 1.2], [9.0, -9.0, 0.3]], kind)
    coupling = np.array([[0, 2, 0.25], [0, 0, -0.5], [0, 0, 0]], kind)
    kept = np.array([[1, 1, 1], [1, 1, 0]], np.uint8)
    ones, origins = np.ones_like(given), np.full_like(given, 2)
    misses, codes = given.copy(), np.zeros(given.shape, np.uint8)
    round_columns(misses, given, coupling, kept, ones, ones, origins, 4, codes)
    # Column 2: 1.2 -> 1, a miss of 0.2; column 1: 0.7 - 0.1 -> 1, -0.3; column 0:
    # 0.6 - 0.6 + 0.05 -> 0, 0.6. Below, an entry that is not kept, and two beyond the grid.
    np.testing.assert_allclose(misses, [[0.6, -0.3, 0.2], [11, -7, 0.3]], rtol=1e-5)
    np.testing.assert_array_equal(codes, [[2, 3, 3], [0, 0, 0]])
