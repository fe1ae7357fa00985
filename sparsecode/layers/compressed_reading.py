"""The file of a compressed network, read with nothing in it executed or believed."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsecode._strict import strict_json
from sparsecode._validation import check_int, check_option
from sparsecode.layers.compressed import (
    FORMAT_VERSION,
    GRAPH,
    METADATA_KEY,
    CompressedNetwork,
    separator_of,
    summary_of,
    with_report,
)
from sparsecode.layers.factorizations import Factorization, unpack
from sparsecode.layers.formats import DEFAULT_MAX_BYTES, read_tensors
from sparsecode.layers.formats.onnx import LIMIT as ONNX_LIMIT
from sparsecode.layers.layout import ORIENTATIONS, Layout
from sparsecode.layers.network import Network
from sparsecode.layers.records import check_ties, from_record
from sparsecode.layers.report import LayerRow

__all__ = ["read_compressed"]


def read_compressed(
    path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES
) -> CompressedNetwork:
    """Read what `CompressedNetwork.write` wrote; nothing in the file is executed.

    The report of a network that is read states bits; errors are not in the file.

    Parameters
    ----------
    path : path-like
        A ``.safetensors`` or ``.npz`` file.
    max_bytes : int, default=16 GiB
        Limit in bytes on the file and on what its arrays expand to.

    Returns
    -------
    CompressedNetwork
        Equal, factorization by factorization, to the one that was written.

    Raises
    ------
    ValueError
        If the file is damaged, or no compressed network.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> small = layers.compress({"w": np.eye(64)}, budget=0.5, methods="sparse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small.write(f"{folder}/small.safetensors")
    ...     again = layers.read_compressed(f"{folder}/small.safetensors")
    >>> again.factorizations == small.factorizations
    True
    """
    arrays, metadata = read_tensors(path, max_bytes=max_bytes)
    if METADATA_KEY not in metadata:
        raise ValueError(f"{path} holds no compressed network; read it with layers.read")
    try:
        return _unpacked(arrays, metadata, path, max_bytes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is damaged: {reason}") from error


def _unpacked(
    arrays: dict[str, np.ndarray],
    metadata: dict[str, str],
    path: str | os.PathLike[str],
    max_bytes: int,
) -> CompressedNetwork:
    description = strict_json(metadata.pop(METADATA_KEY).encode())
    if description["format"] != FORMAT_VERSION:
        raise ValueError(
            f"its format is {description['format']!r}; this version reads {FORMAT_VERSION}"
        )
    order, metas = description["order"], description["layers"]
    tied = check_ties(description.get("tied", {}))
    names = set(order)
    owners = names - tied.keys()
    if not isinstance(order, list) or len(names) < len(order) or not set(metas) <= owners:
        raise ValueError("its list of names repeats one or lacks a layer")
    if not tied.keys() <= names or not set(tied.values()) <= owners:
        raise ValueError("its record of tied tensors has names that it does not have")
    graph = arrays.pop(GRAPH + separator_of(order), None)
    stacked = description.get("stacked", {})
    packed = set(metas).union(*stacked.values())
    parts, rest = _sorted_out(arrays, owners - packed, set(metas), separator_of(order))
    forms = {n: unpack(parts[n], metas[n], max_bytes=max_bytes) for n in order if n in metas}
    _check_stacked(stacked, forms, owners)
    of_members = {m: forms[name] for name, members in stacked.items() for m in members}
    layout = _layout(description, forms | of_members)
    kept = Network(
        {name: rest[name] for name in order if name in owners and name not in packed},
        metadata=metadata,
        source=path,
        layout=layout,
        graph=None if graph is None else _inflated(graph, max_bytes),
    )
    original_bits = check_int(description["original_bits"], "original_bits")
    compressed = CompressedNetwork(
        forms,
        kept,
        tuple(order),
        original_bits,
        suffix=Path(path).suffix,
        tied=tied,
        stacked=stacked,
    )
    rows = [
        LayerRow(
            name=name,
            form=form.kind,
            summary=summary_of(form, len(stacked.get(name, (name,)))),
            shape=form.shape,
            bits=form.bits(),
        )
        for name, form in forms.items()
    ]
    return with_report(compressed, tuple(rows))


def _sorted_out(
    arrays: dict[str, np.ndarray], kept: set[str], packed: set[str], separator: str
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """The packed arrays by layer, and the tensors that were left alone."""
    parts: dict[str, dict[str, np.ndarray]] = {name: {} for name in packed}
    rest = {}
    for key, array in arrays.items():
        name, found, part = key.rpartition(separator)
        if found and name in parts:
            parts[name][part] = array
        elif key in kept:
            rest[key] = array
        else:
            raise ValueError(f"its tensor {key!r} belongs to nothing in it")
    return parts, rest


def _check_stacked(
    stacked: dict[str, dict[str, int]], forms: Mapping[str, Factorization], owners: set[str]
) -> None:
    """Each stack is the rows of its form, and no layer is in two of them."""
    for name, members in stacked.items():
        sizes = [check_int(size, "the outputs of a stacked layer") for size in members.values()]
        if next(iter(members), None) != name or sum(sizes) != forms[name].shape[0]:
            raise ValueError(f"its record of the layers stacked in {name!r} does not fit")
    seen = [member for members in stacked.values() for member in members]
    single = forms.keys() - stacked.keys()
    if len(set(seen)) < len(seen) or not set(seen) <= owners - single:
        raise ValueError("its record of stacked layers has names that it does not have")


def _layout(description: dict[str, Any], forms: Mapping[str, Factorization]) -> Layout:
    """How layers are stored: every compressed one has to have a place."""
    orientation = check_option(str(description["orientation"]), "orientation", ORIENTATIONS)
    if "stored" not in description:
        return Layout(orientation)
    declared = from_record(description["stored"])
    for name, form in forms.items():
        sides = math.prod(declared[name].kernel)
        if form.shape[1] % sides:
            raise ValueError(f"its layer {name!r} of shape {form.shape} is no {declared[name]} one")
    return Layout(orientation, declared)


def _inflated(graph: np.ndarray, max_bytes: int) -> bytes:
    if graph.dtype != np.uint8 or graph.ndim != 1:
        raise ValueError("its graph has to be an array of bytes")
    max_bytes = min(max_bytes, ONNX_LIMIT)
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(graph.tobytes(), max(max_bytes, 1))
    except zlib.error as error:
        raise ValueError(f"its graph is not deflated bytes ({error})") from error
    if not reader.eof and reader.unconsumed_tail:
        raise ValueError(f"its graph is over the limit of {max_bytes} bytes; raise max_bytes")
    if not reader.eof or reader.unused_data:
        raise ValueError("its graph is cut off, or goes on after its end")
    return data
