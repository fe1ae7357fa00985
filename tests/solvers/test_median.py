"""The median by counting digits is that of a sort."""

import numpy as np
import pytest

from sparsecode.solvers import _median
from sparsecode.solvers._median import median_size


@pytest.mark.parametrize("few", [0, 3, 2**20])
@pytest.mark.parametrize("kind", ["f", "d"])
def test_it_is_the_median_of_a_sort(kind, few, monkeypatch) -> None:
    monkeypatch.setattr(_median, "FEW", few)
    rng = np.random.default_rng(0)
    near_one = 1 + 1e-6 * rng.standard_normal((30, 7))
    for X in (rng.standard_normal((50, 9)), near_one, 10.0 ** rng.uniform(-30, 30, (40, 3))):
        X = X.astype(kind)
        X[rng.random(X.shape) < 0.2] = np.nan
        sizes = np.sort(np.abs(X[~np.isnan(X)]))
        assert median_size(X) == sizes[sizes.size // 2]
    assert median_size(np.zeros((3, 4), kind)) == 0
    assert median_size(np.full((2, 2), -3, kind)) == 3
