"""Files of named arrays: every bit comes back, every size is foretold, stock tools agree."""

import json
import os
import tempfile
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from safetensors.numpy import load_file, save_file

from sparsecode.layers import Network, formats
from sparsecode.layers.formats import file_size, npz, read_tensors, write_tensors

SUFFIXES = (".npz", ".safetensors")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(d) for d in ("?", *"bhilBHILefd")] + [BFLOAT16]

each_format = pytest.mark.parametrize("suffix", SUFFIXES)


def bits(array):
    """The array's values as bytes: C order, little-endian."""
    array = np.asarray(array)
    swapped = array.dtype.byteorder == ">"
    return (array.byteswap() if swapped else array).tobytes()


def assert_same(found, given):
    assert list(found) == list(given)
    for name, array in given.items():
        array = np.asarray(array)
        assert found[name].dtype == array.dtype.newbyteorder("="), name
        assert found[name].shape == array.shape, name
        assert bits(found[name]) == bits(array), name
        assert found[name].flags.writeable


def roundtrip(path, tensors, metadata=None):
    write_tensors(path, tensors, metadata)
    assert os.path.getsize(path) == file_size(path, tensors, metadata)
    found, texts = read_tensors(path)
    assert_same(found, tensors)
    assert texts == (metadata or {})
    assert list(texts) == list(metadata or {})


@st.composite
def arrays(draw):
    """Any bits, NaN payloads among them, in any dtype, shape and memory layout."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    raw = np.frombuffer(draw(st.binary(min_size=n_bytes, max_size=n_bytes)), np.uint8)
    array = (raw % 2 if dtype.kind == "b" else raw).view(dtype).reshape(shape)  # read-only
    layout = draw(st.sampled_from(["C", "F", "reversed", "strided", "big-endian"]))
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "reversed":
        return array[(slice(None, None, -1),) * array.ndim]
    if layout == "strided":
        return array[(slice(None, None, 2),) * array.ndim]
    if layout == "big-endian" and dtype != BFLOAT16:
        return array.astype(dtype.newbyteorder(">"))
    return array


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@each_format
@settings(max_examples=60, deadline=None)
@given(
    tensors=st.dictionaries(names, arrays(), max_size=6),
    metadata=st.dictionaries(names, names, max_size=4),
)
def test_every_bit_comes_back_and_the_size_is_foretold(suffix, tensors, metadata):
    with tempfile.TemporaryDirectory() as folder:
        roundtrip(Path(folder) / f"net{suffix}", tensors, metadata)


@each_format
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layouts_of_a_matrix_come_back_bit_for_bit(tmp_path, suffix, dtype):
    square = np.arange(12).astype(dtype).reshape(3, 4)
    frozen = square.copy()
    frozen.flags.writeable = False
    tensors = {
        "C": square,
        "transposed": square.T,
        "Fortran": np.asfortranarray(square),
        "strided": square[::2, 1::2],
        "reversed": square[::-1, ::-1],
        "read-only": frozen,
        "0-d": np.array(square[0, 1]),
        "scalar": square[0, 1],
        "empty": square[:0],
        "5-d": square.reshape(1, 3, 1, 4, 1),
    }
    if dtype != BFLOAT16:
        tensors["big-endian"] = square.astype(dtype.newbyteorder(">"))
    roundtrip(tmp_path / f"net{suffix}", tensors)


@each_format
def test_a_memmap_and_signalling_nans_come_back(tmp_path, suffix):
    stored = np.array([0x7FA00001, 0xFF800000, 0x80000000], np.uint32)
    stored.tofile(tmp_path / "raw.bin")
    mapped = np.memmap(tmp_path / "raw.bin", np.float32, "r")
    roundtrip(tmp_path / f"net{suffix}", {"mapped": mapped})


@each_format
def test_hostile_names_are_only_names(tmp_path, suffix):
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    strange = [
        "../../x",
        "/etc/passwd",
        "<script>",
        "a/b",
        "a\\b",
        "C:\\x",
        "",
        " ",
        "x.npy",
        "é" * 9,
    ]
    roundtrip(folder / f"net{suffix}", {name: np.arange(3) for name in strange}, {"../m": "<b>"})
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [folder / f"net{suffix}"]


@each_format
def test_many_and_no_tensors(tmp_path, suffix):
    roundtrip(tmp_path / f"none{suffix}", {})
    roundtrip(tmp_path / f"text{suffix}", {}, {"only": "metadata ✓"})
    roundtrip(tmp_path / f"many{suffix}", {f"t{i}": np.full(i % 7, i, "f4") for i in range(1200)})


@each_format
def test_equal_contents_give_equal_bytes(tmp_path, suffix):
    tensors = {name: np.arange(5.0) for name in "zyxab"}
    metadata = {str(i): str(i) for i in range(9)}
    for name in ("one", "two"):
        write_tensors(tmp_path / f"{name}{suffix}", tensors, metadata)
    one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert one == two


def test_the_size_of_a_large_archive_is_foretold(tmp_path, monkeypatch):
    """Past 2 GiB and 65,535 members a zip archive grows; here its limits are made small."""
    for module, size, count in (
        (zipfile, "ZIP64_LIMIT", "ZIP_FILECOUNT_LIMIT"),
        (npz, "_LIMIT_64", "_COUNT_64"),
    ):
        monkeypatch.setattr(module, size, 2000)
        monkeypatch.setattr(module, count, 12)
    for n_arrays in (1, 3, 12, 13, 30):
        for n in (1, 100, 400):
            tensors = {f"t{i}": np.zeros(n * (1 + i % 2)) for i in range(n_arrays)}
            roundtrip(tmp_path / "net.npz", tensors)


def test_only_names_dtypes_and_shapes_decide_the_size():
    whole = np.broadcast_to(np.zeros((), np.float32), (1 << 15, 1 << 15))  # 4 GiB, if it were real
    header = '{"w":{"dtype":"F32","shape":[32768,32768],"data_offsets":[0,4294967296]}}'
    padded = -(-len(header) // 8) * 8
    assert file_size("a.safetensors", {"w": whole}) == 8 + padded + (1 << 32)
    assert file_size(".npz", {"w": whole}) > (1 << 32) + 128


def test_stock_tools_read_our_files(tmp_path):
    tensors = {"f": np.eye(3, dtype="f2"), "i": np.arange(4), "b": np.array(True)}
    brain = {"w": np.arange(6).astype(BFLOAT16).reshape(2, 3).T}
    write_tensors(tmp_path / "net.npz", tensors | brain, {"k": "v"})
    with np.load(tmp_path / "net.npz") as loaded:
        assert_same({name: loaded[name] for name in tensors}, tensors)
        assert loaded["w"].dtype == "V2"
        assert loaded["__metadata__"].tobytes() == b'{"k": "v"}'
    write_tensors(tmp_path / "net.safetensors", tensors | brain, {"k": "v"})
    loaded = load_file(tmp_path / "net.safetensors")
    assert_same({name: loaded[name] for name in [*tensors, "w"]}, tensors | brain)


def test_every_tensor_of_a_safetensors_file_is_aligned(tmp_path):
    tensors = {str(dtype): np.ones(3, dtype) for dtype in DTYPES}
    roundtrip(tmp_path / "net.safetensors", tensors, {"odd": "x"})
    content = (tmp_path / "net.safetensors").read_bytes()
    n_header = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n_header])
    for name, array in tensors.items():
        assert (8 + n_header + header[name]["data_offsets"][0]) % array.dtype.itemsize == 0


def test_we_read_the_files_of_stock_tools(tmp_path):
    tensors = {
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "be": np.arange(3, dtype=">i4"),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "net.npz", **tensors)
        assert_same(read_tensors(tmp_path / "net.npz")[0], tensors)
    np.savez(tmp_path / "net.npz", w=np.arange(3).astype(BFLOAT16))
    assert_same(read_tensors(tmp_path / "net.npz")[0], {"w": np.arange(3).astype(BFLOAT16)})

    tensors = {"a": np.arange(6.0).reshape(2, 3), "b": np.arange(3).astype(BFLOAT16)}
    save_file(tensors, tmp_path / "net.safetensors", {"k": "v"})
    found, metadata = read_tensors(tmp_path / "net.safetensors")
    assert_same(found, tensors)
    assert metadata == {"k": "v"}


@each_format
@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"w": np.zeros(2, complex)}, {}, "'w' has dtype complex128, which cannot be stored"),
        ({"w": np.array([None, 1])}, {}, "'w' has dtype object"),
        ({"w": np.array(["a"])}, {}, "'w' has dtype <U1"),
        ({"w": np.array(["2026"], "M8")}, {}, "'w' has dtype datetime64"),
        ({"w": np.zeros(2, "f4,i4")}, {}, "'w' has dtype"),
        ({"w": np.zeros(2, ml_dtypes.float8_e4m3fn)}, {}, "'w' has dtype float8_e4m3fn"),
        ({"w": np.zeros(2, "V2")}, {}, "ml_dtypes.bfloat16"),
        ({3: np.zeros(2)}, {}, "name of a tensor has to be a string, got 3"),
        ({"__metadata__": np.zeros(2)}, {}, "give the tensor another name"),
        ({"\ud800": np.zeros(2)}, {}, "cannot be encoded"),
        ({"w": np.zeros(2)}, {"k": "\udfff"}, "metadata value .* cannot be encoded"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path, suffix, tensors, metadata, message):
    with pytest.raises(ValueError, match=message):
        write_tensors(tmp_path / f"net{suffix}", tensors, metadata)
    with pytest.raises(ValueError, match=message):
        file_size(suffix, tensors, metadata)
    assert os.listdir(tmp_path) == []


@each_format
@pytest.mark.parametrize("metadata", [{"k": 3}, {3: "k"}, ["k"]])
def test_metadata_of_another_type_is_refused_as_by_a_network(tmp_path, suffix, metadata):
    for call in (
        lambda: write_tensors(tmp_path / f"net{suffix}", {}, metadata),
        lambda: file_size(suffix, {}, metadata),
        lambda: Network({}, metadata=metadata),
    ):
        with pytest.raises(TypeError, match="metadata has to"):
            call()
    assert os.listdir(tmp_path) == []


def test_what_one_format_cannot_store_is_refused(tmp_path, monkeypatch):
    for name, message in (("a\0b", "NUL"), ("x" * 70_000, "too long")):
        with pytest.raises(ValueError, match=message):
            write_tensors(tmp_path / "net.npz", {name: np.zeros(2)})
        roundtrip(tmp_path / "net.safetensors", {name: np.zeros(2)})
    monkeypatch.setattr("sparsecode.layers.formats.safetensors.JSON_LIMIT", 100)
    with pytest.raises(ValueError, match="names and metadata take"):
        write_tensors(tmp_path / "other.safetensors", {"x" * 100: np.zeros(2)})
    with pytest.raises(ValueError, match="'w' has masked entries"):
        write_tensors(tmp_path / "net.npz", {"w": np.ma.masked_equal([1.0, 2.0], 1)})
    assert os.listdir(tmp_path) == ["net.safetensors"]


@pytest.mark.parametrize("path", ["net.h5", "net", "net.npz.bak"])
def test_an_unknown_suffix_names_what_works(path):
    for call in (read_tensors, lambda p: write_tensors(p, {}), lambda p: file_size(p, {})):
        with pytest.raises(ValueError, match=r"no known format; use \.npz or \.safetensors"):
            call(path)


@pytest.mark.parametrize("path", ["net.pt", "net.PTH", "net.bin", "net.ckpt", "net.pkl"])
def test_a_pickle_is_refused_with_the_way_out(path):
    with pytest.raises(
        ValueError, match=r"is a pickle by its suffix.*safetensors\.torch\.save_file"
    ):
        read_tensors(path)


def test_the_suffix_may_be_in_capitals(tmp_path):
    roundtrip(tmp_path / "NET.NPZ", {"w": np.zeros(2)})


@each_format
def test_what_reads_back_differently_is_not_kept(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"net{suffix}"
    write_tensors(path, {"w": np.zeros(3)})
    old = path.read_bytes()
    module = formats._FORMATS[suffix]
    sound = module.write

    def flawed(file, tensors, metadata):
        sound(file, {name: array + 1 for name, array in tensors.items()}, metadata)

    monkeypatch.setattr(module, "write", flawed)
    with pytest.raises(OSError, match="what was read back is different"):
        write_tensors(path, {"w": np.ones(3)})
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [path.name]
