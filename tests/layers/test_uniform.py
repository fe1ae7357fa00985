"""Uniform: grids, their scales, codes in b bits, and the numbers inside other forms."""

import ml_dtypes
import numpy as np
import pytest

from sparsecode.layers import BudgetError, Uniform, factorize, output_error, unpack
from sparsecode.layers.factorizations._format import Format
from sparsecode.layers.factorizations._grid import Groups, best_grid
from sparsecode.layers.factorizations._packing import pack_bits, unpack_bits


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def moment(n, rng):
    X = rng.standard_normal((4 * n, n)) @ (np.eye(n) + 0.3 * rng.standard_normal((n, n)))
    return X.T @ X / len(X)


@pytest.mark.parametrize("width", [*range(1, 9), 11, 12])
@pytest.mark.parametrize("count", [0, 1, 7, 1001])
def test_codes_are_packed_lowest_bit_first(rng, width, count):
    """Independent: the bits as one long binary number."""
    codes = rng.integers(0, 2**width, count)
    packed = pack_bits(codes, width)
    number = sum(int(code) << (i * width) for i, code in enumerate(codes))
    assert packed.tobytes() == number.to_bytes(-(-count * width // 8), "little")
    np.testing.assert_array_equal(unpack_bits(packed, width, count), codes)


def test_long_lists_are_packed_in_tiles(rng, monkeypatch):
    from sparsecode.layers.factorizations import _packing

    codes = rng.integers(0, 8, 1000)
    whole = pack_bits(codes, 3)
    monkeypatch.setattr(_packing, "_TILE", 64)
    np.testing.assert_array_equal(pack_bits(codes, 3), whole)
    np.testing.assert_array_equal(unpack_bits(whole, 3, 1000), codes)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((2, 5), 2, [[0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]),
        ((2, 4), 4, [[0] * 4, [1] * 4]),
        ((3, 2), 5, [[0, 0], [0, 0], [1, 1]]),
        ((3, 2), 6, [[0, 0]] * 3),
        ((1, 3), 100, [[0, 0, 0]]),
    ],
)
def test_groups_are_runs_of_a_row_or_whole_rows(shape, size, expected):
    groups = Groups(shape, size)
    number = np.broadcast_to(groups.spread(np.arange(groups.number)), shape)
    np.testing.assert_array_equal(number, expected)
    split = groups.split(np.array(expected, float) + 1)
    np.testing.assert_array_equal(split.max(axis=1), np.arange(groups.number) + 1)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_scale_is_no_worse_than_that_of_the_largest_entry(rng, bits, symmetric):
    """Independent: the widest grid, and for a few bits a fine search over scales."""
    X, h = rng.standard_t(4, (20, 64)), rng.random((20, 64))

    def error(scale, zero):
        code = np.clip(np.rint(X / scale[:, None] + zero[:, None]), 0, 2**bits - 1)
        return np.sum(h * (X - scale[:, None] * (code - zero[:, None])) ** 2, axis=1)

    grid = best_grid(X, h, bits, 0, symmetric)
    scale, zero = grid.steps(X.dtype), grid.origins(X.dtype)
    found = error(scale, zero)
    if symmetric:
        peak = X[np.arange(20), np.abs(X).argmax(axis=1)]
        widest = -peak / (2 ** (bits - 1) if bits > 1 else 0.5)
    else:
        widest = (np.maximum(X.max(axis=1), 0) - np.minimum(X.min(axis=1), 0)) / (2**bits - 1)
    fine = np.array([error(part * widest, zero) for part in np.linspace(0.05, 1, 400)])
    assert np.all(found <= fine[-1] * (1 + 2e-3))  # scales are rounded to float16
    assert np.mean(found / fine.min(axis=0)) < 1.05


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_rows", [64, 512])
def test_error_feedback_loses_what_theory_says(n_rows, seed):
    """Errors of one size everywhere cost ``tr H``, and ``sum L_kk^2`` when fed back."""
    rng = np.random.default_rng(seed)
    W, H = rng.standard_normal((n_rows, 96)), moment(96, rng)
    options = {"budget": 1, "gram": H, "damping": 0, "bits": 8, "group_size": "channel"}
    near, fed = (
        output_error(W, factorize(W, "uniform", rounding=r, **options).to_dense(), H)
        for r in ("nearest", "error_feedback")
    )
    expected = np.sum(np.diag(np.linalg.cholesky(H)) ** 2) / np.trace(H)
    assert expected < 0.5
    np.testing.assert_allclose(fed / near, expected, rtol=0.15)


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_error_feedback_loses_less(rng, bits):
    W, H = rng.standard_normal((48, 96)), moment(96, rng)
    options = {"budget": 1, "gram": H, "bits": bits, "group_size": 32}
    near, fed = (
        output_error(W, factorize(W, "uniform", rounding=r, **options).to_dense(), H)
        for r in ("nearest", "error_feedback")
    )
    assert fed < near


@pytest.mark.parametrize("n", [96, 100, 130, 300])
@pytest.mark.parametrize("group_size", [1, 7, 64, 100, 200, "channel", "tensor"])
def test_any_group_size_with_feedback(rng, n, group_size):
    W, H = rng.standard_normal((9, n)).astype(np.float32), moment(n, rng)
    f = factorize(W, "uniform", budget=1, gram=H, bits=4, group_size=group_size)
    assert output_error(W, f.to_dense(), H) < 0.03
    assert unpack(*f.pack()) == f


def test_bits_are_counted_from_the_formula(rng):
    """b bits a weight, 16 a scale, b a zero point."""
    W = rng.standard_normal((10, 100)).astype(np.float32)
    for bits in range(1, 9):
        for symmetric in (True, False):
            f = factorize(W, "uniform", budget=1, bits=bits, group_size=32, symmetric=symmetric)
            zeros = 0 if symmetric else 8 * -(-40 * bits // 8)
            assert f.bits().values == 8 * -(-1000 * bits // 8)
            assert f.bits().scales == 40 * 16 + zeros
            assert Format(W.dtype, bits, 32, symmetric).cost(10, 100) == f.bits().total


def test_more_bits_are_better_until_nothing_is_lost(rng):
    W = rng.standard_normal((16, 64)).astype(np.float32)
    errors = [
        output_error(W, factorize(W, "uniform", budget=1, bits=b).to_dense())
        for b in (1, 2, 3, 4, 5, 6, 7, 8, 16)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-7


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_short_layers_have_no_16_bit_form(rng, dtype):
    W = rng.standard_normal((8, 32)).astype(dtype)
    assert factorize(W, "uniform", budget=1).values.grid.bits == 8


def test_sixteen_bits_hold_layers_of_any_scale(rng):
    for scale in (2.0**-800, 1.0, 2.0**800):
        W = rng.standard_normal((8, 32)) * scale
        f = factorize(W, "uniform", budget=0.25)
        assert f.values.array.dtype == np.float16
        assert output_error(W, f.to_dense()) < 1e-6


def test_wrong_options_are_named(rng):
    W = rng.standard_normal((4, 10))
    for options, message in [
        ({"bits": 9}, "bits"),
        ({"bits": 0}, "bits"),
        ({"group_size": 0}, "group_size"),
        ({"group_size": "row"}, "group_size has to be one of 'channel', 'tensor'"),
        ({"rounding": "up"}, "rounding"),
        ({"rounding": "error_feedback"}, "needs gram"),
        ({"symmetric": 1}, "symmetric"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            factorize(W, "uniform", budget=1, **options)
    for bits in (0, 9, 17):
        with pytest.raises(ValueError, match="value_bits"):
            factorize(W, "low_rank", budget=1, value_bits=bits)
    with pytest.raises(BudgetError, match="8-bit weights"):
        factorize(W, "uniform", budget=0.1, bits=8)


HOSTILE = [
    {"bits": 0},
    {"bits": 9},
    {"bits": True},
    {"bits": 5},
    {"group": 0},
    {"group": -1},
    {"group": "8"},
    {"group": 3},
    {"shape": [12]},
    {"shape": [10**9, 10**9]},
    {"shape": [-12, -16]},
    {"shape": [0, 16]},
    {"shape": None},
    {"exponent": 10**6},
    {"exponent": 1.5},
    {"exponent": None},
    {"dtype": "int8"},
    {"dtype": None},
    {"affine": False},
]


@pytest.mark.parametrize("change", HOSTILE, ids=str)
def test_a_hostile_description_is_refused(rng, change):
    W = rng.standard_normal((12, 16))
    f = factorize(W, "uniform", budget=0.5, bits=4, group_size=8, symmetric=False)
    arrays, meta = f.pack()
    assert isinstance(f, Uniform)
    with pytest.raises(ValueError, match=r"describes|codes of|scales do|does not use"):
        unpack(arrays, meta | {"values": meta["values"] | change})
    for described in (None, 3, "codes", []):
        with pytest.raises(ValueError, match="describes"):
            unpack(arrays, meta | {"values": described})
    scales = arrays["values.scales"].copy()
    scales[3] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        unpack(arrays | {"values.scales": scales}, meta)


@pytest.mark.parametrize("method", ["low_rank", "sparse", "low_rank+sparse", "dictionary"])
def test_fewer_bits_a_number_buy_a_better_form(rng, method):
    """At a tenth of float32 a number in 8 bits is worth more than in 32, for every family."""
    U, V = (np.linalg.qr(rng.standard_normal((96, 64)))[0] for _ in range(2))
    W = ((U * np.arange(1, 65) ** -0.7) @ V.T + 0.002 * rng.standard_normal((96, 96))).astype("f4")
    H = moment(96, rng)
    errors = [
        output_error(W, factorize(W, method, budget=0.15, gram=H, value_bits=b).to_dense(), H)
        for b in (None, 16, 8)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_the_budget_is_used_to_the_last_number(rng):
    """One more nonzero, one more rank would not fit."""
    W = rng.standard_normal((40, 60)).astype(np.float32)
    for bits in (3, 5, 8, 16):
        for budget in (0.06, 0.1):
            allowed = int(budget * 32 * W.size)
            sparse = factorize(W, "sparse", budget=budget, value_bits=bits)
            assert allowed - sparse.bits().total < 2 * 16 + 16 + bits + 8
            low_rank = factorize(W, "low_rank", budget=budget, value_bits=bits)
            form = Format(W.dtype, bits)
            r = low_rank.rank + 1
            assert low_rank.bits().total <= allowed < form.cost(40, r) + form.cost(r, 60)
