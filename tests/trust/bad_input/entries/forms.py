"""The forms of a layer, one and the same for all: what they compute, and what is read back."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from bad_input import checks
from bad_input.arguments import Count, Data, Thing
from bad_input.entries.layers import INPUTS, ROOM, W
from bad_input.entry import Answers, Entry, entry
from sparsecode import layers

CLASSES = {kind: family.form for kind, family in layers.FAMILIES.items()} | {
    "spatial": layers.Spatial, "tucker": layers.Tucker, "sum": layers.Sum, "chain": layers.Chain,
}  # fmt: skip
ORDINARY: Any = object()


@functools.cache
def made(kind: str) -> layers.Factorization:
    """A form of this kind; only where it is asked for, since it may take a while."""
    if kind in ("spatial", "tucker"):
        return layers.factorize(W, "low_rank", budget=0.9, form=kind, kernel_shape=(3, 2, 2))
    if kind == "sum":
        return layers.Sum((layers.Dense(W), layers.Dense(W)))
    if kind == "chain":
        return layers.Chain((layers.Dense(W[:, :8]), layers.Dense(W)))
    seed = {"random_state": 0} if kind in ("dictionary", "codebook") else {}
    return layers.factorize(W, kind, budget=1.0, **seed)


def product(kind: str) -> Any:
    """A check: the law that ``apply(X)`` is ``X @ W.T``."""

    def check(arguments: dict[str, Any], answers: Answers, tolerance: float) -> str | None:
        X, got = checks.wide(arguments["X"]), checks.wide(answers["it"])
        expected = X @ checks.wide(made(kind).to_dense()).T
        if got.shape != expected.shape:
            return f"shape {got.shape}"
        off = np.abs(got - expected).max(initial=0)
        return None if off <= tolerance * np.abs(expected).max(initial=0) else f"off by {off:.2g}"

    return check


def applied(kind: str) -> Entry:
    return entry(
        f"layers.{CLASSES[kind].__name__}.apply", ROOM,
        given={"X": Data(value=INPUTS[:5], ndim=tuple(range(1, 17)), empty=True, complex=True,
                         grows=(0,), degrees={"it": 1})},
        call=lambda X: made(kind).apply(X), check=product(kind),
    )  # fmt: skip


def unpacked(kind: str) -> Entry:
    def call(arrays: Any = ORDINARY, meta: Any = ORDINARY, **limit: Any) -> Any:
        packed = made(kind).pack()
        given = [p if g is ORDINARY else g for p, g in zip(packed, (arrays, meta), strict=True)]
        return layers.unpack(*given, **limit)

    return entry(
        f"layers.unpack, {kind}", ROOM,
        given={"arrays": Thing(), "meta": Thing(), "max_bytes": Count(value=W.nbytes, low=0)},
        call=call, answers=lambda form: {"dense": form.to_dense()},
        aliases={"arrays": ("packed",), "meta": ("packed", "kind")},
    )  # fmt: skip


ENTRIES = [each for kind in CLASSES for each in (applied(kind), unpacked(kind))]
