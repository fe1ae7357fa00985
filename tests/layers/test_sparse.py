"""Sparse: the exact refit, patterns, and the order of the ways to choose."""

import itertools

import numpy as np
import pytest

from sparsecode.layers import factorize, output_error, refit, unpack
from sparsecode.layers.factorizations._supports import largest_in_rows


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
        (
            {"support": np.ones((3, 2), bool)},
            r"support has to be a boolean array .* got bool of shape",
        ),
        ({"gram": np.eye(2)}, r"gram has shape \(2, 2\); the layer has 3 inputs"),
        ({"gram": -np.eye(3)}, "gram has a negative eigenvalue"),
        ({"support": np.ma.array(np.ones((2, 3), bool), mask=True)}, "support is a masked array"),
        ({"tol": -1.0}, "tol has to be a finite number"),
        ({"W": np.full((2, 3), np.nan)}, "W contains NaN"),
    ],
)
def test_refit_refuses(change, message):
    good = {"W": np.ones((2, 3)), "support": np.ones((2, 3), bool), "gram": np.eye(3)}
    with pytest.raises(ValueError, match=message):
        refit(**good | change)


def test_refit_refuses_a_metric_without_a_best_answer():
    gram = np.array([[1.0, -2.0, 1.0], [-2.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    with pytest.raises(ValueError, match="gram has a negative eigenvalue"):
        refit(np.ones((1, 3)), np.array([[True, True, False]]), gram)


def a_case(seed, m=64, n=96):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((5 * n, n)) @ (np.eye(n) + 0.3 * rng.standard_normal((n, n)))
    X *= np.exp(rng.standard_normal(n))
    return rng.standard_normal((m, n)), X.T @ X / len(X)


def at_density(density, W):
    """The budget of that many float64 values and a mask."""
    return (64 * density * W.size + W.size + 8) / (64 * W.size)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_ways_to_choose(seed):
    """At 70 % sparsity: random, magnitude, Wanda, SparseGPT, ALPS; each is better refitted.

    With the damping of one per cent that is part of SparseGPT.
    """
    W, H = a_case(seed)
    criteria = ("random", "magnitude", "wanda", "obs", "alps")

    def error(criterion, refit):
        f = factorize(
            W, "sparse", budget=at_density(0.3, W), gram=H, criterion=criterion, refit=refit
        )
        assert f.density == pytest.approx(0.3, abs=0.01)
        return output_error(W, f.to_dense(), H)

    plain, refitted = ([error(c, refit) for c in criteria] for refit in (False, True))
    assert all(worse > better for worse, better in itertools.pairwise(plain))
    assert refitted[0] > refitted[1] > max(refitted[2:4]) > min(refitted[2:4]) > refitted[4]
    assert all(after < before for before, after in zip(plain[:-1], refitted[:-1], strict=True))
    assert refitted[-1] <= plain[-1] * (1 + 1e-6)  # in the damped metric never more


def test_by_default_it_is_wanda_and_the_refit(rng):
    """Independent: sort the scores, solve each row."""
    X = inputs("full", 30, rng)
    W, H = rng.standard_normal((20, 30)), X.T @ X
    f = factorize(W, "sparse", budget=0.4, gram=H, damping=0)
    score = np.abs(W) * np.sqrt(np.diag(H))
    np.testing.assert_array_equal(f.support, score >= np.sort(score, axis=None)[-f.values.size])
    np.testing.assert_allclose(f.to_dense(), row_by_row(W, f.support, X), atol=1e-6)
    assert factorize(W, "sparse", budget=0.4) == factorize(
        W, "sparse", budget=0.4, criterion="magnitude"
    )


def test_stages_take_away_a_little_at_a_time(rng):
    """Scores that are renewed by refits are better than those of the dense layer."""
    W, H = a_case(0)
    errors = [
        output_error(
            W,
            factorize(
                W, "sparse", budget=at_density(0.3, W), gram=H, criterion=c, n_stages=k
            ).to_dense(),
            H,
        )
        for c in ("magnitude", "wanda")
        for k in (1, 2, 6)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[3] > errors[4] > errors[5]


def per_group(support, of):
    return support.reshape(len(support), -1, of).sum(axis=2)


PATTERNS = {
    "n:m": {"keep": 2, "of": 4},
    "rows": {"pattern": "rows"},
    "columns": {"pattern": "columns"},
    "blocks": {"block_shape": (4, 8)},
    "row": {"threshold": "row"},
}


@pytest.mark.parametrize("criterion", ["random", "magnitude", "wanda", "obs", "alps"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_hold_and_are_refitted(criterion, pattern):
    W, H = a_case(1, 32, 48)
    options = {"budget": 0.6, "gram": H, "damping": 0, "criterion": criterion} | PATTERNS[pattern]
    f, plain = (factorize(W, "sparse", refit=refit, **options) for refit in (True, False))
    S = f.support
    np.testing.assert_array_equal(S, plain.support)
    if pattern == "n:m":
        assert np.all(per_group(S, 4) == 2)
    elif pattern == "rows":
        assert set(S.sum(axis=1)) == {0, 48}
    elif pattern == "columns":
        assert set(S.sum(axis=0)) == {0, 32}
    elif pattern == "blocks":
        assert set(S.reshape(8, 4, 6, 8).sum(axis=(1, 3)).ravel()) == {0, 32}
    else:
        assert len(set(S.sum(axis=1))) == 1
    least = sum(
        np.linalg.lstsq(np.linalg.cholesky(H).T[:, s], np.linalg.cholesky(H).T @ w)[1].sum()
        if 0 < s.sum() < 48
        else (w @ H @ w) * (s.sum() == 0)
        for w, s in zip(W, S, strict=True)
    )
    whole = np.sum(W * (W @ H))
    np.testing.assert_allclose(output_error(W, f.to_dense(), H), least / whole, rtol=1e-6)
    assert output_error(W, plain.to_dense(), H) >= least / whole * (1 - 1e-6)
    assert unpack(*f.pack()) == f
    assert f.bits().total <= 0.6 * 64 * W.size


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p != "rows"])
def test_the_better_way_to_choose_is_better_in_every_pattern(pattern):
    W, H = a_case(2, 32, 48)
    errors = []
    for criterion in ("random", "magnitude", "wanda", "obs", "alps"):
        f = factorize(W, "sparse", budget=0.6, gram=H, criterion=criterion, **PATTERNS[pattern])
        errors.append(output_error(W, f.to_dense(), H))
    random, magnitude, wanda, obs, alps = errors
    assert min(random, magnitude) > max(wanda, obs)
    assert wanda >= alps * (1 - 1e-9)  # in a pattern the two may agree
    if pattern == "columns":
        assert obs < min(wanda, alps)


def test_rows_by_their_outputs_are_the_best_rows(rng):
    """Rows make good for nothing: brute force over all pairs."""
    W, H = a_case(3, 6, 12)
    f = factorize(W, "sparse", budget=0.34, gram=H, damping=0, criterion="obs", pattern="rows")
    kept = np.flatnonzero(f.support.any(axis=1))
    energy = np.einsum("ij,ij->i", W, W @ H)
    best = max(itertools.combinations(range(6), 2), key=lambda pair: energy[list(pair)].sum())
    assert tuple(kept) == best


def test_a_column_is_eliminated_at_its_exact_cost(rng):
    """Independent: leave each column out and solve for the rest."""
    W, H = a_case(4, 8, 10)
    f = factorize(W, "sparse", budget=0.97, gram=H, damping=0, criterion="obs", pattern="columns")
    assert f.support.sum() == 8 * 9
    errors = []
    for j in range(10):
        rest = np.delete(np.arange(10), j)
        V = np.linalg.solve(H[np.ix_(rest, rest)], H[rest] @ W.T).T
        miss = W.copy()
        miss[:, rest] -= V
        errors.append(np.sum(miss * (miss @ H)))
    assert not f.support[:, np.argmin(errors)].any()
    np.testing.assert_allclose(
        output_error(W, f.to_dense(), H), min(errors) / np.sum(W * (W @ H)), rtol=1e-6
    )


def test_keep_says_how_many_stay():
    """Peers name it by what goes or by what stays; 1 of 4 here is a density of a quarter."""
    W = np.tile([4.0, 3.0, 2.0, 1.0], (4, 2))
    f = factorize(W, "sparse", budget=0.5, keep=1, of=4)
    np.testing.assert_array_equal(f.to_dense(), np.where(W == 4, W, 0))
    f = factorize(W, "sparse", budget=0.9, keep=3, of=4)
    np.testing.assert_array_equal(f.to_dense(), np.where(W > 1, W, 0))
    assert factorize(W, "sparse", budget=0.6, pattern="n:m", of=4).density == 0.5  # what fits


@pytest.mark.parametrize("kind", ["singular", "dead"])
@pytest.mark.parametrize("criterion", ["wanda", "obs", "alps"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_singular_moment_is_ordinary(rng, kind, criterion, dtype):
    """Peers fail in the Cholesky factor, or go on with the identity in silence."""
    X, W = inputs(kind, 40, rng), rng.standard_normal((20, 40)).astype(dtype)
    f = factorize(W, "sparse", budget=0.5, gram=X.T @ X, damping=0, criterion=criterion)
    assert np.isfinite(f.to_dense()).all()
    assert output_error(W, f.to_dense(), X.T @ X) < 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "wanda", "gram": None}, "criterion='wanda' needs gram"),
        ({"criterion": "obs", "gram": None}, "criterion='obs' needs gram"),
        ({"criterion": "alps", "gram": None}, "criterion='alps' needs gram"),
        ({"criterion": "taylor"}, "criterion has to be one of"),
        ({"random_state": 0}, "random_state is not used by .*criterion='wanda'"),
        ({"criterion": "obs", "n_stages": 2}, "n_stages is not used by .*criterion='obs'"),
        ({"gram": None, "n_stages": 2}, "n_stages is not used by .*without gram"),
        ({"n_stages": 0}, "n_stages"),
        ({"pattern": "diagonal"}, "pattern has to be one of"),
        ({"pattern": "rows", "keep": 2}, "keep is not used by .*pattern='rows'"),
        ({"pattern": "unstructured", "of": 4}, "of is not used by .*pattern='unstructured'"),
        (
            {"pattern": "columns", "block_shape": (1, 1)},
            "block_shape is not used by .*pattern='columns'",
        ),
        ({"keep": 2, "threshold": "row"}, "threshold is not used by .*pattern='n:m'"),
        ({"threshold": "column"}, "threshold has to be one of"),
        ({"keep": 4, "of": 4}, "keep has to be between 1 and 3"),
        ({"of": 5}, "of=5 has to divide the layer's 8 inputs"),
        ({"block_shape": (3, 2)}, r"block_shape=\(3, 2\) has to divide"),
        ({"block_shape": 4}, "block_shape has to be two integers"),
        ({"pattern": "blocks"}, "block_shape has to be two integers"),
        ({"keep": 3, "of": 4, "budget": 0.5}, "3 of 4 entries of a .* do not fit into"),
        ({"pattern": "rows", "budget": 0.1}, "one row of a .* do not fit into"),
        ({"pattern": "columns", "budget": 0.1}, "one column of a .* do not fit into"),
        ({"block_shape": (4, 4), "budget": 0.1}, "a block .* do not fit into"),
        ({"threshold": "row", "budget": 0.1}, "an entry a row of a .* do not fit into"),
    ],
)
def test_wrong_options_are_named(options, message):
    good = {"budget": 0.8, "gram": np.eye(8)}
    with pytest.raises(ValueError, match=message):
        factorize(np.arange(64.0).reshape(8, 8), "sparse", **good | options)


def test_refit_must_be_a_truth_value():
    with pytest.raises(TypeError, match="refit has to be True or False"):
        factorize(np.eye(8), "sparse", budget=0.5, refit=1)


@pytest.mark.parametrize("few", [0, 3, 100], ids=["iterated", "some solved", "solved"])
@pytest.mark.parametrize(
    ("dtype", "kind"),
    [*itertools.product([np.float64], ["full", "singular", "dead"]), (np.float32, "full")],
)
def test_many_rows_in_tiles_and_a_moment_in_parts(rng, dtype, kind, few, monkeypatch):
    """What large layers go through gives what each row gives alone."""
    for name, value in {"TILE": 3 * 60, "ROWS": 1, "LEAST_SPLIT": 50, "FEW": few}.items():
        monkeypatch.setattr(f"sparsecode.layers.factorizations._refit.{name}", value)
    X = inputs(kind, 60, rng)
    W = rng.standard_normal((20, 60)).astype(dtype)
    support = rng.random((20, 60)) < np.linspace(0, 1, 20)[:, None]
    V = refit(W, support, X.T @ X)
    assert V.dtype == dtype
    assert not V[~support].any()
    found = lost(W - V.astype(float), X.T @ X)
    expected = lost(W - row_by_row(W, support, X), X.T @ X)
    rtol, atol = (1e-3, 1e-6) if dtype == np.float32 else (1e-7, 1e-10)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol * lost(W, X.T @ X).max())


def test_rows_are_solved_only_where_that_is_asked_for(rng, monkeypatch):
    """A loose tolerance, or few inputs, and no row is worth a decomposition."""
    solved = []
    module = "sparsecode.layers.factorizations._refit"
    monkeypatch.setattr(f"{module}.solved", lambda H, b: solved.append(len(b)) or np.zeros(len(b)))
    X = inputs("full", 60, rng)
    W, support = rng.standard_normal((4, 60)), rng.random((4, 60)) < 0.5
    refit(W, support, X.T @ X)
    monkeypatch.setattr(f"{module}.LEAST_SPLIT", 50)
    refit(W, support, X.T @ X, tol=0.05)
    assert solved == []
    expected = row_by_row(W, support, X)
    np.testing.assert_allclose(refit(W, support, X.T @ X), expected, atol=1e-5)
    assert sorted(solved) == sorted(support.sum(axis=1))  # and went on from where that had led


@pytest.mark.parametrize("values", ["different", "many ties", "in step"])
def test_the_largest_of_very_many(rng, values, monkeypatch):
    monkeypatch.setattr("sparsecode.layers.factorizations._supports.SLAB", 1000)
    score = rng.random(50_000)
    if values == "many ties":
        score = np.round(score, 1)
    if values == "in step":
        score[::50] = 2.0
    for count in (1, 700, 17_000, 49_999):
        order = np.argsort(-score, kind="stable")[:count]
        expected = np.zeros(50_000, bool)
        expected[order] = True
        np.testing.assert_array_equal(largest_in_rows(score[None], count)[0], expected)


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
