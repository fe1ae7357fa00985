"""Frontiers: the forms that factorize makes, at the bits they take."""

import numpy as np
import pytest

from sparsecode.layers import (
    FAMILIES,
    Calibration,
    Frontier,
    FrontierPoint,
    factorize,
    frontier,
    output_error,
)

QUICK = ["low_rank", "sparse"]


def a_layer(seed=0, m=24, n=32):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((100, n)) @ np.diag(np.logspace(0, -1, n))
    return rng.standard_normal((m, n)).astype(np.float32), X.T @ X / 100


def test_points_are_what_factorize_makes() -> None:
    W, H = a_layer()
    front = frontier(W, H, methods=QUICK, shares=[0.2, 0.3])
    for method in QUICK:
        for share in (0.2, 0.3):
            for options in FAMILIES[method].variants:
                form = factorize(W, method, budget=share, gram=H, **options)
                error = output_error(W, form.to_dense(), H)
                taken = form.bits().total / (8 * W.nbytes)
                errors = [p.error for p in front.points if (p.method, p.share) == (method, taken)]
                assert min(abs(e - error) for e in errors) <= 1e-6 * error
        shares, errors = front.curves[method]
        assert np.all(np.diff(shares) > 0)
        assert np.all(np.diff(errors) < 0)


def test_of_a_network_each_layer_has_one() -> None:
    (one, H), (two, _) = a_layer(), a_layer(1)
    moments = Calibration.from_arrays({"one": np.linalg.cholesky(H).T * np.sqrt(32)})
    fronts = frontier({"one": one, "two": two, "b": np.ones(3)}, methods=QUICK, shares=[0.4],
                      calibration=moments)  # fmt: skip
    assert list(fronts) == ["one", "two"]
    assert fronts["one"].points == frontier(
        one, moments.gram("one"), methods=QUICK, shares=[0.4]
    ).points  # fmt: skip
    assert fronts["two"].points == frontier(two, methods=QUICK, shares=[0.4]).points


def test_a_family_that_cannot_be_so_small_has_no_point_there() -> None:
    W, _ = a_layer()
    front = frontier(W, methods="low_rank", shares=[0.005, 0.5])
    assert len(front.points) <= len(FAMILIES["low_rank"].variants)
    assert front.best(0.01) is None


def test_the_hull_is_convex_and_below_all_points() -> None:
    rng = np.random.default_rng(3)
    points = [FrontierPoint("any", s, e) for s, e in rng.random((40, 2))]
    shares, errors = Frontier(tuple(points)).hull()
    slopes = np.diff(errors) / np.diff(shares)
    assert np.all(slopes < 0)
    assert np.all(np.diff(slopes) > 0)
    for point in points:
        if shares[0] <= point.share <= shares[-1]:
            assert point.error >= np.interp(point.share, shares, errors) - 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": "svd"}, "methods has to be one of"),
        ({"shares": [0.0]}, "shares has to be"),
        ({"damping": 0.1}, "damping is not used by frontier without moments"),
        ({"include": "w"}, "include is not used by frontier of one layer"),
        ({"W": {"w": np.eye(3)}, "gram": np.eye(3)}, "gram is not used by frontier of a network"),
        ({"W": np.full((3, 3), np.nan)}, "W contains NaN"),
        ({"W": np.ma.array(np.eye(3), mask=np.eye(3))}, "W is a masked array"),
    ],
)
def test_bad_arguments_are_named(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        frontier(**({"W": np.eye(8)} | arguments))
