"""What each way to store a layer takes and loses: the work that layers can do apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sparsecode._threads import single_threaded_blas
from sparsecode._validation import check_array
from sparsecode.layers.compressed import stored_bits
from sparsecode.layers.factorizations import (
    FAMILIES,
    BudgetError,
    Dense,
    Factorization,
    RangeError,
    factorize,
    layer_dtype,
    lost_part,
    output_error,
)
from sparsecode.layers.factorizations._base import all_finite, second_moment
from sparsecode.layers.factorizations._damped import DAMPING, damped

LARGE = 2**16  # entries: from there on rough fits are rougher
# Of such a layer, so many rows or entries, whichever are more, stand for all.
ROWS, ENTRIES = 64, 2**15
FAR = 1.5  # times the least error: not worth a closer look
WIDEST = 64
TALL = 8  # times as many rows as columns show what all have in common


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
        if _as_it_is(task):
            return Dense(np.ascontiguousarray(self.weight))
        return factorize(
            self.weight,
            task.method,
            budget=task.share,
            gram=self.gram,
            damping=None if self.gram is None else self.damping,
            **self.options(task),
        )

    def options(self, task: Task) -> dict[str, Any]:
        """Those of the fit."""
        family, options = FAMILIES[task.method], dict(task.options)
        if self.rough:
            rougher = family.rougher(options) if is_large(self.weight.size) else {}
            options = {**family.rough, **rougher, **options}
        if family.draws(options):
            options.setdefault("random_state", self.seed)
        return options


def is_large(size: int) -> bool:
    """Whether a layer of so many entries takes so long that rough fits are rougher."""
    return size > LARGE


def _as_it_is(task: Task) -> bool:
    return task.method == "dense" and not task.options  # whatever its entries are


class Failure(NamedTuple):
    """A layer that a method could not do, and why."""

    layer: str
    method: str
    reason: str


def price(job: Job) -> list[Candidate] | Failure:
    """The candidates of a job; a form that is too large, or out of range, is none."""
    found: dict[Task, Candidate] = {}
    with single_threaded_blas():  # jobs run side by side, and bits do not depend on how many
        sample, least = None, _Least()
        by_width = job.rough and is_large(job.weight.size)
        for task in sorted(job.tasks, key=_width) if by_width else job.tasks:
            try:
                if not by_width or _as_it_is(task):
                    found[task] = _fitted(job, task)
                elif not least.far_from(task):
                    sample = sample or _Sample(job)
                    found[task] = sample.candidate(task)
                    least.heed(found[task])
            except (BudgetError, RangeError):
                continue
            except (ValueError, np.linalg.LinAlgError) as error:
                return Failure(task.layer, task.method, str(error))
    return [found[task] for task in job.tasks if task in found]


def _width(task: Task) -> int:
    """The bits of a number; more than any of them for the layer's own."""
    bits = dict(task.options).get("value_bits")
    return bits if isinstance(bits, int) else WIDEST


class _Least:
    """The least error at each share of the bits, of numbers from the shortest on.

    Fewer numbers of more bits are better up to some width, and worse beyond: where one is far from
    the least error, wider ones are not tried.
    """

    def __init__(self) -> None:
        self._errors: dict[Any, float] = {}
        self._over: set[Any] = set()

    def far_from(self, task: Task) -> bool:
        """Whether a width is past the best ones."""
        return self._key(task) in self._over

    def heed(self, candidate: Candidate) -> None:
        """Take in one more width."""
        key = self._key(candidate.task)
        least = self._errors.setdefault(key, candidate.error)
        self._errors[key] = min(least, candidate.error)
        if candidate.error > FAR * least:
            self._over.add(key)

    def _key(self, task: Task) -> Any:
        return task.method, task.share, *(o for o in task.options if o[0] != "value_bits")


def _fitted(job: Job, task: Task) -> Candidate:
    form = job.fit(task)
    lost = 0.0 if _as_it_is(task) else output_error(job.weight, form.to_dense(), job.gram)
    kept = None if job.rough else form
    return Candidate(task, form.bits().total, stored_bits(task.layer, form), lost, kept)


class _Sample:
    """A layer that is fitted roughly, many times over: on some of its rows, where that will do.

    Errors are those of the same rows for all families, so that they compare.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.weight = check_array(job.weight, "W")
        self.dtype, (m, n) = layer_dtype(job.weight), self.weight.shape
        self.rows = _some_rows(m, max(ROWS, ENTRIES // n))
        self.known = self.weight[self.rows]
        self.many = np.union1d(self.rows, _some_rows(m, TALL * n))  # for one decomposition
        self.moment = None if job.gram is None else second_moment(job.gram, n)
        self._metrics: dict[np.dtype, np.ndarray | None] = {}
        self._series: dict[Task, Callable[[], tuple[Factorization, int]]] | None = None

    def candidate(self, task: Task) -> Candidate:
        """What came of a task."""
        family, rows = FAMILIES[task.method], self.rows
        if family.series is not None and _plain(task):
            form, packed = self._in_series(task)
            rows = np.searchsorted(self.many, self.rows)
        elif family.apart and _plain(task):
            form = self._fit(task, self.known)
            packed = math.ceil(form.bits().total * len(self.weight) / len(self.known))
            rows = np.arange(len(self.known))
        else:
            form = self._fit(task, self.weight)
            packed = form.bits().total
        with np.errstate(over="ignore"):
            V = form.to_dense()[rows]
        if not all_finite(V):
            raise RangeError(f"{task.method} exceeds the range of {self.dtype}")
        said = stored_bits(task.layer, form) - form.bits().total
        return Candidate(task, packed, packed + said, lost_part(self.known, V, self.moment))

    def _fit(self, task: Task, W: np.ndarray) -> Factorization:
        family, options = FAMILIES[task.method], self.job.options(task)
        precision = family.precision(self.dtype, W.shape)
        budget = _budget(task, W, self.dtype)
        dense, metric = W.astype(precision, copy=False), self._metric(precision)
        return family.fit(dense, metric, budget, self.dtype, **options)

    def _in_series(self, task: Task) -> tuple[Factorization, int]:
        series = FAMILIES[task.method].series
        assert series is not None
        if self._series is None:
            tasks = [t for t in self.job.tasks if _plain(t)]
            asked = [(_budget(t, self.weight, self.dtype), dict(t.options)) for t in tasks]
            wide = np.dtype(np.float64)
            W = self.weight[self.many].astype(wide, copy=False)
            fits = series(W, self._metric(wide), self.dtype, asked, len(self.weight))
            self._series = dict(zip(tasks, fits, strict=True))
        return self._series[task]()

    def _metric(self, dtype: np.dtype) -> np.ndarray | None:
        """The damped moment; a fit may overwrite it."""
        if dtype not in self._metrics:
            damping = DAMPING if self.job.damping is None else self.job.damping
            self._metrics[dtype] = damped(self.job.gram, self.weight.shape[1], damping, dtype)
        found = self._metrics[dtype]
        return None if found is None else found.copy()


def _plain(task: Task) -> bool:
    """Whether there are no options but the width of numbers."""
    return {name for name, _ in task.options} <= {"value_bits"}


def _budget(task: Task, W: np.ndarray, dtype: np.dtype) -> int:
    return int(task.share * W.size * 8 * dtype.itemsize)


def _some_rows(n_rows: int, count: int) -> np.ndarray:
    """One of each of as many parts, not in step with what may repeat; all where they are few."""
    if n_rows < 2 * count:
        return np.arange(n_rows)
    drawn = np.random.RandomState(0).uniform(size=count)
    return ((np.arange(count) + drawn) * n_rows / count).astype(int)


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
    n_jobs = max(1, min(n_jobs, len(open_places)))
    workers = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator_unordered")
    ended = workers(delayed(_numbered)(place, jobs[place]) for place in open_places)
    try:
        for place, answer in ended:
            done(jobs[place], answer)
            answers[place] = answer
    except BaseException as error:  # what has not begun never will, of which `close` would warn
        ended.throw(error)
    return [answers[place] for place in range(len(jobs))]


def _numbered(place: int, job: Job) -> tuple[int, list[Candidate] | Failure]:
    return place, price(job)


def as_task(layer: str, method: str, options: Mapping[str, Any], share: float) -> Task:
    """A task that can be compared and hashed."""
    plain = ((k, tuple(v) if isinstance(v, list) else v) for k, v in sorted(options.items()))
    return Task(layer, method, tuple(plain), share)
