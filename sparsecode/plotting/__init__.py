"""Pictures in scikit-learn's manner: a Display holds numbers, and `plot` draws them.

matplotlib is imported by `plot` alone, so a Display can be made, stored and sent without it.
"""

from sparsecode.plotting.compression import CompressionDisplay
from sparsecode.plotting.convergence import ConvergenceDisplay
from sparsecode.plotting.decomposition import DecompositionDisplay
from sparsecode.plotting.dictionary import DictionaryDisplay
from sparsecode.plotting.frontier import FrontierDisplay
from sparsecode.plotting.phase_transition import PhaseTransitionDisplay
from sparsecode.plotting.spectrum import SpectrumDisplay

__all__ = [
    "CompressionDisplay",
    "ConvergenceDisplay",
    "DecompositionDisplay",
    "DictionaryDisplay",
    "FrontierDisplay",
    "PhaseTransitionDisplay",
    "SpectrumDisplay",
]
