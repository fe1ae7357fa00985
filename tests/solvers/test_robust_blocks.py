"""Principal component pursuit of Dask arrays: the answer of the array in memory."""

import numpy as np
import pytest

from sparsecode import RobustPCA
from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.solvers import principal_component_pursuit

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")


@pytest.fixture(autouse=True)
def here():
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture(scope="module")
def data():
    return make_low_rank_plus_sparse(300, n_features=40, rank=3, density=0.05, random_state=0)


def blocks(X, height=70):
    return da.from_array(X, chunks=(height, 13))


@pytest.mark.parametrize("scale", [1.0, 2.0**-600, 2.0**600])
def test_the_split_of_blocks(data, scale) -> None:
    X, low_rank, sparse = (np.asarray(part) * scale for part in data)
    found, expected = (principal_component_pursuit(Y) for Y in (blocks(X), X))
    assert found.converged
    assert found.rank == expected.rank == 3
    L, S = found.low_rank.compute(), found.sparse.compute()
    assert L.shape == S.shape == X.shape
    size = np.abs(X).max()
    np.testing.assert_allclose(L / size, low_rank / size, atol=1e-5)
    np.testing.assert_allclose(S / size, sparse / size, atol=1e-5)
    np.testing.assert_array_equal(S != 0, sparse != 0)
    np.testing.assert_allclose(found.singular_values, expected.singular_values, rtol=1e-5)
    assert found.objective == pytest.approx(expected.objective, rel=1e-5)
    assert found.dual_gap <= 0.01
    projector = found.components.T @ found.components
    np.testing.assert_allclose(projector, expected.components.T @ expected.components, atol=1e-5)


def test_the_certificate_is_true(data) -> None:
    X = np.asarray(data[0])
    found = principal_component_pursuit(blocks(X), tol=1e-6)
    L, S = found.low_rank.compute(), found.sparse.compute()
    assert np.linalg.norm(X - L - S) <= 1.001 * found.certificate * np.linalg.norm(X)
    exact = np.linalg.norm(L, "nuc") + np.abs(X - L).sum() / np.sqrt(300)
    best = principal_component_pursuit(X, tol=1e-10).objective
    assert best >= (1 - found.dual_gap) * exact * (1 - 1e-8)


def test_single_precision(data) -> None:
    X = np.asarray(data[0]).astype("f")
    found = principal_component_pursuit(blocks(X), tol=1e-5)
    assert found.low_rank.dtype == found.singular_values.dtype == np.float32
    np.testing.assert_allclose(found.low_rank.compute(), data[1], atol=1e-2 * np.abs(X).max())


def test_alpha_and_nothing(data) -> None:
    X = np.asarray(data[0])
    found, expected = (principal_component_pursuit(Y, alpha=0.1) for Y in (blocks(X), X))
    np.testing.assert_allclose(found.low_rank.compute(), expected.low_rank, atol=1e-4)
    zero = principal_component_pursuit(blocks(0 * X))
    assert zero.rank == 0
    assert not zero.low_rank.compute().any()
    assert not zero.sparse.compute().any()


def test_what_is_refused(data) -> None:
    X = np.asarray(data[0]).copy()
    for argument in ({"weights": np.ones(40)}, {"missing_values": np.nan}, {"n_threads": 1}):
        with pytest.raises(ValueError, match=f"{next(iter(argument))} is not used by a Dask array"):
            principal_component_pursuit(blocks(X), **argument)
    X[7, 7] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        principal_component_pursuit(blocks(X))


def test_the_estimator(data) -> None:
    X = np.asarray(data[0])
    model, expected = RobustPCA().fit(blocks(X)), RobustPCA().fit(X)
    assert model.rank_ == expected.rank_ == 3
    assert model.transform_alpha_ == pytest.approx(expected.transform_alpha_, rel=1e-5)
    np.testing.assert_allclose(model.low_rank_.compute(), expected.low_rank_, atol=1e-4)
    z, inside = model.transform(blocks(X)), model.transform(X)
    scores = model.score_samples(blocks(X))
    pairs = [
        (z, inside),
        (model.inverse_transform(z), model.inverse_transform(inside)),
        (scores, model.score_samples(X)),
        *zip(model.decompose(blocks(X)), model.decompose(X), strict=True),
    ]
    for found, expected in pairs:
        np.testing.assert_allclose(found.compute(), expected, atol=1e-9)
    with pytest.raises(ValueError, match="Dask arrays are split by method='pcp'"):
        RobustPCA(method="godec", rank=3, n_outliers=9).fit(blocks(X))
