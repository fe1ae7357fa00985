from typing import Any

import numpy as np
from benchopt import BaseSolver
from benchopt.stopping_criterion import SingleRunCriterion
from pylops import MatrixMult, aslinearoperator
from pylops.optimization.sparsity import fista


class Solver(BaseSolver):
    """The penalised form: a thousandth of the weight that gives zero, and a thousand iterations.

    With noise the weight is that of universal thresholding.
    """

    name = "pylops FISTA"
    sampling_strategy = "run_once"
    stopping_criterion = SingleRunCriterion()
    requirements = ["pip::pylops"]

    def skip(self, y: np.ndarray, **_: object) -> tuple[bool, str | None]:
        return y.ndim > 1, "it takes one signal"

    def set_objective(self, A: Any, y: np.ndarray, sigma: float, **_: object) -> None:
        self.y, self.sigma = y, sigma
        self.A = MatrixMult(A) if isinstance(A, np.ndarray) else aslinearoperator(A)
        v = np.random.RandomState(0).standard_normal(A.shape[1])
        for _ in range(50):
            v = A.T @ (A @ v)
            v /= np.linalg.norm(v)
        self.step = 0.98 / float(np.linalg.norm(A @ v)) ** 2
        self.largest = float(np.max(np.abs(A.T @ y)))
        self.universal = sigma / np.sqrt(y.size) * np.sqrt(2 * np.log(A.shape[1]))

    def run(self, _: object) -> None:
        # Its objective has no one half, and so its weight is twice that of the lasso.
        weight = 2 * (self.universal if self.sigma > 0 else 1e-3 * self.largest)
        self.x = fista(self.A, self.y, niter=1000, eps=weight, alpha=self.step)[0]

    def get_result(self) -> dict:
        return {"x": self.x}
