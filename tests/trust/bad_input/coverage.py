"""What the registry has to hold: every public function, class and method that takes arguments."""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import importlib.util
import inspect
import pkgutil
from types import FunctionType, MethodType
from typing import Any

import sparsecode

# What scikit-learn gives every estimator, and Python a mapping, and they do themselves.
INHERITED = {
    "fit_transform", "get_feature_names_out", "get_metadata_routing", "get_params", "set_output",
    "set_params", "set_fit_request", "set_score_request", "set_transform_request", "fit",
    "get",  # of a mapping
}  # fmt: skip
# What has no entry yet, and what tests it until then. A room or a class stands for all in it.
_MADE = "made by the package, from what it has checked; no user constructs it"
_INSIDE = "called by Network and its kin alone, with what they have checked"
LEFT_OUT = {
    "sparsecode.layers.formats.same_bits": "takes any two arrays: no value is wrong",
} | {
    f"sparsecode.layers.{name}": _INSIDE
    for name in (
        "Codebook.decode_rows", "Layout.layers", "Layout.of_layer", "Layout.resolved",
        "Layout.stored",
    )
} | {
    f"sparsecode.layers.{name}.unpack": "called by layers.unpack, which has an entry for each form"
    for name in (
        "Chain", "Codebook", "Dense", "Dictionary", "LowRank", "LowRankPlusSparse",
        "SharedDictionary", "Sparse", "Spatial", "Sum", "Tucker", "Uniform",
    )
}  # fmt: skip
if importlib.util.find_spec("torch") is None:
    LEFT_OUT |= dict.fromkeys(
        ("sparsecode.layers.from_torch", "sparsecode.layers.to_torch"), "there is no torch here"
    )
# Whose constructor is left out, and whose methods are not.
CONSTRUCTED = {
    f"sparsecode.layers.{name}": _MADE
    for name in (
        "Bits", "Codebook", "CompressedNetwork", "CompressionReport", "QuantizedRows",
        "Reencoding", "SharedDictionary", "Uniform",
    )
}  # fmt: skip


@functools.cache
def callables() -> list[str]:
    """Full names, each once, under the first by which it is listed."""
    names, seen = [], set()
    for module in _modules():
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if id(value) in seen or not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            seen.add(id(value))
            if inspect.isclass(value) and _is_record(value):
                continue
            full = f"{module.__name__}.{name}"
            if not inspect.isclass(value) or inspect.signature(value).parameters:
                names.append(full)
            if inspect.isclass(value):
                names += [f"{full}.{method}" for method in _methods(value)]
    return names


def _modules() -> list[object]:
    found = [sparsecode]
    for module in pkgutil.walk_packages(sparsecode.__path__, "sparsecode."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            found.append(importlib.import_module(module.name))
    return found


def _methods(cls: type) -> list[str]:
    return [
        name
        for name, function in inspect.getmembers(cls, _is_method)
        if not name.startswith(("_", "set_"))
        and name not in INHERITED
        and len(inspect.signature(function).parameters) > inspect.isfunction(function)
    ]


def _is_method(value: Any) -> bool:
    """A method, a function with `self` among its parameters, or a class method."""
    return isinstance(value, FunctionType | MethodType)


def _is_record(cls: type) -> bool:
    """What no user constructs: results, named tuples, enums, exceptions, protocols."""
    methods = [n for n, f in vars(cls).items() if inspect.isfunction(f) and n[0] != "_"]
    plain = dataclasses.is_dataclass(cls) and not methods
    protocol = getattr(cls, "_is_protocol", False) or inspect.isabstract(cls)
    return plain or protocol or issubclass(cls, tuple | enum.Enum | Exception)


def left_out(name: str) -> bool:
    """Whether a reason is written down why it has no entry; a room's name stands for all in it."""
    return name in CONSTRUCTED or any(
        name == known or name.startswith(f"{known}.") for known in LEFT_OUT
    )
