"""Dask arrays: work on blocks of rows where they are, and sums over blocks, which alone travel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np

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

    `like`, what `work` makes of a row, says what the blocks are made of. What `work` is bound to
    travels once to each worker.
    """
    from dask import delayed

    none = like[:0]

    def answer(block: Any, work: Callable[[Any], Any]) -> Any:
        with one_of_many():
            return work(block) if block.shape[0] else none

    return X.map_blocks(
        answer,
        work=delayed(work, pure=True, traverse=False),
        dtype=like.dtype,
        chunks=(X.chunks[0], (like.shape[1],)) if like.ndim == 2 else (X.chunks[0],),
        drop_axis=None if like.ndim == 2 else 1,
        meta=none,
    )


def array_of(tasks: Mapping[int, Any], heights: Sequence[int], like: Any) -> Any:
    """The Dask array of blocks of rows that tasks give, made as `like` is, in one layer of a graph.

    Blocks that have no task must not be asked for.
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    name = f"rows-{uuid4().hex}"
    layer: dict[Any, Any] = {(name, i, 0): task.key for i, task in tasks.items()}
    for graph in {id(task.dask): task.dask for task in tasks.values()}.values():
        layer.update(graph)
    graph = HighLevelGraph.from_collections(name, layer)
    return da.Array(graph, name, (tuple(heights), like.shape[1:]), meta=like[:0])


def tasks(
    work: Callable[..., Any],
    blocks: Any,
    *shared: Any,
    which: Sequence[int] | None = None,
    of_each: Sequence[tuple[Any, ...]] | None = None,
) -> list[Any]:
    """Tasks of ``work(*block, *of_each[i], *shared)``, still to be done.

    Parameters
    ----------
    work : callable
        What a worker does with a block.
    blocks : dask.array.Array, list of tasks that are done, or tuple of these
        The parts of a block, an array first. What makes its blocks one by one is done in the task
        that works on them, where they are not kept already, and they move nowhere.
    *shared : object
        They travel once to each worker.
    which : sequence of int, optional
        The blocks that are asked for, of an array; all by default. Lists are of these alone.
    of_each : sequence of tuple, optional
        Small arguments of each block that is asked for; they travel as `shared` does.
    """
    from dask import delayed
    from dask.blockwise import optimize_blockwise
    from dask.core import flatten
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph
    from dask.utils import funcname

    columns = blocks if isinstance(blocks, tuple) else (blocks,)
    (n, *_) = (c.numblocks[0] if is_dask(c) else len(c) for c in columns)
    asked = range(n) if which is None else which
    own = {} if of_each is None else dict(zip(asked, of_each, strict=True))

    def task(*block: Any, of_all: Any, block_id: tuple[int, ...]) -> Any:
        own, shared = of_all
        with one_of_many():
            return work(*block, *own.get(block_id[0], ()), *shared)

    thing = np.empty((1, 1), dtype=object)
    first, *others = (
        c if is_dask(c) else array_of(dict(zip(asked, c, strict=True)), (1,) * n, thing)
        for c in columns
    )
    answers = first.map_blocks(
        task,
        *others,
        of_all=delayed((own, shared), pure=False, traverse=False),
        dtype=object,
        meta=np.empty((0,) * first.ndim, dtype=object),
        name=f"{funcname(work)}-{uuid4().hex}",
    )
    keys = list(flatten(answers.__dask_keys__()))
    keys = keys if which is None else [keys[i] for i in which]
    # Its layers are formulas still: a few blocks cost what they are, not what the array is.
    fused = optimize_blockwise(answers.dask, keys=keys).cull(set(keys))
    graph = HighLevelGraph.from_collections(answers.name, dict(fused))
    return [Delayed(key, graph, layer=answers.name) for key in keys]


def reduce_rows(
    work: Callable[..., Answer],
    add: Callable[[Sequence[Answer]], Answer],
    blocks: Any,
    *shared: Any,
    **some: Any,
) -> Answer:
    """``add([work(*block, *shared) for block in blocks])``, computed now; see `tasks`."""
    answer: Answer = reduced(add, tasks(work, blocks, *shared, **some)).compute()
    return answer


def reduced(add: Callable[[Sequence[Answer]], Answer], parts: Sequence[Any]) -> Any:
    """The task of adding up what others answer."""
    from dask import delayed

    add_parts = delayed(add, pure=False)
    while len(parts) > 1:
        parts = [add_parts(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
    return parts[0]


def computed(work: Callable[..., Answer], blocks: Any, *shared: Any, **some: Any) -> list[Answer]:
    """``[work(*block, *shared) for block in blocks]``, computed now and brought here."""
    import dask

    return list(dask.compute(*tasks(work, blocks, *shared, **some)))


def persisted(work: Callable[..., Any], blocks: Any, *shared: Any) -> list[Any]:
    """The same as tasks that are done, whose answers stay where they were found."""
    return done(tasks(work, blocks, *shared))


def done(what: Sequence[Any]) -> list[Any]:
    """These tasks as ones that are done, or will be, where others are not waited for."""
    import dask

    return list(dask.persist(*what))


def kept_and_added(
    add: Callable[[Sequence[Answer]], Answer], pairs: Sequence[Any]
) -> tuple[list[Any], Answer]:
    """Of tasks that answer pairs: the former, done and where they were found; the latter, added up.

    Nothing else of them is kept.
    """
    added = reduced(add, [pair[1] for pair in pairs])
    *kept, added = done([*(pair[0] for pair in pairs), added])
    return kept, added.compute()
