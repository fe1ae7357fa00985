"""Neural-network layers as matrices: read, factorize, weigh, and give back a network."""

from sparsecode.layers.allocation import Allocation, Choice, allocate, allocate_within_error
from sparsecode.layers.autoencoder import EncoderRow, SparseAutoencoder, compare_encoders
from sparsecode.layers.calibration import Calibration
from sparsecode.layers.compress import compress
from sparsecode.layers.compressed import CompressedNetwork
from sparsecode.layers.compressed_reading import read_compressed
from sparsecode.layers.distillation import HeadResult, distill_head, match_outputs
from sparsecode.layers.dynamic import QuantizedRows, quantize_dynamic
from sparsecode.layers.factorizations import (
    FAMILIES,
    Bits,
    BudgetError,
    Chain,
    Codebook,
    Dense,
    Dictionary,
    Factorization,
    LowRank,
    LowRankPlusSparse,
    RangeError,
    Sparse,
    Spatial,
    Sum,
    Tucker,
    Uniform,
    factorize,
    output_error,
    refit,
    unpack,
)
from sparsecode.layers.frontiers import Frontier, FrontierPoint, frontier
from sparsecode.layers.layout import Layer, Layout, Stored
from sparsecode.layers.manifest import manifest
from sparsecode.layers.network import Network, as_network
from sparsecode.layers.reading import read
from sparsecode.layers.recipe import Recipe, Rule
from sparsecode.layers.recording import calibrate
from sparsecode.layers.reencoding import Reencoding, reencode
from sparsecode.layers.report import CompressionReport, LayerRow
from sparsecode.layers.sequential import distill
from sparsecode.layers.shared import SharedDictionary, factorize_shared
from sparsecode.layers.torch.networks import from_torch, to_torch

__all__ = [
    "FAMILIES",
    "Allocation",
    "Bits",
    "BudgetError",
    "Calibration",
    "Chain",
    "Choice",
    "Codebook",
    "CompressedNetwork",
    "CompressionReport",
    "Dense",
    "Dictionary",
    "EncoderRow",
    "Factorization",
    "Frontier",
    "FrontierPoint",
    "HeadResult",
    "Layer",
    "LayerRow",
    "Layout",
    "LowRank",
    "LowRankPlusSparse",
    "Network",
    "QuantizedRows",
    "RangeError",
    "Recipe",
    "Reencoding",
    "Rule",
    "SharedDictionary",
    "Sparse",
    "SparseAutoencoder",
    "Spatial",
    "Stored",
    "Sum",
    "Tucker",
    "Uniform",
    "allocate",
    "allocate_within_error",
    "as_network",
    "calibrate",
    "compare_encoders",
    "compress",
    "distill",
    "distill_head",
    "factorize",
    "factorize_shared",
    "from_torch",
    "frontier",
    "manifest",
    "match_outputs",
    "output_error",
    "quantize_dynamic",
    "read",
    "read_compressed",
    "reencode",
    "refit",
    "to_torch",
    "unpack",
]
