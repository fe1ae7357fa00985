"""Online dictionary learning on Dask arrays: the answer of the array in memory, to rounding."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from signal_blocks import blocks, signals

from sparsecode import OnlineDictionaryLearning
from sparsecode.solvers import Status, online_dictionary_learning

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")

CODINGS = (
    {"n_nonzero_coefs": 2},
    {"residual_tol": 0.3},
    {"alpha": 0.2},
    {"n_nonzero_coefs": 2, "positive": True},
    {"alpha": 0.2, "positive": True},
)


@pytest.fixture(autouse=True)
def here():
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture(scope="module")
def X():
    return signals()


def learn(X, K=16, **options):
    options = {"max_iter": 5, "batch_size": 64, "random_state": 0} | options
    if options.get("state") is not None:
        return online_dictionary_learning(X, state=options["state"], max_iter=options["max_iter"])
    return online_dictionary_learning(X, K, **options)


def assert_same(found, expected, tol=1e-7) -> None:
    np.testing.assert_allclose(found.dictionary, expected.dictionary, atol=tol)
    codes = found.codes.compute()
    assert isinstance(codes, sp.csr_array)
    assert codes.dtype == expected.codes.dtype
    scale = abs(expected.codes).max()
    assert abs(codes - expected.codes).max() <= 10 * tol * scale
    for name, values in expected.history.items():
        if name != "seconds":
            np.testing.assert_allclose(found.history[name], values, rtol=10 * tol, err_msg=name)
    for name in ("A", "B"):
        ours, theirs = getattr(found.state, name), getattr(expected.state, name)
        np.testing.assert_allclose(ours, theirs, atol=10 * tol * abs(theirs).max())
    np.testing.assert_array_equal(found.state.memory.born, expected.state.memory.born)
    np.testing.assert_array_equal(found.state.memory.rows.taken, expected.state.memory.rows.taken)
    assert found.status == expected.status


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize(("height", "batch_size"), [(70, 64), (20, 60), (300, 100), (64, 500)])
def test_blocks_are_learned_from_as_the_array_is(X, coding, height, batch_size) -> None:
    """Blocks inside batches, batches inside blocks, and neither."""
    expected = learn(X, batch_size=batch_size, **coding)
    assert_same(learn(blocks(X, height), batch_size=batch_size, **coding), expected)


@pytest.mark.parametrize("coding", [{"n_nonzero_coefs": 2}, {"alpha": 0.1}], ids=str)
def test_atoms_are_replaced_by_the_same_rows(X, coding) -> None:
    """Twins are at the end of a batch, an atom that two odd rows alone use at the end of a pass."""
    X = np.hstack([np.tile(X, (2, 1)), np.zeros((600, 2))])
    X[[5, 9]] = [0] * 10 + [1, 2]
    init = learn(X, 15, **coding, max_iter=10).dictionary.copy()
    init[3], init[4] = init[5], X[5]
    options = {**coding, "init": init, "max_iter": 6}
    expected = learn(X, 15, **options)
    assert expected.history["n_replaced"][0] > 0
    assert expected.history["n_replaced"][1:].sum() > 0
    assert_same(learn(blocks(X), 15, **options), expected)


@pytest.mark.parametrize("init", ["svd", "dct"])
def test_where_it_starts(X, init) -> None:
    options = {"n_nonzero_coefs": 2, "init": init, "max_iter": 1, "batch_size": 150}
    found, expected = learn(blocks(X), 12, **options), learn(X, 12, **options)
    signs = np.sign(np.sum(found.dictionary * expected.dictionary, axis=1))
    np.testing.assert_allclose(signs[:, None] * found.dictionary, expected.dictionary, atol=1e-8)


def test_more_atoms_than_rows_in_a_batch(X) -> None:
    options = {"n_nonzero_coefs": 2, "max_iter": 2, "batch_size": 10}
    assert_same(learn(blocks(X), 24, **options), learn(X, 24, **options))


@pytest.mark.parametrize("scale", [2.0**-500, 2.0**500])
def test_any_scale(X, scale) -> None:
    options = {"alpha": 0.2 * scale, "max_iter": 3}
    assert_same(learn(blocks(X * scale), **options), learn(X * scale, **options))


def test_single_precision_and_integers(X) -> None:
    for kind, tol in (("f", 1e-4), ("i8", 1e-7)):
        Y = (20 * X).astype(kind)
        options = {"n_nonzero_coefs": 2, "max_iter": 2}
        assert_same(learn(blocks(Y), **options), learn(Y, **options), tol)


@pytest.mark.parametrize("coding", CODINGS[:3], ids=str)
def test_a_run_that_goes_on_is_the_uninterrupted_one(X, coding) -> None:
    whole = learn(blocks(X), max_iter=5, **coding)
    first = learn(blocks(X), max_iter=2, **coding)
    rest = learn(blocks(X), max_iter=3, init=first, **coding)
    assert rest.dictionary.tobytes() == whole.dictionary.tobytes()
    assert abs(rest.codes.compute() - whole.codes.compute()).max() == 0
    with pytest.raises(ValueError, match="init is a result for other rows or arguments"):
        learn(X, init=first, **coding)
    with pytest.raises(ValueError, match="init is a result for other rows or arguments"):
        learn(blocks(X), init=learn(X, max_iter=1, **coding), **coding)
    with pytest.raises(ValueError, match="whether it is a Dask array and its blocks"):
        learn(blocks(X, 50), init=first, **coding)


@pytest.mark.parametrize("first", range(1, 8))
def test_a_result_goes_on_wherever_it_ended(first) -> None:
    """After a pass that raised the objective too: the atoms do not run ahead then."""
    X = np.random.default_rng(2).standard_normal((24, 5))
    options = {"n_components": 8, "n_nonzero_coefs": 2, "batch_size": 8, "random_state": 0}
    whole = online_dictionary_learning(X, max_iter=8, **options)
    begun = online_dictionary_learning(X, max_iter=first, **options)
    rest = online_dictionary_learning(X, max_iter=8 - first, **options | {"init": begun})
    assert rest.dictionary.tobytes() == whole.dictionary.tobytes()


def test_new_rows_add_to_a_state_wherever_they_are(X) -> None:
    old, new = learn(X[:128], n_nonzero_coefs=2, max_iter=2), X[128:]
    expected = learn(new, state=old.state, max_iter=2)
    assert_same(learn(blocks(new), state=old.state, max_iter=2), expected)
    there = learn(blocks(X[:128]), n_nonzero_coefs=2, max_iter=2)
    again = learn(new, state=there.state, max_iter=2)
    np.testing.assert_allclose(again.dictionary, expected.dictionary, atol=1e-7)


def test_blocks_of_no_and_of_unknown_height(X) -> None:
    some = blocks(X)[blocks(X)[:, 0] > 0]
    chunks = some.chunks
    assert_same(learn(some, alpha=0.2), learn(X[X[:, 0] > 0], alpha=0.2))
    assert np.array_equal(some.chunks[0], chunks[0], equal_nan=True)  # the caller's is as it was
    none = da.concatenate([blocks(X), da.zeros((0, 10))])
    assert_same(learn(none, alpha=0.2), learn(X, alpha=0.2))


def test_each_pass_goes_over_the_blocks_once(X) -> None:
    seen = []

    def watched(block):
        seen.append(len(block))
        return block

    Y = da.from_array(X, chunks=(60, -1)).map_blocks(watched, meta=np.empty((0, 0)))
    result = learn(Y, n_nonzero_coefs=2, max_iter=3, batch_size=120)
    assert result.history["n_replaced"].sum() > 0
    assert seen.count(60) == 5 + 2 + 3 * 5  # a look, the first atoms, the passes


def test_batches_are_eight_blocks_where_nothing_is_said(X) -> None:
    found = online_dictionary_learning(blocks(X, 20), 16, alpha=0.2, random_state=0)
    assert found.state.batch_size == 160
    assert_same(found, learn(X, alpha=0.2, batch_size=160, max_iter=10))


def test_the_estimator(X) -> None:
    learner = OnlineDictionaryLearning(16, alpha=0.2, batch_size=64, max_iter=3, random_state=0)
    found = learner.fit(blocks(X)).components_
    assert isinstance(pickle.loads(pickle.dumps(learner)), OnlineDictionaryLearning)
    np.testing.assert_allclose(found, learner.fit(X).components_, atol=1e-7)
    one, other = (OnlineDictionaryLearning(16, alpha=0.2, batch_size=64, random_state=0)
                  for _ in range(2))  # fmt: skip
    for part in (X[:128], X[128:256], X[256:].astype(int)):
        one.partial_fit(part)
        other.partial_fit(blocks(part))
        np.testing.assert_allclose(other.components_, one.components_, atol=1e-7)
    assert other.n_iter_ == 3
    np.testing.assert_allclose(other.error_, one.error_)
    with pytest.raises(ValueError, match="features"):
        other.partial_fit(blocks(X[:, :5]))


def test_every_pass_is_told_of(X) -> None:
    told = []
    result = learn(blocks(X), alpha=0.2, callback=lambda row: told.append(dict(row)) or False)
    assert [row["n_iter"] for row in told] == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(told[-1]["dictionary"], result.dictionary)
    stopped = learn(blocks(X), alpha=0.2, callback=lambda row: row["n_iter"] == 2)
    assert (stopped.status, stopped.n_iter) == (Status.CALLBACK, 2)
    rested = learn(blocks(X), alpha=0.2, max_iter=300, tol=1e-3)
    assert rested.status is Status.CONVERGED
    assert rested.certificate <= 1e-3


def test_what_is_refused(X) -> None:
    bad = X.copy()
    bad[200, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        learn(blocks(bad), alpha=0.2)
    with pytest.raises(ValueError, match="missing_values is not used by a Dask array"):
        learn(blocks(bad), alpha=0.2, missing_values=np.nan)
    with pytest.raises(ValueError, match="n_threads is not used by a Dask array"):
        learn(blocks(X), alpha=0.2, n_threads=2)
    with pytest.raises(ValueError, match="X is empty"):
        learn(blocks(X)[blocks(X)[:, 0] > 1e9], alpha=0.2)
    with pytest.raises(ValueError, match="X has 5 features but state has 10"):
        learn(blocks(X[:, :5]), state=learn(X, alpha=0.2, max_iter=1).state)
