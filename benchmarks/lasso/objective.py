"""The lasso of one signal: ``min_w 0.5 ||y - X w||^2 + alpha ||w||_1``, with no 1/n."""

import numpy as np
from benchopt import BaseObjective
from benchopt.stopping_criterion import SufficientProgressCriterion


class Objective(BaseObjective):
    name = "Lasso"
    min_benchopt_version = "1.10"
    sampling_strategy = "tolerance"
    # A solver may well answer zero to the first few tolerances.
    stopping_criterion = SufficientProgressCriterion(patience=8)

    parameters = {"alpha_ratio": [0.1, 0.01]}

    def set_data(self, X: np.ndarray, y: np.ndarray) -> None:
        self.X, self.y = X, y
        self.alpha = self.alpha_ratio * float(np.max(np.abs(X.T @ y)))

    def get_objective(self) -> dict:
        return {"X": self.X, "y": self.y, "alpha": self.alpha}

    def evaluate_result(self, w: np.ndarray, dual: np.ndarray | None = None) -> dict:
        """The duality gap over 0.5 ||y||^2, at the residual or at the solver's own dual point."""
        residual = self.y - self.X @ w
        points = [residual] if dual is None else [residual, dual]
        gap = min(self.gap(w, residual, point) for point in points)
        return {"value": gap / (0.5 * float(self.y @ self.y)), "count": int(np.count_nonzero(w))}

    def gap(self, w: np.ndarray, residual: np.ndarray, dual: np.ndarray) -> float:
        """The dual point is scaled into its domain first, whatever the solver says.

        A sum of two terms that are none of them negative, so that it can be small.
        """
        correlation = self.X.T @ dual
        scale = self.alpha / max(self.alpha, float(np.max(np.abs(correlation))))
        slack = self.alpha * float(np.sum(np.abs(w))) - scale * float(w @ correlation)
        return 0.5 * float(np.sum((residual - scale * dual) ** 2)) + max(slack, 0.0)

    def get_one_result(self) -> dict:
        return {"w": np.zeros(self.X.shape[1])}
