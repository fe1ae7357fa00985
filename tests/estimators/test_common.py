"""What holds for every estimator: scikit-learn's own suite, and what its users build with them."""

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sparsecode import (
    KSVD,
    MOD,
    CompressedSensing,
    ConvolutionalDictionaryLearning,
    DynamicQuantizer,
    ElasticNet,
    LabelConsistentKSVD,
    Lasso,
    LassoCV,
    LayerCompressor,
    MatrixCompletion,
    OnlineDictionaryLearning,
    OrthogonalMatchingPursuit,
    RobustPCA,
    SparseCoder,
    estimators,
)

# The suite's data are noise, of which no split is the right one: the warning is right.
pytestmark = pytest.mark.filterwarnings("ignore:alternating_projections took")

# A new estimator, or a new way to use one, is tested by being listed. The suite sets
# n_components=1 here and there, which n_nonzero_coefs must allow.
TRANSFORMERS = [
    SparseCoder(),
    SparseCoder(
        n_components=20, transform_algorithm="lasso_cd", transform_alpha=0.1, positive_code=True
    ),
    SparseCoder(
        "identity", transform_algorithm="threshold", transform_alpha=0.1, sparse_output=True
    ),
    SparseCoder(transform_algorithm="lasso_lars", transform_alpha=0.1, split_sign=True),
    SparseCoder("identity", transform_algorithm="iht", transform_n_nonzero_coefs=1),
    KSVD(),
    KSVD(8, n_nonzero_coefs=1, update="exact", init="dct", sparse_output=True),
    KSVD(4, alpha=0.1, max_iter=3),
    MOD(),
    MOD(6, n_nonzero_coefs=1, init="svd", max_iter=3, positive=True, missing_values=np.nan),
    OnlineDictionaryLearning(max_iter=2),
    OnlineDictionaryLearning(4, alpha=0.1, batch_size=16, max_iter=3, positive=True),
    OnlineDictionaryLearning(
        5, n_nonzero_coefs=1, max_iter=2, missing_values=np.nan, sparse_output=True
    ),
    RobustPCA(),
    RobustPCA(method="alternating_projections", rank=1),
    RobustPCA(alpha=0.5, transform_alpha=0.1),
    RobustPCA(alpha=0.01),
    RobustPCA(missing_values=np.nan),
    RobustPCA(method="alternating_projections", rank=1, missing_values=np.nan),
    RobustPCA(method="stable", sigma=0.1),
    RobustPCA(method="stable", sigma=0.5, alpha=0.5, tol=1e-4, missing_values=np.nan),
    RobustPCA(method="godec", rank=1, n_outliers=2),
    RobustPCA(method="godec", rank=1, n_outliers=0, missing_values=np.nan),
    RobustPCA(method="online", rank=1),
    RobustPCA(method="online", rank=1, alpha=0.5, batch_size=7, missing_values=np.nan),
    RobustPCA(method="online", rank=1, forgetting=0.9, batch_size=3),
    CompressedSensing(),
    CompressedSensing(3, sensing="bernoulli", solver="fista", alpha=0.1),
    CompressedSensing(sensing="dct", basis="dct", solver="fista"),
    CompressedSensing(sensing="dct", solver="basis_pursuit", tol=1e-4),
    CompressedSensing(sigma=0.1, tol=1e-4),
    CompressedSensing(solver="cosamp", n_nonzero_coefs=1, max_iter=5),
    CompressedSensing(solver="reweighted_l1", sigma=0.1, tol=1e-3, max_iter=50),
    ConvolutionalDictionaryLearning(3, max_iter=5),
    ConvolutionalDictionaryLearning(2, 1, boundary="valid", max_iter=5, positive=True),
    ConvolutionalDictionaryLearning(2, boundary="full", max_iter=5, missing_values=np.nan),
]
DENSE = [e for e in TRANSFORMERS if not getattr(e, "sparse_output", False)]
IMPUTERS = [MatrixCompletion(), MatrixCompletion(alpha=0.5)]
# The suite has data of 5 x 3, where little is saved, and sets n_features to 1.
COMPRESSORS = [
    DynamicQuantizer(),
    DynamicQuantizer(bits=3, symmetric=False),
    LayerCompressor(),
    LayerCompressor("uniform", bits=4, group_size=2, symmetric=False, budget=0.6),
    LayerCompressor("dense", budget=1.0),
    LayerCompressor("low_rank", budget=0.7),
    LayerCompressor("sparse", budget=0.5),
    LayerCompressor("sparse", threshold="row", value_bits=6, budget=0.7),
    LayerCompressor("low_rank+sparse", n_rounds=3, budget=0.9),
    LayerCompressor("dictionary", n_rounds=3, budget=0.8),
    LayerCompressor("codebook", budget=0.7),
]
CLASSIFIERS = [LabelConsistentKSVD(), LabelConsistentKSVD(12, n_nonzero_coefs=1, max_iter=3)]
REGRESSORS = [
    Lasso(),
    Lasso(0.1, fit_intercept=False, positive=True),
    ElasticNet(0.1),
    LassoCV(alphas=10),
    LassoCV(alphas=[1.0, 0.1], positive=True, cv=2),
    OrthogonalMatchingPursuit(),
    OrthogonalMatchingPursuit(n_nonzero_coefs=1, fit_intercept=False),
]
EACH = [
    SparseCoder(n_components=20),
    KSVD(20),
    MOD(20),
    OnlineDictionaryLearning(20, max_iter=3),
    RobustPCA(),
    CompressedSensing(7),
    ConvolutionalDictionaryLearning(2, 3),
]


def named(estimator: Any) -> str:
    return type(estimator).__name__


def samples(n: int = 40, n_features: int = 12, dtype: Any = np.float64) -> np.ndarray:
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((n, 4)) @ rng.standard_normal((4, n_features))
    return (mixed + 0.1 * rng.standard_normal((n, n_features))).astype(dtype)


def targets(n: int = 40, n_features: int = 12) -> np.ndarray:
    return 20 * samples(n, n_features)[:, 0] + 5


def seeded(estimator: Any) -> Any:
    estimator = clone(estimator)
    return (
        estimator.set_params(random_state=0)
        if "random_state" in estimator.get_params()
        else estimator
    )


def as_bytes(Z: Any) -> bytes:
    return (Z.toarray() if sp.issparse(Z) else np.ascontiguousarray(Z)).tobytes()


@parametrize_with_checks([*TRANSFORMERS, *CLASSIFIERS, *IMPUTERS, *COMPRESSORS, *REGRESSORS])
def test_scikit_learns_whole_suite(estimator: Any, check: Any) -> None:
    check(estimator)


def test_every_estimator_is_in_the_registry() -> None:
    assert {
        named(e) for e in [*TRANSFORMERS, *CLASSIFIERS, *IMPUTERS, *COMPRESSORS, *REGRESSORS]
    } == set(estimators.__all__)
    assert {named(e) for e in EACH} == {named(e) for e in TRANSFORMERS}


@pytest.mark.parametrize("estimator", [*TRANSFORMERS, *COMPRESSORS, *REGRESSORS], ids=str)
def test_the_suite_asks_for_nothing_unusual(estimator: Any) -> None:
    tags = estimator.__sklearn_tags__()
    if estimator in REGRESSORS:
        assert not tags.regressor_tags.poor_score
        assert tags.input_tags.sparse
    else:
        assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]
    assert not tags.no_validation
    assert not tags.non_deterministic
    assert not tags._skip_test


@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=str)
def test_a_pickled_estimator_gives_the_same_bits(estimator: Any) -> None:
    X = samples()
    fitted = seeded(estimator).fit(X)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert as_bytes(loaded.transform(X)) == as_bytes(fitted.transform(X))
    back = fitted.inverse_transform(fitted.transform(X))
    assert as_bytes(loaded.inverse_transform(fitted.transform(X))) == as_bytes(back)


@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=str)
def test_the_same_seed_gives_the_same_bits(estimator: Any) -> None:
    X = samples()
    first, second = seeded(estimator), seeded(estimator)
    assert as_bytes(first.fit_transform(X)) == as_bytes(second.fit_transform(X))


@pytest.mark.parametrize(
    "estimator",
    [
        SparseCoder(n_components=20),
        KSVD(20, n_nonzero_coefs=2),
        OnlineDictionaryLearning(20, alpha=0.1),
        CompressedSensing(7),
    ],
    ids=named,
)
def test_the_number_of_threads_changes_no_bit(estimator: Any) -> None:
    X = samples(n=700)  # more than two tiles
    name = "n_jobs" if "n_jobs" in estimator.get_params() else "n_threads"
    one, two = (seeded(estimator).set_params(**{name: n}) for n in (1, 2))
    codes = one.fit_transform(X)
    assert as_bytes(two.fit_transform(X)) == as_bytes(codes)
    assert as_bytes(one.inverse_transform(codes)) == as_bytes(two.inverse_transform(codes))


@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=str)
@pytest.mark.parametrize(
    ("given", "expected"), [(np.float32, np.float32), (np.float64, np.float64), (int, np.float64)]
)
def test_dtypes_come_out_as_they_went_in(estimator: Any, given: Any, expected: Any) -> None:
    X = (10 * samples()).astype(given)
    fitted = seeded(estimator).fit(X)
    codes = fitted.transform(X)
    assert codes.dtype == expected
    assert fitted.inverse_transform(codes).dtype == expected


@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=str)
def test_float32_data_pass_through_an_estimator_fitted_in_float64(estimator: Any) -> None:
    fitted = seeded(estimator).fit(samples())
    codes = fitted.transform(samples(dtype=np.float32))
    assert codes.dtype == np.float32
    assert fitted.inverse_transform(codes).dtype == np.float32


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("estimator", DENSE, ids=str)
def test_data_frames_have_names(estimator: Any, library: str) -> None:
    frames = pytest.importorskip(library)
    X = samples()
    fitted = seeded(estimator).set_output(transform=library).fit(X)
    frame = fitted.transform(X)
    assert isinstance(frame, frames.DataFrame)
    plain = seeded(estimator).fit(X)
    width, prefix = plain.transform(X).shape[1], named(estimator).lower()
    assert list(frame.columns) == [f"{prefix}{i}" for i in range(width)]
    assert list(frame.columns) == list(plain.get_feature_names_out())
    if width == 0:  # rank 0: a frame without columns has forgotten how many rows there were
        return
    np.testing.assert_array_equal(frame.to_numpy(), plain.transform(X))
    # A frame of codes is as good as an array on the way back.
    back = plain.inverse_transform(plain.transform(X))
    np.testing.assert_allclose(fitted.inverse_transform(frame), back, rtol=0, atol=1e-12)


@pytest.mark.parametrize("estimator", [SparseCoder(sparse_output=True), KSVD(sparse_output=True)])
def test_sparse_codes_are_no_data_frame(estimator: Any) -> None:
    pytest.importorskip("pandas")
    estimator.set_output(transform="pandas")
    with pytest.raises(ValueError, match="outputs a scipy sparse matrix"):
        estimator.fit_transform(samples())


def test_a_grid_search_over_a_pipeline_learns_digits() -> None:
    X, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(
        StandardScaler(), KSVD(n_nonzero_coefs=1, max_iter=3, random_state=0), RidgeClassifier()
    )
    grid = {"ksvd__n_components": [4, 40]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X[:600], y[:600])
    assert search.best_params_ == {"ksvd__n_components": 40}
    assert search.score(X[600:], y[600:]) > 0.7


@pytest.mark.parametrize("estimator", EACH, ids=named)
def test_every_estimator_runs_inside_a_search(estimator: Any) -> None:
    X, y = load_digits(n_class=2, return_X_y=True)
    pipeline = make_pipeline(seeded(estimator), RidgeClassifier())
    search = GridSearchCV(pipeline, {"ridgeclassifier__alpha": [1.0]}, cv=2).fit(X[:60], y[:60])
    assert search.best_score_ > 0.9


@pytest.mark.parametrize("estimator", REGRESSORS, ids=str)
class TestRegressors:
    def test_a_pickled_one_gives_the_same_bits(self, estimator: Any) -> None:
        fitted = clone(estimator).fit(samples(), targets())
        loaded = pickle.loads(pickle.dumps(fitted))
        assert as_bytes(loaded.predict(samples())) == as_bytes(fitted.predict(samples()))

    def test_two_fits_give_the_same_bits(self, estimator: Any) -> None:
        first, second = (clone(estimator).fit(samples(), targets()) for _ in range(2))
        assert as_bytes(first.coef_) == as_bytes(second.coef_)

    def test_the_data_stay_as_they_were(self, estimator: Any) -> None:
        X, y = samples(), targets()
        clone(estimator).fit(X, y)
        assert as_bytes(X) == as_bytes(samples())
        assert as_bytes(y) == as_bytes(targets())

    def test_it_predicts_inside_a_search(self, estimator: Any) -> None:
        pipeline = make_pipeline(StandardScaler(), clone(estimator))
        grid = {f"{named(estimator).lower()}__fit_intercept": [False, True]}
        search = GridSearchCV(pipeline, grid, cv=3).fit(samples(), targets())
        assert list(search.best_params_.values()) == [True]
        assert search.best_score_ > 0.9

    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_data_frames_have_names(self, estimator: Any, library: str) -> None:
        frames = pytest.importorskip(library)
        frame = frames.DataFrame({f"feature {i}": column for i, column in enumerate(samples().T)})
        fitted = clone(estimator).fit(frame, targets())
        assert list(fitted.feature_names_in_) == list(frame.columns)
        plain = clone(estimator).fit(samples(), targets())
        np.testing.assert_allclose(fitted.predict(frame), plain.predict(samples()), rtol=1e-9)

    def test_bad_input(self, estimator: Any) -> None:
        X, y = samples(), targets()
        for call in (lambda: estimator.predict(X), lambda: estimator.sparse_coef_):
            with pytest.raises(NotFittedError, match="not fitted yet"):
                call()
        fitted = clone(estimator).fit(X, y)
        with pytest.raises(ValueError, match=r"X has 5 features, but .* expecting 12"):
            fitted.predict(np.ones((2, 5)))
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            clone(estimator).fit(X, y[1:])
        with pytest.raises(ValueError, match="Complex data not supported"):
            clone(estimator).fit(X * 1j, y)
        X[3, 4], y[2] = np.nan, np.inf
        for wrong in ((X, targets()), (samples(), y)):
            with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
                clone(estimator).fit(*wrong)
        with pytest.raises(ValueError, match="Input X contains NaN"):
            fitted.predict(X)


@pytest.mark.parametrize("estimator", EACH, ids=named)
class TestBadInput:
    def test_nan(self, estimator: Any) -> None:
        X = samples()
        fitted = clone(estimator).fit(X)
        X[3, 4] = np.nan
        for call in (clone(estimator).fit, fitted.transform):
            with pytest.raises(ValueError, match="Input X contains NaN"):
                call(X)
        codes = fitted.transform(samples())
        codes[0, 0] = np.nan
        with pytest.raises(ValueError, match="contains NaN"):
            fitted.inverse_transform(codes)

    def test_width(self, estimator: Any) -> None:
        fitted = clone(estimator).fit(samples())
        with pytest.raises(ValueError, match=r"X has 5 features, but .* expecting 12"):
            fitted.transform(np.ones((2, 5)))
        width = fitted.transform(samples()).shape[1]
        with pytest.raises(ValueError, match=f"has {width + 1} columns; transform gives {width}"):
            fitted.inverse_transform(np.ones((2, width + 1)))

    def test_not_fitted(self, estimator: Any) -> None:
        for call in (estimator.transform, estimator.inverse_transform):
            with pytest.raises(NotFittedError, match=r"not fitted yet"):
                call(samples())

    def test_complex(self, estimator: Any) -> None:
        with pytest.raises(ValueError, match="Complex data not supported"):
            clone(estimator).fit(samples() * 1j)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (SparseCoder(transform_algorithm="opm"), "transform_algorithm has to be .*, got 'opm'"),
        (SparseCoder("dst"), "dictionary has to be one of 'dct', 'identity', got 'dst'"),
        (
            SparseCoder(transform_alpha=0.1),
            "transform_alpha is not used by omp.*transform_residual_tol",
        ),
        (
            SparseCoder(transform_algorithm="ols", positive_code=True),
            "positive_code is not used by ols",
        ),
        (
            SparseCoder(transform_algorithm="lasso_cd", transform_n_nonzero_coefs=2),
            "transform_n_nonzero_coefs is not used",
        ),
        (
            SparseCoder(transform_algorithm="threshold", transform_tol=1e-3),
            "transform_tol is not used by threshold",
        ),
        (
            SparseCoder(transform_n_nonzero_coefs=13),
            "n_nonzero_coefs has to be between 1 and 12, got 13",
        ),
        (SparseCoder(transform_residual_tol=-1.0), "residual_tol has to be a finite number"),
        (SparseCoder("identity", n_components=13), "n_components has to be between 1 and 12"),
        (SparseCoder(np.eye(12), n_components=3), "n_components is not used by a dictionary"),
        (SparseCoder(np.eye(5)), "X has 12 features but dictionary has 5"),
        (KSVD(update="fast"), "update has to be one of 'approximate', 'exact', got 'fast'"),
        (KSVD(0), "n_components has to be at least 1, got 0"),
        (KSVD(4, n_nonzero_coefs=5), "n_nonzero_coefs has to be between 1 and 4, got 5"),
        (KSVD(init="pca"), "init has to be one of 'data', 'dct', 'svd', got 'pca'"),
        (KSVD(3, init=np.eye(4, 12)), r"init has shape \(4, 12\); it has to be \(3, 12\)"),
        (OnlineDictionaryLearning(batch_size=0), "batch_size has to be at least 1, got 0"),
        (OnlineDictionaryLearning(alpha=-1.0), "alpha has to be a finite number"),
        (RobustPCA(alpha=0.0), "alpha has to be a finite number"),
        (RobustPCA(transform_alpha=-1.0), "transform_alpha has to be a finite number"),
        (RobustPCA(method="pca"), "method has to be one of 'alternating_projections', .* 'pcp'"),
        (RobustPCA(rank=2), "rank is not used by pcp"),
        (RobustPCA(method="godec", n_outliers=1), "needs rank"),
        (
            RobustPCA(method="alternating_projections", rank=1, alpha=0.1),
            "alpha is not used by alternating_projections",
        ),
        (RobustPCA(max_iter=0), "max_iter has to be at least 1, got 0"),
        (RobustPCA(missing_values=0.0), "missing_values has to be np.nan or None, got 0.0"),
        (RobustPCA(sigma=0.1), "sigma is not used by pcp"),
        (RobustPCA(method="stable"), "method='stable' needs sigma"),
        (RobustPCA(method="stable", sigma=-1.0), "sigma has to be a finite number"),
        (RobustPCA(method="stable", sigma=0.1, forgetting=0.9), "forgetting is not used by stable"),
        (RobustPCA(method="online"), "method='online' needs rank"),
        (RobustPCA(method="godec", rank=1), "method='godec' needs n_outliers"),
        (RobustPCA(n_outliers=3), "n_outliers is not used by pcp"),
        (RobustPCA(method="godec", rank=1, n_outliers=-1), "n_outliers has to be between 0 and"),
        (RobustPCA(method="online", rank=13), "rank has to be between 1 and 12, got 13"),
        (RobustPCA(method="online", rank=1, sigma=0.1), "sigma is not used by online"),
        (RobustPCA(method="online", rank=1, batch_size=0), "batch_size has to be at least 1"),
        (RobustPCA(method="online", rank=1, forgetting=0.0), "forgetting has to be a finite"),
        (RobustPCA(rank=None, batch_size=5), "batch_size is not used by pcp"),
        (ConvolutionalDictionaryLearning(boundary="zero"), "boundary has to be one of 'full', "),
        (ConvolutionalDictionaryLearning(alpha=0.0), "alpha has to be a finite number"),
        (ConvolutionalDictionaryLearning(2, 13), r"an atom of shape \(13,\) does not fit"),
        (ConvolutionalDictionaryLearning(sample_shape=(5, 2)), "is not that of rows with 12"),
        (CompressedSensing(sensing="gauss"), "sensing has to be one of .*'hadamard', got 'gauss'"),
        (CompressedSensing(basis="haar"), "basis has to be one of 'dct', .*'wavelet', got 'haar'"),
        (CompressedSensing(solver="opm"), "solver has to be one of .*'omp', .*got 'opm'"),
        (CompressedSensing(0), "n_measurements has to be at least 1, got 0"),
        (CompressedSensing(13, sensing="dct"), "n_measurements has to be between 1 and 12"),
        (CompressedSensing(solver="omp", alpha=0.1), "alpha is not used by solver='omp'"),
        (CompressedSensing(sigma=0.1, alpha=0.1), "alpha is not used by solver='bpdn'"),
        (CompressedSensing(solver="bpdn"), "solver='bpdn' needs sigma"),
        (CompressedSensing(solver="fista", n_threads=2), "n_threads is not used by solver='fista'"),
        (CompressedSensing(solver="fista", alpha=0.1, alpha_ratio=0.1), "exactly one of alpha"),
        (CompressedSensing(solver="fista", alpha_ratio=2.0), "alpha_ratio has to be a finite"),
        (CompressedSensing(n_nonzero_coefs=13), "n_nonzero_coefs has to be between 1 and 12"),
        (CompressedSensing(4, sensing=np.eye(12)), "n_measurements is not used by a sensing"),
        (CompressedSensing(sensing=np.eye(12), random_state=0), "random_state is not used by"),
        (CompressedSensing(sensing=np.eye(5)), "X has 12 features but sensing has 5 columns"),
        (CompressedSensing(basis=aslinearoperator(np.eye(5))), "the operator basis makes signals"),
        (CompressedSensing(basis=np.eye(5)), "X has 12 features but basis has 5"),
        (CompressedSensing(basis=KSVD()), "basis is a KSVD without components_; fit it first"),
    ],
    ids=lambda value: value if isinstance(value, str) else named(value),
)
def test_a_wrong_parameter_is_named_by_fit(estimator: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimator.fit(samples())
