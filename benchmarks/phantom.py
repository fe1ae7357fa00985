"""Least variation on the phantom of Candes, Romberg and Tao: ``python benchmarks/phantom.py``.

256 x 256 pixels from 22 radial lines of the spectrum, as a real picture and as a complex one.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from sparsecode.datasets import radial_lines, shepp_logan
from sparsecode.operators import subsampled_fft
from sparsecode.solvers import total_variation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=256, help="pixels along each side")
    parser.add_argument("--lines", type=int, default=22, help="of the spectrum")
    given = parser.parse_args()
    image = shepp_logan(given.n)
    A = subsampled_fft(image.shape, radial_lines(image.shape, given.lines))
    y = A @ image.ravel()
    size = np.linalg.norm(image)
    zero_filled = np.linalg.norm((A.H @ y).reshape(image.shape) - image) / size
    print(
        f"{y.size} of {image.size} frequencies; zeros elsewhere: relative error {zero_filled:.2g}"
    )
    for name, options in (
        ("isotropic, real", {"real": True}),
        ("isotropic, complex", {}),
        ("anisotropic, real", {"real": True, "isotropic": False}),
    ):
        began = time.perf_counter()
        result = total_variation(A, y, image.shape, sigma=0, **options)
        seconds = time.perf_counter() - began
        error = np.linalg.norm(result.x - image) / size
        print(
            f"{name:20s} {seconds:6.2f} s, {result.n_iter} iterations, relative error {error:.1e}, "
            f"gap {result.certificate:.1e}, residual {result.residual:.1e}"
        )


if __name__ == "__main__":
    main()
