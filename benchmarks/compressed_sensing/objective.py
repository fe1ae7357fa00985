"""Sparse recovery: ``min ||x||_1`` with ``||A x - y|| <= sigma``, of signals that are known."""

from typing import Any

import numpy as np
from benchopt import BaseObjective
from benchopt.stopping_criterion import SufficientProgressCriterion


class Objective(BaseObjective):
    name = "Compressed sensing"
    min_benchopt_version = "1.10"
    sampling_strategy = "tolerance"
    stopping_criterion = SufficientProgressCriterion(patience=8)

    def set_data(
        self, A: Any, y: np.ndarray, x: np.ndarray, sigma: float, n_nonzero_coefs: int
    ) -> None:
        self.A, self.y, self.x, self.sigma, self.k = A, y, x, sigma, n_nonzero_coefs

    def get_objective(self) -> dict:
        return {"A": self.A, "y": self.y, "sigma": self.sigma, "n_nonzero_coefs": self.k}

    def evaluate_result(self, x: np.ndarray) -> dict:
        """The relative error, of the worst signal where there are many, and what stands behind it.

        The residual is that over `sigma`, or over the norm of `y` where that is zero.
        """
        error = np.linalg.norm(x - self.x, axis=0) / np.linalg.norm(self.x, axis=0)
        residual = np.linalg.norm(self.y - self.A @ x, axis=0)
        scale = self.sigma if self.sigma > 0 else np.linalg.norm(self.y, axis=0)
        return {
            "value": float(np.max(error)),
            "residual": float(np.max(residual / scale)),
            "norm": float(np.sum(np.abs(x))),
            "count": float(np.count_nonzero(x) / max(1, x.size // self.A.shape[1])),
        }

    def get_one_result(self) -> dict:
        return {"x": np.zeros_like(self.x)}
