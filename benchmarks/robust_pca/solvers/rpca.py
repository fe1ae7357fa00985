import contextlib
import io

import numpy as np
from benchopt import BaseSolver
from rpca import RobustPCA


class Solver(BaseSolver):
    """Accelerated alternating projections; it prints whether its tolerance was met.

    It takes the mean off first, and that of the errors with it. Of what is then left, the rank is
    one higher: with `spare` it is told so. `gamma` is that of its authors' code, not its default.
    """

    name = "rpca"
    requirements = ["pip::rpca"]
    parameters = {"spare": [0, 1]}

    def skip(self, X: np.ndarray, rank: int) -> tuple[bool, str | None]:
        return X.size * rank > 2e7, "it would take minutes"

    def set_objective(self, X: np.ndarray, rank: int) -> None:
        self.X, self.rank = X, rank

    def run(self, tol: float) -> None:
        model = RobustPCA(
            n_components=self.rank + self.spare, gamma=0.7, tol=tol, max_iter=1000, verbose=False
        )
        with contextlib.redirect_stdout(io.StringIO()):
            self.model = model.fit(self.X)

    def get_result(self) -> dict:
        return {"low_rank": self.model.low_rank_ + self.model.mean_, "sparse": self.model.sparse_}
