"""Which tensors of a network are layers, and how each layer's matrix is stored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sparsecode._validation import check_mapping, check_option, check_string

ORIENTATIONS = ("out_in", "in_out")
FLOATING = ("float16", "bfloat16", "float32", "float64")


class Stored(NamedTuple):
    """How a matrix ``W`` (n_outputs, n_inputs) lies in a tensor.

    A linear layer is stored as ``W``, or transposed. A convolution of `kernel` is stored as
    ``(O, I, *kernel)``, as in PyTorch and ONNX, or transposed as ``(*kernel, I, O)``, as in Keras
    and Flax; its matrix is (O, I * prod(kernel)), and its inputs are the patches under the kernel.
    """

    transposed: bool = False
    kernel: tuple[int, ...] = ()

    def matrix(self, tensor: np.ndarray) -> np.ndarray:
        """The tensor as ``W``; a view where there can be one."""
        if not self.kernel:
            return tensor.T if self.transposed else tensor
        if self.transposed:
            tensor = np.moveaxis(tensor, (-1, -2), (0, 1))
        return tensor.reshape(len(tensor), -1)

    def tensor(self, W: np.ndarray) -> np.ndarray:
        """The inverse of `matrix`."""
        if not self.kernel:
            return W.T if self.transposed else W
        kernels = W.reshape(len(W), -1, *self.kernel)
        return np.moveaxis(kernels, (0, 1), (-1, -2)) if self.transposed else kernels

    def matrix_shape(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """The shape of the matrix of a tensor of this shape; None if it cannot be stored so."""
        kept = shape[:-2] if self.transposed else shape[2:]
        if len(shape) < 2 or kept != self.kernel:
            return None
        ends = shape[:-3:-1] if self.transposed else shape[:2]
        return ends[0], ends[1] * math.prod(self.kernel)

    def __str__(self) -> str:
        return ORIENTATIONS[self.transposed] + (":" if self.kernel else "") + self.kernel_text

    @property
    def kernel_text(self) -> str:
        """Such as ``3x3``; empty for a linear layer."""
        return "x".join(map(str, self.kernel))


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
        Whether the network stores ``W.T``; of a convolution, ``(*kernel, I, O)``.
    dtype : numpy.dtype
        float16, bfloat16, float32 or float64.
    kernel : tuple of int
        The sides of a convolution's kernel; empty for a linear layer. The inputs of a convolution
        are its patches, ``n_inputs = I * prod(kernel)`` wide, channel by channel.
    """

    name: str
    shape: tuple[int, int]
    transposed: bool
    dtype: np.dtype
    kernel: tuple[int, ...] = ()

    @property
    def n_outputs(self) -> int:
        """Rows of ``W``."""
        return self.shape[0]

    @property
    def n_inputs(self) -> int:
        """Columns of ``W``: the width of the layer's inputs."""
        return self.shape[1]

    @property
    def stored(self) -> Stored:
        """How the matrix lies in its tensor."""
        return Stored(self.transposed, self.kernel)


@dataclass(frozen=True)
class Layout:
    """Which tensors are layers.

    Attributes
    ----------
    orientation : {"out_in", "in_out"}
        How layers are stored where nothing is declared: 2-D arrays are linear layers, 4-D arrays
        convolutions.
    declared : mapping of str to Stored, optional
        What the source says its layers are; then nothing else is one.
    left_alone : mapping of str to str
        Tensors that look like layers and are none, and why.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers import Layout, Network, Stored
    >>> tensors = {"kernel": np.ones((3, 8, 16)), "table": np.ones((9, 4))}
    >>> layout = Layout(declared={"kernel": Stored(transposed=True, kernel=(3,))})
    >>> [(layer.name, layer.shape) for layer in Network(tensors, layout=layout).layers]
    [('kernel', (16, 24))]
    """

    orientation: str = "out_in"
    declared: Mapping[str, Stored] | None = None
    left_alone: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_option(self.orientation, "orientation", ORIENTATIONS)
        if self.declared is not None:
            check_mapping(self.declared, "declared", "names to Stored")
            if odd := [how for how in self.declared.values() if not isinstance(how, Stored)]:
                raise TypeError(f"declared has to map names to Stored, got {odd[0]!r}")
        for reason in check_mapping(self.left_alone, "left_alone", "names to reasons").values():
            check_string(reason, "a reason in left_alone")

    def stored(self, name: str, shape: tuple[int, ...]) -> Stored | None:
        """How the tensor is stored, if it is a layer by what is declared or by its shape."""
        if self.declared is not None:
            return self.declared.get(name)
        transposed = self.orientation == "in_out"
        if len(shape) == 2:
            return Stored(transposed)
        return (
            Stored(transposed, shape[:2] if transposed else shape[2:]) if len(shape) == 4 else None
        )

    def layers(self, tensors: Mapping[str, np.ndarray]) -> tuple[Layer, ...]:
        """The layers among the tensors: floating, both sides of the matrix at least 2."""
        found = []
        for name, tensor in tensors.items():
            stored = self.stored(name, tensor.shape)
            shape = None if stored is None else stored.matrix_shape(tensor.shape)
            if stored is not None and shape is None:
                raise ValueError(
                    f"the tensor {name!r} of shape {tensor.shape} is no {stored} layer"
                )
            if stored is None or shape is None or min(shape) < 2:
                continue
            if tensor.dtype.name in FLOATING:
                found.append(Layer(name, shape, stored.transposed, tensor.dtype, stored.kernel))
        return tuple(found)

    def of_layer(self, name: str) -> Stored:
        """How a layer is stored that is known to be one."""
        if self.declared is not None:
            return self.declared[name]
        return Stored(self.orientation == "in_out")

    def resolved(self, layers: Iterable[Layer]) -> Layout:
        """The same for layers whose tensors will not be there to tell by their shape."""
        stored = {layer.name: layer.stored for layer in layers}
        if self.declared is None and not any(how.kernel for how in stored.values()):
            return self
        return Layout(self.orientation, stored)
