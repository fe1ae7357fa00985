"""Centroids of weights, or of short runs of them, and which of the centroids stands for each."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecode.layers.factorizations._feedback import Choose, Rule, error_feedback
from sparsecode.solvers import kmeans_1d

SAMPLE = 1 << 15  # runs of weights that the centroids are learned from


def metric_blocks(gram: np.ndarray | None, n: int, d: int) -> np.ndarray | None:
    """The diagonal blocks (n / d, d, d) of the moment, with nothing that is not positive."""
    if gram is None:
        return None
    blocks = np.stack([gram[i : i + d, i : i + d] for i in range(0, n, d)])
    place = np.arange(d)
    blocks[:, place, place] = np.maximum(blocks[:, place, place], 0)
    return blocks


def line_centroids(rows: np.ndarray, weights: np.ndarray | None, k: int) -> np.ndarray:
    """The best `k` numbers (k, 1) to stand for all, each error counting as its weight."""
    flat = None if weights is None else weights.reshape(-1)
    return kmeans_1d(rows.reshape(-1), k, weights=flat).centroids.astype(rows.dtype)[:, None]


def run_centroids(
    V: np.ndarray, blocks: np.ndarray | None, k: int, n_rounds: int, rng: Any
) -> np.ndarray:
    """Centroids of runs `V` (m, n / d, d), each run in the metric of its place."""
    m, n_places, d = V.shape
    V = V[:: -(-m * n_places // SAMPLE)]
    metrics = np.broadcast_to(np.eye(d, dtype=V.dtype), (n_places, d, d))
    metrics = metrics if blocks is None else blocks
    C = _spread_out(V, metrics, k, rng)
    best, least = C, np.inf
    for _ in range(n_rounds):
        error, A, b = 0.0, np.zeros((k, d, d)), np.zeros((k, d))
        for place in range(n_places):
            H, v = metrics[place], V[:, place]
            costs = _costs(v, C, H)
            chosen = costs.argmin(axis=1)
            error += float(costs[np.arange(len(v)), chosen].sum() + np.sum(v * (v @ H)))
            counts = np.bincount(chosen, minlength=k)
            sums = np.stack([np.bincount(chosen, v[:, i], minlength=k) for i in range(d)], axis=1)
            A += counts[:, None, None] * H
            b += sums @ H
        if error < least:
            best, least = C, error
        used = np.trace(A, axis1=1, axis2=2) > 0
        ridge = 1e-9 * np.trace(A, axis1=1, axis2=2) / d  # of what no input of a cluster shows
        A[:, np.arange(d), np.arange(d)] += np.where(used, ridge, 1)[:, None]
        pulled = b + np.where(used, ridge, 1)[:, None] * C
        C = np.linalg.solve(A, pulled[:, :, None])[:, :, 0].astype(V.dtype)
    return best


def _costs(v: np.ndarray, C: np.ndarray, H: np.ndarray) -> np.ndarray:
    """``(v_i - c_k)^T H (v_i - c_k)``, but for what does not depend on `k`."""
    HC = C @ H
    return np.sum(HC * C, axis=1) - 2 * (v @ HC.T)


def _spread_out(V: np.ndarray, metrics: np.ndarray, k: int, rng: Any) -> np.ndarray:
    """k-means++: runs drawn in proportion to what those drawn before leave of them."""
    m, n_places, d = V.shape
    flat = V.reshape(-1, d)
    weights = np.broadcast_to(np.trace(metrics, axis1=1, axis2=2), (m, n_places)).reshape(-1)
    left = np.full(len(flat), np.inf)
    C = np.empty((k, d), dtype=V.dtype)
    C[0] = flat[_draw(weights, rng)]
    for i in range(1, k):
        left = np.minimum(left, weights * np.sum((flat - C[i - 1]) ** 2, axis=1))
        C[i] = flat[_draw(left, rng)]
    return C


def _draw(weights: np.ndarray, rng: Any) -> int:
    total = np.cumsum(weights, dtype=np.float64)
    if not total[-1] > 0:
        return int(rng.random() * len(weights))
    place = np.searchsorted(total, rng.random() * total[-1], side="right")
    return min(int(place), len(weights) - 1)


def assigned(
    W: np.ndarray,
    books: np.ndarray,
    rows: int,
    root: np.ndarray | None,
    blocks: np.ndarray | None,
) -> np.ndarray:
    """The codes: of what is nearest in the metric of each place, or by error feedback."""
    m, n = W.shape
    d = books.shape[2]
    codes = np.empty((m, n // d), dtype=np.uint8 if books.shape[1] <= 256 else np.uint16)
    if d == 1:
        rule = _numbers(books[:, :, 0], np.arange(m) // rows, codes)
        if root is not None:
            error_feedback(W, root, lambda V, columns: rule)
        else:
            for k in range(n):
                rule(W[:, k], k)
        return codes
    if root is not None:
        error_feedback(W, root, _runs(books, rows, codes, root, None), width=d)
        return codes
    choose = _runs(books, rows, codes, None, blocks)
    for start in range(0, n, d):
        columns = slice(start, start + d)
        choose(W[:, columns], columns)
    return codes


def _numbers(books: np.ndarray, book: np.ndarray, codes: np.ndarray) -> Rule:
    """Each row's nearest centroid of its own codebook, by halving, for all rows at once."""
    edges = books[:, :-1] / 2 + books[:, 1:] / 2  # halves first: sums may leave the range

    def rule(v: np.ndarray, k: int) -> np.ndarray:
        code = np.zeros(len(v), dtype=np.intp)
        step = books.shape[1] // 2
        while step:
            code += step * (v > edges[book, code + step - 1])
            step //= 2
        codes[:, k] = code
        return books[book, code]

    return rule


def _runs(
    books: np.ndarray,
    rows: int,
    codes: np.ndarray,
    root: np.ndarray | None,
    blocks: np.ndarray | None,
) -> Choose:
    """The runs nearest in the metric of their place: what settling a whole block there costs."""
    n_books, _, d = books.shape
    eye = np.eye(d, dtype=books.dtype)

    def metric(columns: slice) -> np.ndarray:
        if root is not None:
            corner = np.tril(root[columns, columns])
            return corner @ corner.T
        return eye if blocks is None else blocks[columns.start // d]

    def choose(V: np.ndarray, columns: slice) -> Rule:
        H, settled = metric(columns), np.empty(V.shape, dtype=V.dtype)
        for number in range(n_books):
            some, C = slice(number * rows, (number + 1) * rows), books[number]
            code = _costs(V[some], C, H).argmin(axis=1)
            codes[some, columns.start // d], settled[some] = code, C[code]
        return lambda v, column: settled[:, column - columns.start]

    return choose
