import numpy as np
from benchopt import BaseSolver
from pylops import MatrixMult
from pylops.optimization.sparsity import omp


class Solver(BaseSolver):
    """One signal; the coefficients of a step are found by LSQR."""

    name = "pylops"
    requirements = ["pip::pylops"]

    def skip(self, X: np.ndarray, **_: object) -> tuple[bool, str | None]:
        return len(X) > 1, "it takes one signal"

    def set_objective(self, X: np.ndarray, D: np.ndarray, n_nonzero_coefs: int) -> None:
        self.A, self.y, self.n_nonzero_coefs = MatrixMult(D.T), X[0], n_nonzero_coefs

    def run(self, _: int) -> None:
        self.x = omp(self.A, self.y, niter_outer=self.n_nonzero_coefs, sigma=0.0)[0]

    def get_result(self) -> dict:
        return {"codes": self.x[None, :]}
