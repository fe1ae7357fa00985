import numpy as np
from benchopt import BaseSolver

from sparsecode.solvers import sparse_encode


class Solver(BaseSolver):
    """Many signals in one dictionary."""

    name = "sparsecode"
    requirements = ["pip::sparsecode"]
    parameters = {"algorithm": ["omp", "ols"], "n_threads": [1, 2]}

    def skip(self, X: np.ndarray, **_: object) -> tuple[bool, str | None]:
        return len(X) == 1, "one signal: see sparsecode-one"

    def set_objective(self, X: np.ndarray, D: np.ndarray, n_nonzero_coefs: int) -> None:
        self.X, self.D, self.n_nonzero_coefs = X, D, n_nonzero_coefs

    def warm_up(self) -> None:
        self.run_once()

    def run(self, _: int) -> None:
        self.codes = sparse_encode(
            self.X,
            self.D,
            algorithm=self.algorithm,
            n_nonzero_coefs=self.n_nonzero_coefs,
            n_threads=self.n_threads,
        )

    def get_result(self) -> dict:
        return {"codes": self.codes}
