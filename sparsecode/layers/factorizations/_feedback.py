r"""Columns settled one after another, each error made good by the columns still to come.

Rounding and pruning are one loop here: what differs is the rule by which a column is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.linalg

from sparsecode._validation import no_second_moment
from sparsecode.layers.factorizations._grid import inverse

BLOCK = 128
TILE = 512  # rows at a time, so that a product of two blocks takes little memory

Rule = Callable[[np.ndarray, int], np.ndarray]


class ColumnsRule(NamedTuple):
    """A rule for all columns of a block at once: the nearest on a grid, where an entry is kept.

    Arrays are of the shape of the block.
    """

    kept: np.ndarray
    steps: np.ndarray
    origins: np.ndarray
    bits: int
    codes: np.ndarray  # uint8, out

    def settle(self, misses: np.ndarray, given: np.ndarray, coupling: np.ndarray) -> None:
        """In place: on entry the best weights, in the end what rounding them left."""
        from sparsecode.solvers._kernels.grids import round_columns

        dtype = misses.dtype
        steps, origins = (
            np.ascontiguousarray(some, dtype=dtype) for some in (self.steps, self.origins)
        )
        round_columns(
            misses,
            np.ascontiguousarray(given),
            np.ascontiguousarray(coupling),
            np.ascontiguousarray(self.kept, dtype=np.uint8),
            steps,
            inverse(steps, dtype),
            origins,
            2**self.bits - 1,
            self.codes,
        )


Choose = Callable[[np.ndarray, slice], Rule | ColumnsRule]


def error_feedback(
    W: np.ndarray, root: np.ndarray, choose: Choose, *, width: int = BLOCK
) -> np.ndarray:
    r"""Settle the columns of a layer from the last to the first, and carry the errors on.

    .. math:: v_k = w_k + \frac{1}{L_{kk}} \sum_{i > k} L_{ik} (w_i - q_i), \qquad
              q_k = \mathrm{rule}(v_k), \qquad
              \mathrm{tr}\bigl((W - Q) H (W - Q)^T\bigr) = \sum_k L_{kk}^2 \|v_k - q_k\|^2

    with :math:`H = L L^T`. A rule sees the weights that are best if all columns before `k` may
    still take any value. This is optimal brain surgery (GPTQ for rounding,
    SparseGPT for pruning), without the inverse of `H` that their formula has.

    Parameters
    ----------
    W : array of shape (m, n)
        The weights.
    root : array of shape (n, n)
        ``L``, lower triangular, from `cholesky`; above its diagonal anything.
    choose : callable
        ``choose(V, columns)`` is called once for each aligned block of `width` columns, from the
        last to the first, with the slice they stand in and the weights `V` (m, width) that are
        best now that all columns behind the block are settled. It gives the rule by which the
        columns of the block are settled, again from the last to the first: ``rule(v, k)`` is what
        column `k` becomes, where `v` (m,) is the best weights by then; or a `ColumnsRule` that says
        it for all of them. Settling ``v[i]`` at `q` raises the error by
        ``(root[k, k] * (v[i] - q)) ** 2``.
    width : int, default=128
        Columns that are chosen together: the group for N:M.

    Returns
    -------
    ndarray of shape (m, n)
        ``Q``, in the dtype of `root` and in Fortran order.

    References
    ----------
    Hassibi and Stork, "Second order derivatives for network pruning", 1993. Frantar et al., "GPTQ",
    2022. Chee et al., "QuIP", 2023, for the form without an inverse.
    """
    m, n = W.shape
    A = np.array(W, dtype=root.dtype, order="F")  # settled: W - Q; still to come: V
    diagonal = np.diag(root).copy()

    for columns, done in _steps(0, n, width):
        if done is not None:  # what the settled columns `done` ask of these
            for start in range(0, m, TILE):
                rows = slice(start, start + TILE)
                A[rows, columns] += A[rows, done] @ root[done, columns] / diagonal[columns]
            continue
        given = W[:, columns].astype(A.dtype, order="F")
        moved, corner = (A[:, columns] - given) * diagonal[columns], root[columns, columns]
        best = given + scipy.linalg.solve_triangular(
            corner, moved.T, trans="T", lower=True, overwrite_b=True, check_finite=False
        ).T.astype(A.dtype, copy=False)
        rule, low, high = choose(best, columns), columns.start, columns.stop
        if isinstance(rule, ColumnsRule):
            misses = np.ascontiguousarray(A[:, columns])
            rule.settle(misses, given, np.triu((corner / diagonal[columns]).T, 1))
            A[:, columns] = misses
            continue
        for k in range(high - 1, low - 1, -1):
            if k + 1 < high:
                A[:, k] += A[:, k + 1 : high] @ (root[k + 1 : high, k] / diagonal[k])
            A[:, k] = given[:, k - low] - rule(A[:, k], k)
    return np.subtract(W, A, out=A, casting="same_kind")


def _steps(low: int, high: int, width: int) -> Iterator[tuple[slice, slice | None]]:
    """Blocks to settle, from the last, and in between (columns to mend, columns settled before).

    By halves, so that almost all of the work is products of large blocks.
    """
    if high - low <= width:
        yield slice(low, high), None
        return
    middle = low + -(-(high - low) // width) // 2 * width
    yield from _steps(middle, high, width)
    yield slice(low, middle), slice(middle, high)
    yield from _steps(low, middle, width)


def cholesky(H: np.ndarray) -> np.ndarray:
    """The lower triangular ``L`` of ``H = L L^T``, in the memory of `H`; its upper part is noise.

    A singular `H` gets the smallest ridge that rounding in its dtype asks for. A dead column, which
    costs nothing whatever it holds, gets a pivot of its own, and takes no part in the others.

    Parameters
    ----------
    H : array of shape (n, n)
        A second moment, in C order, float32 or float64. It is overwritten.

    Raises
    ------
    ValueError
        If `H` has a negative eigenvalue that is more than rounding.
    """
    (factor,) = scipy.linalg.lapack.get_lapack_funcs(("potrf",), (H,))
    n, eps = len(H), float(np.finfo(H.dtype).eps)
    diagonal = np.diag(H).copy()
    mean = float(diagonal.mean()) or 1.0
    diagonal[diagonal <= eps * mean] = mean
    ridge, most = 0.0, n * max(1e-6, 100 * eps)  # the largest eigenvalue is at most n * mean
    while ridge <= most:
        H[np.diag_indices(n)] = diagonal + ridge * mean
        _, failed = factor(H.T, lower=1, overwrite_a=1, clean=0)
        if not failed:
            return H.T
        _copy_lower_to_upper(H)  # LAPACK left the one triangle alone
        ridge = max(10 * ridge, n * eps)
    raise no_second_moment()


def solved(H: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``H^-1 b`` by `cholesky`, in the memory of `H`."""
    (solve,) = scipy.linalg.lapack.get_lapack_funcs(("potrs",), (H,))
    return solve(cholesky(H), b, lower=1)[0]


def _copy_lower_to_upper(H: np.ndarray) -> None:
    for low in range(0, len(H), TILE):
        high = low + TILE
        corner = np.tril(H[low:high, low:high], -1)
        H[low:high, low:high] = corner + corner.T
        H[low:high, high:] = H[high:, low:high].T
