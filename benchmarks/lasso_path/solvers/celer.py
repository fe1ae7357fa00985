import warnings

import numpy as np
from benchopt import BaseSolver
from celer import celer_path
from sklearn.exceptions import ConvergenceWarning


class Solver(BaseSolver):
    """With the settings of its own ``Lasso.path``, which prunes and allows 100 iterations.

    And with the dual points it certifies its answers by, which are better than the residuals.
    """

    name = "celer"
    requirements = ["pip::celer"]

    def set_objective(self, X: np.ndarray, y: np.ndarray, alphas: np.ndarray) -> None:
        self.X, self.y, self.alphas = X, y, alphas / len(y)
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def warm_up(self) -> None:
        self.run_once(stop_val=1)

    def run(self, tol: float) -> None:
        _, self.W, _, self.thetas = celer_path(
            self.X,
            self.y,
            "lasso",
            alphas=self.alphas,
            tol=tol,
            prune=1,
            max_iter=100,
            return_thetas=True,
        )

    def get_result(self) -> dict:
        return {"W": self.W, "duals": len(self.y) * self.thetas.T}
