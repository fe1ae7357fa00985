"""ONNX models: layers with the right way round, everything else untouched, run by onnxruntime."""

import numpy as np
import pytest

from sparsecode.layers import (
    CompressedNetwork,
    compress,
    factorize,
    read,
    read_compressed,
)

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as models  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from sparsecode.layers.formats.onnx import DTYPES  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 3, 9, 8)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return models.saved(tmp_path / "model.onnx")


def test_the_layers_are_found_with_the_right_way_round(path):
    net = read(path)
    found = {a.name: (a.shape, a.transposed, a.kernel) for a in net.layers}
    assert found == models.LAYERS
    assert net.metadata == {"made by": "hand"}
    assert net.layout.left_alone == {"depthwise.w": "a convolution in 16 groups"}
    arrays = models.weights()
    for name, array in net.items():
        np.testing.assert_array_equal(array, arrays["const.w" if name == "const" else name])
    assert set(net) == set(arrays) - {"const.w"} | {"const"}


def test_the_model_comes_back_byte_for_byte(path, tmp_path):
    read(path).write(tmp_path / "again.onnx")
    assert onnx.load(tmp_path / "again.onnx") == onnx.load(path)
    again = read(tmp_path / "again.onnx")
    assert again == read(path)
    with pytest.raises(ValueError, match="is the input"):
        again.write(tmp_path / "again.onnx")


def test_only_what_is_replaced_changes(path, tmp_path):
    net = read(path)
    new = net.with_weights({"turned.w": np.zeros((20, 24))})
    new.write(tmp_path / "new.onnx")
    before, after = onnx.load(path), onnx.load(tmp_path / "new.onnx")
    for one, two in zip(before.graph.initializer, after.graph.initializer, strict=True):
        assert (one == two) == (one.name != "turned.w")
    del before.graph.initializer[:], after.graph.initializer[:]
    assert before == after
    feed = {"x": X}
    out = models.run(tmp_path / "new.onnx", feed)[0]
    assert not out.any()  # no biases behind it


def small_network(net, form="low_rank", budget=0.6):
    """Every layer in one form, without a search."""
    forms = {a.name: factorize(net.weight(a), form, budget=budget) for a in net.layers}
    kept = net.carrying({n: a for n, a in net.items() if n not in forms})
    return CompressedNetwork(forms, kept, tuple(net), 8 * net.n_bytes)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_the_compressed_file_alone_gives_the_model_back(path, tmp_path, suffix):
    net = read(path)
    small = small_network(net, "sparse")
    small.write(tmp_path / f"small{suffix}")
    assert (tmp_path / f"small{suffix}").stat().st_size == small.predicted_bytes(suffix)
    again = read_compressed(tmp_path / f"small{suffix}")
    path.unlink()
    again.to_dense().write(tmp_path / "dense.onnx")
    onnx.checker.check_model(str(tmp_path / "dense.onnx"), full_check=True)
    dense = read(tmp_path / "dense.onnx")
    assert dense == small.to_dense()
    for layer in net.layers:
        expected = small.factorizations[layer.name].to_dense()
        np.testing.assert_array_equal(dense.weight(layer), expected)
    for name in set(net) - set(small.factorizations):
        assert dense[name].tobytes() == net[name].tobytes()
    assert models.run(tmp_path / "dense.onnx", {"x": X})[0].shape == (5, 14)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_tensors_of_a_model_can_be_kept_without_its_graph(path, tmp_path, suffix):
    net = read(path)
    net.write(tmp_path / f"net{suffix}")
    again = read(tmp_path / f"net{suffix}")
    assert (again.layers, list(again), again.metadata) == (net.layers, list(net), net.metadata)
    with pytest.raises(ValueError, match="no graph to put its tensors into"):
        again.write(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=r"'\.onnx' is a model, not a file"):
        compress(net, 0.9, methods="low_rank", suffix=".onnx")


def test_the_budget_counts_the_graph(path):
    arrays = {"w": RNG.standard_normal((64, 96)).astype(np.float32)}
    made = models.single("MatMul", arrays, inputs={"x": [None, 64]}, order=["x", "w"])
    made.doc_string = RNG.bytes(1500).hex()  # of which nothing can be left out
    models.saved(path, made)
    small = compress(read(path), 0.5, methods="low_rank")
    assert small.itemized_bits.container > 8 * 1500
    assert small.bits <= 0.5 * 8 * 64 * 96 * 4


def test_low_rank_layers_as_two_nodes_compute_the_same(path, tmp_path):
    net = read(path)
    small = small_network(net, budget=0.5)
    small.write_onnx(tmp_path / "dense.onnx")
    small.write_onnx(tmp_path / "factored.onnx", factored=True)
    onnx.checker.check_model(str(tmp_path / "factored.onnx"), full_check=True)
    dense, factored = (
        models.run(tmp_path / f"{name}.onnx", {"x": X})[0] for name in ("dense", "factored")
    )
    np.testing.assert_allclose(factored, dense, rtol=1e-4, atol=1e-5 * np.abs(dense).max())
    made = onnx.load(tmp_path / "factored.onnx")
    assert not set(small.factorizations) & {tensor.name for tensor in made.graph.initializer}
    assert len(made.graph.node) == len(models.nodes(models.weights())) + 8 - 1  # no Constant
    again = read(tmp_path / "factored.onnx")
    n_factored = sum(f.bits().total // 8 for f in small.factorizations.values())
    assert again.n_bytes == n_factored + sum(small.network[n].nbytes for n in small.network)
    names = [layer.name for layer in again.layers]
    assert {"conv.w.right", "conv.w.left", "shared.w.right.T", "const.left.T"} <= set(names)


@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize("on_the_left", [False, True])
@pytest.mark.parametrize("turned_data", [0, 1])
def test_every_gemm(tmp_path, trans, on_the_left, turned_data):
    """The weight's own switch turns the layer round; that of the data keeps it dense."""
    W = RNG.standard_normal((7, 9)).astype(np.float32)  # (n_outputs, n_inputs)
    data = RNG.standard_normal((9, 9)).astype(np.float32)
    stored = W if bool(trans) != on_the_left else W.T
    order, switches = ["x", "w"], {"transA": turned_data, "transB": trans}
    if on_the_left:
        order, switches = ["w", "x"], {"transA": trans, "transB": turned_data}
    made = models.single(
        "Gemm", {"w": stored}, inputs={"x": [9, 9]}, order=order, alpha=0.7, **switches
    )
    path = models.saved(tmp_path / "m.onnx", made)
    net = read(path)
    np.testing.assert_array_equal(net.weight("w"), W)
    small = small_network(net, budget=0.5)
    expected = small.to_dense().weight("w").astype(float) * 0.7
    turned = data.T if turned_data else data
    expected = expected @ turned if on_the_left else turned @ expected.T
    small.write_onnx(tmp_path / "f.onnx", factored=True)
    np.testing.assert_allclose(
        models.run(tmp_path / "f.onnx", {"x": data})[0], expected, rtol=1e-4, atol=1e-4
    )
    assert len(onnx.load(tmp_path / "f.onnx").graph.node) == 2 - turned_data


def test_a_layer_that_is_transposed_on_its_way(tmp_path):
    W = RNG.standard_normal((6, 8)).astype(np.float32)
    node = helper.make_node
    made = models.model(
        [
            node("Identity", ["w"], ["same"]),
            node("Transpose", ["same"], ["t"]),
            node("MatMul", ["x", "t"], ["y"]),
        ],
        {"w": W},
        inputs={"x": [None, 8]},
    )
    net = read(models.saved(tmp_path / "m.onnx", made))
    np.testing.assert_array_equal(net.weight("w"), W)
    small = small_network(net)
    small.write_onnx(tmp_path / "f.onnx", factored=True)  # which it stays dense in
    x = np.eye(8, dtype=np.float32)
    np.testing.assert_array_equal(
        models.run(tmp_path / "f.onnx", {"x": x})[0].T, small.to_dense()["w"]
    )


def two_uses(first, second, x=("N", 6)):
    node = helper.make_node
    return models.model(
        [node(*first), node(*second), node("Add", ["a", "b"], ["y"])],
        {"w": np.eye(6, dtype=np.float32)},
        inputs={"x": list(x)},
    )


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (("MatMul", ["w", "x"], ["b"]), "used in more than one way"),
        (("Add", ["x", "w"], ["b"]), "used in more than one way"),
        (("MatMul", ["w", "w"], ["b"]), "used in more than one way"),
        (("MatMul", ["x", "w"], ["b"]), None),
        (("Identity", ["x"], ["b"]), None),
    ],
)
def test_a_weight_in_two_roles_is_left_alone(tmp_path, second, reason):
    made = two_uses(("MatMul", ["x", "w"], ["a"]), second, (6, 6))
    net = read(models.saved(tmp_path / "m.onnx", made))
    assert net.layout.left_alone.get("w") == reason
    assert bool(net.layers) == (reason is None)


def test_embeddings_are_no_layers_unless_one_shares_them(tmp_path):
    node, table = helper.make_node, RNG.standard_normal((10, 6)).astype(np.float32)
    ids = numpy_helper.from_array(np.array([1, 2]), "ids")
    lookup = node("Gather", ["w", "ids"], ["y"])
    made = models.model([lookup], {"w": table})
    made.graph.initializer.append(ids)
    net = read(models.saved(tmp_path / "m.onnx", made))
    assert (net.layers, net.layout.left_alone) == ((), {"w": "an embedding"})
    head = node("Gemm", ["x", "w"], ["z"], transB=1)
    made = models.model([lookup, head], {"w": table}, inputs={"x": [1, 6]}, outputs=("y", "z"))
    made.graph.initializer.append(ids)
    net = read(models.saved(tmp_path / "m.onnx", made))
    assert [(a.name, a.shape) for a in net.layers] == [("w", (10, 6))]


def branch(name, nodes):
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, name, [], [out])


def test_what_a_graph_inside_a_node_uses_is_left_alone(tmp_path):
    node, W = helper.make_node, np.eye(6, dtype=np.float32)
    inner = numpy_helper.from_array(W, "inner")
    one, two = branch("one", [node("MatMul", ["x", "w"], ["out"])]), branch("two", [])
    two.initializer.append(inner)
    two.node.append(node("MatMul", ["x", "inner"], ["out"]))
    made = models.model(
        [
            node("MatMul", ["x", "w"], ["a"]),
            node("If", ["cond"], ["b"], then_branch=one, else_branch=two),
            node("Add", ["a", "b"], ["y"]),
        ],
        {"w": W},
        inputs={"x": [None, 6]},
    )
    made.graph.input.append(helper.make_tensor_value_info("cond", TensorProto.BOOL, []))
    path = models.saved(tmp_path / "m.onnx", made)
    net = read(path)
    assert list(net) == ["w"]
    assert (net.layers, net.layout.left_alone) == ((), {"w": "used in more than one way"})
    net.write(tmp_path / "again.onnx")
    assert onnx.load(tmp_path / "again.onnx") == onnx.load(path)


def test_an_initializer_that_is_an_input_too_is_a_layer_and_stays_dense(tmp_path):
    W = RNG.standard_normal((8, 6)).astype(np.float32)
    made = models.single("MatMul", {"w": W}, inputs={"x": [1, 8], "w": [8, 6]}, order=["x", "w"])
    net = read(models.saved(tmp_path / "m.onnx", made))
    small = small_network(net)
    assert set(small.factorizations) == {"w"}
    small.write_onnx(tmp_path / "f.onnx", factored=True)
    assert [t.name for t in onnx.load(tmp_path / "f.onnx").graph.initializer] == ["w"]


def test_other_domains_and_quantized_weights_are_left_alone(tmp_path):
    node, W = helper.make_node, np.eye(6, dtype=np.float32)
    scale, codes = numpy_helper.from_array(np.float32(0.5), "s"), np.eye(6, dtype=np.int8)
    made = models.model(
        [
            node("DequantizeLinear", ["codes", "s"], ["d"]),
            node("MatMul", ["x", "d"], ["a"]),
            node("MatMul", ["a", "w"], ["y"], domain="somebody.else"),
        ],
        {"w": W},
        inputs={"x": [None, 6]},
    )
    made.graph.initializer.extend([scale, numpy_helper.from_array(codes, "codes")])
    net = read(models.saved(tmp_path / "m.onnx", made))
    assert net.layers == ()
    assert net.layout.left_alone == {"w": "an input of somebody.else.MatMul"}
    assert net["codes"].dtype == np.int8


def numbers(code, raw):
    """A tensor of a dtype that NumPy can hold, and its values."""
    dtype = helper.tensor_dtype_to_np_dtype(code)
    values = np.array([[1, 0], [3, 1]]).astype(dtype)
    given = values.tobytes() if raw else values.ravel().tolist()
    return helper.make_tensor("t", code, [2, 2], given, raw=raw), values


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("code", DTYPES)
def test_every_dtype_survives(tmp_path, code, raw):
    tensor, values = numbers(code, raw)
    made = models.model([], {}, inputs={"x": [1]}, outputs=())
    made.graph.initializer.append(tensor)
    net = read(models.saved(tmp_path / "m.onnx", made))
    np.testing.assert_array_equal(net["t"], values)
    assert net["t"].dtype == values.dtype
    assert net["t"].flags.writeable
    net.write(tmp_path / "again.onnx")
    (again,) = onnx.load(tmp_path / "again.onnx").graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(again), values)


@pytest.mark.parametrize("code", sorted(set(range(1, 24)) - set(DTYPES)))
def test_what_numpy_cannot_hold_stays_in_the_graph(tmp_path, code):
    given = [b"a", b"b"] if code == TensorProto.STRING else [1.0, 0.0]
    made = models.model([], {}, inputs={"x": [1]}, outputs=())
    made.graph.initializer.append(helper.make_tensor("t", code, [2], given))
    net = read(models.saved(tmp_path / "m.onnx", made))
    assert len(net) == 0
    net.write(tmp_path / "again.onnx")
    assert onnx.load(tmp_path / "again.onnx") == made


def test_scalars_and_empty_tensors(tmp_path):
    arrays = {"scalar": np.float32(3), "empty": np.zeros((0, 4), np.float32), "five": np.ones(5)}
    made = models.model([], arrays, inputs={"x": [1]}, outputs=())
    made.graph.initializer.append(helper.make_tensor("typed", 1, [0, 7], []))
    net = read(models.saved(tmp_path / "m.onnx", made))
    shapes = {name: array.shape for name, array in net.items()}
    assert shapes == {"scalar": (), "empty": (0, 4), "five": (5,), "typed": (0, 7)}
    net.write(tmp_path / "again.onnx")
    assert read(tmp_path / "again.onnx") == net


def test_tensors_in_other_files_are_brought_in(tmp_path):
    made = models.model()
    whole = models.saved(tmp_path / "whole.onnx", made)
    onnx.save(
        models.model(),
        tmp_path / "split.onnx",
        save_as_external_data=True,
        location="split.data",
        size_threshold=0,
        convert_attribute=True,
    )
    assert (tmp_path / "split.data").stat().st_size > 1000
    net = read(tmp_path / "split.onnx")
    assert {n: a.tobytes() for n, a in net.items()} == {
        n: a.tobytes() for n, a in read(whole).items()
    }
    net.write(tmp_path / "again.onnx")
    feed = {"x": X}
    (tmp_path / "split.data").unlink()
    np.testing.assert_array_equal(
        models.run(tmp_path / "again.onnx", feed)[0], models.run(whole, feed)[0]
    )


def test_an_orientation_is_refused(path):
    with pytest.raises(ValueError, match="orientation is not used by an ONNX model"):
        read(path, orientation="in_out")


def test_without_onnx_one_line_says_how_to_get_it(path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install sparsecode\[onnx\]"):
        read(path)


def test_a_network_without_a_graph_is_no_model(tmp_path):
    small = compress({"w": np.eye(64)}, 0.5, methods="sparse")
    for factored in (False, True):
        with pytest.raises(ValueError, match="there is no graph"):
            small.write_onnx(tmp_path / "x.onnx", factored=factored)
    with pytest.raises(ValueError, match=r"has to end in \.onnx"):
        small.write_onnx(tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []
