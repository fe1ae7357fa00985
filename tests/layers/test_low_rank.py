"""Low rank: the error is the optimal tail, whatever the metric."""

import json

import numpy as np
import pytest
import scipy.linalg

from sparsecode.layers import FAMILIES, BudgetError, Spatial, factorize, output_error, unpack


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def a_gram(kind, n, rng):
    X = rng.standard_normal((3 * n, n)) * np.logspace(0, -2, n)
    if kind == "singular":
        X = X[: n // 2]
    if kind == "dead":
        X[:, 1::4] = 0
    return X.T @ X


def share(shape, rank):
    """The least budget for a rank, a little more than the exact fraction."""
    m, n = shape
    return (rank * (m + n) + 0.5) / (m * n)


@pytest.mark.parametrize("rank", [1, 4, 9])
@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (30, 30)])
@pytest.mark.parametrize("metric", ["full", "singular", "dead"])
def test_the_error_is_the_optimal_tail(rng, shape, metric, rank):
    """Independent: the eigenvalues of W H W^T, whose sum beyond the rank nothing can beat."""
    W, H = rng.standard_normal(shape), a_gram(metric, shape[1], rng)
    f = factorize(W, "low_rank", budget=share(shape, rank), gram=H, damping=0)
    assert f.rank == rank
    energies = scipy.linalg.eigvalsh(W @ H @ W.T)[::-1]
    expected = energies[rank:].sum() / energies.sum()
    np.testing.assert_allclose(output_error(W, f.to_dense(), H), expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("n_samples", [100, 200])
@pytest.mark.parametrize("shape", [(400, 300), (300, 400)])
def test_a_singular_moment_of_a_large_layer(rng, shape, n_samples, monkeypatch):
    """Only wide layers are fitted in their own precision, where no pivot can be noise."""
    X = rng.standard_normal((n_samples, shape[1]))
    W, H = rng.standard_normal(shape).astype(np.float32), X.T @ X
    monkeypatch.setattr("sparsecode.layers.factorizations.LARGE", 100)
    monkeypatch.setattr("sparsecode.solvers.weighted.ORDINARY", 8)
    monkeypatch.setattr("sparsecode.solvers.weighted.TILE", 7)
    f = factorize(W, "low_rank", budget=share(shape, 5), gram=H, damping=0)
    energies = np.linalg.svd(W @ X.T, compute_uv=False) ** 2
    expected = energies[5:].sum() / energies.sum()
    np.testing.assert_allclose(output_error(W, f, H), expected, rtol=1e-4)


def test_without_a_metric_it_is_the_truncated_svd(rng):
    W = rng.standard_normal((20, 30))
    f = factorize(W, "low_rank", budget=share(W.shape, 5))
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    np.testing.assert_allclose(f.to_dense(), (U[:, :5] * s[:5]) @ Vt[:5], atol=1e-12)


def test_a_layer_of_low_rank_is_exact(rng):
    W = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 60))
    f = factorize(W, "low_rank", budget=share(W.shape, 3))
    np.testing.assert_allclose(f.to_dense(), W, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_rank_is_the_largest_that_fits(dtype):
    W = np.ones((10, 30), dtype)
    for rank in range(1, 7):
        assert factorize(W, "low_rank", budget=share(W.shape, rank)).rank == rank
    assert factorize(np.ones((3, 3)), "low_rank", budget=1.0).rank == 1


def test_the_factors_are_of_one_size(rng):
    """A float16 layer of large weights has factors that float16 holds."""
    f = factorize(1e-3 * rng.standard_normal((40, 60)), "low_rank", budget=0.5)
    ratio = np.abs(f.left).max() / np.abs(f.right).max()
    assert 0.25 <= ratio <= 4


def test_each_metric_is_the_best_in_its_own(rng):
    W, H = rng.standard_normal((20, 50)), a_gram("full", 50, rng)
    metrics = {"plain": None, "diagonal": np.diag(np.diag(H)), "full": H}
    errors = {
        fitted: {
            name: output_error(W, form.to_dense(), measured) for name, measured in metrics.items()
        }
        for fitted in metrics
        for form in [factorize(W, "low_rank", budget=0.5, gram=H, damping=0, metric=fitted)]
    }
    for name in metrics:
        assert min(metrics, key=lambda fitted: errors[fitted][name]) == name
    assert factorize(W, "low_rank", budget=0.5) == factorize(
        W, "low_rank", budget=0.5, gram=H, metric="plain"
    )


def test_the_diagonal_metric_is_the_svd_of_scaled_columns(rng):
    """Independent: ASVD with its inverse; a dead input is no case for ours."""
    W, H = rng.standard_normal((20, 50)), a_gram("full", 50, rng)
    f = factorize(W, "low_rank", budget=0.5, gram=H, damping=0, metric="diagonal")
    D = np.sqrt(np.diag(H))
    U, s, Vt = np.linalg.svd(W * D, full_matrices=False)
    r = f.rank
    np.testing.assert_allclose(f.to_dense(), (U[:, :r] * s[:r]) @ Vt[:r] / D, atol=1e-9)
    dead = a_gram("dead", 50, rng)
    f = factorize(W, "low_rank", budget=0.5, gram=dead, damping=0, metric="diagonal")
    assert np.isfinite(f.to_dense()).all()


def test_a_low_rank_form_never_takes_more_than_the_layer(rng):
    """Peers store factors of a rank above the break-even, larger than the dense layer."""
    for shape in [(8, 8), (30, 30), (10, 100)]:
        W = rng.standard_normal(shape)
        f = factorize(W, "low_rank", budget=1.0)
        assert f.bits().total <= 64 * W.size
        assert f.rank <= W.size / sum(shape)


KERNEL = (6, 3, 5)


@pytest.mark.parametrize("metric", [None, "full", "singular", "dead"])
@pytest.mark.parametrize("n_outputs", [4, 40])
@pytest.mark.parametrize("form", ["spatial", "tucker"])
def test_a_convolution_is_exact_at_full_rank(rng, form, n_outputs, metric):
    """A peer's spatial split is wrong by three quarters there."""
    W = rng.standard_normal((n_outputs, 90))
    H = None if metric is None else a_gram(metric, 90, rng)
    f = FAMILIES["low_rank"].fit(W, H, 10**7, W.dtype, form=form, kernel_shape=KERNEL)
    assert output_error(W, f.to_dense(), H) < 1e-12
    if metric in (None, "full"):
        np.testing.assert_allclose(f.to_dense(), W, atol=1e-6)


@pytest.mark.parametrize("value_bits", [None, 8, 4, "float16", "bfloat16"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("form", ["spatial", "tucker"])
def test_the_laws_of_convolutions(rng, form, dtype, value_bits):
    W, H = rng.standard_normal((32, 90)).astype(dtype), a_gram("full", 90, rng)
    f = factorize(
        W, "low_rank", budget=0.5, gram=H, form=form, kernel_shape=KERNEL, value_bits=value_bits
    )
    assert (f.shape, f.dtype, f.kernel_shape) == (W.shape, W.dtype, KERNEL)
    X = rng.standard_normal((7, 90)).astype(np.float64 if dtype == np.float64 else np.float32)
    expected = X @ f.to_dense().astype(np.float64).T
    tolerance = {np.float16: 1e-2, np.float32: 1e-5, np.float64: 1e-12}[dtype]
    np.testing.assert_allclose(f.apply(X), expected, atol=tolerance * np.abs(expected).max())
    arrays, meta = f.pack()
    assert 8 * sum(array.nbytes for array in arrays.values()) == f.bits().total
    assert f.bits().total <= 0.5 * 8 * W.nbytes
    again = unpack(arrays, json.loads(json.dumps(meta)))
    assert again == f
    assert repr(again) == repr(f)
    for name, array in arrays.items():
        for bad in (array[..., None], array[:0], array.astype(complex), array[1:]):
            if bad.shape[1:] == array.shape[1:] and bad.size and name in ("output", "horizontal"):
                continue  # fewer outputs are a layer
            with pytest.raises(ValueError, match=r"packed|fit|empty"):
                unpack(arrays | {name: bad}, meta)


def test_a_convolution_of_that_structure_is_found(rng):
    vertical, horizontal = rng.standard_normal((3, 6, 3)), rng.standard_normal((40, 3, 5))
    W = np.einsum("riy,orx->oiyx", vertical, horizontal).reshape(40, 90)
    for gram in (None, a_gram("full", 90, rng)):
        f = factorize(W, "low_rank", budget=0.2, gram=gram, form="spatial", kernel_shape=KERNEL)
        assert isinstance(f, Spatial)
        np.testing.assert_allclose(f.to_dense(), W, atol=1e-8)
    mixings = rng.standard_normal((40, 4)), rng.standard_normal((4, 2, 3, 5))
    W = np.einsum("oa,abyx,bi->oiyx", *mixings, rng.standard_normal((2, 6))).reshape(40, 90)
    for gram in (None, a_gram("full", 90, rng)):
        f = factorize(W, "low_rank", budget=0.2, gram=gram, form="tucker", kernel_shape=KERNEL)
        np.testing.assert_allclose(f.to_dense(), W, atol=1e-8)


@pytest.mark.parametrize("form", ["spatial", "tucker"])
def test_the_metric_counts_in_convolutions(rng, form):
    W, H = rng.standard_normal((40, 90)), a_gram("full", 90, rng)
    errors = [
        output_error(
            W,
            factorize(
                W, "low_rank", budget=0.3, gram=H, form=form, kernel_shape=KERNEL, metric=metric
            ).to_dense(),
            H,
        )
        for metric in ("full", "plain")
    ]
    assert errors[0] < errors[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "full"}, "metric='full' needs gram"),
        ({"metric": "diagonal"}, "metric='diagonal' needs gram"),
        ({"metric": "wanda"}, "metric has to be one of"),
        ({"form": "cp"}, "form has to be one of"),
        ({"kernel_shape": (2, 2, 2)}, "kernel_shape is not used by form='matrix'"),
        ({"form": "spatial"}, r"kernel_shape has to be \(channels, height, width\), got None"),
        ({"form": "tucker", "kernel_shape": (2, 2, 3)}, "does not make 8 inputs"),
        ({"form": "tucker", "kernel_shape": (2, 4)}, "kernel_shape has to be"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        factorize(np.eye(8), "low_rank", budget=1.0, **options)


@pytest.mark.parametrize("form", ["spatial", "tucker"])
def test_a_convolution_that_does_not_fit_is_one_error(form):
    with pytest.raises(BudgetError, match=r"do(es)? not fit into 81 bits"):
        factorize(np.eye(8), "low_rank", budget=0.02, form=form, kernel_shape=(2, 2, 2))
