"""Data with known answers, and real data that ships with a dependency: nothing is downloaded."""

from sparsecode.datasets._generators import (
    CompressedMeasurements,
    CorruptedLowRank,
    SparseCodedSignals,
    make_compressed_measurements,
    make_low_rank_plus_sparse,
    make_sparse_coded_signals,
)
from sparsecode.datasets._images import load_image_patches
from sparsecode.datasets._networks import (
    DigitsNetwork,
    digits_network_accuracy,
    digits_network_predict,
    load_digits_network,
)
from sparsecode.datasets._phantom import radial_lines, shepp_logan
from sparsecode.datasets._sparco import SparcoProblem, make_sparco_problem

__all__ = [
    "CompressedMeasurements",
    "CorruptedLowRank",
    "DigitsNetwork",
    "SparcoProblem",
    "SparseCodedSignals",
    "digits_network_accuracy",
    "digits_network_predict",
    "load_digits_network",
    "load_image_patches",
    "make_compressed_measurements",
    "make_low_rank_plus_sparse",
    "make_sparco_problem",
    "make_sparse_coded_signals",
    "radial_lines",
    "shepp_logan",
]
