"""The lasso path: ``min_w 0.5 ||y - X w||^2 + alpha ||w||_1`` for 100 alphas, down to max / 100."""

import numpy as np
from benchopt import BaseObjective
from benchopt.stopping_criterion import SufficientProgressCriterion


class Objective(BaseObjective):
    name = "Lasso path"
    min_benchopt_version = "1.10"
    sampling_strategy = "tolerance"
    # A solver may well answer zero to the first few tolerances.
    stopping_criterion = SufficientProgressCriterion(patience=8)

    parameters = {"n_alphas": [100], "alpha_ratio": [0.01]}

    def set_data(self, X: np.ndarray, y: np.ndarray) -> None:
        self.X, self.y = X, y
        largest = float(np.max(np.abs(X.T @ y)))
        self.alphas = largest * np.geomspace(1, self.alpha_ratio, self.n_alphas)

    def get_objective(self) -> dict:
        return {"X": self.X, "y": self.y, "alphas": self.alphas}

    def evaluate_result(self, W: np.ndarray, duals: np.ndarray | None = None) -> dict:
        """The worst duality gap over 0.5 ||y||^2, and how many are nonzero at the last alpha.

        Each gap is at the residual or at the solver's own dual point, the better of the two.
        """
        residuals = self.y[:, None] - self.X @ W
        gaps = self.gaps(W, residuals, residuals)
        if duals is not None:
            gaps = np.minimum(gaps, self.gaps(W, residuals, duals))
        return {
            "value": float(np.max(gaps)) / (0.5 * float(self.y @ self.y)),
            "count": int(np.count_nonzero(W[:, -1])),
        }

    def gaps(self, W: np.ndarray, residuals: np.ndarray, duals: np.ndarray) -> np.ndarray:
        """The dual points are scaled into their domain first, whatever the solver says.

        Sums of two terms that are none of them negative, so that they can be small.
        """
        correlations = self.X.T @ duals
        scales = self.alphas / np.maximum(self.alphas, np.max(np.abs(correlations), axis=0))
        slacks = self.alphas * np.sum(np.abs(W), axis=0)
        slacks -= scales * np.sum(W * correlations, axis=0)
        return 0.5 * np.sum((residuals - scales * duals) ** 2, axis=0) + np.maximum(slacks, 0)

    def get_one_result(self) -> dict:
        return {"W": np.zeros((self.X.shape[1], self.alphas.size))}
