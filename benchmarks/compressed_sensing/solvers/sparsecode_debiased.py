from typing import Any

import numpy as np
from benchopt import BaseSolver
from scipy.sparse.linalg import LinearOperator, lsqr

from sparsecode.solvers import bpdn


class Solver(BaseSolver):
    """`bpdn`, and least squares over what it finds above three standard deviations of the noise.

    Those are of the coefficient of one column by itself.
    """

    name = "sparsecode-debiased"
    requirements = ["pip::sparsecode"]

    def skip(self, y: np.ndarray, sigma: float, **_: object) -> tuple[bool, str | None]:
        return y.ndim > 1 or sigma == 0, "there is no bias without noise"

    def set_objective(self, A: Any, y: np.ndarray, sigma: float, **_: object) -> None:
        self.A, self.y, self.sigma = A, y, sigma
        probe = A.T @ np.random.RandomState(0).standard_normal(A.shape[0])
        column = np.linalg.norm(probe) / np.sqrt(A.shape[1])  # its norm, in the mean
        self.level = 3 * sigma / np.sqrt(y.size) / column

    def run(self, tol: float) -> None:
        x = bpdn(self.A, self.y, self.sigma, tol=tol).x
        support = np.flatnonzero(np.abs(x) > self.level)

        def forward(v: np.ndarray) -> np.ndarray:
            whole = np.zeros(self.A.shape[1])
            whole[support] = v
            return self.A @ whole

        shape = (self.y.size, support.size)
        chosen = LinearOperator(
            shape, matvec=forward, rmatvec=lambda r: (self.A.T @ r)[support], dtype=float
        )
        self.x = np.zeros_like(x)
        self.x[support] = lsqr(chosen, self.y, atol=tol, btol=tol)[0]

    def get_result(self) -> dict:
        return {"x": self.x}
