"""Damaged and hostile files: one line that names the file, and nothing allocated for them."""

import io
import json
import os
import struct
import warnings
import zipfile

import hostile
import numpy as np
import pytest

from sparsecode.layers.formats import read_tensors, write_tensors

TENSORS = {"weight": np.arange(12.0).reshape(3, 4), "bias": np.ones(3, np.float16)}
METADATA = {"made by": "hand"}


def refused(path, match, **kwargs):
    hostile.refused(read_tensors, path, match, **kwargs)


def npy(shape, descr="<f8", data=b"", version=(1, 0), fortran_order=False):
    header = repr({"descr": descr, "fortran_order": fortran_order, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + length + header + data


def archive(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def tensors_file(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_every_truncation_is_refused(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    write_tensors(path, TENSORS, METADATA)
    whole = path.read_bytes()
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match="cannot be read"):
            read_tensors(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF])
def test_no_changed_byte_does_more_than_a_clear_error(tmp_path, suffix, change):
    path = tmp_path / f"net{suffix}"
    write_tensors(path, TENSORS, METADATA)
    whole = path.read_bytes()
    n_refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's on headers it has to repair
        for i in range(len(whole)):
            path.write_bytes(whole[:i] + bytes([whole[i] ^ change]) + whole[i + 1 :])
            message = ""
            try:
                read_tensors(path, max_bytes=10_000)
            except ValueError as error:
                message = str(error)
                n_refused += 1
            assert not message or (str(path) in message and "\n" not in message)
    assert n_refused > 50


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_junk_is_refused(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    rng = np.random.default_rng(0)
    for junk in (b"", b"\0" * 100, b"PK\x05\x06", b"{}", rng.bytes(1000), b"\xff" * 64):
        path.write_bytes(junk)
        refused(path, "cannot be read")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_is_no_file(tmp_path, suffix):
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / f"none{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_tensors(tmp_path / f"folder{suffix}")
    os.mkfifo(tmp_path / f"pipe{suffix}")
    with pytest.raises(OSError, match="not a regular file"):
        read_tensors(tmp_path / f"pipe{suffix}")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_the_limit_holds(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    write_tensors(path, {"w": np.zeros(100_000)})
    refused(path, "over the limit", max_bytes=800_000)
    assert read_tensors(path, max_bytes=801_000)[0]["w"].shape == (100_000,)
    with pytest.raises(ValueError, match="max_bytes has to be at least 0"):
        read_tensors(path, max_bytes=-1)


# npz -----------------------------------------------------------------------------------------


def test_a_few_bytes_that_ask_for_terabytes(tmp_path):
    path = archive(tmp_path / "bomb.npz", [("w.npy", npy((1 << 40,)))])
    assert path.stat().st_size < 300
    refused(path, r"asks for an array of shape \(1099511627776,\) .* but holds 0 bytes")


def test_a_deflate_bomb_stops_at_the_limit(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, w=np.zeros(1 << 21))
    assert path.stat().st_size < 20_000
    refused(path, "16777344 bytes, over the limit of 1000000", max_bytes=1_000_000)
    assert not read_tensors(path)[0]["w"].any()
    many = archive(
        tmp_path / "many.npz",
        [(f"{i}.npy", npy((1 << 16,), data=bytes(1 << 19))) for i in range(4)],
        zipfile.ZIP_DEFLATED,
    )
    refused(many, "over the limit", max_bytes=1 << 20)  # each one alone would pass


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_lies_about_its_size(tmp_path, method):
    """The archive's records are forged to agree with the member's header: 2 GiB in a few bytes."""
    header = npy((1 << 28,))
    path = archive(tmp_path / "liar.npz", [("w.npy", header + bytes(32))], method)
    content = bytearray(path.read_bytes())
    for record, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(record) + offset, len(header) + (8 << 28))
    path.write_bytes(content)
    refused(path, r"declares \d+ bytes, more than its \d+ stored bytes can hold")


def pickled():
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickled(), "has dtype object|Object|dtype"),
        (npy((2,), "<c16", bytes(32)), "has dtype complex128; only booleans"),
        (npy((2,), "<U3", bytes(24)), "has dtype <U3"),
        (npy((2,), [("a", "<f4"), ("b", "<i4")], bytes(16)), "has dtype"),
        (npy((2,), ("<f4", (1 << 20,)), bytes(16)), "has dtype|descr"),
        (npy((2,), "|V3", bytes(6)), r"has dtype \|V3"),
        (npy((2,), "<f16", bytes(32)), "has dtype"),
        (npy((-2, -2), data=bytes(32)), r"shape \(-2, -2\)"),
        (npy((1 << 62, 4, 0)), "cannot be read"),
        (npy((1,) * 100, data=bytes(8)), "cannot be read"),
        (npy((3,), data=bytes(32)), "asks for an array of shape"),
        (npy((2,), data=bytes(16), version=(3, 0)), "version"),
        (npy("x"), "cannot be read"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "cannot be read"),
        (b"not an array", "cannot be read"),
        (npy((2,), "(" * 3000), "cannot be read"),
        (b"\x93NUMPY\x01\x00\x08\x00{'descr\n", "cannot be read"),
        (b"\x93NUMPY\x01\x00\x09\x00{'descr':", "cannot be read"),
        (b"\x93NUMPY\x01\x00\x08\x00  x\n y\n\n", "cannot be read"),
    ],
)
def test_members_that_are_no_plain_arrays(tmp_path, content, message):
    refused(archive(tmp_path / "net.npz", [("w.npy", content)]), message)


def test_archives_that_numpy_would_not_write(tmp_path):
    good = npy((2,), data=bytes(16))
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive(tmp_path / "twice.npz", [("w.npy", good), ("w.npy", good)])
    refused(twice, r"it holds 'w\.npy' twice")
    other = archive(tmp_path / "other.npz", [("w.npy", good), ("run.py", b"print()")])
    refused(other, r"'run\.py' is not a \.npy array")
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        refused(archive(tmp_path / "m.npz", [("w.npy", good)], method), "compressed by method")
    locked = archive(tmp_path / "locked.npz", [("w.npy", good)])
    content = bytearray(locked.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    locked.write_bytes(content)
    refused(locked, "is encrypted")


@pytest.mark.parametrize("offset", [0x7FFFFFFF, 0xFFFFFFF0])
def test_a_member_outside_the_file(tmp_path, offset):
    path = archive(tmp_path / "net.npz", [("w.npy", npy((2,), data=bytes(16)))])
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 42, offset)
    path.write_bytes(content)
    refused(path, "begins outside the file")


def test_a_wrong_checksum_is_found(tmp_path):
    path = tmp_path / "net.npz"
    write_tensors(path, {"w": np.full(9, 1.5)})
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<d", 1.5)) + 3] ^= 4
    path.write_bytes(content)
    refused(path, "CRC")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": "1", "a": "2"}', "'a' occurs twice"),
        (b'{"a": 1}', "a JSON object of strings"),
        (b'["a"]', "a JSON object of strings"),
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_hostile_metadata_in_npz(tmp_path, text, message):
    np.savez(tmp_path / "net.npz", __metadata__=np.frombuffer(text, np.uint8))
    refused(tmp_path / "net.npz", message)


def test_metadata_of_another_dtype_in_npz(tmp_path):
    np.savez(tmp_path / "net.npz", __metadata__=np.zeros(3))
    refused(tmp_path / "net.npz", "bytes of a JSON object")


# safetensors ---------------------------------------------------------------------------------

F8 = {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b'{"w":' + json.dumps(F8).encode() + b',"w":' + json.dumps(F8).encode() + b"}", "twice"),
        (b'{"w":{"dtype":"F64","shape":[2],"shape":[2],"data_offsets":[0,16]}}', "twice"),
        ({"w": F8, "v": F8}, "cannot be read"),  # overlapping
        ({"w": F8 | {"data_offsets": [0, 8]}}, "cannot be read"),
        ({"w": F8 | {"data_offsets": [16, 0]}}, "cannot be read"),
        ({"w": F8 | {"data_offsets": [-16, 0]}}, "cannot be read"),
        ({"w": F8 | {"shape": [1], "data_offsets": [8, 16]}}, "cannot be read"),  # a hole
        ({"w": F8 | {"shape": [1 << 40], "data_offsets": [0, 8 << 40]}}, "cannot be read"),
        ({"w": F8 | {"shape": [1 << 62, 4, 2]}}, "cannot be read"),  # overflows
        ({"w": F8 | {"shape": [-2]}}, "cannot be read"),
        ({"w": F8 | {"shape": "2"}}, "cannot be read"),
        ({"w": F8 | {"dtype": "F8_E4M3"}}, "'w' has dtype F8_E4M3, which NumPy cannot hold"),
        ({"w": F8 | {"dtype": "C64"}}, "'w' has dtype C64"),
        ({"w": F8 | {"dtype": ["F64"]}}, "'w' has dtype"),
        ({"w": [1, 2]}, "'w' has dtype None"),
        ({"w": F8, "__metadata__": {"a": 1}}, "cannot be read"),
        ({"w": F8, "__metadata__": "text"}, "cannot be read"),
        ([1, 2], "not a JSON object"),
        (b"[" * 50_000, "nested too deeply"),
        (b"{" + b" " * 100, "cannot be read"),
        (b'{"\xff": 1}', "cannot be read"),
        ({"w": F8 | {"shape": [10**640]}}, "its JSON text has an integer of 641 digits; at most"),
    ],
)
def test_hostile_headers_of_safetensors(tmp_path, header, message):
    refused(tensors_file(tmp_path / "net.safetensors", header, bytes(16)), message)


@pytest.mark.parametrize("length", [17, 10**8, 10**8 + 1, 1 << 40, (1 << 64) - 1])
def test_an_oversized_header_is_never_read(tmp_path, length):
    path = tensors_file(tmp_path / "net.safetensors", b"{}", bytes(14), length=length)
    refused(path, "header declares .* where at most 16 can be")


def test_bytes_after_the_last_tensor_are_refused(tmp_path):
    refused(tensors_file(tmp_path / "net.safetensors", {"w": F8}, bytes(17)), "cannot be read")
