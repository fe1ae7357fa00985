"""Missing entries filled: the solver's own answer on the training rows, and new rows like them."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsecode import MatrixCompletion
from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.solvers import complete

X, LOW_RANK, _ = make_low_rank_plus_sparse(
    60, n_features=50, rank=3, density=0.0, missing=0.3, random_state=0
)


def test_the_training_rows_are_filled_as_the_solver_did() -> None:
    model = MatrixCompletion(alpha_ratio=0.05, tol=1e-12).fit(X)
    result = complete(X, alpha_ratio=0.05, tol=1e-12)
    assert model.rank_ == result.rank
    assert model.alpha_ == result.alpha
    filled, missing = model.transform(X), np.isnan(X)
    np.testing.assert_array_equal(filled[~missing], X[~missing])
    np.testing.assert_allclose(filled[missing], result.matrix[missing], atol=1e-6)


def test_new_rows_of_the_same_subspace_are_filled() -> None:
    model = MatrixCompletion(alpha_ratio=1e-3).fit(X)
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((20, 3)) @ np.linalg.svd(LOW_RANK)[2][:3]
    seen = rows.copy()
    seen[rng.random(seen.shape) < 0.4] = np.nan
    error = np.linalg.norm(model.transform(seen) - rows) / np.linalg.norm(rows)
    assert error < 2e-2
    alone = np.vstack([model.transform(row[None]) for row in seen])
    np.testing.assert_array_equal(alone, model.transform(seen))


def test_nothing_observed_is_filled_with_zeros_and_nothing_missing_is_left_alone() -> None:
    model = MatrixCompletion().fit(X)
    filled = model.transform(np.vstack([np.full(50, np.nan), LOW_RANK[0]]))
    np.testing.assert_array_equal(filled, np.vstack([np.zeros(50), LOW_RANK[0]]))


def test_rank_zero_fills_with_zeros() -> None:
    model = MatrixCompletion(alpha_ratio=1.0).fit(X)
    assert model.rank_ == 0
    np.testing.assert_array_equal(model.transform(X), np.nan_to_num(X))


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scale(scale) -> None:
    plain, scaled = (MatrixCompletion().fit(X * c).transform(X * c) for c in (1.0, scale))
    np.testing.assert_allclose(scaled / scale, plain, atol=1e-9)


def test_in_a_pipeline_names_pass_through() -> None:
    pipeline = make_pipeline(StandardScaler(), MatrixCompletion()).set_output(transform="pandas")
    filled = pipeline.fit_transform(X)
    assert filled.shape == X.shape
    assert not filled.isna().any(axis=None)


def test_a_row_without_entries_is_refused_in_fit() -> None:
    rows = X.copy()
    rows[4] = np.nan
    with pytest.raises(ValueError, match="row 4 of X has no observed entry"):
        MatrixCompletion().fit(rows)
    with pytest.raises(ValueError, match="exactly one"):
        MatrixCompletion(alpha=1.0, alpha_ratio=0.1).fit(X)
