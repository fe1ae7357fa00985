"""Products are asked for in the precision of the data: another would copy the matrix each time."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator

from sparsecode import solvers

M, N = 60, 120
RNG = np.random.default_rng(0)
A = (RNG.standard_normal((M, N)) / np.sqrt(M)).astype(np.float32)
X = np.zeros(N, dtype=np.float32)
X[RNG.permutation(N)[:4]] = RNG.choice([-1, 1], 4)

SOLVERS = {
    "amp": solvers.amp,
    "cosamp": lambda A, y: solvers.cosamp(A, y, n_nonzero_coefs=4),
    "fista": lambda A, y: solvers.fista(A, y, alpha_ratio=0.01, tol=1e-4),
    "fista, backtracking": lambda A, y: solvers.fista(
        A, y, alpha_ratio=0.01, tol=1e-4, step="backtracking"
    ),
    "htp": lambda A, y: solvers.htp(A, y, n_nonzero_coefs=4),
    "iht": lambda A, y: solvers.iht(A, y, n_nonzero_coefs=4),
    "ista": lambda A, y: solvers.ista(A, y, alpha_ratio=0.01, tol=1e-3),
    "matching_pursuit": lambda A, y: solvers.matching_pursuit(A, y, n_nonzero_coefs=4),
    "omp": lambda A, y: solvers.omp(A, y, n_nonzero_coefs=4),
    "subspace_pursuit": lambda A, y: solvers.subspace_pursuit(A, y, n_nonzero_coefs=4),
}


class Seen(LinearOperator):
    """A matrix that writes down what it is multiplied with."""

    def __init__(self) -> None:
        super().__init__(A.dtype, A.shape)
        self.dtypes: set[Any] = set()

    def _matmat(self, X: np.ndarray) -> np.ndarray:
        self.dtypes.add(X.dtype)
        return A @ X

    def _rmatmat(self, X: np.ndarray) -> np.ndarray:
        self.dtypes.add(X.dtype)
        return A.T @ X

    _matvec, _rmatvec = _matmat, _rmatmat


@pytest.mark.parametrize("name", SOLVERS)
def test_no_product_is_promoted(name: str) -> None:
    seen = Seen()
    result = SOLVERS[name](seen, A @ X)
    assert result.x.dtype == np.float32
    assert seen.dtypes == {np.dtype(np.float32)}
