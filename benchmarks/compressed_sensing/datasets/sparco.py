"""Problems of the Sparco collection, as `make_sparco_problem` draws them; no noise."""

import numpy as np
from benchopt import BaseDataset

from sparsecode.datasets import make_sparco_problem


class Dataset(BaseDataset):
    name = "sparco"

    parameters = {"problem": ["cosspike", "gcosspike", "p3poly"]}
    requirements = ["pip::PyWavelets"]

    def get_data(self) -> dict:
        A, y, x, _ = make_sparco_problem(self.problem, random_state=0)
        k = int(np.count_nonzero(x))
        return {"A": np.ascontiguousarray(A), "y": y, "x": x, "sigma": 0.0, "n_nonzero_coefs": k}
