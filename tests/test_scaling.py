"""Units change no mantissa and keep products of four numbers in range."""

import numpy as np
import pytest

from sparsecode._scaling import from_units, magnitude, to_units, unit_of, units_of, units_of_rows

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_ordinary_data_are_left_alone(dtype) -> None:
    X = np.random.default_rng(0).standard_normal((3, 4)).astype(dtype)
    for scale in (1.0, 1e-6, 1e6):
        assert unit_of(magnitude(X * dtype(scale)), dtype) == 1.0
    assert to_units(X, 1.0) is X
    assert from_units(X, 1.0, 1.0, name="X") is X
    assert unit_of(0.0, dtype) == 1.0


SINGLE = [(dtype, e) for dtype in (np.float32, np.complex64) for e in (-100, -60, 60, 100)]
DOUBLE = [(dtype, e) for dtype in (np.float64, np.complex128) for e in (-900, -300, 300, 900)]


@pytest.mark.parametrize(("dtype", "exponent"), SINGLE + DOUBLE)
def test_there_and_back_is_exact(dtype, exponent) -> None:
    real = np.finfo(dtype).dtype.type
    rng = np.random.default_rng(1)
    X = rng.standard_normal((5, 2)).astype(dtype)
    X = X + 1j * X if X.dtype.kind == "c" else X
    X = (X * real(2.0) ** exponent).astype(dtype)
    unit = unit_of(magnitude(X), dtype)
    assert unit != 1.0
    assert np.log2(unit) == round(np.log2(unit))
    inside = to_units(X, unit)
    assert inside.dtype == dtype
    assert 0.25 <= magnitude(inside) <= 1
    np.testing.assert_array_equal(from_units(inside, unit, name="X"), X)


@pytest.mark.parametrize("dtype", DTYPES)
def test_four_numbers_inside_multiply_without_overflow_or_underflow(dtype) -> None:
    info = np.finfo(dtype)
    sizes = np.ldexp(dtype(1), np.arange(info.minexp, info.maxexp))
    inside = (sizes / units_of(sizes, dtype)).astype(dtype)
    fourth = inside * inside * inside * inside
    assert np.all(np.isfinite(fourth * dtype(1e6)))
    assert np.all(fourth > info.tiny)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_units_of_rows_are_those_of_their_largest_entries(dtype) -> None:
    info = np.finfo(dtype)
    sizes = np.ldexp(dtype(1.5), np.arange(info.minexp, info.maxexp))
    for size in (0, *sizes):  # alone, and beside an ordinary row
        for X in (np.full((1, 7), size, dtype), np.array([[0, -size, 0], [1, 2, 3]], dtype)):
            expected = units_of(np.max(np.abs(X), axis=1, keepdims=True), dtype)
            np.testing.assert_array_equal(units_of_rows(X), expected)


def test_each_row_may_have_a_unit_of_its_own() -> None:
    X = np.array([[1e300, 2e300], [1.0, 3.0], [1e-300, 0.0], [0.0, 0.0]])
    units = units_of(np.max(X, axis=1, keepdims=True), X.dtype)
    inside = to_units(X, units)
    assert np.all(inside <= 3)
    np.testing.assert_array_equal(inside[1], X[1])
    np.testing.assert_array_equal(from_units(inside, units, name="X"), X)


@pytest.mark.parametrize("value", [5e-324, 1e-310, 1.7e308])
def test_the_ends_of_the_range(value) -> None:
    unit = unit_of(value, np.float64)
    assert np.isfinite(1 / unit)
    assert from_units(to_units(np.array([value]), unit), unit, name="x")[0] == value


def test_a_product_of_units_may_leave_the_range_where_the_answer_does_not() -> None:
    x = from_units(np.array([3.0]), 2.0**1000, 2.0**1000, 2.0**-900, 2.0**-600, name="x")
    assert x[0] == 3.0 * 2.0**500


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_an_answer_out_of_range_is_an_error_that_names_it(dtype) -> None:
    with pytest.raises(ValueError, match=r"codes exceeds the range of .*; rescale the input"):
        from_units(np.ones(2, dtype), 2.0**800, 2.0**800, name="codes")


def test_magnitude_leaves_nan_out() -> None:
    assert magnitude(np.array([np.nan, -3.0, 2.0])) == 3.0
    assert magnitude(np.zeros((0, 2))) == 0.0
    assert magnitude(np.array([1 - 7j])) == 7.0
