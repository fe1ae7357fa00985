"""Units: data of extreme scale are solved in units of a power of two, and the answer scaled back.

A power of two changes no mantissa, so the answer is the same to the bit as that of the unscaled
problem wherever the latter neither overflows nor underflows. Ordinary data are left alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def magnitude(X: np.ndarray) -> float:
    """The largest absolute value, NaN left out; 0.0 for an empty array."""
    if X.size == 0:
        return 0.0
    if np.iscomplexobj(X):
        return max(magnitude(X.real), magnitude(X.imag))
    return float(max(np.fmax.reduce(X, axis=None), -np.fmin.reduce(X, axis=None)))


def unit_of(size: float, dtype: Any) -> float:
    """1.0 for an ordinary `size`, else the power of two just above it.

    Ordinary means that products of four such numbers, summed, stay inside the range of `dtype`.
    """
    return float(units_of(np.asarray(size), dtype))


def units_of(sizes: np.ndarray, dtype: Any) -> np.ndarray:
    """`unit_of` each of the sizes."""
    exponents = np.frexp(sizes)[1]
    info = np.finfo(dtype)
    ordinary = (sizes == 0) | (np.abs(exponents) <= info.maxexp // 5)
    # The least is one whose inverse still is a number.
    return np.where(ordinary, 1.0, np.ldexp(1.0, np.clip(exponents, -1022, info.maxexp - 1)))


def units_of_rows(X: np.ndarray) -> np.ndarray:
    """The unit of the largest entry of each row, a column; NaN has no size."""
    info = np.finfo(X.dtype)
    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", X, X)
    # Squared norms well inside the ordinary range, as almost always, spare a look at the entries.
    least, most = squares.min(initial=1.0), squares.max(initial=1.0)
    if X.shape[1] * 2.0 ** (-info.maxexp // 4) < least and most < 2.0 ** (info.maxexp // 4):
        return np.ones((X.shape[0], 1))
    return units_of(np.fmax.reduce(np.abs(X), axis=1, keepdims=True), X.dtype)


def to_units(X: np.ndarray, unit: Any) -> np.ndarray:
    """`X / unit`; `unit` is a number or an array that broadcasts against `X`."""
    return X if np.all(unit == 1.0) else _ldexp(X, -_exponent(unit))


def from_units(X: np.ndarray, *units: Any, name: str) -> np.ndarray:
    """`X * units[0] * units[1]...`, in X's dtype; an answer out of its range is an error."""
    if all(np.all(unit == 1.0) for unit in units):
        return X
    # One exponent: the product of the units may leave the range although the answer does not.
    scaled = _ldexp(X, sum(_exponent(unit) for unit in units))
    if not np.all(np.isfinite(scaled)):
        raise ValueError(
            f"{name} exceeds the range of {X.dtype} at the scale of this input; rescale the input"
        )
    return scaled


def scaled(value: float, *units_and_powers: Any) -> float:
    """``value * unit**power * unit**power...``, which may become 0 or infinite, all at once."""
    exponent = 0
    for unit, power in zip(units_and_powers[::2], units_and_powers[1::2], strict=True):
        exponent += power * int(_exponent(unit))
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(value, exponent))


def _exponent(unit: Any) -> Any:
    return np.frexp(unit)[1] - 1


def _ldexp(X: np.ndarray, exponent: Any) -> np.ndarray:
    scaled = np.empty(np.broadcast_shapes(X.shape, np.shape(exponent)), dtype=X.dtype)
    with np.errstate(over="ignore", under="ignore"):
        if np.iscomplexobj(X):
            scaled.real, scaled.imag = np.ldexp(X.real, exponent), np.ldexp(X.imag, exponent)
        else:
            np.ldexp(X, exponent, out=scaled)
    return scaled
