r"""Low-rank factors of a layer, in the metric of its inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import check_array, check_gram, check_int, check_semidefinite
from sparsecode.solvers._orthogonal import svd

__all__ = ["LowRankFactors", "WeightedSpectrum", "weighted_spectrum", "weighted_svd"]

TILE = 1024  # rows and columns that are brought to double precision at a time
ORDINARY = 1024  # up to this many rows and columns the metric has a square root taken


class LowRankFactors(NamedTuple):
    """``W ~ left @ right``, with the squared error in the metric asked for."""

    left: np.ndarray
    right: np.ndarray
    error: float


class WeightedSpectrum(NamedTuple):
    """The best approximations of every rank: ``U[:, :r] @ (U[:, :r].T @ W)``."""

    U: np.ndarray
    energies: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Of rank 0, 1, ...: the energies left out, summed from the smallest on."""
        return np.append(np.cumsum(self.energies[::-1])[::-1], 0.0)


def weighted_svd(W: Any, gram: Any, rank: int) -> LowRankFactors:
    r"""The best approximation of a given rank in the metric of the inputs.

    .. math:: \min_{\mathrm{rank}(W') \le r} \mathrm{tr}\bigl((W - W')\, H\, (W - W')^T\bigr)

    The minimiser is :math:`W' = U_r U_r^T W` with the leading left singular vectors of
    :math:`W H^{1/2}`; `H` is never inverted, and may be singular. Its error is the sum of the
    squares of the singular values left out, which no matrix of that rank can beat. Beyond 1024 rows
    or columns these squares are the eigenvalues of :math:`W H W^T`, so that singular values below
    ``1e-8`` of the largest are not told apart, and an error below ``1e-8`` of that of rank 0 is
    measured.

    Parameters
    ----------
    W : array of shape (m, n)
        The weights of a layer, one output a row. It is computed in float64; factors come back in
        float32 or float64, of float16 and bfloat16 in float32.
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
        If shapes do not fit, or `gram` is not symmetric positive semidefinite; beyond 1024 rows or
        columns, if that shows in its diagonal blocks, or in :math:`W H W^T`.

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
    scaled = to_units(W, unit)
    if max(W.shape) <= ORDINARY:
        root = None if gram is None else gram_root(gram, W.shape[1])
        left, right, error = weighted_projection(scaled.astype(np.float64), root, rank)
    else:
        H = _moment(gram, W.shape)
        energies, left = _by_smaller_side(scaled, H, rank)
        right = left.T.astype(W.dtype) @ scaled
        error = float(energies[rank:].sum())
        if error < 1e-8 * energies.sum():  # the squares have lost it
            error = _measured(scaled, H, left, right)
    right = from_units(right.astype(W.dtype, copy=False), unit, name="right")
    return LowRankFactors(left.astype(W.dtype, copy=False), right, error * unit * unit)


def weighted_spectrum(W: Any, gram: Any) -> WeightedSpectrum:
    r"""What `weighted_svd` finds for all ranks, from one decomposition.

    With ``U, energies`` the best `W'` of rank `r` is ``U[:, :r] @ (U[:, :r].T @ W)``, and its error
    is ``energies[r:].sum()``.

    Parameters
    ----------
    W : array of shape (m, n)
        The weights of a layer, one output a row.
    gram : array of shape (n, n) or None
        The second moment of the layer's inputs; None means the identity.

    Returns
    -------
    WeightedSpectrum
        `U` (m, min(m, n)) with orthonormal columns, the leading left singular vectors of
        :math:`W H^{1/2}`; `energies`, the squares of its singular values, in descending order and
        in double precision; and `errors`, their tails: one for each rank from 0 on.

    Raises
    ------
    ValueError
        If shapes do not fit, or `gram` is not symmetric positive semidefinite.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import weighted_spectrum
    >>> spectrum = weighted_spectrum(np.diag([1.0, 2.0]), np.diag([9.0, 1.0]))
    >>> np.round(spectrum.errors, 12)
    array([13.,  4.,  0.])
    """
    W = check_array(W, "W")
    unit = unit_of(magnitude(W), W.dtype)
    scaled = to_units(W, unit)
    if max(W.shape) <= ORDINARY:
        image = scaled.astype(np.float64)
        U, s, _ = svd(image if gram is None else image @ gram_root(gram, W.shape[1]))
        energies = s * s
    else:
        H = _moment(gram, W.shape)
        energies, U = _by_smaller_side(scaled, H, min(W.shape))
    return WeightedSpectrum(
        np.ascontiguousarray(U.astype(W.dtype, copy=False)), energies * (unit * unit)
    )


def _moment(gram: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """In its own precision where tiles of it are brought to double, else in that."""
    m, n = shape
    return None if gram is None else check_gram(gram, n, None if m <= n else np.float64)


def _by_smaller_side(
    W: np.ndarray, gram: np.ndarray | None, rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """All the energies, and the leading vectors, from an eigenproblem of order ``min(m, n)``.

    It is that of ``W H W^T``, or, with ``H = R R^T`` by Cholesky's method with pivots, of ``(W
    R)^T W R``: no decomposition of the larger of the two orders. Squares are formed, so energies
    below a rounding of the largest are not told apart. They are in double precision, to which a
    wide input is brought a few columns at a time.
    """
    m, n = W.shape
    if m <= n:
        square = outer_square(W, gram)
    else:
        images = W.astype(np.float64, copy=False)
        if gram is not None:
            images = images @ _pivoted_root(gram)
        square = images.T @ images
    values, vectors = eigenvectors(square)
    energies = np.zeros(min(m, n))
    energies[: len(values)] = values[::-1]
    leading = vectors[:, ::-1][:, :rank]
    if m <= n:
        return energies, np.ascontiguousarray(leading)
    leading = images @ leading
    missing = np.zeros((m, rank - leading.shape[1]))  # where the metric has not so high a rank
    return energies, np.linalg.qr(np.hstack([leading, missing]))[0]


def outer_square(W: np.ndarray, gram: np.ndarray | None, *, ridge: float = 0.0) -> np.ndarray:
    """``W (H + ridge I) W^T``, by tiles: in double precision neither of the two stands whole."""
    m, n = W.shape
    square = np.zeros((m, m), order="F")
    tiles = [slice(start, start + TILE) for start in range(0, n, TILE)]
    for here in tiles:
        columns = images = wide(W[:, here])
        if gram is not None:
            images = sum(wide(W[:, there]) @ wide(gram[here, there]).T for there in tiles)
            images += ridge * columns
        square += images @ columns.T
    return square


def eigenvectors(square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of ``W H W^T``, in ascending order, and their vectors; it is overwritten."""
    # This routine takes no memory but that of its answer; the faster one, four times as much.
    values, vectors = scipy.linalg.eigh(
        square, lower=True, overwrite_a=True, check_finite=False, driver="evr"
    )
    check_semidefinite(values[0], values[-1])
    return np.maximum(values, 0.0), vectors


def wide_product(A: np.ndarray, W: np.ndarray) -> np.ndarray:
    """``A W`` in double precision, of a `W` that is brought to it a few columns at a time."""
    product = np.empty((len(A), W.shape[1]))
    for start in range(0, W.shape[1], TILE):
        columns = slice(start, start + TILE)
        product[:, columns] = A @ wide(W[:, columns])
    return product


def wide(part: np.ndarray) -> np.ndarray:
    """In double precision."""
    return part.astype(np.float64, copy=False)


def _pivoted_root(gram: np.ndarray) -> np.ndarray:
    """`R` (n, rank) with ``R @ R.T = gram``: Cholesky's method with pivots."""
    diagonal = np.diag(gram)
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(gram.T, lower=1)
    root = np.zeros((len(gram), max(rank, 1)))
    root[pivots - 1] = np.tril(factor)[:, : root.shape[1]]
    left = diagonal - np.einsum("ij,ij->i", root, root)
    check_semidefinite(left.min(), diagonal.max())
    return root


def _measured(W: np.ndarray, gram: np.ndarray | None, left: np.ndarray, right: np.ndarray) -> float:
    """``tr((W - left right) H (W - left right)^T)``."""
    miss = W - left @ right.astype(np.float64)
    if gram is None:
        return float(np.vdot(miss, miss))
    total = 0.0
    for start in range(0, len(gram), TILE):
        rows = slice(start, start + TILE)
        total += float(np.vdot(miss @ gram[rows].T, miss[:, rows]))
    return max(total, 0.0)


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
    check_semidefinite(values[0], values[-1])
    return vectors * np.sqrt(np.maximum(values, 0.0)) * np.sqrt(unit)
