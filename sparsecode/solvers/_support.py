"""Least squares over few atoms as the greedy solvers see it: in units, one signal at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparsecode._scaling import from_units, to_units, unit_of, units_of
from sparsecode._systems import check_system
from sparsecode._validation import as_array, check_int, check_real
from sparsecode.operators import spectral_norm
from sparsecode.solvers._problem import answer_dtype, divided
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback, run


class Iterate(NamedTuple):
    """Coefficients of one signal, the residual they leave, and how far from settled they are."""

    x: np.ndarray
    residual: np.ndarray
    certificate: float


# The matrix, a signal, the number of atoms and 1 / ||A||_2^2 -> the iterates.
Algorithm = Callable[[Any, np.ndarray, int, float], Iterator[Iterate]]


class Point(NamedTuple):
    """Coefficients, the support they live on, and their residual."""

    x: np.ndarray
    support: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True)
class Signals:
    """``y ~ A x`` in units, one signal a column; as given they are matrix_unit * A and y * units.

    Each signal has a unit of its own: what is large in one must not drown another.
    """

    A: Any
    y: np.ndarray  # (m, n_signals)
    targets: np.ndarray  # residual norms that are small enough
    matrix_unit: float
    units: np.ndarray
    shape: tuple[int, ...]  # of the answer
    dtype: np.dtype  # of the answer

    @classmethod
    def in_units(
        cls,
        A: Any,
        y: np.ndarray,
        size: float,
        residual_tol: Any,
        dtype: np.dtype,
        *,
        together: bool = False,
    ) -> Signals:
        """A checked system; `size` is some norm of `A`, `dtype` that of the signals as given.

        With `together` all signals have one unit, because they are compared with each other.
        """
        target = 0.0 if residual_tol is None else check_real(residual_tol, "residual_tol", low=0)
        matrix_unit = unit_of(min(size, np.finfo(np.float64).max), y.dtype)
        sizes = np.max(np.abs(y), axis=0)
        units = units_of(np.full_like(sizes, sizes.max()) if together else sizes, y.dtype)
        with np.errstate(over="ignore"):
            targets = np.ravel(target / units)
        return cls(
            divided(A, matrix_unit),
            to_units(y, units).reshape(y.shape[0], -1),
            targets,
            matrix_unit,
            units,
            (A.shape[1], *y.shape[1:]),
            answer_dtype(dtype, y.dtype),
        )

    def relative(self, residuals: np.ndarray) -> float:
        """The largest residual norm over the norm of its signal."""
        sizes = np.linalg.norm(self.y, axis=0)
        return float(np.max(np.divide(residuals, sizes, out=np.zeros(sizes.size), where=sizes > 0)))

    def objective(self, residuals: np.ndarray) -> float:
        """Half the squared residual norms, summed, as the caller measures them."""
        with np.errstate(over="ignore", under="ignore"):
            return 0.5 * float(np.sum(np.square(residuals * np.ravel(self.units))))

    def answer(self, x: np.ndarray) -> np.ndarray:
        """The coefficients (n, n_signals) as the caller measures them."""
        x = from_units(x.reshape(self.shape), self.units, 1 / self.matrix_unit, name="x")
        return x.astype(self.dtype, copy=False)

    def solve(
        self,
        algorithms: Sequence[Iterator[Iterate]],
        *,
        tol: Any,
        max_iter: Any,
        callback: Callback | None,
        name: str,
    ) -> CodeResult:
        """Run one generator a signal, until each has settled or reached its target."""
        tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
        last, ending = run(
            self._together(algorithms, tol),
            self._measure,
            tol=tol,
            max_iter=max_iter,
            callback=callback,
            name=name,
        )
        x = self.answer(np.stack([iterate.x for iterate in last], axis=1))
        return CodeResult(x=x, dual_gap=np.nan, **ending)

    def _together(
        self, algorithms: Sequence[Iterator[Iterate]], tol: float
    ) -> Iterator[list[Iterate]]:
        # A signal that has settled is left alone, so that its answer does not hang on the others.
        zero = np.zeros(self.shape[0], dtype=self.y.dtype)
        current = [Iterate(zero, y, np.inf) for y in self.y.T]
        while True:
            current = [
                iterate if certificate <= tol else next(algorithm)
                for iterate, certificate, algorithm in zip(
                    current, self._certificates(current), algorithms, strict=True
                )
            ]
            yield current

    def _certificates(self, iterates: list[Iterate]) -> list[float]:
        return [
            0.0 if np.linalg.norm(iterate.residual) <= target else iterate.certificate
            for iterate, target in zip(iterates, self.targets, strict=True)
        ]

    def _measure(self, iterates: list[Iterate]) -> dict[str, float]:
        residuals = np.array([np.linalg.norm(iterate.residual) for iterate in iterates])
        return {
            "objective": self.objective(residuals),
            "certificate": max(self._certificates(iterates)),
            "residual": self.relative(residuals),
        }


def check_real_data(y: np.ndarray) -> None:
    """Nonnegative coefficients are a matter of real data."""
    if np.iscomplexobj(y):
        raise ValueError("positive=True needs real data; A or y is complex")


def largest(u: np.ndarray, k: int) -> np.ndarray:
    """The indices of the `k` entries of largest absolute value, in ascending order."""
    k = min(k, u.size)
    return np.sort(np.argpartition(-np.abs(u), k - 1)[:k])


def columns(A: Any, support: Any) -> np.ndarray:
    """The selected columns as a dense array; of an operator by products with unit vectors."""
    support = np.asarray(support)
    if isinstance(A, np.ndarray):
        return A[:, support]
    if sp.issparse(A):
        return A[:, support].toarray()
    units = np.zeros((A.shape[1], support.size), dtype=A.dtype)
    units[support, np.arange(support.size)] = 1
    return np.asarray(A @ units)


def column_norms(A: Any) -> np.ndarray:
    """The l2 norm of each column, in double precision, whatever their scale."""
    if isinstance(A, np.ndarray):
        if A.dtype.kind == "f":
            with np.errstate(over="ignore", under="ignore"):
                squares = np.einsum("ij,ij->j", A, A, dtype=np.float64)
            if squares.min(initial=1.0) > 1e-200 and squares.max(initial=1.0) < 1e200:
                return np.sqrt(squares)
        sizes = np.max(np.abs(A), axis=0).astype(np.float64)
        return sizes * np.linalg.norm(A / np.where(sizes > 0, sizes, 1), axis=0)
    n = A.shape[1]
    blocks = (np.arange(start, min(start + 256, n)) for start in range(0, n, 256))
    return np.concatenate([column_norms(columns(A, block)) for block in blocks])


def fit(A: Any, y: np.ndarray, support: np.ndarray, *, positive: bool = False) -> np.ndarray:
    """Exact least squares over the support, the coefficients nonnegative if `positive`.

    Of the minimizers with dependent atoms the one of least norm (in unit atoms). Both are
    functions of the support alone, so that a support that repeats repeats the coefficients.
    """
    atoms = columns(A, support)
    sizes = column_norms(atoms)
    sizes = np.where(sizes > 0, sizes, 1)
    atoms = (atoms / sizes).astype(y.dtype, copy=False)
    if positive:
        coefficients = nonnegative(atoms, y)[0]
    else:
        coefficients = scipy.linalg.lstsq(atoms, y, check_finite=False)[0]
    return (coefficients / sizes).astype(y.dtype, copy=False)


def nonnegative(atoms: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Nonnegative least squares by active sets, in double precision, and its residual norm."""
    from scipy.optimize import nnls

    return nnls(atoms.astype(np.float64), y.astype(np.float64), maxiter=30 * atoms.shape[1])


def solve_each(
    algorithm: Algorithm,
    name: str,
    A: Any,
    y: Any,
    n_nonzero_coefs: Any,
    residual_tol: Any,
    tol: Any,
    max_iter: Any,
    callback: Callback | None,
    *,
    positive: bool = False,
) -> CodeResult:
    """The arguments checked, and one run of the algorithm for each signal."""
    dtype = as_array(y, "y").dtype
    A, y = check_system(A, y)
    if positive:
        check_real_data(y)
    k = min(check_int(n_nonzero_coefs, "n_nonzero_coefs", high=A.shape[1]), A.shape[0])
    norm = spectral_norm(A)
    signals = Signals.in_units(A, y, norm, residual_tol, dtype)
    norm = min(norm, np.finfo(np.float64).max) / signals.matrix_unit
    step = 1 / (norm * norm) if norm > 0 else 1.0
    return signals.solve(
        [algorithm(signals.A, signal, k, step) for signal in signals.y.T],
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        name=name,
    )


def point(A: Any, y: np.ndarray, support: np.ndarray, coefficients: np.ndarray) -> Point:
    """The point with these coefficients on the support."""
    x = np.zeros(A.shape[1], dtype=y.dtype)
    x[support] = coefficients
    return Point(x, support, y - A @ x)


def fitted(A: Any, y: np.ndarray, support: np.ndarray, *, positive: bool = False) -> Point:
    """The point of least squares on the support."""
    return point(A, y, support, fit(A, y, support, positive=positive))


def size_of(point: Point) -> float:
    """The norm of its residual."""
    return float(np.linalg.norm(point.residual))


def smaller(now: Point, other: Point) -> Point:
    """The other point if its residual is smaller by more than rounding errors."""
    margin = 1 - 10 * np.finfo(now.x.dtype).eps
    return other if size_of(other) < margin * size_of(now) else now


def change(x: np.ndarray, last: np.ndarray) -> float:
    """The distance of two vectors over the norm of the larger one."""
    size = max(np.linalg.norm(x), np.linalg.norm(last))
    return float(np.linalg.norm(x - last) / size) if size > 0 else 0.0
