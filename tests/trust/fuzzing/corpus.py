"""Honest files, made by the package itself: what the fuzzers start from."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
from onnx import helper, numpy_helper

from sparsecode import layers
from sparsecode.datasets import _networks
from sparsecode.layers.checkpoint import Checkpoint
from sparsecode.layers.formats import write_tensors
from sparsecode.layers.pricing import Job, Task, price
from sparsecode.theory import empirical_phase_transition

RECIPE = """budget = "24 kB"
methods = ["low_rank", "sparse"]
seed = 3

[[rules]]
match = "a"
methods = ["low_rank"]
options = {value_bits = 4}
weight = 2.0
cap = 0.5

[[rules]]
match = 're:(b).*'
max_error = 0.001
stacked = true
"""
BESIDE = "beside.bin"
# What is read with the files of readers that need more than the file.
NETWORK = layers.Network({"fc": np.ones((2, 3)), "out": np.ones((4, 2))})
_W = np.random.default_rng(1).standard_normal((12, 8)).astype(np.float32)
JOB = Job((Task("w", "sparse", (), 0.5), Task("w", "low_rank", (), 0.5)), _W, None, None, 0)
CELLS = {"rhos": [0.1, 0.5], "n_trials": 1}


@cache
def honest(reader: str) -> dict[str, bytes]:
    """What that reader reads, by the names of files."""
    with tempfile.TemporaryDirectory() as folder:
        MAKERS[reader](Path(folder))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def beside() -> bytes:
    """What the model in ``apart.onnx`` keeps in another file."""
    return onnx_models.model().graph.initializer[3].raw_data


def _tensors(folder: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    dtypes = ("float16", "bfloat16", "float32", "float64", "int8", "int64", "uint16", "bool")
    arrays = {f"t.{name}": rng.integers(0, 2, (3, 4)).astype(name) for name in dtypes}
    arrays |= {"scalar": np.array(2.5), "none": np.zeros((0, 3)), "five": np.ones((1, 2, 1, 2, 3))}
    write_tensors(folder / f"plain{suffix}", arrays, {"made by": "hand"})
    layers.Network({"w": np.eye(3), "v": np.ones((3, 4))}, orientation="in_out").write(
        folder / f"turned{suffix}"
    )
    for name, small in compressed(rng, suffix).items():
        small.write(folder / f"{name}{suffix}")


def compressed(rng: np.random.Generator, suffix: str) -> dict[str, layers.CompressedNetwork]:
    """Networks with a layer in every form, and tied, stacked and plain tensors."""

    def W(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    def one(weights: dict[str, Any], method: str, share: float, **rule: Any) -> Any:
        rule = {"match": "re:w.*", "methods": [method], "share": share, **rule}
        small = {"methods": ["uniform"], "options": {"bits": 2}, "match": "small"}
        return layers.compress(
            weights | {"small": W(24, 32)}, 1.0, rules=[rule, small], suffix=suffix
        )

    made = {}
    for method in layers.FAMILIES:
        for bits in (None, 4, "float16"):
            if method in ("dense", "uniform") and bits is not None:
                continue
            options = {} if bits is None else {"value_bits": bits}
            share = 1.0 if method == "dense" else 0.5
            made[f"{method}-{bits}"] = one({"w": W(24, 32)}, method, share, options=options)
    for form in ("tucker", "spatial"):
        made[form] = one({"w": W(6, 4, 3, 3)}, "low_rank", 0.8, options={"form": form})
    tied = W(12, 16)
    plain = {"w": tied, "again": tied, "bias": np.ones(3), "step": np.array(3)}
    made["tied"] = one(plain, "uniform", 0.5, options={"bits": 4})
    stack = {"wq": W(8, 24), "wk": W(16, 24)}
    orthogonal = {"learning": "orthogonal"}
    made["stacked"] = one(stack, "dictionary", 0.9, options=orthogonal, stacked=True)
    return made


def _models(folder: Path) -> None:
    made = onnx_models.model()
    made.graph.sparse_initializer.add(
        values=numpy_helper.from_array(np.ones(1, np.float32), "s"),
        indices=numpy_helper.from_array(np.zeros((1, 1), np.int64), "i"),
        dims=[2, 2],
    )
    inner = helper.make_graph([], "inner", [], [], [numpy_helper.from_array(np.eye(2), "e")])
    made.graph.node.append(helper.make_node("If", ["y"], ["z"], then_branch=inner))
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    tensor = made.graph.initializer[3]
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in (("location", BESIDE), ("offset", "0")):
        tensor.external_data.add(key=key, value=value)
    (folder / "apart.onnx").write_bytes(made.SerializeToString())


def _with_graph(folder: Path) -> None:
    _tensors(folder, ".safetensors")
    model = onnx_models.saved(folder / "model.onnx")
    small = layers.compress(layers.read(model), 0.9, methods="uniform")
    small.write(folder / "graph.safetensors")
    model.unlink()


def _recipes(folder: Path) -> None:
    (folder / "recipe.toml").write_text(RECIPE)
    recipe = {"recipe": layers.Recipe.from_file(folder / "recipe.toml").as_mapping()}
    (folder / "recipe.json").write_text(json.dumps({"manifest": 1, **recipe}))


def _inputs(folder: Path) -> None:
    rng = np.random.default_rng(2)
    X = {"fc": rng.standard_normal((5, 3)), "out": rng.standard_normal((2, 4, 2))}
    np.savez(folder / "inputs.npz", **X)
    write_tensors(folder / "narrow.npz", {k: v.astype(np.float16) for k, v in X.items()}, {})


def _checkpoint(folder: Path) -> None:
    candidates = price(JOB)
    assert isinstance(candidates, list)
    Checkpoint(folder).put(JOB, candidates)


def _matrices(folder: Path) -> None:
    for name in ("float64", "float32", "int16", "bool"):
        np.save(folder / f"{name}.npy", np.arange(12).reshape(3, 4).astype(name))
    np.save(folder / "turned.npy", np.asfortranarray(np.eye(3)))


def _cells(folder: Path) -> None:
    recovered(folder / "cells.json")


def recovered(path: Path) -> Any:
    """An experiment that keeps its cells, or takes them from there."""
    return empirical_phase_transition(
        lambda A, y, k: np.linalg.pinv(A) @ y, 8, [0.5], **CELLS, path=path
    )


def _digits(folder: Path) -> None:
    rng = np.random.default_rng(3)
    network = {n: rng.standard_normal(s).astype(np.float32) for n, s in _networks._shapes().items()}
    _networks._write_network(folder / "digits.npz", network)


MAKERS = {
    "npz": lambda folder: _tensors(folder, ".npz"),
    "safetensors": _with_graph,
    "onnx": _models,
    "recipe": _recipes,
    "inputs": _inputs,
    "checkpoint": _checkpoint,
    "matrix": _matrices,
    "cells": _cells,
    "digits": _digits,
}
