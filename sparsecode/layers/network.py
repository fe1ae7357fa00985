"""A network as named arrays, its layers found, oriented and named."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sparsecode._files import check_path, refuse_same_file
from sparsecode._validation import check_bool, check_mapping, check_string
from sparsecode.layers.arrays import as_array, fitted, tied_names
from sparsecode.layers.formats import MODEL, check_metadata, same_bits, write_tensors
from sparsecode.layers.layout import Layer, Layout
from sparsecode.layers.patterns import check_patterns, matches, near_misses
from sparsecode.layers.records import records_of, take_records


class Network(Mapping[str, np.ndarray]):
    """An ordered, read-only mapping of tensor names to arrays.

    Unless the source says what its layers are, as ONNX and torch modules do, a 2-D floating array
    is a linear layer and a 4-D one a convolution, once both sides of its matrix are at least 2.
    Every other tensor is carried along untouched. Arrays that share their memory are tied: they
    count once, and what replaces one replaces all. Two networks are equal when names, order,
    dtypes, shapes, metadata, layers, ties and every bit of every array are.

    Parameters
    ----------
    tensors : mapping of str to array-like
        NumPy arrays are kept as they are, not copied; CPU torch tensors without gradients will do.
    metadata : mapping of str to str or None
        Kept beside the arrays in a file.
    source : path-like or None
        The file the network was read from, which `write` will not overwrite.
    orientation : {"out_in", "in_out"} or None
        How a layer is stored: ``(n_outputs, n_inputs)`` and ``(O, I, kh, kw)`` as in PyTorch, or
        transposed and ``(kh, kw, I, O)`` as in Keras, Flax and scikit-learn's ``coefs_``. None
        takes what the metadata records, and otherwise ``"out_in"``.
    layout : Layout or None
        What the source says of its layers, in place of an orientation.
    graph : bytes or None
        The ONNX model without its tensors, from which `write` makes a model again.
    module : torch.nn.Module or None
        The module the tensors are of, which `calibrate` runs.

    Attributes
    ----------
    metadata : dict of str to str
        Without the records of the layers and ties, which `write` adds.
    source : pathlib.Path or None
    orientation : {"out_in", "in_out"}
    layout : Layout
    layers : tuple of Layer
    tied : dict of str to str
        For each name whose array is that of an earlier one, the earlier name.
    n_bytes : int
        Bytes of all arrays together, tied ones counted once.

    Raises
    ------
    ValueError
        A name is no string, an array holds objects or masked entries, the orientation is unknown,
        or what the metadata records is not so.

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
        layout: Layout | None = None,
        graph: bytes | None = None,
        module: Any = None,
    ) -> None:
        check_mapping(tensors, "tensors", "names to arrays")
        self._tensors = {name: as_array(name, tensor) for name, tensor in tensors.items()}
        self.metadata = check_metadata(metadata)
        recorded = take_records(self.metadata)
        self._tie(recorded.tied)
        for given, name, kind in ((layout, "layout", Layout), (graph, "graph", bytes)):
            if given is not None and not isinstance(given, kind):
                raise TypeError(f"{name} has to be {kind.__name__} or None, got {given!r}")
        self.layout = recorded.layout(orientation) if layout is None else layout
        self.source = None if source is None else check_path(source, "source")
        self.graph, self.module = graph, module
        self.layers = self._layers()

    def _tie(self, recorded: Mapping[str, str]) -> None:
        """Tie what shares memory, and what a file says is one tensor as far as it still is."""
        for name, owner in recorded.items():
            if name in self and owner in self and same_bits(self[name], self[owner]):
                self._tensors[name] = self[owner]
        self.tied = tied_names(self._tensors)
        for name, owner in self.tied.items():
            self._tensors[name] = self[owner]  # one object, and one it stays when it is copied

    def _layers(self) -> tuple[Layer, ...]:
        """The layers, in the order of the tensors."""
        owners = {name: array for name, array in self._tensors.items() if name not in self.tied}
        return self.layout.layers(owners)

    @property
    def orientation(self) -> str:
        """How layers are stored of which nothing else is said."""
        return self.layout.orientation

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
            and (self.orientation, self.layers) == (other.orientation, other.layers)
            and (self.tied, self.graph) == (other.tied, other.graph)
            and all(same_bits(self[name], other[name]) for name in self)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays together, tied ones counted once."""
        return sum(array.nbytes for name, array in self.items() if name not in self.tied)

    def layer(self, name: str) -> Layer:
        """Return the layer of that name.

        Raises
        ------
        ValueError
            No layer has the name; the message says which come near.
        """
        check_string(name, "name")
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"{name!r} is no layer of the network{self._hint(name)}")

    def weight(self, layer: Layer | str) -> np.ndarray:
        """Return the layer's matrix (n_outputs, n_inputs): the stored array seen as one.

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
        found = self.layer(layer.name if isinstance(layer, Layer) else check_string(layer, "layer"))
        return found.stored.matrix(self[found.name])

    def with_weights(self, weights: Mapping[str, Any]) -> Network:
        """Return the network with other layer matrices, (n_outputs, n_inputs) as from `weight`.

        Raises
        ------
        ValueError
            As for `replace`, and for a name that is no layer.
        """
        stored = {}
        for name, weight in check_mapping(weights, "weights", "names to arrays").items():
            layer = self.layer(name)
            matrix = as_array(name, weight)
            if matrix.shape != layer.shape:
                raise ValueError(
                    f"the new weight of {name!r} has shape {matrix.shape}; "
                    f"the layer is (n_outputs, n_inputs) = {layer.shape}"
                )
            stored[name] = layer.stored.tensor(matrix)
        return self.replace(stored)

    def replace(self, tensors: Mapping[str, Any]) -> Network:
        """Return the network with other arrays under some names, in the layout they are stored in.

        Order, dtypes, metadata and orientation stay; the other tensors are the very same objects.
        Real numbers are rounded to the dtype of the floating tensor that they replace. Tied tensors
        stay tied.

        Raises
        ------
        ValueError
            A name is not in the network, a shape or the kind of dtype differs, a number is too
            large for the dtype, or tied tensors would differ.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsecode.layers.network import Network
        >>> net = Network({"w": np.ones((2, 2), np.float32), "b": np.zeros(2)})
        >>> new = net.replace({"w": np.eye(2)})
        >>> new["w"].dtype, new["b"] is net["b"]
        (dtype('float32'), True)
        """
        for name in check_mapping(tensors, "tensors", "names to arrays"):
            if name not in self:
                raise ValueError(f"the network has no tensor {name!r}{near_misses(name, self)}")
        new: dict[str, np.ndarray] = {}
        for name, tensor in tensors.items():
            array, owner = fitted(name, tensor, self[name]), self.tied.get(name, name)
            if not same_bits(new.setdefault(owner, array), array):
                raise ValueError(f"{name!r} is tied to {owner!r}, and their new arrays differ")
        return self.carrying(
            {name: new.get(self.tied.get(name, name), array) for name, array in self.items()}
        )

    def carrying(self, tensors: Mapping[str, np.ndarray], layout: Layout | None = None) -> Network:
        """Return other tensors with the metadata, source, layout and graph of this network."""
        return Network(
            tensors,
            metadata=self.metadata,
            source=self.source,
            layout=self.layout if layout is None else layout,
            graph=self.graph,
            module=self.module,
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
        """Write all tensors and the metadata, whole or not at all.

        ``.npz`` and ``.safetensors`` hold tensors alone; ``.onnx`` is for a network that was read
        from an ONNX model, with the rest of the model as it was.

        Parameters
        ----------
        path : path-like
            The file; its suffix tells the format.
        overwrite_source : bool, default=False
            Allow `path` to be the file the network was read from.

        Raises
        ------
        ValueError
            `path` is the source and `overwrite_source` is False, something cannot be stored (see
            `sparsecode.layers.formats.write_tensors`), or there is no graph for a model.
        OSError
            The file cannot be written.
        """
        path = check_path(path)
        check_bool(overwrite_source, "overwrite_source")
        if self.source is not None and not overwrite_source:
            refuse_same_file(self.source, path)
        if path.suffix.lower() == MODEL:
            self._write_model(path)
        else:
            records = records_of(self._tensors, self.layers, self.orientation, self.tied)
            write_tensors(path, self._tensors, {**self.metadata, **records})

    def _write_model(self, path: str | os.PathLike[str]) -> None:
        from sparsecode.layers.formats.onnx import write_model

        if self.graph is None:
            raise ValueError(
                f"{path}: the network was not read from an ONNX model, so there is no graph to put "
                "its tensors into; use .npz or .safetensors"
            )
        write_model(path, self.graph, self._tensors, self.metadata)

    def _matched(self, argument: str, patterns: str | Sequence[str]) -> set[str]:
        matched: set[str] = set()
        for pattern in check_patterns(argument, patterns):
            found = {
                layer.name
                for layer in self.layers
                if any(matches(pattern, name, argument) for name in self._names_of(layer.name))
            }
            if not found:
                raise ValueError(
                    f"the {argument} pattern {pattern!r} matches no layer"
                    f"{self._hint(pattern.removeprefix('re:'))}"
                )
            matched |= found
        return matched

    def _names_of(self, name: str) -> list[str]:
        """The name and those that are tied to it."""
        return [name, *(other for other, owner in self.tied.items() if owner == name)]

    def _hint(self, name: str) -> str:
        if name in self.tied:
            return f": it is tied to {self.tied[name]!r}, and goes by that name"
        if name in self.layout.left_alone:
            return f": it is {self.layout.left_alone[name]}"
        if name in self:
            array = self[name]
            return (
                f": it is a tensor of shape {array.shape} and dtype {array.dtype}, and a layer is "
                "2-D or a convolution, floating, with both sides at least 2"
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
        "a network has to be a Network, as layers.read makes of a file and layers.from_torch of a "
        f"torch module, or a mapping of names to arrays, got {type(network).__name__}"
    )
