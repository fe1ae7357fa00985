"""``.onnx``: a graph, and among its nodes the tensors of the network.

A model is taken apart into arrays and a skeleton: the model with a marker in the place of each
array. `attach` puts arrays back, so that all else survives as it was. Data outside the file is read
by `outside`, never by the library, which would follow any path.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from sparsecode._files import atomic_write
from sparsecode._validation import check_int
from sparsecode.layers.formats import DEFAULT_MAX_BYTES, blamed_on, file_bytes, same_bits
from sparsecode.layers.formats.outside import outside_bytes
from sparsecode.layers.layout import FLOATING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

LIMIT = 2**31 - 1  # bytes of a protobuf message

# Of onnx.TensorProto.DataType: the dtypes that other formats store, too. Others stay in the graph.
DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}
_CODES = {name: code for code, name in DTYPES.items()}
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


class Model(NamedTuple):
    """A model taken apart."""

    tensors: dict[str, np.ndarray]
    graph: bytes
    metadata: dict[str, str]


def onnx_library() -> Any:
    """The onnx package, or an error that says how to get it."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError("ONNX models need `pip install sparsecode[onnx]`") from error
    return onnx


def read_model(path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES) -> Model:
    """Read a model's tensors, its skeleton and its metadata; nothing in it is executed.

    Parameters
    ----------
    path : path-like
        The file.
    max_bytes : int, default=16 GiB
        Limit in bytes on the file, and on its tensors with those outside the file.

    Returns
    -------
    Model
        Tensors are the initializers and the weight matrices of Constant nodes, in the order of the
        graph, as far as NumPy has their dtype.

    Raises
    ------
    ValueError
        The file is damaged, hostile or over the limit.
    OSError
        The file does not exist, is a folder or a device, or may not be read.
    ImportError
        onnx is not installed.
    """
    path = Path(path)
    max_bytes = check_int(max_bytes, "max_bytes", low=0)
    n_bytes = file_bytes(path)
    if n_bytes > min(max_bytes, LIMIT):
        raise ValueError(
            f"{path} has {n_bytes} bytes, over the limit {min(max_bytes, LIMIT)}; "
            + ("raise max_bytes" if max_bytes < LIMIT else "no .onnx file can be so large")
        )
    model = parse(path.read_bytes(), path)
    with blamed_on(path):
        return _taken_apart(model, path.parent, max_bytes)


def parse(data: bytes, what: object) -> ModelProto:
    """The model that these bytes are."""
    onnx = onnx_library()
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(f"{what} cannot be read: it is no ONNX model ({error})") from error
    for field, found in (("graph", model.HasField("graph")), ("operators", model.opset_import)):
        if not found:
            raise ValueError(
                f"{what} cannot be read: it is no whole ONNX model, for it has no {field}"
            )
    return model


def _taken_apart(model: ModelProto, folder: Path, max_bytes: int) -> Model:
    if not all(isinstance(name, str) for name in all_names(model.graph)):
        raise ValueError("a name in its graph is no text in UTF-8")  # protobuf gives bytes then
    slots = dict(_checked_slots(model.graph))
    declared = sum(_n_bytes(tensor) for tensor in slots.values())
    if declared > max_bytes:
        raise ValueError(
            f"its tensors take {declared} bytes, over the limit of {max_bytes}; raise max_bytes"
        )
    taken, room = {id(tensor) for tensor in slots.values()}, max_bytes - declared
    for tensor in _all_tensors(model):
        if id(tensor) not in taken and tensor.data_location == tensor.EXTERNAL:
            room -= _internalized(tensor, folder, room)
    tensors = {name: _array(name, tensor, folder) for name, tensor in slots.items()}
    for tensor in slots.values():
        _mark(tensor)
    metadata: dict[str, str] = {}
    for entry in model.metadata_props:
        if not (isinstance(entry.key, str) and isinstance(entry.value, str)):
            raise ValueError("its metadata is no text in UTF-8")  # which protobuf gives as bytes
        if entry.key in metadata:
            raise ValueError(f"its metadata has the key {entry.key[:80]!r} twice")
        metadata[entry.key] = entry.value
    del model.metadata_props[:]
    return Model(tensors, model.SerializeToString(deterministic=True), metadata)


def _checked_slots(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    seen = set()
    for name, tensor, is_constant in slots(graph):
        if not name:
            raise ValueError("one of its tensors has no name")
        if name in seen:
            raise ValueError(f"it has two tensors {name[:80]!r}")
        seen.add(name)
        if tensor.data_type in DTYPES and (not is_constant or _may_be_layer(tensor)):
            if any(side < 0 for side in tensor.dims):
                raise ValueError(f"its tensor {name[:80]!r} has the shape {list(tensor.dims)[:8]}")
            yield name, tensor


def slots(graph: GraphProto) -> Iterator[tuple[str, TensorProto, bool]]:
    """Initializers by name, and the values of Constant nodes by the names of their outputs."""
    for tensor in graph.initializer:
        yield tensor.name, tensor, False
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and len(node.output) == 1:
            for attribute in node.attribute:
                if attribute.name == "value" and attribute.HasField("t"):
                    yield node.output[0], attribute.t, True


def _may_be_layer(tensor: TensorProto) -> bool:
    floating = DTYPES[tensor.data_type] in FLOATING
    return floating and 2 <= len(tensor.dims) <= 5 and min(tensor.dims[:2]) >= 2


def _n_bytes(tensor: TensorProto) -> int:
    itemsize = _dtype(tensor).itemsize
    return math.prod(tensor.dims) * itemsize


def _dtype(tensor: TensorProto) -> np.dtype:
    import ml_dtypes

    name = DTYPES[tensor.data_type]
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def _all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor anywhere in a model."""
    yield from _in_graph(model.graph)
    for training in model.training_info:
        yield from _in_graph(training.initialization)
        yield from _in_graph(training.algorithm)
    for function in model.functions:
        yield from _in_nodes(function.node)


def _in_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _in_nodes(graph.node)


def _in_nodes(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
            for sparse in (*attribute.sparse_tensors, attribute.sparse_tensor):
                yield from (sparse.values, sparse.indices)
            for inner in subgraphs(attribute):
                yield from _in_graph(inner)


def all_names(graph: GraphProto) -> Iterator[str]:
    """The names of nodes, of their operators and of all that goes in or out of them."""
    yield from (tensor.name for tensor in graph.initializer)
    yield from (value.name for value in (*graph.input, *graph.output, *graph.value_info))
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            for inner in subgraphs(attribute):
                yield from all_names(inner)


def subgraphs(attribute: Any) -> list[GraphProto]:
    """The graphs that an attribute of a node holds."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _array(name: str, tensor: TensorProto, folder: Path) -> np.ndarray:
    """The tensor's values, once what it declares is what it holds."""
    dtype, shape = _dtype(tensor), tuple(tensor.dims)
    what = f"its tensor {name[:80]!r} of shape {shape} and dtype {dtype}"
    if tensor.HasField("segment"):
        raise ValueError(f"{what} is in segments, which are not read")
    if tensor.data_location == tensor.EXTERNAL:
        raw = outside_bytes(_entries(tensor), folder, _n_bytes(tensor), what)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
    else:
        counts = {field: len(getattr(tensor, field)) for field in _TYPED}
        if sum(counts.values()) != math.prod(shape) or tensor.string_data:
            raise ValueError(f"{what} holds {sum(counts.values())} values")
        return np.array(onnx_library().numpy_helper.to_array(tensor), order="C")
    if len(raw) != _n_bytes(tensor):
        raise ValueError(f"{what} holds {len(raw)} bytes")
    array = np.frombuffer(raw, dtype.newbyteorder("<") if dtype.name != "bfloat16" else dtype)
    return array.reshape(shape).astype(dtype)


def _internalized(tensor: TensorProto, folder: Path, room: int) -> int:
    """Bring the data of a tensor that stays in the graph into the graph; how much it was."""
    what = f"its tensor {tensor.name[:80]!r}, which stays in the graph"
    n_bytes = _n_bytes(tensor) if tensor.data_type in DTYPES else None
    raw = outside_bytes(_entries(tensor), folder, n_bytes, what, room)
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    tensor.raw_data = raw
    return len(raw)


def _entries(tensor: TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _mark(tensor: TensorProto) -> None:
    """Leave only name, shape and dtype, as of a tensor that is elsewhere."""
    for field in ("raw_data", "external_data", *_TYPED):
        tensor.ClearField(field)
    tensor.data_location = tensor.EXTERNAL


def marked(graph: GraphProto) -> dict[str, TensorProto]:
    """The places of a skeleton that arrays go to."""
    return {
        name: tensor for name, tensor, _ in slots(graph) if tensor.data_location == tensor.EXTERNAL
    }


def attach(
    graph: bytes, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> ModelProto:
    """Put arrays back into a skeleton; see `filled`."""
    return filled(parse(graph, "the graph of the network"), tensors, metadata)


def filled(
    model: ModelProto, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> ModelProto:
    """The model itself, with arrays in all of its places.

    Raises
    ------
    ValueError
        They are not those the skeleton has places for, or one message cannot hold them.
    """
    places = marked(model.graph)
    if places.keys() != tensors.keys():
        odd = sorted(places.keys() ^ tensors.keys())[0]
        raise ValueError(f"the graph does not fit the network: only one of them has {odd[:80]!r}")
    if model.ByteSize() + sum(array.nbytes for array in tensors.values()) > LIMIT:
        raise ValueError(
            f"the model takes more than the {LIMIT} bytes that an .onnx file can hold; "
            "write .safetensors"
        )
    for name, tensor in places.items():
        fill(tensor, tensors[name], name)
    if any(tensor.data_location == tensor.EXTERNAL for tensor in _all_tensors(model)):
        raise ValueError("the graph of the network has a tensor in another file")
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    return model


def check_place(tensor: TensorProto, array: np.ndarray, name: str) -> None:
    """Make sure that the array is what a skeleton has a place for."""
    if tuple(tensor.dims) != array.shape or DTYPES.get(tensor.data_type) != array.dtype.name:
        raise ValueError(f"the graph has another shape or dtype for {name[:80]!r}")


def fill(tensor: TensorProto, array: np.ndarray, name: str) -> None:
    """Give a marked tensor its values."""
    check_place(tensor, array, name)
    tensor.ClearField("data_location")
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    tensor.raw_data = little.tobytes()


def new_tensor(name: str, array: np.ndarray) -> TensorProto:
    """An initializer."""
    code = _CODES[array.dtype.name]
    tensor = onnx_library().TensorProto(name=name, dims=array.shape, data_type=code)
    fill(tensor, array, name)
    return tensor


def write_model(
    path: str | os.PathLike[str],
    graph: bytes,
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model whole or not at all, and read it back before it takes the name.

    Raises
    ------
    ValueError
        As for `attach`.
    OSError
        The file cannot be written.
    """
    save(path, attach(graph, tensors, metadata), tensors)


def save(
    path: str | os.PathLike[str], model: ModelProto, tensors: Mapping[str, np.ndarray]
) -> None:
    """Write a model that holds its tensors; these are looked for when it is read back."""
    data = model.SerializeToString(deterministic=True)

    def write_to(file: BinaryIO) -> None:
        file.write(data)

    def verify(written: Path) -> None:
        found: Mapping[str, np.ndarray] = {}
        with suppress(ValueError):
            found = read_model(written, max_bytes=4 * LIMIT).tensors
        if not all(name in found and same_bits(found[name], a) for name, a in tensors.items()):
            raise OSError(f"{path} could not be written: what was read back is different")

    atomic_write(path, write_to, verify=verify)
