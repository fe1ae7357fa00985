"""A layer as products and sums of smaller ones: what runtimes without our forms compute with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsecode._validation import check_bool
from sparsecode.layers.factorizations import (
    Chain,
    Dense,
    Dictionary,
    Factorization,
    LowRank,
    LowRankPlusSparse,
    Spatial,
    Sum,
    Tucker,
)
from sparsecode.layers.factorizations._values import in_dtype

POINT, KERNEL, FIRST_AXIS, LAST_AXIS = "point", "kernel", "first axis", "last axis"


@dataclass(frozen=True)
class Leaf:
    """One linear map: of points, under the whole kernel, or along the one or the other axis of it.

    Parameters
    ----------
    name : str
        Of the factor.
    form : Factorization
        Its matrix, (outputs, inputs times the sides of the kernel that it is under).
    role : str
        Which sides these are.
    """

    name: str
    form: Factorization
    role: str

    @cached_property
    def matrix(self) -> np.ndarray:
        """The same as an array."""
        return self.form.to_dense()

    def work(self, strides: tuple[int, ...]) -> int:
        """Products for an output of the layer: of points, for each that the stride goes over."""
        return math.prod(self.form.shape) * (math.prod(strides) if self.role == POINT else 1)


@dataclass(frozen=True)
class Product:
    """Maps one after another, the first to be applied first."""

    parts: tuple[Expression, ...]

    def work(self, strides: tuple[int, ...]) -> int:
        """Until the stride has been taken, for each point that it goes over."""
        total = 0
        for part in self.parts:
            total += part.work(strides)
            strides = _after(part, strides)
        return total


@dataclass(frozen=True)
class Total:
    """Maps of one input whose outputs add."""

    parts: tuple[Expression, ...]

    def work(self, strides: tuple[int, ...]) -> int:
        """Those of all."""
        return sum(part.work(strides) for part in self.parts)


Expression = Leaf | Product | Total


def _after(part: Expression, strides: tuple[int, ...]) -> tuple[int, ...]:
    """What is left of a stride behind a map."""
    if isinstance(part, Leaf):
        if part.role == POINT:
            return strides
        return (1, *strides[1:]) if part.role == FIRST_AXIS else tuple(1 for _ in strides)
    if isinstance(part, Total):
        return _after(part.parts[0], strides)
    for inner in part.parts:
        strides = _after(inner, strides)
    return strides


def check_factored(factored: bool | str) -> bool | str:
    """True for where there is less work in it, "all" for everywhere, False for nowhere."""
    if isinstance(factored, str) and factored == "all":
        return factored
    return check_bool(factored, "factored")


def expression(
    form: Factorization,
    kernel: tuple[int, ...] = (),
    strides: tuple[int, ...] = (),
    *,
    everywhere: bool = False,
) -> Expression:
    """The maps that a layer's form is made of, or just one: whichever is less work.

    Parameters
    ----------
    form : Factorization
        Of the layer.
    kernel, strides : tuple of int
        Of a convolution.
    everywhere : bool, default=False
        The maps it is made of even if they are more work than the dense layer.
    """

    def plan(form: Factorization, kernel: tuple[int, ...], name: str) -> Expression:
        whole = Leaf(name or "weight", form, KERNEL if kernel else POINT)
        prefix = f"{name}." if name else ""
        made = _made_of(form, kernel, prefix, plan)
        if made is None or (not everywhere and made.work(strides) >= whole.work(strides)):
            return whole
        return made

    return plan(form, kernel, "")


Plan = Callable[[Factorization, tuple[int, ...], str], "Expression"]


def _made_of(
    form: Factorization, kernel: tuple[int, ...], prefix: str, plan: Plan
) -> Expression | None:
    first = KERNEL if kernel else POINT

    def leaf(name: str, matrix: np.ndarray, role: str) -> Leaf:
        rows = np.ascontiguousarray(matrix).reshape(len(matrix), -1)
        return Leaf(f"{prefix}{name}", Dense(rows), role)

    if isinstance(form, LowRank):
        left, right = (in_dtype(factor, form.dtype) for factor in (form.left, form.right))
        return Product((leaf("right", right, first), leaf("left", left, POINT)))
    if isinstance(form, Dictionary):
        atoms = leaf("dictionary", in_dtype(form.dictionary, form.dtype), first)
        return Product((atoms, Leaf(f"{prefix}codes", form.codes, POINT)))
    if isinstance(form, Spatial) and form.kernel_shape[1:] == kernel:
        vertical, horizontal = (
            in_dtype(factor, form.dtype) for factor in (form.vertical, form.horizontal)
        )
        return Product(
            (leaf("vertical", vertical, FIRST_AXIS), leaf("horizontal", horizontal, LAST_AXIS))
        )
    if isinstance(form, Tucker) and math.prod(form.kernel_shape[1:]) == math.prod(kernel):
        output, core, mixing = (
            in_dtype(factor, form.dtype) for factor in (form.output, form.core, form.input)
        )
        ends = leaf("input", mixing, POINT), leaf("output", output, POINT)
        return Product((ends[0], leaf("core", core, first), ends[1]))
    if isinstance(form, LowRankPlusSparse):
        low_rank = plan(form.low_rank, kernel, f"{prefix}low_rank")
        return Total((low_rank, Leaf(f"{prefix}sparse", form.sparse, first)))
    if isinstance(form, Sum):
        return Total(tuple(plan(part, kernel, f"{prefix}{i}") for i, part in enumerate(form.parts)))
    if isinstance(form, Chain):
        *others, last = enumerate(form.parts)
        behind = [plan(part, (), f"{prefix}{i}") for i, part in reversed(others)]
        return Product((plan(last[1], kernel, f"{prefix}{last[0]}"), *behind))
    return None
