"""Dask arrays: what comes out of blocks is what comes out of the array, here and on a cluster."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import scipy.sparse as sp

from sparsecode import KSVD, SparseCoder, layers
from sparsecode._dask import tasks
from sparsecode.layers import Calibration
from sparsecode.solvers import (
    mod,
    online_dictionary_learning,
    principal_component_pursuit,
    sparse_encode,
)

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
cloudpickle = pytest.importorskip("cloudpickle")
distributed = pytest.importorskip("distributed")

# What a test computes here is meant to be, while the cluster of another one is still there.
pytestmark = pytest.mark.filterwarnings("ignore:Running on a single-machine scheduler")

CODINGS = (
    {"n_nonzero_coefs": 3},
    {"algorithm": "ols", "residual_tol": 1.0},
    {"algorithm": "lasso", "alpha": 0.3},
    {"algorithm": "lars", "alpha": 0.3},
    {"algorithm": "threshold", "alpha": 0.5},
)


@contextmanager
def two_workers():
    """Two worker processes on this machine."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client():
    with two_workers() as client:
        yield client


@pytest.fixture
def mortal():
    """Workers for this test alone: one that is killed does not always come back."""
    with two_workers() as client:
        yield client


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    return rng.standard_normal((57, 16)), rng.standard_normal((24, 16))


def blocks(X, height=20):
    return da.from_array(X, chunks=(height, 5))


@pytest.mark.parametrize("sparse_output", [True, False])
@pytest.mark.parametrize("coding", CODINGS)
def test_codes_of_blocks_are_those_of_the_array_to_the_bit(problem, coding, sparse_output) -> None:
    X, D = problem
    codes = sparse_encode(blocks(X), D, sparse_output=sparse_output, **coding)
    assert codes.shape == (57, 24)
    assert codes.chunks == ((20, 20, 17), (24,))
    found = codes.compute(scheduler="sync")
    expected = sparse_encode(X, D, sparse_output=sparse_output, **coding)
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype == codes.dtype
    difference = found - expected
    assert (abs(difference)).max() == 0


@pytest.mark.parametrize("kind", ["f", "d", "i4", "?"])
def test_blocks_keep_the_dtype(problem, kind) -> None:
    X, D = ((10 * part).astype(kind) for part in problem)
    expected = sparse_encode(X, D, n_nonzero_coefs=2)
    codes = sparse_encode(blocks(X), D, n_nonzero_coefs=2)
    assert codes.dtype == expected.dtype
    assert abs(codes.compute(scheduler="sync") - expected).max() == 0


def test_missing_entries_in_blocks(problem) -> None:
    X, D = problem
    X = np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)
    codes = sparse_encode(blocks(X), D, n_nonzero_coefs=2, missing_values=np.nan)
    expected = sparse_encode(X, D, n_nonzero_coefs=2, missing_values=np.nan)
    assert abs(codes.compute(scheduler="sync") - expected).max() == 0


def test_blocks_of_unknown_and_of_no_height(problem) -> None:
    X, D = problem
    some = blocks(X)[blocks(X)[:, 0] > 0.5]
    codes = sparse_encode(some, D, n_nonzero_coefs=2).compute(scheduler="sync")
    assert abs(codes - sparse_encode(X[X[:, 0] > 0.5], D, n_nonzero_coefs=2)).max() == 0
    none = da.concatenate([blocks(X), da.zeros((0, 16))])
    assert sparse_encode(none, D, n_nonzero_coefs=2).compute(scheduler="sync").shape == (57, 24)


def test_wrong_arguments_are_found_before_anything_is_computed(problem) -> None:
    X, D = problem

    def never(block):
        if block.size > 1:  # Dask itself tries an entry
            raise AssertionError
        return block

    X = blocks(X).map_blocks(never, dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(ValueError, match="X has 16 features but dictionary has 7"):
        sparse_encode(X, D[:, :7], n_nonzero_coefs=2)
    with pytest.raises(ValueError, match="n_nonzero_coefs"):
        sparse_encode(X, D, n_nonzero_coefs=0)
    with pytest.raises(ValueError, match="X has to be 2-D, got a Dask array of shape"):
        sparse_encode(X[0], D, n_nonzero_coefs=2)
    with pytest.raises(ValueError, match="its dtype is complex128"):
        sparse_encode(X.astype(complex), D, n_nonzero_coefs=2)
    with pytest.raises(ValueError, match="X is empty"):
        sparse_encode(X[:0], D, n_nonzero_coefs=2)


def test_bad_entries_are_found_where_blocks_are_computed(problem) -> None:
    X, D = problem
    X[40, 3] = np.nan
    codes = sparse_encode(blocks(X), D, n_nonzero_coefs=2)
    with pytest.raises(ValueError, match="NaN"):
        codes.compute(scheduler="sync")


@pytest.mark.parametrize("options", [{}, {"split_sign": True, "sparse_output": True}])
def test_the_coder_gives_blocks(problem, options) -> None:
    X, D = problem
    coder = SparseCoder(D, transform_n_nonzero_coefs=2, **options).fit(blocks(X))
    assert coder.n_features_in_ == 16
    codes, expected = coder.transform(blocks(X)), coder.transform(X)
    assert abs(codes.compute(scheduler="sync") - expected).max() == 0
    back = coder.inverse_transform(coder.transform(blocks(X)))
    assert isinstance(back, da.Array)
    np.testing.assert_array_equal(
        back.compute(scheduler="sync"), coder.inverse_transform(coder.transform(X))
    )
    with pytest.raises(ValueError, match="features"):
        coder.transform(blocks(X[:, :5]))


def test_a_learned_dictionary_codes_blocks(problem) -> None:
    X, _ = problem
    model = KSVD(10, n_nonzero_coefs=2, max_iter=2, random_state=0).fit(X)
    codes = model.transform(blocks(X))
    np.testing.assert_array_equal(codes.compute(scheduler="sync"), model.transform(X))


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_moments_of_blocks(problem, scale) -> None:
    X = problem[0] * scale
    calibration = Calibration()
    calibration.update("fc", blocks(X))
    calibration.update("fc", X)
    expected = Calibration.from_arrays({"fc": X})
    assert calibration.n_samples("fc") == 2 * len(X)
    np.testing.assert_allclose(calibration.gram("fc"), expected.gram("fc"), rtol=1e-12)
    X[3, 3] = np.inf
    with pytest.raises(ValueError, match="'fc'"):
        calibration.update("fc", blocks(X))
    assert calibration.n_samples("fc") == 2 * len(X)
    with pytest.raises(ValueError, match="empty"):
        Calibration().update("fc", da.zeros((0, 4)))


def test_moments_of_stacked_inputs() -> None:
    X = np.random.default_rng(0).standard_normal((6, 5, 4))
    calibration = Calibration.from_arrays({"fc": da.from_array(X, chunks=(4, 2, 3))})
    expected = Calibration.from_arrays({"fc": X}).gram("fc")
    np.testing.assert_allclose(calibration.gram("fc"), expected, rtol=1e-12)


def test_on_a_cluster(problem, client) -> None:
    X, D = problem
    codes = sparse_encode(blocks(X), D, n_nonzero_coefs=3)
    expected = sparse_encode(X, D, n_nonzero_coefs=3)
    assert abs(codes.compute() - expected).max() == 0  # the client's cluster
    calibration = Calibration.from_arrays({"fc": blocks(X)})
    np.testing.assert_allclose(calibration.gram("fc"), X.T @ X / len(X), rtol=1e-12)


def test_the_layers_of_a_network_on_a_cluster(client, tmp_path) -> None:
    rng = np.random.default_rng(0)
    network = {f"{i}.weight": rng.standard_normal((96, 64)).astype("f") for i in range(3)}
    here = layers.compress(network, budget=0.25, methods=["uniform", "low_rank"])
    with joblib.parallel_config("dask"):
        there = layers.compress(network, budget=0.25, methods=["uniform", "low_rank"])
    here.write(tmp_path / "here.safetensors")
    there.write(tmp_path / "there.safetensors")
    expected = (tmp_path / "here.safetensors").read_bytes()
    assert (tmp_path / "there.safetensors").read_bytes() == expected


def test_a_worker_dies(problem, mortal, tmp_path) -> None:
    X, D = problem
    expected, dead = sparse_encode(X, D, n_nonzero_coefs=3), tmp_path / "dead"

    def fatal_once(block):
        if len(block) > 1 and not dead.exists():
            dead.touch()
            os._exit(1)
        return block

    X = blocks(X).map_blocks(fatal_once, dtype=float, meta=np.empty((0, 0)))
    assert abs(sparse_encode(X, D, n_nonzero_coefs=3).compute() - expected).max() == 0
    assert dead.exists()


@pytest.mark.parametrize(
    ("learn", "coding"),
    [(mod, {"n_nonzero_coefs": 3}), (online_dictionary_learning, {"alpha": 0.5})],
)
def test_a_worker_dies_while_atoms_are_learned(problem, mortal, tmp_path, learn, coding) -> None:
    """In the second iteration, with the codes of the first one on it."""
    X, dead = problem[0], tmp_path / "dead"
    options = {**coding, "max_iter": 4, "random_state": 0}
    if learn is online_dictionary_learning:
        options["batch_size"] = 40

    def fatal_once(row) -> None:
        if row["n_iter"] == 1:
            victim = next(iter(mortal.scheduler_info()["workers"]))
            held = mortal.has_what()[victim]
            dead.write_text(str(len(held)))
            os.kill(mortal.run(os.getpid, workers=[victim])[victim], signal.SIGKILL)

    found = learn(blocks(X), 12, callback=fatal_once, **options)
    assert int(dead.read_text()) > 0  # codes were lost
    expected = learn(X, 12, **options)
    np.testing.assert_allclose(found.dictionary, expected.dictionary, atol=1e-8)
    np.testing.assert_allclose(found.history["objective"], expected.history["objective"])
    codes = found.codes.compute()
    assert abs(codes - expected.codes).max() <= 1e-7


def test_a_dictionary_does_not_travel_with_each_block(problem) -> None:
    X, D = problem
    model = SparseCoder(D, transform_n_nonzero_coefs=3).fit(X)
    for codes in (sparse_encode(blocks(X), D, n_nonzero_coefs=3), model.transform(blocks(X))):
        graph = dict(codes.__dask_optimize__(codes.dask, codes.__dask_keys__()))
        sizes = [len(cloudpickle.dumps(task)) for task in graph.values()]
        assert sum(size > D.nbytes for size in sizes) == 1
    same = sparse_encode(blocks(X), D, n_nonzero_coefs=3)
    assert same.name == sparse_encode(blocks(X), D.copy(), n_nonzero_coefs=3).name


@pytest.mark.parametrize("height", [20, 57])
def test_blocks_are_made_in_the_tasks_that_work_on_them(problem, height) -> None:
    X, _ = problem
    made = da.from_array(X, chunks=(height, -1)).map_blocks(np.negative, dtype=float) + 1
    parts = tasks(np.sum, made)
    assert len(dict(parts[0].dask)) <= 2 * len(parts) + 1  # rows of the array, tasks, arguments
    assert dask.compute(parts, scheduler="sync")[0] == [
        (1 - X[i : i + height]).sum() for i in range(0, len(X), height)
    ]


def test_answers_outlive_what_they_were_found_from(problem, client) -> None:
    """Blocks on the workers are held by what is still to be made of them."""
    X, _ = problem
    there = blocks(X).rechunk({1: -1}).persist()
    split = principal_component_pursuit(there)
    learned = mod(there, 8, n_nonzero_coefs=2, max_iter=2, random_state=0)
    del there
    gc.collect()
    client.sync(asyncio.sleep, 0.1)
    L, S = split.low_rank.compute(), split.sparse.compute()
    np.testing.assert_allclose(L + S, X, atol=1e-5)
    assert learned.codes.compute().shape == (57, 8)


def test_codes_are_blocks_of_csr(problem) -> None:
    X, D = problem
    codes = sparse_encode(blocks(X), D, n_nonzero_coefs=3)
    part = codes.blocks[1].compute(scheduler="sync")
    assert isinstance(part, sp.csr_array)
    assert part.shape == (20, 24)


def test_dask_is_not_imported_for_other_arrays() -> None:
    code = (
        "import sys, numpy as np; from sparsecode.solvers import sparse_encode;"
        "sparse_encode(np.eye(3), np.eye(3), n_nonzero_coefs=1); print('dask' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
