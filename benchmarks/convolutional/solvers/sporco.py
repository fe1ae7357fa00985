import numpy as np
from benchopt import BaseSolver
from sporco.dictlrn.cbpdndl import ConvBPDNDictLearn


class Solver(BaseSolver):
    """With the penalty parameters of its own examples."""

    name = "SPORCO"
    requirements = ["pip::sporco"]
    parameters = {"dtype": ["float64", "float32"]}

    def set_objective(self, X: np.ndarray, first: np.ndarray, alpha: float) -> None:
        self.X, self.first = (np.moveaxis(a, 0, -1).astype(self.dtype) for a in (X, first))
        self.alpha = alpha

    def warm_up(self) -> None:
        self.run(1)  # FFTW plans

    def run(self, n_iter: int) -> None:
        options = ConvBPDNDictLearn.Options(
            {
                "MaxMainIter": max(1, n_iter),
                "CBPDN": {"rho": 50 * self.alpha + 0.5, "DataType": np.dtype(self.dtype)},
                "CCMOD": {"rho": 10.0, "DataType": np.dtype(self.dtype)},
            },
            dmethod="cns",
        )
        solver = ConvBPDNDictLearn(self.first, self.X, self.alpha, options, dmethod="cns")
        solver.solve()
        self.dictionary = np.moveaxis(solver.getdict().squeeze(), -1, 0)

    def get_result(self) -> dict:
        return {"dictionary": self.dictionary.astype(np.float64)}
