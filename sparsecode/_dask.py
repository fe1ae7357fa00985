"""Dask arrays: work on blocks of rows where they are, and sums over blocks, which alone travel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sparsecode._threads import one_of_many

Answer = TypeVar("Answer")

FAN_IN = 8  # answers that one task adds up: a tree of them, so that no worker holds all


def is_dask(X: Any) -> bool:
    """Whether `X` is a Dask array. Dask is not imported to tell."""
    arrays = sys.modules.get("dask.array")
    return arrays is not None and isinstance(X, arrays.Array)


def check_blocks(X: Any, name: str) -> Any:
    """A 2-D Dask array whose blocks are of whole rows.

    Raises
    ------
    ValueError
        If it has another number of axes, is empty, or is not numeric.
    """
    if X.ndim != 2:
        raise ValueError(f"{name} has to be 2-D, got a Dask array of shape {X.shape}")
    if 0 in X.shape:
        raise ValueError(f"{name} is empty: its shape is {X.shape}")
    if X.dtype.kind not in "fiub":
        raise ValueError(f"{name} has to be a Dask array of real numbers, its dtype is {X.dtype}")
    return X if X.numblocks[1] == 1 else X.rechunk({1: -1})


def map_rows(work: Callable[[Any], Any], X: Any, like: Any) -> Any:
    """The Dask array of ``work(block)`` over blocks of rows, computed when it is asked for.

    `like`, what `work` makes of a row, says what the blocks are made of.
    """

    def answer(block: Any) -> Any:
        with one_of_many():
            return work(block) if block.shape[0] else like[:0]

    return X.map_blocks(
        answer,
        dtype=like.dtype,
        chunks=(X.chunks[0], (like.shape[1],)) if like.ndim == 2 else (X.chunks[0],),
        drop_axis=None if like.ndim == 2 else 1,
        meta=like[:0],
    )


def reduce_rows(
    work: Callable[..., Answer],
    add: Callable[[Sequence[Answer]], Answer],
    blocks: Sequence[Any],
    *shared: Any,
) -> Answer:
    """``add([work(block, *shared) for block in blocks])``, computed now.

    A block may be a tuple of arguments. What is a Dask task stays where it is; each argument in
    `shared` travels once to each worker.
    """
    answer: Answer = reduced(work, add, blocks, *shared).compute()
    return answer


def reduced(
    work: Callable[..., Answer],
    add: Callable[[Sequence[Answer]], Answer],
    blocks: Sequence[Any],
    *shared: Any,
) -> Any:
    """The same as a task that is still to be done."""
    from dask import delayed

    parts = tasks(work, blocks, *shared)
    add_parts = delayed(add, pure=False)
    while len(parts) > 1:
        parts = [add_parts(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
    return parts[0]


def computed(work: Callable[..., Answer], blocks: Sequence[Any], *shared: Any) -> list[Answer]:
    """``[work(block, *shared) for block in blocks]``, computed now and brought here."""
    import dask

    return list(dask.compute(*tasks(work, blocks, *shared)))


def persisted(work: Callable[..., Any], blocks: Sequence[Any], *shared: Any) -> list[Any]:
    """The same as tasks that are done, whose answers stay where they were found."""
    return done(tasks(work, blocks, *shared))


def done(what: Sequence[Any]) -> list[Any]:
    """These tasks as ones that are done, or will be, where others are not waited for."""
    import dask

    return list(dask.persist(*what))


def row_blocks(X: Any) -> list[Any]:
    """The blocks of rows, each a Dask task of its own."""
    return list(X.to_delayed().ravel())


def tasks(work: Callable[..., Any], blocks: Sequence[Any], *shared: Any) -> list[Any]:
    """The same as tasks that are still to be done."""
    from dask import delayed

    def task(shared: tuple[Any, ...], *given: Any) -> Any:
        with one_of_many():
            return work(*given, *shared)

    # One task that all others wait for, not one for each argument.
    of_all = delayed(shared, pure=False, traverse=False) if shared else ()
    task_of = delayed(task, pure=False)
    return [task_of(of_all, *(b if isinstance(b, tuple) else (b,))) for b in blocks]
