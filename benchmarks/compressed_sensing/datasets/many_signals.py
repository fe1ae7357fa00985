"""Many signals through one Gaussian matrix; no noise."""

import numpy as np
from benchopt import BaseDataset


class Dataset(BaseDataset):
    name = "many_signals"

    parameters = {"n, m, n_nonzero_coefs, n_signals": [(1024, 400, 40, 1000)]}
    test_config = {"n, m, n_nonzero_coefs, n_signals": (64, 32, 3, 5)}

    def get_data(self) -> dict:
        rng = np.random.RandomState(0)
        A = rng.standard_normal((self.m, self.n)) / np.sqrt(self.m)
        x = np.zeros((self.n, self.n_signals))
        for column in x.T:
            column[rng.permutation(self.n)[: self.n_nonzero_coefs]] = rng.standard_normal(
                self.n_nonzero_coefs
            )
        k = self.n_nonzero_coefs
        return {"A": A, "y": A @ x, "x": x, "sigma": 0.0, "n_nonzero_coefs": k}
