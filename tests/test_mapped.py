"""Arrays in mapped files: what is made of them lies in files too, and says the same."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sparsecode import _mapped
from sparsecode._mapped import as_dtype, in_units, mapping_of, out_of_units, scratch_like
from sparsecode.datasets import make_low_rank_plus_sparse
from sparsecode.solvers import (
    alternating_projections,
    principal_component_pursuit,
    stable_pcp,
)

SOLVERS = {
    "pcp": principal_component_pursuit,
    "projections": lambda X, **options: alternating_projections(X, 3, **options),
    "stable": lambda X, **options: stable_pcp(X, 1e-4 * np.nanmax(np.abs(X)), **options),
}


def mapped(folder, X, order="C", mode="r"):
    path = folder / "X.bin"
    X.ravel(order).tofile(path)
    return np.memmap(path, dtype=X.dtype, mode=mode, shape=X.shape, order=order)


def test_scratch_of_a_mapped_array_is_a_file_that_leaves_nothing(tmp_path) -> None:
    X = mapped(tmp_path, np.arange(12.0).reshape(4, 3))
    room = scratch_like(X[1:], np.float32)
    assert (room.shape, room.dtype, type(room)) == ((3, 3), np.float32, np.ndarray)
    assert mapping_of(room) is not None
    assert not room.any()
    room[:] = 7
    assert os.listdir(tmp_path) == ["X.bin"]
    assert mapping_of(scratch_like(np.ones((2, 2)))) is None


def test_scratch_goes_elsewhere_where_nothing_may_be_written(tmp_path, monkeypatch) -> None:
    X = mapped(tmp_path, np.ones((4, 3)))
    folders = []

    def temporary(dir):
        folders.append(dir)
        return original(dir=dir)

    original = _mapped.tempfile.TemporaryFile
    monkeypatch.setattr(_mapped.tempfile, "TemporaryFile", temporary)
    scratch_like(X)
    monkeypatch.setattr(_mapped.os, "access", lambda *_: False)
    scratch_like(X)
    assert folders == [str(tmp_path), None]


def test_a_full_disk_is_an_error(tmp_path, monkeypatch) -> None:
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("the system cannot reserve room")
    X = mapped(tmp_path, np.ones((4, 3)))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_mapped.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        scratch_like(X)


@pytest.mark.parametrize("order", ["C", "F"])
def test_changes_of_dtype_and_unit_stay_in_files(tmp_path, order) -> None:
    X = mapped(tmp_path, np.arange(24, dtype=np.int16).reshape(8, 3), order)
    double = as_dtype(X, np.dtype(np.float64))
    np.testing.assert_array_equal(double, np.arange(24.0).reshape(8, 3))
    assert mapping_of(double) is not None
    assert as_dtype(X, X.dtype) is X
    half = in_units(double, 2.0)
    assert mapping_of(half) is not None
    assert half.flags.c_contiguous
    np.testing.assert_array_equal(half, double / 2)
    assert in_units(half, 1.0) is half
    assert out_of_units(half, 2.0, name="X") is half
    np.testing.assert_array_equal(half, double)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("scale", [1.0, 1e150])
def test_a_mapped_matrix_is_split_as_one_in_memory(tmp_path, name, order, scale) -> None:
    X, _, _ = make_low_rank_plus_sparse(
        600, n_features=40, rank=3, density=0.05, missing=0.1, random_state=0
    )
    X = scale * X
    expected = SOLVERS[name](X, missing_values=np.nan)
    file = mapped(tmp_path, X, order)
    result = SOLVERS[name](file, missing_values=np.nan)
    assert result.rank == expected.rank == 3
    for part in ("low_rank", "sparse"):
        array = getattr(result, part)
        assert mapping_of(array) is not None
        assert type(array) is np.ndarray
        assert array.tobytes() == getattr(expected, part).tobytes()
    np.testing.assert_array_equal(file, X)
    assert os.listdir(tmp_path) == ["X.bin"]


@pytest.mark.parametrize("name", SOLVERS)
def test_a_mapped_matrix_of_integers_is_split(tmp_path, name) -> None:
    X = np.outer(np.arange(1, 61), np.arange(1, 9))
    X[3, 4] += 10_000
    result = SOLVERS[name](mapped(tmp_path, X))
    assert result.sparse[3, 4] == pytest.approx(10_000, rel=0.01)
    assert mapping_of(result.low_rank) is not None


@pytest.mark.parametrize("name", SOLVERS)
def test_bad_entries_of_a_mapped_matrix_are_one_clear_error(tmp_path, name) -> None:
    X = np.ones((50, 4))
    for bad, options, message in (
        (np.inf, {}, "contains infinity"),
        (np.nan, {}, "contains NaN"),
        (np.inf, {"missing_values": np.nan}, "contains infinity"),
    ):
        X[7, 2] = bad
        with pytest.raises(ValueError, match=message):
            SOLVERS[name](mapped(tmp_path, X), **options)
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match="column 2 of X has no observed entry"):
        SOLVERS[name](mapped(tmp_path, X), missing_values=np.nan)
    X[:, 2], X[7] = 1, np.nan
    with pytest.raises(ValueError, match="row 7 of X has no observed entry"):
        SOLVERS[name](mapped(tmp_path, X), missing_values=np.nan)


MEASURED = """
import threading, time
import numpy as np
from sparsecode.datasets import make_low_rank_plus_sparse

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024

def watch():
    while running:
        peaks.append(anonymous())
        time.sleep(0.002)

{work}
parts = {{"rank": 3, "density": 0.1, "missing": 0.05, "random_state": 0}}
first = make_low_rank_plus_sparse(900, n_features=200, **parts)[0]
first.flags.writeable = False  # as the file is: kernels are compiled for it here
work(first)
X = np.load({path!r}, mmap_mode="r")
running, peaks, before = True, [], anonymous()
thread = threading.Thread(target=watch)
thread.start()
work(X)
running = False
thread.join()
print((max(peaks) - before) / X.nbytes)
"""


def growth(path, work) -> float:
    """Of the anonymous memory of a process that works on the file, over the file's size."""
    code = MEASURED.format(path=str(path), work=work)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(run.stdout)


@pytest.fixture(scope="module")
def tall(tmp_path_factory):
    X, _, _ = make_low_rank_plus_sparse(
        40_000, n_features=200, rank=3, density=0.1, missing=0.05, random_state=1
    )
    path = tmp_path_factory.mktemp("tall") / "X.npy"
    np.save(path, X)
    yield path
    path.unlink()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is counted otherwise")
@pytest.mark.parametrize(
    "call",
    ["principal_component_pursuit(X", "alternating_projections(X, 3", "stable_pcp(X, 1e-4"],
    ids=lambda call: call[:3],
)
def test_a_tall_file_is_split_in_less_than_half_of_its_size(tall, call) -> None:
    work = f"""
from sparsecode.solvers import *

def work(X):
    assert {call}, missing_values=np.nan, n_threads=2).rank == 3
"""
    assert growth(tall, work) < 0.5


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is counted otherwise")
@pytest.mark.parametrize("options", ["", 'method="online", rank=3'], ids=["pcp", "online"])
def test_the_estimator_takes_no_more(tall, options) -> None:
    work = f"""
from sparsecode import RobustPCA

def work(X):
    model = RobustPCA({options}{", " if options else ""}missing_values=np.nan).fit(X)
    assert model.transform(X).shape == (len(X), 3)
    assert model.score_samples(X).shape == (len(X),)
"""
    assert growth(tall, work) < 0.5
