import warnings

import numpy as np
from benchopt import BaseSolver
from sklearn.exceptions import ConvergenceWarning

from sparsecode.solvers import lasso_path


class Solver(BaseSolver):
    name = "sparsecode"
    requirements = ["pip::sparsecode"]

    def set_objective(self, X: np.ndarray, y: np.ndarray, alphas: np.ndarray) -> None:
        self.X, self.y, self.alphas = X, y, alphas
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def warm_up(self) -> None:
        self.run_once(stop_val=1)

    def run(self, tol: float) -> None:
        self.W = lasso_path(self.X, self.y, self.alphas, tol=tol).x

    def get_result(self) -> dict:
        return {"W": self.W}
