"""``.safetensors``: eight bytes of header length, a JSON header, the arrays' little-endian bytes.

Files are read by the safetensors library, once the header has been checked for what the library
lets through: repeated names. They are written here, in a dozen lines, because the library (0.8.0)
orders metadata at random, so that equal contents give different bytes, sorts the tensors, and
scrambles arrays that are not C-contiguous. The header lists names in the order given; the data lies
by falling item size, which keeps every array aligned.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sparsecode._strict import JSON_LIMIT, strict_json

METADATA = "__metadata__"

DTYPES = {
    "bool": "BOOL",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}


@contextmanager
def opened(path: Path, max_bytes: int) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Loaders by name, in the order of the header, and the metadata; every header is checked."""
    import ml_dtypes  # noqa: F401  (registers bfloat16 with NumPy, where the library looks for it)
    from safetensors import SafetensorError, safe_open

    header = _read_header(path, max_bytes)
    metadata = header.pop(METADATA, {})
    for name, entry in header.items():
        _check_dtype(name, entry)
    try:
        with safe_open(path, framework="numpy") as file:
            yield {name: partial(file.get_tensor, name) for name in header}, metadata
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def write(file: BinaryIO, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write C-contiguous little-endian arrays."""
    specs = {name: (array.dtype, array.shape) for name, array in tensors.items()}
    file.write(_header(specs, metadata))
    for name in _by_item_size(specs):
        file.write(tensors[name].reshape(-1).view(np.uint8).data)


def size(specs: Mapping[str, tuple[np.dtype, tuple[int, ...]]], metadata: Mapping[str, str]) -> int:
    """The exact size in bytes of what `write` writes, from dtypes and shapes alone."""
    return len(_header(specs, metadata)) + sum(_n_bytes(*spec) for spec in specs.values())


def _header(
    specs: Mapping[str, tuple[np.dtype, tuple[int, ...]]], metadata: Mapping[str, str]
) -> bytes:
    """The length and the JSON text, padded so that the data begins at a multiple of 8."""
    begin, offsets = 0, {}
    for name in _by_item_size(specs):
        end = begin + _n_bytes(*specs[name])
        offsets[name] = [begin, end]
        begin = end
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    for name, (dtype, shape) in specs.items():
        header[name] = {
            "dtype": DTYPES[dtype.name],
            "shape": list(shape),
            "data_offsets": offsets[name],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > JSON_LIMIT:
        raise ValueError(
            f"the names and metadata take {len(text)} bytes; .safetensors allows {JSON_LIMIT}"
        )
    return struct.pack("<Q", len(text)) + text


def _by_item_size(specs: Mapping[str, tuple[np.dtype, tuple[int, ...]]]) -> list[str]:
    return sorted(specs, key=lambda name: -specs[name][0].itemsize)


def _n_bytes(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * dtype.itemsize


def _read_header(path: Path, max_bytes: int) -> dict[str, Any]:
    with open(path, "rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise ValueError(f"it has {len(prefix)} bytes, too few for a header")
        (length,) = struct.unpack("<Q", prefix)
        limit = min(JSON_LIMIT, max_bytes, path.stat().st_size - 8)
        if length > limit:
            raise ValueError(f"its header declares {length} bytes where at most {limit} can be")
        header = strict_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    return header


def _check_dtype(name: str, entry: Any) -> None:
    code = entry.get("dtype") if isinstance(entry, dict) else None
    if code not in DTYPES.values():
        raise ValueError(
            f"its tensor {name[:80]!r} has dtype {str(code)[:20]}, which NumPy cannot hold; "
            f"{', '.join(DTYPES.values())} are read"
        )
