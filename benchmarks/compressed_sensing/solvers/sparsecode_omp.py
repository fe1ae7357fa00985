from typing import Any

import numpy as np
from benchopt import BaseSolver
from benchopt.stopping_criterion import SingleRunCriterion

from sparsecode.solvers import sparse_encode


class Solver(BaseSolver):
    """Many signals at once, on all cores."""

    name = "sparsecode-omp"
    sampling_strategy = "run_once"
    stopping_criterion = SingleRunCriterion()
    requirements = ["pip::sparsecode"]

    def skip(self, A: Any, y: np.ndarray, **_: object) -> tuple[bool, str | None]:
        return y.ndim == 1, "one signal: see sparsecode"

    def set_objective(self, A: Any, y: np.ndarray, n_nonzero_coefs: int, **_: object) -> None:
        self.atoms, self.signals = np.ascontiguousarray(A.T), np.ascontiguousarray(y.T)
        self.k = n_nonzero_coefs

    def warm_up(self) -> None:
        self.run_once()

    def run(self, _: object) -> None:
        self.codes = sparse_encode(self.signals, self.atoms, n_nonzero_coefs=self.k)

    def get_result(self) -> dict:
        return {"x": self.codes.toarray().T}
