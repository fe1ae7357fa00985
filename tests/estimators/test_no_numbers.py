"""What scikit-learn's validation takes for numbers, or refuses without a name, has one here."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from sparsecode import (
    KSVD,
    ElasticNet,
    LabelConsistentKSVD,
    Lasso,
    LassoCV,
    MatrixCompletion,
    RobustPCA,
    SparseCoder,
)

rng = np.random.default_rng(0)
X = rng.standard_normal((12, 5))
y = X @ np.array([2.0, 0, -1, 0, 0.5]) + 0.1 * rng.standard_normal(12)
CLASSES = np.arange(12) % 2
ESTIMATORS = [
    KSVD(3, max_iter=1, random_state=0),
    LabelConsistentKSVD(4, max_iter=1, random_state=0),
    Lasso(0.1),
    MatrixCompletion(alpha=0.1),
    RobustPCA(),
    SparseCoder("dct"),
]
each = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)


def fit(estimator: Any, X: Any) -> Any:
    return clone(estimator).fit(X, CLASSES if hasattr(estimator, "predict") else None)


@each
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.ma.array(X, mask=X > 1), "X is a masked array; fill it"),
        (np.full(X.shape, b"1"), "X has to be numeric, got dtype"),
        (np.full(X.shape, np.datetime64("2026-01-01")), "X has to be numeric, got dtype"),
        (np.full(X.shape, "a"), "X is no array of numbers: could not convert"),
        ([[1.0, 2.0], [3.0]], "X is no array of numbers: setting an array element"),
        (object(), "X is no array of numbers"),
    ],
)
def test_no_numbers(estimator, wrong, message) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        fit(estimator, wrong)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@each
def test_a_mask_of_nothing_and_a_matrix_are_arrays(estimator) -> None:
    plain = fit(estimator, X)
    fitted = [fit(estimator, form) for form in (np.ma.array(X), np.asmatrix(X))]
    name = "predict" if hasattr(estimator, "predict") else "transform"
    for other in fitted:
        np.testing.assert_array_equal(getattr(other, name)(X), getattr(plain, name)(X))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.ma.array(y, mask=y > 1), "y is a masked array"),
        (np.full(12, np.datetime64("2026-01-01")), "y has to be numeric"),
        (np.full(12, "a"), "y holds objects that are not real numbers"),
        (1.0, "y has to be 1-D or 2-D"),
    ],
)
def test_no_targets(wrong, message) -> None:
    with pytest.raises(ValueError, match=message):
        Lasso(0.1).fit(X, wrong)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_cross_validation_chooses_the_same_at_any_scale(scale) -> None:
    plain, scaled = (LassoCV(alphas=5, cv=2).fit(X, y * s) for s in (1, scale))
    np.testing.assert_allclose(scaled.alpha_ / scale, plain.alpha_, rtol=1e-6)
    np.testing.assert_allclose(scaled.coef_ / scale, plain.coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_jobs": 1.5}, "n_jobs has to be an integer"),
        ({"n_jobs": 0}, "n_jobs has to be a number of threads"),
        ({"eps": 1e-300}, "eps has to be a finite number in"),
        ({"cv": {"a": 1}}, "cv=.* gives no folds of the samples"),
    ],
)
def test_a_wrong_parameter_of_the_search(parameters, message) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        LassoCV(**parameters).fit(X, y)


def test_as_many_jobs_as_there_are_folds_are_enough() -> None:
    few, many = (LassoCV(alphas=3, cv=2, n_jobs=n).fit(X, y) for n in (1, 2**40))
    np.testing.assert_array_equal(many.mse_path_, few.mse_path_)
    np.testing.assert_array_equal(many.coef_, few.coef_)


def test_a_share_that_is_as_good_as_zero() -> None:
    with pytest.raises(ValueError, match="l1_ratio, or a weight, of penalty cannot be told from 0"):
        ElasticNet(0.1, l1_ratio=5e-324).fit(X, y)
