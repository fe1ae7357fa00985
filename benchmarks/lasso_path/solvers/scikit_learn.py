import warnings

import numpy as np
from benchopt import BaseSolver
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path


class Solver(BaseSolver):
    """It takes the Gram matrix by itself where that is smaller than the data."""

    name = "scikit-learn"
    requirements = ["pip::scikit-learn"]

    def set_objective(self, X: np.ndarray, y: np.ndarray, alphas: np.ndarray) -> None:
        self.X, self.y, self.alphas = X, y, alphas / len(y)
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def run(self, tol: float) -> None:
        _, self.W, _ = lasso_path(self.X, self.y, alphas=self.alphas, tol=tol, max_iter=1_000_000)

    def get_result(self) -> dict:
        return {"W": self.W}
