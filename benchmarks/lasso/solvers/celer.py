import warnings

import numpy as np
from benchopt import BaseSolver
from celer import celer_path
from sklearn.exceptions import ConvergenceWarning


class Solver(BaseSolver):
    """Its tolerance is on the gap over ``||y||^2``; its objective has a 1/n.

    What its ``Lasso.fit`` calls, with the settings of that, and with the dual point it certifies
    its answer by, which is extrapolated and better than the residual.
    """

    name = "celer"
    requirements = ["pip::celer"]

    def set_objective(self, X: np.ndarray, y: np.ndarray, alpha: float) -> None:
        self.X, self.y, self.alpha = X, y, alpha / len(y)
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def warm_up(self) -> None:
        self.run_once(stop_val=1)

    def run(self, tol: float) -> None:
        _, W, _, thetas = celer_path(
            self.X,
            self.y,
            "lasso",
            alphas=[self.alpha],
            tol=tol,
            prune=1,
            max_iter=100,
            return_thetas=True,
        )
        self.w, self.theta = W[:, 0], thetas[0]

    def get_result(self) -> dict:
        return {"w": self.w, "dual": len(self.y) * self.theta}
