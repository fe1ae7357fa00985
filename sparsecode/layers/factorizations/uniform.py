r"""Uniform: integers of a few bits on grids that groups of weights share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._validation import check_option
from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    check_parts,
)
from sparsecode.layers.factorizations._feedback import cholesky
from sparsecode.layers.factorizations._format import Format, check_format
from sparsecode.layers.factorizations._rounding import with_feedback
from sparsecode.layers.factorizations._values import (
    Codes,
    Half,
    Values,
    decoded,
    groups_of,
    packed,
    part_names,
    stored_bits,
    tiles,
    unpacked,
)

GROUP_SIZES = 16, 32, 64, 128, 256, 512  # tried where none is given, before whole rows
SAMPLE = 256  # rows by which a number of bits is chosen


@dataclass(frozen=True, eq=False, repr=False)
class Uniform(Factorization):
    """``W = scale * (code - zero)``, or `W` in a float of 16 bits.

    Parameters
    ----------
    values : Codes or Half
        The weights (n_outputs, n_inputs) as they are stored.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 64)).astype(np.float32)
    >>> f = layers.factorize(W, "uniform", budget=0.15)
    >>> f, f.bits().total <= 0.15 * 32 * W.size
    (Uniform(32x64 float32, 4 bits, groups of 32), True)
    """

    values: Values
    kind: ClassVar[str] = "uniform"

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the layer, which `to_dense` gives."""
        return self.values.dtype

    @property
    def summary(self) -> str:
        """Bits a weight, and the weights that share a scale."""
        if not isinstance(self.values, Codes):
            return f"16 bits, {decoded_dtype(self.values)}"
        groups = groups_of(self.shape, self.values.group)
        size = f"groups of {groups.size}" if groups.inside_rows else "rows"
        if not groups.inside_rows and groups.rows > 1:
            size = f"{groups.rows} rows a scale"
        zeros = "" if self.values.grid.zeros is None else ", affine"
        return f"{self.values.grid.bits} bits, {size}{zeros}"

    def to_dense(self) -> np.ndarray:
        """The weights that the codes stand for."""
        if not isinstance(self.values, Codes):
            return decoded(self.values).astype(self.dtype, copy=False)
        dense = np.empty(self.shape, dtype=self.dtype)
        with np.errstate(over="ignore"):
            for rows in tiles(self.shape):
                dense[rows] = self.values.decode_rows(rows)
        return dense

    def _apply(self, X: np.ndarray) -> np.ndarray:
        """``X @ W.T``, a few rows of `W` at a time."""
        if not isinstance(self.values, Codes):
            return X @ decoded(self.values).T
        parts = [X @ self.values.decode_rows(rows).T for rows in tiles(self.shape)]
        return np.concatenate(parts, axis=1)

    def bits(self) -> Bits:
        """Codes, scales and zero points."""
        return stored_bits(self.values)

    def pack(self) -> tuple[Arrays, Meta]:
        """``values.codes``, ``values.scales`` and perhaps ``values.zeros``; or ``values``."""
        arrays, meta = packed(values=self.values)
        return arrays, {"kind": self.kind, **meta}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> Uniform:
        """The inverse of `pack`."""
        check_parts(arrays, *part_names(meta, "values"))
        values = unpacked(arrays, meta, "values", 2)
        if values.size == 0:
            raise ValueError(f"the packed weight of shape {values.shape} is empty")
        return cls(values)


def decoded_dtype(values: Values) -> np.dtype:
    """The dtype that 16 bits or none are stored in."""
    return values.array.dtype if isinstance(values, Half) else values.dtype


def fit_uniform(
    W: np.ndarray,
    gram: np.ndarray | None,
    budget: int,
    dtype: np.dtype,
    *,
    bits: int | str | None = None,
    group_size: int | str | None = None,
    symmetric: bool = True,
    rounding: str | None = None,
) -> Uniform:
    """The grids that fit the budget and lose the least, and codes by error feedback or rounding.

    `bits` is 1 to 8, or, of a layer of wider floats, 16 or "float16", or "bfloat16"; None is
    whichever is best.
    `group_size` is the number of weights of a row that share a scale, "channel" for whole rows,
    "tensor" for all; None is the finest that the budget holds. Scales are float16; grids that are
    not `symmetric` have integer zero points. `rounding` is "error_feedback" (GPTQ), which needs the
    moment of the inputs and is then the default, or "nearest".
    """
    if rounding is not None:
        check_option(rounding, "rounding", ("nearest", "error_feedback"))
    if rounding == "error_feedback" and gram is None:
        raise ValueError('rounding="error_feedback" needs gram, the moment of the inputs')
    formats = _formats(W.shape, budget, dtype, bits, group_size, symmetric)
    weights = None if gram is None else np.maximum(np.diag(gram), 0)
    format_ = _best(W, weights, formats)
    if gram is None or rounding == "nearest" or format_.bits in (None, 16):
        return Uniform(format_.store(W, weights))
    return Uniform(with_feedback(W, cholesky(gram), format_))


def _formats(
    shape: tuple[int, int],
    budget: int,
    dtype: np.dtype,
    bits: int | str | None,
    group_size: int | str | None,
    symmetric: bool,
) -> list[Format]:
    """What fits the budget: the largest two numbers of bits, each with its finest groups."""
    named = {"channel": shape[1], "tensor": shape[0] * shape[1]}
    if isinstance(group_size, str):
        sizes = [named[check_option(group_size, "group_size", named)]]
    elif group_size is None:
        sizes = [size for size in GROUP_SIZES if size < shape[1]] + list(named.values())
    else:
        sizes = [group_size]
    widths: list[int | str] = [16, *range(8, 0, -1)] if bits is None else [bits]
    asked = bits == 16 or isinstance(bits, str)
    fitting = []
    for width in widths:
        tried = [check_format(dtype, width, size, symmetric) for size in sizes]
        tried = [format_ for format_ in tried if format_.cost(*shape) <= budget]
        fitting += [format_ for format_ in tried[:1] if not format_.plain or asked]
    if not fitting:
        what = f"{bits}-bit weights" if isinstance(bits, int) else f"{bits or '1-bit'} codes"
        raise BudgetError(f"{what} of a {shape} layer do not fit into {budget} bits; raise budget")
    return fitting[:1] if fitting[0].bits in (None, 16) else fitting[:2]


def _best(W: np.ndarray, weights: np.ndarray | None, formats: list[Format]) -> Format:
    """The format that rounds some rows best."""
    if len(formats) == 1:
        return formats[0]
    rows = W[:: -(-len(W) // SAMPLE)]
    rows = to_units(rows, unit_of(magnitude(rows), rows.dtype))

    def error(format_: Format) -> float:
        miss = rows - decoded(format_.store(rows, weights))
        return float(np.sum(miss * miss * (1 if weights is None else weights)))

    return min(formats, key=error)
