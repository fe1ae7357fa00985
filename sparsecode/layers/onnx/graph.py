"""Which tensors of an ONNX graph are layers, how each is stored, and what goes into it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from sparsecode.layers.formats.onnx import DTYPES, marked, subgraphs
from sparsecode.layers.layout import FLOATING, Layout, Stored

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

LOOKED_UP = "looked up"  # an embedding: another use of a layer's matrix, and no other way round


class Use(NamedTuple):
    """A node that a tensor goes into, on the way perhaps through a transposition."""

    node: NodeProto
    place: int  # among the node's inputs
    flipped: bool
    direct: bool  # under its own name


def uses(graph: GraphProto) -> tuple[dict[str, list[Use]], dict[str, str]]:
    """For each tensor of a skeleton the nodes it goes into, and what else it is used for."""
    tensors = marked(graph)
    known = {name: (name, False) for name in tensors}
    found: dict[str, list[Use]] = defaultdict(list)
    other: dict[str, str] = {}
    for node in graph.node:
        for name in _captured(node):
            if name in known:
                other[known[name][0]] = "used in a graph inside a node"
        passed = _passed_on(node, known, tensors)
        if passed is not None:
            known[node.output[0]] = passed
            continue
        for place, name in enumerate(node.input):
            if name in known:
                owner, flipped = known[name]
                found[owner].append(Use(node, place, flipped, name == owner))
    for value in graph.output:
        if value.name in known:
            other[known[value.name][0]] = "an output of the model"
    return dict(found), other


def _is_standard(node: NodeProto) -> bool:
    return node.domain in ("", "ai.onnx")


def _captured(node: NodeProto) -> Iterator[str]:
    """Names that graphs inside a node may take from outside."""
    for attribute in node.attribute:
        for graph in subgraphs(attribute):
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from inner.input
                yield from _captured(inner)


def _passed_on(
    node: NodeProto, known: dict[str, tuple[str, bool]], tensors: dict[str, Any]
) -> tuple[str, bool] | None:
    """The tensor that a node hands on as it is or transposed."""
    is_one = _is_standard(node) and node.op_type in ("Identity", "Transpose")
    if not (is_one and len(node.input) == len(node.output) == 1 and node.input[0] in known):
        return None
    owner, flipped = known[node.input[0]]
    if node.op_type == "Identity":
        return owner, flipped
    if len(tensors[owner].dims) != 2:
        return None
    order = attribute(node, "perm", [1, 0])
    return owner, flipped ^ (list(order) == [1, 0])


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """A node's integer, string or list of integers."""
    for found in node.attribute:
        if found.name == name:
            if isinstance(default, str):
                return found.s.decode(errors="replace")
            return found.i if isinstance(default, int) else list(found.ints)
    return default


def layout_of(graph: GraphProto) -> Layout:
    """The layers of a graph, and why other tensors that look like layers are none."""
    found, other = uses(graph)
    constants = {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    constants |= {tensor.name for tensor in graph.initializer}
    declared, left_alone = {}, {}
    for name, tensor in marked(graph).items():
        if DTYPES[tensor.data_type] not in FLOATING or len(tensor.dims) < 2:
            continue
        roles = [_role(use, list(tensor.dims), constants) for use in found.get(name, [])]
        roles += [other[name]] if name in other else []
        ways = set(roles) - {LOOKED_UP}
        if len(ways) == 1 and isinstance(way := ways.pop(), Stored):
            declared[name] = way
        else:
            left_alone[name] = _reason(roles)
    return Layout(declared=declared, left_alone=left_alone)


def _reason(roles: list[Stored | str]) -> str:
    if not roles:
        return "not used"
    if len(set(roles)) == 1:
        return "an embedding" if roles[0] == LOOKED_UP else str(roles[0])
    return "used in more than one way"


def _role(use: Use, dims: list[int], constants: set[str]) -> Stored | str:
    """How the node's matrix is stored, or what else the tensor is to it."""
    node, place = use.node, use.place
    kind = node.op_type if _is_standard(node) else f"{node.domain}.{node.op_type}"
    if kind == "Gather" and place == 0 and not use.flipped and attribute(node, "axis", 0) == 0:
        return LOOKED_UP
    if kind == "Conv" and place == 1 and not use.flipped:
        groups = attribute(node, "group", 1)
        if groups != 1:
            return f"a convolution in {groups} groups"
        if 3 <= len(dims) <= 5:
            return Stored(False, tuple(dims[2:]))
    if kind in ("MatMul", "Gemm") and place < 2 <= len(node.input) and len(dims) == 2:
        if node.input[1 - place] in constants:
            return "multiplied by a constant"
        return Stored(is_transposed(use))
    return f"an input of {kind}"


def is_transposed(use: Use) -> bool:
    """Whether the tensor of a MatMul or Gemm is (n_inputs, n_outputs).

    On the right, ``x B`` is ``W = B.T``; on the left, ``A x`` is ``W = A``.
    """
    switch = "transB" if use.place == 1 else "transA"
    turned = use.node.op_type == "Gemm" and bool(attribute(use.node, switch, 0))
    return (use.place == 1) ^ turned ^ use.flipped
