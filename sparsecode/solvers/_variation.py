r"""Total variation as a norm of differences: what it is, what diagonalises it, and its dual.

:math:`R(x)` is the sum of the sizes of :math:`K x`, the differences of neighbours along each axis
and, below them, weighted coefficients in an orthonormal basis. An array of the shape of
:math:`K x` has an axis 0 of that many rows before those of the image.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.fft

from sparsecode.operators import adjoint, finite_differences

Shape = tuple[int, ...]


class Grid:
    """The transform that diagonalises differences: cosines at mirrors, else Fourier's."""

    def __init__(self, shape: Shape, boundary: str, dtype: np.dtype) -> None:
        self.shape, self.boundary, self.dtype = shape, boundary, dtype
        self._cosine = boundary == "symmetric"
        self._half = not self._cosine and dtype.kind == "f"

    def to(self, x: np.ndarray) -> np.ndarray:
        """The spectrum of an array of the shape."""
        if self._cosine:
            return scipy.fft.dctn(x, norm="ortho")
        return (scipy.fft.rfftn if self._half else scipy.fft.fftn)(x, norm="ortho")

    def back(self, spectrum: np.ndarray) -> np.ndarray:
        """The array of a spectrum."""
        if self._cosine:
            return scipy.fft.idctn(spectrum, norm="ortho", overwrite_x=True)
        if self._half:
            return scipy.fft.irfftn(spectrum, s=self.shape, norm="ortho", overwrite_x=True)
        return scipy.fft.ifftn(spectrum, norm="ortho", overwrite_x=True)

    @cached_property
    def counts(self) -> Any:
        """How often each entry of the spectrum stands for itself: the half of one counts twice."""
        if not self._half:
            return 1.0
        n = self.shape[-1]
        counts = np.full(n // 2 + 1, 2.0, dtype=self.dtype)
        counts[0] = 1.0
        if n % 2 == 0:
            counts[-1] = 1.0
        return counts

    @cached_property
    def differences(self) -> np.ndarray:
        """The eigenvalues of ``D^* D``."""
        total = np.zeros((1,) * len(self.shape))
        period = 1 if self._cosine else 2
        for axis, n in enumerate(self.shape):
            length = n // 2 + 1 if self._half and axis == len(self.shape) - 1 else n
            values = 4 * np.sin(0.5 * np.pi * period * np.arange(length) / n) ** 2
            total = total + values.reshape([-1 if a == axis else 1 for a in range(len(self.shape))])
        return total.astype(np.empty(0, self.dtype).real.dtype)


class Variation:
    """The norm `R`, with its `K` on a grid.

    Where the norm is at mirrors and the grid is periodic, `K` has differences across the edges that
    the norm does not count: that is how both have one transform.
    """

    def __init__(
        self, grid: Grid, boundary: str, isotropic: bool, basis: Any = None, weight: float = 0.0
    ) -> None:
        self.grid, self.boundary, self.isotropic = grid, boundary, isotropic
        self.basis, self.weight = basis, weight
        self.shape, self.n_axes = grid.shape, len(grid.shape)
        self._differences = finite_differences(grid.shape, boundary=grid.boundary)
        self._analysis = None if basis is None else adjoint(basis)
        self._open = grid.boundary != boundary

    def on(self, grid: Grid) -> Variation:
        """The same norm with its `K` on another grid."""
        return Variation(grid, self.boundary, self.isotropic, self.basis, self.weight)

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """Those of ``K^* K``."""
        return self.grid.differences + self.grid.differences.dtype.type(self.weight**2)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """``K x`` of an array of the shape."""
        steps = (self._differences @ x.ravel()).reshape(self.n_axes, *self.shape)
        if self._analysis is None:
            return steps
        coefficients = (self._analysis @ x.ravel()).astype(x.dtype, copy=False)
        return np.concatenate([steps, self.weight * coefficients.reshape(1, *self.shape)])

    def backward(self, p: np.ndarray) -> np.ndarray:
        """``K^* p``."""
        x = adjoint(self._differences) @ p[: self.n_axes].ravel()
        if self._analysis is not None:
            x += self.weight * (self.basis @ p[-1].ravel())
        return x.reshape(self.shape)

    def counted(self, p: np.ndarray) -> np.ndarray:
        """Without the differences across the edges, where they do not count."""
        if not self._open:
            return p
        p = p.copy()
        for axis in range(self.n_axes):
            np.moveaxis(p[axis], axis, 0)[-1] = 0
        return p

    def _sizes(self, p: np.ndarray) -> np.ndarray:
        """Of what counts: one for each pixel, or for each entry; always an axis 0."""
        if not self.isotropic or self.n_axes == 1:
            return np.abs(p)
        d = p[: self.n_axes]
        squares = d.real**2 + d.imag**2 if np.iscomplexobj(p) else d * d
        sizes = np.sqrt(np.sum(squares, axis=0, keepdims=True))
        return sizes if self._analysis is None else np.concatenate([sizes, np.abs(p[-1:])])

    def value(self, p: np.ndarray) -> float:
        """The norm of `x` from ``p = K x``."""
        return float(np.sum(self._sizes(self.counted(p))))

    def polar(self, p: np.ndarray) -> float:
        """The largest size: at most 1 where ``K^* p`` is a subgradient at zero."""
        return float(np.max(self._sizes(self.counted(p))))

    def shrink(self, p: np.ndarray, threshold: float) -> np.ndarray:
        """The proximal operator of the sum of sizes: each is less by the threshold."""
        counted = self.counted(p)
        sizes = self._sizes(counted)
        factors = np.maximum(sizes - threshold, 0) / np.where(sizes > 0, sizes, 1)
        if len(factors) == len(p):
            shrunk = counted * factors
        else:
            shrunk = np.empty_like(p)
            np.multiply(counted[: self.n_axes], factors[:1], out=shrunk[: self.n_axes])
            np.multiply(counted[self.n_axes :], factors[1:], out=shrunk[self.n_axes :])
        if self._open:
            for axis in range(self.n_axes):
                np.moveaxis(shrunk[axis], axis, 0)[-1] = np.moveaxis(p[axis], axis, 0)[-1]
        return shrunk

    def lift(self, x: np.ndarray) -> np.ndarray:
        """The `p` of least norm with ``K^* p = x``; the sum of `x` is zero if there is no basis."""
        spectrum, values = self.grid.to(x), self.eigenvalues
        spectrum[values == 0] = 0
        spectrum /= np.where(values > 0, values, 1)
        return self.forward(self.grid.back(spectrum))
