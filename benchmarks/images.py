"""Pictures restored, in decibels and seconds: ``python benchmarks/images.py`` writes images.csv.

The photographs of scikit-learn, 512 x 512 pixels of each, continued by reflection at the bottom, in
grey and in colour. Noise of 25 grey levels; half of the pixels missing, or nine tenths, or stripes
that are wider than a patch. Colours together, in patches through all channels, or each alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from measure import HERE, Row, write
from sklearn.datasets import load_sample_images

from sparsecode.images import denoise, inpaint

FIELDS = ["picture", "damage", "method", "given", "restored", "seconds"]
Restore = Callable[[np.ndarray], np.ndarray]


def pictures(side: int) -> Iterator[tuple[str, np.ndarray]]:
    for name, photograph in zip(("china", "flower"), load_sample_images().images, strict=True):
        below = max(0, side - len(photograph))
        picture = np.pad(photograph, ((0, below), (0, 0), (0, 0)), mode="reflect")
        colour = picture[:side, :side].astype(float)
        yield f"{name}, grey", colour @ [0.299, 0.587, 0.114]
        yield f"{name}, colour", colour


def decibels(clean: np.ndarray, picture: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((clean - picture) ** 2)))


def each_alone(restore: Restore) -> Restore:
    """Channel by channel."""
    return lambda picture: np.dstack([restore(channel) for channel in np.moveaxis(picture, 2, 0)])


def masks(shape: tuple[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    for share in (0.5, 0.9):
        yield f"{share:.0%} missing", rng.random(shape) < share
    rows, columns = np.indices(shape)
    yield "stripes 12 wide missing", (rows + columns // 2) % 60 < 12


def row(picture: str, damage: str, method: str, clean: np.ndarray, given: np.ndarray,
        restore: Restore) -> Row:  # fmt: skip
    began = time.perf_counter()
    restored = restore(given)
    seconds = time.perf_counter() - began
    values = (picture, damage, method, decibels(clean, given), decibels(clean, restored), seconds)
    return dict(zip(FIELDS, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small crops: only to see that it runs")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder")
    given = parser.parse_args()
    rows = []
    for name, clean in pictures(40 if given.tiny else 512):
        noisy = clean + np.random.default_rng(0).normal(scale=25, size=clean.shape)
        methods: dict[str, Restore] = {"K-SVD": denoise}
        if clean.ndim == 3:
            methods["K-SVD, each channel alone"] = each_alone(denoise)
        for method, restore in methods.items():
            rows.append(row(name, "noise of 25", method, clean, noisy, restore))
        if clean.ndim == 3:
            continue
        for damage, mask in masks(clean.shape[:2]):
            holed = np.where(mask, clean[~mask].mean(), clean)
            for method, max_iter in (("cosines", 0), ("K-SVD", 25)):
                rows.append(
                    row(name, damage, method, clean, holed,
                        lambda picture, mask=mask, n=max_iter: inpaint(picture, mask, max_iter=n))
                )  # fmt: skip
    given.output.mkdir(parents=True, exist_ok=True)
    write(given.output / "images.csv", FIELDS, rows)


if __name__ == "__main__":
    main()
