"""Data sets and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from bad_input.arguments import Count, Data, Flag, Number, Option, Thing
from bad_input.entry import entry

rng = np.random.default_rng(7)
PICTURE = np.clip(128 + 40 * rng.standard_normal((12, 14)), 0, 255)
HIDDEN = rng.random(PICTURE.shape) < 0.2
GENERATORS, IMAGES = "datasets", "images"


def drawn(result: Any) -> dict[str, Any]:
    return {name: np.asarray(getattr(value, "todense", lambda value=value: value)())
            for name, value in result._asdict().items()}  # fmt: skip


NETWORK = {
    f"{layer}.{kind}": rng.standard_normal(shape)
    for layer, (m, n) in {"hidden1": (4, 6), "hidden2": (3, 4), "output": (5, 3)}.items()
    for kind, shape in {"weight": (m, n), "bias": (m,)}.items()
}
ROWS = np.abs(rng.standard_normal((7, 6)))

ENTRIES = [
    entry("datasets.make_sparse_coded_signals", GENERATORS, answers=drawn,
          given={"n_samples": Count(value=6), "n_components": Count(value=5),
                 "n_features": Count(value=4), "n_nonzero_coefs": Count(value=2, high=5),
                 "noise": Number(low=0), "random_state": 0,
                 "snr_db": Number(low=-3000, high=3000, none=True)}),
    entry("datasets.make_low_rank_plus_sparse", GENERATORS, answers=drawn,
          given={"n": Count(value=6), "n_features": Count(value=5, none=True),
                 "rank": Count(value=2, high=5), "density": Number(value=0.1, low=0, high=1),
                 "magnitude": Number(low=0, open_low=True), "signs": Option(),
                 "noise": Number(low=0), "missing": Number(low=0, high=1, open_high=True),
                 "random_state": 0}),
    entry("datasets.make_compressed_measurements", GENERATORS, answers=drawn,
          given={"n_samples": Count(value=3), "n_features": Count(value=8),
                 "n_measurements": Count(value=5), "n_nonzero_coefs": Count(value=2, high=8),
                 "noise": Number(low=0), "sensing": Option(), "amplitudes": Option(),
                 "random_state": 0}),
    entry("datasets.make_sparco_problem", GENERATORS,
          given={"name": Option(value="cosspike"), "random_state": 0},
          answers=lambda p: {"y": p.y, "x": p.x}),
    entry("datasets.load_image_patches", GENERATORS,
          given={"n_patches": Count(value=5, none=True), "patch_size": Count(value=4),
                 "images": Option(other=True), "channels": Option(), "remove_mean": Flag(),
                 "random_state": 0, "dtype": Thing(none=True)}),
    entry("datasets.shepp_logan", GENERATORS, given={"n": Count(value=6, low=2)}),
    entry("datasets.radial_lines", GENERATORS,
          given={"shape": Thing(value=(6, 7)), "n_lines": Count(value=3)}),
    entry("datasets.load_digits_network", GENERATORS, given={"cache": Flag(), "random_state": 0},
          answers=lambda found: {"accuracy": found.accuracy}),
    entry("datasets.digits_network_predict", GENERATORS,
          given={"network": Thing(value=NETWORK), "X": Data(value=ROWS, grows=(0,))}),
    entry("datasets.digits_network_accuracy", GENERATORS,
          given={"network": Thing(value=NETWORK), "X": Data(value=ROWS, grows=()),
                 "y": Data(value=np.arange(7.0) % 5, ndim=(1,), grows=())}),
    entry("images.denoise", IMAGES,
          given={"noisy": Data(value=PICTURE, ndim=(2, 3), degrees={"it": 1},
                               along={"sigma": 1}),
                 "sigma": Number(value=40.0, low=0, open_low=True),
                 "patch_size": Count(value=4), "n_components": Count(value=20),
                 "max_iter": Count(value=1, low=0), "random_state": 0,
                 "data_range": Number(low=0, none=True)},
          rtol=1e-4, branching=True),
    entry("images.inpaint", IMAGES,
          given={"image": Data(value=PICTURE, ndim=(2, 3), degrees={"it": 1}, grows=()),
                 "mask": Thing(value=HIDDEN), "sigma": Number(low=0),
                 "patch_size": Count(value=4), "n_components": Count(value=20),
                 "n_nonzero_coefs": Count(value=2, high=20), "max_iter": Count(value=1, low=0),
                 "random_state": 0, "data_range": Number(low=0, none=True)},
          rtol=1e-4, branching=True),
]  # fmt: skip
