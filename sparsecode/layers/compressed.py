"""A network whose layers are factorizations, and the file it is kept in."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sparsecode import __version__
from sparsecode._files import refuse_same_file, strict_json
from sparsecode._validation import check_int, check_option
from sparsecode.layers.allocation import Allocation
from sparsecode.layers.arrays import check_ties
from sparsecode.layers.factored import check_factored
from sparsecode.layers.factorizations import Bits, Factorization, unpack
from sparsecode.layers.formats import (
    DEFAULT_MAX_BYTES,
    MODEL,
    file_size,
    read_tensors,
    write_tensors,
)
from sparsecode.layers.formats.onnx import LIMIT as ONNX_LIMIT
from sparsecode.layers.layout import ORIENTATIONS, Layout, from_record, to_record
from sparsecode.layers.network import Network
from sparsecode.layers.report import CompressionReport, LayerRow

__all__ = ["CompressedNetwork", "read_compressed"]

METADATA_KEY = "sparsecode.compressed"
FORMAT_VERSION = 1
GRAPH = "graph"  # and a separator: the name of the array that holds an ONNX model without tensors


@dataclass(frozen=True)
class CompressedNetwork:
    """A network whose layers are factorizations.

    Attributes
    ----------
    factorizations : dict of str to Factorization
        By the name of the layer's tensor.
    network : Network
        Everything else: order, dtypes, layout, metadata and graph of the original; the tensors of
        compressed layers are not in it, nor are tied names.
    order : tuple of str
        All names in the order of the original.
    original_bits : int
        What the tensors of the original took.
    report : CompressionReport
        What was done to each layer, what it cost and what was lost.
    suffix : str
        The format that `bits` is about: ``.safetensors`` unless another was asked for.
    recipe : Recipe or None
        What reproduces this network, layer by layer, from the same weights and moments, without a
        search: ``compress(network, 1.0, rules=recipe.rules)``. None for one that was read.
    tied : dict of str to str
        For each name whose tensor is that of another, the other; it is stored once.
    stacked : dict of str to dict of str to int
        For each name in `factorizations` that stands for several layers, one upon another, those
        layers and their numbers of outputs.
    bits : int
        The size of that file in bits, names and shapes included.
    ratio : float
        `bits` over `original_bits`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> small = layers.compress({"w": np.eye(64)}, budget=0.5, methods="sparse")
    >>> small.factorizations["w"].kind, small.to_dense()["w"].shape
    ('sparse', (64, 64))
    """

    factorizations: dict[str, Factorization]
    network: Network
    order: tuple[str, ...]
    original_bits: int
    report: CompressionReport = field(default_factory=CompressionReport)
    suffix: str = ".safetensors"
    recipe: Any = None
    tied: dict[str, str] = field(default_factory=dict)
    stacked: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def bits(self) -> int:
        """The size of the file in bits."""
        return self.predicted_bytes() * 8

    @property
    def ratio(self) -> float:
        """`bits` over the bits of the original tensors."""
        return self.bits / self.original_bits

    @property
    def itemized_bits(self) -> Bits:
        """`bits`, item by item; tensors that were left alone count as values."""
        packed = sum((f.bits() for f in self.factorizations.values()), Bits())
        packed = packed + Bits(values=8 * self.network.n_bytes)
        return packed + Bits(container=self.bits - packed.total)

    def predicted_bytes(self, suffix: str | None = None) -> int:
        """The exact size of the file that `write` would write, in this format or another."""
        arrays, metadata = self._packed()
        return file_size(suffix or self.suffix, arrays, metadata)

    def to_dense(self) -> Network:
        """The network under its original names, shapes and dtypes, as stock tools load it."""
        layout = self.network.layout
        weights = dict(self._weights())
        tensors: dict[str, np.ndarray] = {}
        for name in self.order:
            owner = self.tied.get(name, name)
            if owner in tensors:
                tensors[name] = tensors[owner]
            elif owner in weights:
                weight = weights.pop(owner)()
                tensors[name] = np.ascontiguousarray(layout.of_layer(owner).tensor(weight))
            else:
                tensors[name] = self.network[owner]
        return self.network.carrying(tensors)

    def _weights(self) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
        """Every compressed layer, and what makes its matrix."""
        for name, form in self.factorizations.items():
            if name not in self.stacked:
                yield name, form.to_dense
                continue
            first, whole = 0, lru_cache(maxsize=1)(form.to_dense)
            for member, n_outputs in self.stacked[name].items():
                rows = slice(first, first + n_outputs)
                yield member, lambda whole=whole, rows=rows: whole()[rows]  # type: ignore[misc]
                first += n_outputs

    @property
    def alone(self) -> dict[str, Factorization]:
        """The forms of single layers."""
        return {n: form for n, form in self.factorizations.items() if n not in self.stacked}

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``.safetensors`` or ``.npz``, whole or not at all; `read_compressed` reads it.

        Raises
        ------
        ValueError
            If `path` is the file the original was read from.
        OSError
            If the file cannot be written.
        """
        if self.network.source is not None:
            refuse_same_file(self.network.source, path)
        write_tensors(path, *self._packed())

    def write_onnx(self, path: str | os.PathLike[str], *, factored: bool | str = False) -> None:
        """Write the ONNX model that the network was read from, with the layers as they are now.

        Needs the extra: ``pip install sparsecode[onnx]``.

        Parameters
        ----------
        path : path-like
            The ``.onnx`` file.
        factored : bool or "all", default=False
            Compute a layer by several nodes, through its factors, where that is less work and every
            use of the layer lets it: two for low rank, three for Tucker, and so on. The file and
            the arithmetic are then as small as the factors. What stock runtimes have nothing for,
            sparse matrices and codes, is dense, and so are all other layers, and all of them by
            default. "all" takes no notice of the work: low rank and sparse are two paths then.

        Raises
        ------
        ValueError
            If the network is not of an ONNX model, `path` is the file it was read from or no
            ``.onnx`` file, or the model is larger than one can be.
        OSError
            If the file cannot be written.
        """
        if Path(path).suffix.lower() != MODEL:
            raise ValueError(f"{path} has to end in .onnx")
        dense = self.to_dense()
        if not check_factored(factored) or self.network.graph is None:
            return dense.write(path)
        from sparsecode.layers.formats.onnx import save
        from sparsecode.layers.onnx_export import factored_model

        if self.network.source is not None:
            refuse_same_file(self.network.source, path)
        model = factored_model(
            self.network.graph,
            dense,
            self.alone,
            self.network.metadata,
            everywhere=factored == "all",
        )
        return save(path, *model)

    def _packed(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        arrays: dict[str, np.ndarray] = {}
        described: dict[str, Any] = {}
        separator = _separator(self.order)
        members = {name for members in self.stacked.values() for name in members}
        for name in self.order:
            if name in self.factorizations:
                parts, described[name] = self.factorizations[name].pack()
                arrays.update({f"{name}{separator}{key}": part for key, part in parts.items()})
            elif name not in self.tied and name not in members:
                arrays[name] = self.network[name]
        description = {
            "format": FORMAT_VERSION,
            "sparsecode": __version__,
            "orientation": self.network.orientation,
            "original_bits": self.original_bits,
            "order": list(self.order),
            "layers": described,
            **self._records(),
        }
        if self.network.graph is not None:
            arrays[GRAPH + separator] = np.frombuffer(_deflated(self.network.graph), np.uint8)
        text = json.dumps(description, separators=(",", ":"), ensure_ascii=False)
        return arrays, {**self.network.metadata, METADATA_KEY: text}

    def _records(self) -> dict[str, Any]:
        """How layers are stored, and which tensors are tied, where nothing else tells."""
        declared = self.network.layout.declared
        stored = {} if declared is None else {"stored": to_record(declared)}
        stacked = {"stacked": self.stacked} if self.stacked else {}
        return {**stored, **({"tied": self.tied} if self.tied else {}), **stacked}


def _separator(names: Iterable[str]) -> str:
    """What stands between a layer's name and that of a packed array: colons that no name has."""
    separator = "::"
    while any(separator in name for name in names):
        separator += ":"
    return separator


def summary_of(form: Factorization, n_layers: int) -> str:
    """What a report says of a layer, or of a stack of some."""
    return form.summary if n_layers == 1 else f"{form.summary}, with {n_layers - 1} more"


def stored_bits(name: str, form: Factorization) -> int:
    """What one layer takes in a file: its arrays, and what the header says of them."""
    arrays, meta = form.pack()
    named = {f"{name}::{key}": part for key, part in arrays.items()}
    return 8 * file_size(".safetensors", named, {name: json.dumps(meta)})


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
    graph = arrays.pop(GRAPH + _separator(order), None)
    stacked = description.get("stacked", {})
    packed = set(metas).union(*stacked.values())
    parts, rest = _sorted_out(arrays, owners - packed, set(metas), _separator(order))
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


@lru_cache(maxsize=4)  # a search asks for the size of many files with one graph
def _deflated(graph: bytes) -> bytes:
    return zlib.compress(graph, 9)


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


def with_report(
    compressed: CompressedNetwork,
    rows: tuple[LayerRow, ...],
    budget: float | None = None,
    allocation: Allocation | None = None,
    failures: Mapping[str, str] | None = None,
) -> CompressedNetwork:
    """The same network with a report of these rows."""
    report = CompressionReport(
        rows,
        compressed.itemized_bits,
        compressed.original_bits,
        budget,
        allocation,
        dict(failures or {}),
    )
    return replace(compressed, report=report)
