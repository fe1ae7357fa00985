"""Whether a known dictionary is learned again: writes results/recovery.csv.

The protocol of the K-SVD authors' toolbox (Aharon, Elad and Bruckstein, 2006): 50 Gaussian atoms of
20 entries and unit norm, 1,500 signals of 3 of them with Gaussian coefficients, white noise at a
nominal signal-to-noise ratio over all signals, the first 50 signals for a start. An atom is found
if ``1 - |<d, d'>| < 0.01`` for its nearest learned atom (the authors' rule), or for the one that
the assignment with the largest sum gives it (one to one). ``python benchmarks/recovery.py``
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from measure import HERE, Row, write
from scipy.optimize import linear_sum_assignment

from sparsecode.datasets import make_sparse_coded_signals
from sparsecode.solvers import ksvd, mod, online_dictionary_learning

Learn = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]
SNRS = (None, 30, 20, 10)  # dB; None is without noise
TRIALS = {"PyPI ksvd": 5}  # 50 of the others: it takes seconds for what they do in a tenth of one
FIELDS = ["method", "snr", "trials", "iterations", "authors_rule", "one_to_one", "worst"]


def ours(solve: Callable[..., Any], **options: Any) -> Learn:
    """The learned atoms of one of our solvers."""

    def learn(X: np.ndarray, first: np.ndarray, max_iter: int, seed: int) -> np.ndarray:
        result = solve(
            X, len(first), n_nonzero_coefs=3, init=first, max_iter=max_iter, random_state=seed,
            n_threads=1, **options,
        )  # fmt: skip
        return result.dictionary

    return learn


def pypi(X: np.ndarray, first: np.ndarray, max_iter: int, seed: int) -> np.ndarray:
    """PyPI `ksvd`, which takes no first atoms, but draws its own."""
    from ksvd import ApproximateKSVD

    np.random.seed(seed)  # noqa: NPY002 (it draws from there)
    model = ApproximateKSVD(len(first), max_iter=max_iter, tol=0, transform_n_nonzero_coefs=3)
    return model.fit(X).components_


METHODS: dict[str, Learn] = {
    "ksvd": ours(ksvd),
    "ksvd, exact": ours(ksvd, update="exact"),
    "mod": ours(mod),
    "online": ours(online_dictionary_learning),
    "PyPI ksvd": pypi,
}


def trial(method: str, snr: int | None, seed: int, max_iter: int) -> tuple[float, float]:
    """The shares of atoms found by the two rules."""
    warnings.simplefilter("ignore")
    data = make_sparse_coded_signals(
        1500, n_components=50, n_features=20, n_nonzero_coefs=3, random_state=seed
    )
    X, rng = data.X, np.random.default_rng(seed)
    if snr is not None:
        noise = rng.standard_normal(X.shape)
        X = X + noise * (np.linalg.norm(X) / np.linalg.norm(noise) * 10 ** (-snr / 20))
    atoms = METHODS[method](X, X[:50], max_iter, seed)
    alike = np.abs(data.dictionary @ atoms.T)
    matched = alike[linear_sum_assignment(-alike)]
    return float(np.mean(alike.max(axis=1) > 0.99)), float(np.mean(matched > 0.99))


def cell(method: str, snr: int | None, trials: int, max_iter: int) -> Row:
    """Means over the trials, and the worst of them one to one."""
    found = np.array([trial(method, snr, seed, max_iter) for seed in range(trials)])
    shares = [*map(float, found.mean(axis=0)), float(found[:, 1].min())]
    values: list[Any] = [method, snr, trials, max_iter, *shares]
    return dict(zip(FIELDS, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="one trial: only to see that it runs")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder")
    given = parser.parse_args()
    rows = Parallel(n_jobs=-1)(
        delayed(cell)(method, snr, 1 if given.tiny else TRIALS.get(method, 50), 50)
        for method, snr in itertools.product(METHODS, SNRS)
    )
    given.output.mkdir(parents=True, exist_ok=True)
    write(given.output / "recovery.csv", FIELDS, rows)


if __name__ == "__main__":
    main()
