import numpy as np
from benchopt import BaseSolver

from sparsecode.solvers import ols, omp


class Solver(BaseSolver):
    """One signal and a matrix."""

    name = "sparsecode-one"
    requirements = ["pip::sparsecode"]
    parameters = {"algorithm": ["omp", "ols"]}

    def skip(self, X: np.ndarray, **_: object) -> tuple[bool, str | None]:
        return len(X) > 1, "many signals: see sparsecode"

    def set_objective(self, X: np.ndarray, D: np.ndarray, n_nonzero_coefs: int) -> None:
        self.A, self.y, self.n_nonzero_coefs = D.T, X[0], n_nonzero_coefs

    def run(self, _: int) -> None:
        pursuit = {"omp": omp, "ols": ols}[self.algorithm]
        self.x = pursuit(self.A, self.y, n_nonzero_coefs=self.n_nonzero_coefs).x

    def get_result(self) -> dict:
        return {"codes": self.x[None, :]}
