"""Atoms of convolutional codes, judged on other pictures by one exact coder."""

import numpy as np
from benchopt import BaseObjective
from benchopt.stopping_criterion import SufficientProgressCriterion

from sparsecode.solvers import convolutional_sparse_encode


class Objective(BaseObjective):
    name = "Convolutional dictionary learning"
    min_benchopt_version = "1.10"
    requirements = ["pip::sparsecode"]
    sampling_strategy = "iteration"
    stopping_criterion = SufficientProgressCriterion(patience=5)

    parameters = {"alpha": [0.05]}

    def set_data(self, X: np.ndarray, held_out: np.ndarray, first: np.ndarray) -> None:
        self.X, self.held_out, self.first = X, held_out, first

    def get_objective(self) -> dict:
        return {"X": self.X, "first": self.first, "alpha": self.alpha}

    def evaluate_result(self, dictionary: np.ndarray) -> dict:
        """The objective of codes over that of zero, within 2e-3 of it; nonzeros a picture."""
        norms = np.sqrt(np.sum(dictionary**2, axis=(1, 2), keepdims=True))
        D, X = dictionary / np.maximum(norms, 1), self.held_out
        result = convolutional_sparse_encode(X, D, self.alpha, tol=2e-3)
        count = np.count_nonzero(result.x) / len(X)
        return {"value": result.objective / (0.5 * np.sum(X**2)), "count": count}

    def get_one_result(self) -> dict:
        return {"dictionary": self.first}
