"""Solvers: matrices in, results out. Columns are signals, except where a name says encode."""

from sparsecode.solvers._result import (
    CodeResult,
    DictionaryResult,
    Result,
    SplitResult,
    Status,
    SVDResult,
)
from sparsecode.solvers.dictionary import ksvd
from sparsecode.solvers.encoding import sparse_encode
from sparsecode.solvers.greedy import omp
from sparsecode.solvers.low_rank import LowRankFactors, truncated_svd, weighted_svd
from sparsecode.solvers.proximal import fista, ista
from sparsecode.solvers.robust_pca import principal_component_pursuit, robust_projection

__all__ = [
    "CodeResult",
    "DictionaryResult",
    "LowRankFactors",
    "Result",
    "SVDResult",
    "SplitResult",
    "Status",
    "fista",
    "ista",
    "ksvd",
    "omp",
    "principal_component_pursuit",
    "robust_projection",
    "sparse_encode",
    "truncated_svd",
    "weighted_svd",
]
