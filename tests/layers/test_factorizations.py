"""The laws of a factorization, over every family, dtype, shape and metric."""

import json

import ml_dtypes
import numpy as np
import pytest

from sparsecode import LayerCompressor
from sparsecode.layers import (
    FAMILIES,
    Bits,
    BudgetError,
    Calibration,
    Chain,
    Dense,
    LowRank,
    Sparse,
    Sum,
    factorize,
    factorize_shared,
    match_outputs,
    output_error,
    refit,
    unpack,
)
from sparsecode.layers.factorizations import RangeError
from sparsecode.solvers import weighted_svd

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
SHAPES = [(12, 20), (20, 12), (3, 7), (1, 30)]
METRICS = ["none", "full", "singular", "dead", "zero"]
EPS = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-6, "float64": 1e-14}
FAST = {
    "dictionary": {"n_rounds": 3},
    "low_rank+sparse": {"n_rounds": 3},
}  # options that keep the tests short

# Every family, and the ways to store the numbers inside it.
FORMS = {name: (name, {}) for name in FAMILIES} | {
    "uniform": ("uniform", {"bits": 4}),
    "uniform affine": ("uniform", {"bits": 5, "symmetric": False, "group_size": 7}),
    "uniform tensor": ("uniform", {"bits": 8, "group_size": "tensor"}),
    "uniform nearest": ("uniform", {"bits": 3, "group_size": "channel", "rounding": "nearest"}),
    "uniform 16": ("uniform", {"bits": 16}),
    "codebook rows": ("codebook", {"bits": 2, "rows_per_codebook": 2}),
    "codebook nearest": ("codebook", {"bits": 3, "rounding": "nearest"}),
    "codebook 8": ("codebook", {"bits": 3, "value_bits": 8}),
    "low_rank 8": ("low_rank", {"value_bits": 8}),
    "low_rank 16": ("low_rank", {"value_bits": 16}),
    "sparse 5": ("sparse", {"value_bits": 5}),
    "sparse 16": ("sparse", {"value_bits": 16}),
    "low_rank+sparse 6": ("low_rank+sparse", {"value_bits": 6}),
    "dictionary 8": ("dictionary", {"value_bits": 8}),
    "dictionary 16": ("dictionary", {"value_bits": 16}),
}
# And as floats of 16 bits by name, in every form that is not one of them itself.
SHORT_FLOATS = {
    f"{name} {dtype}": (name, {("bits" if name == "uniform" else "value_bits"): dtype})
    for name in FAMILIES
    if name != "dense"
    for dtype in ("float16", "bfloat16")
}
SHORT = ("low_rank 16", "sparse 16", "dictionary 16")  # a quarter of float64 is all they can use
BLIND = ("dense", "codebook nearest", "uniform nearest", "uniform 16")  # to the inputs
ROUNDED = [form for form, (_, options) in FORMS.items() if options]  # to a grid


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def a_gram(kind, n, rng):
    """A second moment of inputs that are correlated, too few, partly dead, or all zero."""
    X = rng.standard_normal((4 * n, n)) @ (np.eye(n) + 0.5 * rng.standard_normal((n, n)))
    if kind == "singular":
        X = X[: max(1, n // 2)]
    if kind == "dead":
        X[:, ::3] = 0
    if kind == "zero":
        X[:] = 0
    return None if kind == "none" else X.T @ X / len(X)


def fitted(W, method, gram=None, budget=0.6, **options):
    """The form in `budget`, or in more where none fits, even more bits than the layer has."""
    method, variant = (FORMS | SHORT_FLOATS)[method]
    options = FAST.get(method, {}) | variant | options
    if gram is None or not gram.any():
        options.pop("rounding", None)
    for share in (budget, 0.8, 1.0):
        try:
            return factorize(W, method, budget=share, gram=gram, **options), share
        except BudgetError:
            continue
    metric = None if gram is None or not gram.any() else gram / np.diag(gram).mean()
    bits, dtype = 3 * 8 * W.nbytes, W.dtype
    return FAMILIES[method].fit(W.astype(np.float64), metric, bits, dtype, **options), 3


def assert_bits_are_those_of_the_packed_arrays(f):
    arrays, _ = f.pack()
    bits = f.bits()
    assert 8 * sum(array.nbytes for array in arrays.values()) == bits.total
    ends = {
        "mask": "mask",
        "groups": "mask",
        "indices": "indices",
        "pointers": "pointers",
        "dictionary": "codebook",
    }
    ends |= {
        "centroids": "codebook",
        "centroids.codes": "codebook",
        "dictionary.codes": "codebook",
        "scales": "scales",
        "zeros": "scales",
    }
    items = dict.fromkeys(bits.items(), 0)
    for name, array in arrays.items():
        item = ends.get(name) or ends.get(name.rpartition(".")[2], "values")
        items[item] += 8 * array.nbytes
    assert items == bits.items()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", FORMS)
def test_laws(rng, method, dtype, shape, metric):
    assert_laws(rng, method, dtype, shape, metric)


@pytest.mark.parametrize("form", [*FAMILIES, "spatial", "tucker", "sum", "chain"])
def test_inputs_of_any_kind_are_applied(rng, form):
    W = rng.standard_normal((12, 36)).astype(np.float32)
    if form in ("spatial", "tucker"):
        f = factorize(W, "low_rank", budget=0.9, form=form, kernel_shape=(4, 3, 3))
    elif form in FAMILIES:
        f, _ = fitted(W, form)
    else:
        f = Sum([Dense(W), Dense(W)]) if form == "sum" else Chain((Dense(W[:, :12]), Dense(W)))
    X = rng.integers(-9, 9, (2, 3, 36))
    expected = f.apply(X.reshape(6, 36).astype(np.float32))
    for given in (X, X.tolist(), X.astype(np.float16), X.astype(ml_dtypes.bfloat16)):
        np.testing.assert_allclose(f.apply(given), expected.reshape(2, 3, 12), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(f.apply(X[0, 0]), expected[0], rtol=1e-3, atol=1e-3)
    assert f.apply(X[:0]).shape == (0, 3, 12)
    for wrong in (X[..., :5], 3.0, np.full((2, 36), "a")):
        with pytest.raises(ValueError, match=r"X has to be numbers of shape \(\.\.\., 36\)"):
            f.apply(wrong)
    for bad, message in ((np.nan, "X contains NaN"), (np.inf, "X contains infinity")):
        with pytest.raises(ValueError, match=message):
            f.apply(np.full(36, bad))
    with pytest.raises(ValueError, match="X is a masked array"):
        f.apply(np.ma.array(np.ones(36), mask=True))


def test_the_error_of_a_form_is_that_of_its_weights(rng):
    W = rng.standard_normal((12, 20))
    f = factorize(W, "low_rank", budget=0.6)
    assert output_error(W, f) == output_error(W, f.to_dense()) > 0


def assert_laws(rng, method, dtype, shape, metric):
    W = rng.standard_normal(shape).astype(dtype)
    gram = a_gram(metric, shape[1], rng)
    f, share = fitted(W, method, gram)
    dense = f.to_dense()
    assert (dense.shape, dense.dtype) == (W.shape, W.dtype)
    assert (f.shape, f.dtype) == (W.shape, W.dtype)
    assert f.kind == (FORMS | SHORT_FLOATS)[method][0]
    exact = dense.astype(np.float64)
    assert np.isfinite(exact).all()

    X = rng.standard_normal((5, shape[1])).astype(np.float64 if dtype == np.float64 else np.float32)
    scale = np.abs(X).astype(np.float64) @ np.abs(exact).max(axis=0)
    difference = np.abs(f.apply(X) - X @ exact.T).max(axis=1)
    assert np.all(difference <= 10 * EPS[np.dtype(dtype).name] * scale)

    assert_bits_are_those_of_the_packed_arrays(f)
    assert f.bits().total <= share * 8 * W.nbytes
    arrays, meta = f.pack()
    again = unpack(arrays, json.loads(json.dumps(meta)))
    assert again == f
    assert again.to_dense().tobytes() == dense.tobytes()
    assert fitted(W, method, gram)[0] == f
    assert 0 <= output_error(W, dense, gram) <= 1.05  # 1 is the error of a layer of zeros
    return f


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", SHORT_FLOATS)
def test_laws_of_short_floats_in_every_form(rng, method, dtype):
    f = assert_laws(rng, method, dtype, (12, 20), "full")
    _, asked = method.split()
    arrays, _ = f.pack()
    floats = {a.dtype.name for a in arrays.values() if a.dtype.kind not in "bui"}
    assert floats == {asked}
    if np.dtype(dtype).itemsize > 2:
        assert asked in f.summary
        # Of any scale nothing is lost but bits of the mantissa.
        short, _ = fitted(np.full((12, 20), 1e-30, dtype), method)
        np.testing.assert_allclose(short.to_dense() / 1e-30, 1, rtol=4 * EPS[asked])


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_scale_of_the_weights_does_not_matter(rng, method, scale):
    W = rng.standard_normal((12, 20))
    gram = a_gram("full", 20, rng)
    if method in ROUNDED:  # any other factor moves the numbers on the grid
        scale = 2.0 ** round(np.log2(scale))
    plain, _ = fitted(W, method, gram)
    f, _ = fitted(W * scale, method, gram)
    np.testing.assert_allclose(f.to_dense() / scale, plain.to_dense(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_scale_of_the_metric_does_not_matter(rng, method, scale):
    W = rng.standard_normal((12, 20))
    gram = a_gram("singular", 20, rng)
    plain, _ = fitted(W, method, gram)
    f, _ = fitted(W, method, gram * scale)
    errors = [output_error(W, form.to_dense(), gram) for form in (f, plain)]
    np.testing.assert_allclose(errors[0], errors[1], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("scale", [3e-7, 1e-5, 1e4])
def test_float16_at_the_ends_of_its_range(rng, method, scale):
    W = rng.uniform(-1, 1, (16, 48))
    gram = None if method == "sparse" else a_gram("full", 48, rng)
    small, plain = (W * scale).astype(np.float16), W.astype(np.float16)
    error = output_error(small, fitted(small, method, gram)[0].to_dense(), gram)
    assert error < 1.1 * output_error(plain, fitted(plain, method, gram)[0].to_dense(), gram) + 0.02


@pytest.mark.parametrize("method", FAMILIES)
def test_what_float16_cannot_hold_is_an_error_and_never_infinite(rng, method):
    W = np.clip(4e4 * rng.standard_normal((16, 24)), -65504, 65504).astype(np.float16)
    gram = a_gram("full", 24, rng)
    if method == "dense":
        assert factorize(W, method, budget=1.0, gram=gram).to_dense().tobytes() == W.tobytes()
    elif method == "codebook":  # means stay inside the range
        f, _ = fitted(W, method, gram)
        assert np.abs(f.to_dense().astype(np.float32)).max() <= np.abs(W.astype(np.float32)).max()
    else:
        with pytest.raises(RangeError, match="exceeds the range of float16"):
            fitted(W, method, gram)


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("W", [np.zeros((8, 12)), np.ones((8, 12)), np.eye(12)[:8]], ids=str)
def test_layers_of_low_complexity(rng, method, metric, W):
    f, _ = fitted(W, method, a_gram(metric, 12, rng))
    assert np.isfinite(f.to_dense()).all()
    assert unpack(*f.pack()) == f
    if not W.any():
        assert not f.to_dense().any()


@pytest.mark.parametrize("method", FORMS)
def test_memory_order_byte_order_and_permission_do_not_matter(rng, method):
    W = rng.standard_normal((12, 20)).astype(np.float32)
    f, _ = fitted(W, method)
    read_only = W.copy()
    read_only.flags.writeable = False
    for same in (np.asfortranarray(W), W.astype(">f4"), W[::-1][::-1], read_only):
        assert fitted(same, method)[0] == f
    assert f.dtype == np.dtype(np.float32)


@pytest.mark.parametrize("method", FORMS)
def test_inputs_of_short_dtypes_can_be_applied(rng, method):
    f, _ = fitted(rng.standard_normal((6, 9)).astype(np.float16), method)
    X = rng.integers(-3, 4, (4, 9))
    expected = X @ f.to_dense().astype(np.float64).T
    for dtype in (np.float16, np.float32, np.int64):
        np.testing.assert_allclose(f.apply(X.astype(dtype)), expected, atol=0.05)


def test_integers_are_stored_as_float64():
    assert factorize(np.arange(12).reshape(3, 4), "dense", budget=1).dtype == np.float64


@pytest.mark.parametrize("method", FORMS)
def test_a_larger_budget_is_no_worse(rng, method):
    W, gram = rng.standard_normal((24, 40)), a_gram("full", 40, rng)
    budgets = [1.0] if method == "dense" else [0.3, 0.5, 0.8]
    if method in SHORT:
        budgets = [0.15, 0.2, 0.25]
    forms = [fitted(W, method, gram, budget=b)[0] for b in budgets]
    errors = [output_error(W, f.to_dense(), gram) for f in forms]
    assert errors == sorted(errors, reverse=True)
    assert [f.bits().total for f in forms] == sorted(f.bits().total for f in forms)


@pytest.mark.parametrize("method", FAMILIES)
def test_a_budget_that_holds_nothing_is_one_error(rng, method):
    with pytest.raises(BudgetError, match=r"do(es)? not fit into 30 bits|the budget is 30"):
        factorize(rng.standard_normal((10, 3)), method, budget=30.5 / (64 * 30))


def test_a_budget_in_words_is_that_many_bytes():
    W = np.random.default_rng(0).standard_normal((24, 32)).astype(np.float32)
    same = factorize(W, "low_rank", budget=0.25)
    assert factorize(W, "low_rank", budget=f"{W.nbytes // 4} B") == same
    assert factorize(W, "low_rank", budget="0.768 kB") == same
    shared = factorize_shared([W, W], budget="2 kB")
    assert shared.bits().total <= 16_000
    assert shared.bits() == factorize_shared([W, W], budget=2000 / 2 / W.nbytes).bits()
    model = LayerCompressor("low_rank", budget="768 B").fit(W)
    assert model.factorization_ == same
    with pytest.raises(ValueError, match=r"budget has to be a fraction in \(0, 1\] or a size"):
        factorize(W, "low_rank", budget="a quarter")


@pytest.mark.parametrize("method", [name for name in FORMS if name not in BLIND])
def test_calibration_helps_where_inputs_are_correlated(rng, method):
    W = rng.standard_normal((32, 48))
    gram = a_gram("full", 48, rng)
    budget = 0.2 if method in SHORT else 0.4
    blind, _ = fitted(W, method, None, budget=budget)
    seeing, _ = fitted(W, method, gram, budget=budget)
    assert output_error(W, seeing.to_dense(), gram) < output_error(W, blind.to_dense(), gram)


def test_output_error_is_the_relative_error_of_the_outputs(rng):
    W, V, X = (rng.standard_normal(shape) for shape in [(7, 5), (7, 5), (100, 5)])
    expected = np.sum((X @ W.T - X @ V.T) ** 2) / np.sum((X @ W.T) ** 2)
    np.testing.assert_allclose(output_error(W, V, X.T @ X), expected, rtol=1e-12)
    gram = Calibration.from_arrays({"fc": X}).gram("fc")
    for scale in (1e-300, 1e150, 1e300):
        error = output_error(W * scale, V * scale, gram / scale)
        np.testing.assert_allclose(error, expected, rtol=1e-12)
    assert output_error(W, np.zeros_like(W), gram) == 1
    assert output_error(0 * W, 0 * W) == 0
    assert output_error(0 * W, V) == float("inf")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "lowrank"}, r"method has to be one of .*'low_rank'.* got 'lowrank'"),
        ({"budget": 0}, r"budget has to be a finite number in \(0, 1\], got 0"),
        ({"budget": 1.01}, "budget"),
        ({"budget": float("nan")}, "budget"),
        ({"damping": -1}, "damping"),
        ({"damping": -1, "gram": np.eye(4)}, "damping"),
        ({"gram": np.eye(3)}, r"gram has shape \(3, 3\); the layer has 4 inputs"),
        ({"gram": np.triu(np.ones((4, 4)))}, "gram has to be symmetric"),
        (
            {"gram": np.diag([1.0, 1, 1, -1])},
            "gram has a negative eigenvalue",
        ),
        ({"gram": np.full((4, 4), np.nan)}, "gram contains NaN"),
        ({"rank": 2}, "method='low_rank' has no option 'rank'; it has metric"),
        ({"method": "dictionary", "atoms": 2}, "has no option 'atoms'; it has atoms_per_nonzero"),
        ({"method": "dictionary", "atoms_per_nonzero": 0.5}, "atoms_per_nonzero"),
        ({"method": "dictionary", "atoms_per_nonzero": float("inf")}, "atoms_per_nonzero"),
        ({"method": "dictionary", "n_rounds": 0}, "n_rounds"),
        ({"method": "low_rank+sparse", "n_rounds": 0}, "n_rounds"),
        ({"method": "low_rank+sparse", "low_rank_share": 1}, "low_rank_share"),
        ({"W": np.full((4, 4), np.nan)}, "W contains NaN"),
        ({"W": np.full((4, 4), np.inf, np.float16)}, "W contains infinity"),
        ({"W": np.ones(4)}, "W has to be 2-D"),
        ({"W": np.ones((0, 4))}, "W is empty"),
        ({"W": np.ones((4, 4), complex)}, "W is complex"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    good = {"W": np.eye(4), "method": "low_rank", "budget": 1.0}
    with pytest.raises(ValueError, match=message):
        factorize(**good | arguments)


NO_MOMENT = "gram has a negative eigenvalue, so it is no second moment: pass X.T @ X of the layer's"


@pytest.mark.parametrize("form", FORMS)
def test_an_indefinite_gram_is_one_error_for_every_form(rng, form):
    """Its diagonal and its pairs of entries are those of a moment."""
    method, options = FORMS[form]
    gram = np.eye(40) + 0.8 * (np.eye(40, k=1) + np.eye(40, k=-1))
    W = rng.standard_normal((12, 40))
    with pytest.raises(ValueError, match=NO_MOMENT):
        factorize(W, method, budget=1.0, gram=gram, damping=0, **options)
    with pytest.raises(ValueError, match=NO_MOMENT):
        output_error(W, 0 * W, gram)


def test_an_indefinite_gram_that_only_the_work_shows(rng):
    """No pair of inputs and no 256 of them have a negative eigenvalue."""
    u = np.full(1100, 1100**-0.5)
    gram = np.eye(1100) - 2 * np.outer(u, u)
    W = np.outer(rng.standard_normal(3), u)
    support = rng.random(W.shape) < 0.9
    for call in (
        lambda: output_error(W, 0 * W, gram),
        lambda: refit(W + 0.01 * rng.standard_normal(W.shape), support, gram),
        lambda: weighted_svd(W, gram, 1),
        lambda: match_outputs(W, gram, gram),
        lambda: factorize(W, "uniform", budget=0.5, gram=gram, bits=4),
        lambda: factorize(W, "low_rank", budget=0.5, gram=gram),
    ):
        with pytest.raises(ValueError, match=NO_MOMENT):
            call()


def test_bits_add_item_by_item():
    one, two = Bits(values=3, mask=1), Bits(values=4, scales=2)
    assert one + two == Bits(values=7, mask=1, scales=2)
    assert (one + two).total == 10


def test_equality_is_to_the_bit(rng):
    f = factorize(rng.standard_normal((6, 8)).astype(np.float32), "low_rank", budget=0.7)
    assert f != LowRank(f.left.astype(np.float64), f.right.astype(np.float64))
    assert f != LowRank(np.nextafter(f.left, np.float32(9)), f.right)
    assert f != "low_rank"
    assert f == LowRank(np.asfortranarray(f.left), f.right)
    assert repr(f) == f"LowRank(6x8 float32, rank {f.rank})"


def packed(method, rng):
    W = np.where(rng.random((12, 40)) < 0.05, 5.0, 0.0) + rng.standard_normal((12, 40))
    method, options = FORMS[method]
    budget = 0.5 if method != "dense" else 1.0
    return factorize(W, method, budget=budget, **options).pack()


@pytest.mark.parametrize("method", FORMS)
def test_damaged_arrays_are_refused(rng, method):
    arrays, meta = packed(method, rng)
    for name, array in arrays.items():
        others = {key: a for key, a in arrays.items() if key != name}
        wrong = [
            array[..., None],
            array.reshape(-1)[:0].reshape((0,) * array.ndim),
            np.empty(array.shape, "U1"),
            array.astype(complex),
            array.astype(np.int64),
            array.astype(bool),
        ]
        if method not in (
            "dense",
            "low_rank",
            "low_rank 16",
            "uniform 16",
        ):  # fewer rows of a matrix are a matrix
            wrong += [array[:-1], np.concatenate([array, array[:1]])]
        for bad in wrong:
            with pytest.raises(ValueError, match=r"packed|fit|layer|positions|pointers|empty"):
                unpack({**others, name: bad}, meta)
        with pytest.raises(ValueError, match="has no array"):
            unpack(others, meta)
        with pytest.raises(ValueError, match="has an array 'more' that it does not use"):
            unpack({**arrays, "more": array}, meta)
    with pytest.raises(ValueError, match="has no array"):
        unpack({}, meta)


@pytest.mark.parametrize("kind", [None, "", "Sparse", 3, ["sparse"], {}, "low_rank "])
def test_a_wrong_kind_is_refused(rng, kind):
    arrays, meta = packed("sparse", rng)
    with pytest.raises(ValueError, match="kind has to be one of"):
        unpack(arrays, meta | {"kind": kind})


@pytest.mark.parametrize("method", FAMILIES)
def test_the_kind_of_another_family_is_refused(rng, method):
    arrays, meta = packed(method, rng)
    for other in FAMILIES:
        if other != method:
            with pytest.raises(
                ValueError, match=r"has no array|does not use|the packed (array|layer describes)"
            ):
                unpack(arrays, meta | {"kind": other})


HOSTILE_SHAPES = [
    None,
    "12x40",
    [],
    [12],
    [12, 40, 1],
    [12, -40],
    [-12, -40],
    [0, 40],
    [12.0, 40],
    [True, 40],
    [12, None],
    ["12", "40"],
    {"0": 12, "1": 40},
    [12, 50],
    [11, 40],
    [10**9, 10**9],
    [12, 10**12],
    [10**30, 10**30],
]


@pytest.mark.parametrize("shape", HOSTILE_SHAPES, ids=str)
@pytest.mark.parametrize("method", ["sparse", "low_rank+sparse", "dictionary"])
def test_a_hostile_shape_is_refused(rng, method, shape):
    arrays, meta = packed(method, rng)
    with pytest.raises(ValueError, match=r"shape|mask|pointers|layer|positions|fit"):
        unpack(arrays, meta | {"shape": shape})


def test_a_description_that_is_no_mapping_is_refused(rng):
    arrays, _ = packed("sparse", rng)
    for meta in (None, [], "sparse", 3):
        with pytest.raises(ValueError, match="a packed layer is a mapping"):
            unpack(arrays, meta)


def test_a_few_bytes_cannot_ask_for_any_memory():
    """Row pointers justify the number of rows, nothing the number of columns: hence the limit."""
    nothing = np.empty(0, np.float32)
    arrays = {
        "values": nothing,
        "indices": np.empty(0, np.uint32),
        "pointers": np.zeros(1001, "u4"),
    }
    meta = {"kind": "sparse", "shape": [1000, 10**8]}
    with pytest.raises(ValueError, match=r"takes 1\d+ bytes when dense, over the limit"):
        unpack(arrays, meta)
    with pytest.raises(ValueError, match="over the limit of 1000; raise max_bytes"):
        unpack(arrays, meta | {"shape": [1000, 70_000]}, max_bytes=1000)
    f = unpack(arrays, meta | {"shape": [1000, 70_000]})
    assert isinstance(f, Sparse)
    empty = {"left": np.empty((10**6, 0), "f4"), "right": np.empty((0, 10**6), "f4")}
    with pytest.raises(ValueError, match="are empty"):
        unpack(empty, {"kind": "low_rank"})
    thin = {"left": np.ones((10**6, 1), "f4"), "right": np.ones((1, 10**6), "f4")}
    with pytest.raises(ValueError, match="over the limit"):
        unpack(thin, {"kind": "low_rank"})


def test_a_few_bytes_take_little_memory(rng):
    """A claim of gigabytes that the factors or the mask disprove is refused before it is met."""
    import tracemalloc

    cases = [packed(method, rng) for method in ("sparse", "low_rank+sparse", "dictionary")]
    tracemalloc.start()
    for arrays, meta in cases:
        for shape in ([12, 10**9], [10**5, 10**5]):
            with pytest.raises(ValueError, match=r"mask|fit|pointers|limit"):
                unpack(arrays, meta | {"shape": shape})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6
