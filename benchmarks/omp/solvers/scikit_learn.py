import warnings

import numpy as np
from benchopt import BaseSolver
from sklearn.linear_model import orthogonal_mp, orthogonal_mp_gram


class Solver(BaseSolver):
    """With the Gram matrix for many signals, without for one."""

    name = "scikit-learn"
    requirements = ["pip::scikit-learn"]

    def set_objective(self, X: np.ndarray, D: np.ndarray, n_nonzero_coefs: int) -> None:
        self.X, self.D, self.n_nonzero_coefs = X, D, n_nonzero_coefs
        warnings.filterwarnings("ignore", message="Orthogonal matching pursuit ended prematurely")

    def run(self, _: int) -> None:
        if len(self.X) == 1:
            codes = orthogonal_mp(self.D.T, self.X[0], n_nonzero_coefs=self.n_nonzero_coefs)
        else:
            codes = orthogonal_mp_gram(
                self.D @ self.D.T,
                self.D @ self.X.T,
                n_nonzero_coefs=self.n_nonzero_coefs,
            )
        self.codes = np.atleast_2d(codes.T)

    def get_result(self) -> dict:
        return {"codes": self.codes}
