import numpy as np
from benchopt import BaseSolver
from ksvd import ApproximateKSVD


class Solver(BaseSolver):
    """It codes by scikit-learn, and takes no first atoms, but draws its own."""

    name = "ksvd"
    requirements = ["pip::ksvd"]

    def skip(self, alpha: float | None, **_: object) -> tuple[bool, str | None]:
        return alpha is not None, "it codes by a count of atoms alone"

    def set_objective(
        self, X: np.ndarray, first: np.ndarray, alpha: None, n_nonzero_coefs: int
    ) -> None:
        self.X, self.n_components, self.count = X, len(first), n_nonzero_coefs

    def run(self, n_iter: int) -> None:
        np.random.seed(0)  # noqa: NPY002 (it draws from there)
        model = ApproximateKSVD(
            self.n_components, max_iter=max(1, n_iter), tol=0, transform_n_nonzero_coefs=self.count
        )
        self.dictionary = model.fit(self.X).components_

    def get_result(self) -> dict:
        return {"dictionary": self.dictionary}
