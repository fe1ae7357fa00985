"""Chosen rows of an orthonormal discrete cosine transform, and normal coefficients."""

import numpy as np
from benchopt import BaseDataset

from sparsecode.operators import subsampled_dct


class Dataset(BaseDataset):
    """A quarter of the rows, a sixth as many nonzeros as rows, and noise of a level in each row."""

    name = "partial_dct"

    parameters = {"n": [65_536], "noise": [0.0, 0.01]}
    test_config = {"n": 256, "noise": 0.0}

    def get_data(self) -> dict:
        rng = np.random.RandomState(0)
        m = self.n // 4
        k = m // 6
        A, x = subsampled_dct(self.n, rng.permutation(self.n)[:m]), np.zeros(self.n)
        x[rng.permutation(self.n)[:k]] = rng.standard_normal(k)
        e = self.noise * rng.standard_normal(m)
        sigma = float(np.linalg.norm(e))
        return {"A": A, "y": A @ x + e, "x": x, "sigma": sigma, "n_nonzero_coefs": k}
