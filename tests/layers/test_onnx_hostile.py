"""Damaged, hostile and odd ONNX files: one line that names the file, and nothing read outside."""

import os
import zlib

import numpy as np
import pytest

from sparsecode.layers import CompressedNetwork, compress, read, read_compressed
from sparsecode.layers.formats import read_tensors, write_tensors

onnx = pytest.importorskip("onnx")

import hostile  # noqa: E402
import onnx_models as models  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

W = np.arange(12, dtype=np.float32).reshape(3, 4)


def a_model(*tensors, nodes=None):
    """Something that reads its first tensor, and these tensors instead of an honest one."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])] if nodes is None else nodes
    made = models.model(nodes, {}, inputs={"x": [None, 3]})
    made.graph.initializer.extend(tensors or [numpy_helper.from_array(W, "w")])
    return made


def tensor(name="w", dims=(3, 4), data_type=TensorProto.FLOAT, **fields):
    made = TensorProto(name=name, dims=dims, data_type=data_type)
    for field, value in fields.items():
        if field == "raw_data":
            made.raw_data = value
        else:
            getattr(made, field).extend(value)
    return made


def external(dims=(3, 4), name="w", data_type=TensorProto.FLOAT, **entries):
    made = tensor(name, dims, data_type)
    made.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        made.external_data.add(key=key, value=str(value))
    return made


def refused(path, match, **kwargs):
    hostile.refused(read, path, match, longest=900, **kwargs)


def test_no_truncation_does_more_than_a_clear_error(tmp_path):
    """Of a protobuf message, what is cut off between two fields cannot be missed."""
    path = tmp_path / "m.onnx"
    whole = a_model().SerializeToString()
    n_refused = 0
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        try:
            found = read(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            n_refused += 1
        else:
            np.testing.assert_array_equal(found["w"], W)
    assert n_refused >= len(whole) - 2


@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF])
def test_no_changed_byte_does_more_than_a_clear_error(tmp_path, change):
    path, out = tmp_path / "m.onnx", tmp_path / "out.onnx"
    whole = a_model().SerializeToString()
    n_refused = 0
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ change]) + whole[i + 1 :])
        message = ""
        try:
            read(path, max_bytes=10_000).write(out)
        except ValueError as error:
            message = str(error)
            n_refused += 1
        assert not message or (str(path) in message and "\n" not in message)
    assert n_refused > 20
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "out.onnx"]


def test_junk_is_refused(tmp_path):
    path = tmp_path / "m.onnx"
    rng = np.random.default_rng(0)
    for junk in (b"", b"\0" * 100, b"PK\x05\x06", b"{}", rng.bytes(1000), b"\xff" * 64):
        path.write_bytes(junk)
        refused(path, "it is no (whole )?ONNX model")


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read(tmp_path / "folder.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(OSError, match="not a regular file"):
        read(tmp_path / "pipe.onnx")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (tensor(raw_data=bytes(47)), r"'w' of shape \(3, 4\) and dtype float32 holds 47 bytes"),
        (tensor(raw_data=b""), "holds 0 bytes"),
        (tensor(), "holds 0 values"),
        (tensor(float_data=[1.0] * 11), "holds 11 values"),
        (tensor(float_data=[1.0] * 12, int32_data=[1]), "holds 13 values"),
        (tensor(string_data=[b"a"] * 12), "holds 12 values"),
        (tensor(dims=(1 << 40,)), "over the limit of 17179869184; raise max_bytes"),
        (tensor(dims=(1 << 40, 1 << 40, 1 << 40)), "over the limit"),
        (tensor(dims=(-3, -4), raw_data=bytes(48)), r"has the shape \[-3, -4\]"),
        (tensor(dims=(1,) * 100, raw_data=bytes(4)), "cannot be read"),
        (tensor(name="", raw_data=bytes(48)), "one of its tensors has no name"),
        (tensor(name="x" * 10_000, raw_data=bytes(47)), "holds 47 bytes"),
    ],
)
def test_tensors_that_do_not_hold_what_they_say(tmp_path, bad, message):
    refused(models.saved(tmp_path / "m.onnx", a_model(bad)), message)


def test_a_segment_and_a_second_tensor_of_one_name_are_refused(tmp_path):
    good = numpy_helper.from_array(W, "w")
    refused(models.saved(tmp_path / "m.onnx", a_model(good, good)), "two tensors 'w'")
    segment = tensor(raw_data=bytes(48))
    segment.segment.begin = 1
    refused(models.saved(tmp_path / "m.onnx", a_model(segment)), "is in segments")
    constant = helper.make_node("Constant", [], ["w"], value=good)
    nodes = [constant, helper.make_node("MatMul", ["x", "w"], ["y"])]
    refused(models.saved(tmp_path / "m.onnx", a_model(good, nodes=nodes)), "two tensors 'w'")


def test_metadata_with_a_key_twice_is_refused(tmp_path):
    made = a_model()
    made.metadata_props.add(key="made by", value="somebody else")
    refused(models.saved(tmp_path / "m.onnx", made), "key 'made by' twice")


def test_the_limit_holds(tmp_path):
    path = models.saved(tmp_path / "m.onnx", a_model())
    refused(path, "over the limit 100; raise max_bytes", max_bytes=100)
    (tmp_path / "w.bin").write_bytes(bytes(4 * 300 * 400))
    path = models.saved(tmp_path / "m.onnx", a_model(external((300, 400), location="w.bin")))
    refused(path, "over the limit of 100000; raise max_bytes", max_bytes=100_000)
    assert read(path, max_bytes=480_000)["w"].shape == (300, 400)
    many = [external((300, 400), f"w{i}", location="w.bin") for i in range(9)]
    path = models.saved(tmp_path / "m.onnx", a_model(*many))  # one file that stands for nine
    refused(path, "over the limit", max_bytes=1_000_000)
    inside = external((480_000,), "hidden", TensorProto.FLOAT8E4M3FN, location="w.bin")
    path = models.saved(tmp_path / "m.onnx", a_model(inside))
    refused(path, "brings it over the limit", max_bytes=100_000)


# Data outside the file -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A model's folder with a file of data, and a secret beside it."""
    inner = tmp_path / "model"
    (inner / "sub").mkdir(parents=True)
    (inner / "w.bin").write_bytes(bytes(8) + W.tobytes() + b"rest")
    (inner / "sub" / "w.bin").write_bytes(W.tobytes())
    (tmp_path / "secret").write_bytes(W.tobytes())
    (inner / "link").symlink_to(tmp_path / "secret")
    (inner / "linked").symlink_to(tmp_path)
    (inner / "inside").symlink_to("w.bin")
    os.mkfifo(inner / "pipe")
    return inner


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"location": "w.bin", "offset": 8, "length": 48}, W),
        ({"location": "w.bin", "offset": 8}, W),
        ({"location": "sub/w.bin", "checksum": "of no use"}, W),
    ],
)
def test_data_in_the_models_folder_is_read(folder, monkeypatch, entries, expected):
    path = models.saved(folder / "m.onnx", a_model(external(**entries)))
    monkeypatch.chdir(folder.parent)
    np.testing.assert_array_equal(read(path)["w"], expected)
    np.testing.assert_array_equal(read("model/m.onnx")["w"], expected)


@pytest.mark.parametrize("kind", ["layer", "inner"])
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../secret"}, "no plain path below the model's folder"),
        ({"location": "sub/../../secret"}, "no plain path"),
        ({"location": "sub/../w.bin", "offset": 8}, "no plain path"),
        ({"location": "/etc/hostname"}, "no plain path"),
        ({"location": "./w.bin"}, "no plain path"),
        ({"location": "sub\\..\\..\\secret"}, "no plain path"),
        ({"location": "C:secret"}, "no plain path"),
        ({"location": "w.bin\0"}, "no plain path"),
        ({"location": ""}, "no plain path"),
        ({}, "no plain path"),
        ({"location": "link"}, "goes through a symbolic link"),
        ({"location": "linked/secret"}, "goes through a symbolic link"),
        ({"location": "inside", "offset": 8}, "goes through a symbolic link"),
        ({"location": "sub"}, "there is no such file"),
        ({"location": "pipe"}, "there is no such file"),
        ({"location": "nothing"}, "there is no such file"),
        ({"location": "w.bin", "offset": -1}, "has the offset or length '-1'"),
        ({"location": "w.bin", "offset": "١"}, "has the offset or length"),
        ({"location": "w.bin", "offset": "9" * 30}, "has the offset or length"),
        ({"location": "w.bin", "offset": 1 << 40}, "ends outside|has the offset or length"),
        ({"location": "w.bin", "offset": 13, "length": 48}, "ends outside 'w.bin'"),
        ({"location": "w.bin", "length": 47}, "takes 48 bytes and declares 47"),
        ({"location": "w.bin", "length": 1 << 50}, "takes 48 bytes and declares|ends outside"),
    ],
)
def test_no_path_leads_out_of_the_models_folder(folder, monkeypatch, kind, entries, message):
    """Not for a layer, and not for a tensor deep in the graph."""
    bad = external(**entries)
    made = a_model(bad)
    if kind == "inner":
        inner = helper.make_graph([], "inner", [], [], [bad])
        node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        made = a_model(nodes=[node])
    path = models.saved(folder / "m.onnx", made)
    monkeypatch.chdir(folder.parent)  # where the library itself would look
    refused(path, message)


def test_a_tensor_deep_in_the_graph_is_brought_in(folder):
    kept = external((48,), "hidden", TensorProto.FLOAT8E4M3FN, location="sub/w.bin")
    inner = helper.make_graph([], "inner", [], [], [external(location="sub/w.bin"), kept])
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    path = models.saved(folder / "m.onnx", a_model(kept, nodes=[node]))
    read(path).write(folder / "again.onnx")
    made = onnx.load(folder / "again.onnx", load_external_data=False)
    for graph in [made.graph, *(a.g for a in made.graph.node[0].attribute)]:
        for found in graph.initializer:
            assert found.data_location == TensorProto.DEFAULT
            assert found.raw_data == W.tobytes()


# Odd, but legal ------------------------------------------------------------------------------


def test_names_like_paths_are_names(tmp_path):
    names = ["../../etc/passwd", "/abs", "C:\\x", "a::left", "<script>", "größe", "new\nline"]
    tensors = [numpy_helper.from_array(W + i, name) for i, name in enumerate(names)]
    path = models.saved(tmp_path / "m.onnx", a_model(*tensors, nodes=[]))
    net = read(path)
    assert list(net) == names
    net.write(tmp_path / "again.onnx")
    assert read(tmp_path / "again.onnx") == net
    assert sorted(os.listdir(tmp_path)) == ["again.onnx", "m.onnx"]


def test_weights_that_are_not_finite_are_read_and_not_compressed(tmp_path):
    bad = W.copy()
    bad[1, 2] = np.nan
    path = models.saved(tmp_path / "m.onnx", a_model(numpy_helper.from_array(bad, "w")))
    net = read(path)
    np.testing.assert_array_equal(net["w"], bad)
    with pytest.raises(ValueError, match=r"the layer 'w': .*(NaN|finite)"):
        compress(net, 1.0, methods="low_rank")


def test_nodes_without_inputs_or_outputs(tmp_path):
    node = helper.make_node
    odd = ["Transpose", "Identity", "Gemm", "MatMul", "Conv", "Gather", "Constant"]
    nodes = [
        node(kind, inputs, outputs)
        for kind in odd
        for inputs in ([], ["w"], ["", "w"])
        for outputs in ([], [f"{kind}{len(inputs)}"])
    ]
    net = read(models.saved(tmp_path / "m.onnx", a_model(nodes=nodes)))
    assert list(net) == ["w"]
    net.write(tmp_path / "again.onnx")
    assert read(tmp_path / "again.onnx") == net


def nested(depth):
    """The bytes of a model with graphs in graphs, which no library would make."""

    def field(number, content):
        length, size = b"", len(content)
        while size > 127:
            length, size = length + bytes([size % 128 + 128]), size // 128
        return bytes([8 * number + 2]) + length + bytes([size]) + content

    node = helper.make_node("MatMul", ["x", "w"], ["y"]).SerializeToString()
    for _ in range(depth):  # a graph's node, in an attribute's graph, in a node
        node = field(4, b"Loop") + field(5, field(1, b"body") + field(6, field(1, node)))
    return a_model(nodes=[]).SerializeToString() + field(7, field(1, node))  # messages merge


def test_graphs_in_graphs_in_graphs(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(nested(20))
    assert read(path).layout.left_alone == {"w": "used in a graph inside a node"}
    for depth in (40, 10_000):
        path.write_bytes(nested(depth))
        refused(path, "no ONNX model")


# The graph in a compressed file --------------------------------------------------------------


def small_file(tmp_path, change):
    """A compressed model whose graph has been changed."""
    rng = np.random.default_rng(0)
    arrays = {"w": rng.standard_normal((48, 64)).astype(np.float32)}
    made = models.single("MatMul", arrays, inputs={"x": [None, 48]}, order=["x", "w"])
    models.saved(tmp_path / "m.onnx", made)
    compress(read(tmp_path / "m.onnx"), 0.8, methods="low_rank").write(tmp_path / "s.npz")
    tensors, metadata = read_tensors(tmp_path / "s.npz")
    (key,) = (name for name in tensors if name.startswith("graph:"))
    graph = change(zlib.decompress(tensors[key].tobytes()))
    tensors[key] = np.frombuffer(zlib.compress(graph), np.uint8)
    write_tensors(tmp_path / "s.npz", tensors, metadata)
    return read_compressed(tmp_path / "s.npz")


def changed(change):
    def of(graph):
        made = onnx.ModelProto.FromString(graph)
        change(made)
        return made.SerializeToString()

    return of


def outside(made):
    inner = helper.make_graph([], "inner", [], [], [external(location="/etc/hostname")])
    made.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda graph: b"", "the graph of the network cannot be read"),
        (lambda graph: b"junk" * 9, "the graph of the network cannot be read"),
        (changed(lambda m: m.graph.ClearField("initializer")), "does not fit the network"),
        (
            changed(lambda m: m.graph.initializer[0].dims.append(3)),
            "another shape or dtype for 'w'",
        ),
        (
            changed(lambda m: setattr(m.graph.initializer[0], "data_type", 10)),
            "another shape or dtype for 'w'",
        ),
        (changed(outside), "a tensor in another file"),
    ],
)
@pytest.mark.parametrize("factored", [False, True])
def test_a_changed_graph_is_one_error_and_no_file(tmp_path, change, message, factored):
    small = small_file(tmp_path, change)
    assert isinstance(small, CompressedNetwork)
    assert small.to_dense()["w"].shape == (48, 64)
    with pytest.raises(ValueError, match=message):
        small.write_onnx(tmp_path / "out.onnx", factored=factored)
    assert not (tmp_path / "out.onnx").exists()


def test_a_graph_of_another_kind_is_damage(tmp_path):
    small_file(tmp_path, lambda graph: graph)
    tensors, metadata = read_tensors(tmp_path / "s.npz")
    (key,) = (name for name in tensors if name.startswith("graph:"))
    good = tensors[key]
    bomb = np.frombuffer(zlib.compress(bytes(10_000_000)), np.uint8)
    for bad, message in (
        (np.zeros(3), "has to be an array of bytes"),
        (good[None], "has to be an array of bytes"),
        (good[:-2], "is cut off, or goes on"),
        (np.concatenate([good, good]), "is cut off, or goes on"),
        (good[1:], "is not deflated bytes"),
        (bomb, "is over the limit of 100000 bytes"),
    ):
        write_tensors(tmp_path / "s.npz", tensors | {key: bad}, metadata)
        with pytest.raises(ValueError, match=f"is damaged: its graph {message}"):
            read_compressed(tmp_path / "s.npz", max_bytes=100_000)
