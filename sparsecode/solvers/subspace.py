r"""Pursuits that exchange a whole support, for :math:`\min_x \|y - A x\|_2` with k atoms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsecode._docs import documented
from sparsecode.operators import adjoint
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback
from sparsecode.solvers._support import (
    Iterate,
    Point,
    change,
    fit,
    fitted,
    largest,
    point,
    size_of,
    smaller,
    solve_each,
)

__all__ = ["cosamp", "subspace_pursuit"]


@documented
def cosamp(
    A: Any,
    y: Any,
    *,
    n_nonzero_coefs: int,
    residual_tol: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
    callback: Callback | None = None,
) -> CodeResult:
    r"""Compressive sampling matching pursuit: 2k atoms join, a least squares fit, k stay.

    .. math:: T = \mathrm{supp}(x) \cup \mathrm{supp}\, H_{2k}(A^* r), \qquad
              x \leftarrow H_k\Bigl(\arg\min_{\mathrm{supp}\, z \subseteq T} \|y - A z\|_2\Bigr)

    :math:`H_k` keeps the k largest entries; those that stay are not fitted again. The residual
    may grow for a while, and in noise the iterations often run into a cycle. So the answer is the
    iterate with the smallest residual, and a signal is settled, too, when a `T` comes back: from
    there on the iterations repeat. It asks for 3k atoms that are independent, so for k up to a
    third of the rows of `A`; beyond that the fits are those of least norm, and poor.

    Parameters
    ----------
    %(atoms_and_signals)s
    %(sparse_least_squares)s
    max_iter : int, default=1000
        At most so many iterations.
    %(sparse_least_squares_result)s

    References
    ----------
    Needell and Tropp, "CoSaMP: iterative signal recovery from incomplete and inaccurate samples",
    2009.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers.subspace import cosamp
    >>> rng = np.random.default_rng(0)
    >>> A, x = rng.standard_normal((30, 60)), np.zeros(60)
    >>> x[[3, 14, 15]] = [1.0, -2.0, 3.0]
    >>> np.flatnonzero(cosamp(A, A @ x, n_nonzero_coefs=3).x)
    array([ 3, 14, 15])
    """
    return solve_each(
        _cosamp, "cosamp", A, y, n_nonzero_coefs, residual_tol, tol, max_iter, callback
    )


def _cosamp(A: Any, y: np.ndarray, k: int, _: float) -> Iterator[Iterate]:
    AH = adjoint(A)
    best = now = Point(np.zeros(A.shape[1], dtype=y.dtype), np.arange(0), y)
    seen: set[bytes] = set()
    while True:
        last = now
        joined = np.union1d(now.support, largest(AH @ now.residual, 2 * k))
        coefficients = fit(A, y, joined)
        kept = largest(coefficients, k)
        now = point(A, y, joined[kept], coefficients[kept])
        best = min(best, now, key=size_of)
        # The fit is a function of the atoms alone: the same ones have the same successors.
        repeats = joined.tobytes() in seen
        seen.add(joined.tobytes())
        yield Iterate(best.x, best.residual, 0.0 if repeats else change(now.x, last.x))


@documented
def subspace_pursuit(
    A: Any,
    y: Any,
    *,
    n_nonzero_coefs: int,
    residual_tol: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
    callback: Callback | None = None,
) -> CodeResult:
    r"""Subspace pursuit: k atoms join, a least squares fit, k stay and are fitted again.

    .. math:: T = S \cup \mathrm{supp}\, H_k(A^* r), \qquad
              S \leftarrow \mathrm{supp}\, H_k\Bigl(
              \arg\min_{\mathrm{supp}\, z \subseteq T} \|y - A z\|_2\Bigr)

    :math:`H_k` keeps the k largest entries; `x` is the least squares fit over `S`. An exchange
    that does not make the residual smaller is not done. Then the iteration is at its fixed point,
    which it reaches after finitely many exchanges, because no `S` comes back.

    Parameters
    ----------
    %(atoms_and_signals)s
    %(sparse_least_squares)s
    max_iter : int, default=1000
        At most so many iterations.
    %(sparse_least_squares_result)s

    References
    ----------
    Dai and Milenkovic, "Subspace pursuit for compressive sensing signal reconstruction", 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers.subspace import subspace_pursuit
    >>> rng = np.random.default_rng(0)
    >>> A, x = rng.standard_normal((30, 60)), np.zeros(60)
    >>> x[[3, 14, 15]] = [1.0, -2.0, 3.0]
    >>> np.flatnonzero(subspace_pursuit(A, A @ x, n_nonzero_coefs=3).x)
    array([ 3, 14, 15])
    """
    return solve_each(
        _subspace_pursuit, "subspace_pursuit",
        A, y, n_nonzero_coefs, residual_tol, tol, max_iter, callback,
    )  # fmt: skip


def _subspace_pursuit(A: Any, y: np.ndarray, k: int, _: float) -> Iterator[Iterate]:
    AH = adjoint(A)
    now = fitted(A, y, largest(AH @ y, k))
    yield Iterate(now.x, now.residual, 1.0)
    while True:
        joined = np.union1d(now.support, largest(AH @ now.residual, k))
        kept = joined[largest(fit(A, y, joined), k)]
        last, now = now, smaller(now, fitted(A, y, kept))
        yield Iterate(now.x, now.residual, change(now.x, last.x))
