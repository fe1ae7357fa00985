"""A network whose layers are factorizations, and the file it is kept in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsecode import __version__
from sparsecode._files import refuse_same_file, strict_json
from sparsecode._validation import check_int
from sparsecode.layers.allocation import Allocation
from sparsecode.layers.factorizations import Bits, Factorization, unpack
from sparsecode.layers.formats import DEFAULT_MAX_BYTES, file_size, read_tensors, write_tensors
from sparsecode.layers.network import Network
from sparsecode.layers.report import CompressionReport, LayerRow

__all__ = ["CompressedNetwork", "read_compressed"]

METADATA_KEY = "sparsecode.compressed"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class CompressedNetwork:
    """A network whose layers are factorizations.

    Attributes
    ----------
    factorizations : dict of str to Factorization
        By the name of the layer's tensor.
    network : Network
        Everything else: names, order, dtypes and orientation of the original; the tensors of
        compressed layers are not in it.
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
        transposed = self.network.orientation == "in_out"
        tensors = {}
        for name in self.order:
            if name in self.factorizations:
                weight = self.factorizations[name].to_dense()
                tensors[name] = np.ascontiguousarray(weight.T) if transposed else weight
            else:
                tensors[name] = self.network[name]
        return Network(
            tensors,
            metadata=self.network.metadata,
            source=self.network.source,
            orientation=self.network.orientation,
        )

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

    def _packed(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        arrays: dict[str, np.ndarray] = {}
        described: dict[str, Any] = {}
        separator = _separator(self.order)
        for name in self.order:
            if name in self.factorizations:
                parts, described[name] = self.factorizations[name].pack()
                arrays.update({f"{name}{separator}{key}": part for key, part in parts.items()})
            else:
                arrays[name] = self.network[name]
        description = {
            "format": FORMAT_VERSION,
            "sparsecode": __version__,
            "orientation": self.network.orientation,
            "original_bits": self.original_bits,
            "order": list(self.order),
            "layers": described,
        }
        text = json.dumps(description, separators=(",", ":"), ensure_ascii=False)
        return arrays, {**self.network.metadata, METADATA_KEY: text}


def _separator(names: Iterable[str]) -> str:
    """What stands between a layer's name and that of a packed array: colons that no name has."""
    separator = "::"
    while any(separator in name for name in names):
        separator += ":"
    return separator


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
    names = set(order)
    if not isinstance(order, list) or len(names) < len(order) or not set(metas) <= names:
        raise ValueError("its list of names repeats one or lacks a layer")
    parts: dict[str, dict[str, np.ndarray]] = {name: {} for name in metas}
    rest = {}
    separator = _separator(order)
    for key, array in arrays.items():
        name, found, part = key.rpartition(separator)
        if found and name in parts:
            parts[name][part] = array
        elif key in names and key not in metas:
            rest[key] = array
        else:
            raise ValueError(f"its tensor {key!r} belongs to nothing in it")
    forms = {n: unpack(parts[n], metas[n], max_bytes=max_bytes) for n in order if n in metas}
    kept = {name: rest[name] for name in order if name not in metas}
    compressed = CompressedNetwork(
        forms,
        Network(kept, metadata=metadata, source=path, orientation=str(description["orientation"])),
        tuple(order),
        check_int(description["original_bits"], "original_bits"),
        suffix=Path(path).suffix,
    )
    rows = [
        LayerRow(name=name, form=f.kind, summary=f.summary, shape=f.shape, bits=f.bits())
        for name, f in forms.items()
    ]
    return with_report(compressed, tuple(rows))


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
