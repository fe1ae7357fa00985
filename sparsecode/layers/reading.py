"""Networks read from files, by the suffix of the file."""

from __future__ import annotations

import os
from pathlib import Path

from sparsecode._files import check_path
from sparsecode._validation import check_unused
from sparsecode.layers.formats import DEFAULT_MAX_BYTES, MODEL, blamed_on, read_tensors
from sparsecode.layers.network import Network


def read(
    path: str | os.PathLike[str],
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    orientation: str | None = None,
) -> Network:
    """Read a network from ``.npz``, ``.safetensors`` or ``.onnx``; nothing in it is executed.

    The layers of an ONNX model are the constant matrices and kernels of its Gemm, MatMul and Conv
    nodes, and the network carries the rest of the model along, so that `Network.write` makes a
    model of it again. Needs the extra: ``pip install sparsecode[onnx]``.

    Parameters
    ----------
    path : path-like
        The file; its suffix tells the format.
    max_bytes : int, default=16 GiB
        Limit in bytes on the file and on what its arrays expand to.
    orientation : {"out_in", "in_out"} or None
        As for `Network`.

    Returns
    -------
    Network
        With `source` set to the path.

    Raises
    ------
    ValueError, OSError
        As for `sparsecode.layers.formats.read_tensors`.
    ImportError
        For a model, if onnx is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sparsecode.layers.network import Network
    >>> from sparsecode.layers.reading import read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Network({"w": np.eye(3)}).write(f"{folder}/net.npz")
    ...     read(f"{folder}/net.npz")
    Network(1 tensors, 1 layers, 72 bytes)
    """
    path = check_path(path)
    if path.suffix.lower() == MODEL:
        check_unused("an ONNX model, which says what its layers are,", orientation=orientation)
        return _read_onnx(path, max_bytes)
    tensors, metadata = read_tensors(path, max_bytes=max_bytes)
    try:
        return Network(tensors, metadata=metadata, source=path, orientation=orientation)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a network: {error}") from error


def _read_onnx(path: str | os.PathLike[str], max_bytes: int) -> Network:
    from sparsecode.layers.formats.onnx import parse, read_model
    from sparsecode.layers.onnx.graph import layout_of

    tensors, graph, metadata = read_model(path, max_bytes=max_bytes)
    with blamed_on(Path(path)):
        layout = layout_of(parse(graph, path).graph)
        return Network(tensors, metadata=metadata, source=path, layout=layout, graph=graph)
