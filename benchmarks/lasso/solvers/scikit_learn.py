import warnings

import numpy as np
from benchopt import BaseSolver
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso


class Solver(BaseSolver):
    """Its tolerance is on the gap over ``||y||^2``; its objective has a 1/n.

    A Gram matrix is given where it is smaller than the data.
    """

    name = "scikit-learn"
    requirements = ["pip::scikit-learn"]

    def set_objective(self, X: np.ndarray, y: np.ndarray, alpha: float) -> None:
        self.X, self.y, self.alpha = X, y, alpha / len(y)
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def run(self, tol: float) -> None:
        model = Lasso(
            alpha=self.alpha,
            fit_intercept=False,
            precompute=self.X.shape[0] > self.X.shape[1],
            tol=tol,
            max_iter=1_000_000,
        )
        self.w = model.fit(self.X, self.y).coef_

    def get_result(self) -> dict:
        return {"w": self.w}
