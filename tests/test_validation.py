"""The public edge: what comes in is usable, or the message names it and says what would work."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from sparsecode._validation import (
    check_array,
    check_bool,
    check_callable,
    check_exactly_one,
    check_gram,
    check_int,
    check_option,
    check_random_state,
    check_real,
    check_spectrum,
    check_unused,
)


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        (np.float64, np.float64),
        (np.float32, np.float32),
        (np.float16, np.float32),
        (ml_dtypes.bfloat16, np.float32),
        (">f4", np.float32),
        (">f8", np.float64),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (bool, np.float64),
        (object, np.float64),
    ],
)
def test_the_computing_dtype(given, computed) -> None:
    X = check_array(np.ones((2, 3)).astype(given), "X")
    assert X.dtype == computed
    assert X.dtype.isnative
    np.testing.assert_array_equal(X, 1)


def test_complex_numbers_where_allowed() -> None:
    assert check_array(np.ones(2, np.complex64), "y", ndim=1, allow_complex=True).dtype == "c8"
    with pytest.raises(ValueError, match="X is complex"):
        check_array(np.ones((2, 2)) * 1j, "X")


def test_nothing_is_copied_without_need() -> None:
    for X in (np.ones((3, 4)), np.asfortranarray(np.ones((3, 4))), np.ones((6, 8))[::2, ::2]):
        X.flags.writeable = False
        assert check_array(X, "X") is X


def test_a_huge_sum_is_not_taken_for_infinity() -> None:
    X = np.full((4, 4), 1e308)
    assert check_array(X, "X") is X
    X = np.array([[1e308, 1e308], [-1e308, -1e308]])
    assert check_array(X, "X") is X


class Unseen:
    """As a tensor of torch with a gradient."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("call detach first")


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([[1.0, np.nan]], ValueError, "X contains NaN"),
        ([[1.0, np.inf]], ValueError, "X contains infinity"),
        ([[np.nan, -np.inf]], ValueError, "X contains infinity"),
        ([1.0, 2.0], ValueError, r"X has to be 2-D, .*\(2,\); reshape"),
        (np.ones((1, 2, 3)), ValueError, "X has to be 2-D"),
        (np.ones((0, 3)), ValueError, r"X is empty: its shape is \(0, 3\)"),
        ([["a"]], ValueError, "X has to be numeric"),
        ([[{}]], ValueError, "X holds objects that are not real numbers"),
        (
            Unseen(),
            TypeError,
            r"X cannot be seen as a NumPy array \(call detach first\); for torch",
        ),
        (sp.csr_array(np.eye(2)), TypeError, r"pass X.toarray\(\)"),
        (aslinearoperator(np.eye(2)), TypeError, "X is a LinearOperator"),
        (np.ma.masked_array([[1.0]], mask=[[True]]), ValueError, "X is a masked array"),
    ],
)
def test_an_array_that_will_not_do(X, error, message) -> None:
    with pytest.raises(error, match=message):
        check_array(X, "X")


def test_missing_values_where_allowed() -> None:
    assert np.isnan(check_array([[1.0, np.nan]], "X", allow_missing=True)[0, 1])
    with pytest.raises(ValueError, match="infinity"):
        check_array([[np.inf, np.nan]], "X", allow_missing=True)


@pytest.mark.parametrize("value", ["1", None, True, np.True_, 1j, [1.0]])
def test_a_real_number_is_one(value) -> None:
    with pytest.raises(TypeError, match="alpha has to be a real number"):
        check_real(value, "alpha")


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, np.float32(2)])
def test_a_real_number_is_inside(value) -> None:
    with pytest.raises(ValueError, match=r"alpha has to be a finite number in \(0, 1\], got "):
        check_real(value, "alpha", low=0, high=1, open_low=True)
    assert check_real(np.float32(0.5), "alpha", low=0, high=1, open_high=True) == 0.5


@pytest.mark.parametrize(
    ("limits", "interval"),
    [
        ({"low": 0, "open_low": True}, r"\(0, inf\)"),
        ({"low": 0}, r"\[0, inf\)"),
        ({"high": 1}, r"\(-inf, 1\]"),
        ({}, r"\(-inf, inf\)"),
    ],
)
def test_an_infinite_bound_is_no_number(limits, interval) -> None:
    with pytest.raises(ValueError, match=f"has to be a finite number in {interval}, got nan"):
        check_real(np.nan, "alpha", **limits)


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), Fraction(10**400)], ids=["high", "low", "fraction"]
)
def test_a_number_that_no_float_holds_is_not_finite(value) -> None:
    with pytest.raises(ValueError, match=r"alpha has to be a finite number in \(-inf, inf\), got "):
        check_real(value, "alpha")


@pytest.mark.parametrize("value", [0, 1, None, "yes", np.ones(1, bool)])
def test_a_truth_is_one(value) -> None:
    with pytest.raises(TypeError, match="positive has to be True or False, got "):
        check_bool(value, "positive")
    assert check_bool(np.True_, "positive") is True
    assert check_bool(False, "positive") is False


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e308])
def test_a_gram_is_symmetric_without_a_negative_eigenvalue(scale) -> None:
    gram = np.array([[1.0, 0.5], [0.5, 1.0]]) * scale
    assert check_gram(gram, 2) is gram
    assert check_gram(gram.astype(np.float32) if scale == 1 else gram, 2).dtype == np.float64
    with pytest.raises(ValueError, match="gram has to be symmetric"):
        check_gram(gram * [[1, 1], [-1, 1]], 2)
    with pytest.raises(ValueError, match="gram has a negative eigenvalue"):
        check_gram(gram * [[1, 1], [1, -1]], 2)
    with pytest.raises(ValueError, match=r"gram has shape \(2, 2\); the layer has 3 inputs"):
        check_gram(gram, 3)


@pytest.mark.parametrize("kind", ["diagonal", "pair", "far pair", "block"])
def test_a_gram_shows_a_negative_eigenvalue(kind) -> None:
    n = 600
    gram = np.eye(n)
    if kind == "block":  # no pair shows it
        gram += 0.9 * (np.eye(n, k=1) + np.eye(n, k=-1))
    else:
        place = {"diagonal": (300, 300), "pair": (3, 4), "far pair": (3, 599)}[kind]
        gram[place] = gram[place[::-1]] = -1.5
    for scaled in (gram, gram.astype(np.float32), gram * 1e-200):
        with pytest.raises(ValueError, match="gram has a negative eigenvalue, so it is no second"):
            check_gram(scaled, n, None)


@pytest.mark.parametrize("n_samples", [1, 40, 4000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_makes_no_second_moment_a_wrong_one(n_samples, dtype) -> None:
    """Positive inputs of few samples, some of them dead, alike, opposite, or of other sizes."""
    rng = np.random.default_rng(0)
    X = np.abs(rng.standard_normal((n_samples, 1))) + 0.1 * rng.random((n_samples, 600))
    X[:, 5:9] = 0
    X[:, 100:200] = X[:, [300]]
    X[:, 500:] = -X[:, 400:500]
    X[:, ::7] *= 1e-4
    X[:, 1::7] *= 1e3
    X = X.astype(dtype)
    for gram in (X.T @ X, X.T @ X / dtype(n_samples), np.cov(X.T, bias=True).astype(dtype)):
        assert check_gram(gram, 600, None) is gram


@pytest.mark.parametrize("s", [[1.0, 2.0], [1.0, -1.0], [-1.0]])
def test_a_spectrum_descends_to_zero(s) -> None:
    with pytest.raises(ValueError, match="s has to be nonnegative and in descending order"):
        check_spectrum(s, "s")
    assert check_spectrum([2.0, 2.0, 0.0], "s").tolist() == [2, 2, 0]


@pytest.mark.parametrize(
    ("value", "error"), [(1.0, TypeError), (True, TypeError), ("2", TypeError), (0, ValueError)]
)
def test_an_integer_is_one(value, error) -> None:
    with pytest.raises(error, match="rank has to be"):
        check_int(value, "rank", high=3)
    assert check_int(np.int32(3), "rank", high=3) == 3


def test_options_alternatives_and_unused_arguments() -> None:
    with pytest.raises(ValueError, match="algorithm has to be one of 'a', 'b', got 'c'"):
        check_option("c", "algorithm", ("b", "a"))
    assert check_exactly_one(alpha=None, alpha_ratio=0.1) == "alpha_ratio"
    for given in ({"alpha": 1, "alpha_ratio": 2}, {"alpha": None, "alpha_ratio": None}):
        with pytest.raises(ValueError, match="give exactly one of alpha, alpha_ratio"):
            check_exactly_one(**given)
    check_unused("omp", alpha=None)
    with pytest.raises(ValueError, match="alpha is not used by omp; leave it out"):
        check_unused("omp", alpha=0.0)


def test_random_states() -> None:
    generator, state = np.random.default_rng(0), np.random.RandomState(0)
    assert check_random_state(generator) is generator
    assert check_random_state(state) is state
    assert check_random_state(3).uniform() == np.random.RandomState(3).uniform()
    assert check_random_state(None).uniform() != check_random_state(None).uniform()
    for bad in (-1, 2**32, 1.5, "0"):
        with pytest.raises((ValueError, TypeError), match="random_state has to be"):
            check_random_state(bad)


@pytest.mark.parametrize("X", [[[1.0, 2.0], [3.0]], [[1.0], "ab"]])
def test_rows_of_unequal_length_are_named(X) -> None:
    with pytest.raises(ValueError, match=r"dictionary (is no array of numbers|has to be numeric)"):
        check_array(X, "dictionary")


def test_what_is_called_has_to_be_callable() -> None:
    check_callable(None, "callback")
    check_callable(len, "callback")
    with pytest.raises(TypeError, match="callback has to be callable, or None, got 3"):
        check_callable(3, "callback")
