import warnings

import numpy as np
from benchopt import BaseSolver
from sklearn.exceptions import ConvergenceWarning

from sparsecode.solvers import sparse_encode


class Solver(BaseSolver):
    name = "sparsecode"
    requirements = ["pip::sparsecode"]
    parameters = {"n_threads": [1, 2]}

    def set_objective(self, X: np.ndarray, D: np.ndarray, alpha: float) -> None:
        self.X, self.D, self.alpha = X, D, alpha
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def warm_up(self) -> None:
        self.run_once(stop_val=1)

    def run(self, tol: float) -> None:
        self.codes = sparse_encode(
            self.X,
            self.D,
            algorithm="lasso",
            alpha=self.alpha,
            tol=tol,
            n_threads=self.n_threads,
        )

    def get_result(self) -> dict:
        return {"codes": self.codes}
