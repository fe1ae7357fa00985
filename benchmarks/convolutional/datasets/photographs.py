"""Squares of the photographs of scikit-learn, grey, without what is smooth; others held out."""

import numpy as np
from benchopt import BaseDataset
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images


class Dataset(BaseDataset):
    name = "photographs"
    requirements = ["pip::scikit-learn", "pip::scipy"]

    parameters = {"side, n_components, size": [(96, 32, 8)]}
    test_config = {"side, n_components, size": (24, 4, 4)}

    def get_data(self) -> dict:
        squares = []
        for photograph in load_sample_images().images:
            grey = photograph @ [0.299, 0.587, 0.114] / 255
            sharp = grey - gaussian_filter(grey, 5)
            corners = [(50, 80), (50, 220), (50, 360), (200, 150), (200, 290)]
            squares += [sharp[i : i + self.side, j : j + self.side] for i, j in corners]
        first = np.random.default_rng(0).standard_normal((self.n_components, self.size, self.size))
        first /= np.sqrt(np.sum(first**2, axis=(1, 2), keepdims=True))
        held_out = [4, 9]
        X = np.array([square for i, square in enumerate(squares) if i not in held_out])
        return {"X": X, "held_out": np.array([squares[i] for i in held_out]), "first": first}
