"""8 x 8 patches of photographs without their mean; a random dictionary; 8 atoms a patch."""

import numpy as np
from benchopt import BaseDataset

from sparsecode.datasets import load_image_patches


class Dataset(BaseDataset):
    name = "patches"
    requirements = ["pip::sparsecode"]

    parameters = {"n_samples": [50_000], "dtype": ["float64", "float32"]}
    test_config = {"n_samples": 50}

    def get_data(self) -> dict:
        X = load_image_patches(self.n_samples, random_state=0, dtype=self.dtype)
        D = np.random.RandomState(0).standard_normal((256, 64))
        D /= np.linalg.norm(D, axis=1, keepdims=True)
        return {"X": X, "D": D.astype(self.dtype), "n_nonzero_coefs": 8}
