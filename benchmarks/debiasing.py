"""What debiasing gives back: ``python benchmarks/debiasing.py`` prints it.

Basis pursuit denoising of 65,536 coefficients from a quarter of their cosine transform, with noise
of 0.01, by SPGL1 and by ours, and ours with least squares on the coefficients that are larger than
three times the noise in one. All are given the norm of the noise that is to be expected.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from spgl1 import spg_bpdn

from sparsecode.operators import subsampled_dct
from sparsecode.solvers import bpdn, debias

NOISE = 0.01
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=65_536, help="coefficients")
    n = parser.parse_args().n
    m, rng = n // 4, np.random.default_rng(0)
    A = subsampled_dct(n, np.sort(rng.permutation(n)[:m]))
    x = np.zeros(n)
    x[rng.permutation(n)[: m // 6]] = rng.standard_normal(m // 6)
    y = A @ x + NOISE * rng.standard_normal(m)
    sigma = NOISE * np.sqrt(m)
    in_one = NOISE / np.sqrt(m / n)  # a column has norm sqrt(m / n)

    def debiased() -> np.ndarray:
        shrunk = bpdn(A, y, sigma).x
        return debias(A, y, np.abs(shrunk) > 3 * in_one).x

    contest: dict[str, Callable[[], np.ndarray]] = {
        "SPGL1": lambda: spg_bpdn(A, y, sigma)[0],
        "sparsecode": lambda: bpdn(A, y, sigma).x,
        "sparsecode, debiased": debiased,
        "least squares on the true support": lambda: debias(A, y, x).x,
    }
    seconds: dict[str, list[float]] = {name: [] for name in contest}
    answers = {}
    for _ in range(ROUNDS):
        for name, solve in contest.items():
            began = time.perf_counter()
            answers[name] = solve()
            seconds[name].append(time.perf_counter() - began)
    print(f"n = {n}, m = {m}, k = {m // 6}, noise {NOISE}")
    for name, answer in answers.items():
        error = np.linalg.norm(answer - x) / np.linalg.norm(x)
        residual = np.linalg.norm(y - A @ answer) / sigma
        print(
            f"{name:34s} {statistics.median(seconds[name]):7.3f} s, relative error {error:.4f}, "
            f"residual {residual:.4f} of the noise"
        )


if __name__ == "__main__":
    main()
