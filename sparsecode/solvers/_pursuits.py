"""What `omp`, `ols` and `simultaneous_omp` are: one more atom, and a fit, at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from sparsecode.operators import adjoint
from sparsecode.solvers._support import columns, largest
from sparsecode.solvers._support import nonnegative as nonnegative_least_squares


def orthogonal(
    A: Any, y: np.ndarray, norms: np.ndarray, limit: int, target: float, *, best: bool
) -> tuple[list[int], np.ndarray, float]:
    """OMP, or OLS if `best`: the residual stays orthogonal to the support.

    `Q R` are the selected columns, each over its norm: the scale of a column does not matter. Of
    many signals in `y` the support is one, and the norms are those of their rows.
    """
    AH, eps = adjoint(A), np.finfo(y.dtype).eps
    Q = np.empty((len(y), limit), dtype=y.dtype, order="F")
    images = np.empty((limit, norms.size), dtype=y.dtype)  # A^H Q, a column a row
    R = np.zeros((limit, limit), dtype=y.dtype)
    support: list[int] = []
    sizes = np.where(norms > 0, norms, 1)
    available, energy = norms > 0, np.ones(norms.size)
    gram = _GramRows(A, sizes, y.dtype) if isinstance(A, np.ndarray) else None
    floor = 10 * eps * np.linalg.norm(y)  # correlations below are rounding errors
    r, correlation, exact_at = y, AH @ y, np.linalg.norm(y)
    while (k := len(support)) < limit and (size := np.linalg.norm(r)) > target:
        if size < 1e-2 * exact_at:  # what has been subtracted was larger, and so is its rounding
            correlation, exact_at = AH @ r, size
        score = np.where(available, _row_norms(correlation) / sizes, 0)
        score = np.where(score > floor, score / np.sqrt(energy), 0)
        chosen = int(np.argmax(score))
        if score[chosen] == 0:
            break
        available[chosen] = False
        q = _unit_atoms(A, [chosen], sizes, y.dtype)[:, 0]
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            overlap = Q[:, :k].conj().T @ q
            q = q - Q[:, :k] @ overlap
            R[:k, k] += overlap
        left = np.linalg.norm(q)
        if left <= 100 * eps:  # it depends on the selected atoms
            R[:k, k] = 0
            continue
        R[k, k] = left
        Q[:, k] = q / left
        step = Q[:, k].conj() @ r
        r = r - np.multiply.outer(Q[:, k], step)
        support.append(chosen)
        if k + 1 == limit:
            break
        if gram is not None and left > 1e-3:  # else the difference would lose its digits
            images[k] = (gram.row(chosen, score, limit - k) - R[:k, k] @ images[:k]) / left
        else:
            images[k] = AH @ Q[:, k]
        correlation = correlation - np.multiply.outer(images[k], step)
        if best:
            energy = energy - np.square(np.abs(images[k]) / sizes)
            energy = _repaired(energy, A, sizes, Q[:, : k + 1])
    k = len(support)
    coefficients = scipy.linalg.solve_triangular(R[:k, :k], Q[:, :k].conj().T @ y)
    sizes = norms[support].reshape(-1, *(1,) * (y.ndim - 1))
    return support, coefficients / sizes, float(np.linalg.norm(r))


def _row_norms(correlation: np.ndarray) -> np.ndarray:
    """How much an atom explains: of one signal its correlation, of many the norm of theirs."""
    size = np.abs(correlation)
    return size if size.ndim == 1 else np.sqrt(np.einsum("ij,ij->i", size, size))


class _GramRows:
    """Rows ``A^H a_j`` for the unit atoms of a dense matrix, for many likely ones at once.

    A product with one column waits for the matrix to arrive from memory; many columns share that.
    """

    BLOCK = 32

    def __init__(self, A: np.ndarray, sizes: np.ndarray, dtype: np.dtype) -> None:
        self.A, self.sizes, self.dtype = A, sizes, dtype
        self.rows: dict[int, np.ndarray] = {}

    def row(self, chosen: int, score: np.ndarray, wanted: int) -> np.ndarray:
        """That of the chosen atom, which has the best of the scores; `wanted` more may follow."""
        if chosen not in self.rows:
            score = score.copy()
            score[list(self.rows)] = 0
            likely = np.union1d(largest(score, min(self.BLOCK, wanted)), [chosen])
            atoms = _unit_atoms(self.A, list(likely), self.sizes, self.dtype)
            self.rows.update(zip(likely, (atoms.conj().T @ self.A).conj(), strict=True))
        return self.rows.pop(chosen)


def nonnegative(
    A: Any, y: np.ndarray, norms: np.ndarray, limit: int, target: float, *, best: bool
) -> tuple[list[int], np.ndarray, float]:
    """Nonnegative OMP, or OLS if `best`; the coefficients over the support are all positive."""
    AH, eps = adjoint(A), np.finfo(y.dtype).eps
    sizes = np.where(norms > 0, norms, 1)
    floor = 10 * eps * np.linalg.norm(y)
    support: list[int] = []
    coefficients, r, size = np.empty(0), y, float(np.linalg.norm(y))
    while len(support) < limit and size > target:
        score = (AH @ r) / sizes
        score = np.where((norms > 0) & (score > floor), score, 0)
        if best and support:
            Q = np.linalg.qr(_unit_atoms(A, support, sizes, y.dtype))[0]
            energy = 1 - np.sum(np.square((AH @ Q) / sizes[:, None]), axis=1)
            score = score / np.sqrt(_repaired(energy, A, sizes, Q))
        smallest = size * (1 - 4 * eps)
        joined: list[int] | None = None
        for j in np.argsort(-score, kind="stable")[: np.count_nonzero(score)]:
            # An atom leaves at least what it leaves with coefficients of any sign.
            if joined and (not best or size**2 - score[j] ** 2 >= smallest**2):
                break
            trial = [*support, int(j)]
            fitted, left = nonnegative_least_squares(_unit_atoms(A, trial, sizes, y.dtype), y)
            if left < smallest:
                joined, smallest, coefficients = trial, left, fitted
        if joined is None:
            break
        support = [j for j, c in zip(joined, coefficients, strict=True) if c > 0]
        coefficients = coefficients[coefficients > 0]
        size = smallest
        r = (y - _unit_atoms(A, support, sizes, y.dtype) @ coefficients).astype(y.dtype)
    return support, coefficients / norms[support], size


def _unit_atoms(A: Any, support: list[int], sizes: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return (columns(A, support) / sizes[support]).astype(dtype)


def _repaired(energy: np.ndarray, A: Any, sizes: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """``||a_j||^2 - ||Q^* a_j||^2`` of unit atoms, anew where the difference has cancelled."""
    cancelled = np.flatnonzero(energy < 1e-3)
    if cancelled.size:
        P = _unit_atoms(A, list(cancelled), sizes, Q.dtype)
        for _ in range(2):
            P = P - Q @ (Q.conj().T @ P)
        # An atom of the span has rounding errors for energy, and nothing to give.
        left = np.sum(np.square(np.abs(P)), axis=0)
        negligible = np.square(100 * np.finfo(Q.dtype).eps)
        energy[cancelled] = np.where(left > negligible, left, np.inf)
    return energy
