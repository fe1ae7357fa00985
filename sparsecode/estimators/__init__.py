"""The scikit-learn face: each estimator validates, calls one solver and keeps what it found."""

from sparsecode.estimators._coding import SparseCoder
from sparsecode.estimators._completion import MatrixCompletion
from sparsecode.estimators._compressed_sensing import CompressedSensing
from sparsecode.estimators._convolutional import ConvolutionalDictionaryLearning
from sparsecode.estimators._dictionary import KSVD, MOD
from sparsecode.estimators._dictionary_online import OnlineDictionaryLearning
from sparsecode.estimators._dynamic_quantizer import DynamicQuantizer
from sparsecode.estimators._label_consistent import LabelConsistentKSVD
from sparsecode.estimators._layer_compressor import LayerCompressor
from sparsecode.estimators._linear import ElasticNet, Lasso
from sparsecode.estimators._linear_cv import LassoCV
from sparsecode.estimators._linear_greedy import OrthogonalMatchingPursuit
from sparsecode.estimators._robust_pca import RobustPCA

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
]
