"""A matrix that is low rank plus sparse: ``X = L + S``, both of them known."""

import numpy as np
from benchopt import BaseObjective
from benchopt.stopping_criterion import SufficientProgressCriterion


class Objective(BaseObjective):
    name = "Robust PCA"
    min_benchopt_version = "1.10"
    sampling_strategy = "tolerance"
    # The growing penalty of an augmented Lagrangian makes the first few errors large.
    stopping_criterion = SufficientProgressCriterion(patience=8)

    def set_data(self, X: np.ndarray, low_rank: np.ndarray, sparse: np.ndarray, rank: int) -> None:
        self.X, self.low_rank, self.sparse, self.rank = X, low_rank, sparse, rank

    def get_objective(self) -> dict:
        return {"X": self.X, "rank": self.rank}

    def evaluate_result(self, low_rank: np.ndarray, sparse: np.ndarray) -> dict:
        """The relative error of the low-rank part, its rank, and the support of the sparse one.

        The rank counts singular values above 1e-6 of the first, and ten too many at the most: of
        the product with a random matrix that is ten columns wider than it has to be. Misplaced are
        the entries that are in one support and not in the other.
        """
        n = self.X.shape[1]
        sketch = np.random.RandomState(0).standard_normal((n, min(n, self.rank + 10)))
        error = np.linalg.norm(low_rank - self.low_rank) / np.linalg.norm(self.low_rank)
        found, true = sparse != 0, self.sparse != 0
        misplaced, both = int(np.sum(found != true)), int(np.sum(found & true))
        return {
            "value": float(error),
            "rank": int(np.linalg.matrix_rank(low_rank @ sketch, rtol=1e-6)),
            "count": int(np.count_nonzero(found)),
            "misplaced": misplaced,
            "f1": 2 * both / (2 * both + misplaced) if both or misplaced else 1.0,
        }

    def get_one_result(self) -> dict:
        return {"low_rank": np.zeros_like(self.X), "sparse": self.X}
