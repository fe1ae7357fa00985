import warnings

import numpy as np
from benchopt import BaseSolver
from sklearn.exceptions import ConvergenceWarning

from sparsecode.solvers import alternating_projections, principal_component_pursuit


class Solver(BaseSolver):
    """Pursuit finds the rank, alternating projections are told."""

    name = "sparsecode"
    requirements = ["pip::sparsecode"]
    parameters = {"method": ["pcp", "alternating_projections"]}

    def set_objective(self, X: np.ndarray, rank: int) -> None:
        self.X, self.rank = X, rank
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def warm_up(self) -> None:
        self.run_once(stop_val=1)

    def run(self, tol: float) -> None:
        if self.method == "pcp":
            self.split = principal_component_pursuit(self.X, tol=tol)
        else:
            self.split = alternating_projections(self.X, self.rank, tol=tol)

    def get_result(self) -> dict:
        return {"low_rank": self.split.low_rank, "sparse": self.split.sparse}
