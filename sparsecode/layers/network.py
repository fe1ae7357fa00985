"""A network as named arrays, its 2-D layers found, oriented and named."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sparsecode._files import refuse_same_file
from sparsecode._validation import check_option
from sparsecode.layers.formats import DEFAULT_MAX_BYTES, read_tensors, same_bits, write_tensors
from sparsecode.layers.patterns import check_patterns, matches, near_misses

ORIENTATIONS = ("out_in", "in_out")
ORIENTATION_KEY = "sparsecode.orientation"

_FLOATING = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True)
class Layer:
    """A weight matrix of a network, seen as ``W`` (n_outputs, n_inputs) with ``y = W x``.

    Attributes
    ----------
    name : str
        The tensor's name in the network.
    shape : tuple of int
        ``(n_outputs, n_inputs)``, whichever way round the network stores it.
    transposed : bool
        Whether the network stores ``W.T``.
    dtype : numpy.dtype
        float16, bfloat16, float32 or float64.
    """

    name: str
    shape: tuple[int, int]
    transposed: bool
    dtype: np.dtype

    @property
    def n_outputs(self) -> int:
        """Rows of ``W``."""
        return self.shape[0]

    @property
    def n_inputs(self) -> int:
        """Columns of ``W``: the width of the layer's inputs."""
        return self.shape[1]


class Network(Mapping[str, np.ndarray]):
    """An ordered, read-only mapping of tensor names to arrays.

    A layer is a 2-D float16, bfloat16, float32 or float64 array with both sides at least 2. Every
    other tensor is carried along untouched. Two networks are equal when names, order, dtypes,
    shapes, metadata and every bit of every array are.

    Parameters
    ----------
    tensors : mapping of str to array-like
        NumPy arrays are kept as they are, not copied; CPU torch tensors without gradients will do.
    metadata : mapping of str to str or None
        Kept beside the arrays in a file.
    source : path-like or None
        The file the network was read from, which `write` will not overwrite.
    orientation : {"out_in", "in_out"} or None
        How a layer's matrix is stored: ``(n_outputs, n_inputs)`` as in PyTorch, or transposed as in
        Keras, Flax and scikit-learn's ``coefs_``. None takes what the metadata records under
        ``sparsecode.orientation``, and otherwise ``"out_in"``.

    Attributes
    ----------
    metadata : dict of str to str
        Without the record of the orientation, which `write` adds.
    source : pathlib.Path or None
    orientation : {"out_in", "in_out"}
    layers : tuple of Layer
    n_bytes : int
        Bytes of all arrays together.

    Raises
    ------
    ValueError
        A name is no string, an array holds objects or masked entries, or the orientation is
        unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers.network import Network
    >>> net = Network({"fc.weight": np.ones((3, 4)), "fc.bias": np.zeros(3)})
    >>> net
    Network(2 tensors, 1 layers, 120 bytes)
    >>> [(layer.name, layer.shape) for layer in net.layers]
    [('fc.weight', (3, 4))]
    """

    def __init__(
        self,
        tensors: Mapping[str, Any],
        *,
        metadata: Mapping[str, str] | None = None,
        source: str | os.PathLike[str] | None = None,
        orientation: str | None = None,
    ) -> None:
        self._tensors = {name: _as_array(name, tensor) for name, tensor in tensors.items()}
        self.metadata = dict(metadata or {})
        recorded = self.metadata.pop(ORIENTATION_KEY, "out_in")
        self.orientation = check_option(
            recorded if orientation is None else orientation, "orientation", ORIENTATIONS
        )
        self.source = None if source is None else Path(source)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        n = len(self.layers)
        return f"Network({len(self)} tensors, {n} layers, {self.n_bytes:,} bytes)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        return (
            list(self) == list(other)
            and self.metadata == other.metadata
            and self.orientation == other.orientation
            and all(same_bits(self[name], other[name]) for name in self)
        )

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in the order of the tensors."""
        transposed = self.orientation == "in_out"
        return tuple(
            Layer(name, array.shape[::-1] if transposed else array.shape, transposed, array.dtype)
            for name, array in self._tensors.items()
            if array.ndim == 2 and min(array.shape) >= 2 and array.dtype.name in _FLOATING
        )

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays together."""
        return sum(array.nbytes for array in self._tensors.values())

    def layer(self, name: str) -> Layer:
        """Return the layer of that name.

        Raises
        ------
        ValueError
            No layer has the name; the message says which come near.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"{name!r} is no layer of the network{self._hint(name)}")

    def weight(self, layer: Layer | str) -> np.ndarray:
        """Return the layer's matrix (n_outputs, n_inputs): the stored array or its transpose.

        Raises
        ------
        ValueError
            The network has no such layer.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsecode.layers.network import Network
        >>> net = Network({"kernel": np.ones((4, 3))}, orientation="in_out")
        >>> net.weight("kernel").shape
        (3, 4)
        """
        found = self.layer(layer.name if isinstance(layer, Layer) else layer)
        return self[found.name].T if found.transposed else self[found.name]

    def with_weights(self, weights: Mapping[str, Any]) -> Network:
        """Return the network with other layer matrices, (n_outputs, n_inputs) as from `weight`.

        Raises
        ------
        ValueError
            As for `replace`, and for a name that is no layer.
        """
        stored = {}
        for name, weight in weights.items():
            layer = self.layer(name)
            matrix = _as_array(name, weight)
            if matrix.shape != layer.shape:
                raise ValueError(
                    f"the new weight of {name!r} has shape {matrix.shape}; "
                    f"the layer is (n_outputs, n_inputs) = {layer.shape}"
                )
            stored[name] = matrix.T if layer.transposed else matrix
        return self.replace(stored)

    def replace(self, tensors: Mapping[str, Any]) -> Network:
        """Return the network with other arrays under some names, in the layout they are stored in.

        Order, dtypes, metadata and orientation stay; the other tensors are the very same objects.
        Real numbers are rounded to the dtype of the floating tensor that they replace.

        Raises
        ------
        ValueError
            A name is not in the network, a shape or the kind of dtype differs, or a number is too
            large for the dtype.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsecode.layers.network import Network
        >>> net = Network({"w": np.ones((2, 2), np.float32), "b": np.zeros(2)})
        >>> new = net.replace({"w": np.eye(2)})
        >>> new["w"].dtype, new["b"] is net["b"]
        (dtype('float32'), True)
        """
        for name in tensors:
            if name not in self:
                raise ValueError(f"the network has no tensor {name!r}{near_misses(name, self)}")
        new = {name: _fitted(name, array, self[name]) for name, array in tensors.items()}
        return Network(
            {**self._tensors, **new},
            metadata=self.metadata,
            source=self.source,
            orientation=self.orientation,
        )

    def select(
        self, include: str | Sequence[str] = (), exclude: str | Sequence[str] = ()
    ) -> tuple[Layer, ...]:
        """Return the layers that some pattern of `include` matches and none of `exclude` does.

        Parameters
        ----------
        include, exclude : str or sequence of str
            A pattern is a layer's exact name, or ``re:`` and a regular expression that matches the
            whole name. No `include` means every layer.

        Raises
        ------
        ValueError
            A pattern matches no layer, or is not a regular expression.
        TypeError
            `include` or `exclude` is neither a string nor a sequence of strings.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsecode.layers.network import Network
        >>> net = Network({f"block.{i}.weight": np.eye(2) for i in range(3)})
        >>> [layer.name for layer in net.select(r"re:block\\.\\d\\.weight", "block.1.weight")]
        ['block.0.weight', 'block.2.weight']
        """
        chosen = self._matched("include", include) or {layer.name for layer in self.layers}
        dropped = self._matched("exclude", exclude)
        return tuple(layer for layer in self.layers if layer.name in chosen - dropped)

    def write(self, path: str | os.PathLike[str], *, overwrite_source: bool = False) -> None:
        """Write all tensors and the metadata to ``.npz`` or ``.safetensors``, whole or not at all.

        Parameters
        ----------
        path : path-like
            The file; its suffix tells the format.
        overwrite_source : bool, default=False
            Allow `path` to be the file the network was read from.

        Raises
        ------
        ValueError
            `path` is the source and `overwrite_source` is False, or something cannot be stored; see
            `sparsecode.layers.formats.write_tensors`.
        OSError
            The file cannot be written.
        """
        if self.source is not None and not overwrite_source:
            refuse_same_file(self.source, path)
        record = {ORIENTATION_KEY: "in_out"} if self.orientation == "in_out" else {}
        write_tensors(path, self._tensors, {**self.metadata, **record})

    def _matched(self, argument: str, patterns: str | Sequence[str]) -> set[str]:
        matched: set[str] = set()
        for pattern in check_patterns(argument, patterns):
            found = {layer.name for layer in self.layers if matches(pattern, layer.name, argument)}
            if not found:
                raise ValueError(
                    f"the {argument} pattern {pattern!r} matches no layer"
                    f"{self._hint(pattern.removeprefix('re:'))}"
                )
            matched |= found
        return matched

    def _hint(self, name: str) -> str:
        if name in self:
            array = self[name]
            return (
                f": it is a tensor of shape {array.shape} and dtype {array.dtype}, and a layer is "
                "2-D, floating, with both sides at least 2"
            )
        return near_misses(name, [layer.name for layer in self.layers])


def as_network(network: Network | Mapping[str, Any]) -> Network:
    """Return a `Network` as it is, and a plain mapping of names to arrays as a `Network`.

    Parameters
    ----------
    network : Network or mapping of str to array-like
        The arrays of a network.

    Returns
    -------
    Network
        The same object, if it is one.

    Raises
    ------
    TypeError
        It is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers.network import as_network
    >>> as_network({"w": np.eye(3)}).layers[0].shape
    (3, 3)
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, Mapping):
        return Network(network)
    raise TypeError(
        "a network has to be a Network or a mapping of names to arrays, "
        f"got {type(network).__name__}"
    )


def read(
    path: str | os.PathLike[str],
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    orientation: str | None = None,
) -> Network:
    """Read a network from ``.npz`` or ``.safetensors``; nothing in the file is executed.

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

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sparsecode.layers.network import Network, read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Network({"w": np.eye(3)}).write(f"{folder}/net.npz")
    ...     read(f"{folder}/net.npz")
    Network(1 tensors, 1 layers, 72 bytes)
    """
    tensors, metadata = read_tensors(path, max_bytes=max_bytes)
    try:
        return Network(tensors, metadata=metadata, source=path, orientation=orientation)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a network: {error}") from error


def _as_array(name: Any, tensor: Any) -> np.ndarray:
    if not isinstance(name, str):
        raise ValueError(f"the name of a tensor has to be a string, got {name!r}")
    if np.ma.is_masked(tensor):
        raise ValueError(f"the tensor {name!r} has masked entries; fill them first")
    try:
        array = np.asarray(tensor)
    except (TypeError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"the tensor {name!r} cannot be seen as a NumPy array ({error}); "
            "for torch pass tensor.detach().cpu().numpy()"
        ) from error
    if array.dtype.hasobject:
        raise ValueError(
            f"the tensor {name!r} ({type(tensor).__name__}) holds objects; pass a numeric array"
        )
    return array


def _fitted(name: str, new: Any, old: np.ndarray) -> np.ndarray:
    """`new` in the dtype of `old`, once it has its shape and kind."""
    array = _as_array(name, new)
    if array.shape != old.shape:
        raise ValueError(f"the new {name!r} has shape {array.shape}, the old one {old.shape}")
    if array.dtype == old.dtype:
        return array
    floats = array.dtype.kind == "f" or array.dtype.name in _FLOATING
    if old.dtype.name not in _FLOATING or not floats:
        raise ValueError(f"the new {name!r} has dtype {array.dtype}, the old one {old.dtype}")
    with np.errstate(over="ignore", under="ignore"):
        rounded = array.astype(old.dtype)
    if np.isinf(rounded).any() and not np.array_equal(np.isinf(rounded), np.isinf(array)):
        raise ValueError(f"the new {name!r} has entries too large for its dtype {old.dtype}")
    return rounded
