"""Rows filled from a matrix that is known: the normal equations, row by row."""

import numpy as np
import pytest

from sparsecode.solvers import complete, complete_rows

RNG = np.random.default_rng(0)
V = np.linalg.qr(RNG.standard_normal((12, 3)))[0].T
S = np.array([5.0, 2.0, 0.1])


def rows(n=150, missing=0.4):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, 12))
    X[rng.random(X.shape) < missing] = np.nan
    X[3] = np.nan
    return X


@pytest.mark.parametrize("alpha", [1e-9, 0.3, 40.0])
def test_each_row_solves_its_normal_equations(alpha) -> None:
    X = rows()
    filled = complete_rows(X, V, S, alpha)
    for x, y in zip(X, filled, strict=True):
        seen = ~np.isnan(x)
        known = V[:, seen]
        z = np.linalg.solve(known @ known.T + np.diag(alpha / S), known @ x[seen])
        np.testing.assert_array_equal(y[seen], x[seen])
        np.testing.assert_allclose(y[~seen], (z @ V)[~seen], rtol=1e-5, atol=1e-9)
    assert not filled[3].any()


def test_bits_depend_on_no_neighbour_and_no_thread() -> None:
    X = rows()
    filled = complete_rows(X, V, S, 0.3, n_threads=1)
    assert complete_rows(X, V, S, 0.3, n_threads=2).tobytes() == filled.tobytes()
    np.testing.assert_array_equal(complete_rows(X[5:70:3], V, S, 0.3), filled[5:70:3])


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200])
def test_scale(scale) -> None:
    filled = complete_rows(scale * rows(), V, scale * S, scale * 0.3)
    np.testing.assert_allclose(filled / scale, complete_rows(rows(), V, S, 0.3), rtol=1e-9)


def test_single_precision_memory_order_and_files(tmp_path) -> None:
    X = rows().astype(np.float32)
    filled = complete_rows(X, V, S, 0.3)
    assert filled.dtype == np.float32
    X.tofile(tmp_path / "X")
    mapped = np.memmap(tmp_path / "X", np.float32, "r", shape=X.shape)
    for other in (np.asfortranarray(X), mapped):
        np.testing.assert_array_equal(complete_rows(other, V, S, 0.3), filled)
    np.testing.assert_array_equal(mapped, X)


def test_what_complete_found_is_filled_in() -> None:
    X = rows(40)[4:]
    result = complete(X, alpha_ratio=0.1, tol=1e-12)
    filled = complete_rows(X, result.components, result.singular_values, result.alpha)
    missing = np.isnan(X)
    np.testing.assert_allclose(filled[missing], result.matrix[missing], atol=1e-5)
    zero = complete_rows(X, np.zeros((0, 12)), np.zeros(0), 1.0)
    np.testing.assert_array_equal(zero, np.nan_to_num(X))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 5)), V, S, 1.0), "X has 5 features but components has 12"),
        ((rows(), V, S[:2], 1.0), r"singular_values has shape \(2,\); components has 3 rows"),
        ((rows(), V, S[::-1], 1.0), "descending order"),
        ((rows(), V, S * [1, 1, 0], 1.0), "singular_values has to be positive"),
        ((rows(), V, S, 0.0), "alpha"),
        ((np.full((1, 12), np.inf), V, S, 1.0), "infinity"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        complete_rows(*arguments)
