"""The file of a compressed network: back as it was, or one error; never over its source."""

import json

import ml_dtypes
import numpy as np
import pytest

from sparsecode.layers import (
    FAMILIES,
    CompressedNetwork,
    Network,
    compress,
    factorize,
    read,
    read_compressed,
)
from sparsecode.layers.compressed import METADATA_KEY
from sparsecode.layers.formats import read_tensors, write_tensors

SUFFIXES = [".safetensors", ".npz"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def assembled(rng, dtype=np.float32, names=None, orientation="out_in"):
    """One layer of every family, and a tensor between them."""
    names = list(FAMILIES) if names is None else names
    forms, order, kept = {}, [], {}
    for i, name in enumerate(names):
        W = rng.standard_normal((16, 24)).astype(dtype)
        method = list(FAMILIES)[i % len(FAMILIES)]
        options = {"n_rounds": 2} if method in ("dictionary", "low_rank+sparse") else {}
        forms[name] = factorize(W, method, budget=1.0 if method == "dense" else 0.7, **options)
        kept[f"bias {i}"] = rng.standard_normal(i)
        order += [name, f"bias {i}"]
    network = Network(kept, metadata={"made by": "hand"}, orientation=orientation)
    return CompressedNetwork(forms, network, tuple(order), 10**6)


def assert_same(again, small):
    assert again.factorizations == small.factorizations
    assert again.network == small.network
    assert (again.order, again.original_bits) == (small.order, small.original_bits)
    assert again.bits == 8 * small.predicted_bytes(again.suffix)
    assert again.to_dense() == small.to_dense()
    assert list(again.to_dense()) == list(small.order)


def test_what_it_is_in_one_line(rng):
    small = assembled(rng, names=["a", "b"])
    size = f"{small.bits // 8:,} bytes, {small.ratio:.1%} of 125,000"
    assert repr(small) == f"CompressedNetwork(1 dense, 1 low_rank; {size})"


@pytest.mark.parametrize("short", ["float16", "bfloat16"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_short_floats_in_every_form_take_the_bytes_predicted(rng, tmp_path, suffix, short):
    W, forms = rng.standard_normal((32, 54)).astype(np.float32), {}
    for method in FAMILIES:
        options = {"n_rounds": 2} if method in ("dictionary", "low_rank+sparse") else {}
        if method != "dense":
            options["bits" if method == "uniform" else "value_bits"] = short
        forms[method] = factorize(W, method, budget=1.0, **options)
    for form in ("spatial", "tucker"):
        kernel = {"kernel_shape": (6, 3, 3), "form": form, "value_bits": short}
        forms[form] = factorize(W, "low_rank", budget=0.5, **kernel)
    small = CompressedNetwork(forms, Network({}), tuple(forms), 10**6, suffix=suffix)
    path = tmp_path / f"small{suffix}"
    small.write(path)
    assert path.stat().st_size == small.predicted_bytes(suffix)
    again = read_compressed(path)
    assert again.factorizations == small.factorizations
    dense = small.to_dense()
    for name, array in again.to_dense().items():
        assert array.tobytes() == dense[name].tobytes()


@pytest.mark.parametrize("orientation", ["out_in", "in_out"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_written_and_read(rng, tmp_path, suffix, dtype, orientation):
    small = assembled(rng, dtype, orientation=orientation)
    path = tmp_path / f"small{suffix}"
    small.write(path)
    assert path.stat().st_size == small.predicted_bytes(suffix)
    again = read_compressed(path)
    assert_same(again, small)
    again.write(tmp_path / f"again{suffix}")
    assert (tmp_path / f"again{suffix}").read_bytes() == path.read_bytes()
    assert [row.bits for row in again.report.rows] == [
        f.bits() for f in small.factorizations.values()
    ]
    assert again.report.bits.total == again.bits
    assert again.report.rows[0].weight_error is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_dense_network_is_loaded_by_stock_tools(rng, tmp_path, suffix):
    small = assembled(rng)
    small.to_dense().write(tmp_path / f"dense{suffix}")
    if suffix == ".npz":
        with np.load(tmp_path / "dense.npz") as file:
            arrays = {name: file[name] for name in file.files if name != "__metadata__"}
    else:
        from safetensors.numpy import load_file

        arrays = load_file(tmp_path / "dense.safetensors")
    assert set(arrays) == set(small.order)
    for name, form in small.factorizations.items():
        np.testing.assert_array_equal(arrays[name], form.to_dense())


ODD_NAMES = [
    ["a", "a::weight", "a::values"],
    ["a", "a:", "a::", "a:::", ":a"],
    ["a::left", "a", "left", "a::right", "::", ":::"],
    ["x", "y::codes.values", "x::dictionary", "x::low_rank.left"],
    ['he said "no"', "it's", "back\\slash", "new\nline", "tab\t", "\x1b[2J"],
    ["größe", "重み", "🙂", "e\u0301", "\u00e9", " ", ""],
    ["graph", "graph::", "graph::weight", "graph:::"],
    ["order", "layers", "format", "../../etc/passwd", "/abs", "C:\\x"],
]


@pytest.mark.parametrize("names", ODD_NAMES, ids=lambda names: ascii(names[0]))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_names_are_kept_apart(rng, tmp_path, suffix, names):
    small = assembled(rng, names=names)
    small.write(tmp_path / f"small{suffix}")
    assert_same(read_compressed(tmp_path / f"small{suffix}"), small)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_tensor_named_like_a_packed_array_is_kept_apart(rng, tmp_path):
    net = {"a": rng.standard_normal((64, 64)), "a::left": np.arange(3), "a::right": np.ones(2)}
    small = compress(net, 0.5, methods="low_rank")
    small.write(tmp_path / "small.npz")
    dense = read_compressed(tmp_path / "small.npz").to_dense()
    np.testing.assert_array_equal(dense["a::left"], net["a::left"])
    np.testing.assert_array_equal(dense["a"], small.to_dense()["a"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_source_is_never_overwritten(rng, tmp_path, suffix):
    source = tmp_path / f"net{suffix}"
    Network({"w": rng.standard_normal((64, 64))}).write(source)
    before = source.read_bytes()
    small = compress(read(source), 0.5, methods="low_rank")
    for write in (small.write, small.to_dense().write):
        with pytest.raises(ValueError, match="is the input"):
            write(source)
    target = tmp_path / f"small{suffix}"
    small.write(target)
    again, packed = read_compressed(target), target.read_bytes()
    for write in (again.write, again.to_dense().write):
        with pytest.raises(ValueError, match="is the input"):
            write(target)
    assert (source.read_bytes(), target.read_bytes()) == (before, packed)


def rewritten(path, change=None, arrays=None, text=None):
    """The file at `path` with another description or other arrays, every checksum right."""
    old, metadata = read_tensors(path)
    description = json.loads(metadata[METADATA_KEY])
    if change is not None:
        change(description)
    metadata[METADATA_KEY] = json.dumps(description) if text is None else text
    write_tensors(path, old if arrays is None else arrays(old), metadata)


def setting(*keys, to):
    def change(description):
        for key in keys[:-1]:
            description = description[key]
        description[keys[-1]] = to

    return change


def dropping(*keys):
    def change(description):
        for key in keys[:-1]:
            description = description[key]
        del description[keys[-1]]

    return change


BAD_DESCRIPTIONS = {
    "another version": (setting("format", to=2), "its format is 2; this version reads 1"),
    "no version": (dropping("format"), "it has no 'format'"),
    "no order": (dropping("order"), "it has no 'order'"),
    "no layers": (dropping("layers"), "it has no 'layers'"),
    "no orientation": (dropping("orientation"), "it has no 'orientation'"),
    "no size": (dropping("original_bits"), "it has no 'original_bits'"),
    "wrong orientation": (setting("orientation", to="up"), "orientation has to be"),
    "null orientation": (setting("orientation", to=None), "orientation has to be"),
    "order is a string": (setting("order", to="abc"), "list of names"),
    "order of numbers": (setting("order", to=[1, 2]), "is damaged"),
    "order of lists": (setting("order", to=[[], []]), "is damaged"),
    "order is null": (setting("order", to=None), "is damaged"),
    "a name twice": (lambda d: d["order"].append(d["order"][0]), "repeats one"),
    "a name too many": (lambda d: d["order"].append("ghost"), "it has no 'ghost'"),
    "a name too few": (lambda d: d["order"].remove("bias 3"), "'bias 3' belongs to nothing"),
    "a layer too few": (dropping("layers", "sparse"), "belongs to nothing"),
    "a layer of no name": (setting("layers", "ghost", to={"kind": "dense"}), "lacks a layer"),
    "layers is a list": (setting("layers", to=[]), "is damaged"),
    "layers is null": (setting("layers", to=None), "is damaged"),
    "a layer is null": (setting("layers", "sparse", to=None), "a packed layer is a mapping"),
    "a layer is a list": (setting("layers", "sparse", to=[1]), "a packed layer is a mapping"),
    "a wrong kind": (setting("layers", "sparse", "kind", to="eval"), "kind has to be one of"),
    "a huge shape": (setting("layers", "sparse", "shape", to=[10**9, 10**9]), "over the limit"),
    "a negative shape": (setting("layers", "sparse", "shape", to=[-1, 2]), "shape"),
    "no bits": (setting("original_bits", to=0), "original_bits"),
    "negative bits": (setting("original_bits", to=-8), "original_bits"),
    "bits of text": (setting("original_bits", to="8"), "original_bits"),
    "infinite bits": (setting("original_bits", to=float("inf")), "original_bits"),
    "bits of no number": (setting("original_bits", to=float("nan")), "original_bits"),
}


@pytest.mark.parametrize("case", BAD_DESCRIPTIONS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_description_is_one_error(rng, tmp_path, suffix, case):
    path = tmp_path / f"small{suffix}"
    assembled(rng).write(path)
    change, message = BAD_DESCRIPTIONS[case]
    rewritten(path, change)
    with pytest.raises(ValueError, match=message) as raised:
        read_compressed(path)
    assert str(raised.value).startswith(f"{path} is damaged: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '"x"', "[" * 100_000, '{"format":1,"format":1}', "{}"]
)
def test_a_description_that_is_no_object_is_one_error(rng, tmp_path, text):
    path = tmp_path / "small.npz"
    assembled(rng).write(path)
    rewritten(path, text=text)
    with pytest.raises(ValueError, match="is damaged"):
        read_compressed(path)


def test_every_missing_array_is_one_error(rng, tmp_path):
    path = tmp_path / "small.npz"
    small = assembled(rng)
    small.write(path)
    for name in read_tensors(path)[0]:
        small.write(path)
        rewritten(path, arrays=lambda old, name=name: {k: a for k, a in old.items() if k != name})
        with pytest.raises(ValueError, match=r"is damaged: .*has no"):
            read_compressed(path)
    small.write(path)
    rewritten(path, arrays=lambda old: {**old, "sparse::more": np.ones(2)})
    with pytest.raises(ValueError, match="'more' that it does not use"):
        read_compressed(path)


def test_a_truncated_file_is_one_error(rng, tmp_path):
    for suffix in SUFFIXES:
        path = tmp_path / f"small{suffix}"
        assembled(rng).write(path)
        data = path.read_bytes()
        for cut in np.linspace(0, len(data) - 1, 40).astype(int):
            path.write_bytes(data[:cut])
            with pytest.raises(
                ValueError, match=r"small\.\w+ (cannot be read|is damaged|holds no)"
            ):
                read_compressed(path)


def test_a_plain_network_is_no_compressed_one(tmp_path):
    Network({"w": np.eye(3)}).write(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"holds no compressed network; read it with layers\.read"):
        read_compressed(tmp_path / "net.npz")


def test_the_limit_holds_for_what_the_layers_expand_to(tmp_path):
    """A few kilobytes of factors that stand for a megabyte."""
    net = {"w": np.outer(np.arange(400.0), np.ones(400))}
    small = compress(net, 0.02, methods="low_rank")
    small.write(tmp_path / "small.npz")
    assert read_compressed(tmp_path / "small.npz", max_bytes=2_000_000).factorizations
    with pytest.raises(ValueError, match="over the limit of 100000; raise max_bytes"):
        read_compressed(tmp_path / "small.npz", max_bytes=100_000)
