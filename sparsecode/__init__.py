"""Sparse and low-rank structure in matrices, with a certificate beside every answer.

The scikit-learn estimators are here; `solvers`, `penalties`, `datasets` and `layers` are the rooms
beneath them. Nothing is imported until it is used, so ``import sparsecode`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

_ESTIMATORS = (
    "KSVD",
    "MOD",
    "CompressedSensing",
    "DynamicQuantizer",
    "ConvolutionalDictionaryLearning",
    "ElasticNet",
    "LabelConsistentKSVD",
    "Lasso",
    "LassoCV",
    "LayerCompressor",
    "MatrixCompletion",
    "OnlineDictionaryLearning",
    "OrthogonalMatchingPursuit",
    "RobustPCA",
    "SparseCoder",
)

__all__ = [
    "KSVD",
    "MOD",
    "CompressedSensing",
    "ConvolutionalDictionaryLearning",
    "DynamicQuantizer",
    "ElasticNet",
    "LabelConsistentKSVD",
    "Lasso",
    "LassoCV",
    "LayerCompressor",
    "MatrixCompletion",
    "OnlineDictionaryLearning",
    "OrthogonalMatchingPursuit",
    "RobustPCA",
    "SparseCoder",
    "__version__",
    "datasets",
    "estimators",
    "images",
    "layers",
    "objectives",
    "operators",
    "penalties",
    "plotting",
    "solvers",
    "theory",
]

if TYPE_CHECKING:
    from sparsecode import (
        datasets,
        estimators,
        images,
        layers,
        objectives,
        operators,
        penalties,
        plotting,
        solvers,
        theory,
    )
    from sparsecode.estimators import (
        KSVD,
        MOD,
        CompressedSensing,
        ConvolutionalDictionaryLearning,
        DynamicQuantizer,
        ElasticNet,
        LabelConsistentKSVD,
        Lasso,
        LassoCV,
        LayerCompressor,
        MatrixCompletion,
        OnlineDictionaryLearning,
        OrthogonalMatchingPursuit,
        RobustPCA,
        SparseCoder,
    )


def __getattr__(name: str) -> Any:
    if name in _ESTIMATORS:
        return getattr(importlib.import_module("sparsecode.estimators"), name)
    if name in __all__:
        return importlib.import_module(f"sparsecode.{name}")
    raise AttributeError(
        f"module 'sparsecode' has no attribute {name!r}; it has {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)
