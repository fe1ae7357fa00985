"""Whether a fit as good as asked for exists at all."""

from __future__ import annotations

from itertools import islice

import numpy as np

from sparsecode.solvers._cgls import cgls
from sparsecode.solvers._products import Products, norm


class Inconsistent(Exception):
    """No `x` comes near enough; the least residual is the argument."""


def check_consistent(A: Products, y: np.ndarray, sigma: float, tol: float) -> None:
    """An error where no `x` comes as near to `y` as `sigma`, up to the tolerance."""
    eps = float(np.finfo(y.dtype).eps)
    enough = sigma + max(tol, 1e3 * eps) * norm(y)
    for iterate in islice(cgls(A.forward, A.backward, y), 4 * min(A.shape) + 20):
        least = norm(iterate.residual)
        if least <= enough or iterate.stationarity <= 10 * eps:
            break
    if least > enough and iterate.stationarity <= np.sqrt(1e3 * eps):
        raise Inconsistent(least)
