"""Low-rank layers as two nodes of an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sparsecode.layers.formats.onnx import (
    all_names,
    check_place,
    filled,
    marked,
    new_tensor,
    onnx_library,
    parse,
)
from sparsecode.layers.layout import Stored
from sparsecode.layers.onnx_graph import Use, attribute, layout_of, uses

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

Factors = tuple[np.ndarray, np.ndarray]


def factored_model(
    graph: bytes,
    tensors: Mapping[str, np.ndarray],
    factors: Mapping[str, Factors],
    metadata: Mapping[str, str],
) -> tuple[ModelProto, dict[str, np.ndarray]]:
    """The model with ``left @ right`` computed as two nodes where that can be.

    It can where every use of the layer's tensor is one of Gemm, MatMul or Conv under its own name,
    on data that is not transposed there, and no input of the model may replace it. Elsewhere the
    dense tensor is used.

    Returns
    -------
    model : onnx.ModelProto
        Complete.
    tensors : dict of str to ndarray
        Those that are in it.
    """
    model = parse(graph, "the graph of the network")
    found, _ = uses(model.graph)
    declared = layout_of(model.graph).declared or {}
    inputs = {value.name for value in model.graph.input}
    chosen = {
        name: pair
        for name, pair in factors.items()
        if name in declared and name not in inputs and all(map(_can_be_two, found[name]))
    }
    places = marked(model.graph)
    for name in chosen:
        check_place(places[name], tensors[name], name)
    writer = _Writer(model.graph, declared, chosen)
    by_output = {use.node.output[0]: (name, use) for name in chosen for use in found[name]}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.output and node.output[0] in by_output:
            nodes += writer.two_nodes(*by_output[node.output[0]])
        elif not (node.op_type == "Constant" and set(node.output) & chosen.keys()):
            nodes.append(node)
    dense = [tensor for tensor in model.graph.initializer if tensor.name not in chosen]
    nodes, dense = [_copy(node) for node in nodes], [_copy(tensor) for tensor in dense]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(dense)
    kept = {name: array for name, array in tensors.items() if name not in chosen}
    filled(model, kept, metadata)
    model.graph.initializer.extend(
        new_tensor(name, array) for name, array in writer.tensors.items()
    )
    return model, kept | writer.tensors


def _copy(message: NodeProto | TensorProto) -> NodeProto | TensorProto:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _can_be_two(use: Use) -> bool:
    known = use.node.op_type in ("Gemm", "MatMul", "Conv") and len(use.node.output) == 1
    if not (known and use.direct):
        return False
    turned = "transA" if use.place == 1 else "transB"
    return use.node.op_type != "Gemm" or not attribute(use.node, turned, 0)


class _Writer:
    """Makes nodes and the tensors they need, under names that are not taken."""

    def __init__(
        self,
        graph: GraphProto,
        declared: Mapping[str, Stored],
        factors: Mapping[str, Factors],
    ) -> None:
        self.tensors: dict[str, np.ndarray] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._declared, self._factors = declared, factors
        self._taken = set(all_names(graph))

    def two_nodes(self, name: str, use: Use) -> list[NodeProto]:
        """What takes the place of a node that computes with ``left @ right``."""
        node = use.node
        left, right = self._factors[name]
        hidden = self._new(f"{node.output[0]}.factored")
        if node.op_type == "Conv":
            kernel = self._declared[name].kernel
            first = self._tensor(name, "right", right.reshape(len(right), -1, *kernel))
            last = self._tensor(name, "left", left.reshape(*left.shape, *(1 for _ in kernel)))
            return [
                self._node("Conv", [node.input[0], first], hidden, node),
                self._node("Conv", [hidden, last, *node.input[2:]], node.output[0]),
            ]
        data = node.input[1 - use.place]
        if use.place == 1:
            first, last = (
                self._tensor(name, "right.T", right.T),
                self._tensor(name, "left.T", left.T),
            )
            inner, outer = [data, first], [hidden, last]
        else:
            first, last = self._tensor(name, "right", right), self._tensor(name, "left", left)
            inner, outer = [first, data], [last, hidden]
        closing = self._node(node.op_type, [*outer, *node.input[2:]], node.output[0], node)
        for switch in [found for found in closing.attribute if found.name in ("transA", "transB")]:
            closing.attribute.remove(switch)  # only the factor could be turned, and it is not now
        return [self._node("MatMul", inner, hidden), closing]

    def _node(
        self, kind: str, inputs: list[str], output: str, like: NodeProto | None = None
    ) -> NodeProto:
        """A node with the attributes of another."""
        node = onnx_library().NodeProto()
        if like is not None:
            node.CopyFrom(like)
            del node.input[:], node.output[:]
        node.op_type, node.name = kind, self._new(f"{output}.node")
        node.input.extend(inputs)
        node.output.append(output)
        return node

    def _tensor(self, name: str, part: str, array: np.ndarray) -> str:
        """The name of a factor, which all uses of the layer share."""
        if (name, part) not in self._names:
            self._names[name, part] = self._new(f"{name}.{part}")
            self.tensors[self._names[name, part]] = np.ascontiguousarray(array)
        return self._names[name, part]

    def _new(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name
