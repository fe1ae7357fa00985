import warnings
from typing import Any

import numpy as np
from benchopt import BaseSolver
from sklearn.exceptions import ConvergenceWarning

from sparsecode.solvers import bpdn


class Solver(BaseSolver):
    """`bpdn`, which is `basis_pursuit` without noise."""

    name = "sparsecode"
    requirements = ["pip::sparsecode"]

    def skip(self, y: np.ndarray, **_: object) -> tuple[bool, str | None]:
        return y.ndim > 1, "many signals: see sparsecode-omp"

    def set_objective(self, A: Any, y: np.ndarray, sigma: float, **_: object) -> None:
        self.A, self.y, self.sigma = A, y, sigma
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def warm_up(self) -> None:
        self.run_once(stop_val=1)

    def run(self, tol: float) -> None:
        self.x = bpdn(self.A, self.y, self.sigma, tol=tol).x

    def get_result(self) -> dict:
        return {"x": self.x}
