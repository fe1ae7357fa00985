"""Which tensors are layers, convolutions among them, and tied tensors."""

import json

import numpy as np
import pytest

from sparsecode.layers import (
    Calibration,
    Layer,
    Network,
    compress,
    output_error,
    read,
    read_compressed,
)
from sparsecode.layers.compressed import METADATA_KEY
from sparsecode.layers.formats import read_tensors, write_tensors
from sparsecode.layers.layout import Layout, Stored
from sparsecode.layers.records import LAYERS_KEY, TIED_KEY, from_record, to_record

SUFFIXES = (".npz", ".safetensors")
KERNELS = [(), (3,), (3, 2), (1, 1), (2, 3, 1)]
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("transposed", [False, True])
def test_a_tensor_comes_back_from_its_matrix(kernel, transposed):
    stored = Stored(transposed, kernel)
    ends = (5, 4)
    shape = (*kernel, *ends[::-1]) if transposed else (*ends, *kernel)
    tensor = RNG.standard_normal(shape)
    W = stored.matrix(tensor)
    assert W.shape == stored.matrix_shape(shape) == (5, 4 * int(np.prod(kernel)))
    np.testing.assert_array_equal(stored.tensor(W), tensor)
    assert from_record(to_record({"a": stored})) == {"a": stored}


def test_the_matrix_of_a_convolution_is_ordered_channel_by_channel():
    kernels = RNG.standard_normal((5, 4, 3, 2))  # PyTorch: (O, I, kh, kw)
    turned = np.transpose(kernels, (2, 3, 1, 0))  # Keras: (kh, kw, I, O)
    W = Stored(False, (3, 2)).matrix(kernels)
    np.testing.assert_array_equal(W[1, 2 * 6 + 1 * 2 + 1], kernels[1, 2, 1, 1])
    np.testing.assert_array_equal(Stored(True, (3, 2)).matrix(turned), W)


def test_convolutions_are_found_by_their_four_axes():
    arrays = {f"{n}-D": RNG.standard_normal((3, 2) + (2,) * (n - 2)) for n in range(2, 6)}
    assert [layer.name for layer in Network(arrays).layers] == ["2-D", "4-D"]
    found = Network({"k": np.ones((3, 2, 5, 7))}, orientation="in_out").layers
    assert found == (Layer("k", (7, 30), True, np.dtype(float), (3, 2)),)
    thin = {"a": np.ones((1, 4, 3, 3)), "b": np.ones((4, 1, 1, 1)), "c": np.ones((0, 2, 3, 3))}
    assert Network(thin).layers == ()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", ["out_in", "in_out"])
def test_convolutions_are_compressed_and_come_back_in_shape(tmp_path, suffix, orientation):
    shape = (16, 8, 3, 3) if orientation == "out_in" else (3, 3, 8, 16)
    arrays = {"conv": RNG.standard_normal(shape).astype(np.float32), "fc": np.eye(40)}
    net = Network(arrays, orientation=orientation, metadata={"k": "v"})
    patches = {"conv": RNG.standard_normal((300, 72)) * np.arange(1, 73)}
    moments = Calibration.from_arrays(patches)
    small = compress(net, 0.5, methods=["low_rank", "sparse"], calibration=moments, suffix=suffix)
    assert small.factorizations["conv"].shape == (16, 72)
    small.write(tmp_path / f"small{suffix}")
    assert (tmp_path / f"small{suffix}").stat().st_size * 8 == small.bits
    again = read_compressed(tmp_path / f"small{suffix}")
    assert again.bits == small.bits
    assert again.factorizations == small.factorizations
    dense = again.to_dense()
    assert dense == small.to_dense()
    assert (dense["conv"].shape, dense["conv"].dtype) == (shape, np.float32)
    assert dense["conv"].flags.c_contiguous
    assert dense.layers == net.layers
    row = next(row for row in small.report.rows if row.name == "conv")
    lost = output_error(net.weight("conv"), dense.weight("conv"), moments.gram("conv"))
    assert row.calibration_error == pytest.approx(lost)
    dense.write(tmp_path / f"dense{suffix}")
    assert read(tmp_path / f"dense{suffix}").metadata == {"k": "v"}


DECLARED = Layout(
    declared={"a": Stored(True), "b": Stored(False, (3,)), "c": Stored(True, (2, 1, 2))},
    left_alone={"table": "an embedding"},
)
ARRAYS = {
    "table": RNG.standard_normal((30, 8)),
    "a": RNG.standard_normal((24, 20)),
    "b": RNG.standard_normal((16, 8, 3)),
    "c": RNG.standard_normal((2, 1, 2, 10, 12)),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_the_source_declares_is_kept_in_files(tmp_path, suffix):
    net = Network(ARRAYS, layout=DECLARED)
    shapes = {layer.name: layer.shape for layer in net.layers}
    assert shapes == {"a": (20, 24), "b": (16, 24), "c": (12, 40)}
    net.write(tmp_path / f"net{suffix}")
    again = read(tmp_path / f"net{suffix}")
    assert again == net
    assert again.metadata == {}
    small = compress(again, 0.7, methods=["low_rank", "sparse"])
    assert set(small.factorizations) == {"a", "b", "c"}
    small.write(tmp_path / f"small{suffix}")
    back = read_compressed(tmp_path / f"small{suffix}")
    assert (back.factorizations, back.network) == (small.factorizations, small.network)
    assert back.to_dense() == small.to_dense()
    assert back.to_dense().layers == net.layers
    assert {n: a.shape for n, a in back.to_dense().items()} == {n: a.shape for n, a in net.items()}
    by_shape = read(tmp_path / f"net{suffix}", orientation="out_in")
    assert [layer.name for layer in by_shape.layers] == ["table", "a"]


def test_a_name_that_is_left_alone_says_why():
    net = Network(ARRAYS, layout=DECLARED)
    with pytest.raises(ValueError, match="'table' is no layer of the network: it is an embedding"):
        net.layer("table")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("[]", "has to be a JSON object"),
        ('{"w": 3}', "the record of the layer 'w' is '3'"),
        ('{"w": "out_in:0x3"}', "the record of the layer"),
        ('{"w": "out_in:3x3x3x3"}', "the record of the layer"),
        ('{"w": "out_in:3x3"}', "is no out_in:3x3 layer"),
        ('{"w": "in_out"}', "is no in_out layer"),
        ("{", "Expecting"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_wrong_record_of_layers_is_one_error(tmp_path, record, message):
    Network({"w": np.ones((4, 2, 5, 5))}, metadata={"k": "v"}).write(tmp_path / "net.npz")
    tensors, metadata = read_tensors(tmp_path / "net.npz")
    write_tensors(tmp_path / "net.npz", tensors, metadata | {LAYERS_KEY: record})
    with pytest.raises(ValueError, match=rf"net\.npz cannot be read as a network: .*{message}"):
        read(tmp_path / "net.npz")


# Tied tensors --------------------------------------------------------------------------------


def tied_network():
    W = RNG.standard_normal((40, 48)).astype(np.float32)
    return {"in": W, "bias": np.ones(3), "out": W, "copy": W.copy(), "view": W[:], "turned": W.T}


def test_arrays_that_share_memory_are_tied_and_count_once():
    net = Network(tied_network())
    assert net.tied == {"out": "in", "view": "in"}
    assert net.n_bytes == 3 * 40 * 48 * 4 + 24
    assert [layer.name for layer in net.layers] == ["in", "copy", "turned"]
    assert [layer.name for layer in net.select("out")] == ["in"]
    with pytest.raises(ValueError, match=r"'out' is no layer .* tied to 'in'"):
        net.layer("out")
    empty = np.zeros((0, 3))
    assert Network({"a": empty, "b": empty}).tied == {}


def test_what_replaces_a_tied_tensor_replaces_all():
    net = Network(tied_network())
    for name in ("in", "out"):
        new = net.replace({name: np.zeros((40, 48))})
        assert new.tied == net.tied
        assert new["out"] is new["in"]
        assert not new["view"].any()
        assert new["copy"].any()
    with pytest.raises(ValueError, match="'out' is tied to 'in', and their new arrays differ"):
        net.replace({"in": np.zeros((40, 48)), "out": np.ones((40, 48))})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tied_tensors_are_stored_once_when_compressed_and_come_back_tied(tmp_path, suffix):
    arrays = {name: a for name, a in tied_network().items() if name in ("in", "bias", "out")}
    other = np.arange(500, dtype=np.int32)
    net = Network({**arrays, "ids": other, "more ids": other})
    net.write(tmp_path / f"net{suffix}")
    read_back = read(tmp_path / f"net{suffix}")
    assert read_back == net
    assert read_back.tied == {"out": "in", "more ids": "ids"}
    small = compress(net, 0.8, methods="low_rank", suffix=suffix)
    assert set(small.factorizations) == {"in"}
    assert small.original_bits == 8 * (40 * 48 * 4 + 24 + other.nbytes)
    path = tmp_path / f"small{suffix}"
    small.write(path)
    assert path.stat().st_size * 8 == small.bits < 0.8 * small.original_bits
    dense = read_compressed(path).to_dense()
    assert dense == small.to_dense()
    assert list(dense) == list(net)
    assert dense["out"] is dense["in"]
    assert dense["more ids"] is dense["ids"]


def test_a_record_of_ties_that_no_longer_holds_is_dropped(tmp_path):
    record = {TIED_KEY: json.dumps({"b": "a", "c": "a", "nobody": "a"})}
    arrays = {"a": np.eye(3), "b": np.eye(3), "c": 2 * np.eye(3)}
    assert Network(arrays, metadata=record).tied == {"b": "a"}
    for wrong in ("[]", '{"a": 1}', '{"b": "a", "c": "b"}', "{"):
        with pytest.raises(ValueError):  # noqa: PT011  (whatever the parser says)
            Network(arrays, metadata={TIED_KEY: wrong})


@pytest.mark.parametrize(
    ("key", "record", "message"),
    [
        ("tied", [], "has to map names to names"),
        ("tied", {"out": 3}, "has to map names to names"),
        ("tied", {"out": "in", "in": "out"}, "ties a name to one that is tied itself"),
        ("tied", {"out": "nobody"}, "names that it does not have"),
        ("tied", {"nobody": "in"}, "names that it does not have"),
        ("tied", {"in": "bias"}, "repeats one or lacks a layer"),
        ("stored", [], "has to be a JSON object"),
        ("stored", {}, "it has no 'in'"),
        ("stored", {"in": "sideways"}, "the record of the layer 'in' is 'sideways'"),
        ("stored", {"in": "out_in:7"}, "of shape .* is no out_in:7 one"),
        ("stored", {"in": "out_in", "bias": "in_out"}, "the tensor 'bias' .* is no in_out layer"),
    ],
)
def test_a_compressed_file_with_a_wrong_record_is_damaged(tmp_path, key, record, message):
    W = RNG.standard_normal((40, 48)).astype(np.float32)
    arrays = {"in": W, "out": W, "bias": np.ones(3)}
    compress(arrays, 0.8, methods="low_rank").write(tmp_path / "s.npz")
    tensors, metadata = read_tensors(tmp_path / "s.npz")
    description = json.loads(metadata[METADATA_KEY])
    description[key] = record
    metadata[METADATA_KEY] = json.dumps(description)
    write_tensors(tmp_path / "s.npz", tensors, metadata)
    with pytest.raises(ValueError, match=rf"s\.npz is damaged: .*{message}"):
        read_compressed(tmp_path / "s.npz")
