"""CoSaMP and subspace pursuit: their definitions, step by step, and how they end."""

import numpy as np

from sparsecode.solvers.subspace import cosamp, subspace_pursuit


def gaussian(seed, m=20, n=40):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, n)), rng.standard_normal(m)


def top(u, k):
    return set(np.argsort(-np.abs(u))[:k])


def least_squares(A, y, support):
    x = np.zeros(A.shape[1])
    support = sorted(support)
    x[support] = np.linalg.lstsq(A[:, support], y, rcond=None)[0]
    return x


def keep(x, k):
    return np.where(np.isin(np.arange(x.size), list(top(x, k))), x, 0)


def test_cosamp_is_the_best_of_the_iterates_of_its_definition() -> None:
    k = 4
    for seed in range(20):
        A, y = gaussian(seed)
        x, best = np.zeros(40), np.zeros(40)
        result = cosamp(A, y, n_nonzero_coefs=k)
        assert result.converged
        objective = []
        for _ in range(result.n_iter):
            joined = set(np.flatnonzero(x)) | top(A.T @ (y - A @ x), 2 * k)
            x = keep(least_squares(A, y, joined), k)
            best = min(best, x, key=lambda z: np.linalg.norm(y - A @ z))
            objective.append(0.5 * np.sum((y - A @ best) ** 2))
        np.testing.assert_allclose(result.x, best, atol=1e-10)
        np.testing.assert_allclose(result.history["objective"], objective, rtol=1e-10)


def test_more_iterations_of_cosamp_find_nothing_better() -> None:
    """It stops when a support comes back: from there on the iterations repeat."""
    k = 6
    for seed in range(20):
        A, y = gaussian(seed)
        result = cosamp(A, y, n_nonzero_coefs=k, tol=0.0)
        x, sizes = np.zeros(40), []
        for _ in range(result.n_iter + 60):
            joined = set(np.flatnonzero(x)) | top(A.T @ (y - A @ x), 2 * k)
            x = keep(least_squares(A, y, joined), k)
            sizes.append(0.5 * np.sum((y - A @ x) ** 2))
        assert result.objective <= min(sizes) * (1 + 1e-9)


def test_subspace_pursuit_is_its_definition() -> None:
    k = 4
    for seed in range(20):
        A, y = gaussian(seed)
        result = subspace_pursuit(A, y, n_nonzero_coefs=k)
        x, exchanges = least_squares(A, y, top(A.T @ y, k)), 0
        while True:
            joined = set(np.flatnonzero(x)) | top(A.T @ (y - A @ x), k)
            other = least_squares(A, y, top(least_squares(A, y, joined), k))
            if np.linalg.norm(y - A @ other) >= np.linalg.norm(y - A @ x) * (1 - 1e-12):
                break
            x, exchanges = other, exchanges + 1
        np.testing.assert_allclose(result.x, x, atol=1e-10)
        assert result.certificate == 0
        assert result.n_iter == exchanges + 2  # the first fit, and the exchange that is not done
