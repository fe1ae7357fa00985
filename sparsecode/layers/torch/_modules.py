"""Modules of torch that compute with the factors of a layer. Imported where torch is there."""

from __future__ import annotations

import copy
import math
from functools import reduce
from typing import Any

import torch
from torch import nn

from sparsecode.layers.factored import (
    FIRST_AXIS,
    KERNEL,
    LAST_AXIS,
    Expression,
    Leaf,
    Product,
    expression,
)
from sparsecode.layers.factorizations import Dense, Factorization, unpack
from sparsecode.layers.torch.arrays import to_array, to_tensor

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Chain(nn.Sequential):
    """One layer after another, in place of a layer of their product; `weight` is the product."""

    @property
    def weight(self) -> torch.Tensor:
        """What the layer's weight would be, in its shape."""

        def after(first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
            # No side of the kernel is under both: along it the one is broadcast against the other.
            return torch.einsum("or...,ri...->oi...", last, first)

        return reduce(after, (layer.weight for layer in self))

    @property
    def bias(self) -> torch.Tensor | None:
        """That of the last layer."""
        return self[-1].bias


class Sum(nn.Sequential):
    """Paths whose outputs add; `weight` is the sum of theirs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """All, added."""
        return reduce(torch.add, (path(x) for path in self))

    @property
    def weight(self) -> torch.Tensor:
        """What the layer's weight would be, in its shape."""
        return reduce(torch.add, (path.weight for path in self))

    @property
    def bias(self) -> torch.Tensor | None:
        """That of the first path."""
        return self[0].bias


class Packed(nn.Module):
    """A layer whose weight is kept packed, in buffers, and unpacked as it is used.

    It takes little memory, and no less time than the dense layer.
    """

    def __init__(self, form: Factorization, like: nn.Module, bias: nn.Parameter | None) -> None:
        super().__init__()
        arrays, self.meta = form.pack()
        self.parts = {name.replace(".", "_"): name for name in arrays}
        for buffer, name in self.parts.items():
            self.register_buffer(buffer, to_tensor(arrays[name]))
        self.bias = bias
        self.shape = tuple(like.weight.shape)
        self.summary = f"{type(like).__name__}, {form!r}"
        # In a tuple, so that it is no module of this one: it lends only its arithmetic.
        self._like = (copy.deepcopy(like).to("meta"),)

    def extra_repr(self) -> str:
        """The layer that it stands for, and the form."""
        return self.summary

    def factorization(self) -> Factorization:
        """The form that the buffers hold now."""
        arrays = {name: to_array(getattr(self, buffer)) for buffer, name in self.parts.items()}
        return unpack(arrays, self.meta)

    @property
    def weight(self) -> torch.Tensor:
        """The dense weight, in the layer's shape."""
        weight = to_tensor(self.factorization().to_dense()).reshape(self.shape)
        return weight.to(next(self.buffers()).device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer computes."""
        values = {"weight": self.weight} | ({} if self.bias is None else {"bias": self.bias})
        return torch.func.functional_call(self._like[0], values, (x,))


class Replacer:
    """Makes modules for layers; those of tied layers share their parameters.

    Parameters
    ----------
    everywhere : bool
        Use factors even where they are more work than the dense layer.
    """

    def __init__(self, *, everywhere: bool) -> None:
        self._everywhere = everywhere
        self._shared: dict[tuple[str, str], nn.Parameter] = {}
        self._packed: dict[tuple[str, str], Packed] = {}

    def module(self, owner: str, form: Factorization, old: Any) -> nn.Module | None:
        """What takes the place of `old`, whose weight is the tensor `owner`; None: nothing does."""
        kernel = tuple(old.weight.shape[2:])
        strides = tuple(old.stride) if kernel else ()
        made = expression(form, kernel, strides, everywhere=self._everywhere)
        if isinstance(made, Leaf) and not _takes_less(made.form):
            return None
        return self._made(owner, made, old, old.bias)

    def _made(self, owner: str, made: Expression, old: Any, bias: nn.Parameter | None) -> nn.Module:
        if isinstance(made, Leaf):
            return self._leaf(owner, made, old, bias)
        if isinstance(made, Product):
            *parts, last = made.parts
            modules = [self._made(owner, part, old, None) for part in parts]
            return Chain(*modules, self._made(owner, last, old, bias))
        first, *terms = made.parts
        modules = [self._made(owner, term, old, None) for term in terms]
        return Sum(self._made(owner, first, old, bias), *modules)

    def _leaf(self, owner: str, leaf: Leaf, old: Any, bias: nn.Parameter | None) -> nn.Module:
        module = _like(old, leaf)
        module.bias = bias
        if _takes_less(leaf.form):
            packed = Packed(leaf.form, module, bias)
            first = self._packed.setdefault((owner, leaf.name), packed)
            for name, buffer in first.named_buffers():
                packed.register_buffer(name, buffer)
            return packed
        module.weight = self._parameter(owner, leaf, module.weight.shape, old)
        return module

    def _parameter(self, owner: str, leaf: Leaf, shape: tuple[int, ...], old: Any) -> nn.Parameter:
        if (owner, leaf.name) not in self._shared:
            values = to_tensor(leaf.matrix).to(old.weight.device).reshape(shape)
            self._shared[owner, leaf.name] = nn.Parameter(values, old.weight.requires_grad)
        return self._shared[owner, leaf.name]


def _takes_less(form: Factorization) -> bool:
    """Whether there is a point in keeping it packed."""
    dense = 8 * math.prod(form.shape) * form.dtype.itemsize
    return not isinstance(form, Dense) and form.bits().total < dense


def _like(old: Any, leaf: Leaf) -> Any:
    """A layer of the kind of `old`, on no device, to be given a weight."""
    n_outputs, n_inputs = leaf.form.shape
    where = {"device": "meta", "dtype": old.weight.dtype}
    if isinstance(old, nn.Linear):
        return nn.Linear(n_inputs, n_outputs, **where)
    n_axes = old.weight.ndim - 2
    reached = {KERNEL: range(n_axes), FIRST_AXIS: [0], LAST_AXIS: [n_axes - 1]}.get(leaf.role, [])

    def along(values: tuple[int, ...], rest: int) -> tuple[int, ...]:
        return tuple(value if axis in reached else rest for axis, value in enumerate(values))

    kernel = along(old.kernel_size, 1)
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[n_axes]
    return kind(
        n_inputs // math.prod(kernel),
        n_outputs,
        kernel,
        stride=along(old.stride, 1),
        padding=old.padding if isinstance(old.padding, str) else along(old.padding, 0),
        dilation=along(old.dilation, 1),
        padding_mode=old.padding_mode,
        **where,
    )
