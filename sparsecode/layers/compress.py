"""The pipeline: candidates for every layer, bits over layers, a network that takes that many."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sparsecode._files import check_path
from sparsecode._threads import check_n_threads
from sparsecode._validation import check_bool, check_callable, check_string, check_unused, draw_seed
from sparsecode.layers.calibration import Calibration, check_moments, unscaled_gram
from sparsecode.layers.checkpoint import Checkpoint
from sparsecode.layers.compressed import (
    METADATA_KEY,
    CompressedNetwork,
    summary_of,
    with_report,
)
from sparsecode.layers.factorizations import BudgetError, Dense, Factorization, output_error
from sparsecode.layers.formats import file_size
from sparsecode.layers.layout import Layer
from sparsecode.layers.network import Network, as_network
from sparsecode.layers.pricing import Candidate, Failure, Job, Task, as_task, price, priced
from sparsecode.layers.recipe import Plan, Recipe, Rule, plans
from sparsecode.layers.report import LayerRow
from sparsecode.layers.search import Search
from sparsecode.layers.sizes import share_of

__all__ = ["compress"]

DEFAULT_BUDGET = 0.25


def compress(
    network: Network | Mapping[str, Any],
    budget: float | str | None = None,
    *,
    max_error: float | None = None,
    methods: str | Sequence[str] = "all",
    calibration: Calibration | None = None,
    heldout: Calibration | None = None,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    rules: Sequence[Rule | Mapping[str, Any]] = (),
    damping: float | None = None,
    random_state: Any = 0,
    suffix: str = ".safetensors",
    keep_failed: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CompressedNetwork:
    r"""Store a network in a fraction of its bits, with the least damage to its layers' outputs.

    .. math:: \min \sum_\ell w_\ell
              \frac{\mathrm{tr}\bigl((W_\ell - W'_\ell) H_\ell (W_\ell - W'_\ell)^T\bigr)}
                   {\mathrm{tr}(W_\ell H_\ell W_\ell^T)}
              \quad \text{s.t.} \quad \mathrm{bits} \le \mathrm{budget} \cdot \mathrm{bits}_0

    over the families and sizes of the layers' factorizations; or, with `max_error`, the fewest bits
    whose mean error is no larger. Each layer is fitted by every method at several sizes,
    `allocate` chooses one of them for each layer or leaves it as it is, and the chosen families are
    fitted again to the bits that are left over.

    Within a budget that is worth `b` bits a weight no layer loses more than four fifths of what its
    weights rounded to the nearest lose, in `b` bits with a scale for every 64 (in b - 1, or all of
    what they lose, where there is no such network): it does not pay for the others. A rule's
    `max_error` takes the place of that limit.

    Parameters
    ----------
    network : Network or mapping of str to array
        The arrays of the network; see `Network` for which of them are layers.
    budget : float or str, optional
        The size of the file, container and untouched tensors included, as a fraction of the bytes
        of the original tensors, in (0, 1], or as a size: ``"24 MB"``, ``"1.5 MiB"``. 0.25 if
        `max_error` is not given either.
    max_error : float, optional
        Instead of a budget: the mean over the layers, each with its weight, of the relative squared
        errors of their outputs.
    methods : "all" or str or sequence of str, default="all"
        Families to choose from, as `FAMILIES` names them. A layer may always be kept as it is.
    calibration : Calibration, optional
        Second moments of the layers' inputs. A layer without them is fitted to its weights.
    heldout : Calibration, optional
        Moments of other inputs: what the report says of them took no part in the fit.
    include, exclude : str or sequence of str
        Names of layers, or ``re:`` and a regular expression. Other tensors are left alone, byte for
        byte.
    rules : sequence of Rule or mapping, default=()
        Methods, options, weights, caps and limits for some of the layers; the first rule whose
        pattern matches a layer applies to it.
    damping : float, optional
        As in `factorize`; only with a calibration.
    random_state : int, RandomState, Generator or None, default=0
        Seed of the methods that draw.
    suffix : {".safetensors", ".npz"}, default=".safetensors"
        The format of the file that the budget is for; the other one names and aligns its arrays
        differently, and takes a little more or less.
    keep_failed : bool, default=False
        Keep a layer that all methods fail on (one with NaN among its weights, say) as it is, go on
        without a method that fails, and say so in ``report.failures``; otherwise that is an error.
    checkpoint : path-like, optional
        A folder for what is done: an interrupted call that is made again goes on from there, to the
        same bits.
    n_threads : int, optional
        Threads over layers and methods; None means the cores this process was given. The result
        does not depend on it. Inside a `joblib.parallel_config` its backend does the work.
    progress : callable, optional
        Called with the number of jobs done, a layer by a method each, and the number of all so far
        known, by one thread at a time.

    Returns
    -------
    CompressedNetwork
        With `to_dense()`, `bits`, `ratio`, `report`, `recipe` and `write(path)`.

    Raises
    ------
    ValueError
        If a pattern matches nothing, the calibration does not fit the network, a layer has NaN or
        infinite entries, or the budget is too small to hold even the smallest form of every layer.
    TypeError
        If `calibration` or `heldout` is no `Calibration`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> rng = np.random.default_rng(0)
    >>> net = {"fc.weight": rng.standard_normal((64, 128)).astype(np.float32)}
    >>> small = layers.compress(net, budget=0.25, methods="low_rank")
    >>> small.ratio <= 0.25, small.to_dense()["fc.weight"].shape
    (True, (64, 128))
    """
    network = as_network(network)
    if budget is None and max_error is None:
        budget = DEFAULT_BUDGET
    share = None if budget is None else share_of(budget, max(network.n_bytes, 1))
    if calibration is None:
        check_unused("a compression without a calibration", damping=damping)
    recipe = Recipe(
        budget=budget,
        max_error=max_error,
        methods=methods,
        damping=damping,
        seed=draw_seed(random_state),
        rules=rules,
    )
    keep_failed = check_bool(keep_failed, "keep_failed")
    n_threads = check_n_threads(n_threads)
    check_callable(progress, "progress")
    folder = None if checkpoint is None else check_path(checkpoint, "checkpoint")
    todo = plans(_select(network, include, exclude), recipe)
    check_moments(network, calibration=calibration, heldout=heldout)
    # What cannot be stored is refused before the work.
    file_size(check_string(suffix, "suffix"), network, network.metadata)
    jobs = _Jobs(network, todo, calibration, recipe)
    search = Search(network, todo, suffix, budget=share, max_error=max_error)
    store = None if folder is None else Checkpoint(folder)  # a wrong argument makes no folder
    failures = _fill(search, jobs, n_threads, _Counter(progress, store), keep_failed)
    compressed = replace(search.best, recipe=_effective(recipe, search))
    rows = [
        _row(search.plans[name], jobs.weight(name), form, (calibration, heldout))
        for name, form in compressed.factorizations.items()
        if not (name in failures and isinstance(form, Dense))
    ]
    return with_report(compressed, tuple(rows), share, search.allocation, failures)


def _fill(
    search: Search, jobs: _Jobs, n_threads: int, counter: _Counter, keep_failed: bool
) -> dict[str, str]:
    """Do what the search asks for, stage by stage; what failed of it, layer by layer."""
    failures: dict[str, str] = {}
    try:
        for stage in search.stages():
            alike = _alike(stage.tasks, 2 if stage.rough else 3)  # in rough fits widths share much
            work = [jobs.of(tasks, rough=stage.rough) for tasks in alike]
            answers = priced(work, n_threads, counter.known(len(work)), counter.done)
            search.add(_survivors(answers, failures, keep_failed, jobs))
            del answers  # with forms that the search keeps no longer
    except BudgetError as error:  # perhaps because of what failed
        if not failures:
            raise
        name, reason = next(iter(failures.items()))
        raise BudgetError(f"{error}; the layer {name!r}: {reason}") from error
    return failures


def _effective(recipe: Recipe, search: Search) -> Recipe:
    """The recipe that makes the same network again: what was chosen for each layer."""
    rules = tuple(
        Rule(
            match=search.plans[task.layer].match,
            methods=[task.method],
            options=dict(task.options),
            share=task.share,
            stacked=len(search.plans[task.layer].members) > 1,
        )
        for task in search.tasks
    )
    return replace(recipe, budget=None, max_error=None, rules=rules)


def _select(
    network: Network, include: str | Sequence[str], exclude: str | Sequence[str]
) -> tuple[Layer, ...]:
    layers = network.select(include, exclude)
    if METADATA_KEY in network.metadata:
        raise ValueError("the network is compressed: pass read_compressed(path).to_dense()")
    if not layers and network.layers:
        raise ValueError(f"exclude leaves none of the {len(network.layers)} layers to compress")
    if not layers:
        raise ValueError(
            "the network has no layer to compress: no 2-D floating array and no convolution"
        )
    return layers


def _gram(calibration: Calibration | None, plan: Plan) -> np.ndarray | None:
    """The moment of the inputs that all layers of the plan have, at any scale.

    That of a stack is the mean of those there are.
    """
    if calibration is None:
        return None
    names = [member.name for member in plan.members if member.name in calibration]
    if len(names) == 1:  # it is held for all the time, and not copied
        return unscaled_gram(calibration, names[0])
    return np.mean([calibration.gram(name) for name in names], axis=0) if names else None


class _Jobs:
    """What a worker needs for tasks of a layer."""

    def __init__(
        self,
        network: Network,
        todo: Sequence[Plan],
        calibration: Calibration | None,
        recipe: Recipe,
    ) -> None:
        self._weights = {plan.layer.name: _weight(network, plan) for plan in todo}
        self._grams = {plan.layer.name: _gram(calibration, plan) for plan in todo}
        self._damping, self._seed = recipe.damping, recipe.seed

    def weight(self, name: str) -> np.ndarray:
        """The matrix of a layer or stack."""
        return self._weights[name]

    def of(self, tasks: Sequence[Task], *, rough: bool = False) -> Job:
        """The job of these tasks, all of one layer."""
        name = tasks[0].layer
        weight, gram = self._weights[name], self._grams[name]
        return Job(tuple(tasks), weight, gram, self._damping, self._seed, rough)


def _alike(tasks: Sequence[Task], n_fields: int) -> list[list[Task]]:
    """Tasks of one layer, method and, of three fields, options."""
    alike: dict[tuple[Any, ...], list[Task]] = {}
    for task in tasks:
        alike.setdefault(task[:n_fields], []).append(task)
    return list(alike.values())


def _survivors(
    answers: Sequence[list[Candidate] | Failure],
    failures: dict[str, str],
    keep_failed: bool,
    jobs: _Jobs,
) -> list[Candidate]:
    """All candidates; of a layer that every method failed on, the dense one."""
    for answer in answers:
        if isinstance(answer, Failure):
            if not keep_failed:
                raise ValueError(f"the layer {answer.layer!r}: {answer.reason}; mend or exclude it")
            failures.setdefault(answer.layer, f"{answer.method} failed on it: {answer.reason}")
    found = [c for answer in answers if not isinstance(answer, Failure) for c in answer]
    for name in set(failures) - {c.task.layer for c in found}:
        dense = price(jobs.of([as_task(name, "dense", {}, 1.0)]))
        assert not isinstance(dense, Failure)
        found += dense
    return found


class _Counter:
    """Tells how many jobs are done, over all stages, and keeps what came of them."""

    def __init__(
        self, progress: Callable[[int, int], None] | None, store: Checkpoint | None
    ) -> None:
        self._progress, self._store = progress, store
        self._done = self._total = 0

    def known(self, n_jobs: int) -> Callable[[Job], list[Candidate] | None]:
        """What finds the jobs of a new stage that need not be done again."""
        self._total += n_jobs

        def look(job: Job) -> list[Candidate] | None:
            found = None if self._store is None else self._store.get(job)
            if found is not None:
                self._count()
            return found

        return look

    def done(self, job: Job, answer: list[Candidate] | Failure) -> None:
        if self._store is not None:
            self._store.put(job, answer)
        self._count()

    def _count(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _weight(network: Network, plan: Plan) -> np.ndarray:
    weights = [network.weight(member) for member in plan.members]
    return weights[0] if len(weights) == 1 else np.concatenate(weights)


def _row(
    plan: Plan, weight: np.ndarray, form: Factorization, moments: Sequence[Calibration | None]
) -> LayerRow:
    dense = form.to_dense()
    grams = [_gram(calibration, plan) for calibration in moments]
    errors = [None if gram is None else output_error(weight, dense, gram) for gram in grams]
    return LayerRow(
        name=plan.layer.name,
        form=form.kind,
        summary=summary_of(form, len(plan.members)),
        shape=form.shape,
        bits=form.bits(),
        original_bits=8 * weight.size * weight.dtype.itemsize,
        weight_error=output_error(weight, dense),
        calibration_error=errors[0],
        heldout_error=errors[1],
    )
