r"""Codebook: each weight, or each short run of weights, is one of a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import check_int, check_option, check_random_state, check_unused
from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    check_parts,
    checked_shape,
    computing_dtype,
    part,
)
from sparsecode.layers.factorizations._clusters import (
    assigned,
    line_centroids,
    metric_blocks,
    run_centroids,
)
from sparsecode.layers.factorizations._feedback import cholesky
from sparsecode.layers.factorizations._format import Format, check_format
from sparsecode.layers.factorizations._packing import pack_bits, packed_bytes, unpack_bits
from sparsecode.layers.factorizations._values import (
    Values,
    decoded,
    packed,
    part_names,
    stored_bits,
    tiles,
    unpacked,
    width_of,
)

MOST_BOOKS = 64  # where their number is not given
MOST_BITS = 12  # of an index


@dataclass(frozen=True, eq=False, repr=False)
class Codebook(Factorization):
    """``W[i, d b : d (b + 1)] = centroids[i // rows, codes[i, b]]``.

    Packed as ``codes`` (uint8: entry `i` in the bits ``i * bits`` to ``(i + 1) * bits`` of the
    stream, little-endian) and ``centroids``.

    Parameters
    ----------
    codes : integer array of shape (n_outputs, n_inputs / d)
        Which centroid stands for each run of `d` weights.
    centroids : array, or values stored otherwise, of shape (n_books, 2**bits, d)
        The centroids, one codebook for every so many rows.
    rows : int
        The rows that share a codebook.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 64)).astype(np.float32)
    >>> f = layers.factorize(W, "codebook", budget=0.15)
    >>> f, f.bits().total <= 0.15 * 32 * W.size
    (Codebook(32x64 float32, 2 of 16 centroids, 4 bits), True)
    """

    codes: np.ndarray
    centroids: Values
    rows: int
    kind: ClassVar[str] = "codebook"

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.codes.shape[0], self.codes.shape[1] * self.centroids.shape[2]

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the centroids."""
        return self.centroids.dtype

    @property
    def width(self) -> int:
        """The bits of an index."""
        return self.centroids.shape[1].bit_length() - 1

    @property
    def summary(self) -> str:
        """Codebooks, their size, and what they are of."""
        n_books, k, d = self.centroids.shape
        books = "" if n_books == 1 else f"{n_books} of "
        runs = "" if d == 1 else f" of {d} weights"
        return f"{books}{k} centroids{runs}{width_of(self.centroids)}, {self.width} bits"

    def decode_rows(self, rows: slice) -> np.ndarray:
        """Some rows of the weights."""
        codes = self.codes[rows]
        book = np.arange(self.shape[0])[rows, None] // self.rows
        return decoded(self.centroids)[book, codes].reshape(len(codes), -1)

    def to_dense(self) -> np.ndarray:
        """The weights that the codes stand for."""
        dense = np.empty(self.shape, dtype=self.dtype)
        for rows in tiles(self.shape):
            dense[rows] = self.decode_rows(rows)
        return dense

    def _apply(self, X: np.ndarray) -> np.ndarray:
        """``X @ W.T``, a few rows of `W` at a time."""
        dtype = computing_dtype(self.dtype)
        parts = [
            X @ self.decode_rows(rows).astype(dtype, copy=False).T for rows in tiles(self.shape)
        ]
        return np.concatenate(parts, axis=1)

    def bits(self) -> Bits:
        """The codes, and the centroids."""
        centroids = stored_bits(self.centroids)
        return Bits(
            values=8 * packed_bytes(self.codes.size, self.width),
            codebook=centroids.values,
            scales=centroids.scales,
        )

    def pack(self) -> tuple[Arrays, Meta]:
        """``codes`` and ``centroids``."""
        codes = pack_bits(self.codes, self.width)
        centroids, described = packed(centroids=self.centroids)
        meta: Meta = {"kind": self.kind, "shape": list(self.shape), "rows": self.rows}
        return {"codes": codes, **centroids}, {**described, **meta}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> Codebook:
        """The inverse of `pack`."""
        check_parts(arrays, "codes", *part_names(meta, "centroids"))
        stream, centroids = (
            part(arrays, "codes", 1, ("uint8",)),
            unpacked(arrays, meta, "centroids", 3),
        )
        (m, n), rows = checked_shape(meta), meta.get("rows")
        n_books, k, d = centroids.shape
        if not (
            type(rows) is int
            and rows > 0
            and n_books == -(-m // rows)
            and 2 <= k <= 2**MOST_BITS
            and k & (k - 1) == 0
            and d > 0
            and n % d == 0
        ):
            raise ValueError(
                f"codebooks of shape {centroids.shape} for every {rows!r} rows do not fit a layer "
                f"of shape {(m, n)}"
            )
        codes = unpack_bits(stream, k.bit_length() - 1, m * n // d)
        return cls(codes.reshape(m, n // d), centroids, rows)


class _Plan(NamedTuple):
    """How many bits an index takes, and how many rows share a codebook."""

    bits: int
    rows: int


def fit_codebook(
    W: np.ndarray,
    gram: np.ndarray | None,
    budget: int,
    dtype: np.dtype,
    *,
    bits: int | None = None,
    subvector: int = 1,
    rows_per_codebook: int | None = None,
    rounding: str | None = None,
    n_rounds: int | None = None,
    value_bits: int | str | None = None,
    random_state: Any = 0,
) -> Codebook:
    """The best few weights to stand for all, and which of them stands for each.

    `bits` is that of an index, 1 to 12: there are ``2**bits`` centroids; None is the most that
    fits. `rows_per_codebook` is the number of outputs that share a codebook; None is the fewest
    that the budget holds, of at most 64 codebooks. Single weights are clustered to the optimum
    (`kmeans_1d`, each weight's error counting as the second moment of its input). A `subvector` of
    more weights (product quantization) is clustered by `n_rounds` (15) of k-means from a k-means++
    start drawn from `random_state`, in the metric of the block of inputs it belongs to; a pipeline
    may give the seed to all.
    `value_bits` of 1 to 8, 16, "float16" or "bfloat16" stores the centroids so.
    `rounding` is "error_feedback", which needs the moment of the inputs and is then the default, or
    "nearest".
    """
    m, n = W.shape
    d = check_int(subvector, "subvector", high=n)
    if n % d:
        raise ValueError(f"subvector={d} does not divide the {n} inputs of the layer")
    if d == 1:
        check_unused("codebooks of single weights", n_rounds=n_rounds)
    if rounding is not None:
        check_option(rounding, "rounding", ("nearest", "error_feedback"))
    if rounding == "error_feedback" and gram is None:
        raise ValueError('rounding="error_feedback" needs gram, the moment of the inputs')
    n_rounds = 15 if n_rounds is None else check_int(n_rounds, "n_rounds")
    rng = check_random_state(random_state)
    format_ = check_format(dtype, value_bits)
    plan = _plan(W.shape, budget, format_, d, bits, rows_per_codebook)
    unit = unit_of(magnitude(W), W.dtype)
    W = to_units(W, unit)
    blocks = metric_blocks(gram, n, d)
    k = 2**plan.bits

    def learn(rows: np.ndarray) -> np.ndarray:
        if d == 1:
            weights = None if blocks is None else np.broadcast_to(blocks[:, 0, 0], rows.shape)
            return line_centroids(rows, weights, k)
        return run_centroids(rows.reshape(len(rows), -1, d), blocks, k, n_rounds, rng)

    learned = [learn(W[start : start + plan.rows]) for start in range(0, m, plan.rows)]
    books = np.stack([from_units(book, unit, name="a centroid") for book in learned])
    centroids = format_.store(books)
    stored = to_units(decoded(centroids).astype(W.dtype), unit)
    codes = assigned(W, stored, plan.rows, None, blocks)
    if gram is None or rounding == "nearest":
        return Codebook(codes, centroids, plan.rows)
    root = cholesky(gram)
    found = codes, assigned(W, stored, plan.rows, root, blocks)
    errors = [_error(W, Codebook(some, stored, plan.rows), root) for some in found]
    return Codebook(found[int(np.argmin(errors))], centroids, plan.rows)


def _error(W: np.ndarray, form: Codebook, root: np.ndarray) -> float:
    """What the outputs lose, but for the unit of the moment."""
    lower = np.tril(root)
    return sum(
        float(np.sum(((W[rows] - form.decode_rows(rows)) @ lower) ** 2)) for rows in tiles(W.shape)
    )


def _plan(
    shape: tuple[int, int],
    budget: int,
    format_: Format,
    d: int,
    bits: int | None,
    rows: int | None,
) -> _Plan:
    m, n = shape
    most = max(1, min(MOST_BITS if d > 1 else 8, (m * n // d).bit_length() - 1))
    widths = range(most, 0, -1) if bits is None else [check_int(bits, "bits", high=MOST_BITS)]
    if rows is None:
        heights = sorted({-(-m // 2**i) for i in range(MOST_BOOKS.bit_length())})
    else:
        heights = [min(check_int(rows, "rows_per_codebook"), m)]
    for width in widths:
        for height in heights:
            centroids = format_.cost(-(-m // height), 2**width, d)
            if 8 * packed_bytes(m * n // d, width) + centroids <= budget:
                return _Plan(width, height)
    raise BudgetError(
        f"the smallest codebook for a {shape} layer, and its codes, do not fit into {budget} bits; "
        "raise budget"
    )
