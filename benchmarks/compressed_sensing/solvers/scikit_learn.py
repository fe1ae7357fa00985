from typing import Any

import numpy as np
from benchopt import BaseSolver
from benchopt.stopping_criterion import SingleRunCriterion
from sklearn.linear_model import orthogonal_mp


class Solver(BaseSolver):
    """Orthogonal matching pursuit, a signal at a time; it knows the number of nonzeros."""

    name = "scikit-learn OMP"
    sampling_strategy = "run_once"
    stopping_criterion = SingleRunCriterion()
    requirements = ["pip::scikit-learn"]

    def skip(self, A: Any, sigma: float, **_: object) -> tuple[bool, str | None]:
        return not isinstance(A, np.ndarray) or sigma > 0, "it needs a matrix, and a count"

    def set_objective(
        self, A: np.ndarray, y: np.ndarray, n_nonzero_coefs: int, **_: object
    ) -> None:
        self.norms = np.linalg.norm(A, axis=0)
        self.A, self.Y = np.asfortranarray(A / self.norms), y.reshape(len(y), -1)
        self.k, self.shape = n_nonzero_coefs, (A.shape[1], *y.shape[1:])

    def run(self, _: object) -> None:
        codes = [orthogonal_mp(self.A, y, n_nonzero_coefs=self.k) for y in self.Y.T]
        self.x = (np.stack(codes, axis=1) / self.norms[:, None]).reshape(self.shape)

    def get_result(self) -> dict:
        return {"x": self.x}
