"""Dynamic quantization: activations in integers, each row on the grid of its own range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecode._validation import check_array, check_bool, check_int

__all__ = ["QuantizedRows", "quantize_dynamic"]

MOST_BITS = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedRows:
    r"""Rows ``scales * (codes - zeros)``.

    Attributes
    ----------
    codes : integer array of shape (n_samples, n_features)
        Signed if the grids are symmetric, else unsigned; of 8 bits, or 16 where there are more.
    scales : ndarray of shape (n_samples,)
        The spacings, 0 for a row of zeros.
    zeros : integer array of shape (n_samples,) or None
        The codes of 0; None if the grids are symmetric: 0 is then coded as 0.
    dtype : dtype
        Of the rows.

    Examples
    --------
    >>> from sparsecode import layers
    >>> q = layers.quantize_dynamic([[-127.0, 0.4, 63.0]])
    >>> q.codes, q.scales, q.dequantize()
    (array([[-127,    0,   63]], dtype=int8), array([1.]), array([[-127.,    0.,   63.]]))
    """

    codes: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray | None
    dtype: np.dtype

    def dequantize(self) -> np.ndarray:
        """The rows that the codes stand for."""
        levels = self.codes.astype(self.scales.dtype)
        if self.zeros is not None:
            levels -= self.zeros[:, None]
        with np.errstate(under="ignore"):
            return (levels * self.scales[:, None]).astype(self.dtype, copy=False)


def quantize_dynamic(X: Any, *, bits: int = 8, symmetric: bool = True) -> QuantizedRows:
    r"""Round each row to a grid of its own: that of the activations of one sample or token.

    .. math:: s = \frac{\max_j |x_j|}{2^{b - 1} - 1}, \quad q_j = \mathrm{round}(x_j / s)
              \qquad\text{or}\qquad
              s = \frac{\max(x, 0) - \min(x, 0)}{2^b - 1}, \quad
              z = \mathrm{round}\Bigl(\frac{-\min(x, 0)}{s}\Bigr), \quad
              q_j = \mathrm{round}(x_j / s) + z

    No entry is off by more than half a spacing, and 0 is exact. Halves are rounded to even, and the
    second, in 8 bits, is ONNX's `DynamicQuantizeLinear` for each row.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Activations. float16 and bfloat16 are computed in float32.
    bits : int, default=8
        Of a code, 2 to 16.
    symmetric : bool, default=True
        The first grid, or the second.

    Returns
    -------
    QuantizedRows
        Codes, scales and zero points.

    Raises
    ------
    ValueError
        If `bits` is out of range, or an entry is NaN or infinite.

    See Also
    --------
    sparsecode.DynamicQuantizer : The transformer.

    References
    ----------
    Jacob et al., "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", 2018.

    Examples
    --------
    >>> from sparsecode.layers import quantize_dynamic
    >>> q = quantize_dynamic([[-1.0, 2.0, 4.0]], bits=4, symmetric=False)
    >>> q.codes, q.zeros
    (array([[ 0,  9, 15]], dtype=uint8), array([3], dtype=uint8))
    """
    check_int(bits, "bits", low=2, high=MOST_BITS)
    check_bool(symmetric, "symmetric")
    given, X = X, check_array(X, "X")
    given = np.asarray(given).dtype
    dtype = given.newbyteorder("=") if given.name in ("float16", "bfloat16") else X.dtype
    # Each row in a unit of its own: no scale is then rounded more than others, or overflows.
    exponents = np.frexp(np.abs(X).max(axis=1, initial=0))[1]
    X = np.ldexp(X, -exponents[:, None])
    top = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
    low, high = np.minimum(X.min(axis=1), 0), np.maximum(X.max(axis=1), 0)
    steps = (np.maximum(-low, high) if symmetric else high - low) / X.dtype.type(top)
    steps = np.where(steps > 0, steps, 1)
    levels = np.rint(X / steps[:, None])
    scales = np.where(X.any(axis=1), np.ldexp(steps, exponents), 0)
    if symmetric:
        codes = np.clip(levels, -top, top).astype(np.int8 if bits <= 8 else np.int16)
        return QuantizedRows(codes=codes, scales=scales, zeros=None, dtype=dtype)
    kind = np.uint8 if bits <= 8 else np.uint16
    zeros = np.rint(-low / steps)
    codes = np.clip(levels + zeros[:, None], 0, top).astype(kind)
    return QuantizedRows(codes=codes, scales=scales, zeros=zeros.astype(kind), dtype=dtype)
