r"""Matrices of small nuclear norm: thresholded singular values, and entries that are missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._threads import check_n_threads, single_threaded_blas
from sparsecode._validation import (
    RandomSource,
    check_array,
    check_exactly_one,
    check_int,
    check_matrix,
    check_real,
)
from sparsecode.operators import spectral_norm
from sparsecode.solvers._krylov import Leading, Space, krylov
from sparsecode.solvers._orthogonal import svd
from sparsecode.solvers._result import CompletionResult, Status, SVDResult
from sparsecode.solvers._run import Callback, as_history, run
from sparsecode.solvers._svt import WarmSVD, above, shrunk
from sparsecode.solvers._tail import missed, squared_distance, squared_norm

__all__ = ["complete", "singular_value_threshold"]


def singular_value_threshold(
    X: Any, threshold: float, *, tol: float = 1e-7, n_threads: int | None = None
) -> SVDResult:
    r"""The proximal operator of the nuclear norm: singular values, each less by the threshold.

    .. math:: \min_Y \tfrac12 \|X - Y\|_F^2 + t \|Y\|_*, \qquad
              Y = U \operatorname{diag}(\max(\sigma - t, 0)) V^T

    Only what is above the threshold is computed, in a block Krylov space that grows until nothing
    above it is missed and the certificate is small enough; where that is no less work, the exact
    singular value decomposition is.

    Parameters
    ----------
    X : array of shape (m, n)
        The matrix; float32 or float64 is computed in its own precision, float16 and bfloat16 in
        float32, in which the factors come back.
    threshold : float
        At least 0.
    tol : float, default=1e-7
        The certificate that the answer of the subspace has to have.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker.

    Returns
    -------
    SVDResult
        `U`, `singular_values` (what is left of them, all positive), `Vt`, `error` (the Frobenius
        norm of ``X - Y``), and `certificate`: the duality gap over ``0.5 * ||X||_F^2``, 0 for the
        exact decomposition. In a subspace it rests on Lanczos estimates of what that may have
        missed, each of which is too low with probability less than ``7e-8 * sqrt(n)``.

    Raises
    ------
    ValueError
        If `X` has NaN or infinite entries, or `threshold` or `tol` is negative.

    References
    ----------
    Cai, Candes and Shen, "A singular value thresholding algorithm for matrix completion", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import singular_value_threshold
    >>> result = singular_value_threshold(np.diag([3.0, 2.0, 0.5]), threshold=1.0)
    >>> result.singular_values
    array([2., 1.])
    """
    X = check_array(X, "X")
    threshold = check_real(threshold, "threshold", low=0)
    tol, n_threads = check_real(tol, "tol", low=0), check_n_threads(n_threads)
    unit = unit_of(magnitude(X), X.dtype)
    X, t = to_units(X, unit), threshold / unit
    leading, certificate, n_iter = _partial(X, t, tol, n_threads)
    if leading is None:
        leading, certificate, n_iter = above(*svd(X), t), 0.0, n_iter + 1
    U, s, Vt = shrunk(leading, t)
    squared = squared_distance(X, U * s, Vt, n_threads)
    nuclear = float(s.sum(dtype=np.float64))
    return SVDResult(
        U=np.ascontiguousarray(U),
        singular_values=from_units(s, unit, name="singular_values"),
        Vt=np.ascontiguousarray(Vt),
        error=float(np.sqrt(squared)) * unit,
        objective=(0.5 * squared + t * nuclear) * unit * unit,
        certificate=certificate,
        n_iter=n_iter,
        status=Status.CONVERGED,
        history=as_history([]),
    )


def _partial(
    X: np.ndarray, threshold: float, tol: float, n_threads: int
) -> tuple[Leading | None, float, int]:
    """What is above the threshold in a Krylov space, its certificate, and of how many blocks.

    None where the space would have to be so large that the whole is no more work.
    """
    small, n_iter, size = min(X.shape), 0, 0
    if small <= 400 or threshold == 0:
        return None, np.inf, n_iter
    rng, energy = np.random.RandomState(0), squared_norm(X)
    for space in krylov(X, min(16 * (small // 1000 + 1), 64), rng, n_threads):
        if 2 * len(space.core) > small:
            break
        n_iter += 1
        if len(space.core) < 1.2 * size:
            continue
        size = len(space.core)
        with single_threaded_blas():
            values = np.linalg.svd(space.core, compute_uv=False)
            if values[-1] > threshold:
                continue
            certificate = _gap(X, space, threshold, tol, energy, rng, n_threads)
            if certificate <= tol:
                rank = int(np.count_nonzero(values > threshold))
                return space.leading(rank, n_threads), certificate, n_iter
    return None, np.inf, n_iter


def _gap(
    X: np.ndarray,
    space: Space,
    threshold: float,
    tol: float,
    energy: float,
    rng: RandomSource,
    n_threads: int,
) -> float:
    """The duality gap of what is above the threshold in `space`, over the objective at zero.

    With ``E`` the core less its thresholded part, `B` its first `k` columns and `S` its last
    block, the residual of `Y` has ``R^T R = V E^T E V^T + X^T (I - U U^T) X``, and the second term
    is zero on the first `k` columns of `V`, at most `missed` less what `E` has of it on the others.
    """
    k, width = len(space.core), len(space.core.T) - len(space.core)
    _, s, Qt = np.linalg.svd(space.core, full_matrices=False)
    rest = np.minimum(s, threshold)
    known = (Qt.T * rest**2) @ Qt
    beyond = space.core[:, k:]
    known[k:, k:] -= beyond.T @ beyond
    over = s[s > threshold] - threshold
    squared = energy - float(np.sum(s**2 - rest**2))
    for low, high in missed(X, space.V[:, :k], rng, n_threads):
        gaps = []
        for most in (low, high):
            if most > threshold**2:
                gaps.append(np.inf)
                continue
            whole = known.copy()
            whole[k:, k:] += most * np.eye(width)
            norm = np.sqrt(max(np.linalg.eigvalsh(whole)[-1], 0.0))
            scale = min(1.0, threshold / norm) if norm > 0 else 1.0
            gap = 0.5 * (1 - scale) ** 2 * squared + (1 - scale) * threshold * float(over.sum())
            gaps.append(gap / (0.5 * energy))
        if gaps[1] <= tol or gaps[0] > tol:
            break
    return gaps[1]


def _completion_gap(
    residual: np.ndarray, Y: np.ndarray, s: np.ndarray, threshold: float, energy: float
) -> float:
    """Of ``0.5 ||X - Y||^2 + t ||Y||_*``, with the residual zero where an entry is missing.

    The residual is scaled into the ball ``||.||_2 <= t``. Two terms, none negative.
    """
    if energy == 0:
        return 0.0
    norm = spectral_norm(residual)
    scale = min(1.0, threshold / norm) if norm > 0 else 1.0
    fit = 0.5 * (1 - scale) ** 2 * float(np.vdot(residual, residual))
    pairing = threshold * float(s.sum(dtype=np.float64)) - scale * float(np.vdot(Y, residual))
    return (fit + max(pairing, 0.0)) / (0.5 * energy)


class _Completed(NamedTuple):
    matrix: np.ndarray
    leading: Leading
    residual: np.ndarray


def complete(
    X: Any,
    *,
    alpha: float | None = None,
    alpha_ratio: float | None = None,
    tol: float = 1e-5,
    max_iter: int = 1000,
    callback: Callback | None = None,
) -> CompletionResult:
    r"""The missing entries of a matrix, from those observed, by nuclear norm minimisation.

    .. math:: \min_L \tfrac12 \sum_{(i, j)\ \mathrm{observed}} (X_{ij} - L_{ij})^2
              + \alpha \|L\|_*

    Soft-impute: the missing entries are filled with those of the last estimate, and the singular
    values of the whole are thresholded; accelerated as FISTA is, and restarted where that
    overshoots.

    Parameters
    ----------
    X : array of shape (m, n)
        The matrix, NaN where an entry is missing.
    alpha : float, optional
        The weight of the nuclear norm. Give this or `alpha_ratio`.
    alpha_ratio : float, optional
        `alpha` over the spectral norm of the observed part, at and above which the answer is zero;
        in (0, 1].
    tol : float, default=1e-5
        Stop when the duality gap is at most this times the objective at zero.
    max_iter : int, default=1000
        Iterations at the most.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    CompletionResult
        `matrix`, the low-rank estimate, which has a value for every entry; its `rank`,
        `singular_values` and `components`; `alpha`; and the `certificate`, the duality gap over
        the objective at zero.

    Raises
    ------
    ValueError
        If a row or a column has no observed entry, an entry is infinite, or a parameter is out of
        range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    References
    ----------
    Mazumder, Hastie and Tibshirani, "Spectral regularization algorithms for learning large
    incomplete matrices", 2010; Beck and Teboulle, "A fast iterative shrinkage-thresholding
    algorithm for linear inverse problems", 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import complete
    >>> X = np.outer([1.0, 2.0, 3.0], [1.0, 1.0, 2.0, 1.0])
    >>> X[0, 2] = np.nan
    >>> round(float(complete(X, alpha_ratio=1e-4, tol=1e-9).matrix[0, 2]), 2)
    2.0
    """
    X = check_matrix(X, np.nan)
    by_value = check_exactly_one(alpha=alpha, alpha_ratio=alpha_ratio) == "alpha"
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    unit = unit_of(magnitude(X), X.dtype)
    X = to_units(X, unit)
    observed = ~np.isnan(X)
    known = np.where(observed, X, 0)
    if by_value:
        weight = check_real(alpha, "alpha", low=0, open_low=True) / unit
    else:
        ratio = check_real(alpha_ratio, "alpha_ratio", low=0, high=1, open_low=True)
        eps = float(np.finfo(X.dtype).eps)
        # Above the norm by its rounding: a ratio of 1 has a zero answer.
        weight = ratio * (spectral_norm(known) * (1 + 100 * eps) or 1.0)
    energy = float(np.vdot(known, known))

    def measure(last: _Completed) -> dict[str, float]:
        L, (_, s, _), residual = last
        objective = 0.5 * float(np.vdot(residual, residual)) + weight * float(s.sum())
        return {
            "objective": objective * unit * unit,
            "certificate": _completion_gap(residual, L, s, weight, energy),
            "rank": s.size,
        }

    with single_threaded_blas():  # its threads lose more on small factors than they win
        last, ending = run(
            _soft_impute(known, observed, weight),
            measure,
            tol=tol,
            max_iter=max_iter,
            callback=callback,
            name="complete",
        )
    s = last.leading.singular_values
    return CompletionResult(
        matrix=from_units(last.matrix, unit, name="matrix"),
        rank=s.size,
        singular_values=from_units(s, unit, name="singular_values"),
        components=np.ascontiguousarray(last.leading.Vt),
        alpha=weight * unit,
        **ending,
    )


def _soft_impute(known: np.ndarray, observed: np.ndarray, weight: float) -> Iterator[_Completed]:
    values = WarmSVD(known.shape, known.dtype)
    point = last = np.zeros_like(known)
    t = 1.0
    while True:
        leading = shrunk(values.above(np.where(observed, known, point), weight), weight)
        L = (leading.U * leading.singular_values) @ leading.Vt
        following = (1 + np.sqrt(1 + 4 * t * t)) / 2
        if np.vdot(point - L, L - last) > 0:  # the gradient step went against the momentum
            following = t = 1.0
        point = L + known.dtype.type((t - 1) / following) * (L - last)
        last, t = L, following
        yield _Completed(L, leading, np.where(observed, known - L, 0))
