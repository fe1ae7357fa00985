"""Ways to choose the weights that stay, cheapest first: by their size, by what the outputs lose
with each alone, by optimal brain surgery, and by splitting the problem (ALPS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from sparsecode._validation import check_random_state
from sparsecode.layers.factorizations._damped import Moment
from sparsecode.layers.factorizations._feedback import BLOCK, cholesky, error_feedback
from sparsecode.layers.factorizations._positions import Shape, expanded
from sparsecode.layers.factorizations._refit import refitted
from sparsecode.layers.factorizations._supports import Pattern, importance, largest_in_rows


class Pruned(NamedTuple):
    """Weights, zero off the support, that the method itself arrives at."""

    weights: np.ndarray
    support: np.ndarray


def by_random(W: np.ndarray, pattern: Pattern, count: int, random_state: Any) -> Pruned:
    """Any of the supports, each as likely as another: the baseline."""
    score = check_random_state(random_state).uniform(size=W.shape)
    support = pattern.choose(score, count)
    return Pruned(np.where(support, W, 0), support)


def by_score(
    W: np.ndarray,
    gram: Moment | None,
    pattern: Pattern,
    count: int,
    *,
    weighted: bool,
    n_stages: int = 1,
) -> Pruned:
    """The largest weights, or the largest times the size of their inputs (Wanda).

    In several stages the density falls geometrically, and what is left is refitted and scored
    again before more is taken away.
    """
    V = W
    for stage in range(1, n_stages + 1):
        step, cells = _at_stage(pattern, W.shape, count, stage / n_stages)
        support = step.choose(importance(V, gram if weighted else None), cells)
        if stage < n_stages:
            V = refitted(W, support, gram, start=np.where(support, V, 0), tol=1e-2)
    return Pruned(np.where(support, V, 0), support)


def _at_stage(pattern: Pattern, shape: Shape, count: int, progress: float) -> tuple[Pattern, int]:
    """The pattern and the number of cells on the geometric way from all to `count`."""
    if progress == 1:
        return pattern, count
    if pattern.group is not None:
        keep, of = pattern.group
        return replace(pattern, group=(round(of * (keep / of) ** progress), of)), count
    whole = pattern.whole(shape)
    cells = round(whole * (count / whole) ** progress)
    return pattern, max(cells - cells % shape[0] if pattern.by_row else cells, count)


def by_surgery(W: np.ndarray, gram: np.ndarray, pattern: Pattern, count: int) -> Pruned:
    """Optimal brain surgery: what a weight costs once the others make good for it.

    Entries and blocks are chosen block of columns by block of columns, each error being carried on
    to the columns that come (SparseGPT). Whole columns are eliminated the cheapest first. Whole
    rows make good for nothing: the best are those of the largest outputs.
    """
    m, n = W.shape
    if pattern.block == (1, n):
        energy = np.einsum("ij,ij->i", W, W @ gram)
        support = expanded(largest_in_rows(energy[None], count).T, pattern.block)
        return Pruned(np.where(support, W, 0), support)
    if pattern.block == (m, 1):
        return _without_columns(W, gram, count)
    # The weights of a block are chosen at once, each as if the others of its block could make good
    # for it: few of many columns, then, are better than a large part of a few.
    block, unit = min(BLOCK, max(8, n // 16)), pattern.block[1]
    width = pattern.group[1] if pattern.group is not None else unit * max(1, block // unit)
    root = cholesky(gram.copy())
    pivots = np.diag(root)
    support = np.zeros(W.shape, dtype=bool)

    def choose(V: np.ndarray, columns: slice) -> Callable[[np.ndarray, int], np.ndarray]:
        kept = pattern.choose(np.abs(V * pivots[columns]), _share(pattern, count, W.shape, columns))
        support[:, columns] = kept
        return lambda v, k: np.where(kept[:, k - columns.start], v, 0)

    V = error_feedback(W, root, choose, width=width)
    return Pruned(np.ascontiguousarray(np.where(support, V, 0), dtype=W.dtype), support)


def _share(pattern: Pattern, count: int, shape: Shape, columns: slice) -> int:
    """The cells that these columns keep, so that all columns together keep `count`."""
    m, n = shape
    first, last = columns.start, min(columns.stop, n)
    if pattern.by_row:
        return m * ((count // m) * last // n - (count // m) * first // n)
    return count * last // n - count * first // n


def _without_columns(W: np.ndarray, gram: np.ndarray, count: int) -> Pruned:
    """Eliminate the columns that the rest makes good for best, a few at a time."""
    n = W.shape[1]
    inverse = _inverse(gram)
    V, kept = W.astype(np.float64), np.ones(n, dtype=bool)
    batch = max(1, (n - count) // 64)
    while (excess := int(kept.sum()) - count) > 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = np.square(V).sum(axis=0) / np.diag(inverse)
        cost[~kept] = np.inf
        out = np.argsort(cost, kind="stable")[: min(batch, excess)]
        solved = np.linalg.solve(inverse[np.ix_(out, out)], inverse[out])
        V -= V[:, out] @ solved
        inverse -= inverse[:, out] @ solved
        kept[out] = False
        V[:, ~kept] = inverse[~kept] = inverse[:, ~kept] = 0
    return Pruned(V.astype(W.dtype), np.broadcast_to(kept, W.shape).copy())


def _inverse(gram: np.ndarray) -> np.ndarray:
    """The inverse of a second moment, with the ridge that `cholesky` needs if it is singular."""
    root = np.tril(cholesky(np.array(gram, dtype=np.float64, order="C")))
    inverse = scipy.linalg.solve_triangular(root, np.eye(len(root)), lower=True)
    return inverse.T @ inverse


def by_splitting(
    W: np.ndarray, gram: np.ndarray, pattern: Pattern, count: int, *, max_iter: int = 300
) -> Pruned:
    r"""ALPS: alternating directions between the least squares and the pattern.

    .. math:: B = (W H - V + \rho D)(H + \rho I)^{-1}, \quad D = P_k(B + V / \rho), \quad
              V \leftarrow V + \rho (B - D)

    with `H` in units of its diagonal. The penalty starts at 0.1 and grows every third iteration by
    1.3, 1.2 or 1.1, the less the support still changes; when it does not, ten conjugate gradients
    on the support end it.

    References
    ----------
    Meng et al., "ALPS: improved optimization for highly sparse one-shot pruning for large language
    models", 2024.
    """
    if pattern.block == (1, W.shape[1]):  # rows are independent: there is an exact answer
        return by_surgery(W, gram, pattern, count)
    sizes = np.sqrt(np.where(np.diag(gram) > 0, np.diag(gram), 1)).astype(W.dtype)
    target = W * sizes
    values, vectors = scipy.linalg.eigh(gram / sizes / sizes[:, None], check_finite=False)
    values = np.maximum(values, 0)
    pull = (target @ vectors * values) @ vectors.T
    rho, D, dual = 0.1, target, np.zeros_like(target)
    before = np.ones(W.shape, dtype=bool)
    for iteration in range(1, max_iter + 1):
        B = (((pull - dual + rho * D) @ vectors) / (values + rho)) @ vectors.T
        moved = B + dual / rho
        support = pattern.choose(np.abs(moved), count)
        D = np.where(support, moved, 0)
        dual += rho * (B - D)
        if iteration % 3 == 0:
            changed = int(np.count_nonzero(support != before))
            if changed == 0:
                break
            size = np.count_nonzero(support)
            rho *= 1.3 if changed >= 0.1 * size else 1.2 if changed >= 0.005 * size else 1.1
            before = support
    weights = refitted(W, support, gram, start=D / sizes, max_iter=10)
    return Pruned(weights, support)
