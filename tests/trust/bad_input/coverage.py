"""What the registry has to hold: every public function, class and method that takes arguments."""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import inspect
import pkgutil

import sparsecode

# What scikit-learn gives every estimator, and does itself.
INHERITED = {
    "fit_transform", "get_feature_names_out", "get_metadata_routing", "get_params", "set_output",
    "set_params", "set_fit_request", "set_score_request", "set_transform_request", "fit",
}  # fmt: skip
# What has no entry yet, and what tests it until then. A room or a class stands for all in it.
_OWN_TESTS = "its own tests; no entry yet"
_FILES = "tests/layers/test_formats_hostile.py and its neighbours; no entry yet"
LEFT_OUT = {
    "sparsecode.cli": "tests/test_cli.py; no entry yet",
    "sparsecode.plotting": "tests/plotting; no entry yet",
    "sparsecode.layers.formats": _FILES,
    "sparsecode.layers.html": _OWN_TESTS,
    "sparsecode.layers.report": _OWN_TESTS,
} | {
    f"sparsecode.layers.{name}": _OWN_TESTS
    for name in (
        "Bits", "Calibration.check", "Calibration.gram", "Calibration.leave_out",
        "Calibration.merge", "Calibration.n_samples", "Chain", "Codebook", "CompressedNetwork",
        "CompressionReport", "Dense", "Dictionary", "Frontier", "Layout", "LowRank",
        "LowRankPlusSparse", "Network", "QuantizedRows", "Recipe", "Reencoding",
        "SharedDictionary", "Sparse", "SparseAutoencoder", "Spatial", "Sum", "Tucker", "Uniform",
        "calibrate", "from_torch", "manifest", "read", "read_compressed", "to_torch", "unpack",
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
        for name, function in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
        and name not in INHERITED
        and not name.startswith("set_")
        and len(inspect.signature(function).parameters) > 1
    ]


def _is_record(cls: type) -> bool:
    """What no user constructs: results, named tuples, enums, exceptions, protocols."""
    methods = [n for n, f in vars(cls).items() if inspect.isfunction(f) and n[0] != "_"]
    plain = dataclasses.is_dataclass(cls) and not methods
    protocol = getattr(cls, "_is_protocol", False) or inspect.isabstract(cls)
    return plain or protocol or issubclass(cls, tuple | enum.Enum | Exception)


def left_out(name: str) -> bool:
    """Whether a reason is written down why it has no entry; a room's name stands for all in it."""
    return any(name == known or name.startswith(f"{known}.") for known in LEFT_OUT)
