"""Block Krylov spaces: what they promise of their bases, also where a matrix has little to give."""

import numpy as np
import pytest

from sparsecode.solvers._krylov import krylov, rough_svd, subspace_step

RNG = np.random.default_rng(0)
MATRICES = {
    "full": RNG.standard_normal((90, 80)),
    "low rank": RNG.standard_normal((90, 5)) @ RNG.standard_normal((5, 80)),
    "few values": np.linalg.qr(RNG.standard_normal((90, 80)))[0] * np.repeat([1, 0.5], 40),
    "zero": np.zeros((90, 80)),
    "one row": np.r_[np.ones((1, 80)), np.zeros((89, 80))],
    "tiny and large": RNG.standard_normal((90, 80)) * np.logspace(0, -14, 80),
}


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("name", MATRICES)
def test_the_bases_are_orthonormal_and_the_core_is_the_matrix_in_them(name, kind) -> None:
    X = MATRICES[name].astype(kind)
    tolerance = 300 * float(np.finfo(kind).eps)
    norm = float(np.linalg.norm(X, 2))
    sizes = []
    for space in krylov(X, 8, np.random.RandomState(0)):
        U, V, core = space
        k = len(core)
        sizes.append(k)
        assert U.shape == (90, k)
        assert V.shape == (80, k + 8)
        assert U.dtype == V.dtype == kind
        np.testing.assert_allclose(U.T @ U, np.eye(k), atol=tolerance)
        np.testing.assert_allclose(V.T @ V, np.eye(k + 8), atol=tolerance)
        np.testing.assert_allclose(X @ V[:, :k], U @ core[:, :k], atol=tolerance * norm)
        np.testing.assert_allclose(X.T @ U, V @ core.T, atol=tolerance * norm)
    assert sizes == [8, 16, 24, 32, 40, 48, 56, 64, 72]  # and no more: V has all of its 80


def test_the_leading_part_is_the_best_with_these_columns() -> None:
    X = MATRICES["full"]
    for space in krylov(X, 8, np.random.RandomState(0)):
        U, s, Vt = space.leading(5)
        best = np.linalg.svd(space.U.T @ X)
        np.testing.assert_allclose((U * s) @ Vt, space.U @ (best[0][:, :5] * s) @ best[2][:5])
        np.testing.assert_allclose(s, best[1][:5])


@pytest.mark.parametrize("shape", [(20, 30), (100, 90)])
def test_a_rough_decomposition_is_near_where_values_fall_fast(shape) -> None:
    U, V = (np.linalg.qr(RNG.standard_normal((size, 15)))[0] for size in shape)
    s = 0.5 ** np.arange(15)
    X = (U * s) @ V.T
    left, values, right = rough_svd(X, 4)
    np.testing.assert_allclose(values, s[:4], rtol=1e-6)
    best = (U[:, :4] * s[:4]) @ V[:, :4].T
    np.testing.assert_allclose((left * values) @ right, best, atol=1e-6)
    left, values, right = subspace_step(X, right.T)  # and stays where it is
    np.testing.assert_allclose((left * values) @ right, best, atol=1e-6)
