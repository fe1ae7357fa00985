import numpy as np
import spams
from benchopt import BaseSolver


class Solver(BaseSolver):
    """Its ``omp`` is orthogonal least squares; columns are signals, in Fortran order."""

    name = "SPAMS"
    requirements = ["pip::spams-bin"]
    parameters = {"n_threads": [1, 2]}

    def skip(self, X: np.ndarray, **_: object) -> tuple[bool, str | None]:
        return len(X) == 1, "it would take the Gram matrix of the whole dictionary"

    def set_objective(self, X: np.ndarray, D: np.ndarray, n_nonzero_coefs: int) -> None:
        self.X, self.D = np.asfortranarray(X.T), np.asfortranarray(D.T)
        self.n_nonzero_coefs = n_nonzero_coefs

    def run(self, _: int) -> None:
        self.codes = spams.omp(self.X, self.D, L=self.n_nonzero_coefs, numThreads=self.n_threads)

    def get_result(self) -> dict:
        return {"codes": self.codes.T}
