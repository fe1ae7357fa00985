import numpy as np
from benchopt import BaseSolver
from sporco.admm.rpca import RobustPCA


class Solver(BaseSolver):
    """Its tolerance is on the primal and on the dual residual; the penalty adapts to both."""

    name = "SPORCO"
    requirements = ["pip::sporco"]

    def skip(self, X: np.ndarray, **_: object) -> tuple[bool, str | None]:
        return X.size * min(X.shape) > 2e8, "it would take minutes"

    def set_objective(self, X: np.ndarray, rank: int) -> None:
        self.X = X

    def run(self, tol: float) -> None:
        options = RobustPCA.Options({"RelStopTol": tol, "AbsStopTol": 0.0, "MaxMainIter": 1000})
        solver = RobustPCA(self.X, lmbda=1 / np.sqrt(max(self.X.shape)), opt=options)
        self.low_rank, self.sparse = solver.solve()

    def get_result(self) -> dict:
        return {"low_rank": self.low_rank, "sparse": self.sparse}
