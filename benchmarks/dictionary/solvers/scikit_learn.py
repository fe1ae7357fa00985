import warnings

import numpy as np
from benchopt import BaseSolver
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning


class Solver(BaseSolver):
    """An iteration is a pass over the patches; its learner knows the lasso alone."""

    name = "scikit-learn"
    requirements = ["pip::scikit-learn"]

    def skip(self, alpha: float | None, **_: object) -> tuple[bool, str | None]:
        return alpha is None, "it learns with the lasso alone"

    def set_objective(
        self, X: np.ndarray, first: np.ndarray, alpha: float, n_nonzero_coefs: None
    ) -> None:
        self.X, self.first, self.alpha = X, first, alpha
        warnings.filterwarnings("ignore", category=ConvergenceWarning)

    def run(self, n_iter: int) -> None:
        model = MiniBatchDictionaryLearning(
            len(self.first), alpha=self.alpha, batch_size=256, max_iter=max(1, n_iter),
            fit_algorithm="cd", dict_init=self.first, max_no_improvement=None, random_state=0,
        )  # fmt: skip
        self.dictionary = model.fit(self.X).components_

    def get_result(self) -> dict:
        return {"dictionary": self.dictionary}
