"""Solvers: matrices in, results out. Columns are signals, except where a name says encode."""

from sparsecode.solvers._result import (
    CodeResult,
    CompletionResult,
    ConvolutionalResult,
    DictionaryResult,
    PathResult,
    Result,
    SplitResult,
    Status,
    SVDResult,
)
from sparsecode.solvers.alternating import alternating_projections
from sparsecode.solvers.certificates import code_certificates
from sparsecode.solvers.clusters import LineClusters, kmeans_1d
from sparsecode.solvers.constrained import (
    ConstrainedResult,
    basis_pursuit,
    bpdn,
    lasso_constrained,
)
from sparsecode.solvers.convolutional import convolutional_sparse_encode, convolutional_synthesis
from sparsecode.solvers.convolutional_learning import convolutional_dictionary_learning
from sparsecode.solvers.coordinate import coordinate_descent
from sparsecode.solvers.debiasing import debias, estimate_noise
from sparsecode.solvers.dictionary import ksvd, mod
from sparsecode.solvers.encoding import sparse_encode
from sparsecode.solvers.evolution import StateEvolution, state_evolution
from sparsecode.solvers.filling import complete_rows
from sparsecode.solvers.go_decomposition import godec
from sparsecode.solvers.greedy import matching_pursuit, ols, omp, simultaneous_omp
from sparsecode.solvers.homotopy import lars
from sparsecode.solvers.label_consistent import LabelResult, label_consistent_ksvd
from sparsecode.solvers.low_rank import effective_rank, truncated_svd
from sparsecode.solvers.message_passing import MessagePassingResult, amp
from sparsecode.solvers.newton import semismooth_newton
from sparsecode.solvers.nuclear import complete, singular_value_threshold
from sparsecode.solvers.online_dictionary import OnlineState, online_dictionary_learning
from sparsecode.solvers.online_robust_pca import (
    OnlineResult,
    SubspaceState,
    online_robust_pca,
)
from sparsecode.solvers.path import lasso_path
from sparsecode.solvers.projection import robust_projection
from sparsecode.solvers.proximal import fista, ista
from sparsecode.solvers.reweighting import ReweightedResult, reweighted_l1
from sparsecode.solvers.robust_pca import principal_component_pursuit
from sparsecode.solvers.splitting import admm
from sparsecode.solvers.stable import stable_pcp
from sparsecode.solvers.subspace import cosamp, subspace_pursuit
from sparsecode.solvers.thresholding import htp, iht
from sparsecode.solvers.variation import VariationResult, total_variation
from sparsecode.solvers.weighted import (
    LowRankFactors,
    WeightedSpectrum,
    weighted_spectrum,
    weighted_svd,
)

__all__ = [
    "CodeResult",
    "CompletionResult",
    "ConstrainedResult",
    "ConvolutionalResult",
    "DictionaryResult",
    "LabelResult",
    "LineClusters",
    "LowRankFactors",
    "MessagePassingResult",
    "OnlineResult",
    "OnlineState",
    "PathResult",
    "Result",
    "ReweightedResult",
    "SVDResult",
    "SplitResult",
    "StateEvolution",
    "Status",
    "SubspaceState",
    "VariationResult",
    "WeightedSpectrum",
    "admm",
    "alternating_projections",
    "amp",
    "basis_pursuit",
    "bpdn",
    "code_certificates",
    "complete",
    "complete_rows",
    "convolutional_dictionary_learning",
    "convolutional_sparse_encode",
    "convolutional_synthesis",
    "coordinate_descent",
    "cosamp",
    "debias",
    "effective_rank",
    "estimate_noise",
    "fista",
    "godec",
    "htp",
    "iht",
    "ista",
    "kmeans_1d",
    "ksvd",
    "label_consistent_ksvd",
    "lars",
    "lasso_constrained",
    "lasso_path",
    "matching_pursuit",
    "mod",
    "ols",
    "omp",
    "online_dictionary_learning",
    "online_robust_pca",
    "principal_component_pursuit",
    "reweighted_l1",
    "robust_projection",
    "semismooth_newton",
    "simultaneous_omp",
    "singular_value_threshold",
    "sparse_encode",
    "stable_pcp",
    "state_evolution",
    "subspace_pursuit",
    "total_variation",
    "truncated_svd",
    "weighted_spectrum",
    "weighted_svd",
]
