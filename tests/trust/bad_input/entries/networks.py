"""Networks, their moments, what is made of them, and the files they are kept in."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import shutil
import tempfile
from pathlib import Path as Folder
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bad_input.arguments import Count, Data, Flag, Number, Option, Path, Seed, Thing
from bad_input.entries.encoders import ATOMS
from bad_input.entries.encoders import X as SIGNALS
from bad_input.entries.layers import (
    INPUTS,
    NETWORK,
    ROOM,
    SAE,
    THE_TENSOR,
    W,
    compressed,
    moments,
    of_network,
)
from bad_input.entry import Answers, Entry, entry
from sparsecode import layers
from sparsecode.layers import html
from sparsecode.layers.formats import write_tensors

FILES = "files of networks"
ORDINARY: Any = object()  # what takes a while to make, made where it is asked for
TORCH = "modules of torch"
NET = layers.Network(NETWORK)
OTHER = layers.FrontierPoint("sparse", 0.5, 0.1)
FRONT = layers.Frontier((OTHER, layers.FrontierPoint("low_rank", 0.4, 0.3)))
TABLE = html.Table(caption="Sizes", header=["name"], rows=[["a"]])


@functools.cache
def folder() -> Folder:
    made = Folder(tempfile.mkdtemp(prefix="bad-input-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    NET.write(made / "net.npz")
    compressed().write(made / "small.npz")
    return made


@functools.cache
def model() -> Any:
    """A network that can be run: one layer of an ONNX model."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    # Large enough for what a file says of its arrays.
    wide = np.random.default_rng(7).standard_normal((12, 200)).astype(np.float32)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])
        for name, width in (("x", 12), ("y", 200))
    ]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        ends[:1],
        ends[1:],
        [numpy_helper.from_array(wide, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(made, place("model.onnx"))
    return layers.read(place("model.onnx"))


@functools.cache
def small_model() -> Any:
    return layers.compress(model(), 0.9, methods="low_rank")


def place(name: str) -> str:
    return str(folder() / name)


def sums(network: Any) -> Answers:
    return {name: np.asarray(tensor) for name, tensor in network.items()}


def calibrated(method: str, **given: Any) -> Entry:
    """A method of a calibration that has seen the inputs of one layer."""

    def call(**arguments: Any) -> Any:
        calibration = moments(INPUTS)
        got = getattr(calibration, method)(**arguments)
        return calibration.gram("a.weight") if got is None else got

    return entry(
        f"layers.Calibration.{method}", ROOM, given=given, call=call,
        aliases=THE_TENSOR | {"name": ("the name",)},
    )  # fmt: skip


NAMED = Thing(value="a.weight", strings=True)
ENTRIES = [
    calibrated("check", network=Thing(value=NETWORK)),
    calibrated("gram", name=NAMED),
    calibrated("n_samples", name=NAMED),
    calibrated("leave_out", name=NAMED, n=Count(value=3, low=0)),
    calibrated("merge", other=Thing(value=moments(INPUTS))),
    entry("layers.Network", ROOM,
          given={"tensors": Thing(value=NETWORK), "metadata": Thing(none=True),
                 "source": Thing(none=True, strings=True), "orientation": Option(none=True),
                 "layout": Thing(none=True), "graph": Thing(none=True), "module": None},
          answers=sums, aliases={"tensors": ("the tensor",)}),
    entry("layers.Network.layer", ROOM, given={"name": NAMED}, call=NET.layer,
          answers=lambda layer: {"shape": np.array(layer.shape)}),
    entry("layers.Network.weight", ROOM, given={"layer": NAMED}, call=NET.weight),
    entry("layers.Network.with_weights", ROOM, given={"weights": Thing(value={"a.weight": W})},
          call=NET.with_weights, answers=sums, aliases={"weights": ("no layer",)}),
    entry("layers.Network.replace", ROOM, given={"tensors": Thing(value={"a.weight": W})},
          call=NET.replace, answers=sums, aliases={"tensors": ("tensor",)}),
    entry("layers.Network.carrying", ROOM,
          given={"tensors": Thing(value=NETWORK), "layout": Thing(none=True)},
          call=NET.carrying, answers=sums, aliases={"tensors": ("the tensor",)}),
    entry("layers.Network.select", ROOM,
          given={"include": Thing(strings=True), "exclude": Thing(strings=True)},
          call=NET.select, answers=lambda found: {"n": len(found)}),
    entry("layers.Layout", ROOM,
          given={"orientation": Option(), "declared": Thing(none=True),
                 "left_alone": Thing(strings=False)},
          answers=lambda layout: {"orientation": layout.orientation}),
    entry("layers.Frontier.best", ROOM, given={"share": Number(value=0.5, low=0)},
          call=FRONT.best, answers=lambda p: {"method": getattr(p, "method", "none")}),
    entry("layers.CompressionReport.mean_error", ROOM, given={"name": Option(value="weight_error")},
          call=lambda name: compressed().report.mean_error(name)),
    entry("layers.CompressionReport.to_html", ROOM, given={"title": Thing(strings=True)},
          call=lambda **given: compressed().report.to_html(**given),
          answers=lambda page: {"page": len(page) > 0}),
    entry("layers.CompressedNetwork.predicted_bytes", ROOM, given={"suffix": Option(none=True)},
          call=lambda **given: compressed().predicted_bytes(**given)),
    entry("layers.Recipe", ROOM,
          given={"budget": Thing(none=True), "max_error": Number(low=0, open_low=True, none=True),
                 "methods": Option(other=True), "damping": Number(low=0, none=True),
                 "seed": Seed(value=0), "rules": Thing()},
          answers=lambda recipe: {"seed": recipe.seed}),
    entry("layers.SparseAutoencoder", ROOM,
          given={"encoder": Data(value=ATOMS, grows=()),
                 "encoder_bias": Data(value=np.zeros(9), ndim=(1,), grows=()),
                 "dictionary": Data(value=ATOMS, grows=()),
                 "bias": Data(value=np.zeros(6), ndim=(1,), grows=()),
                 "threshold": Data(value=np.full(9, 0.1), ndim=(1,), grows=(), optional=True),
                 "k": Count(none=True, high=9)},
          answers=lambda sae: {"codes": sae.encode(SIGNALS)}, rtol=1e-5),
    entry("layers.SparseAutoencoder.encode", ROOM,
          given={"X": Data(value=SIGNALS, grows=(0,))}, call=SAE.encode),
    entry("layers.SparseAutoencoder.decode", ROOM,
          given={"codes": Data(value=SAE.encode(SIGNALS), grows=(0,), sparse=True,
                               degrees={"it": 1})}, call=SAE.decode),
    entry("layers.read", FILES,
          given={"path": Path(value=place("net.npz")), "max_bytes": Count(value=10**6, low=0),
                 "orientation": Option(none=True)},
          answers=sums),
    entry("layers.read_compressed", FILES,
          given={"path": Path(value=place("small.npz")), "max_bytes": Count(value=10**6, low=0)},
          answers=of_network),
    entry("layers.manifest", FILES,
          given={"small": Thing(value=compressed()), "source": Path(value=place("net.npz")),
                 "output": Path(value=place("small.npz")),
                 "calibration": Path(value=place("net.npz"), none=True)},
          answers=lambda record: {"bits": sum(record["bits"].values())}),
    entry("layers.formats.read_tensors", FILES,
          given={"path": Path(value=place("net.npz")), "max_bytes": Count(value=10**6, low=0)},
          answers=lambda read: sums(read[0])),
    entry("layers.formats.file_size", FILES,
          given={"path_or_suffix": Option(value=".npz"), "tensors": Thing(value=NETWORK),
                 "metadata": Thing(none=True)},
          aliases={"path_or_suffix": ("suffix",), "tensors": ("the tensor",)}),
    entry("layers.formats.write_tensors", FILES,
          given={"path": Path(value=place("out.npz")), "tensors": Thing(value=NETWORK),
                 "metadata": Thing(none=True)},
          call=lambda path, **given: write_tensors(path, **given),
          answers=lambda nothing: {}, aliases={"tensors": ("the tensor",)}),
    entry("layers.Network.write", FILES,
          given={"path": Path(value=place("out.npz")), "overwrite_source": Flag()},
          call=NET.write, answers=lambda nothing: {}),
    entry("layers.CompressedNetwork.write", FILES, given={"path": Path(value=place("out.npz"))},
          call=lambda path: compressed().write(path), answers=lambda nothing: {}),
    entry("layers.CompressedNetwork.write_onnx", FILES,
          given={"path": Path(value=place("out.onnx")), "factored": Option(value=False)},
          call=lambda **given: small_model().write_onnx(**given), answers=lambda nothing: {}),
    entry("layers.calibrate", ROOM,
          given={"network": Thing(),
                 "inputs": Data(value=INPUTS, grows=(0,), mapping=True,
                                typed=True),
                 "max_positions": Count(value=100)},
          call=lambda network=ORDINARY, **given: layers.calibrate(
              model() if network is ORDINARY else network, **given),
          answers=lambda c: {"gram": c.gram("w")}, rtol=1e-4,
          aliases={"inputs": ("input",)}),
    entry("layers.html.write_page", FILES,
          given={"path": Path(value=place("out.html")), "page": Thing(value="<p>", strings=True)},
          answers=lambda nothing: {}),
    entry("layers.html.report_page", ROOM,
          given={"report": Thing(value=compressed().report),
                 "title": Thing(value="A", strings=True)},
          answers=lambda page: {"page": len(page) > 0}),
    entry("layers.html.render_page", ROOM,
          given={"title": Thing(value="A", strings=True), "summary": Thing(value=["B"]),
                 "table": Thing(value=TABLE), "findings": Thing(value=["C"]),
                 "pictures": Thing(value=()), "commands": Thing(value=["D"])},
          answers=lambda page: {"page": len(page) > 0}),
    entry("layers.html.png", ROOM, given={"figure": Thing(value=Figure())},
          answers=lambda png: {"bytes": len(png)}),
    entry("layers.report.text_table", ROOM,
          given={"header": Thing(value=["a", "b"]), "rows": Thing(value=[["1", "2"]])},
          answers=lambda text: {"text": text}),
]  # fmt: skip


@functools.cache
def a_module() -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.Linear(12, 200))


@functools.cache
def of_module() -> Any:
    return layers.compress(layers.from_torch(a_module()), 0.9, methods="low_rank")


def into_torch(compressed: Any = ORDINARY, module: Any = ORDINARY, **given: Any) -> Any:
    return layers.to_torch(
        of_module() if compressed is ORDINARY else compressed,
        a_module() if module is ORDINARY else module,
        **given,
    )


if importlib.util.find_spec("torch") is not None:
    ENTRIES += [
        entry("layers.from_torch", TORCH, given={"module": Thing()},
              call=lambda module=ORDINARY: layers.from_torch(
                  a_module() if module is ORDINARY else module), answers=sums,
              aliases={"module": ("no tensor",)}),
        entry("layers.to_torch", TORCH,
              given={"compressed": Thing(), "module": Thing(), "factored": Option(value=True)},
              call=into_torch, answers=lambda made: {"n": len(made.state_dict())}),
    ]  # fmt: skip
