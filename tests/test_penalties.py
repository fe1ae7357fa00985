"""The laws of every penalty that the package lists; a new one is tested by being listed here."""

import numpy as np
import pytest
import scipy.optimize

from sparsecode import penalties
from sparsecode.penalties import (
    L0,
    L1,
    L21,
    MCP,
    SCAD,
    ElasticNet,
    GroupL1,
    LHalf,
    NuclearNorm,
    soft_threshold,
)

N = 6
GROUPS = [0, 1, 0, 2, 1, 0]
INSTANCES = [
    L1(),
    L1(weights=np.linspace(0.5, 2.0, N)),
    L1(positive=True),
    L1(weights=np.linspace(0.5, 2.0, N), positive=True),
    ElasticNet(),
    ElasticNet(l1_ratio=0.0),
    ElasticNet(l1_ratio=0.9),
    ElasticNet(l1_ratio=0.6, positive=True),
    GroupL1(GROUPS),
    GroupL1(GROUPS, weights=[0.5, 1.0, 2.0]),
    NuclearNorm(),
    L21(),
    L21(weights=np.linspace(0.5, 2.0, N)),
    L0(),
    LHalf(),
    MCP(),
    MCP(gamma=1.2, threshold=0.4),  # its scalar problem is not convex at the steps below
    SCAD(),
    SCAD(gamma=2.1, threshold=0.3),
]
CONVEX = [penalty for penalty in INSTANCES if penalty.convex]


def complex_too(penalty_list):
    return [p for p in penalty_list if not getattr(p, "positive", False)]


def name(penalty):
    options = {k: v for k, v in vars(penalty).items() if v is not None and not k.startswith("_")}
    return type(penalty).__name__ + "-".join(["", *map(str, options)])


def draw(penalty, seed, *, dtype=np.float64, scale=1.0):
    """A point the penalty acts on: two signals, which the nuclear norm couples."""
    rng = np.random.default_rng(seed)
    x = scale * rng.standard_normal((N, 2))
    if np.dtype(dtype).kind == "c":
        x = x + 1j * scale * rng.standard_normal((N, 2))
    return x.astype(dtype)


def inner(u, v):
    return float(np.sum((np.conj(u) * v).real))


def total(values):
    return float(np.sum(values))


def proximal_objective(penalty, u, x, step):
    return 0.5 * np.sum(np.abs(u - x) ** 2) + step * total(penalty.value(u))


def test_every_penalty_is_tested() -> None:
    assert {type(penalty).__name__ for penalty in INSTANCES} == set(penalties.__all__)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("penalty", INSTANCES, ids=name)
def test_the_prox_beats_a_thousand_points_and_its_neighbourhood(penalty, dtype) -> None:
    if dtype == np.complex128 and penalty not in complex_too(INSTANCES):
        pytest.skip("x >= 0 is about real numbers")
    x, step = draw(penalty, 0, dtype=dtype, scale=2.0), 0.7
    p = penalty.prox(x, step)
    best = proximal_objective(penalty, p, x, step)
    rng = np.random.default_rng(1)
    for trial in range(1000):
        size = 10.0 ** rng.uniform(-6, 0.5)
        u = draw(penalty, 10 + trial, dtype=dtype, scale=size)
        u = np.where(rng.random(u.shape) < 0.3, 0, u) + (p if trial % 2 else 0)
        u = np.abs(u) if getattr(penalty, "positive", False) else u
        assert best <= proximal_objective(penalty, u, x, step) * (1 + 1e-14)
    assert best <= proximal_objective(penalty, 0 * x, x, step)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.float32])
@pytest.mark.parametrize("penalty", CONVEX, ids=name)
def test_fenchel_and_young_meet_at_the_prox(penalty, dtype) -> None:
    if dtype == np.complex128 and penalty not in complex_too(CONVEX):
        pytest.skip("x >= 0 is about real numbers")
    x = draw(penalty, 2, dtype=dtype, scale=3.0)
    p = penalty.prox(x, 1.0)
    v = x - p
    assert p.dtype == dtype
    # v is a subgradient up to rounding, which the conjugate of a norm answers with infinity.
    v = v / max(float(np.max(penalty.polar(v))), 1.0)
    left = total(penalty.value(p)) + total(penalty.conjugate(v))
    assert left == pytest.approx(inner(p, v), rel=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("step", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("penalty", CONVEX, ids=name)
def test_moreau_identity(penalty, step) -> None:
    # x - prox_{tg}(x) = t prox_{g*/t}(x/t); the right-hand side by its own minimisation property.
    x = draw(penalty, 3, scale=2.0)
    dual = (x - penalty.prox(x, step)) / step
    dual = dual / max(float(np.max(penalty.polar(dual))), 1.0)

    def objective(v):
        return 0.5 * np.sum((v - x / step) ** 2) + total(penalty.conjugate(v)) / step

    best = objective(dual)
    assert np.isfinite(best)
    rng = np.random.default_rng(4)
    for _ in range(100):
        other = dual + 10.0 ** rng.uniform(-5, 0) * rng.standard_normal(dual.shape)
        other = other / max(float(np.max(penalty.polar(other))), 1.0)
        assert best <= objective(other) + 1e-12


@pytest.mark.parametrize("penalty", CONVEX, ids=name)
def test_the_conjugate_is_the_largest_affine_excess(penalty) -> None:
    """``g*(v) = max <x, v> - g(x)`` by numerical search, at points inside its domain."""
    for seed in range(2):
        v = draw(penalty, 20 + seed)
        gauge = float(np.max(penalty.polar(v)))
        v = v if gauge == 0 else 0.8 * v / gauge
        positive = getattr(penalty, "positive", False)

        def excess(flat, v=v, positive=positive):
            x = flat.reshape(v.shape)
            x = np.abs(x) if positive else x
            return total(penalty.value(x)) - inner(x, v)

        starts = [np.zeros(v.size), v.ravel()]
        lowest = min(
            scipy.optimize.minimize(excess, start, method="Powell", options={"ftol": 1e-9}).fun
            for start in starts
        )
        assert total(penalty.conjugate(v)) == pytest.approx(-lowest, abs=1e-5)


@pytest.mark.parametrize("penalty", CONVEX, ids=name)
def test_the_polar_is_the_gauge_of_the_conjugates_domain(penalty) -> None:
    v = draw(penalty, 5)
    gauges = np.atleast_1d(penalty.polar(v))
    if np.all(gauges == 0):
        assert np.all(np.isfinite(penalty.conjugate(1e6 * v)))
        return
    assert np.all(np.isfinite(penalty.conjugate(v / gauges.max())))
    assert np.all(np.isinf(penalty.conjugate(v / gauges.min() * 1.001)))
    np.testing.assert_allclose(penalty.polar(3 * v), 3 * penalty.polar(v), rtol=1e-14)
    # Outside of the domain the excess is unbounded: some direction goes up for ever.
    outside = 1.2 * v / gauges.min()
    direction = penalty.prox(1e6 * outside, 1e6)
    assert inner(direction, outside) > total(penalty.value(direction))


@pytest.mark.parametrize("penalty", CONVEX, ids=name)
def test_vanishing_is_where_the_prox_becomes_zero(penalty) -> None:
    v = draw(penalty, 6)
    threshold = float(np.max(penalty.vanishing(v)))
    if np.isinf(threshold):
        assert np.all(penalty.prox(v, 1e6) != 0)
        return
    assert not np.any(penalty.prox(v, threshold * (1 + 1e-12)))
    assert np.any(penalty.prox(v, threshold * (1 - 1e-9)))


@pytest.mark.parametrize("unit", [2.0**-3, 2.0**40, 2.0**-400, 2.0**500])
@pytest.mark.parametrize("penalty", INSTANCES, ids=name)
def test_in_units(penalty, unit) -> None:
    x = draw(penalty, 7)
    x = np.abs(x) if getattr(penalty, "positive", False) else x
    factor, other = penalty.in_units(unit)
    np.testing.assert_allclose(penalty.value(unit * x), factor * other.value(x), rtol=1e-12)


@pytest.mark.parametrize("penalty", CONVEX, ids=name)
def test_the_prox_of_a_convex_penalty_does_not_expand(penalty) -> None:
    for seed in range(50):
        x, y = draw(penalty, 100 + seed, scale=2.0), draw(penalty, 500 + seed, scale=2.0)
        p, q = penalty.prox(x, 0.7), penalty.prox(y, 0.7)
        # Firmly: more than the Lipschitz constant 1.
        assert np.sum((p - q) ** 2) <= inner(p - q, x - y) * (1 + 1e-12) + 1e-14


@pytest.mark.parametrize("penalty", [p for p in INSTANCES if not isinstance(p, (L21, NuclearNorm))])
def test_each_signal_is_a_problem_of_its_own(penalty) -> None:
    x = draw(penalty, 8)
    for j in range(x.shape[1]):
        column = np.ascontiguousarray(x[:, j])
        np.testing.assert_array_equal(penalty.prox(x, 0.5)[:, j], penalty.prox(column, 0.5))
        assert penalty.value(x)[j] == pytest.approx(penalty.value(column), rel=1e-14)
        assert np.ndim(penalty.value(column)) == 0
        if penalty.convex:
            assert np.ndim(penalty.polar(column)) == np.ndim(penalty.conjugate(column)) == 0


@pytest.mark.parametrize("penalty", INSTANCES, ids=name)
def test_the_argument_is_left_alone_and_its_dtype_kept(penalty) -> None:
    x = draw(penalty, 9, dtype=np.float32)
    x.flags.writeable = False
    before = x.copy()
    assert penalty.prox(x, 0.3).dtype == np.float32
    np.testing.assert_array_equal(x, before)


NONCONVEX = [penalty for penalty in INSTANCES if not penalty.convex]


@pytest.mark.parametrize("step", [1e-3, 0.1, 0.4, 0.5, 1.0, 3.0, 40.0])
@pytest.mark.parametrize("penalty", NONCONVEX, ids=name)
def test_a_prox_that_is_not_convex_is_the_global_minimum_by_brute_force(penalty, step) -> None:
    grid = np.linspace(0, 12, 60_001)
    values = penalty.value(grid[None, :])
    points = np.linspace(0.01, 11.0, 150)
    answers = penalty.prox(points, step)
    for x, p in zip(points, answers, strict=True):
        objectives = 0.5 * (grid - x) ** 2 + step * values
        mine = 0.5 * (p - x) ** 2 + step * penalty.value(np.array([p]))
        assert mine <= objectives.min() + 1e-13
        # Where the minimum is sharp, that it is the same point, to the width of the grid.
        near = np.flatnonzero(objectives <= objectives.min() + 1e-6)
        assert grid[near[0]] - 2e-3 <= p <= grid[near[-1]] + 2e-3
    np.testing.assert_array_equal(penalty.prox(-points, step), -answers)
    assert penalty.prox(np.zeros(1), step)[0] == 0


@pytest.mark.parametrize("penalty", NONCONVEX, ids=name)
@pytest.mark.parametrize("step", [0.3, 5.0])
def test_the_prox_of_complex_numbers_keeps_the_phase(penalty, step) -> None:
    x, phase = np.linspace(0.01, 6, 50), np.exp(0.7j)
    np.testing.assert_allclose(penalty.prox(x * phase, step), penalty.prox(x, step) * phase)


@pytest.mark.parametrize("gamma", [2.5, 3.7, 10.0])
@pytest.mark.parametrize("threshold", [0.2, 1.0, 3.0])
def test_scad_and_mcp_have_the_slopes_of_their_papers(gamma, threshold) -> None:
    t = np.linspace(0, 1.5 * gamma * threshold, 20_001)
    slope = np.where(t <= threshold, 1.0, np.maximum(gamma * threshold - t, 0))
    slope[t > threshold] /= (gamma - 1) * threshold
    fall = np.maximum(1 - t / (gamma * threshold), 0)
    for penalty, derivative in ((SCAD(gamma, threshold), slope), (MCP(gamma, threshold), fall)):
        integral = np.concatenate([[0], np.cumsum((derivative[1:] + derivative[:-1]) / 2)]) * t[1]
        np.testing.assert_allclose(penalty.value(t[None, :]), integral, atol=1e-6 * t[-1])


def test_scad_thresholds_as_fan_and_li_do() -> None:
    # Their equation (2.8), at unit step: alpha is lambda, and so is the threshold.
    lam, a = 0.8, 3.7
    z = np.linspace(-5, 5, 1001)
    size = np.abs(z)
    theirs = np.where(size <= a * lam, ((a - 1) * z - np.sign(z) * a * lam) / (a - 2), z)
    theirs = np.where(size <= 2 * lam, np.sign(z) * np.maximum(size - lam, 0), theirs)
    np.testing.assert_allclose(SCAD(threshold=lam).prox(z, lam), theirs, atol=1e-14)


@pytest.mark.parametrize("step", [0.1, 1.0, 7.0])
def test_the_half_threshold_solves_its_stationary_equation(step) -> None:
    threshold = 1.5 * step ** (2 / 3)
    assert LHalf().prox(np.array([threshold * (1 - 1e-12)]), step)[0] == 0
    x = threshold * np.geomspace(1 + 1e-12, 1e6, 100)
    u = LHalf().prox(x, step)
    assert u[0] == pytest.approx(2 / 3 * x[0])
    np.testing.assert_allclose(u + step / (2 * np.sqrt(u)), x, rtol=1e-14)


@pytest.mark.parametrize("penalty", [MCP(gamma=1e9), SCAD(gamma=1e9)], ids=["mcp", "scad"])
def test_a_penalty_that_never_flattens_is_the_l1_norm(penalty) -> None:
    x = draw(penalty, 30, scale=3.0)
    np.testing.assert_allclose(penalty.prox(x, 0.7), L1().prox(x, 0.7), atol=1e-7)
    np.testing.assert_allclose(penalty.value(x), L1().value(x), rtol=1e-7)


@pytest.mark.parametrize("penalty", [MCP(), SCAD(), LHalf()], ids=name)
@pytest.mark.parametrize("unit", [0.0, 1e-320, 1e-300, 1e300, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_units_out_of_any_range_do_not_break_the_arithmetic(penalty, unit, dtype) -> None:
    _, other = penalty.in_units(unit)
    x = draw(penalty, 31, dtype=dtype)
    assert np.all(np.isfinite(other.value(x)))
    assert np.all(np.isfinite(other.prox(x, 0.5)))


@pytest.mark.parametrize("penalty", [GroupL1(GROUPS), L21(), NuclearNorm()], ids=name)
@pytest.mark.parametrize("scale", [2.0**-600, 2.0**600])
def test_a_norm_has_no_scale(penalty, scale) -> None:
    x = draw(penalty, 32)
    np.testing.assert_allclose(penalty.value(scale * x), scale * penalty.value(x), rtol=1e-12)
    shrunk = penalty.prox(scale * x, scale * 0.5)
    np.testing.assert_allclose(shrunk, scale * penalty.prox(x, 0.5), rtol=1e-12)


def test_a_step_for_each_signal_fits_the_signals() -> None:
    x, steps = draw(L1(), 33), np.array([0.1, 0.7])
    both = np.column_stack([L1().prox(x[:, i], steps[i]) for i in range(2)])
    np.testing.assert_array_equal(L1().prox(x, steps), both)
    with pytest.raises(ValueError, match=r"step has shape \(2,\); x asks for one number"):
        L1().prox(x[:, 0], steps)
    with pytest.raises(TypeError, match="step has to be a real number"):
        L0().prox(x, steps)


def test_soft_threshold_of_complex_numbers_keeps_the_phase() -> None:
    x = np.array([3 + 4j, 0.1j, 0])
    shrunk = soft_threshold(x, 1.0)
    np.testing.assert_allclose(shrunk, [(3 + 4j) * 0.8, 0, 0], atol=1e-15)


def test_the_hard_threshold_is_at_the_square_root_of_twice_the_step() -> None:
    np.testing.assert_array_equal(L0().prox(np.array([1.99, 2.01, -2.01]), 2.0), [0, 2.01, -2.01])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L1(weights=[1.0, 0.0]), "weights has to be"),
        (lambda: L1(weights=[1.0, np.nan]), "weights contains NaN"),
        (lambda: L1(weights=[[1.0]]), "weights has to be"),
        (
            lambda: ElasticNet(l1_ratio=1.0),
            r"l1_ratio has to be in \[0, 1\), got 1.0; for 1 use L1",
        ),
        (lambda: ElasticNet(l1_ratio=np.nan), "l1_ratio"),
        (lambda: GroupL1([0, 2]), "no member of group 1"),
        (lambda: GroupL1([-1, 0]), "groups has to be"),
        (lambda: GroupL1([0.0, 1.0]), "groups has to be"),
        (lambda: GroupL1([]), "groups has to be"),
        (lambda: GroupL1([0, 2**60]), "no member of group 1"),
        (lambda: L1(weights=np.full(3, b"1")), "weights has to be numeric"),
        (lambda: L1().value(np.full(3, b"1")), "x has to be numeric"),
        (lambda: L1().polar([[1.0], [1.0, 2.0]]), "v is no array of numbers"),
        (lambda: LHalf().prox(np.ones(3), -1.0), "step has to be a finite number in"),
        (lambda: GroupL1([0, 1], weights=[1.0]), "weights has 1 entries for 2 groups"),
        (lambda: L1(weights=[1.0, 2.0]).value(np.ones(3)), "weights has 2 entries for 3"),
        (lambda: GroupL1([0, 1]).prox(np.ones(3), 1.0), "groups has 2 labels for 3"),
        (lambda: L1(positive=True).prox(np.ones(3) * 1j, 1.0), "positive=True needs real"),
        (lambda: NuclearNorm().prox(np.ones(3), 1.0), "x has to be 2-D"),
        (lambda: MCP(gamma=1.0), r"gamma has to be a finite number in \(1, inf\), got 1.0"),
        (lambda: MCP(threshold=0.0), r"threshold has to be a finite number in \(0, inf\), got 0.0"),
        (lambda: SCAD(gamma=2.0), r"gamma has to be a finite number in \(2, inf\), got 2.0"),
        (lambda: SCAD(gamma=np.nan), "gamma has to be"),
        (lambda: SCAD(threshold=np.inf), "threshold has to be"),
    ],
)
def test_errors_say_what_is_wrong(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_method_says_how_many_arguments_it_takes() -> None:
    for call in (lambda: L1().value(), lambda: L1().value(1.0, 2.0), lambda: L1().value(y=1.0)):
        with pytest.raises(TypeError, match=r"value\(\) takes one argument, x"):
            call()
