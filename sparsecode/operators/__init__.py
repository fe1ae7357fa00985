"""Matrices that are never formed: factories of `scipy.sparse.linalg.LinearOperator`.

Each has a correct adjoint (the dot test is a law over all of them) and acts on many columns at
once. Any object with ``shape``, ``matvec`` and ``rmatvec`` works where one of these does.
"""

from sparsecode.operators._base import adjoint
from sparsecode.operators._composed import (
    as_real,
    centered,
    concatenation,
    projection_onto_complement,
)
from sparsecode.operators._norms import spectral_norm
from sparsecode.operators._sensing import (
    bernoulli,
    gaussian,
    mask,
    random_convolution,
    subsampled_dct,
    subsampled_fft,
    subsampled_hadamard,
)
from sparsecode.operators._transforms import (
    blur,
    dct,
    finite_differences,
    overcomplete_dct,
    wavelet_synthesis,
)

__all__ = [
    "adjoint",
    "as_real",
    "bernoulli",
    "blur",
    "centered",
    "concatenation",
    "dct",
    "finite_differences",
    "gaussian",
    "mask",
    "overcomplete_dct",
    "projection_onto_complement",
    "random_convolution",
    "spectral_norm",
    "subsampled_dct",
    "subsampled_fft",
    "subsampled_hadamard",
    "wavelet_synthesis",
]
