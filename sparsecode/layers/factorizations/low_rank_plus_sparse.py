r"""Low rank plus sparse: what the layer has in common, and what stands out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, NamedTuple

import numpy as np

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import check_int, check_real
from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    check_parts,
    prefixed,
    unprefixed,
)
from sparsecode.layers.factorizations._values import Format, check_format, decoded
from sparsecode.layers.factorizations.low_rank import LowRank, largest_rank, stored_factors
from sparsecode.layers.factorizations.sparse import (
    Sparse,
    checked_shape,
    from_support,
    importance,
    largest_count,
    largest_scores,
    refit,
)
from sparsecode.solvers.low_rank import gram_root, weighted_projection

FIRST_ROUNDS = 5  # for each share of the bits, before all but the best are dropped


@dataclass(frozen=True, eq=False, repr=False)
class LowRankPlusSparse(Factorization):
    """``W = low_rank + sparse``: two paths whose outputs add.

    Parameters
    ----------
    low_rank : LowRank
        The one.
    sparse : Sparse
        The other, of the same shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 64))
    >>> f = layers.factorize(W, "low_rank+sparse", budget=0.5)
    >>> f.shape, f.bits().total <= 0.5 * 64 * W.size
    ((32, 64), True)
    """

    low_rank: LowRank
    sparse: Sparse
    kind: ClassVar[str] = "low_rank+sparse"

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.sparse.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of both parts."""
        return self.sparse.dtype

    @property
    def summary(self) -> str:
        """Rank and density."""
        return f"{self.low_rank.summary}, {self.sparse.summary}"

    def to_dense(self) -> np.ndarray:
        """The sum of the parts."""
        left, right = self.low_rank.factors()
        dense = left @ right
        dense[self.sparse.support] += decoded(self.sparse.values)
        return dense.astype(self.dtype, copy=False)  # rounded once

    def apply(self, X: np.ndarray) -> np.ndarray:
        """The sum of the two paths."""
        return self.low_rank.apply(X) + self.sparse.apply(X)

    def bits(self) -> Bits:
        """Those of both parts."""
        return self.low_rank.bits() + self.sparse.bits()

    def pack(self) -> tuple[Arrays, Meta]:
        """The arrays of the parts, with the part's name in front."""
        (low_rank, described), (sparse, meta) = self.low_rank.pack(), self.sparse.pack()
        arrays = {**prefixed("low_rank", low_rank), **prefixed("sparse", sparse)}
        return arrays, {**described, **meta, "kind": self.kind}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> LowRankPlusSparse:
        """The inverse of `pack`."""
        first, second = unprefixed("low_rank", arrays), unprefixed("sparse", arrays)
        check_parts(arrays, *prefixed("low_rank", first), *prefixed("sparse", second))
        low_rank = LowRank.unpack(first, meta)
        if low_rank.shape != checked_shape(meta):
            raise ValueError(f"{low_rank!r} does not fit the shape {meta['shape']}")
        sparse = Sparse.unpack(second, meta)
        if low_rank.dtype != sparse.dtype:
            raise ValueError(f"the parts do not fit: {low_rank!r} and {sparse!r}")
        return cls(low_rank, sparse)


def fit_low_rank_plus_sparse(
    W: np.ndarray,
    gram: np.ndarray | None,
    budget: int,
    dtype: np.dtype,
    *,
    low_rank_share: float | None = None,
    n_rounds: int = 20,
    value_bits: int | None = None,
) -> LowRankPlusSparse:
    """Alternate the exact low-rank step and the refitted sparse step; keep the best round.

    `low_rank_share` is the share of the bits that the low-rank part gets. None tries a tenth, a
    quarter and a half, which brackets what OATS (2024) found best; the best of them after a few
    rounds goes on. `value_bits` of 1 to 8, or 16, stores the numbers of both parts in so many bits;
    the sparse part is then fitted to what rounding has left of the other.
    """
    format_ = check_format(dtype, value_bits)
    if low_rank_share is not None:
        check_real(low_rank_share, "low_rank_share", low=0, high=1, open_low=True, open_high=True)
    check_int(n_rounds, "n_rounds")
    unit = unit_of(magnitude(W), np.float64)
    W = to_units(W, unit)
    root = None if gram is None else gram_root(gram, W.shape[1])
    shares = (0.1, 0.25, 0.5) if low_rank_share is None else (low_rank_share,)
    sizes = dict(_sizes(W.shape, budget, format_, share) for share in shares)
    running = [
        _alternate(W, gram, root, rank, count)
        for rank, count in sizes.items()
        if rank >= 1 and count >= 1
    ]
    if not running:
        raise BudgetError(
            f"rank 1 and one nonzero of a {W.shape} layer do not fit into {budget} bits"
        )
    # A few rounds tell the shares apart; the rest is for the best of them.
    first = min(n_rounds, FIRST_ROUNDS)
    trials = [(min(islice(rounds, first), key=_error), rounds) for rounds in running]
    best, rounds = min(trials, key=lambda trial: trial[0].error)
    best = min([best, *islice(rounds, n_rounds - first)], key=_error)
    W, left = from_units(W, unit, name="the layer"), best.left
    right, support = from_units(best.right, unit, name="a factor"), best.support
    S = refit(W - left @ right, support, gram)
    low_rank = stored_factors(W - S, left, right, gram, format_)
    if not format_.plain:
        left, right = (factor.astype(np.float64) for factor in low_rank.factors())
        S = refit(W - left @ right, support, gram)
    return LowRankPlusSparse(low_rank, from_support(S, support, format_, gram))


def _sizes(shape: tuple[int, int], budget: int, format_: Format, share: float) -> tuple[int, int]:
    """Rank and number of nonzeros, the low-rank part at about a share of the bits."""
    m, n = shape

    def cost(rank: int) -> int:
        return format_.cost(m, rank) + format_.cost(rank, n)

    rank = largest_rank(shape, max(int(share * budget), cost(1)), format_)
    return rank, format_.most(budget - cost(rank), lambda b, width: largest_count(shape, b, width))


class _Round(NamedTuple):
    error: float
    left: np.ndarray
    right: np.ndarray
    support: np.ndarray


def _error(round_: _Round) -> float:
    return round_.error


def _alternate(
    W: np.ndarray, gram: np.ndarray | None, root: np.ndarray | None, rank: int, count: int
) -> Iterator[_Round]:
    S = np.zeros_like(W)
    while True:
        left, right, _ = weighted_projection(W - S, root, rank)
        rest = W - left @ right
        support = largest_scores(importance(rest, gram), count)
        S = refit(rest, support, gram, tol=1e-2)  # the last refit is exact; these choose supports
        miss = rest - S
        error = float(np.sum(miss * (miss if gram is None else miss @ gram)))
        yield _Round(error, left, right, support)
