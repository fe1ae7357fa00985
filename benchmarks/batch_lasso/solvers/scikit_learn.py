import warnings

import numpy as np
from benchopt import BaseSolver
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso


class Solver(BaseSolver):
    """The estimator that its ``sparse_encode(algorithm="lasso_cd")`` fits, called as it does.

    Called directly because ``sparse_encode`` has no argument for the tolerance.
    """

    name = "scikit-learn"
    requirements = ["pip::scikit-learn"]

    def set_objective(self, X: np.ndarray, D: np.ndarray, alpha: float) -> None:
        self.X, self.D, self.alpha = X, D, alpha / X.shape[1]
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def run(self, tol: float) -> None:
        model = Lasso(
            alpha=self.alpha,
            fit_intercept=False,
            precompute=self.D @ self.D.T,
            tol=tol,
            max_iter=1_000_000,
        )
        self.codes = model.fit(self.D.T, self.X.T, check_input=False).coef_

    def get_result(self) -> dict:
        return {"codes": self.codes}
