r"""Low rank plus sparse: what the layer has in common, and what stands out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.linalg

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import check_int, check_option, check_real, check_unused
from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    check_parts,
    checked_shape,
    computing_dtype,
    prefixed,
    unprefixed,
)
from sparsecode.layers.factorizations._format import Format, check_format
from sparsecode.layers.factorizations._positions import largest_count
from sparsecode.layers.factorizations._refit import TOLERANCE, refit, refitted
from sparsecode.layers.factorizations._supports import Pattern, importance
from sparsecode.layers.factorizations._values import decoded
from sparsecode.layers.factorizations.low_rank import LowRank, largest_rank, stored_factors
from sparsecode.layers.factorizations.sparse import Sparse, from_support
from sparsecode.solvers import principal_component_pursuit
from sparsecode.solvers.weighted import gram_root

AT_REST = 1e-4  # a round in the full metric that gains no more is the last
INNER = 6  # conjugate gradients in a round; the last refit goes to the end
# For each share of the bits, of OATS and in the full metric, before all but the best are dropped.
FIRST_ROUNDS, FIRST_FULL = 5, 2


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

    def __post_init__(self) -> None:
        for name, part, form in (
            ("low_rank", self.low_rank, LowRank),
            ("sparse", self.sparse, Sparse),
        ):
            if not isinstance(part, form):
                raise TypeError(f"{name} has to be a {form.__name__}, got a {type(part).__name__}")
        if (self.low_rank.shape, self.low_rank.dtype) != (self.sparse.shape, self.sparse.dtype):
            raise ValueError(f"the parts do not fit: {self.low_rank!r} and {self.sparse!r}")

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

    def _apply(self, X: np.ndarray) -> np.ndarray:
        """The sum of the two paths."""
        return self.low_rank._apply(X) + self.sparse._apply(X)

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
        return cls(low_rank, Sparse.unpack(second, meta))


def fit_low_rank_plus_sparse(
    W: np.ndarray,
    gram: np.ndarray | None,
    budget: int,
    dtype: np.dtype,
    *,
    low_rank_share: float | None = None,
    n_rounds: int = 20,
    metric: str | None = None,
    start: str = "oats",
    refit_tol: float | None = None,
    value_bits: int | str | None = None,
) -> LowRankPlusSparse:
    """Alternate the exact low-rank step and a sparse step that never makes the error larger.

    `low_rank_share` is the share of the bits that the low-rank part gets. None tries a tenth, a
    quarter and a half, which brackets what OATS (2024) found best; the best of them after a few
    rounds goes on. `refit_tol` is the part of each row's gradient that the last refit of the sparse
    part may leave. `value_bits` of 1 to 8, 16, "float16" or "bfloat16" stores both parts so; the
    sparse part is then fitted to what rounding has left of the other.
    """
    format_ = check_format(dtype, value_bits)
    metric = _check_metric(metric, gram)
    check_option(start, "start", ("oats", "robust_pca"))
    if start == "robust_pca":
        check_unused("start='robust_pca'", low_rank_share=low_rank_share)
    if low_rank_share is not None:
        check_real(low_rank_share, "low_rank_share", low=0, high=1, open_low=True, open_high=True)
    check_int(n_rounds, "n_rounds")
    tol = TOLERANCE[computing_dtype(dtype)] if refit_tol is None else refit_tol
    check_real(tol, "refit_tol", low=0, high=1, open_low=True, open_high=True)
    unit = unit_of(magnitude(W), np.float64)
    W = to_units(W, unit)
    sizes_of_inputs = None if gram is None else np.sqrt(np.maximum(np.diag(gram), 0))
    shares, S = (0.1, 0.25, 0.5) if low_rank_share is None else (low_rank_share,), None
    if start == "robust_pca":
        share, S = _convex_split(W, sizes_of_inputs)
        shares = (share,)
    sizes = dict(_sizes(W.shape, budget, format_, share) for share in shares)
    sizes = {rank: count for rank, count in sizes.items() if rank >= 1 and count >= 1}
    if not sizes:
        raise BudgetError(
            f"rank 1 and one nonzero of a {W.shape} layer do not fit into {budget} bits; "
            "raise budget"
        )
    running = (  # one after another: two in memory
        _Running(
            W, gram if metric == "full" else None, sizes_of_inputs, rank, count, S,
            computing_dtype(dtype),
        )
        for rank, count in sizes.items()
    )  # fmt: skip
    if len(sizes) == 1:
        best = next(running)
    else:  # a few rounds tell the shares apart; the rest is for the best of them
        floor = np.finfo(np.float64).eps * _energy(W, gram)  # what is exact but for rounding
        first = min(n_rounds, FIRST_ROUNDS)
        best = min(running, key=lambda each: max(each.after(first, FIRST_FULL).error, floor))
    left, right, S, support, _ = best.after(n_rounds, n_rounds)
    if metric == "full":
        S = refitted(W - left @ right, support, gram, start=S.copy(), tol=tol)
    W = from_units(W, unit, name="the layer")
    right, S = from_units(right, unit, name="a factor"), from_units(S, unit, name="the sparse part")
    measured = gram if metric == "full" else None
    low_rank = stored_factors(W - S, left, right, measured, format_)
    if not format_.plain:
        left, right = (factor.astype(np.float64) for factor in low_rank.factors())
        S = refit(W - left @ right, support, measured, tol=tol)
    return LowRankPlusSparse(low_rank, from_support(S, support, format_, measured))


def _energy(W: np.ndarray, gram: np.ndarray | None) -> float:
    return float(np.sum(W * (W if gram is None else W @ gram)))


def _check_metric(metric: str | None, gram: np.ndarray | None) -> str:
    if metric is None:
        return "diagonal" if gram is None else "full"
    check_option(metric, "metric", ("full", "diagonal"))
    if gram is None:
        raise ValueError(f"metric={metric!r} needs gram, the second moment of the layer's inputs")
    return metric


def _sizes(shape: tuple[int, int], budget: int, format_: Format, share: float) -> tuple[int, int]:
    """Rank and number of nonzeros, the low-rank part at about a share of the bits."""
    m, n = shape

    def cost(rank: int) -> int:
        return format_.cost(m, rank) + format_.cost(rank, n)

    rank = largest_rank(shape, max(int(share * budget), cost(1)), format_)
    return rank, format_.most(budget - cost(rank), lambda b, width: largest_count(shape, b, width))


class Split(NamedTuple):
    """A low-rank and a sparse part, and the squared error in the metric they were fitted in."""

    left: np.ndarray
    right: np.ndarray
    S: np.ndarray
    support: np.ndarray
    error: float


class _Running:
    """Rounds of OATS, and then as many in the full metric if there is one."""

    def __init__(
        self,
        W: np.ndarray,
        gram: np.ndarray | None,
        sizes: np.ndarray | None,
        rank: int,
        count: int,
        S: np.ndarray | None,
        precision: np.dtype,
    ) -> None:
        if S is not None:
            S = np.where(Pattern().choose(np.abs(S), count), S, 0)
        self._W, self._gram, self._done, self._precision = W, gram, 0, precision
        self._oats = diagonal_rounds(W, sizes, rank, count, S)
        self._last: Split | None = None

    def after(self, n_rounds: int, most: int) -> Split:
        """What so many rounds of the one and at most so many of the other come to."""
        for split in islice(self._oats, n_rounds - self._done):
            self._last, self._done = split, self._done + 1  # no more than one is kept
        last = self._last
        assert last is not None
        if self._gram is None:
            return last
        before = np.inf
        rounds = full_rounds(self._W, self._gram, last, self._precision)
        for round_ in islice(rounds, most):
            last = round_
            if before - last.error < AT_REST * before:
                break
            before = last.error
        return last


def diagonal_rounds(
    W: np.ndarray, sizes: np.ndarray | None, rank: int, count: int, S: np.ndarray | None = None
) -> Iterator[Split]:
    r"""OATS: truncated SVD and hard threshold in turn, of the weights times their inputs' sizes.

    .. math:: L \leftarrow \mathrm{SVD}_r(W D - S), \qquad S \leftarrow T_k(W D - L)

    Each step is the exact minimum of :math:`\|W D - L - S\|_F` over its part. No inverse of `D` is
    taken: a dead input has the weights of the projection, and none of its own.

    References
    ----------
    Zhang and Papyan, "OATS: outlier-aware pruning through sparse and low rank decomposition", 2024.
    """
    D = np.ones(W.shape[1]) if sizes is None else sizes
    S = np.zeros_like(W) if S is None else S
    while True:
        left = _leading((W - S) * D, rank)
        right = left.T @ (W - S)
        rest = W - left @ right
        support = Pattern().choose(np.abs(rest * D), count)
        S = np.where(support, rest, 0)
        rest -= S
        rest *= D
        error = float(np.vdot(rest, rest))
        del rest  # while others run
        yield Split(left, right, S, support, error)


def full_rounds(
    W: np.ndarray, gram: np.ndarray, start: Split, precision: Any = np.float64
) -> Iterator[Split]:
    """The exact low-rank step, then a refit of the sparse part: on its support, or on a new one.

    The new support is that of the largest entries after a step against the gradient in units of
    the diagonal; it stays only if it is the better one, so no round is worse than the one before.
    Conjugate gradients are taken in `precision`.
    """
    rank, count = start.left.shape[1], int(np.count_nonzero(start.support))
    S, support = start.S, start.support
    diagonal = np.where(np.diag(gram) > 0, np.diag(gram), 1)
    root = gram_root(gram, W.shape[1]) if W.shape[0] > W.shape[1] else None
    short = gram.astype(precision, copy=False)

    def refit_inside(support: np.ndarray) -> np.ndarray:
        inside = np.where(support, S, 0).astype(precision)
        target = rest.astype(precision, copy=False)
        inside = refitted(target, support, short, start=inside, tol=1e-2, max_iter=INNER)
        return inside.astype(np.float64, copy=False)

    while True:
        left = _leading(W - S, rank, gram, root)
        right = left.T @ (W - S)
        rest = W - left @ right
        S = refit_inside(support)
        best = _energy(rest - S, gram)
        for point in (S + (rest - S) @ gram / diagonal, rest):
            other = Pattern().choose(importance(point, gram), count)
            if np.array_equal(other, support):
                continue
            trial = refit_inside(other)
            if (value := _energy(rest - trial, gram)) < best:
                best, S, support = value, trial, other
                break
        yield Split(left, right, S, support, best)


def _leading(
    A: np.ndarray, rank: int, gram: np.ndarray | None = None, root: np.ndarray | None = None
) -> np.ndarray:
    """The leading left singular vectors of `A`, or of `A` times the root of a moment.

    From the product with its transpose on the shorter side, which is a matter of rounding in the
    leading ones, and of a fraction of the time.
    """
    if A.shape[0] <= A.shape[1]:
        return _eigenvectors(A @ A.T if gram is None else A @ gram @ A.T, rank)
    A = A if root is None else A @ root
    return np.linalg.qr(A @ _eigenvectors(A.T @ A, rank))[0]


def _eigenvectors(M: np.ndarray, count: int) -> np.ndarray:
    leading = len(M) - count, len(M) - 1
    vectors = scipy.linalg.eigh(M, subset_by_index=leading, check_finite=False)[1]
    return np.ascontiguousarray(vectors[:, ::-1])


def _convex_split(W: np.ndarray, sizes: np.ndarray | None) -> tuple[float, np.ndarray]:
    """Principal component pursuit, the convex cousin: its share of ranks, and its sparse part."""
    D = np.ones(W.shape[1]) if sizes is None else sizes
    split = principal_component_pursuit(W * D, tol=1e-4)
    ranks = split.rank * sum(W.shape)
    nonzeros = int(np.count_nonzero(split.sparse))
    share = min(max(ranks / max(ranks + nonzeros, 1), 0.01), 0.99)
    return share, np.divide(split.sparse, D, out=np.zeros_like(W), where=D > 0)
