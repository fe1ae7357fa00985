"""A layer's weights as samples: what was fitted comes back, and other rows are coded alike."""

import inspect
import pickle

import ml_dtypes
import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sparsecode import LayerCompressor
from sparsecode.layers import FAMILIES, BudgetError, factorize, output_error

FAST = {"n_rounds": 3}
# Ways in which the rule for new rows is the rule of the fit: the rows of the layer come out alike.
SAME_RULE = [
    ("dense", {}),
    ("low_rank", {}),
    ("low_rank", {"form": "spatial", "kernel_shape": (6, 2, 2)}),
    ("low_rank", {"form": "tucker", "kernel_shape": (6, 2, 2)}),
    ("sparse", {}),
    ("sparse", {"criterion": "magnitude", "refit": False}),
    ("sparse", {"keep": 2, "of": 4}),
    ("sparse", {"threshold": "row"}),
    ("sparse", {"pattern": "rows"}),
    ("sparse", {"pattern": "columns"}),
    ("sparse", {"block_shape": (1, 4)}),
    ("codebook", {"bits": 4, "rows_per_codebook": 40, "rounding": "nearest"}),
    ("codebook", {"bits": 4, "rows_per_codebook": 40, "subvector": 2, "rounding": "nearest"}),
    ("uniform", {"bits": 16}),
    ("uniform", {"bits": 4, "rounding": "nearest"}),
    ("uniform", {"bits": 4, "group_size": "tensor"}),
    ("uniform", {"bits": 3, "group_size": "channel", "symmetric": False, "rounding": "nearest"}),
]
OTHER_RULE = [
    ("low_rank", {"metric": "diagonal"}),
    ("low_rank", {"value_bits": 8}),
    ("low_rank", {"value_bits": 16}),
    ("sparse", {"criterion": "obs"}),
    ("sparse", {"criterion": "alps", "block_shape": (2, 2)}),
    ("sparse", {"criterion": "alps", "pattern": "rows"}),
    ("sparse", {"n_stages": 3}),
    ("sparse", {"block_shape": (2, 4)}),
    ("sparse", {"value_bits": 5}),
    ("low_rank+sparse", FAST),
    ("low_rank+sparse", {"metric": "diagonal", "value_bits": 6, **FAST}),
    ("dictionary", FAST),
    ("dictionary", {"value_bits": 8, **FAST}),
    ("dictionary", {"learning": "orthogonal", **FAST}),
    ("codebook", {"rows_per_codebook": 10, "bits": 2}),
    ("codebook", {"subvector": 2, "bits": 4}),
    ("uniform", {"bits": 4}),
]
EVERY = [*SAME_RULE, *OTHER_RULE]


@pytest.fixture(scope="module")
def W():
    return np.random.default_rng(0).standard_normal((40, 24))


@pytest.fixture(scope="module")
def H():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 24)) @ rng.standard_normal((24, 24))
    return X.T @ X / 200


def compressor(method, options):
    return LayerCompressor(method, budget=1.0 if method == "dense" else 0.6, **options)


def without(options, gram):
    """The options, without what asks for a second moment where there is none."""
    if gram is not None:
        return options
    blind = {k: v for k, v in options.items() if k not in ("metric", "n_stages")}
    return {k: v for k, v in blind.items() if v not in ("obs", "alps")}


@pytest.mark.parametrize("metric", ["none", "full"])
@pytest.mark.parametrize(("method", "options"), EVERY)
def test_the_rows_that_were_fitted_are_those_of_the_factorization(W, H, method, options, metric):
    gram = H if metric == "full" else None
    options = without(options, gram)
    model = compressor(method, options).fit(W, gram=gram)
    assert model.factorization_ == factorize(W, method, budget=model.budget, gram=gram, **options)
    assert model.bits_ == model.factorization_.bits().total <= model.budget * 8 * W.nbytes
    dense = model.factorization_.to_dense()
    assert model.transform(W).tobytes() == dense.tobytes()
    assert model.transform(W[[7, 3]]).tobytes() == dense[[7, 3]].tobytes()
    assert model.error_ == output_error(W, dense, gram) == -model.score(W)


@pytest.mark.parametrize("metric", ["none", "full"])
@pytest.mark.parametrize(("method", "options"), SAME_RULE)
def test_the_rule_alone_gives_the_fitted_rows_too(W, H, method, options, metric):
    gram = H if metric == "full" else None
    if gram is None:
        options = {k: v for k, v in options.items() if k != "rounding"}
    model = compressor(method, options).fit(W, gram=gram)
    dense = model.factorization_.to_dense()
    np.testing.assert_allclose(model._encoder.encode_new(W), dense, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("method", "options"), OTHER_RULE)
def test_other_rules_lose_about_what_the_fit_loses(W, H, method, options):
    model = compressor(method, options).fit(W, gram=H)
    error = output_error(W, model._encoder.encode_new(W), H)
    # Rows alone cannot share their nonzeros as unequally as those of a layer can.
    assert error < 4 * model.error_ + 1e-4


@pytest.mark.parametrize(("method", "options"), EVERY)
def test_a_new_row_does_not_depend_on_the_rows_beside_it(W, H, method, options):
    model = compressor(method, options).fit(W, gram=H)
    rows = np.random.default_rng(2).standard_normal((9, 24)) * np.logspace(-3, 1, 9)[:, None]
    rows[4] = 0
    together = model.transform(rows)
    apart = np.vstack([model.transform(row[None]) for row in rows])
    np.testing.assert_allclose(together, apart, rtol=1e-6, atol=1e-8)
    assert np.isfinite(together).all()


def test_projection_on_the_right_factor_is_the_best_in_its_span(W, H):
    model = LayerCompressor("low_rank", budget=0.6, damping=0.0).fit(W, gram=H)
    new = np.random.default_rng(2).standard_normal((5, 24))
    miss = new - model.transform(new)
    # The error of least squares is orthogonal to the span in the metric: normal equations.
    R = model.factorization_.right
    bound = np.linalg.norm(new @ H) * np.linalg.norm(R)
    assert np.abs(miss @ H @ R.T).max() < 1e-10 * bound


def test_a_row_of_few_atoms_is_found_again(H):
    rng = np.random.default_rng(3)
    atoms = rng.standard_normal((10, 24))
    codes = np.zeros((60, 10))
    for row in codes:
        row[rng.choice(10, 2, replace=False)] = 1 + rng.random(2)
    model = LayerCompressor("dictionary", budget=0.4, n_rounds=10).fit(codes @ atoms, gram=H)
    learned = model.factorization_.dictionary
    row = 2 * learned[1] - learned[4]
    np.testing.assert_allclose(model.transform(row[None])[0], row, atol=1e-8)


def test_errors_in_a_low_rank_row_are_told_apart():
    rng = np.random.default_rng(4)
    basis = rng.standard_normal((2, 40))
    S = np.zeros((60, 40))
    for row in S:
        row[rng.choice(40, 2, replace=False)] = 20
    model = LayerCompressor("low_rank+sparse", budget=0.25, n_rounds=30)
    model.fit(rng.standard_normal((60, 2)) @ basis + S)
    new = rng.standard_normal((1, 2)) @ basis
    new[0, [3, 17]] += 15
    assert output_error(new, model.transform(new)) < 1e-3


def test_the_grid_of_a_layer_saturates_and_grids_of_rows_do_not(W):
    row = 50 * W[:1]
    shared = LayerCompressor(bits=8, group_size="tensor").fit(W).transform(row)
    assert np.abs(shared).max() <= 1.01 * np.abs(W).max()
    own = LayerCompressor(bits=8, group_size="channel").fit(W).transform(row)
    assert output_error(row, own) < 1e-3


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("method", ["low_rank", "sparse", "uniform"])
def test_short_floats_stay_short(W, method, dtype):
    short = W.astype(dtype)
    model = LayerCompressor(method, budget=0.5).fit(short)
    assert model.factorization_.dtype == dtype
    assert model.bits_ <= 0.5 * 16 * W.size
    assert model.transform(short).tobytes() == model.factorization_.to_dense().tobytes()
    assert model.transform(W[:3] + 1).dtype == np.float64
    assert model.transform((W[:3] + 1).astype(dtype)).dtype == dtype


@pytest.mark.parametrize("scale", [1e-150, 1e150])
@pytest.mark.parametrize(("method", "options"), EVERY[::3])
def test_scale_does_not_matter(W, H, method, options, scale):
    scale = 2.0 ** round(np.log2(scale))
    new = np.random.default_rng(2).standard_normal((4, 24))
    plain = compressor(method, options).fit(W, gram=H).transform(new)
    scaled = compressor(method, options).fit(W * scale, gram=H).transform(new * scale)
    np.testing.assert_allclose(scaled / scale, plain, rtol=1e-6, atol=1e-9)


def test_the_parameters_are_the_options_of_the_families():
    options = {
        name
        for family in FAMILIES.values()
        for name in list(inspect.signature(family.fit).parameters)[4:]
    }
    assert set(LayerCompressor().get_params()) == options | {"method", "budget", "damping"}


def test_a_clone_has_the_same_parameters():
    model = LayerCompressor("sparse", keep=2, of=4, budget=0.7)
    assert clone(model).get_params() == model.get_params()
    assert clone(model).set_params(method="uniform", keep=None, of=None).method == "uniform"


def test_a_pickled_one_gives_the_same_bits(W, H):
    model = LayerCompressor("dictionary", budget=0.6, n_rounds=3).fit(W, gram=H)
    loaded = pickle.loads(pickle.dumps(model))
    new = np.random.default_rng(2).standard_normal((4, 24))
    assert loaded.transform(new).tobytes() == model.transform(new).tobytes()
    assert loaded.factorization_ == model.factorization_


def test_a_grid_search_chooses_method_and_budget():
    rng = np.random.default_rng(5)
    W = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 24))
    pipeline = make_pipeline(FunctionTransformer(), LayerCompressor())
    grid = {
        "layercompressor__method": ["low_rank", "sparse", "uniform"],
        "layercompressor__budget": [0.15, 0.3],
    }
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(W)
    assert search.best_params_ == {
        "layercompressor__method": "low_rank",
        "layercompressor__budget": 0.3,
    }
    assert search.best_score_ > -1e-8


def test_it_stands_in_a_pipeline_before_a_classifier():
    rng = np.random.default_rng(6)
    y = rng.integers(0, 2, 80)
    X = rng.standard_normal((80, 16)) + 3 * y[:, None]
    pipeline = make_pipeline(LayerCompressor("uniform", bits=4, budget=0.3), RidgeClassifier())
    search = GridSearchCV(pipeline, {"layercompressor__bits": [2, 4]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.9


def test_the_second_moment_is_routed(W, H):
    with config_context(enable_metadata_routing=True):
        model = LayerCompressor("low_rank", budget=0.5).set_fit_request(gram=True)
        routed = make_pipeline(FunctionTransformer(), model).fit(W, gram=H)
    direct = LayerCompressor("low_rank", budget=0.5).fit(W, gram=H)
    assert routed[-1].factorization_ == direct.factorization_


def test_outputs_keep_the_names_of_inputs(W):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(W, columns=[f"input {i}" for i in range(24)])
    model = LayerCompressor().fit(frame)
    assert list(model.get_feature_names_out()) == list(frame.columns)


def test_the_seed_goes_only_where_something_is_drawn(W):
    for method in FAMILIES:
        budget = 1.0 if method == "dense" else 0.6
        model = LayerCompressor(method, budget=budget, random_state=3).fit(W)
        assert model.factorization_.shape == W.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "svd"}, "method has to be one of"),
        ({"budget": 0.0}, "budget has to be a finite number"),
        ({"keep": 2}, "method='uniform' has no option 'keep'"),
        ({"method": "low_rank", "bits": 4}, "method='low_rank' has no option 'bits'"),
        ({"method": "sparse", "criterion": "random"}, "no rule that transform could follow"),
        ({"method": "sparse", "criterion": "wanda"}, "needs gram"),
        ({"damping": 0.1}, "damping is not used by factorize without gram"),
        ({"bits": 9}, "value_bits has to be between 1 and 8"),
    ],
)
def test_what_is_wrong_is_said_by_fit(W, options, message):
    with pytest.raises(ValueError, match=message):
        LayerCompressor(**options).fit(W)


def test_bad_input(W, H):
    with pytest.raises(NotFittedError):
        LayerCompressor().transform(W)
    model = LayerCompressor().fit(W)
    with pytest.raises(ValueError, match=r"X has 5 features, but .* expecting 24"):
        model.transform(np.ones((2, 5)))
    with pytest.raises(ValueError, match="gram"):
        LayerCompressor().fit(W, gram=H[:3, :3])
    with pytest.raises(BudgetError, match=r"rank 1 .* \(n_samples=1, n_features=24\)"):
        LayerCompressor("low_rank").fit(W[:1])
    with pytest.raises(ValueError, match="exceed the range of float16"):
        LayerCompressor("low_rank", budget=0.5).fit(W.astype(np.float16)).transform(1e6 * W)
