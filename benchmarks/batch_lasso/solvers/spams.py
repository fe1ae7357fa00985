import numpy as np
import spams
from benchopt import BaseSolver
from benchopt.stopping_criterion import SingleRunCriterion


class Solver(BaseSolver):
    """LARS, which is exact and takes no tolerance; columns are signals, in Fortran order."""

    name = "SPAMS"
    requirements = ["pip::spams-bin"]
    sampling_strategy = "run_once"
    stopping_criterion = SingleRunCriterion()
    parameters = {"n_threads": [1, 2]}

    def set_objective(self, X: np.ndarray, D: np.ndarray, alpha: float) -> None:
        self.X, self.D, self.alpha = np.asfortranarray(X.T), np.asfortranarray(D.T), alpha

    def run(self, _: float) -> None:
        penalty = 2  # of its modes, the one that minimises 0.5 ||x - D a||^2 + lambda1 ||a||_1
        self.codes = spams.lasso(
            self.X, self.D, lambda1=self.alpha, mode=penalty, numThreads=self.n_threads
        )

    def get_result(self) -> dict:
        return {"codes": self.codes.T}
