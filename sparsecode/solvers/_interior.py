"""Basis pursuit with real dense rows as a linear program, by a primal-dual interior point method.

The parts of ``x = p - q`` and the slacks ``1 -+ A^T z`` are positive; their products fall together.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg

from sparsecode.solvers._products import Point, Products, inner, largest

NEAR = 0.995  # of the way to the boundary
REGULAR = 1e-14  # of the mean of its diagonal: what keeps the Gram matrix positive


def interior_point(rows: np.ndarray, A: Products, y: np.ndarray) -> Iterator[Point]:
    """Mehrotra's predictor and corrector; `rows` are the entries of `A`.

    An iteration forms and factorises a Gram matrix of the rows, whatever the answer is.
    """
    Q, b = rows.astype(np.float64, copy=False), y.astype(np.float64)
    m, n = Q.shape
    start = Q.T @ scipy.linalg.solve(Q @ Q.T, b, assume_a="pos")
    margin = 0.1 * (largest(start) or 1.0)
    # The rows are p, q and their slacks.
    v = np.vstack([np.maximum(start, 0) + margin, np.maximum(-start, 0) + margin, np.ones((2, n))])
    z = np.zeros(m)
    while True:
        A.count += 2 * m  # what the Gram matrix takes
        residual, u = b - Q @ (v[0] - v[1]), Q.T @ z
        defect = np.stack([1 - u - v[2], 1 + u - v[3]])
        mean = inner(v[:2], v[2:]) / (2 * n)
        ratio = v[:2] / v[2:]
        weight = ratio.sum(axis=0)
        gram = (Q * weight) @ Q.T
        gram[np.diag_indices(m)] += REGULAR * np.trace(gram) / m
        factor = scipy.linalg.cho_factor(gram, check_finite=False)

        def direction(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            part = (target - v[:2] * defect) / v[2:]  # noqa: B023
            right = residual - Q @ (part[0] - part[1])  # noqa: B023
            dz = scipy.linalg.cho_solve(factor, right, check_finite=False)  # noqa: B023
            again = right - Q @ (weight * (Q.T @ dz))  # noqa: B023
            dz = dz + scipy.linalg.cho_solve(factor, again, check_finite=False)  # noqa: B023
            w = Q.T @ dz
            sign = np.stack([w, -w])
            return np.vstack([part + ratio * sign, defect - sign]), dz  # noqa: B023

        d, _ = direction(-v[:2] * v[2:])
        ahead = v + _steps(v, d, 1.0) * d
        centre = mean * (inner(ahead[:2], ahead[2:]) / (2 * n * mean)) ** 3
        d, dz = direction(centre - v[:2] * v[2:] - d[:2] * d[2:])
        steps = _steps(v, d, NEAR)
        v = v + steps * d
        z = z + steps[2, 0] * dz
        x = v[0] - v[1]
        dual = z / max(largest(Q.T @ z), 1.0)
        yield Point(
            x.astype(y.dtype), (b - Q @ x).astype(y.dtype), dual.astype(y.dtype), x.astype(y.dtype)
        )


def _steps(v: np.ndarray, d: np.ndarray, near: float) -> np.ndarray:
    """How far the primal rows and the dual ones may go, a column."""
    shrinks = d < 0
    reach = np.divide(-v, d, out=np.full_like(v, np.inf), where=shrinks)
    primal, dual = (min(1.0, near * float(part.min())) for part in (reach[:2], reach[2:]))
    return np.array([[primal], [primal], [dual], [dual]])
