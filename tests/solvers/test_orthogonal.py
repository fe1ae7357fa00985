"""Decompositions that fall back, and bases, against NumPy."""

import numpy as np
import pytest
import scipy.linalg

from sparsecode.solvers._orthogonal import orthonormal, svd, thin_svd


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
def test_a_failing_svd_is_rescaled_then_by_another_method_then_says_so(scale, monkeypatch) -> None:
    real, tried = scipy.linalg.svd, []

    def failing(X, *, lapack_driver, **options):
        tried.append((lapack_driver, float(np.abs(X).max())))
        if len(tried) <= n_broken:
            raise np.linalg.LinAlgError
        return real(X, lapack_driver=lapack_driver, **options)

    monkeypatch.setattr(scipy.linalg, "svd", failing)
    X = np.diag([3.0, 1.0]) * scale
    for n_broken in (1, 2):
        tried.clear()
        U, s, Vt = svd(X)
        np.testing.assert_allclose((U * s) @ Vt / scale, np.diag([3.0, 1.0]), atol=1e-15)
        assert [driver for driver, _ in tried] == ["gesdd", "gesdd", "gesvd"][: n_broken + 1]
        assert tried[0][1] == 3 * scale
        assert all(0.5 <= size < 1 for _, size in tried[1:])
    tried.clear()
    n_broken = 3
    with pytest.raises(ValueError, match=r"the SVD of a \(2, 2\) matrix failed"):
        svd(X)
    assert len(tried) == 3


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("decay", [1.0, 0.5, 0.0])
def test_a_basis_is_orthonormal_whatever_the_condition(decay, kind) -> None:
    Y = np.random.default_rng(0).standard_normal((60, 8)) @ np.diag(decay ** np.arange(8))
    Y = Y.astype(kind)
    eps = float(np.finfo(kind).eps)
    Q, R = orthonormal(Y)
    np.testing.assert_allclose(Q.T @ Q, np.eye(8), atol=20 * eps)
    np.testing.assert_allclose(Q @ R, Y, atol=100 * eps)
    U, s, Vt = thin_svd(Y)
    np.testing.assert_allclose((U * s) @ Vt, Y, atol=200 * eps)
    np.testing.assert_allclose(s, np.linalg.svd(Y, compute_uv=False), atol=200 * eps)
