"""A network whose layers are factorizations, and the file it is kept in."""

from __future__ import annotations

import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from sparsecode import __version__
from sparsecode._files import check_path, refuse_same_file
from sparsecode._validation import check_string
from sparsecode.layers.allocation import Allocation
from sparsecode.layers.factored import check_factored
from sparsecode.layers.factorizations import Bits, Factorization
from sparsecode.layers.formats import (
    MODEL,
    file_size,
    write_tensors,
)
from sparsecode.layers.network import Network
from sparsecode.layers.records import to_record
from sparsecode.layers.report import CompressionReport, LayerRow

__all__ = ["CompressedNetwork"]

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

    def __repr__(self) -> str:
        kinds = Counter(form.kind for form in self.factorizations.values())
        forms = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        size, share = f"{self.bits // 8:,} bytes", f"{self.ratio:.1%}"
        return f"CompressedNetwork({forms}; {size}, {share} of {self.original_bits // 8:,})"

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
        suffix = self.suffix if suffix is None else check_string(suffix, "suffix")
        return file_size(suffix, arrays, metadata)

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
        path = check_path(path)
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
        path = check_path(path)
        if path.suffix.lower() != MODEL:
            raise ValueError(f"path has to end in .onnx, got {path}")
        dense = self.to_dense()
        if not check_factored(factored) or self.network.graph is None:
            return dense.write(path)
        from sparsecode.layers.formats.onnx import save
        from sparsecode.layers.onnx.export import factored_model

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
        separator = separator_of(self.order)
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


def separator_of(names: Iterable[str]) -> str:
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


@lru_cache(maxsize=4)  # a search asks for the size of many files with one graph
def _deflated(graph: bytes) -> bytes:
    return zlib.compress(graph, 9)


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
