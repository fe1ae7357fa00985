"""A video, a frame a column: a scene whose light changes, and squares that move in front of it."""

import numpy as np
from benchopt import BaseDataset
from scipy.ndimage import gaussian_filter

RANK = 3  # the scene, and two lamps


class Dataset(BaseDataset):
    name = "video"
    requirements = ["scipy"]

    parameters = {"height, width, n_frames": [(144, 176, 200)], "density": [0.1]}
    test_config = {"height": 16, "width": 20, "n_frames": 30}

    def get_data(self) -> dict:
        rng = np.random.RandomState(0)
        shape = (self.height, self.width)
        pictures = np.stack([gaussian_filter(rng.standard_normal(shape), 4) for _ in range(RANK)])
        pictures -= pictures.min(axis=(1, 2), keepdims=True)
        pictures /= pictures.max(axis=(1, 2), keepdims=True)
        time = 2 * np.pi * np.arange(self.n_frames) / self.n_frames
        lights = [np.ones_like(time), 0.2 * np.sin(time), 0.2 * np.cos(time)]
        scene = np.tensordot(pictures, lights, axes=(0, 0))

        # Squares of grey that leave at one side and come back at the other.
        count = 4
        side = round(np.sqrt(self.density * self.height * self.width / count))
        rows, columns = np.ogrid[: self.height, : self.width]
        movers = np.zeros_like(scene)
        for grey, start, speed in zip(
            (0.0, 0.1, 0.9, 1.0),
            rng.uniform(0, shape, (count, 2)),
            rng.uniform(-3, 3, (count, 2)),
            strict=True,
        ):
            for frame in range(self.n_frames):
                top, left = (start + frame * speed) % shape
                down, right = (rows - top) % self.height, (columns - left) % self.width
                here = (down < side) & (right < side)
                movers[here, frame] = grey - scene[here, frame]
        low_rank, sparse = (part.reshape(-1, self.n_frames) for part in (scene, movers))
        return {"X": low_rank + sparse, "low_rank": low_rank, "sparse": sparse, "rank": RANK}
