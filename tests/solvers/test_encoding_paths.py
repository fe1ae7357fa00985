"""Codes of `lars`, `iht`, gradient and positive pursuits against other solvers."""

import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning

from sparsecode.datasets import load_image_patches
from sparsecode.operators import overcomplete_dct
from sparsecode.penalties import L1
from sparsecode.solvers import iht, lars, reference, sparse_encode
from sparsecode.solvers.certificates import code_certificates


def signals(seed=0, *, n=40, K=30, m=12):
    rng = np.random.default_rng(seed)
    D = rng.standard_normal((K, m))
    return rng.standard_normal((n, m)), D / np.linalg.norm(D, axis=1, keepdims=True)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("alpha", [0.02, 0.3, 1.5])
def test_lars_against_cvxpy_the_single_path_and_descent(alpha, positive) -> None:
    X, D = signals(0, n=8)
    codes = sparse_encode(X, D, algorithm="lars", alpha=alpha, positive=positive).toarray()
    best = reference.lasso(D.T, X.T, alpha, penalty=L1(positive=positive)).x.T
    np.testing.assert_allclose(codes, best, atol=1e-4)
    paths = [lars(D.T, x, alpha, positive=positive).x[:, -1] for x in X]
    np.testing.assert_allclose(codes, paths, atol=1e-10)
    descent = sparse_encode(
        X, D, algorithm="lasso", alpha=alpha, positive=positive, tol=1e-13, max_iter=10**6
    )
    np.testing.assert_allclose(codes, descent.toarray(), atol=1e-6)
    assert not positive or codes.min() >= 0


@pytest.mark.parametrize("name", ["gaussian", "cosines", "patches"])
@pytest.mark.parametrize("share", [0.5, 0.05, 1e-4])
def test_every_patch_has_a_certificate_near_rounding(name, share) -> None:
    X = load_image_patches(1256, random_state=0)
    X, atoms = X[:1000], X[1000:]
    D = {
        "gaussian": np.random.default_rng(0).standard_normal((256, 64)),
        "cosines": overcomplete_dct(256, 64),
        "patches": atoms,
    }[name]
    alpha = share * float(np.abs(X @ D.T).max(axis=1).mean())
    codes = sparse_encode(X, D, algorithm="lars", alpha=alpha)
    assert np.max(code_certificates(X, D, codes, alpha=alpha)) <= 1e-9


@pytest.mark.parametrize("positive", [False, True])
def test_a_count_ends_the_path_where_one_atom_more_joins(positive) -> None:
    X, D = signals(1, n=15)
    for k in (1, 3, 7):
        codes = sparse_encode(X, D, algorithm="lars", n_nonzero_coefs=k, positive=positive)
        for x, code in zip(X, codes.toarray(), strict=True):
            path = lars(D.T, x, positive=positive)
            between = np.count_nonzero(path.x[:, 1:] + path.x[:, :-1], axis=0)
            last = np.flatnonzero(np.append(between, k + 1) > k)[0]
            np.testing.assert_allclose(code, path.x[:, last], atol=1e-9)


def test_a_residual_ends_the_path_where_it_is_met() -> None:
    X, D = signals(2)
    for target in (2.5, 1.0, 0.1, 1e-6):
        codes = sparse_encode(X, D, algorithm="lars", residual_tol=target)
        errors = np.linalg.norm(X - codes @ D, axis=1)
        coded = np.diff(codes.indptr) > 0
        np.testing.assert_allclose(errors[coded], target, rtol=1e-7)
        assert np.all(np.linalg.norm(X[~coded], axis=1) <= target)
        # It is a point of the path: the best code for some alpha, that of its atoms' correlations.
        for x, code in zip(X[coded][:9], codes.toarray()[coded], strict=False):
            alpha = np.abs(D @ (x - code @ D)).max()
            gap = code_certificates(x[None], D, code[None], alpha=alpha)
            assert gap[0] <= 1e-12


def test_the_first_end_that_is_met_counts() -> None:
    X, D = signals(3)
    ends = {"alpha": 0.4, "n_nonzero_coefs": 7, "residual_tol": 0.9}
    each = [sparse_encode(X, D, algorithm="lars", **{k: v}).toarray() for k, v in ends.items()]
    together = sparse_encode(X, D, algorithm="lars", **ends).toarray()
    shortest = np.argmin([np.abs(codes).sum(axis=1) for codes in each], axis=0)
    expected = np.stack(each)[shortest, np.arange(len(X))]
    np.testing.assert_allclose(together, expected, atol=1e-9)
    assert len(set(shortest)) > 1


def test_lars_past_duplicate_opposite_dependent_and_zero_atoms() -> None:
    X, D = signals(4, K=9, m=6)
    many = np.vstack([D, D[2], -D[3], np.zeros(6), D[0] + D[1], 2 * D[4], D[5] * (1 + 1e-12)])
    for alpha in (0.5, 0.01, 1e-5):
        codes = sparse_encode(X, many, algorithm="lars", alpha=alpha)
        assert np.all(np.isfinite(codes.data))
        assert np.max(code_certificates(X, many, codes, alpha=alpha)) <= 1e-9


def test_lars_with_ties_everywhere() -> None:
    """Integers in a dictionary of signs: many atoms join and leave at once."""
    rng = np.random.default_rng(5)
    D = rng.integers(-1, 2, (40, 8)).astype(float)
    X = rng.integers(-3, 4, (300, 8)).astype(float)
    for positive in (False, True):
        for alpha in (4.0, 1.0, 0.25):
            codes = sparse_encode(X, D, algorithm="lars", alpha=alpha, positive=positive)
            certificates = code_certificates(X, D, codes, alpha=alpha, positive=positive)
            assert np.max(certificates) <= 1e-9


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1e9, 1e150])
def test_lars_scales_with_the_data(scale) -> None:
    X, D = signals(6)
    codes = sparse_encode(X, D, algorithm="lars", alpha=0.1).toarray()
    scaled = sparse_encode(X * scale, D, algorithm="lars", alpha=0.1 * scale).toarray()
    np.testing.assert_allclose(scaled / scale, codes, rtol=1e-9, atol=1e-12)


def test_too_few_steps_are_said() -> None:
    X, D = signals(7)
    with pytest.warns(ConvergenceWarning, match="lars did not converge.* max_iter=2 "):
        codes = sparse_encode(X, D, algorithm="lars", alpha=0.01, max_iter=2)
    assert np.diff(codes.indptr).max() <= 2
    with pytest.warns(ConvergenceWarning, match="lars did not reach residual_tol"):
        sparse_encode(X, D[:3], algorithm="lars", residual_tol=1e-3)


def test_iht_is_the_solver_signal_by_signal() -> None:
    rng = np.random.default_rng(8)
    D = rng.standard_normal((24, 40))  # fewer atoms than features: well conditioned
    X = rng.standard_normal((30, 40))
    codes = sparse_encode(X, D, algorithm="iht", n_nonzero_coefs=5, tol=1e-10).toarray()
    expected = iht(D.T, X.T, n_nonzero_coefs=5, variant="accelerated", tol=1e-10).x.T
    np.testing.assert_allclose(codes, expected, atol=1e-7)


def test_iht_recovers_sparse_codes() -> None:
    rng = np.random.default_rng(9)
    D, true = rng.standard_normal((100, 60)), np.zeros((300, 100))
    for row in true:
        row[rng.choice(100, 4, replace=False)] = rng.choice([-1, 1], 4) * rng.uniform(1, 2, 4)
    codes = sparse_encode(true @ D, D, algorithm="iht", n_nonzero_coefs=4, tol=1e-9)
    found = np.all(np.abs(codes.toarray() - true) < 1e-5, axis=1)
    assert found.mean() > 0.9


def test_iht_that_does_not_settle_warns() -> None:
    X, D = signals(10)
    with pytest.warns(ConvergenceWarning, match="iht did not converge.* max_iter=1 "):
        sparse_encode(X, D, algorithm="iht", n_nonzero_coefs=3, max_iter=1)


def textbook_gradient_pursuit(x, D, k):
    """Blumensath and Davies (2008), one signal, unit atoms."""
    code, residual, taken = np.zeros(len(D)), x.copy(), []
    for _ in range(k):
        gradient = D @ residual
        taken.append(int(np.argmax(np.abs(gradient))))
        direction = np.zeros(len(D))
        direction[taken] = gradient[taken]
        image = direction @ D
        step = (residual @ image) / (image @ image)
        code, residual = code + step * direction, residual - step * image
    return code


def test_gradient_pursuit_is_the_textbook_signal_by_signal() -> None:
    X, D = signals(11)
    codes = sparse_encode(X, D, algorithm="gradient_pursuit", n_nonzero_coefs=5).toarray()
    norms = np.linalg.norm(D, axis=1)
    expected = [textbook_gradient_pursuit(x, D / norms[:, None], 5) / norms for x in X]
    np.testing.assert_allclose(codes, expected, atol=1e-10)


def test_gradient_pursuit_comes_near_omp() -> None:
    X, D = signals(12)
    errors = [
        np.linalg.norm(X - sparse_encode(X, D, algorithm=name, n_nonzero_coefs=4) @ D)
        for name in ("omp", "gradient_pursuit")
    ]
    assert errors[0] < errors[1] < 1.25 * errors[0]


def test_gradient_pursuit_on_orthonormal_atoms_is_exact() -> None:
    X = np.random.default_rng(13).standard_normal((20, 6))
    codes = sparse_encode(X, np.eye(6), algorithm="gradient_pursuit", n_nonzero_coefs=6)
    assert np.linalg.norm(X - codes.toarray()) < 0.2 * np.linalg.norm(X)


def textbook_positive_omp(x, D, k):
    """The largest positive correlation, then nonnegative least squares."""
    taken, code = [], np.zeros(len(D))
    for _ in range(k):
        correlation = D @ (x - code @ D)
        correlation[taken] = -np.inf
        if correlation.max() <= 1e-12:
            break
        taken.append(int(np.argmax(correlation)))
        code[:] = 0
        code[taken] = nnls(D[taken].T, x)[0]
    return code


@pytest.mark.parametrize("k", [1, 3, 6])
def test_positive_omp_is_the_textbook_signal_by_signal(k) -> None:
    X, D = signals(14)
    codes = sparse_encode(X, D, n_nonzero_coefs=k, positive=True).toarray()
    assert codes.min() >= 0
    same = 0
    for x, code in zip(X, codes, strict=True):
        expected = textbook_positive_omp(x, D, k)
        left = np.count_nonzero(expected) < k  # an atom that left gives its place to another
        same += not left
        if not left:
            np.testing.assert_allclose(code, expected, atol=1e-8)
        assert np.linalg.norm(x - code @ D) <= np.linalg.norm(x - expected @ D) + 1e-9
    assert same > 20


def test_positive_omp_stops_at_its_target_and_where_nothing_helps() -> None:
    X, D = signals(15)
    inside = np.random.default_rng(15).random((40, 30)) @ np.abs(D)  # sums of the atoms
    codes = sparse_encode(inside, np.abs(D), residual_tol=0.8, positive=True)
    assert np.linalg.norm(inside - codes @ np.abs(D), axis=1).max() <= 0.8
    assert codes.data.min() > 0
    negative = sparse_encode(-np.abs(X), np.abs(D), n_nonzero_coefs=3, positive=True)
    assert negative.nnz == 0


@pytest.mark.parametrize("positive", [False, True])
def test_atoms_that_are_nearly_one_are_told_apart_by_the_path(positive) -> None:
    rng = np.random.default_rng(16)
    D = np.repeat(rng.random((3, 8)), 4, axis=0) + 2e-3 * rng.random((12, 8))
    X = rng.random((20, 3)) @ rng.random((3, 8))
    with pytest.warns(ConvergenceWarning, match="lasso did not converge"):
        sparse_encode(X, D, algorithm="lasso", alpha=0.01, positive=positive, max_iter=2000)
    codes = sparse_encode(X, D, algorithm="lasso", alpha=0.01, positive=positive)
    gaps = code_certificates(X, D, codes, alpha=0.01, positive=positive)
    assert gaps.max() <= 1e-6
