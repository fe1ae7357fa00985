import warnings

import numpy as np
from benchopt import BaseSolver
from sklearn.exceptions import ConvergenceWarning

from sparsecode.solvers import semismooth_newton


class Solver(BaseSolver):
    name = "sparsecode"
    requirements = ["pip::sparsecode"]

    def set_objective(self, X: np.ndarray, y: np.ndarray, alpha: float) -> None:
        self.X, self.y, self.alpha = X, y, alpha
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def warm_up(self) -> None:
        self.run_once(stop_val=1)

    def run(self, tol: float) -> None:
        self.w = semismooth_newton(self.X, self.y, self.alpha, tol=tol).x

    def get_result(self) -> dict:
        return {"w": self.w}
