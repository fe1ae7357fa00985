"""An interrupt in the middle of a fit ends it, and the estimator is as it was."""

import contextlib
import inspect
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from bad_input.arguments import OMITTED
from bad_input.entries import estimators as registry
from bad_input.entry import public

import sparsecode
from sparsecode import KSVD, estimators, solvers
from sparsecode._threads import map_tiles
from sparsecode.layers import Calibration

ROOT = str(Path(sparsecode.__file__).parent)
SPARED = str(Path(ROOT, "_threads.py"))  # which gives back what it holds, in the end too
POINTS = 8
ENTRIES = {e.name: e for e in registry.ENTRIES}
CLASSES = {name: e for name, e in ENTRIES.items() if inspect.isclass(public(e.covers))}
IN_PARTS = {name: e for name, e in ENTRIES.items() if e.covers.endswith(".partial_fit")}


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """What a shell runs in the background is born deaf to interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def interrupted(at):
    """A KeyboardInterrupt when this thread calls a function of the package for the at-th time.

    Deterministic, and finer than a signal; yields the number of calls so far.
    """
    calls = [0]

    def watch(frame, event, argument):
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(ROOT) and name != SPARED:
            calls[0] += 1
            if calls[0] == at:
                raise KeyboardInterrupt

    sys.setprofile(watch)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def of_entry(entry):
    """An estimator of the registry, what it is fitted to, and other data of that kind."""
    cls = public(entry.covers)
    values = {n: a.value for n, a in entry.arguments.items() if a.value is not OMITTED}
    names = inspect.signature(cls).parameters
    data = {n: value for n, value in values.items() if n not in names}
    other = {n: v[::-1].copy() if isinstance(v, np.ndarray) else v for n, v in data.items()}
    if isinstance(other["X"], np.ndarray):
        other["X"] = other["X"] * 1.25
    return cls(**{n: v for n, v in values.items() if n in names}), data, other


def check_interrupts(estimator, fit, wanted=POINTS, again=False):
    """At points all over the fit, the last calls too, an interrupt leaves nothing of it."""
    before, names = joblib.hash(vars(estimator)), set(vars(estimator))
    kept, n_raised = vars(estimator).copy(), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):  # the first one imports and compiles, too
            estimator.__dict__ = kept.copy()
            with interrupted(0) as calls:
                fit(estimator)
            assert again or joblib.hash(vars(estimator)) != before  # the fit does something
        spread = np.linspace(1, calls[0], wanted).astype(int).tolist()
        for at in {*spread, *range(max(1, calls[0] - 3), calls[0] + 1)}:
            estimator.__dict__ = kept.copy()
            try:
                with interrupted(at):
                    fit(estimator)
            except KeyboardInterrupt:
                n_raised += 1
                assert set(vars(estimator)) == names
                assert joblib.hash(vars(estimator)) == before
    estimator.__dict__ = kept
    assert joblib.hash(vars(estimator)) == before
    assert n_raised >= wanted - 1


def test_every_estimator_is_interrupted():
    assert {public(e.covers).__name__ for e in CLASSES.values()} == set(estimators.__all__)


@pytest.mark.parametrize("name", CLASSES)
def test_an_interrupted_fit_leaves_what_was_fitted_before(name):
    estimator, data, other = of_entry(CLASSES[name])
    check_interrupts(estimator, lambda e: e.fit(**data), 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(**data)
    check_interrupts(estimator, lambda e: e.fit(**other), again=True)  # perhaps to the same


@pytest.mark.parametrize("name", IN_PARTS)
def test_an_interrupted_part_leaves_the_parts_before(name):
    of = name.replace(".partial_fit", "")
    estimator, data, other = of_entry(CLASSES[of])
    check_interrupts(estimator, lambda e: e.partial_fit(**data), 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.partial_fit(**data)
    check_interrupts(estimator, lambda e: e.partial_fit(**other))


def test_an_error_too_leaves_what_was_fitted_before():
    X = np.random.default_rng(0).standard_normal((20, 6))
    learner = KSVD(4, n_nonzero_coefs=1, max_iter=2, tol=0, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learner.fit(X)
    before = joblib.hash(vars(learner))
    with pytest.raises(ValueError, match="NaN"):
        learner.fit(np.where(X > 2, np.nan, np.ones((20, 6))) * [[np.nan]])
    with pytest.raises(ValueError, match="n_components"):
        learner.set_params(n_components=-1).fit(X[:, :3])
    assert joblib.hash(vars(learner.set_params(n_components=4))) == before


def test_an_interrupted_update_of_moments_counts_not_at_all():
    """It may be made again: nothing counts twice."""
    X = np.random.default_rng(0).standard_normal((40, 5))
    moments, other = (
        Calibration.from_arrays({"a": X}),
        Calibration.from_arrays({"a": 2 * X, "b": X}),
    )
    before = joblib.hash(moments)
    for change in (lambda: moments.update("a", 3 * X), lambda: moments.merge(other)):
        kept = dict(moments._moments)
        with interrupted(0) as calls:
            change()
        assert joblib.hash(moments) != before
        moments._moments = kept
        for at in range(1, calls[0] + 1):
            with interrupted(at), pytest.raises(KeyboardInterrupt):
                change()
            assert joblib.hash(moments) == before


@pytest.mark.parametrize("name", ["ista", "fista", "admm", "coordinate_descent"])
def test_a_signal_in_a_callback_ends_a_solver(name):
    rng = np.random.default_rng(0)
    A, y = rng.standard_normal((20, 40)), rng.standard_normal(20)
    rows = []

    def callback(row):
        rows.append(row["n_iter"])
        if len(rows) == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        getattr(solvers, name)(A, y, alpha_ratio=0.01, tol=0, max_iter=10_000, callback=callback)
    assert len(rows) == 2


@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_interrupt_ends_the_tiles_of_all_threads(n_threads):
    """Each thread ends with the tile it is at, and none takes another."""
    before, begun, together = threading.active_count(), [], threading.Barrier(n_threads, timeout=60)

    def work(i):
        begun.append(i)
        together.wait()
        if threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGINT)
        else:
            raise ValueError("another")

    with pytest.raises(KeyboardInterrupt):
        map_tiles(work, range(1000), n_threads)
    assert len(begun) == n_threads
    assert threading.active_count() == before


LONG = """
import sys
import numpy as np
from sparsecode import KSVD, Lasso, MatrixCompletion, RobustPCA

rng = np.random.default_rng(0)
X = rng.standard_normal((4000, 64))
fits = {
    "KSVD": lambda: KSVD(96, n_nonzero_coefs=4, max_iter=10**7, tol=None).fit(X),
    "RobustPCA": lambda: RobustPCA(tol=0, max_iter=10**9).fit(X),
}
fit = fits[sys.argv[1]]
print("begun", flush=True)
try:
    fit()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["KSVD", "RobustPCA"])
def test_a_signal_from_outside_ends_a_long_fit(name):
    """Both fits would take hours."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    run = subprocess.Popen(
        [sys.executable, "-c", LONG, name], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert run.stdout.readline() == "begun\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(5)
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        assert run.communicate(timeout=120)[0] == "interrupted\n"
        assert run.returncode == 0
    finally:
        run.kill()
        run.wait()
