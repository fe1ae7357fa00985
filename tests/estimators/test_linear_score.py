"""The score of the linear regressors: scikit-learn's number, of numbers alone, at any scale."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import r2_score

from sparsecode import Lasso, OrthogonalMatchingPursuit

rng = np.random.default_rng(0)
X = rng.standard_normal((30, 5))
Y = X @ rng.standard_normal((5, 2)) + 3 + rng.standard_normal((30, 2))
WEIGHTS = rng.uniform(0, 2, 30) * (np.arange(30) % 7 > 0)


@pytest.mark.parametrize("y", [Y[:, 0], Y], ids=["one target", "two"])
@pytest.mark.parametrize("weights", [None, WEIGHTS, 1e300 * WEIGHTS], ids=["", "w", "huge"])
def test_the_score_is_that_of_scikit_learn(y: np.ndarray, weights: Any) -> None:
    model = Lasso(0.1).fit(X, y)
    ordinary = None if weights is None else WEIGHTS
    expected = r2_score(y, model.predict(X), sample_weight=ordinary)
    assert model.score(X, y, sample_weight=weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**900])
def test_the_score_has_no_scale(scale: float) -> None:
    model, scaled = (
        OrthogonalMatchingPursuit(n_nonzero_coefs=2).fit(X, s * Y[:, 0]) for s in (1.0, scale)
    )
    assert scaled.score(X, scale * Y[:, 0]) == pytest.approx(model.score(X, Y[:, 0]), rel=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": np.ma.masked_less(Y[:, 0], 2)}, "y is a masked array"),
        ({"y": np.full(30, b"1")}, "y has to be numeric"),
        ({"y": np.full(30, np.datetime64("2026-01-01"))}, "y has to be numeric"),
        ({"y": Y}, "y has 30 samples of 2 targets; of X are predicted 30 of 1"),
        ({"X": X[:1], "y": Y[:1, 0]}, "X has a single sample"),
        ({"X": 1e300 * X}, "the score of X and y exceeds the range of float64"),
        ({"sample_weight": np.zeros(30)}, "sample_weight is zero for every sample"),
        ({"sample_weight": -WEIGHTS}, "sample_weight has to be nonnegative"),
    ],
    ids=str,
)
def test_what_has_no_score_is_named(given: dict[str, Any], message: str) -> None:
    model = Lasso(0.1).fit(X, Y[:, 0])
    with pytest.raises(ValueError, match=message):
        model.score(**{"X": X, "y": Y[:, 0]} | given)
