"""8 x 8 patches of photographs, without their mean and of unit norm; a random dictionary."""

import numpy as np
from benchopt import BaseDataset

from sparsecode.datasets import load_image_patches


class Dataset(BaseDataset):
    name = "patches"
    requirements = ["pip::sparsecode"]

    parameters = {"n_samples": [10_000]}
    test_config = {"n_samples": 50}

    def get_data(self) -> dict:
        X = load_image_patches(self.n_samples, random_state=0)
        D = np.random.RandomState(0).standard_normal((256, 64))
        return {
            "X": X / np.linalg.norm(X, axis=1, keepdims=True),
            "D": D / np.linalg.norm(D, axis=1, keepdims=True),
        }
