r"""Low rank: the truncated SVD, and how many directions matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, single_threaded_blas
from sparsecode._validation import (
    RandomSource,
    check_array,
    check_exactly_one,
    check_int,
    check_random_state,
    check_real,
    check_spectrum,
)
from sparsecode.solvers._krylov import Leading, Space, krylov
from sparsecode.solvers._orthogonal import svd
from sparsecode.solvers._result import SVDResult
from sparsecode.solvers._run import run
from sparsecode.solvers._tail import (
    captured,
    excess,
    lost_in_rounding,
    missed,
    squared_distance,
    squared_norm,
)

__all__ = ["effective_rank", "truncated_svd"]


def truncated_svd(
    X: Any,
    rank: int | None = None,
    *,
    energy: float | None = None,
    relative_error: float | None = None,
    tol: float = 1e-3,
    max_iter: int = 100,
    random_state: Any = 0,
    n_threads: int | None = None,
) -> SVDResult:
    r"""The best approximation of a given rank, or of a given error, in the Frobenius norm.

    .. math:: \min_{\mathrm{rank}(Y) \le r} \|X - Y\|_F

    Small problems, and ranks near the full one, take the exact SVD. Others take a randomised block
    Krylov space, which grows until the certificate is small enough, and the exact SVD where that
    would be no less work.

    Parameters
    ----------
    X : array of shape (m, n)
        The matrix; float32 or float64 is computed in its own precision, float16 and bfloat16 in
        float32, in which the factors come back: fewer digits would not leave them orthonormal.
    rank : int, optional
        From 1 to ``min(m, n)``. Give exactly one of this and the next two.
    energy : float, optional
        The share of ``||X||_F^2`` to be kept at least, in (0, 1]: the smallest rank found
        that does.
    relative_error : float, optional
        The largest ``||X - Y||_F / ||X||_F``, in (0, 1): the smallest rank found that has no larger
        one. It is measured, and less than ``max(m, n)`` roundings of the dtype counts as these.
    tol : float, default=1e-3
        Stop when the error is certainly within a factor ``1 + tol`` of the optimal one of its rank.
    max_iter : int, default=100
        Blocks of the Krylov space at the most, two products with `X` each.
    random_state : int, RandomState, Generator or None, default=0
        Draws the first block.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker. The answer
        of the Krylov space does not depend on it, to the bit.

    Returns
    -------
    SVDResult
        `U`, `singular_values`, `Vt`, `error` (the Frobenius norm of the residual) and
        `certificate`: the error over the optimal one of this rank is at most 1 + this; 0 is that of
        the exact SVD, and of an error of ``max(m, n)`` roundings of ``||X||_F`` or less. It rests
        on the largest sum that the leading eigenvalues of ``X^T X`` can have for what is known of
        it, and on Lanczos estimates of what the subspace may have missed, each of which is too low
        with probability less than ``7e-8 * sqrt(n)``.

    Raises
    ------
    ValueError
        If `X` has NaN or infinite entries, not exactly one of `rank`, `energy` and `relative_error`
        is given, or a parameter is out of range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first. So many blocks may have fewer columns than the rank asked
        for: then there are no more factors than that, and the certificate is infinite.

    References
    ----------
    Eckart and Young, "The approximation of one matrix by another of lower rank", 1936; Golub,
    Luk and Overton, "A block Lanczos method for computing the singular values and corresponding
    singular vectors of a matrix", 1981; Musco and Musco, "Randomized block Krylov methods for
    stronger and faster approximate singular value decomposition", 2015; Kuczynski and Wozniakowski,
    "Estimating the largest eigenvalue by the power and Lanczos algorithms with a random start",
    1992.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import truncated_svd
    >>> X = np.diag([3.0, 2.0, 1.0])
    >>> result = truncated_svd(X, rank=2)
    >>> result.singular_values, round(result.error, 12)
    (array([3., 2.]), 1.0)
    >>> truncated_svd(X, energy=0.6).singular_values
    array([3.])
    """
    X = check_array(X, "X")
    wanted = check_exactly_one(rank=rank, energy=energy, relative_error=relative_error)
    if wanted == "rank":
        rank = check_int(rank, "rank", high=min(X.shape))
    elif wanted == "energy":
        energy = check_real(energy, "energy", low=0, high=1, open_low=True)
        relative_error = float(np.sqrt(1 - energy))
    else:
        relative_error = check_real(
            relative_error, "relative_error", low=0, high=1, open_low=True, open_high=True
        )
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    rng, n_threads = check_random_state(random_state), check_n_threads(n_threads)
    unit = unit_of(magnitude(X), X.dtype)
    X = to_units(X, unit)
    judge = _Judge(X, rank, relative_error, tol, max_iter, rng, n_threads)

    def measure(approximation: Space | Leading) -> dict[str, float]:
        judge.look(approximation)
        objective = 0.5 * judge.squared * unit * unit
        error = float(np.sqrt(judge.squared)) * unit
        return {"objective": objective, "certificate": judge.certificate, "error": error}

    approximation, ending = run(
        _approximations(X, rank, rng, n_threads),
        measure,
        tol=tol,
        max_iter=max_iter,
        name="truncated_svd",
    )
    U, s, Vt = judge.answer(approximation)
    error = float(np.sqrt(judge.squared))
    ending["objective"] = 0.5 * judge.squared * unit * unit
    return SVDResult(
        U=np.ascontiguousarray(U),
        singular_values=from_units(s, unit, name="singular_values"),
        Vt=np.ascontiguousarray(Vt),
        error=error * unit,
        **ending,
    )


def _approximations(
    X: np.ndarray, rank: int | None, rng: RandomSource, n_threads: int
) -> Iterator[Space | Leading]:
    """Krylov spaces where they are worth it, and in the end the exact decomposition."""
    small = min(X.shape)
    if small > 400 and (rank is None or 6 * rank <= small):
        width = 16 * (small // 1000 + 1) if rank is None else rank // 8
        for space in krylov(X, min(max(width, 16), 64), rng, n_threads):
            if 2 * len(space.core) > small:
                break
            yield space
    while True:
        yield Leading(*svd(X))


class _Judge:
    """The error and the certificate of one approximation after the other."""

    def __init__(
        self,
        X: np.ndarray,
        rank: int | None,
        relative_error: float | None,
        tol: float,
        max_iter: int,
        rng: RandomSource,
        n_threads: int,
    ) -> None:
        self.X, self.tol, self.rng, self.n_threads = X, tol, rng, n_threads
        self.energy = squared_norm(X)
        self.least = float(np.finfo(X.dtype).eps) * max(X.shape)
        self.target = max(relative_error or 0.0, self.least) ** 2 * self.energy
        self.given, self.rank = rank, rank or 0
        self.squared, self.certificate = self.energy, np.inf
        self.most_missed = np.inf
        self.blocks, self.next_look, self.last = 0, 1, max_iter
        self.looked: tuple[int, float] | None = None

    def look(self, approximation: Space | Leading) -> None:
        """Evaluate it, if that may be worth it; else what was known of the last still holds."""
        self.blocks += 1
        if isinstance(approximation, Leading):
            self._choose(np.square(approximation.singular_values, dtype=np.float64), 0.0)
            self.certificate = 0.0
        elif self.blocks >= self.next_look or self.blocks == self.last:
            with single_threaded_blas():
                self._evaluate(approximation)

    def _choose(self, squares: np.ndarray, outside: float) -> bool:
        """The rank, and its error; False if it would take a larger subspace."""
        tails = outside + np.cumsum(np.append(squares, 0.0)[::-1])[::-1]
        enough = tails <= self.target if self.given is None else np.arange(len(tails)) == self.given
        self.rank = int(np.argmax(enough)) if enough.any() else len(squares)
        self.squared = float(tails[self.rank])
        return bool(enough.any())

    def _evaluate(self, space: Space) -> None:
        self.next_look = self.blocks + 1 + self.blocks // 5
        squares, outside = captured(self.X, space, self.energy, self.n_threads)
        if not self._choose(squares, outside):
            return
        if self.squared <= self.least**2 * self.energy:
            self.certificate = 0.0
            return
        V = space.V[:, : len(space.core)]
        for low, high in missed(self.X, V, self.rng, self.n_threads):
            self.most_missed = min(self.most_missed, high)
            hope, self.certificate = (
                excess(space, squares, self.squared, self.rank, bound)
                for bound in (low, self.most_missed)
            )
            settled = self.blocks < self.last or self.most_missed < np.inf
            if self.certificate <= self.tol or (hope > self.tol and settled):
                break
        if self.looked is not None and self.tol < hope < self.looked[1] < np.inf:
            # As it fell since the last look, so it will go on.
            rate = np.log(self.looked[1] / hope) / (self.blocks - self.looked[0])
            self.next_look = self.blocks + max(1, int(np.log(hope / max(self.tol, 1e-16)) / rate))
        self.looked = self.blocks, hope

    def answer(self, approximation: Space | Leading) -> Leading:
        """The factors; where an error was asked for, of a rank that has it when measured."""
        while True:
            if isinstance(approximation, Leading):
                U, s, Vt = approximation
                leading = Leading(U[:, : self.rank], s[: self.rank], Vt[: self.rank])
            else:
                with single_threaded_blas():
                    leading = approximation.leading(self.rank, self.n_threads)
            if self.given is None or lost_in_rounding(self.squared, self.energy, self.X.dtype):
                U, s, Vt = leading
                self.squared = squared_distance(self.X, U * s, Vt, self.n_threads)
            full = self.rank == approximation[1].shape[-1]
            if self.given is not None or self.squared <= self.target or full:
                return leading
            self.rank += 1


def effective_rank(singular_values: Any) -> float:
    r"""How many singular values matter: the exponential of their entropy.

    .. math:: \exp\Bigl(-\sum_i p_i \log p_i\Bigr), \qquad p_i = \sigma_i / \sum_j \sigma_j

    It is 1 for a matrix of rank one, `r` for `r` equal singular values, never above the rank, and
    0 for the zero matrix. Scaling the matrix does not change it.

    Parameters
    ----------
    singular_values : array of shape (n,)
        Nonnegative, in descending order.

    Returns
    -------
    float
        Between 1 and `n`, or 0.

    Raises
    ------
    ValueError
        If `singular_values` is not such an array.

    References
    ----------
    Roy and Vetterli, "The effective rank: a measure of effective dimensionality", 2007.

    Examples
    --------
    >>> from sparsecode.solvers import effective_rank
    >>> round(effective_rank([2.0, 2.0, 2.0, 0.0]), 12)
    3.0
    """
    s = check_spectrum(singular_values, "singular_values").astype(np.float64)
    s = s[s > 0]
    if s.size == 0:
        return 0.0
    s = s / s[0]  # no overflow in the sum, whatever the scale
    p = s / s.sum()
    p = p[p > 0]
    return float(np.exp(-np.sum(p * np.log(p))))
