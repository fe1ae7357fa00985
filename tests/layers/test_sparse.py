"""Sparse: the exact refit, positions the cheaper way, and the order of the ways to choose."""

import numpy as np
import pytest

from sparsecode.layers import Sparse, factorize, output_error, refit, unpack
from sparsecode.layers.factorizations.sparse import largest_count


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def inputs(kind, n, rng):
    mixing = np.linalg.qr(rng.standard_normal((n, n)))[0] * np.logspace(0, -1.5, n)
    X = rng.standard_normal((4 * n, n)) @ mixing.T
    if kind == "singular":
        X = X[: max(1, n // 2)]
    if kind == "dead":
        X[:, ::3] = 0
    return X


def lost(difference, H):
    return np.sum(difference * (difference @ H), axis=1)


def row_by_row(W, support, X):
    """Independent: least squares of the outputs on the kept inputs, one row at a time."""
    V = np.zeros_like(W)
    for i, kept in enumerate(support):
        V[i, kept] = np.linalg.lstsq(X[:, kept], X @ W[i], rcond=None)[0]
    return V


@pytest.mark.parametrize("kind", ["full", "singular", "dead"])
@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (1, 8), (8, 1)])
def test_refit_is_least_squares_on_the_support(rng, shape, kind):
    X = inputs(kind, shape[1], rng)
    H, W = X.T @ X, rng.standard_normal(shape)
    support = rng.random(shape) < 0.5
    support[0] = False
    support[-1] = True
    V = refit(W, support, H)
    assert not V[~support].any()
    found, expected = lost(W - V, H), lost(W - row_by_row(W, support, X), H)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10 * lost(W, H).max())
    if kind == "full":
        np.testing.assert_allclose(V, row_by_row(W, support, X), rtol=1e-6, atol=1e-6)
    gradient = np.where(support, (W - V) @ H, 0)
    assert np.abs(gradient).max() <= 1e-6 * np.abs(W @ H).max()


def test_refit_of_an_ill_conditioned_metric(rng):
    n = 60
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    X = rng.standard_normal((4 * n, n)) @ (Q * np.logspace(0, -4, n)) @ Q.T
    W, support = rng.standard_normal((9, n)), rng.random((9, n)) < 0.5
    found = lost(W - refit(W, support, X.T @ X), X.T @ X)
    expected = lost(W - row_by_row(W, support, X), X.T @ X)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_refit_of_any_scale(rng, scale):
    X = inputs("full", 10, rng)
    H, W, support = X.T @ X, rng.standard_normal((4, 10)), rng.random((4, 10)) < 0.5
    expected = refit(W, support, H)
    np.testing.assert_allclose(refit(W * scale, support, H) / scale, expected, rtol=1e-6)
    np.testing.assert_allclose(refit(W, support, H * scale), expected, rtol=1e-6)


def test_refit_without_a_metric_keeps_the_entries(rng):
    W, support = rng.standard_normal((4, 5)), rng.random((4, 5)) < 0.5
    np.testing.assert_array_equal(refit(W, support, None), W * support)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"support": np.ones((2, 3))}, r"support has to be a boolean array of shape \(2, 3\)"),
        ({"support": np.ones((3, 2), bool)}, "support has to be a boolean array"),
        ({"gram": np.eye(2)}, r"gram has shape \(2, 2\); the layer has 3 inputs"),
        ({"gram": -np.eye(3)}, "gram has a negative diagonal"),
        ({"W": np.full((2, 3), np.nan)}, "W contains NaN"),
    ],
)
def test_refit_refuses(change, message):
    good = {"W": np.ones((2, 3)), "support": np.ones((2, 3), bool), "gram": np.eye(3)}
    with pytest.raises(ValueError, match=message):
        refit(**good | change)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (3, 5)])
def test_the_largest_support_that_fits_and_not_one_more(dtype, shape):
    """Independent: count the bits of what is packed."""
    m, n = shape
    width = 8 * np.dtype(dtype).itemsize

    def bits(nnz):
        support = np.zeros(m * n, bool)
        support[:nnz] = True
        return Sparse(np.ones(nnz, dtype), support.reshape(shape)).bits().total

    costs = np.array([bits(nnz) for nnz in range(m * n + 1)])
    for budget in range(0, m * n * width, 97):
        count = largest_count(shape, budget, width)
        fitting = np.flatnonzero(costs <= budget)
        assert count == fitting[-1] if fitting.size else count < 0


@pytest.mark.parametrize("n", [100, 65_536, 65_537])
def test_positions_are_packed_the_cheaper_way(n):
    """16 bits an index up to 65,536 inputs, then 32; 32 bits a pointer; or a bit an entry."""
    m, index = 3, 16 if n <= 65_536 else 32
    break_even = (8 * -(-m * n // 8) - 32 * (m + 1)) // index
    for nnz in (1, break_even, break_even + 1):
        support = np.zeros((m, n), bool)
        support.reshape(-1)[m * n - nnz :] = True  # the last column too
        f = Sparse(np.arange(1, nnz + 1, dtype=np.float32), support)
        arrays, meta = f.pack()
        if nnz < break_even:
            assert set(arrays) == {"values", "indices", "pointers"}
            assert arrays["indices"].dtype.itemsize * 8 == index
        if nnz > break_even:
            assert set(arrays) == {"values", "mask"}
        by_mask, by_rows = 8 * -(-m * n // 8), nnz * index + 32 * (m + 1)
        assert f.bits().total == 32 * nnz + min(by_mask, by_rows)
        assert unpack(arrays, meta) == f


def test_row_pointers_that_do_not_count_and_indices_out_of_range_are_refused():
    support = np.zeros((4, 400), bool)
    support[0, 3] = support[0, 7] = support[2, 5] = True
    f = Sparse(np.array([1.0, 2.0, 3.0]), support)
    arrays, meta = f.pack()
    assert arrays["pointers"].tolist() == [0, 2, 2, 3, 3]
    for pointers in (
        [0, 2, 2, 3],
        [0, 2, 2, 3, 4],
        [1, 2, 2, 3, 3],
        [0, 2, 1, 3, 3],
        [0, 9, 2, 3, 3],
    ):
        with pytest.raises(ValueError, match="pointers"):
            unpack(arrays | {"pointers": np.array(pointers, "u4")}, meta)
    for indices, message in [
        ([3, 400, 5], "a column index is 400 in a layer of 400 inputs"),
        ([3, 65_535, 5], "a column index is 65535"),
        ([7, 3, 5], "do not increase"),  # else the values would change places
        ([3, 3, 5], "do not increase"),
    ]:
        with pytest.raises(ValueError, match=message):
            unpack(arrays | {"indices": np.array(indices, "u2")}, meta)
    for name, dtype in [
        ("indices", "u4"),
        ("indices", "i2"),
        ("pointers", "i4"),
        ("pointers", "u8"),
    ]:
        with pytest.raises(ValueError, match=f"packed array '{name}'"):
            unpack(arrays | {name: arrays[name].astype(dtype)}, meta)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_ways_to_choose(seed):
    """Random is worst, then magnitude, then Wanda's score; the refit of either is better still."""
    rng = np.random.default_rng(seed)
    n = 64
    X = rng.standard_normal((400, n)) @ (np.eye(n) + 0.3 * rng.standard_normal((n, n)))
    X *= np.exp(rng.standard_normal(n))
    H, W = X.T @ X, rng.standard_normal((48, n))

    def chosen(score):
        support = np.zeros(W.size, bool)
        support[np.argsort(score, axis=None)[-int(0.3 * W.size) :]] = True
        return support.reshape(W.shape)

    def error(V):
        return output_error(W, V, H)

    supports = [rng.random(W.shape), np.abs(W), np.abs(W) * np.sqrt(np.diag(H))]
    random, magnitude, wanda = map(chosen, supports)
    assert error(W * random) > error(W * magnitude) > error(W * wanda)
    assert error(W * wanda) > error(refit(W, wanda, H))
    assert error(W * magnitude) > error(refit(W, magnitude, H)) > error(refit(W, wanda, H))

    # The family is the last of them, with what its budget holds.
    f = factorize(
        W, "sparse", budget=(64 * wanda.sum() + W.size) / (64 * W.size), gram=H, damping=0
    )
    np.testing.assert_array_equal(f.support, wanda)
    np.testing.assert_allclose(error(f.to_dense()), error(row_by_row(W, wanda, X)), rtol=1e-6)


def test_a_sparse_layer_is_exact(rng):
    W = np.where(rng.random((30, 50)) < 0.1, rng.standard_normal((30, 50)), 0)
    X = inputs("full", 50, rng)
    f = factorize(W, "sparse", budget=0.2, gram=X.T @ X)
    np.testing.assert_allclose(f.to_dense(), W, atol=1e-12)


def test_ties_go_to_the_first():
    f = factorize(np.ones((4, 4), np.float32), "sparse", budget=0.5)
    kept = f.support.reshape(-1)
    assert kept[: f.values.size].all()
    assert not kept[f.values.size :].any()
