"""Weighted k-means of numbers on a line, exactly, by dynamic programming."""

from __future__ import annotations

import numpy as np

from sparsecode.solvers._kernels import compiled


@compiled
def split_line(
    w,  # (n + 1,), sums of the weights of the first numbers, in ascending order
    wx,  # (n + 1,), of weight times number
    k,  # at most n
    cost,  # (n + 1,), scratch; out: the last entry is minus the largest sum of a partition
    previous,  # (n + 1,), scratch
    best,  # (k, n + 1), int32, scratch: where the last cluster begins
    stack,  # (128, 4), int64, scratch
    starts,  # (k,), int64, out: where each cluster begins
):
    """The `k` intervals that maximise the sum of ``(sum w x)^2 / sum w`` over the intervals.

    That is what k-means takes off ``sum w x^2``. The beginning of the last interval never moves
    left as the end moves right, so halving the ends bounds the search: O(k n log n) in all.
    """
    n = w.shape[0] - 1
    cost[0] = 0.0
    for i in range(1, n + 1):
        mass = w[i]
        cost[i] = -(wx[i] * wx[i] / mass) if mass > 0 else 0.0
        best[0, i] = 0
    for c in range(1, k):
        for i in range(n + 1):
            previous[i] = cost[i]
        size = 1
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = c + 1, n, c, n - 1
        while size > 0:
            size -= 1
            first, last, low, high = stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3]
            middle = (first + last) // 2
            least, at = np.inf, low
            for j in range(low, min(high, middle - 1) + 1):
                mass = w[middle] - w[j]
                moment = wx[middle] - wx[j]
                value = previous[j] - (moment * moment / mass if mass > 0 else 0.0)
                if value < least:
                    least, at = value, j
            cost[middle] = least
            best[c, middle] = at
            if first < middle:
                stack[size, 0], stack[size, 1] = first, middle - 1
                stack[size, 2], stack[size, 3] = low, at
                size += 1
            if middle < last:
                stack[size, 0], stack[size, 1] = middle + 1, last
                stack[size, 2], stack[size, 3] = at, high
                size += 1
    end = n
    for c in range(k - 1, -1, -1):
        starts[c] = best[c, end]
        end = best[c, end]
