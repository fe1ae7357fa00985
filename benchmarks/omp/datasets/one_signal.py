"""One sparse signal in a large Gaussian dictionary, without noise."""

import numpy as np
from benchopt import BaseDataset


class Dataset(BaseDataset):
    name = "one_signal"

    parameters = {
        "n_features, n_components, n_nonzero_coefs": [(2000, 10_000, 100)],
    }
    test_config = {"n_features": 40, "n_components": 80, "n_nonzero_coefs": 4}

    def get_data(self) -> dict:
        rng = np.random.RandomState(0)
        D = rng.standard_normal((self.n_components, self.n_features))
        D /= np.linalg.norm(D, axis=1, keepdims=True)
        support = rng.choice(self.n_components, self.n_nonzero_coefs, replace=False)
        x = rng.standard_normal(self.n_nonzero_coefs) @ D[support]
        return {"X": x[None, :], "D": D, "n_nonzero_coefs": self.n_nonzero_coefs}
