"""Errors no larger than the entries: uniform between plus and minus their mean absolute value.

The data on which Cai, Cai and Wei (2019) show accelerated alternating projections.
"""

import numpy as np
from benchopt import BaseDataset

from sparsecode.datasets import make_low_rank_plus_sparse


class Dataset(BaseDataset):
    name = "small_errors"
    requirements = ["pip::sparsecode"]

    parameters = {"n, rank": [(500, 5)], "density": [0.1, 0.3]}
    test_config = {"n": 40, "rank": 2}

    def get_data(self) -> dict:
        _, low_rank, sparse = make_low_rank_plus_sparse(
            self.n, rank=self.rank, density=self.density, random_state=0
        )
        size = np.mean(np.abs(low_rank))
        sparse *= np.random.RandomState(1).uniform(0, size, sparse.shape)
        return {"X": low_rank + sparse, "low_rank": low_rank, "sparse": sparse, "rank": self.rank}
