r"""Low-rank factors: the truncated SVD, its weighted form, and how many directions matter."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import (
    RandomSource,
    check_array,
    check_gram,
    check_int,
    check_random_state,
    check_real,
    check_spectrum,
)
from sparsecode.solvers._orthogonal import orthonormal, svd, thin_svd, triangular_factor
from sparsecode.solvers._result import Status, SVDResult
from sparsecode.solvers._run import as_history, run

__all__ = ["LowRankFactors", "effective_rank", "truncated_svd", "weighted_svd"]


class LowRankFactors(NamedTuple):
    """``W ~ left @ right``, with the squared error in the metric asked for."""

    left: np.ndarray
    right: np.ndarray
    error: float


class _Subspace(NamedTuple):
    U: np.ndarray
    singular_values: np.ndarray
    Vt: np.ndarray
    outside: np.ndarray  # (m, width): what X X^T U has outside span(U)


def truncated_svd(
    X: Any, rank: int, *, tol: float = 1e-3, max_iter: int = 50, random_state: Any = 0
) -> SVDResult:
    r"""The best approximation of a given rank, in the Frobenius norm.

    .. math:: \min_{\mathrm{rank}(Y) \le r} \|X - Y\|_F

    Small problems, and ranks near the full one, take the exact SVD. Others take a randomised
    subspace iteration with oversampling, which stops on its certificate.

    Parameters
    ----------
    X : array of shape (m, n)
        The matrix; float32 or float64 is computed in its own precision.
    rank : int
        From 1 to ``min(m, n)``.
    tol : float, default=1e-3
        Stop when the error is certainly within a factor ``1 + tol`` of the optimal one.
    max_iter : int, default=50
        Subspace iterations at the most, two products with `X` each.
    random_state : int, RandomState, Generator or None, default=0
        Draws the first subspace.

    Returns
    -------
    SVDResult
        `U`, `singular_values`, `Vt`, `error` (the Frobenius norm of the residual) and
        `certificate`: the error over the optimal one is at most 1 + this. It rests on Ky Fan's
        bound on the leading eigenvalues of ``X X^T`` and on a Lanczos estimate of what the subspace
        may have missed, which is too low with probability less than ``1e-7 * sqrt(n)``.

    Raises
    ------
    ValueError
        If `X` has NaN or infinite entries or `rank` is out of range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    References
    ----------
    Eckart and Young, "The approximation of one matrix by another of lower rank", 1936; Halko,
    Martinsson and Tropp, "Finding structure with randomness", 2011; Fan, "Maximum properties and
    inequalities for the eigenvalues of completely continuous operators", 1951; Kuczynski and
    Wozniakowski, "Estimating the largest eigenvalue by the power and Lanczos algorithms with a
    random start", 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import truncated_svd
    >>> result = truncated_svd(np.diag([3.0, 2.0, 1.0]), rank=2)
    >>> result.singular_values, round(result.error, 12)
    (array([3., 2.]), 1.0)
    """
    X = check_array(X, "X")
    rank = check_int(rank, "rank", high=min(X.shape))
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    unit = unit_of(magnitude(X), X.dtype)
    X = to_units(X, unit)
    width = rank + 10
    if min(X.shape) <= max(200, 3 * width):
        U, singular_values, Vt = svd(X)
        error = float(np.linalg.norm(singular_values[rank:]))
        ending: dict[str, Any] = {
            "objective": 0.5 * error * error * unit * unit,
            "certificate": 0.0,
            "n_iter": 1,
            "status": Status.CONVERGED,
            "history": as_history([]),
        }
    else:
        energy = float(np.sum(np.square(X, dtype=np.float64)))
        rng, iterations = check_random_state(random_state), count(1)
        negligible = float(np.finfo(X.dtype).eps * max(X.shape) * np.sqrt(energy))

        def measure(space: _Subspace) -> dict[str, float]:
            error, last = _error(X, energy, space, rank), next(iterations) == max_iter
            excess = 0.0 if error <= negligible else _excess(error, space, rank, 0.0)
            if 0.0 < excess <= tol or last:  # a number that will be handed out: earn it
                excess = _excess(error, space, rank, _missed(X, space.U, rng))
            objective = 0.5 * error * error * unit * unit
            return {"objective": objective, "certificate": excess, "error": error}

        start = rng.standard_normal((X.shape[1], width)).astype(X.dtype)
        space, ending = run(
            _subspace_iteration(X, start),
            measure,
            tol=tol,
            max_iter=max_iter,
            name="truncated_svd",
        )
        U, singular_values, Vt = space.U, space.singular_values, space.Vt
        error = float(ending["history"]["error"][-1])
    return SVDResult(
        U=np.ascontiguousarray(U[:, :rank]),
        singular_values=from_units(singular_values[:rank], unit, name="singular_values"),
        Vt=np.ascontiguousarray(Vt[:rank]),
        error=error * unit,
        **ending,
    )


def _error(X: np.ndarray, energy: float, space: _Subspace, rank: int) -> float:
    """``||X - U diag(s) Vt||_F`` at the rank asked for."""
    values = space.singular_values[:rank]
    squared = energy - float(np.sum(np.square(values, dtype=np.float64)))
    if squared > 0.01 * energy:
        return float(np.sqrt(squared))
    return float(np.linalg.norm(X - (space.U[:, :rank] * values) @ space.Vt[:rank]))


def _excess(error: float, space: _Subspace, rank: int, missed: float) -> float:
    """The error over the optimal one, less 1: at most this.

    In an orthonormal basis that begins with `U`, ``X X^T = [[S^2, B^T], [B, C]]`` with `B` the part
    `outside` and ``||C||_2 <= missed``. The sum of the leading eigenvalues exceeds that of ``S^2``
    by no more than Ky Fan's bound, nor, where there is a gap, by more than its square over the gap.
    """
    squares = np.square(space.singular_values, dtype=np.float64)
    coupling = np.linalg.svd(space.outside, compute_uv=False)[:rank].sum(dtype=np.float64)
    gain = coupling + np.sum(np.maximum(missed - squares[:rank], 0))
    leading, other = space.outside[:, :rank], space.outside[:, rank:]
    gap = squares[rank - 1] - max(squares[rank], missed) - np.linalg.norm(other, 2)
    if gap > 0:
        gain = min(gain, np.linalg.norm(leading) ** 2 / gap)
    best = np.sqrt(max(error * error - float(gain), 0.0))
    return float(error / best - 1) if best > 0 else np.inf


def _missed(X: np.ndarray, U: np.ndarray, rng: RandomSource, n_steps: int = 50) -> float:
    """An upper estimate of ``||X - U U^T X||_2^2``: Lanczos is within 3 % of it, or unlucky."""
    basis = np.zeros((X.shape[1], n_steps), dtype=X.dtype)
    images = np.zeros((X.shape[0], n_steps), dtype=X.dtype)
    v = np.asarray(rng.standard_normal(X.shape[1]), dtype=X.dtype)
    for k in range(n_steps):
        size = np.linalg.norm(v)
        for _ in range(2):
            v = v - basis @ (basis.T @ v)
        if not np.linalg.norm(v) > 100 * np.finfo(X.dtype).eps * size:
            break  # the Krylov space is invariant: the estimate is exact
        basis[:, k] = v / np.linalg.norm(v)
        image = X @ basis[:, k]
        images[:, k] = image - U @ (U.T @ image)
        v = X.T @ images[:, k]
    return float(np.linalg.norm(images, 2)) ** 2 / 0.97


def rough_svd(X: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """About the leading singular vectors and values, for those who only want a start."""
    small = min(X.shape) <= 3 * (rank + 10)
    if small and X.shape[0] >= 3 * max(X.shape[1], 150):  # its `U` may not fit into memory
        V = svd(triangular_factor(X))[2][:rank].T
        return subspace_step(X, V.astype(X.dtype))
    if small:
        U, s, Vt = svd(X)
    else:
        start = np.random.RandomState(0).standard_normal((X.shape[1], rank + 10))
        U, s, Vt = subspace_step(X, subspace_step(X, start.astype(X.dtype))[2].T)
    return U[:, :rank], s[:rank], Vt[:rank]


def subspace_step(X: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A step of simultaneous iteration, with the Rayleigh-Ritz values and vectors."""
    Q = orthonormal(X @ V)[0]
    V, s, Wt = thin_svd(X.T @ Q)
    return Q @ Wt.T, s, V.T


def _subspace_iteration(X: np.ndarray, start: np.ndarray) -> Iterator[_Subspace]:
    """Rutishauser's simultaneous iteration with a Rayleigh-Ritz step."""
    Q = orthonormal(X @ start)[0]
    while True:
        V, s, Wt = thin_svd(X.T @ Q)
        U = Q @ Wt.T
        image = X @ V
        outside = image * s  # X X^T U, of which U S^2 lies inside span(U)
        yield _Subspace(U, s, V.T, outside - U @ (U.T @ outside))
        Q = orthonormal(image)[0]


def weighted_svd(W: Any, gram: Any, rank: int) -> LowRankFactors:
    r"""The best approximation of a given rank in the metric of the inputs.

    .. math:: \min_{\mathrm{rank}(W') \le r} \mathrm{tr}\bigl((W - W')\, H\, (W - W')^T\bigr)

    The minimiser is :math:`W' = U_r U_r^T W` with the leading left singular vectors of
    :math:`W H^{1/2}`; `H` is never inverted, and may be singular. Its error is the sum of the
    squares of the singular values left out, which no matrix of that rank can beat.

    Parameters
    ----------
    W : array of shape (m, n)
        The weights of a layer, one output a row.
    gram : array of shape (n, n) or None
        Symmetric positive semidefinite: the second moment of the layer's inputs. None means the
        identity: the plain truncated SVD.
    rank : int
        From 1 to ``min(m, n)``.

    Returns
    -------
    LowRankFactors
        `left` (m, rank) with orthonormal columns, `right` (rank, n), and `error`, the optimal
        value of the objective above.

    Raises
    ------
    ValueError
        If shapes do not fit, or `gram` is not symmetric positive semidefinite.

    References
    ----------
    Wang et al., "SVD-LLM: truncation-aware singular value decomposition", 2024, in the form
    without an inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import weighted_svd
    >>> left, right, error = weighted_svd(np.diag([1.0, 2.0]), np.diag([9.0, 1.0]), rank=1)
    >>> np.round(left @ right, 12) + 0.0, round(error, 12)
    (array([[1., 0.],
           [0., 0.]]), 4.0)
    """
    W = check_array(W, "W")
    rank = check_int(rank, "rank", high=min(W.shape))
    unit = unit_of(magnitude(W), W.dtype)
    scaled = to_units(W, unit).astype(np.float64)
    root = None if gram is None else gram_root(gram, W.shape[1])
    left, right, error = weighted_projection(scaled, root, rank)
    right = from_units(right.astype(W.dtype), unit, name="right")
    return LowRankFactors(left.astype(W.dtype), right, error * unit * unit)


def weighted_projection(W: np.ndarray, root: np.ndarray | None, rank: int) -> LowRankFactors:
    """`weighted_svd` with the square root of the second moment at hand."""
    U, singular_values, _ = svd(W if root is None else W @ root)
    left = np.ascontiguousarray(U[:, :rank])
    return LowRankFactors(left, left.T @ W, float(np.sum(singular_values[rank:] ** 2)))


def gram_root(gram: Any, size: int) -> np.ndarray:
    """A square root ``V diag(sqrt(lambda))`` of a second moment, with ``root @ root.T = gram``."""
    gram = check_gram(gram, size)
    unit = unit_of(magnitude(gram), np.float64)
    values, vectors = scipy.linalg.eigh(to_units(gram, unit), check_finite=False)
    if values[0] < -1e-6 * max(values[-1], 0.0) or values[-1] < 0:
        raise ValueError(
            f"gram has a negative eigenvalue, {values[0] * unit:.3g}: it is no second moment"
        )
    return vectors * np.sqrt(np.maximum(values, 0.0)) * np.sqrt(unit)


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
