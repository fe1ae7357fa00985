"""A dictionary of 256 atoms, judged on patches it was not learned from, by one exact coder."""

import numpy as np
from benchopt import BaseObjective
from benchopt.stopping_criterion import SufficientProgressCriterion

from sparsecode.solvers import sparse_encode


class Objective(BaseObjective):
    name = "Dictionary learning"
    min_benchopt_version = "1.10"
    requirements = ["pip::sparsecode"]
    sampling_strategy = "iteration"
    stopping_criterion = SufficientProgressCriterion(patience=5)

    # The lasso with this alpha (20 to 35 nonzeros a patch), or orthogonal matching pursuit.
    parameters = {"alpha, n_nonzero_coefs": [(0.05, None), (None, 8)]}

    def set_data(self, X: np.ndarray, held_out: np.ndarray, first: np.ndarray) -> None:
        self.X, self.held_out, self.first = X, held_out, first

    def get_objective(self) -> dict:
        coding = {"alpha": self.alpha, "n_nonzero_coefs": self.n_nonzero_coefs}
        return {"X": self.X, "first": self.first, **coding}

    def evaluate_result(self, dictionary: np.ndarray) -> dict:
        """The mean objective of the lasso, or the relative error of the pursuit."""
        norms = np.linalg.norm(dictionary, axis=1, keepdims=True)
        D = np.asarray(dictionary / np.where(norms > 0, norms, 1), dtype=np.float64)
        X = self.held_out
        if self.alpha is None:
            C = sparse_encode(X, D, n_nonzero_coefs=self.n_nonzero_coefs)
            value = np.linalg.norm(X - C @ D) / np.linalg.norm(X)
        else:
            C = sparse_encode(X, D, algorithm="lasso", alpha=self.alpha)
            value = (0.5 * np.sum((X - C @ D) ** 2) + self.alpha * np.abs(C.data).sum()) / len(X)
        return {"value": float(value), "count": float(C.nnz / len(X))}

    def get_one_result(self) -> dict:
        return {"dictionary": self.first}
