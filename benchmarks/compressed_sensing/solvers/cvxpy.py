from typing import Any

import cvxpy as cp
import numpy as np
from benchopt import BaseSolver
from benchopt.stopping_criterion import SingleRunCriterion


class Solver(BaseSolver):
    """A general convex solver, on what is small."""

    name = "cvxpy"
    sampling_strategy = "run_once"
    stopping_criterion = SingleRunCriterion()
    requirements = ["pip::cvxpy"]

    def skip(self, A: Any, y: np.ndarray, **_: object) -> tuple[bool, str | None]:
        large = not isinstance(A, np.ndarray) or A.size > 10**6 or y.ndim > 1
        return large, "a matrix of a million entries, and one signal, at the most"

    def set_objective(self, A: np.ndarray, y: np.ndarray, sigma: float, **_: object) -> None:
        self.x = cp.Variable(A.shape[1])
        near = A @ self.x == y if sigma == 0 else cp.norm(A @ self.x - y) <= sigma
        self.problem = cp.Problem(cp.Minimize(cp.norm1(self.x)), [near])

    def run(self, _: object) -> None:
        self.problem.solve(solver=cp.CLARABEL)

    def get_result(self) -> dict:
        return {"x": np.asarray(self.x.value)}
