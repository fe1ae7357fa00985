"""Modules of torch that compute with the factors of a layer. Imported where torch is there."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsecode.layers.factorizations import (
    Dictionary,
    Factorization,
    LowRank,
    LowRankPlusSparse,
    unpack,
)
from sparsecode.layers.factorizations._values import in_dtype
from sparsecode.layers.torch_arrays import to_array, to_tensor

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Chain(nn.Sequential):
    """One layer after another, in place of a layer of their product; `weight` is the product."""

    @property
    def weight(self) -> torch.Tensor:
        """What the layer's weight would be, in its shape."""
        first, last = (layer.weight for layer in self)
        return (last.flatten(1) @ first.flatten(1)).reshape(len(last), *first.shape[1:])

    @property
    def bias(self) -> torch.Tensor | None:
        """That of the last layer."""
        return self[-1].bias


class Sum(nn.Module):
    """Two paths whose outputs add; `weight` is the sum of theirs."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both, added."""
        return self.first(x) + self.second(x)

    @property
    def weight(self) -> torch.Tensor:
        """What the layer's weight would be, in its shape."""
        return self.first.weight + self.second.weight

    @property
    def bias(self) -> torch.Tensor | None:
        """That of the first path."""
        return self.first.bias


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
        # In a tuple, so that it is no module of this one: it lends only its arithmetic.
        self._like = (copy.deepcopy(like).to("meta"),)

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
    """Makes modules for layers; those of tied layers share their parameters."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, str], nn.Parameter] = {}

    def module(self, owner: str, form: Factorization, old: Any) -> nn.Module:
        """What takes the place of `old`, whose weight is the tensor `owner`."""
        if isinstance(form, LowRank):
            return self._product(owner, form, old)
        if isinstance(form, LowRankPlusSparse):
            low = self._product(owner, form.low_rank, old)
            return Sum(low, Packed(form.sparse, _without_bias(old), None))
        if isinstance(form, Dictionary):
            atoms = self._first(owner, in_dtype(form.dictionary, form.dtype), old)
            codes = _last_like(old, form.dictionary.shape[0], form.shape[0], old.bias is not None)
            return Chain(atoms, Packed(form.codes, codes, old.bias))
        return Packed(form, old, old.bias)

    def _product(self, owner: str, form: LowRank, old: Any) -> Chain:
        last = _last_like(old, form.rank, form.shape[0], old.bias is not None)
        last.weight = self._parameter(
            owner, "left", in_dtype(form.left, form.dtype), last.weight.shape, old
        )
        if old.bias is not None:
            last.bias = old.bias
        return Chain(self._first(owner, in_dtype(form.right, form.dtype), old), last)

    def _first(self, owner: str, matrix: np.ndarray, old: Any) -> nn.Module:
        """The layer with fewer outputs that all else of `old` goes to, but the bias."""
        first = _without_bias(old)
        if isinstance(old, nn.Linear):
            first.out_features = len(matrix)
        else:
            first.out_channels = len(matrix)
        shape = (len(matrix), *old.weight.shape[1:])
        first.weight = self._parameter(owner, "right", matrix, shape, old)
        return first

    def _parameter(
        self, owner: str, part: str, matrix: np.ndarray, shape: tuple[int, ...], old: Any
    ) -> nn.Parameter:
        if (owner, part) not in self._shared:
            values = to_tensor(matrix).to(old.weight.device).reshape(shape)
            self._shared[owner, part] = nn.Parameter(values, old.weight.requires_grad)
        return self._shared[owner, part]


def _without_bias(old: Any) -> Any:
    """A copy on no device, to be given a weight."""
    made = copy.deepcopy(old).to("meta")
    made.bias = None
    return made


def _last_like(old: Any, n_inputs: int, n_outputs: int, bias: bool) -> Any:
    """The layer that combines channels: 1x1 where `old` is a convolution."""
    where = {"device": "meta", "dtype": old.weight.dtype, "bias": bias}
    if isinstance(old, nn.Linear):
        return nn.Linear(n_inputs, n_outputs, **where)
    n_axes = old.weight.ndim - 2
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[n_axes]
    return kind(n_inputs, n_outputs, 1, **where)
