"""Dictionary learning on Dask arrays: the answer of the array in memory, to rounding."""

import numpy as np
import pytest
import scipy.sparse as sp
from signal_blocks import blocks, signals

from sparsecode import MOD
from sparsecode.solvers import DictionaryResult, mod

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")

OPTIONS = (
    {"n_nonzero_coefs": 2},
    {"residual_tol": 0.3},
    {"alpha": 0.2},
    {"n_nonzero_coefs": 2, "positive": True},
    {"n_nonzero_coefs": 2, "init": "dct"},
)


@pytest.fixture(autouse=True)
def here():
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture(scope="module")
def X():
    return signals()


def assert_same(found: DictionaryResult, expected: DictionaryResult, rtol=1e-7) -> None:
    np.testing.assert_allclose(found.dictionary, expected.dictionary, atol=rtol)
    codes = found.codes.compute()
    assert isinstance(codes, sp.csr_array)
    assert codes.dtype == expected.codes.dtype
    scale = abs(expected.codes).max()
    assert abs(codes - expected.codes).max() <= 10 * rtol * scale
    for name, values in expected.history.items():
        if name != "seconds":
            np.testing.assert_allclose(found.history[name], values, rtol=1e-5, err_msg=name)
    np.testing.assert_array_equal(found.state.taken, expected.state.taken)
    assert found.status == expected.status


@pytest.mark.parametrize("options", OPTIONS)
def test_mod_of_blocks_is_that_of_the_array(X, options) -> None:
    settings = {"max_iter": 8, "random_state": 0, **options}
    expected = mod(X, 16, **settings)
    if options == {"n_nonzero_coefs": 2}:
        assert expected.history["n_replaced"].sum() > 0  # atoms were replaced on the way
    assert_same(mod(blocks(X), 16, **settings), expected)


def test_singular_vectors_of_blocks(X) -> None:
    options = {"n_nonzero_coefs": 2, "init": "svd", "max_iter": 1, "random_state": 0}
    found, expected = mod(blocks(X), 12, **options), mod(X, 12, **options)
    signs = np.sign(np.sum(found.dictionary * expected.dictionary, axis=1))
    np.testing.assert_allclose(signs[:, None] * found.dictionary, expected.dictionary, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_any_scale(X, scale) -> None:
    scale = 2.0 ** round(np.log2(scale))
    options = {"n_nonzero_coefs": 2, "max_iter": 3, "random_state": 0}
    found, expected = mod(blocks(X * scale), 16, **options), mod(X * scale, 16, **options)
    assert_same(found, expected)


def test_single_precision_and_integers(X) -> None:
    options = {"n_nonzero_coefs": 2, "max_iter": 2, "random_state": 0}
    for kind, tol in (("f", 1e-4), ("i8", 1e-7)):
        Y = (20 * X).astype(kind)
        assert_same(mod(blocks(Y), 16, **options), mod(Y, 16, **options), tol)


def test_a_run_that_goes_on(X) -> None:
    options = {"n_nonzero_coefs": 2}
    whole = mod(blocks(X), 16, max_iter=6, random_state=0, **options)
    first = mod(blocks(X), 16, max_iter=2, random_state=0, **options)
    rest = mod(blocks(X), 16, max_iter=4, init=first, **options)
    np.testing.assert_array_equal(rest.dictionary, whole.dictionary)
    assert abs(rest.codes.compute() - whole.codes.compute()).max() == 0


def test_blocks_of_no_and_of_unknown_height(X) -> None:
    options = {"n_nonzero_coefs": 2, "max_iter": 2, "random_state": 0}
    some = blocks(X)[blocks(X)[:, 0] > 0]
    assert_same(mod(some, 16, **options), mod(X[X[:, 0] > 0], 16, **options))


def test_the_estimator(X) -> None:
    model = MOD(16, n_nonzero_coefs=2, max_iter=3, random_state=0)
    found = model.fit(blocks(X)).components_
    np.testing.assert_allclose(found, model.fit(X).components_, atol=1e-8)
    few = MOD(n_components=16, max_iter=1, random_state=0).fit(blocks(X.astype("f")))
    assert few.components_.dtype == np.float32


def test_what_is_refused(X) -> None:
    bad = X.copy()
    bad[200, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        mod(blocks(bad), 16, n_nonzero_coefs=2)
    with pytest.raises(ValueError, match="missing_values"):
        mod(blocks(X), 16, n_nonzero_coefs=2, missing_values=np.nan)
    with pytest.raises(ValueError, match="n_threads"):
        mod(blocks(X), 16, n_nonzero_coefs=2, n_threads=2)
    with pytest.raises(ValueError, match="init comes from 300 signals; X has 200"):
        mod(blocks(X[:200]), 16, n_nonzero_coefs=2, init=mod(X, 16, n_nonzero_coefs=2, max_iter=1))
