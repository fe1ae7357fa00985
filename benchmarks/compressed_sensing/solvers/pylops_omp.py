from typing import Any

import numpy as np
from benchopt import BaseSolver
from benchopt.stopping_criterion import SingleRunCriterion
from pylops import MatrixMult, aslinearoperator
from pylops.optimization.sparsity import omp


class Solver(BaseSolver):
    """The number of nonzeros is known; the coefficients of a step are found by LSQR."""

    name = "pylops OMP"
    sampling_strategy = "run_once"
    stopping_criterion = SingleRunCriterion()
    requirements = ["pip::pylops"]

    def skip(self, A: Any, y: np.ndarray, sigma: float, **_: object) -> tuple[bool, str | None]:
        return y.ndim > 1 or sigma > 0 or A.shape[1] > 4096, "one signal that is not too long"

    def set_objective(self, A: Any, y: np.ndarray, n_nonzero_coefs: int, **_: object) -> None:
        self.y, self.k = y, n_nonzero_coefs
        self.A = MatrixMult(A) if isinstance(A, np.ndarray) else aslinearoperator(A)

    def run(self, _: object) -> None:
        self.x = omp(self.A, self.y, niter_outer=self.k, sigma=0.0)[0]

    def get_result(self) -> dict:
        return {"x": self.x}
