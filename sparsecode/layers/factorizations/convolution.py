r"""Low rank along the axes of a convolution: spatial, and Tucker-2.

A convolution of kernels (I, kh, kw) is a layer whose rows are the flattened kernels, in this order.
Its plain low rank, (O, r) times (r, I kh kw), is the channel form; these two use the axes.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.linalg

from sparsecode._validation import check_int
from sparsecode.layers.factorizations._base import (
    Arrays,
    Bits,
    BudgetError,
    Factorization,
    Meta,
    balanced,
    check_parts,
)
from sparsecode.layers.factorizations._feedback import cholesky
from sparsecode.layers.factorizations._format import Format
from sparsecode.layers.factorizations._rounding import store_matrix
from sparsecode.layers.factorizations._values import (
    Values,
    check_fit,
    checked_values,
    decoded,
    packed,
    part_names,
    reshaped,
    stored_bits,
    unpacked,
    width_of,
)
from sparsecode.solvers import weighted_svd
from sparsecode.solvers._orthogonal import svd

Kernel = tuple[int, int, int]  # inputs, height, width
TUCKER_AXES = {"output": 2, "core": 4, "input": 2}


@dataclass(frozen=True, eq=False, repr=False)
class Spatial(Factorization):
    r"""``W[o, i, y, x] = sum_r horizontal[o, r, x] vertical[r, i, y]``: two thin convolutions.

    Parameters
    ----------
    vertical : array, or values stored otherwise, of shape (rank, n_channels, height)
        Applied first.
    horizontal : array, or values stored otherwise, of shape (n_outputs, rank, width)
        Applied last.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 8 * 3 * 3))
    >>> f = layers.factorize(W, "low_rank", budget=0.5, form="spatial", kernel_shape=(8, 3, 3))
    >>> f.shape, f.rank
    ((32, 72), 9)
    """

    vertical: Values
    horizontal: Values
    kind: ClassVar[str] = "spatial"

    def __post_init__(self) -> None:
        names = ("vertical", "horizontal")
        vertical, horizontal = (checked_values(getattr(self, name), name, 3) for name in names)
        fits = vertical.shape[0] == horizontal.shape[1]
        check_fit(fits, vertical=vertical, horizontal=horizontal)
        object.__setattr__(self, "vertical", vertical)
        object.__setattr__(self, "horizontal", horizontal)

    @property
    def kernel_shape(self) -> Kernel:
        """Channels, height and width."""
        return self.vertical.shape[1], self.vertical.shape[2], self.horizontal.shape[2]

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.horizontal.shape[0], math.prod(self.kernel_shape)

    @property
    def rank(self) -> int:
        """The channels in between."""
        return self.vertical.shape[0]

    @property
    def dtype(self) -> np.dtype:
        """The dtype of both factors."""
        return self.vertical.dtype

    @property
    def summary(self) -> str:
        """The rank."""
        return f"spatial, rank {self.rank}{width_of(self.vertical)}"

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """`vertical` and `horizontal` in the dtype they are computed in."""
        return decoded(self.vertical), decoded(self.horizontal)

    def to_dense(self) -> np.ndarray:
        """The kernels, flattened."""
        vertical, horizontal = self.factors()
        kernels = np.einsum("riy,orx->oiyx", vertical, horizontal, optimize=True)
        return kernels.reshape(self.shape).astype(self.dtype, copy=False)

    def _apply(self, X: np.ndarray) -> np.ndarray:
        """The columns of each patch, then its rows."""
        vertical, horizontal = self.factors()
        patches = X.reshape(len(X), *self.kernel_shape)
        inner = np.einsum("niyx,riy->nrx", patches, vertical, optimize=True)
        second = horizontal.reshape(len(horizontal), -1)
        return inner.reshape(len(X), second.shape[1]) @ second.T

    def bits(self) -> Bits:
        """The values of both factors."""
        return stored_bits(self.vertical) + stored_bits(self.horizontal)

    def pack(self) -> tuple[Arrays, Meta]:
        """Two arrays, ``vertical`` and ``horizontal``."""
        arrays, meta = packed(vertical=self.vertical, horizontal=self.horizontal)
        return arrays, {"kind": self.kind, **meta}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> Spatial:
        """The inverse of `pack`."""
        check_parts(arrays, *part_names(meta, "vertical", "horizontal"))
        return cls(*(unpacked(arrays, meta, name, 3) for name in ("vertical", "horizontal")))


@dataclass(frozen=True, eq=False, repr=False)
class Tucker(Factorization):
    r"""``W[o, :, y, x] = output @ core[:, :, y, x] @ input``: a convolution between two mixings.

    Parameters
    ----------
    output : array, or values stored otherwise, of shape (n_outputs, a)
        Applied last.
    core : array, or values stored otherwise, of shape (a, b, height, width)
        The convolution of fewer channels.
    input : array, or values stored otherwise, of shape (b, n_channels)
        Applied first.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 8 * 3 * 3))
    >>> f = layers.factorize(W, "low_rank", budget=0.5, form="tucker", kernel_shape=(8, 3, 3))
    >>> f.shape, f.bits().total <= 0.5 * 64 * W.size
    ((32, 72), True)
    """

    output: Values
    core: Values
    input: Values
    kind: ClassVar[str] = "tucker"

    def __post_init__(self) -> None:
        factors = {
            name: checked_values(getattr(self, name), name, axes)
            for name, axes in TUCKER_AXES.items()
        }
        output, core, input_ = factors.values()
        check_fit((output.shape[1], input_.shape[0]) == core.shape[:2], **factors)
        for name, factor in factors.items():
            object.__setattr__(self, name, factor)

    @property
    def kernel_shape(self) -> Kernel:
        """Channels, height and width."""
        return self.input.shape[1], self.core.shape[2], self.core.shape[3]

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_outputs, n_inputs)``."""
        return self.output.shape[0], math.prod(self.kernel_shape)

    @property
    def ranks(self) -> tuple[int, int]:
        """The channels out of and into the core."""
        return self.core.shape[0], self.core.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """The dtype of all factors."""
        return self.core.dtype

    @property
    def summary(self) -> str:
        """The ranks."""
        return f"Tucker, ranks {self.ranks[0]} and {self.ranks[1]}{width_of(self.core)}"

    def factors(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`output`, `core` and `input` in the dtype they are computed in."""
        return decoded(self.output), decoded(self.core), decoded(self.input)

    def to_dense(self) -> np.ndarray:
        """The kernels, flattened."""
        output, core, input_ = self.factors()
        kernels = np.einsum("oa,abyx,bi->oiyx", output, core, input_, optimize=True)
        return kernels.reshape(self.shape).astype(self.dtype, copy=False)

    def _apply(self, X: np.ndarray) -> np.ndarray:
        """Mix the channels, convolve, mix again."""
        output, core, input_ = self.factors()
        patches = X.reshape(len(X), *self.kernel_shape)
        inner = np.einsum("niyx,bi->nbyx", patches, input_, optimize=True)
        second = core.reshape(len(core), -1)
        return (inner.reshape(len(X), second.shape[1]) @ second.T) @ output.T

    def bits(self) -> Bits:
        """The values of the factors."""
        return stored_bits(self.output) + stored_bits(self.core) + stored_bits(self.input)

    def pack(self) -> tuple[Arrays, Meta]:
        """Three arrays, ``output``, ``core`` and ``input``."""
        arrays, meta = packed(output=self.output, core=self.core, input=self.input)
        return arrays, {"kind": self.kind, **meta}

    @classmethod
    def unpack(cls, arrays: Arrays, meta: Meta) -> Tucker:
        """The inverse of `pack`."""
        check_parts(arrays, *part_names(meta, "output", "core", "input"))
        return cls(*(unpacked(arrays, meta, name, axes) for name, axes in TUCKER_AXES.items()))


def check_kernel(kernel_shape: Any, n_inputs: int) -> Kernel:
    """Channels, height and width that make up the layer's inputs."""
    if not (isinstance(kernel_shape, tuple | list) and len(kernel_shape) == 3):
        raise ValueError(f"kernel_shape has to be (channels, height, width), got {kernel_shape!r}")
    channels, height, width = (check_int(side, "kernel_shape") for side in kernel_shape)
    if channels * height * width != n_inputs:
        raise ValueError(f"kernel_shape={kernel_shape!r} does not make {n_inputs} inputs")
    return channels, height, width


def fit_spatial(
    W: np.ndarray, gram: np.ndarray | None, budget: int, format_: Format, kernel: Kernel
) -> Spatial:
    """The vertical kernels of the best rank of ``(I kh) x (O kw)``, and the horizontal ones that
    are best with them, as they are stored, in the metric of the inputs."""
    (I, kh, kw), O = kernel, len(W)

    def cost(rank: int) -> int:
        return format_.cost(rank, I, kh) + format_.cost(O, rank, kw)

    rank = _most(min(I * kh, O * kw), budget, cost)
    if rank < 1:
        raise BudgetError(
            f"spatial rank 1 of a {W.shape} layer does not fit into {budget} bits; raise budget"
        )
    M = W.reshape(O, I * kh, kw).transpose(1, 0, 2).reshape(I * kh, O * kw)
    sizes = _input_sizes(gram, (I * kh, kw))
    # With the right singular vectors no scale has to be divided by: dead inputs are no case.
    vertical = _columns(M @ svd(M * sizes[:, None])[2][:rank].T).T
    horizontal = _best_left(W, gram, np.kron(vertical, np.eye(kw)))
    vertical, horizontal = balanced(vertical, horizontal)
    stored = format_.store(vertical)
    K = np.kron(decoded(stored).astype(np.float64), np.eye(kw))
    last = _stored_left(W, gram, K, horizontal, format_)
    return Spatial(reshaped(stored, rank, I, kh), reshaped(last, O, rank, kw))


def fit_tucker(
    W: np.ndarray, gram: np.ndarray | None, budget: int, format_: Format, kernel: Kernel
) -> Tucker:
    """The input channels of the best rank of ``I x (O k^2)``, and the best low rank with them, as
    they are stored, in the metric of the inputs."""
    (I, kh, kw), O = kernel, len(W)
    M = W.reshape(O, I, kh * kw).transpose(1, 0, 2).reshape(I, -1)
    _, s, Vt = svd(M * _input_sizes(gram, (I, kh * kw))[:, None])
    a, b = _tucker_ranks(W, s, budget, format_, kernel)
    mixing = format_.store(_columns(M @ Vt[:b].T).T)
    K = np.kron(decoded(mixing).astype(np.float64), np.eye(kh * kw))
    metric = _moment(K, gram)
    output, core, _ = weighted_svd(_best_left(W, gram, K), metric, a)
    output, core = balanced(output, core)
    middle = store_matrix(core, cholesky(metric), format_)
    span = decoded(middle).astype(np.float64) @ K
    last = _stored_left(W, gram, span, output, format_)
    return Tucker(last, reshaped(middle, a, b, kh, kw), mixing)


def _most(most: int, budget: int, cost: Callable[[int], int]) -> int:
    """The largest size, of a cost that grows, that the budget holds; 0 if none does."""
    return bisect.bisect_right(range(1, most + 1), budget, key=cost)


def _stored_left(
    W: np.ndarray, gram: np.ndarray | None, K: np.ndarray, left: np.ndarray, format_: Format
) -> Values:
    """The last factor; if `K` was rounded to a grid, the best with what that has made of it."""
    if format_.plain:
        return format_.store(left)
    return store_matrix(_best_left(W, gram, K), cholesky(_moment(K, gram)), format_)


def _moment(K: np.ndarray, gram: np.ndarray | None) -> np.ndarray:
    """Of what the first factor makes of the inputs."""
    return K @ (K.T if gram is None else gram @ K.T)


def _tucker_ranks(
    W: np.ndarray, s: np.ndarray, budget: int, format_: Format, kernel: Kernel
) -> tuple[int, int]:
    """Of all pairs that fit, the one whose two truncations lose least, each taken alone."""
    (I, kh, kw), O = kernel, len(W)
    lost = _tail(s), _tail(svd(W)[1])
    pairs = []
    for b in range(1, len(s) + 1):
        left = budget - format_.cost(b, I)
        most = min(O, b * kh * kw, len(lost[1]) - 1)
        a = _most(most, left, lambda a, b=b: format_.cost(O, a) + format_.cost(a, b, kh, kw))  # type: ignore[misc]
        if a >= 1:
            pairs.append((lost[0][b] + lost[1][a], a, b))
    if not pairs:
        raise BudgetError(
            f"Tucker ranks 1 of a {W.shape} layer do not fit into {budget} bits; raise budget"
        )
    _, a, b = min(pairs)
    return a, b


def _tail(s: np.ndarray) -> np.ndarray:
    """The share of the energy that each rank leaves out, from none of the values to all."""
    s = s / (s[0] or 1)
    tail: np.ndarray = np.concatenate([np.cumsum(np.square(s)[::-1])[::-1], [0.0]])
    return tail / (tail[0] or 1)


def _input_sizes(gram: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """The root mean square of the inputs that share the first axis."""
    if gram is None:
        return np.ones(shape[0])
    return np.sqrt(np.maximum(np.diag(gram), 0).reshape(shape).mean(axis=1))


def _columns(M: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the columns: well conditioned, whatever their scale."""
    return np.linalg.qr(M)[0]


def _best_left(W: np.ndarray, gram: np.ndarray | None, K: np.ndarray) -> np.ndarray:
    """The ``G`` whose ``G K`` is nearest to `W` in the metric of the inputs."""
    KH = K if gram is None else K @ gram
    return W @ KH.T @ scipy.linalg.pinvh(KH @ K.T)
