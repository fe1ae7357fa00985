"""Allocation: against all combinations, and the bound against the linear programme."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from sparsecode.layers import Choice, allocate, allocate_within_error
from sparsecode.layers import allocation as module


def an_instance(rng, n_layers=4, n_choices=5, most=60):
    """Errors fall as bits grow, more or less; some choices are dominated, some equal."""
    layers = []
    for _ in range(n_layers):
        bits = rng.integers(0, most, rng.integers(1, n_choices + 1))
        errors = np.round(rng.random(bits.size) * np.exp(-bits / most), 3)
        layers.append([Choice(int(b), float(e)) for b, e in zip(bits, errors, strict=True)])
    return layers


def best_error(layers, budget):
    """Brute force; None where nothing fits."""
    fitting = [
        sum(c.error for c in picked)
        for picked in itertools.product(*layers)
        if sum(c.bits for c in picked) <= budget
    ]
    return min(fitting, default=None)


def relaxation(layers, budget):
    """The linear programme whose dual the bound is."""
    flat = [c for layer in layers for c in layer]
    owner = [i for i, layer in enumerate(layers) for _ in layer]
    A_eq = [[float(o == i) for o in owner] for i in range(len(layers))]
    answer = linprog(
        [c.error for c in flat],
        A_ub=[[c.bits for c in flat]],
        b_ub=[budget],
        A_eq=A_eq,
        b_eq=np.ones(len(layers)),
    )
    return answer.fun


def check(layers, budget, answer):
    picked = [layer[j] for layer, j in zip(layers, answer.chosen, strict=True)]
    assert answer.bits == sum(c.bits for c in picked) <= budget
    np.testing.assert_allclose(answer.error, sum(c.error for c in picked), rtol=1e-12)
    assert answer.bound <= answer.error


@pytest.mark.parametrize("seed", range(30))
def test_small_instances_are_solved_exactly(seed):
    rng = np.random.default_rng(seed)
    layers = an_instance(rng)
    least = sum(min(c.bits for c in layer) for layer in layers)
    for budget in least + rng.integers(0, 150, 4):
        answer = allocate(layers, int(budget))
        check(layers, budget, answer)
        expected = best_error(layers, budget)
        np.testing.assert_allclose(answer.error, expected, rtol=1e-12, atol=1e-12)
        assert answer.bound <= expected + 1e-12
        np.testing.assert_allclose(answer.bound, relaxation(layers, budget), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("cells", [5, 20, 100])
def test_in_cells_the_answer_is_that_of_a_little_less(monkeypatch, seed, cells):
    """L layers lose at most L (c - 1) bits to cells of c bits: the docstring's promise."""
    monkeypatch.setattr(module, "CELLS", cells)
    rng = np.random.default_rng(seed)
    layers = an_instance(rng, most=1000)
    least = sum(min(c.bits for c in layer) for layer in layers)
    budget = least + int(rng.integers(1, 2500))
    answer = allocate(layers, budget)
    check(layers, budget, answer)
    cell = -(-(budget - least) // cells)
    assert answer.error >= best_error(layers, budget) - 1e-12
    reached = best_error(layers, budget - len(layers) * (cell - 1))
    assert reached is None or answer.error <= reached + 1e-12


def test_many_layers_with_hardly_room_are_not_left_at_the_cheapest():
    """Only what is beyond the cheapest is counted in cells: 100 layers do not lose 100 cells."""
    layers = [[Choice(10**6 + i, 1.0), Choice(10**6 + 1000 + i, 0.5)] for i in range(100)]
    least = sum(layer[0].bits for layer in layers)
    for n_better in (0, 1, 50, 99):
        answer = allocate(layers, least + 1000 * n_better)
        assert answer.error >= 100 - 0.5 * n_better
        assert answer.error <= 100 - 0.5 * np.floor(0.95 * n_better)


@pytest.mark.parametrize("scale", [1e-12, 1e9])
def test_the_bound_at_any_scale_of_errors_and_bits(scale):
    rng = np.random.default_rng(0)
    layers = [
        [Choice(c.bits * 10**9, c.error * scale) for c in layer] for layer in an_instance(rng)
    ]
    budget = 60 * 10**9
    answer = allocate(layers, budget)
    check(layers, budget, answer)
    small = [[Choice(c.bits // 10**9, c.error / scale) for c in layer] for layer in layers]
    np.testing.assert_allclose(answer.bound / scale, relaxation(small, 60), rtol=1e-6, atol=1e-9)


def test_a_single_layer_takes_the_best_that_fits():
    layer = [Choice(40, 0.0), Choice(10, 1.0), Choice(20, 0.1)]
    for budget, chosen in [(10, 1), (19, 1), (20, 2), (39, 2), (40, 0), (10**12, 0)]:
        assert allocate([layer], budget).chosen == (chosen,)


def test_ties_take_fewer_bits_and_then_the_first():
    layer = [Choice(20, 0.5), Choice(10, 0.5), Choice(10, 0.5), Choice(30, 0.5)]
    assert allocate([layer, layer], 1000).chosen == (1, 1)


def test_choices_of_no_bits():
    layers = [[Choice(0, 0.0)], [Choice(0, 1.0), Choice(5, 0.0)]]
    assert allocate(layers, 0) == ((0, 0), 0, 1.0, 1.0)
    assert allocate(layers, 5).chosen == (0, 1)


def test_no_layers():
    assert allocate([], 7) == ((), 0, 0.0, 0.0)


def test_infinite_errors_are_avoided_where_they_can_be():
    inf = float("inf")
    layers = [[Choice(1, inf), Choice(10, 0.5)], [Choice(1, 0.5), Choice(10, 0.25)]]
    answer = allocate(layers, 11)
    assert answer.chosen == (1, 0)
    check(layers, 11, answer)
    for budget in (2, 10):
        answer = allocate(layers, budget)
        assert (answer.error, answer.bits <= budget) == (inf, True)
        assert answer.bound >= 0
    assert allocate([[Choice(3, inf)]], 5) == ((0,), 3, inf, inf)


@pytest.mark.parametrize("solve", [allocate, allocate_within_error])
@pytest.mark.parametrize("bad", [3, "ab", [3], [[(1, 0.5)]], {"a": [Choice(1, 0.5)]}])
def test_choices_of_another_kind_are_refused(solve, bad):
    with pytest.raises(TypeError, match=r"^choices"):
        solve(bad, 7)


def test_too_small_a_budget_says_what_would_do():
    layers = [[Choice(10, 0.0), Choice(7, 1.0)], [Choice(5, 0.0)]]
    for budget in (11, 0, -3):
        message = f"the cheapest choices take 12 bits together, and the budget is {budget}; "
        with pytest.raises(ValueError, match=message + "raise it to at least 12"):
            allocate(layers, budget)
    assert allocate(layers, 12).chosen == (1, 0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], r"choices\[1\] is empty"),
        ([Choice(-1, 0.0)], r"choices\[1\] has Choice\(bits=-1"),
        ([Choice(1, -0.5)], "error=-0.5"),
        ([Choice(1, 0.5), Choice(1, float("nan"))], "error=nan"),
    ],
)
def test_choices_that_make_no_sense_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        allocate([[Choice(1, 0.0)], bad], 100)


def fewest_bits(layers, max_error):
    """Brute force."""
    return min(
        sum(c.bits for c in picked)
        for picked in itertools.product(*layers)
        if sum(c.error for c in picked) <= max_error
    )


@pytest.mark.parametrize("seed", range(30))
def test_the_fewest_bits_within_an_error_are_found(seed):
    rng = np.random.default_rng(seed)
    layers = an_instance(rng)
    least = sum(min(c.error for c in layer) for layer in layers)
    for max_error in least + 1e-12 + rng.random(4) * 1.5:
        answer = allocate_within_error(layers, max_error)
        picked = [layer[j] for layer, j in zip(layers, answer.chosen, strict=True)]
        assert sum(c.error for c in picked) == answer.error <= max_error
        assert answer.bits == sum(c.bits for c in picked) == fewest_bits(layers, max_error)
        assert answer.bound <= answer.bits


@pytest.mark.parametrize("seed", range(10))
def test_in_cells_few_bits_too_many_are_taken(monkeypatch, seed):
    monkeypatch.setattr(module, "CELLS", 50)
    rng = np.random.default_rng(seed)
    layers = an_instance(rng, most=1000)
    max_error = sum(min(c.error for c in layer) for layer in layers) + rng.random()
    best, found = fewest_bits(layers, max_error), allocate_within_error(layers, max_error)
    assert found.error <= max_error
    assert best <= found.bits <= best + len(layers) * -(-best // 50)


def test_an_error_out_of_reach_is_refused():
    layer = [Choice(10, 1.0), Choice(20, 0.5)]
    with pytest.raises(ValueError, match="the best choices have a total error of 1"):
        allocate_within_error([layer, layer], 0.9)


def test_infinite_errors_are_never_within_one():
    layer = [Choice(10, np.inf), Choice(20, 0.5)]
    assert allocate_within_error([layer, layer], 5.0).bits == 40
