"""The weights of LC-KSVD: ``python benchmarks/label_consistent.py`` writes label_consistent.csv.

Digits of scikit-learn, 100 atoms, 6 a signal. The weights are chosen by validation inside the first
1,000 rows, two times in four folds; the other 797 rows only say what the choice is worth, four
seeds a weight. With both weights zero it is K-SVD class by class, and a ridge regression.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from measure import HERE, Row, write
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

from sparsecode import LabelConsistentKSVD

WEIGHTS = (0.0, 0.003, 0.01, 0.03, 0.05, 0.1, 0.2, 0.4, 1.0, 3.0)
FIELDS = ["weight", "validation", "standard_error", "test", "worst_test"]


def accuracy(weight: float, seed: int, train: tuple, test: tuple) -> float:
    model = LabelConsistentKSVD(
        100, n_nonzero_coefs=6, max_iter=8, label_weight=weight, classifier_weight=weight,
        random_state=seed, n_threads=1,
    )  # fmt: skip
    return model.fit(*train).score(*test)


def row(weight: float, folds: int, seeds: int) -> Row:
    X, y = load_digits(return_X_y=True)
    train, test = (X[:1000], y[:1000]), (X[1000:], y[1000:])
    inside = [
        accuracy(weight, seed, tuple(a[chosen] for a in train), tuple(a[left] for a in train))
        for seed in range(2)
        for chosen, left in StratifiedKFold(folds, shuffle=True, random_state=seed).split(*train)
    ]
    outside = [accuracy(weight, seed, train, test) for seed in range(seeds)]
    error = np.std(inside, ddof=1) / np.sqrt(len(inside))
    values = [weight, *map(float, (np.mean(inside), error, np.mean(outside), min(outside)))]
    return dict(zip(FIELDS, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="two folds: only to see that it runs")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder")
    given = parser.parse_args()
    folds, seeds = (2, 1) if given.tiny else (4, 4)
    rows = Parallel(n_jobs=-1)(delayed(row)(weight, folds, seeds) for weight in WEIGHTS)
    given.output.mkdir(parents=True, exist_ok=True)
    write(given.output / "label_consistent.csv", FIELDS, rows)


if __name__ == "__main__":
    main()
