"""Named tensors as NumPy arrays: what may be one, what may take its place, which are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsecode.layers.layout import FLOATING


def as_array(name: Any, tensor: Any) -> np.ndarray:
    """A named tensor of whatever library as a NumPy array, not copied where it need not be."""
    if not isinstance(name, str):
        raise ValueError(f"the name of a tensor has to be a string, got {name!r}")
    if np.ma.is_masked(tensor):
        raise ValueError(f"the tensor {name!r} has masked entries; fill them first")
    try:
        array = np.asarray(tensor)
    except (TypeError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"the tensor {name!r} cannot be seen as a NumPy array ({error}); "
            "for torch call layers.from_torch, or pass tensor.detach().cpu().numpy()"
        ) from error
    if array.dtype.hasobject:
        raise ValueError(
            f"the tensor {name!r} ({type(tensor).__name__}) holds objects; pass a numeric array"
        )
    return array


def fitted(name: str, new: Any, old: np.ndarray) -> np.ndarray:
    """`new` in the dtype of `old`, once it has its shape and kind."""
    array = as_array(name, new)
    if array.shape != old.shape:
        raise ValueError(f"the new {name!r} has shape {array.shape}, the old one {old.shape}")
    if array.dtype == old.dtype:
        return array
    floats = array.dtype.kind == "f" or array.dtype.name in FLOATING
    if old.dtype.name not in FLOATING or not floats:
        raise ValueError(f"the new {name!r} has dtype {array.dtype}, the old one {old.dtype}")
    with np.errstate(over="ignore", under="ignore"):
        rounded = array.astype(old.dtype)
    if np.isinf(rounded).any() and not np.array_equal(np.isinf(rounded), np.isinf(array)):
        raise ValueError(f"the new {name!r} has entries too large for its dtype {old.dtype}")
    return rounded


def tied_names(tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The names whose array is that of an earlier name, entry for entry in the same memory.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers.arrays import tied_names
    >>> W = np.eye(3)
    >>> tied_names({"encoder": W, "decoder": W, "other": W.copy()})
    {'decoder': 'encoder'}
    """
    first: dict[Any, str] = {}
    tied = {}
    for name, array in tensors.items():
        if array.size:
            where = array.__array_interface__["data"][0], array.strides, array.shape, array.dtype
            owner = first.setdefault(where, name)
            if owner != name:
                tied[name] = owner
    return tied
