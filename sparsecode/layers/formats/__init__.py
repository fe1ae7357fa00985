"""Files of named arrays, one module per format.

A format is a module with three functions, `opened`, `write` and `size` (see `Format`), and one line
in ``_FORMATS``. What all formats share is here: which arrays can be stored, the order of their
bytes, writing whole or not at all, reading back what was written, the words for a damaged file.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, Protocol

import numpy as np

from sparsecode._files import atomic_write, check_path
from sparsecode._validation import check_int, check_mapping
from sparsecode.layers.formats import npz, safetensors

__all__ = ["DEFAULT_MAX_BYTES", "file_size", "read_tensors", "same_bits", "write_tensors"]

DEFAULT_MAX_BYTES = 16 * 2**30

Spec = tuple[np.dtype, tuple[int, ...]]


class Format(Protocol):
    """What the module of a format offers; ValueErrors say what is wrong, the file is named here."""

    def opened(
        self, path: Path, max_bytes: int
    ) -> AbstractContextManager[tuple[dict[str, Callable[[], np.ndarray]], dict[str, str]]]:
        """Check all headers; give a loader for each array, in order, and the metadata."""

    def write(
        self, file: BinaryIO, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
    ) -> None:
        """Write C-contiguous little-endian arrays of the dtypes below."""

    def size(self, specs: Mapping[str, Spec], metadata: Mapping[str, str]) -> int:
        """Return the bytes that `write` writes, from (dtype, shape) alone."""


_FORMATS: dict[str, Format] = {
    ".npz": npz,
    ".safetensors": safetensors,
}

MODEL = ".onnx"
_PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib")

_DTYPES = frozenset(safetensors.DTYPES)
_RESERVED = {npz.METADATA, safetensors.METADATA}

# What zipfile, zlib, struct, NumPy and the parsers raise on bytes that make no sense.
_DAMAGE = (
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    OverflowError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    SyntaxError,
    TokenError,  # of NumPy, which mends headers of Python 2
)


def read_tensors(
    path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read all arrays of a ``.npz`` or ``.safetensors`` file, and its metadata.

    Nothing is executed, and nothing is allocated before the headers have been checked against the
    file and against `max_bytes`. Names are never used as file names, so any name is legal.

    Parameters
    ----------
    path : path-like
        The file; its suffix tells the format.
    max_bytes : int, default=16 GiB
        Limit in bytes on the file and on what its arrays expand to.

    Returns
    -------
    tensors : dict of str to ndarray
        In the order of the file: of the archive for ``.npz``, of the header for ``.safetensors``.
        Arrays are in the machine's byte order; ``|V2`` in a ``.npz`` file is read as bfloat16.
    metadata : dict of str to str
        Empty when the file has none.

    Raises
    ------
    ValueError
        The suffix is unknown, or the file is damaged, hostile, over the limit, or holds what a
        network does not: objects, strings, complex numbers, structured or float8 arrays.
    OSError
        The file does not exist, is a folder or a device, or may not be read.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sparsecode.layers.formats import read_tensors, write_tensors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/net.safetensors"
    ...     write_tensors(path, {"fc.weight": np.eye(2, dtype=np.float32)}, {"made by": "hand"})
    ...     read_tensors(path)
    ({'fc.weight': array([[1., 0.],
       [0., 1.]], dtype=float32)}, {'made by': 'hand'})
    """
    path, max_bytes = check_path(path), check_int(max_bytes, "max_bytes", low=0)
    chosen = _format(path)
    n_bytes = file_bytes(path)
    if n_bytes > max_bytes:
        raise ValueError(f"{path} has {n_bytes} bytes, over the limit {max_bytes}; raise max_bytes")
    with blamed_on(path), chosen.opened(path, max_bytes) as (loaders, metadata):
        return {name: load() for name, load in loaders.items()}, metadata


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays to a ``.npz`` or ``.safetensors`` file, whole or not at all.

    The file is written beside `path`, read back, compared byte for byte, and only then renamed. The
    same names, arrays and metadata in the same order give the same bytes.

    Parameters
    ----------
    path : path-like
        The file; its suffix tells the format.
    tensors : mapping of str to array-like
        Booleans, integers, float16, bfloat16, float32 or float64, of any shape, memory order and
        byte order. They are stored in C order, little-endian.
    metadata : mapping of str to str or None
        Kept beside the arrays.

    Raises
    ------
    ValueError
        The suffix is unknown, or a name, an array or the metadata cannot be stored.
    TypeError
        The metadata is not of strings.
    OSError
        The file cannot be written; see `sparsecode._files.atomic_write`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers.formats import write_tensors
    >>> write_tensors("net.npz", {"words": np.array(["a", "b"])})
    Traceback (most recent call last):
        ...
    ValueError: the tensor 'words' has dtype <U1, which cannot be stored; bfloat16, bool, ...
    """
    chosen = _format(check_path(path))
    check_mapping(tensors, "tensors", "names to arrays")
    arrays = {_name(name): _storable(name, tensor) for name, tensor in tensors.items()}
    texts = _texts(metadata)

    def verify(written: Path) -> None:
        with chosen.opened(written, np.iinfo(np.int64).max) as (loaders, found):
            same = list(loaders) == list(arrays) and found == texts
            if not same or not all(same_bits(load(), arrays[n]) for n, load in loaders.items()):
                raise OSError(f"{path} could not be written: what was read back is different")

    atomic_write(path, lambda file: chosen.write(file, arrays, texts), verify=verify)


def file_size(
    path_or_suffix: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> int:
    """Return the exact size in bytes of the file `write_tensors` would write, without writing it.

    Parameters
    ----------
    path_or_suffix : path-like
        A path, or just ``".npz"`` or ``".safetensors"``.
    tensors : mapping of str to array-like
        Only names, dtypes and shapes matter.
    metadata : mapping of str to str or None
        As for `write_tensors`.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    ValueError, TypeError
        As for `write_tensors`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers.formats import file_size
    >>> file_size(".safetensors", {"w": np.zeros((2, 3), np.float32)})
    96
    """
    try:
        chosen = _format(path_or_suffix)
    except TypeError as error:
        raise TypeError(f"path_or_suffix has to be a path, got {path_or_suffix!r}") from error
    check_mapping(tensors, "tensors", "names to arrays")
    specs = {}
    for name, tensor in tensors.items():
        array = np.asarray(tensor)
        _check_dtype(name, array.dtype)
        specs[_name(name)] = (array.dtype, array.shape)
    return chosen.size(specs, _texts(metadata))


def _format(path: str | os.PathLike[str]) -> Format:
    text = os.fsdecode(path)
    suffix = (text if text in (*_FORMATS, MODEL) else Path(text).suffix).lower()
    if suffix in _PICKLES:
        raise ValueError(
            f"{text!r} is a pickle by its suffix, and reading one can run any code; save the "
            "weights where they come from, as with "
            "safetensors.torch.save_file(model.state_dict(), 'model.safetensors'), and read that"
        )
    if suffix == MODEL:
        raise ValueError(
            f"{text!r} is a model, not a file of named arrays; layers.read reads it, Network.write "
            "and CompressedNetwork.write_onnx write it"
        )
    if suffix not in _FORMATS:
        raise ValueError(
            f"{text!r} has the suffix {suffix!r}, which is no known format; "
            f"use {' or '.join(_FORMATS)}"
        )
    return _FORMATS[suffix]


def file_bytes(path: Path) -> int:
    """The size of a regular file."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file")
    n_bytes = path.stat().st_size
    if not path.is_file():
        raise OSError(f"{path} is not a regular file")
    return n_bytes


@contextmanager
def blamed_on(path: Path) -> Iterator[None]:
    """Whatever a reader trips over becomes one line that names the file."""
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError):
            reason = f"there is not enough memory for its arrays ({reason})"
        raise ValueError(f"{path} cannot be read: {reason[:500]}") from error


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"the name of a tensor has to be a string, got {name!r}")
    if name in _RESERVED:
        raise ValueError(f"{name!r} is where metadata is kept; give the tensor another name")
    return _encodable(name, "the name")


def check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of a mapping of strings to strings; None is an empty one."""
    texts = {} if metadata is None else dict(check_mapping(metadata, "metadata", "str to str"))
    for key, value in texts.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise TypeError(f"metadata has to map strings to strings, got {key!r}: {value!r}")
    return texts


def _texts(metadata: Mapping[str, str] | None) -> dict[str, str]:
    texts = check_metadata(metadata)
    for key, value in texts.items():
        _encodable(key, "the metadata key")
        _encodable(value, "the metadata value")
    return texts


def _encodable(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} {text[:80]!r} cannot be encoded in UTF-8") from error
    return text


def _storable(name: str, tensor: Any) -> np.ndarray:
    """The array in C order and little-endian; the same object when it already is."""
    if np.ma.is_masked(tensor):
        raise ValueError(f"the tensor {name!r} has masked entries; fill them before writing")
    array = np.asarray(tensor)
    _check_dtype(name, array.dtype)
    # Not np.ascontiguousarray: that turns a 0-d array into a 1-d one.
    return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)


def _check_dtype(name: str, dtype: np.dtype) -> None:
    if dtype.name not in _DTYPES:
        hint = "; view a |V2 array as ml_dtypes.bfloat16" if dtype == np.dtype("V2") else ""
        raise ValueError(
            f"the tensor {name!r} has dtype {dtype}, which cannot be stored; "
            f"{', '.join(sorted(_DTYPES))} can{hint}"
        )


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have the same dtype, shape and bits, whatever their memory order.

    Parameters
    ----------
    a, b : ndarray
        Any two arrays.

    Returns
    -------
    bool
        True for equal dtypes, shapes and bits; a NaN equals itself.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers.formats import same_bits
    >>> same_bits(np.array([0.0]), np.array([-0.0]))
    False
    """
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return a.reshape(-1).view(np.uint8).data == b.reshape(-1).view(np.uint8).data
