import numpy as np
from benchopt import BaseSolver
from benchopt.stopping_criterion import SingleRunCriterion

from sparsecode.solvers import sparse_encode


class Solver(BaseSolver):
    """LARS, which is exact and takes no tolerance."""

    name = "sparsecode-lars"
    requirements = ["pip::sparsecode"]
    sampling_strategy = "run_once"
    stopping_criterion = SingleRunCriterion()
    parameters = {"n_threads": [1, 2]}

    def set_objective(self, X: np.ndarray, D: np.ndarray, alpha: float) -> None:
        self.X, self.D, self.alpha = X, D, alpha

    def warm_up(self) -> None:
        self.run_once()

    def run(self, _: float) -> None:
        self.codes = sparse_encode(
            self.X, self.D, algorithm="lars", alpha=self.alpha, n_threads=self.n_threads
        )

    def get_result(self) -> dict:
        return {"codes": self.codes}
