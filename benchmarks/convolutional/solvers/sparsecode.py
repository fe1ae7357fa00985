import numpy as np
from benchopt import BaseSolver

from sparsecode.solvers import convolutional_dictionary_learning


class Solver(BaseSolver):
    name = "sparsecode"
    requirements = ["pip::sparsecode"]
    parameters = {"dtype": ["float64", "float32"]}

    def set_objective(self, X: np.ndarray, first: np.ndarray, alpha: float) -> None:
        self.X, self.first, self.alpha = X.astype(self.dtype), first, alpha

    def run(self, n_iter: int) -> None:
        self.dictionary = convolutional_dictionary_learning(
            self.X, len(self.first), self.first.shape[1:], alpha=self.alpha,
            max_iter=max(1, n_iter), init=self.first,
        ).dictionary  # fmt: skip

    def get_result(self) -> dict:
        return {"dictionary": self.dictionary.astype(np.float64)}
