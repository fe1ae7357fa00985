"""What each way to store a layer takes and loses: the work that layers can do apart."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sparsecode._threads import single_threaded_blas
from sparsecode.layers.compressed import stored_bits
from sparsecode.layers.factorizations import (
    FAMILIES,
    BudgetError,
    Dense,
    Factorization,
    RangeError,
    factorize,
    output_error,
)


class Task(NamedTuple):
    """A layer, to be fitted by a method with its options to a share of its bits."""

    layer: str
    method: str
    options: tuple[tuple[str, Any], ...]
    share: float


class Candidate(NamedTuple):
    """What came of a task."""

    task: Task
    packed: int  # bits of its arrays
    stored: int  # and of what the header says of them
    error: float  # relative, of the outputs
    form: Factorization | None = None  # not of a rough fit, of which the final one is better


class Job(NamedTuple):
    """Tasks of one layer, with all that a worker needs to do them."""

    tasks: tuple[Task, ...]
    weight: np.ndarray
    gram: np.ndarray | None
    damping: float | None
    seed: int
    rough: bool = False  # as well as it takes to choose among families and sizes

    def fit(self, task: Task) -> Factorization:
        """The form itself."""
        if task.method == "dense" and not task.options:  # whatever its entries are
            return Dense(np.ascontiguousarray(self.weight))
        family = FAMILIES[task.method]
        options: dict[str, Any] = {**(family.rough if self.rough else {}), **dict(task.options)}
        if family.draws(options):
            options.setdefault("random_state", self.seed)
        return factorize(
            self.weight,
            task.method,
            budget=task.share,
            gram=self.gram,
            damping=None if self.gram is None else self.damping,
            **options,
        )


class Failure(NamedTuple):
    """A layer that a method could not do, and why."""

    layer: str
    method: str
    reason: str


def price(job: Job) -> list[Candidate] | Failure:
    """The candidates of a job; a form that is too large, or out of range, is none."""
    candidates = []
    with single_threaded_blas():  # jobs run side by side, and bits do not depend on how many
        for task in job.tasks:
            try:
                form = job.fit(task)
                lost = 0.0
                if task.method != "dense" or task.options:
                    lost = output_error(job.weight, form.to_dense(), job.gram)
            except (BudgetError, RangeError):
                continue
            except (ValueError, np.linalg.LinAlgError) as error:
                return Failure(task.layer, task.method, str(error))
            stored = stored_bits(task.layer, form)
            kept = None if job.rough else form
            candidates.append(Candidate(task, form.bits().total, stored, lost, kept))
    return candidates


def priced(
    jobs: Sequence[Job],
    n_jobs: int,
    known: Callable[[Job], list[Candidate] | None],
    done: Callable[[Job, list[Candidate] | Failure], None],
) -> list[list[Candidate] | Failure]:
    """What came of all jobs, in their order: those that are known, and the others side by side.

    On threads, or on the backend of a surrounding `joblib.parallel_config`. The largest are begun
    first; `done` is called as each ends, by one thread at a time.
    """
    from joblib import Parallel, delayed

    answers: dict[int, list[Candidate] | Failure] = {}
    for place, job in enumerate(jobs):
        if (found := known(job)) is not None:
            answers[place] = found
    open_places = [place for place in range(len(jobs)) if place not in answers]
    open_places.sort(key=lambda place: -jobs[place].weight.size)
    workers = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator_unordered")
    ended = workers(delayed(_numbered)(place, jobs[place]) for place in open_places)
    try:
        for place, answer in ended:
            done(jobs[place], answer)
            answers[place] = answer
    finally:  # after an interrupt: what has not begun never will, which joblib warns of
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            ended.close()
    return [answers[place] for place in range(len(jobs))]


def _numbered(place: int, job: Job) -> tuple[int, list[Candidate] | Failure]:
    return place, price(job)


def as_task(layer: str, method: str, options: Mapping[str, Any], share: float) -> Task:
    """A task that can be compared and hashed."""
    plain = ((k, tuple(v) if isinstance(v, list) else v) for k, v in sorted(options.items()))
    return Task(layer, method, tuple(plain), share)
