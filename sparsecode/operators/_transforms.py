"""Fast transforms, and dictionaries made of them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import scipy.fft
from scipy.sparse.linalg import LinearOperator

from sparsecode._validation import check_array, check_int, check_n_components, check_option
from sparsecode.operators._base import check_shape, chosen, operator
from sparsecode.operators._sensing import subsampled_dct


def dct(shape: int | tuple[int, ...]) -> LinearOperator:
    """The orthonormal discrete cosine transform, type II; its adjoint is its inverse.

    Parameters
    ----------
    shape : int or tuple of int
        Of the signal, image or volume; what has more than one axis is flattened in C order.

    Returns
    -------
    LinearOperator of shape (n, n)
        `n` is the product of the shape. One product costs one fast transform.

    References
    ----------
    Ahmed, Natarajan and Rao, "Discrete cosine transform", 1974.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import dct
    >>> x = np.arange(4.0)
    >>> np.allclose(dct(4).H @ (dct(4) @ x), x)
    True
    """
    return subsampled_dct(shape, np.arange(math.prod(check_shape(shape))))


def wavelet_synthesis(
    shape: int | tuple[int, ...], wavelet: str = "db4", *, level: int | None = None
) -> LinearOperator:
    """The signal of given coefficients in an orthonormal basis of wavelets.

    Its adjoint, the analysis, is its inverse. The signal is taken to be periodic. Needs PyWavelets
    (``pip install "sparsecode[wavelets]"``).

    Parameters
    ----------
    shape : int or tuple of int
        Of the signal, image or volume. Each length has to be a multiple of ``2**level``.
    wavelet : str, default="db4"
        The name of an orthogonal wavelet, as PyWavelets has it.
    level : int, optional
        How often the coarse part is divided again; by default as often as the lengths allow, and
        no more often than its filter still fits into the coarse part.

    Returns
    -------
    LinearOperator of shape (n, n)
        ``A @ coefficients`` is the signal, ``A.H @ signal`` the coefficients: the coarse part in
        the first corner of an array of this shape, the details around it. One product costs one
        fast transform.

    Raises
    ------
    ImportError
        PyWavelets is not there.
    ValueError
        The wavelet is not orthogonal, or a length no multiple of ``2**level``.

    References
    ----------
    Mallat, "A theory for multiresolution signal decomposition: the wavelet representation", 1989.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import wavelet_synthesis
    >>> W = wavelet_synthesis((8, 8), "haar", level=1)
    >>> flat = W.H @ np.ones(64)
    >>> int(np.count_nonzero(flat.round(12))), np.allclose(W @ flat, 1)
    (16, True)
    """
    try:
        import pywt
    except ImportError as error:
        raise ImportError(
            "wavelet_synthesis needs PyWavelets: pip install 'sparsecode[wavelets]'"
        ) from error
    shape = check_shape(shape)
    try:
        basis = pywt.Wavelet(wavelet)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"wavelet={wavelet!r} is none of PyWavelets: {error}") from error
    if not basis.orthogonal:
        raise ValueError(f"wavelet={wavelet!r} is not orthogonal: its analysis is no adjoint")
    if level is None:
        powers = (length & -length for length in shape)  # of two, in each length
        most = pywt.dwt_max_level(min(shape), basis.dec_len)
        level = max(0, min(most, *(power.bit_length() - 1 for power in powers)))
    level = check_int(level, "level", low=0, high=62)
    if any(length % 2**level for length in shape):
        raise ValueError(f"the lengths in shape={shape} are no multiples of 2**level = {2**level}")
    axes = tuple(range(len(shape)))
    options = {"wavelet": basis, "mode": "periodization", "axes": axes}
    corners = [tuple(length >> k for length in shape) for k in range(level)]

    def analysis(x: np.ndarray) -> np.ndarray:
        coefficients = x.copy()
        for corner in corners:
            coarse = coefficients[tuple(map(slice, corner))]
            for kinds, part in pywt.dwtn(coarse, **options).items():
                coarse[_half(kinds, corner)] = part
        return coefficients

    def synthesis(coefficients: np.ndarray) -> np.ndarray:
        x = coefficients.copy()
        for corner in reversed(corners):
            inside = x[tuple(map(slice, corner))]
            halves = map("".join, itertools.product("ad", repeat=len(shape)))
            inside[:] = pywt.idwtn(
                {kinds: inside[_half(kinds, corner)] for kinds in halves}, **options
            )
        return x

    return chosen(np.arange(math.prod(shape)), shape, synthesis, analysis)


def _half(kinds: str, corner: tuple[int, ...]) -> tuple[slice, ...]:
    """Along each axis the first half for approximations, "a", or the second for details, "d"."""
    return tuple(
        slice(length // 2) if kind == "a" else slice(length // 2, length)
        for kind, length in zip(kinds, corner, strict=True)
    )


def blur(
    shape: int | tuple[int, ...], kernel: Any, *, boundary: str = "periodic"
) -> LinearOperator:
    """Convolution with a kernel, the output as large as the input.

    Parameters
    ----------
    shape : int or tuple of int
        Of the signal, image or volume.
    kernel : array
        With as many axes as the shape, none of them longer; its origin is entry ``length // 2`` of
        each axis.
    boundary : {"periodic", "zero"}, default="periodic"
        What the signal is taken to be outside: itself again, or zero.

    Returns
    -------
    LinearOperator of shape (n, n)
        One product costs two fast Fourier transforms.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import blur
    >>> print((blur(5, [0.25, 0.5, 0.25]) @ np.array([0.0, 0.0, 4.0, 0.0, 0.0])).round(9) + 0.0)
    [0. 1. 2. 1. 0.]
    """
    shape = check_shape(shape)
    boundary = check_option(boundary, "boundary", ("periodic", "zero"))
    kernel = check_array(kernel, "kernel", ndim=len(shape), allow_complex=True)
    if any(k > n for k, n in zip(kernel.shape, shape, strict=True)):
        raise ValueError(f"kernel has shape {kernel.shape}, and is longer than the signal, {shape}")
    axes = tuple(range(len(shape)))
    room = shape
    if boundary == "zero":
        room = tuple(n + k - 1 for n, k in zip(shape, kernel.shape, strict=True))
    rolled = np.zeros(room, dtype=kernel.dtype)
    rolled[tuple(slice(k) for k in kernel.shape)] = kernel
    rolled = np.roll(rolled, [-(k // 2) for k in kernel.shape], axis=axes)
    response = scipy.fft.fftn(rolled)[..., None]
    inside = tuple(slice(n) for n in shape)

    def filtered(x: np.ndarray, response: np.ndarray) -> np.ndarray:
        padded = scipy.fft.fftn(x.reshape(*shape, -1), s=room, axes=axes)
        y = scipy.fft.ifftn(padded * response, axes=axes)[inside].reshape(x.shape)
        real = kernel.dtype.kind == "f" and x.dtype.kind != "c"
        return np.ascontiguousarray(y.real) if real else y

    n = math.prod(shape)
    return operator(
        (n, n),
        lambda x: filtered(x, response),
        lambda y: filtered(y, response.conj()),
        kernel.dtype,
    )


def finite_differences(
    shape: int | tuple[int, ...], *, boundary: str = "symmetric"
) -> LinearOperator:
    """The differences of neighbours along each axis, one axis after the other.

    Parameters
    ----------
    shape : int or tuple of int
        Of the signal, image or volume.
    boundary : {"symmetric", "periodic"}, default="symmetric"
        What the signal is taken to be outside: its mirror image, so that the difference at the end
        of an axis is zero, or itself again.

    Returns
    -------
    LinearOperator of shape (d * n, n)
        `d` is the number of axes. The norm is at most ``2 * sqrt(d)``.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import finite_differences
    >>> finite_differences(4) @ np.array([1.0, 3.0, 3.0, 2.0])
    array([ 2.,  0., -1.,  0.])
    """
    shape = check_shape(shape)
    around = check_option(boundary, "boundary", ("symmetric", "periodic")) == "periodic"
    n, axes = math.prod(shape), range(len(shape))

    def forward(x: np.ndarray) -> np.ndarray:
        x = x.reshape(*shape, -1)
        steps = np.zeros((len(shape), *x.shape), dtype=x.dtype)
        for axis, step in zip(axes, steps, strict=True):
            here, step = np.moveaxis(x, axis, 0), np.moveaxis(step, axis, 0)
            np.subtract(here[1:], here[:-1], out=step[:-1])
            if around:
                np.subtract(here[0], here[-1], out=step[-1])
        return steps.reshape(len(shape) * n, -1)

    def backward(y: np.ndarray) -> np.ndarray:
        y = y.reshape(len(shape), *shape, -1)
        x = np.zeros(y.shape[1:], dtype=y.dtype)
        for axis, step in zip(axes, y, strict=True):
            ahead, step = np.moveaxis(x, axis, 0), np.moveaxis(step, axis, 0)
            ahead[:-1] -= step[:-1]
            ahead[1:] += step[:-1]
            if around:
                ahead[-1] -= step[-1]
                ahead[0] += step[-1]
        return x.reshape(n, -1)

    return operator(
        (len(shape) * n, n),
        lambda x: forward(x).reshape(-1, *x.shape[1:]),
        lambda y: backward(y).reshape(n, *y.shape[1:]),
    )


def overcomplete_dct(n_components: int, n_features: int) -> np.ndarray:
    """A dictionary of `n_components` cosines with unit norm, one a row; orthonormal when square.

    Parameters
    ----------
    n_components : int
        Atoms.
    n_features : int
        Length of an atom.

    Returns
    -------
    ndarray of shape (n_components, n_features)
        The dictionary.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import overcomplete_dct
    >>> D = overcomplete_dct(4, 4)
    >>> np.allclose(D @ D.T, np.eye(4))
    True
    """
    n_features = check_int(n_features, "n_features")
    n_components = check_n_components(n_components, n_features)
    frequency = np.arange(n_components)[:, None] / n_components
    time = np.arange(n_features) + 0.5
    atoms = np.cos(np.pi * frequency * time)
    if n_features > 1:
        atoms[1:] -= atoms[1:].mean(axis=1, keepdims=True)
    norms = np.linalg.norm(atoms, axis=1, keepdims=True)
    return atoms / np.where(norms > 1e-12, norms, 1)
