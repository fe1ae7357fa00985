"""NumPy's ``.npz``: a zip archive with one ``.npy`` member per array.

Written without compression and with a fixed date, so that equal contents give equal bytes. Metadata
is one more array, ``__metadata__``: the bytes of a JSON object. NumPy has no name for bfloat16 and
stores it as ``|V2``; a ``|V2`` array is therefore read as bfloat16.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from sparsecode._strict import strict_json

METADATA = "__metadata__"

_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip archive can hold
_CHUNK = 1 << 20
_DEFLATE_RATIO = 1032  # the most that deflate can expand a byte to
_LONGEST_NAME = 65_535
_METHODS = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _DEFLATE_RATIO}

# Sizes of the records of a zip archive (PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3). Each local
# header has the 64-bit field; the central directory only where a number needs it.
_LOCAL, _LOCAL_64, _CENTRAL, _END, _END_64 = 30, 20, 46, 22, 56 + 20
_LIMIT_64, _COUNT_64 = (1 << 31) - 1, (1 << 16) - 1


class _Header(NamedTuple):
    """What a member's ``.npy`` header says, and where its data begins."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    offset: int


@contextmanager
def opened(path: Path, max_bytes: int) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Loaders by name, in the order of the archive, and the metadata; every header is checked."""
    with zipfile.ZipFile(path) as archive:
        members = _members(archive, path.stat().st_size, max_bytes)
        headers = {name: _header(archive, info) for name, info in members.items()}
        loaders = {
            name: partial(_load, archive, info, headers[name]) for name, info in members.items()
        }
        stored = loaders.pop(METADATA, None)
        yield loaders, {} if stored is None else _metadata(stored())


def write(file: BinaryIO, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write C-contiguous little-endian arrays, the metadata first."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {**_metadata_member(metadata), **tensors}.items():
            info = zipfile.ZipInfo(date_time=_DATE)
            info.filename = _file_name(name)  # set here: the constructor cuts and changes names
            info.create_system = 3
            with archive.open(info, "w", force_zip64=True) as member:
                member.write(_npy_header(array.dtype, array.shape))
                member.write(array.reshape(-1).view(np.uint8).data)


def size(specs: Mapping[str, tuple[np.dtype, tuple[int, ...]]], metadata: Mapping[str, str]) -> int:
    """The exact size in bytes of what `write` writes, from dtypes and shapes alone."""
    extra = {name: (a.dtype, a.shape) for name, a in _metadata_member(metadata).items()}
    local = central = 0
    for name, (dtype, shape) in {**extra, **specs}.items():
        n_name = len(_file_name(name).encode())
        n_data = len(_npy_header(dtype, shape)) + math.prod(shape) * dtype.itemsize
        wide = 2 * (n_data > _LIMIT_64) + (local > _LIMIT_64)
        central += _CENTRAL + n_name + (4 + 8 * wide if wide else 0)
        local += _LOCAL + n_name + _LOCAL_64 + n_data
    n_members = len(extra) + len(specs)
    wide_end = n_members > _COUNT_64 or local > _LIMIT_64 or central > _LIMIT_64
    return local + central + _END + (_END_64 if wide_end else 0)


def _file_name(name: str) -> str:
    if "\0" in name:
        raise ValueError(f"the name {name!r} holds a NUL character, which .npz cannot store")
    if len(name.encode()) + len(".npy") > _LONGEST_NAME:
        raise ValueError(f"a name of {len(name)} characters is too long for .npz: {name[:40]!r}...")
    return name + ".npy"


def _npy_header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    descr = "|V2" if dtype.name == "bfloat16" else dtype.newbyteorder("<").str
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": descr, "fortran_order": False, "shape": tuple(shape)}
    )
    return header.getvalue()


def _metadata_member(metadata: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not metadata:
        return {}
    text = json.dumps(dict(metadata), ensure_ascii=False)
    return {METADATA: np.frombuffer(text.encode(), np.uint8)}


def _metadata(stored: np.ndarray) -> dict[str, str]:
    if stored.dtype != np.uint8 or stored.ndim != 1:
        raise ValueError(f"{METADATA} has to hold the bytes of a JSON object")
    metadata = strict_json(stored.tobytes())
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{METADATA} has to be a JSON object of strings")
    return metadata


def _members(
    archive: zipfile.ZipFile, archive_bytes: int, max_bytes: int
) -> dict[str, zipfile.ZipInfo]:
    """The archive's members by array name: only what `np.savez` could have written."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.orig_filename
        if not name.endswith(".npy"):
            raise ValueError(f"its member {name!r} is not a .npy array")
        if not 0 <= info.header_offset < archive_bytes:
            raise ValueError(f"its member {name!r} begins outside the file")
        if info.flag_bits & 0x1:
            raise ValueError(f"its member {name!r} is encrypted")
        if info.compress_type not in _METHODS:
            raise ValueError(
                f"its member {name!r} is compressed by method {info.compress_type}; "
                "only stored and deflated members are read"
            )
        if info.file_size > _METHODS[info.compress_type] * info.compress_size:
            raise ValueError(
                f"its member {name!r} declares {info.file_size} bytes, "
                f"more than its {info.compress_size} stored bytes can hold"
            )
        if name.removesuffix(".npy") in members:
            raise ValueError(f"it holds {name!r} twice")
        members[name.removesuffix(".npy")] = info
    declared = sum(info.file_size for info in members.values())
    if declared > max_bytes:
        raise ValueError(
            f"its arrays take {declared} bytes, over the limit of {max_bytes}; raise max_bytes"
        )
    return members


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Header:
    """The member's header, once its shape and dtype account for every byte it declares."""
    name = info.orig_filename
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(member)
        elif version == (2, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(member)
        else:
            raise ValueError(f"its member {name!r} has the .npy version {version}")
        offset = member.tell()
    header = _Header(shape, fortran_order, _readable(dtype, name), offset)
    if any(side < 0 for side in shape):
        raise ValueError(f"its member {name!r} has the shape {shape}")
    if math.prod(shape) * dtype.itemsize != info.file_size - offset:
        raise ValueError(
            f"its member {name!r} asks for an array of shape {shape} and dtype {dtype} "
            f"but holds {info.file_size - offset} bytes"
        )
    return header


def _readable(dtype: np.dtype, name: str) -> np.dtype:
    if dtype == np.dtype("V2"):
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    if dtype.kind in "biuf" and dtype.itemsize <= 8:
        return dtype
    raise ValueError(
        f"its member {name!r} has dtype {str(dtype)[:80]}; "
        "only booleans, integers, and floats of 2 to 8 bytes are read"
    )


def _load(archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: _Header) -> np.ndarray:
    """The member's array, native byte order, writable; reading to the end checks the CRC."""
    shape, fortran_order, dtype, offset = header
    array = np.empty(shape[::-1] if fortran_order else shape, dtype)
    target = array.reshape(-1).view(np.uint8)
    with archive.open(info) as member:
        member.read(offset)
        for start in range(0, target.size, _CHUNK):
            stop = min(start + _CHUNK, target.size)
            chunk = member.read(stop - start)
            if len(chunk) != stop - start:
                raise ValueError(f"its member {info.orig_filename!r} ends early")
            target[start:stop] = np.frombuffer(chunk, np.uint8)
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array.T if fortran_order else array
