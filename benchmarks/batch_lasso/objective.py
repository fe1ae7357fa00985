"""Lasso codes of many signals: ``min_C 0.5 ||X - C D||^2 + alpha ||C||_1``, one signal a row."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from benchopt import BaseObjective
from benchopt.stopping_criterion import SufficientProgressCriterion


class Objective(BaseObjective):
    name = "Batch lasso"
    min_benchopt_version = "1.10"
    sampling_strategy = "tolerance"
    # A solver may well answer zero to the first few tolerances.
    stopping_criterion = SufficientProgressCriterion(patience=8)

    # Of 10,000 patches of unit norm the mean code then has 20.1 nonzeros.
    parameters = {"alpha": [0.16]}

    def set_data(self, X: np.ndarray, D: np.ndarray) -> None:
        self.X, self.D = X, D

    def get_objective(self) -> dict:
        return {"X": self.X, "D": self.D, "alpha": self.alpha}

    def evaluate_result(self, codes: Any) -> dict:
        """The worst duality gap of a signal over half its energy, and the mean count."""
        C = codes.toarray() if sp.issparse(codes) else codes
        residuals = self.X - C @ self.D
        correlations = residuals @ self.D.T
        scales = self.alpha / np.maximum(self.alpha, np.max(np.abs(correlations), axis=1))
        gaps = 0.5 * (1 - scales) ** 2 * np.sum(residuals**2, axis=1)
        fits = scales * np.sum(C * correlations, axis=1)
        gaps += np.maximum(self.alpha * np.sum(np.abs(C), axis=1) - fits, 0)
        return {
            "value": float(np.max(gaps / (0.5 * np.sum(self.X**2, axis=1)))),
            "count": float(np.count_nonzero(C) / len(C)),
        }

    def get_one_result(self) -> dict:
        return {"codes": np.zeros((len(self.X), len(self.D)))}
