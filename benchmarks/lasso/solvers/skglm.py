import warnings

import numpy as np
from benchopt import BaseSolver
from skglm import Lasso
from sklearn.exceptions import ConvergenceWarning


class Solver(BaseSolver):
    """Its tolerance is on the violation of optimality: here as a fraction of alpha."""

    name = "skglm"
    requirements = ["pip::skglm"]

    def set_objective(self, X: np.ndarray, y: np.ndarray, alpha: float) -> None:
        self.X, self.y, self.alpha = X, y, alpha / len(y)
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def warm_up(self) -> None:
        self.run_once(stop_val=1)

    def run(self, tol: float) -> None:
        model = Lasso(alpha=self.alpha, fit_intercept=False, tol=tol * self.alpha, max_iter=1000)
        self.w = model.fit(self.X, self.y).coef_

    def get_result(self) -> dict:
        return {"w": self.w}
