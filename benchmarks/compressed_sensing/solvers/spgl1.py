from typing import Any

import numpy as np
from benchopt import BaseSolver
from spgl1 import spg_bp, spg_bpdn


class Solver(BaseSolver):
    """The spectral projected gradient method of van den Berg and Friedlander."""

    name = "SPGL1"
    requirements = ["pip::spgl1"]

    def skip(self, y: np.ndarray, **_: object) -> tuple[bool, str | None]:
        return y.ndim > 1, "it takes one signal"

    def set_objective(self, A: Any, y: np.ndarray, sigma: float, **_: object) -> None:
        self.A, self.y, self.sigma = A, y, sigma

    def run(self, tol: float) -> None:
        given = {"opt_tol": tol, "bp_tol": tol, "iter_lim": 20_000}
        if self.sigma > 0:
            self.x = spg_bpdn(self.A, self.y, self.sigma, **given)[0]
        else:
            self.x = spg_bp(self.A, self.y, **given)[0]

    def get_result(self) -> dict:
        return {"x": self.x}
