import numpy as np
from benchopt import BaseSolver
from scipy.linalg import svd


class Solver(BaseSolver):
    """The textbook: inexact augmented Lagrangian (Lin, Chen, Ma), a full decomposition a step."""

    name = "plain IALM"
    requirements = ["pip::scipy"]

    def skip(self, X: np.ndarray, **_: object) -> tuple[bool, str | None]:
        return X.size * min(X.shape) > 2e9, "it would take minutes"

    def set_objective(self, X: np.ndarray, rank: int) -> None:
        self.X = X

    def run(self, tol: float) -> None:
        X, alpha = self.X, 1 / np.sqrt(max(self.X.shape))
        norm = np.linalg.norm(X, 2)
        mu, S, residual = 1.25 / norm, np.zeros_like(X), X
        Y = X / max(norm, np.max(np.abs(X)) / alpha)
        while np.linalg.norm(residual) > tol * np.linalg.norm(X) or not S.any():
            U, s, Vt = svd(X - S + Y / mu, full_matrices=False, lapack_driver="gesdd")
            L = (U * np.maximum(s - 1 / mu, 0)) @ Vt
            S = X - L + Y / mu
            S -= np.clip(S, -alpha / mu, alpha / mu)
            residual = X - L - S
            Y, mu = Y + mu * residual, 1.5 * mu
        self.low_rank, self.sparse = L, S

    def get_result(self) -> dict:
        return {"low_rank": self.low_rank, "sparse": self.sparse}
