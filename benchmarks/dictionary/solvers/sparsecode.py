import numpy as np
from benchopt import BaseSolver

from sparsecode.solvers import ksvd, online_dictionary_learning


class Solver(BaseSolver):
    """An iteration is a pass over the patches."""

    name = "sparsecode"
    requirements = ["pip::sparsecode"]
    parameters = {"method": ["online", "ksvd"]}

    def skip(self, alpha: float | None, **_: object) -> tuple[bool, str | None]:
        return self.method == "ksvd" and alpha is not None, "the online learner is for the lasso"

    def set_objective(
        self, X: np.ndarray, first: np.ndarray, alpha: float | None, n_nonzero_coefs: int | None
    ) -> None:
        self.X, self.first = X, first
        self.coding = {"alpha": alpha, "n_nonzero_coefs": n_nonzero_coefs}

    def warm_up(self) -> None:
        self.run(1, n_rows=600)

    def run(self, n_iter: int, n_rows: int | None = None) -> None:
        solve = {"ksvd": ksvd, "online": online_dictionary_learning}[self.method]
        options = {"init": self.first, "max_iter": max(1, n_iter), "random_state": 0}
        self.dictionary = solve(
            self.X[:n_rows], len(self.first), **self.coding, **options
        ).dictionary

    def get_result(self) -> dict:
        return {"dictionary": self.dictionary}
