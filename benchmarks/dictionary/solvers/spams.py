import numpy as np
import spams
from benchopt import BaseSolver

BATCH = 512  # fixed: by default it grows with the threads, and the answer hangs on it


class Solver(BaseSolver):
    """An iteration is as many batches as make a pass; columns are signals, in Fortran order.

    For a count of atoms it codes by orthogonal least squares, not by orthogonal matching pursuit.
    """

    name = "SPAMS"
    requirements = ["pip::spams-bin"]

    def set_objective(
        self, X: np.ndarray, first: np.ndarray, alpha: float | None, n_nonzero_coefs: int | None
    ) -> None:
        self.X, self.first = np.asfortranarray(X.T), np.asfortranarray(first.T)
        penalty, count = 2, 3  # of its modes
        self.mode = penalty if n_nonzero_coefs is None else count
        self.weight = alpha if n_nonzero_coefs is None else n_nonzero_coefs

    def run(self, n_iter: int) -> None:
        self.dictionary = spams.trainDL(
            self.X, D=self.first, mode=self.mode, lambda1=self.weight, batchsize=BATCH,
            iter=max(1, n_iter) * -(-self.X.shape[1] // BATCH), numThreads=2, verbose=False,
        )  # fmt: skip

    def get_result(self) -> dict:
        return {"dictionary": self.dictionary.T}
