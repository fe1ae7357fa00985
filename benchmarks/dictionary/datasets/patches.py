"""8 x 8 patches of photographs, without their mean and of unit norm; others held out."""

import numpy as np
from benchopt import BaseDataset

from sparsecode.datasets import load_image_patches


class Dataset(BaseDataset):
    name = "patches"
    requirements = ["pip::sparsecode"]

    parameters = {"n_samples": [20_000], "dtype": ["float64"]}
    test_config = {"n_samples": 600}

    def get_data(self) -> dict:
        n = self.n_samples
        X = load_image_patches(n + n // 4, random_state=0)
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
        first = X[:256] + 1e-6  # a patch without any contrast is a direction, too
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        train, held_out = X[:n].astype(self.dtype), X[n:]
        return {"X": train, "held_out": held_out, "first": first.astype(self.dtype)}
