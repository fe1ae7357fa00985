"""Tensors of torch as NumPy arrays, and back; bfloat16 among them."""

from __future__ import annotations

from typing import Any

import numpy as np


def torch_library() -> Any:
    """The torch package, or an error that says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise ImportError("torch modules need `pip install sparsecode[torch]`") from error
    return torch


def to_array(tensor: Any, name: str = "input") -> np.ndarray:
    """The tensor's values; its memory, where that is the computer's own."""
    torch = torch_library()
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"{name!r} is no tensor but {type(tensor).__name__}")
    tensor = tensor.detach()
    try:
        if tensor.dtype == torch.bfloat16:
            import ml_dtypes

            return tensor.view(torch.int16).cpu().numpy().view(ml_dtypes.bfloat16)
        return tensor.cpu().numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise ValueError(
            f"the tensor {name!r} of {tensor.dtype}, {tensor.layout} on {tensor.device}, cannot be "
            "seen as a NumPy array"
        ) from error


def to_tensor(array: np.ndarray) -> Any:
    """A tensor of the array's values, in memory of its own."""
    torch = torch_library()
    own = np.array(array, order="C")
    if own.dtype.name == "bfloat16":
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)


def place_of(tensor: Any) -> Any:
    """What two tensors have in common that are one, on whatever device."""
    return tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()
