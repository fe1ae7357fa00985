"""What measures a signal: random matrices, and few rows of fast transforms."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import scipy.fft
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from sparsecode._memory import check_fits
from sparsecode._validation import RandomSource, check_int, check_random_state
from sparsecode.operators._base import check_rows, check_shape, chosen


def gaussian(m: int, n: int, *, random_state: RandomSource | int | None = None) -> LinearOperator:
    """Independent normal entries of variance ``1 / m``: columns of unit norm in the mean.

    Parameters
    ----------
    m, n : int
        Measurements, and the length of the signal.
    random_state : int, RandomState, Generator or None, default=None
        An integer gives the same matrix each time.

    Returns
    -------
    LinearOperator of shape (m, n)
        The matrix itself is its attribute `A`.

    Examples
    --------
    >>> from sparsecode.operators import gaussian
    >>> gaussian(3, 8, random_state=0).A.shape
    (3, 8)
    """
    shape = check_int(m, "m"), check_int(n, "n")
    check_fits(8 * math.prod(shape), f"a matrix with m={m} and n={n}")
    rng = check_random_state(random_state)
    return aslinearoperator(rng.standard_normal(shape) / np.sqrt(m))


def bernoulli(m: int, n: int, *, random_state: RandomSource | int | None = None) -> LinearOperator:
    """Independent entries ``1 / sqrt(m)`` or ``-1 / sqrt(m)``: columns of unit norm.

    Parameters
    ----------
    m, n : int
        Measurements, and the length of the signal.
    random_state : int, RandomState, Generator or None, default=None
        An integer gives the same matrix each time.

    Returns
    -------
    LinearOperator of shape (m, n)
        The matrix itself is its attribute `A`.

    Examples
    --------
    >>> from sparsecode.operators import bernoulli
    >>> float(abs(bernoulli(4, 9, random_state=0).A).max())
    0.5
    """
    shape = check_int(m, "m"), check_int(n, "n")
    check_fits(8 * math.prod(shape), f"a matrix with m={m} and n={n}")
    rng = check_random_state(random_state)
    signs = np.where(rng.standard_normal(shape) < 0, -1.0, 1.0)
    return aslinearoperator(signs / np.sqrt(m))


def mask(shape: int | tuple[int, ...], rows: Any) -> LinearOperator:
    """Chosen entries of the signal itself.

    Parameters
    ----------
    shape : int or tuple of int
        Of the signal, image or volume.
    rows : array of int of shape (m,), or of bool of that shape
        The entries that are measured: a mask, or places in C order.

    Returns
    -------
    LinearOperator of shape (m, n)
        `n` is the product of the shape.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import mask
    >>> mask(4, [3, 0]) @ np.arange(4.0)
    array([3., 0.])
    """
    shape = check_shape(shape)
    return chosen(check_rows(rows, shape), shape, _itself, _itself)


def _itself(x: np.ndarray) -> np.ndarray:
    return x


def subsampled_dct(shape: int | tuple[int, ...], rows: Any) -> LinearOperator:
    """Chosen rows of the orthonormal DCT, type II; the rows of the operator are orthonormal.

    Parameters
    ----------
    shape : int or tuple of int
        Of the signal, image or volume.
    rows : array of int of shape (m,), or of bool of that shape
        The frequencies that are measured, each once: a mask, or places in C order.

    Returns
    -------
    LinearOperator of shape (m, n)
        `n` is the product of the shape. One product costs one fast transform.

    Raises
    ------
    ValueError
        If a row is repeated or outside ``0 .. n - 1``.

    References
    ----------
    Ahmed, Natarajan and Rao, "Discrete cosine transform", 1974.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import subsampled_dct
    >>> A = subsampled_dct(8, [0, 3, 5])
    >>> A.shape, np.allclose(A @ (A.H @ np.ones(3)), 1)
    ((3, 8), True)
    """
    shape = check_shape(shape)
    axes = tuple(range(len(shape)))
    return chosen(
        check_rows(rows, shape),
        shape,
        partial(scipy.fft.dctn, axes=axes, norm="ortho"),
        partial(scipy.fft.idctn, axes=axes, norm="ortho"),
    )


def subsampled_fft(shape: int | tuple[int, ...], rows: Any) -> LinearOperator:
    """Chosen rows of the unitary discrete Fourier transform: complex, with orthonormal rows.

    Parameters
    ----------
    shape : int or tuple of int
        Of the signal, image or volume.
    rows : array of int of shape (m,), or of bool of that shape
        The frequencies that are measured, each once, in the order of `numpy.fft`: a mask, or
        places in C order.

    Returns
    -------
    LinearOperator of shape (m, n)
        `n` is the product of the shape. One product costs one fast transform. For signals that are
        known to be real see `as_real`.

    Raises
    ------
    ValueError
        If a row is repeated or outside ``0 .. n - 1``.

    References
    ----------
    Cooley and Tukey, "An algorithm for the machine calculation of complex Fourier series", 1965.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import subsampled_fft
    >>> A = subsampled_fft((4, 4), np.eye(4, dtype=bool))
    >>> A.shape, np.allclose(A @ (A.H @ np.ones(4)), 1)
    ((4, 16), True)
    """
    shape = check_shape(shape)
    axes = tuple(range(len(shape)))
    return chosen(
        check_rows(rows, shape),
        shape,
        partial(scipy.fft.fftn, axes=axes, norm="ortho"),
        partial(scipy.fft.ifftn, axes=axes, norm="ortho"),
        np.complex128,
    )


def subsampled_hadamard(shape: int | tuple[int, ...], rows: Any) -> LinearOperator:
    """Chosen rows of the orthonormal Walsh-Hadamard transform, in Sylvester's order.

    Parameters
    ----------
    shape : int or tuple of int
        Of the signal, image or volume; the lengths are powers of two. With more than one axis it
        is the transform along each of them.
    rows : array of int of shape (m,), or of bool of that shape
        The rows that are measured, each once: a mask, or places in C order.

    Returns
    -------
    LinearOperator of shape (m, n)
        `n` is the product of the shape. One product costs ``n log2(n)`` additions.

    Raises
    ------
    ValueError
        If a length is no power of two, or a row is repeated or outside ``0 .. n - 1``.

    References
    ----------
    Sylvester, "Thoughts on inverse orthogonal matrices", 1867; Duarte et al., "Single-pixel imaging
    via compressive sampling", 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import subsampled_hadamard
    >>> subsampled_hadamard(4, [1, 3]) @ np.array([1.0, 2.0, 3.0, 4.0])
    array([-1.,  0.])
    """
    shape = check_shape(shape)
    if any(length & (length - 1) for length in shape):
        raise ValueError(f"the Hadamard transform is for powers of two; got shape {shape}")
    return chosen(check_rows(rows, shape), shape, _hadamard, _hadamard)


def _hadamard(x: np.ndarray) -> np.ndarray:
    """Of all axes but the last: of their product as well, for it is a Kronecker product."""
    y = x.reshape(-1, x.shape[-1])
    n, half = len(y), 1
    while half < n:
        pairs = y.reshape(n // (2 * half), 2, half, -1)
        y = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1)
        half *= 2
    return (y.reshape(x.shape) / np.sqrt(n)).astype(x.dtype, copy=False)


def random_convolution(
    n: int, rows: Any, *, random_state: RandomSource | int | None = None
) -> LinearOperator:
    r"""Chosen samples of the signal after circular convolution with a random pulse.

    The spectrum of the pulse has modulus one and random phases, so that the rows of the operator
    are orthonormal; few samples then measure what is sparse in any basis.

    Parameters
    ----------
    n : int
        Length of the signal.
    rows : array of int of shape (m,), or of bool of shape (n,)
        The samples that are measured, each once.
    random_state : int, RandomState, Generator or None, default=None
        An integer gives the same pulse each time.

    Returns
    -------
    LinearOperator of shape (m, n)
        Real. One product costs two fast Fourier transforms.

    References
    ----------
    Romberg, "Compressive sensing by random convolution", 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import random_convolution
    >>> A = random_convolution(8, [0, 3, 5], random_state=0)
    >>> np.allclose(A @ A.H @ np.eye(3), np.eye(3))
    True
    """
    (n,) = check_shape(check_int(n, "n"), "n")
    # The phases of a real signal of white noise: independent, and those of a real pulse.
    spectrum = scipy.fft.fft(check_random_state(random_state).standard_normal(n))[:, None]
    spectrum /= np.abs(spectrum)

    def convolved(x: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
        y = scipy.fft.ifft(scipy.fft.fft(x, axis=0) * spectrum, axis=0)
        return y if x.dtype.kind == "c" else np.ascontiguousarray(y.real)

    return chosen(
        check_rows(rows, (n,)),
        (n,),
        partial(convolved, spectrum=spectrum),
        partial(convolved, spectrum=spectrum.conj()),
    )
