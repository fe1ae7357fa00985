"""scikit-learn's callbacks around the fit of a dictionary, and a scikit-learn that has none."""

import importlib
import sys

import numpy as np
import pytest
from sklearn.base import clone

from sparsecode import (
    KSVD,
    MOD,
    ConvolutionalDictionaryLearning,
    LabelConsistentKSVD,
    OnlineDictionaryLearning,
)
from sparsecode.datasets import make_sparse_coded_signals
from sparsecode.estimators import _callbacks

DATA = make_sparse_coded_signals(
    200, n_components=12, n_features=8, n_nonzero_coefs=2, noise=0.1, random_state=0
)
LABELS = np.arange(200) % 3
EACH = [
    KSVD(12, n_nonzero_coefs=2, max_iter=4, random_state=0),
    MOD(12, alpha=0.1, max_iter=4, random_state=0),
    OnlineDictionaryLearning(12, alpha=0.1, max_iter=4, batch_size=64, random_state=0),
]
every_learner = pytest.mark.parametrize("learner", EACH, ids=lambda e: type(e).__name__)
needs_callbacks = pytest.mark.skipif(
    not hasattr(KSVD, "set_callbacks"), reason="scikit-learn has no callbacks before 1.9"
)


class Recorder:
    """Writes down each hook; stops after so many iterations."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.events, self.seen = most, [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        self.seen.append(fitted_estimator)
        if fitted_estimator is not None:
            assert fitted_estimator.transform(X).shape == (len(X), 12)
        return context.task_name == "iteration" and context.task_id + 1 == self.most


@needs_callbacks
@every_learner
def test_each_iteration_is_a_task(learner) -> None:
    recorder, learner = Recorder(), clone(learner)
    learner.set_callbacks(recorder).fit(DATA.X)
    iterations = ["begin iteration", "end iteration"] * 4
    assert recorder.events == ["setup", "begin fit", *iterations, "end fit", "teardown"]
    for max_iter, seen in zip((1, 2, 3, 4, 4), recorder.seen, strict=True):
        plain = clone(learner).set_callbacks().set_params(max_iter=max_iter).fit(DATA.X)
        assert plain.components_.tobytes() == seen.components_.tobytes()
        assert (seen.n_iter_, seen.error_) == (max_iter, plain.error_)
    assert plain.components_.tobytes() == learner.components_.tobytes()


@needs_callbacks
@every_learner
def test_a_callback_stops_the_fit(learner) -> None:
    recorder, learner = Recorder(most=2), clone(learner)
    learner.set_callbacks(recorder).fit(DATA.X)
    assert learner.n_iter_ == 2
    assert recorder.events[-3:] == ["end iteration", "end fit", "teardown"]
    fewer = clone(learner).set_callbacks().set_params(max_iter=2).fit(DATA.X)
    assert fewer.components_.tobytes() == learner.components_.tobytes()


@needs_callbacks
@every_learner
def test_a_fit_that_comes_to_rest_leaves_no_task_open(learner) -> None:
    recorder = Recorder()
    learner = clone(learner).set_params(tol=0.5, max_iter=50).set_callbacks(recorder).fit(DATA.X)
    assert learner.n_iter_ < 50
    for kind in ("begin", "end"):
        assert recorder.events.count(f"{kind} iteration") == learner.n_iter_


SIGNALS = np.random.default_rng(0).standard_normal((4, 40))
OTHERS = [
    (LabelConsistentKSVD(12, n_nonzero_coefs=2, max_iter=4, random_state=0), 4, DATA.X, LABELS),
    (
        ConvolutionalDictionaryLearning(3, atom_shape=5, alpha=0.5, max_iter=25, random_state=0),
        3,  # ten iterations a task
        SIGNALS,
        None,
    ),
]


@needs_callbacks
@pytest.mark.parametrize(("learner", "n_tasks", "X", "y"), OTHERS, ids=lambda e: type(e).__name__)
def test_learners_that_show_no_estimator_on_the_way(learner, n_tasks, X, y) -> None:
    recorder, watched = Recorder(), clone(learner)
    watched.set_callbacks(recorder).fit(X, y)
    iterations = ["begin iteration", "end iteration"] * n_tasks
    assert recorder.events == ["setup", "begin fit", *iterations, "end fit", "teardown"]
    assert recorder.seen == [None] * (n_tasks + 1)
    assert watched.components_.tobytes() == clone(learner).fit(X, y).components_.tobytes()
    stopped = clone(learner).set_callbacks(Recorder(most=1)).fit(X, y)
    assert stopped.n_iter_ < watched.n_iter_


@needs_callbacks
def test_an_error_in_fit_tears_the_callbacks_down() -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="update has to be one of"):
        KSVD(12, update="fast").set_callbacks(recorder).fit(DATA.X)
    assert recorder.events == ["setup", "begin fit", "begin iteration", "teardown"]


@needs_callbacks
def test_the_progress_bar_of_scikit_learn(capsys) -> None:
    from sklearn.callback import ProgressBar

    clone(EACH[0]).set_callbacks(ProgressBar()).fit(DATA.X)
    shown = capsys.readouterr().out
    assert "KSVD - fit" in shown
    assert "100%" in shown


@needs_callbacks
def test_a_search_hands_its_callbacks_down() -> None:
    from sklearn.callback import ProgressBar
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), clone(EACH[0])).set_callbacks(ProgressBar())
    assert pipeline.fit(DATA.X)[-1].n_iter_ == 4


def test_a_scikit_learn_without_callbacks(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    try:
        old = importlib.reload(_callbacks)
        assert not hasattr(old.CallbackSupportMixin, "set_callbacks")
        assert old.with_callbacks(len) is len
        with old.watched_iterations(object(), DATA.X, 3, None, dict) as callback:
            assert callback is None
    finally:
        monkeypatch.undo()
        importlib.reload(_callbacks)
