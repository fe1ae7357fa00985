"""8 x 8 patches of the photograph that comes with matplotlib; others of it held out."""

import numpy as np
from benchopt import BaseDataset
from matplotlib.cbook import get_sample_data
from matplotlib.image import imread


class Dataset(BaseDataset):
    """Nothing was tuned on it. Without their mean and of unit norm, as the other patches."""

    name = "portrait"
    requirements = ["pip::matplotlib"]

    parameters = {"n_samples": [20_000], "dtype": ["float64"]}
    test_config = {"n_samples": 600}

    def get_data(self) -> dict:
        with get_sample_data("grace_hopper.jpg") as file:
            grey = imread(file, format="jpg") @ [0.299, 0.587, 0.114] / 255
        windows = np.lib.stride_tricks.sliding_window_view(grey, (8, 8))
        n, n_windows = self.n_samples, windows.shape[0] * windows.shape[1]
        drawn = np.random.default_rng(1).permutation(n_windows)[: n + n // 4]
        X = windows[np.unravel_index(drawn, windows.shape[:2])].reshape(-1, 64)
        X = X - X.mean(axis=1, keepdims=True)
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
        first = X[:256] + 1e-6  # a patch without any contrast is a direction, too
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        train, held_out = X[:n].astype(self.dtype), X[n:]
        return {"X": train, "held_out": held_out, "first": first.astype(self.dtype)}
