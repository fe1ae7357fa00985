"""The linear regressors: against scikit-learn's, cvxpy, their optimality conditions and laws."""

import tracemalloc
import warnings
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import linear_model as peer
from sklearn.exceptions import ConvergenceWarning

from sparsecode import ElasticNet, Lasso, LassoCV, OrthogonalMatchingPursuit

ALPHA = 0.3
TIGHT = 1e-12  # a duality gap this small leaves about 1e-6 in the coefficients
KINDS = [np.asarray, sp.csr_array, sp.csc_array, sp.csr_matrix]


def data(n_targets: int = 0, dtype: Any = np.float64, n: int = 50, p: int = 80) -> Any:
    """More features than samples, far from centred, with sparse coefficients and weights."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)) * (rng.random((n, p)) < 0.5) + (np.arange(p) % 3 == 0)
    w = np.zeros((p, n_targets or 1))
    w[:6] = 3 * rng.standard_normal(w[:6].shape)
    y = X @ w + 5 + 0.5 * rng.standard_normal((n, n_targets or 1))
    weights = rng.uniform(0, 2, n) * (np.arange(n) % 7 > 0)
    return X.astype(dtype), (y if n_targets else y[:, 0]).astype(dtype), weights


def objective(model: Any, X: Any, y: np.ndarray, weights: Any = None) -> float:
    """scikit-learn's, as its user guide states it."""
    w, l1_ratio = model.coef_, getattr(model, "l1_ratio", 1.0)
    errors = np.average((y - X @ w - model.intercept_) ** 2, weights=weights)
    ridge = model.alpha * (1 - l1_ratio) / 2 * np.sum(w**2)
    return float(errors / 2 + model.alpha * l1_ratio * np.sum(np.abs(w)) + ridge)


def peers(model: Any) -> Any:
    """scikit-learn's estimator with the same parameters, run to the same accuracy."""
    shared = type(model).__name__, model.get_params()
    return getattr(peer, shared[0])(**{**shared[1], "max_iter": 10**6})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        Lasso(ALPHA),
        Lasso(ALPHA, positive=True),
        ElasticNet(ALPHA, l1_ratio=0.7),
        ElasticNet(ALPHA, positive=True),
    ],
    ids=str,
)
def test_the_answer_is_that_of_scikit_learn(
    model: Any, fit_intercept: bool, weighted: bool, kind: Any
) -> None:
    X, y, weights = data()
    weights = weights if weighted else None
    model = model.set_params(fit_intercept=fit_intercept, tol=TIGHT)
    ours = model.fit(kind(X), y, sample_weight=weights)
    theirs = peers(model).fit(X, y, sample_weight=weights)
    assert 1 < np.count_nonzero(ours.coef_) < X.shape[1]
    values = [objective(m, X, y, weights) for m in (ours, theirs)]
    assert values[0] <= values[1] * (1 + 1e-10)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=2e-5)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=2e-5)
    np.testing.assert_allclose(ours.predict(kind(X)), theirs.predict(X), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
def test_the_objective_is_the_least_that_cvxpy_finds(l1_ratio: float, kind: Any) -> None:
    X, y, weights = data()
    model = ElasticNet(ALPHA, l1_ratio=l1_ratio, tol=1e-9).fit(kind(X), y, sample_weight=weights)
    w, b = cp.Variable(X.shape[1]), cp.Variable()
    errors = cp.sum(cp.multiply(weights / weights.sum(), cp.square(y - X @ w - b)))
    penalty = l1_ratio * cp.norm1(w) + (1 - l1_ratio) / 2 * cp.sum_squares(w)
    least = cp.Problem(cp.Minimize(errors / 2 + ALPHA * penalty)).solve(solver="CLARABEL")
    assert objective(model, X, y, weights) == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize("alpha", [1e-8, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("l1_ratio", [0.3, 0.5, 1.0])
def test_one_feature_is_shrunk_by_the_formula(l1_ratio: float, alpha: float) -> None:
    X, y = np.array([[-1.0], [0.0], [1.0]]), np.array([-1.0, 0.0, 1.0])
    model = ElasticNet(alpha, l1_ratio=l1_ratio, tol=1e-14).fit(X, y)
    expected = max(2 / 3 - alpha * l1_ratio, 0) / (2 / 3 + alpha * (1 - l1_ratio))
    np.testing.assert_allclose(model.coef_, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.predict([[2.0], [3.0]]), [2 * expected, 3 * expected])


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_the_optimality_conditions_hold(kind: Any, positive: bool) -> None:
    X, y, weights = data()
    model = Lasso(ALPHA, positive=positive, tol=TIGHT).fit(kind(X), y, sample_weight=weights)
    share = weights / weights.sum()
    residual = y - X @ model.coef_ - model.intercept_
    assert share @ residual == pytest.approx(0, abs=1e-9)
    slope = X.T @ (share * residual)
    assert (slope if positive else np.abs(slope)).max() <= ALPHA * (1 + 1e-5)
    support = np.flatnonzero(model.coef_)
    np.testing.assert_allclose(slope[support], ALPHA * np.sign(model.coef_[support]), rtol=1e-5)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize(
    "model",
    [Lasso(0.02), Lasso(0.02, positive=True), ElasticNet(0.02), ElasticNet(0.02, positive=True)],
    ids=str,
)
def test_the_dual_gap_bounds_what_is_left(model: Any, kind: Any) -> None:
    X, y, weights = data(n=60, p=300)
    best = model.set_params(tol=TIGHT).fit(kind(X), y, sample_weight=weights)
    least, zero = objective(best, X, y, weights), np.average(y, weights=weights)
    at_zero = 0.5 * np.average((y - zero) ** 2, weights=weights)
    gaps = []
    for max_iter in (1, 2, 3):  # too few, so that there is something left
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            rough = model.set_params(max_iter=max_iter, tol=1e-14)
            rough.fit(kind(X), y, sample_weight=weights)
        left = objective(rough, X, y, weights) - least
        assert left <= rough.dual_gap_ + 1e-12 * at_zero
        gaps.append(rough.dual_gap_)
    assert gaps[0] > 1e-4 * at_zero
    assert model.set_params(max_iter=100, tol=1e-3).fit(kind(X), y).dual_gap_ <= 1e-3 * at_zero * 2


def test_the_dual_gap_is_that_of_the_mean_not_of_the_sum() -> None:
    X, y, _ = data()
    model = Lasso(0.05, tol=1e-2)
    once = model.fit(X, y).dual_gap_
    assert once > 0
    thrice = model.fit(np.tile(X, (3, 1)), np.tile(y, 3)).dual_gap_
    assert thrice == pytest.approx(once, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "model", [Lasso(ALPHA), ElasticNet(ALPHA), OrthogonalMatchingPursuit()], ids=str
)
def test_targets_are_problems_of_their_own(model: Any, kind: Any) -> None:
    X, Y, _ = data(n_targets=3)
    together = model.fit(kind(X), Y)
    coef, intercept, n_iter = together.coef_, together.intercept_, together.n_iter_
    assert (coef.shape, intercept.shape, n_iter.shape) == ((3, X.shape[1]), (3,), (3,))
    assert together.predict(kind(X)).shape == Y.shape
    assert (together.sparse_coef_.toarray() == coef).all()
    gaps = getattr(together, "dual_gap_", None)
    for k in range(3):
        alone = model.fit(kind(X), Y[:, k])
        np.testing.assert_allclose(alone.coef_, coef[k], rtol=0, atol=1e-9)
        np.testing.assert_allclose(alone.intercept_, intercept[k], rtol=0, atol=1e-9)
        assert alone.n_iter_ == n_iter[k]
        assert alone.sparse_coef_.shape == (1, X.shape[1])
        if gaps is not None:
            assert alone.dual_gap_ == pytest.approx(gaps[k], abs=1e-9)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("model", [Lasso(), ElasticNet(), OrthogonalMatchingPursuit()], ids=str)
def test_shapes_are_those_of_scikit_learn(model: Any, fit_intercept: bool) -> None:
    X, Y, _ = data(n_targets=2)
    model.set_params(fit_intercept=fit_intercept)
    for y in (Y, Y[:, 0], Y[:, :1]):
        ours, theirs = model.fit(X, y), getattr(peer, type(model).__name__)().fit(X, y)
        assert ours.coef_.shape == theirs.coef_.shape
        assert ours.predict(X).shape == theirs.predict(X).shape
        if fit_intercept:
            assert np.shape(ours.intercept_) == np.shape(theirs.intercept_)
        else:
            assert ours.intercept_ == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "model",
    [Lasso(ALPHA), ElasticNet(ALPHA), LassoCV(alphas=8), OrthogonalMatchingPursuit(tol=100.0)],
    ids=str,
)
def test_float32_stays_float32(model: Any, kind: Any) -> None:
    X, y, _ = data(dtype=np.float32)
    double = model.fit(kind(X.astype(np.float64)), y).coef_
    single = model.fit(kind(X), y)
    assert (single.coef_.dtype, single.intercept_.dtype) == (np.float32, np.float32)
    assert single.predict(kind(X)).dtype == np.float32
    np.testing.assert_allclose(single.coef_, double, rtol=0, atol=5e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("model", [Lasso(ALPHA), ElasticNet(ALPHA)], ids=str)
class TestWeights:
    def fitted(self, model: Any, *args: Any) -> tuple[np.ndarray, Any, float]:
        fit = model.set_params(tol=TIGHT).fit(*args)
        return fit.coef_.copy(), fit.intercept_, fit.dual_gap_

    def assert_same(self, one: Any, other: Any) -> None:
        np.testing.assert_allclose(one[0], other[0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1e-6)

    def test_a_whole_number_is_so_many_copies(
        self, model: Any, fit_intercept: bool, kind: Any
    ) -> None:
        X, y, _ = data()
        model.set_params(fit_intercept=fit_intercept)
        copies = np.random.default_rng(1).integers(0, 4, y.size)
        repeated = self.fitted(model, kind(np.repeat(X, copies, axis=0)), np.repeat(y, copies))
        self.assert_same(self.fitted(model, kind(X), y, copies), repeated)

    def test_no_weight_is_no_sample(self, model: Any, fit_intercept: bool, kind: Any) -> None:
        X, y, weights = data()
        model.set_params(fit_intercept=fit_intercept)
        kept = weights > 0
        without = self.fitted(model, kind(X[kept]), y[kept], weights[kept])
        y = np.where(kept, y, 1e6)  # must not matter
        with_zeros = self.fitted(model, kind(X), y, weights)
        assert (with_zeros[0] == without[0]).all()
        assert with_zeros[1:] == without[1:]

    def test_only_their_ratios_matter(self, model: Any, fit_intercept: bool, kind: Any) -> None:
        X, y, weights = data()
        model.set_params(fit_intercept=fit_intercept)
        first = self.fitted(model, kind(X), y, weights)
        for factor in (1e-200, 3.7, 1e200):
            self.assert_same(self.fitted(model, kind(X), y, factor * weights), first)
        plain = self.fitted(model, kind(X), y)
        for equal in (2.5, np.float32(7), np.full(y.size, 3.1), [3] * y.size):
            self.assert_same(self.fitted(model, kind(X), y, equal), plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "model", [Lasso(ALPHA), ElasticNet(ALPHA), OrthogonalMatchingPursuit()], ids=str
)
def test_the_intercept_takes_up_every_shift(model: Any, kind: Any) -> None:
    X, y, _ = data()
    coef, intercept = model.fit(kind(X), y).coef_.copy(), model.intercept_
    shift = np.linspace(-1e3, 1e3, X.shape[1])
    moved = model.fit(kind(X + shift), y - 1e3)
    np.testing.assert_allclose(moved.coef_, coef, rtol=0, atol=1e-5)
    np.testing.assert_allclose(moved.intercept_, intercept - 1e3 - shift @ coef, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("model", [Lasso(1e-6), OrthogonalMatchingPursuit(tol=0.0)], ids=str)
def test_a_constant_feature_is_not_chosen_beside_an_intercept(
    model: Any, kind: Any, dtype: Any
) -> None:
    """Its rounding errors, centred, would have a direction like any other feature."""
    X, y, _ = data(n=30, p=5)
    X[:, [1, 3]] = 0.1, 1e5 / 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = model.fit(kind(X.astype(dtype)), y.astype(dtype))
    assert (fitted.coef_ != 0).tolist() == [True, False, True, False, True]
    constant = model.fit(kind(X.astype(dtype)), np.full(30, 0.1, dtype))
    assert not constant.coef_.any()
    assert constant.intercept_ == dtype(0.1)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_a_warm_start_starts_at_the_last_answer(kind: Any, positive: bool) -> None:
    X, y, _ = data()
    model = Lasso(0.01, positive=positive, warm_start=True, tol=1e-9).fit(kind(X), y)
    coef = model.coef_.copy()
    cold = Lasso(0.01, positive=positive, max_iter=1, tol=1e-9)
    with pytest.warns(ConvergenceWarning, match="semismooth_newton did not converge"):
        cold.fit(kind(X), y)
    again = model.set_params(max_iter=1).fit(kind(X), y)  # or it would warn
    np.testing.assert_allclose(again.coef_, coef, rtol=0, atol=1e-7)
    model.coef_ = -np.ones(X.shape[1])
    far = model.set_params(max_iter=100).fit(kind(X), y)
    np.testing.assert_allclose(far.coef_, coef, rtol=0, atol=1e-4)


def test_a_warm_start_for_other_data_is_an_error() -> None:
    X, y, _ = data()
    model = Lasso(ALPHA, warm_start=True).fit(X, y)
    for other in ((X[:, 1:], y), (X, np.column_stack([y, y]))):
        with pytest.raises(ValueError, match=r"starts from .* set warm_start=False"):
            model.fit(*other)


def test_sparse_data_stay_sparse() -> None:
    rng = np.random.default_rng(0)
    X = sp.random_array((20_000, 3_000), density=5e-4, format="csr", rng=rng)  # 480 MB when dense
    y = X[:, [0, 1]].sum(axis=1)
    models = [
        Lasso(5e-5),
        Lasso(5e-5, fit_intercept=False),
        ElasticNet(5e-5, l1_ratio=0.9),
        LassoCV(alphas=3, eps=0.3, cv=2),
        OrthogonalMatchingPursuit(n_nonzero_coefs=2),
    ]
    for model in models:
        tracemalloc.start()
        model.fit(X, y, *([np.ones(y.size)] if isinstance(model, Lasso) else []))
        model.predict(X)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0 < np.count_nonzero(model.coef_) < 100
        assert peak < 200e6, model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Lasso(0), "alpha=0 is least squares.*LinearRegression"),
        (Lasso(-1.0), r"alpha has to be a finite number in \[0, inf"),
        (Lasso(tol=-1.0), "tol has to be a finite number"),
        (Lasso(max_iter=0), "max_iter has to be at least 1, got 0"),
        (ElasticNet(0.0), "alpha=0 is least squares.*LinearRegression"),
        (ElasticNet(l1_ratio=0), "l1_ratio=0 is ridge regression.*Ridge"),
        (ElasticNet(l1_ratio=1.5), r"l1_ratio has to be a finite number in \[0, 1\], got 1.5"),
        (LassoCV(alphas=[1.0, 0.0]), "alphas=0 is least squares.*LinearRegression"),
        (LassoCV(alphas=[1.0, -2.0]), "alphas has to be a finite number .* got -2.0"),
        (LassoCV(alphas=["a"]), "alphas has to be numeric"),
        (LassoCV(alphas=0), "alphas has to be at least 1, got 0"),
        (LassoCV(alphas=[1.0], eps=0.1), "eps is not used by an array of alphas"),
        (LassoCV(eps=2.0), r"eps has to be a finite number in \[2.22045e-16, 1\], got 2.0"),
        (OrthogonalMatchingPursuit(n_nonzero_coefs=2, tol=1.0), "n_nonzero_coefs or tol, not both"),
        (OrthogonalMatchingPursuit(n_nonzero_coefs=81), "between 1 and 80, got 81"),
        (OrthogonalMatchingPursuit(tol=-1.0), "tol has to be a finite number"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.fit(*data()[:2])


@pytest.mark.parametrize("model", [Lasso(), ElasticNet(), LassoCV()], ids=str)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(49), "sample_weight has 49 entries for 50 samples"),
        (np.r_[-1.0, np.ones(49)], "sample_weight has to be nonnegative, got -1"),
        (np.r_[np.nan, np.ones(49)], "sample_weight contains NaN"),
        (np.zeros(50), "sample_weight is zero for every sample"),
        (np.ones((50, 1)), "sample_weight has to be 1-D"),
        (0.0, "sample_weight has to be a finite number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_weights_are_named(model: Any, weights: Any, message: str) -> None:
    X, y, _ = data()
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("name", ["fit_intercept", "positive", "warm_start"])
def test_a_flag_is_true_or_false(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} has to be True or False, got 1"):
        Lasso(**{name: 1}).fit(*data()[:2])


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_the_scale_of_the_data_does_not_matter(kind: Any) -> None:
    X, y, _ = data()
    plain = Lasso(ALPHA).fit(kind(X), y)
    for x_unit, y_unit in ((2.0**300, 2.0**-300), (2.0**-300, 2.0**300)):
        model = Lasso(ALPHA * x_unit * y_unit).fit(kind(X * x_unit), y * y_unit)
        np.testing.assert_allclose(model.coef_ / y_unit * x_unit, plain.coef_, rtol=0, atol=1e-5)
        assert model.intercept_ / y_unit == pytest.approx(plain.intercept_, rel=1e-6)


def test_data_that_cannot_be_centred_are_named() -> None:
    X, y, _ = data()
    ends = np.where(np.arange(y.size) == 0, -1.7e308, 1.7e308)  # their distance is not a number
    for pair in ((np.column_stack([X, ends]), y), (X, ends)):
        with pytest.raises(ValueError, match="too large to be centred in float64; rescale"):
            Lasso().fit(*pair)
