"""The protocol of Candes, Li, Ma and Wright (2011): +1 or -1 added to a share of the entries."""

from benchopt import BaseDataset

from sparsecode.datasets import make_low_rank_plus_sparse


class Dataset(BaseDataset):
    name = "protocol"
    requirements = ["pip::sparsecode"]

    parameters = {
        "n_samples, n_features, rank": [(500, 500, 25), (1000, 1000, 50)],
        "density": [0.05, 0.1],
    }
    test_config = {"n_samples": 40, "n_features": 40, "rank": 2}

    def get_data(self) -> dict:
        X, low_rank, sparse = make_low_rank_plus_sparse(
            self.n_samples,
            n_features=self.n_features,
            rank=self.rank,
            density=self.density,
            random_state=0,
        )
        return {"X": X, "low_rank": low_rank, "sparse": sparse, "rank": self.rank}
