"""An ONNX model that also gives what enters its layers, run by onnxruntime."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecode.layers.formats.onnx import filled, onnx_library, parse
from sparsecode.layers.network import Network
from sparsecode.layers.onnx.graph import Use, attribute, uses
from sparsecode.layers.patches import Geometry, same_padding
from sparsecode.layers.patterns import near_misses

if TYPE_CHECKING:
    from onnx import NodeProto

    from sparsecode.layers.recording import Recorder


def model_inputs(network: Network) -> list[str]:
    """The inputs that a model needs: not those it has a value for unless one is given."""
    assert network.graph is not None
    graph = parse(network.graph, "the graph of the network").graph
    known = {tensor.name for tensor in graph.initializer}
    return [value.name for value in graph.input if value.name not in known]


class OnnxRunner:
    """Runs batches, and records."""

    def __init__(self, network: Network, recorder: Recorder, n_threads: int) -> None:
        assert network.graph is not None
        self._recorder = recorder
        self._kernels = {layer.name: layer.kernel for layer in network.layers}
        model = parse(network.graph, "the graph of the network")
        found, _ = uses(model.graph)
        place = {node.output[0]: i for i, node in enumerate(model.graph.node) if node.output}
        taps = [
            (layer.name, use, _data(use))
            for layer in network.layers
            if recorder.wanted(layer.name)
            for use in found.get(layer.name, [])
            if use.node.op_type != "Gather"
        ]
        self._taps = sorted(taps, key=lambda tap: place[tap[1].node.output[0]])  # as they are run
        filled(model, network)
        given = {value.name for value in model.graph.input}
        have = {value.name for value in model.graph.output}
        self._wanted = list(dict.fromkeys(n for _, _, n in self._taps if n not in given))
        for name in self._wanted:
            if name not in have:
                model.graph.output.append(onnx_library().ValueInfoProto(name=name))
        self._session = _session(model.SerializeToString(), n_threads)
        self._inputs = {value.name: value for value in self._session.get_inputs()}

    @property
    def batch_size(self) -> int | None:
        """How many inputs the model takes at a time, if it says so."""
        firsts = {value.shape[0] for value in self._inputs.values() if value.shape}
        fixed = firsts.pop() if len(firsts) == 1 else None
        return fixed if isinstance(fixed, int) and fixed > 0 else None

    def __call__(self, batch: Any) -> None:
        """Run one batch."""
        feed = self._feed(batch)
        try:
            outputs = self._session.run(self._wanted, feed) if self._wanted else []
        except Exception as error:  # onnxruntime's own, which are no RuntimeErrors
            raise ValueError(f"onnxruntime cannot run the model: {_line(error)}") from error
        values = feed | dict(zip(self._wanted, outputs, strict=True))
        for name, use, data in self._taps:
            if data in values:  # not the default of an input that was left out
                self._record(name, use, values[data])

    def _record(self, name: str, use: Use, X: np.ndarray) -> None:
        if use.node.op_type == "Conv":
            self._recorder.convolution(name, X, geometry_of(use.node, X.shape, self._kernels[name]))
            return
        on_the_left = use.place == 0  # then the inputs are columns
        turned = attribute(use.node, "transB" if on_the_left else "transA", 0)
        turned = bool(turned) and use.node.op_type == "Gemm"
        self._recorder.rows(name, X.swapaxes(-1, -2) if on_the_left ^ turned and X.ndim > 1 else X)

    def _feed(self, batch: Any) -> dict[str, np.ndarray]:
        if not isinstance(batch, Mapping):
            values = batch if isinstance(batch, tuple) else (batch,)
            if len(values) != len(self._inputs):
                raise ValueError(
                    f"the model has {len(self._inputs)} inputs, {', '.join(self._inputs)}, and "
                    f"{len(values)} were given; name them in a mapping"
                )
            batch = dict(zip(self._inputs, values, strict=True))
        for name in batch:
            if name not in self._inputs:
                raise ValueError(
                    f"the model has no input {name!r}{near_misses(name, self._inputs)}"
                )
        for name in self._inputs:
            if name not in batch:
                raise ValueError(f"the model's input {name!r} is missing")
        return {name: self._cast(name, np.asarray(array)) for name, array in batch.items()}

    def _cast(self, name: str, array: np.ndarray) -> np.ndarray:
        """In the dtype that the model declares, if numbers stay what they are."""
        declared = self._inputs[name].type.removeprefix("tensor(").removesuffix(")")
        dtype = {"float": "float32", "double": "float64", "bool": "bool"}.get(declared, declared)
        with contextlib.suppress(TypeError):
            if array.dtype != dtype and np.can_cast(array.dtype, dtype, "same_kind"):
                return array.astype(dtype)
        return array


def _data(use: Use) -> str:
    return use.node.input[0 if use.node.op_type == "Conv" else 1 - use.place]


def geometry_of(node: NodeProto, shape: tuple[int, ...], kernel: tuple[int, ...]) -> Geometry:
    """How a Conv node walks over inputs of this shape."""
    ones, zeros = [1] * len(kernel), [0] * 2 * len(kernel)
    stride = tuple(attribute(node, "strides", ones))
    dilation = tuple(attribute(node, "dilations", ones))
    pads = tuple(attribute(node, "pads", zeros))
    before, after = pads[: len(kernel)], pads[len(kernel) :]
    how = attribute(node, "auto_pad", "NOTSET")
    if how.startswith("SAME"):
        upper = how == "SAME_UPPER"
        before, after = same_padding(shape[2:], kernel, stride, dilation, more_after=upper)
    elif how == "VALID":
        before = after = (0,) * len(kernel)
    return Geometry(kernel, stride, dilation, before, after)


def _session(model: bytes, n_threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("running a model needs `pip install sparsecode[onnx]`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = 4  # errors are raised, too
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"onnxruntime cannot load the model: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
