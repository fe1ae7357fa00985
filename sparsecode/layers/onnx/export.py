"""Layers as several nodes of an ONNX graph: products and sums of smaller ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sparsecode.layers.factored import (
    FIRST_AXIS,
    KERNEL,
    LAST_AXIS,
    POINT,
    Expression,
    Leaf,
    Product,
    expression,
)
from sparsecode.layers.factorizations import Factorization
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
from sparsecode.layers.onnx.graph import Use, attribute, layout_of, uses

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# What a node does of alpha * A * B + beta * C: all, as Gemm; the product, scaled; just A * B.
ALL, SCALED, BARE = "all", "scaled", "bare"


def factored_model(
    graph: bytes,
    tensors: Mapping[str, np.ndarray],
    forms: Mapping[str, Factorization],
    metadata: Mapping[str, str],
    *,
    everywhere: bool = False,
) -> tuple[ModelProto, dict[str, np.ndarray]]:
    """The model with layers computed as several nodes where that can be, and is less work.

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
    chosen: dict[str, Expression] = {}
    for name, form in forms.items():
        if name not in declared or name in inputs or not all(map(_can_be_several, found[name])):
            continue
        made = expression(
            form,
            declared[name].kernel,
            _strides(found[name], declared[name]),
            everywhere=everywhere,
        )
        if not isinstance(made, Leaf):
            chosen[name] = made
    places = marked(model.graph)
    for name in chosen:
        check_place(places[name], tensors[name], name)
    writer = _Writer(model.graph, declared)
    by_output = {use.node.output[0]: (name, use) for name in chosen for use in found[name]}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.output and node.output[0] in by_output:
            name, use = by_output[node.output[0]]
            nodes += writer.nodes(name, use, chosen[name])
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


def _can_be_several(use: Use) -> bool:
    known = use.node.op_type in ("Gemm", "MatMul", "Conv") and len(use.node.output) == 1
    if not (known and use.direct):
        return False
    turned = "transA" if use.place == 1 else "transB"
    return use.node.op_type != "Gemm" or not attribute(use.node, turned, 0)


def _strides(found: list[Use], stored: Stored) -> tuple[int, ...]:
    """The smallest of all uses: there factors save least."""
    ones = [1 for _ in stored.kernel]
    all_uses = [attribute(use.node, "strides", ones) for use in found if use.node.op_type == "Conv"]
    return tuple(min(sides) for sides in zip(*all_uses, strict=True)) or tuple(ones)


class _Writer:
    """Makes nodes and the tensors they need, under names that are not taken."""

    def __init__(self, graph: GraphProto, declared: Mapping[str, Stored]) -> None:
        self.tensors: dict[str, np.ndarray] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._declared, self._taken = declared, set(all_names(graph))
        self._layer = ""
        self._made: list[NodeProto] = []
        self._use = Use(onnx_library().NodeProto(), 0, False, True)

    def nodes(self, name: str, use: Use, made: Expression) -> list[NodeProto]:
        """What takes the place of a node that computes with the layer."""
        self._layer, self._use, self._made = name, use, []
        data = use.node.input[0 if use.node.op_type == "Conv" else 1 - use.place]
        self._emit(made, data, use.node.output[0], ALL)
        return self._made

    def _emit(self, made: Expression, data: str, output: str, mode: str) -> None:
        """Nodes from the name of the data to that of the output."""
        if isinstance(made, Leaf):
            self._made.append(self._leaf(made, data, output, mode))
        elif isinstance(made, Product):
            for part in made.parts[:-1]:
                hidden = self._hidden()
                self._emit(part, data, hidden, BARE)
                data = hidden
            self._emit(made.parts[-1], data, output, mode)
        else:
            terms = [self._hidden() for _ in made.parts]
            for i, (part, term) in enumerate(zip(made.parts, terms, strict=True)):
                self._emit(part, data, term, SCALED if i and mode == ALL else mode)
            while len(terms) > 2:
                partial = self._hidden()
                self._made.append(self._node("Add", [terms.pop(0), terms.pop(0)], partial))
                terms.insert(0, partial)
            self._made.append(self._node("Add", terms, output))

    def _leaf(self, leaf: Leaf, data: str, output: str, mode: str) -> NodeProto:
        node = self._use.node
        if node.op_type == "Conv":
            return self._convolution(leaf, data, output, mode)
        on_the_right = self._use.place == 1
        matrix = leaf.matrix.T if on_the_right else leaf.matrix
        name = f"{leaf.name}.T" if on_the_right else leaf.name
        alpha = _alpha(node)
        if mode == SCALED and alpha != 1:
            matrix, name = (alpha * matrix).astype(matrix.dtype), f"{name}.scaled"
        tensor = self._tensor(name, matrix)
        inputs = [data, tensor] if on_the_right else [tensor, data]
        if mode != ALL:
            return self._node("MatMul", inputs, output)
        closing = self._node(node.op_type, [*inputs, *node.input[2:]], output, node)
        # Only the factor could be turned, and it is not now.
        _drop(closing, "transA", "transB")
        return closing

    def _convolution(self, leaf: Leaf, data: str, output: str, mode: str) -> NodeProto:
        node, kernel = self._use.node, self._declared[self._layer].kernel
        sides = {
            KERNEL: kernel,
            POINT: tuple(1 for _ in kernel),
            FIRST_AXIS: (kernel[0], *(1 for _ in kernel[1:])),
            LAST_AXIS: (*(1 for _ in kernel[:-1]), kernel[-1]),
        }[leaf.role]
        matrix = leaf.matrix.reshape(len(leaf.matrix), -1, *sides)
        inputs = [data, self._tensor(leaf.name, matrix), *(node.input[2:] if mode == ALL else [])]
        made = self._node("Conv", inputs, output, None if leaf.role == POINT else node)
        if leaf.role in (FIRST_AXIS, LAST_AXIS):
            _along_one(made, sides, 0 if leaf.role == FIRST_AXIS else len(kernel) - 1)
        return made

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

    def _tensor(self, part: str, array: np.ndarray) -> str:
        """The name of a factor, which all uses of the layer share."""
        key = self._layer, part
        if key not in self._names:
            self._names[key] = self._new(f"{self._layer}.{part}")
            self.tensors[self._names[key]] = np.ascontiguousarray(array)
        return self._names[key]

    def _hidden(self) -> str:
        return self._new(f"{self._use.node.output[0]}.factored")

    def _new(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _alpha(node: NodeProto) -> float:
    return next((found.f for found in node.attribute if found.name == "alpha"), 1.0)


def _drop(node: NodeProto, *names: str) -> None:
    for found in [found for found in node.attribute if found.name in names]:
        node.attribute.remove(found)


def _along_one(node: NodeProto, sides: tuple[int, ...], axis: int) -> None:
    """Let a convolution stride, dilate and pad along one axis only."""
    n = len(sides)
    for found in node.attribute:
        if found.name == "kernel_shape":
            found.ints[:] = sides
        elif found.name in ("strides", "dilations"):
            found.ints[:] = [value if i == axis else 1 for i, value in enumerate(found.ints)]
        elif found.name == "pads":
            found.ints[:] = [value if i % n == axis else 0 for i, value in enumerate(found.ints)]
