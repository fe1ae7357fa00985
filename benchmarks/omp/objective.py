"""Greedy pursuits with a fixed number of atoms: ``min_C ||X - C D||``, at most k a row."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from benchopt import BaseObjective


class Objective(BaseObjective):
    name = "OMP"
    min_benchopt_version = "1.10"
    sampling_strategy = "run_once"

    def set_data(self, X: np.ndarray, D: np.ndarray, n_nonzero_coefs: int) -> None:
        self.X, self.D, self.n_nonzero_coefs = X, D, n_nonzero_coefs

    def get_objective(self) -> dict:
        return {"X": self.X, "D": self.D, "n_nonzero_coefs": self.n_nonzero_coefs}

    def evaluate_result(self, codes: Any) -> dict:
        """The mean norm of a residual, computed in double, and how many atoms a signal has."""
        codes = sp.csr_array(codes, dtype=np.float64)
        codes.eliminate_zeros()
        counts = np.diff(codes.indptr)
        residuals = self.X - codes @ self.D.astype(np.float64)
        return {
            "value": float(np.mean(np.linalg.norm(residuals, axis=1))),
            "count": float(np.mean(counts)),
            "largest_count": int(np.max(counts)),
        }

    def get_one_result(self) -> dict:
        return {"codes": np.zeros((len(self.X), len(self.D)))}
