"""Columns that form an autoregressive process, as in ``celer.datasets.make_correlated_data``.

The same random numbers in the same order: with one seed the two generators give the same data.
"""

import numpy as np
from benchopt import BaseDataset
from scipy.signal import lfilter


class Dataset(BaseDataset):
    name = "correlated"
    requirements = ["scipy"]

    parameters = {
        "n_samples, n_features": [(200, 7000), (1000, 20000), (5000, 2000)],
        "corr": [0.6],
        "snr": [5],
    }
    test_config = {"n_samples": 40, "n_features": 80}

    def get_data(self) -> dict:
        n, p = self.n_samples, self.n_features
        rng = np.random.RandomState(0)
        innovations = rng.standard_normal((p, n))
        innovations[1:] *= np.sqrt(1 - self.corr**2)
        X = lfilter([1.0], [1.0, -self.corr], innovations, axis=0).T  # in Fortran order
        n_nonzero = int((0.05 if p > 3000 else 0.1) * p)
        w = np.zeros(p)
        support = rng.choice(p, n_nonzero, replace=False)
        w[support] = rng.standard_normal(n_nonzero)
        y = X @ w
        noise = rng.standard_normal(n)
        y += noise * (np.linalg.norm(y) / (self.snr * np.linalg.norm(noise)))
        return {"X": X, "y": y}
