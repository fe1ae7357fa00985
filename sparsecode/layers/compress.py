"""The pipeline: candidates for every layer, bits over layers, a network that takes that many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import check_option, check_real, check_unused, draw_seed
from sparsecode.layers.calibration import Calibration
from sparsecode.layers.compressed import (
    METADATA_KEY,
    CompressedNetwork,
    stored_bits,
    with_report,
)
from sparsecode.layers.factorizations import (
    FAMILIES,
    BudgetError,
    Factorization,
    RangeError,
    factorize,
    output_error,
)
from sparsecode.layers.formats import file_size
from sparsecode.layers.network import Layer, Network, as_network
from sparsecode.layers.report import LayerRow
from sparsecode.layers.search import Candidate, Search, Task

__all__ = ["compress"]


def compress(
    network: Network | Mapping[str, Any],
    budget: float = 0.25,
    *,
    methods: str | Sequence[str] = "all",
    calibration: Calibration | None = None,
    heldout: Calibration | None = None,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    damping: float | None = None,
    random_state: Any = 0,
    suffix: str = ".safetensors",
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CompressedNetwork:
    r"""Store a network in a fraction of its bits, with the least damage to its layers' outputs.

    .. math:: \min \sum_\ell
              \frac{\mathrm{tr}\bigl((W_\ell - W'_\ell) H_\ell (W_\ell - W'_\ell)^T\bigr)}
                   {\mathrm{tr}(W_\ell H_\ell W_\ell^T)}
              \quad \text{s.t.} \quad \mathrm{bits} \le \mathrm{budget} \cdot \mathrm{bits}_0

    over the families and sizes of the layers' factorizations. Each layer is fitted by every method
    at several sizes, `allocate` chooses one of them for each layer or leaves it as it is, and the
    chosen families are fitted again to the bits that are left over.

    Parameters
    ----------
    network : Network or mapping of str to array
        The arrays of the network. Its 2-D floating arrays are the layers.
    budget : float, default=0.25
        The size of the file, container and untouched tensors included, as a fraction of the bytes
        of the original tensors; in (0, 1].
    methods : "all" or str or sequence of str, default="all"
        Families to choose from: "low_rank", "sparse", "low_rank+sparse", "dictionary". A layer may
        always be kept as it is.
    calibration : Calibration, optional
        Second moments of the layers' inputs. A layer without them is fitted to its weights.
    heldout : Calibration, optional
        Moments of other inputs: what the report says of them took no part in the fit.
    include, exclude : str or sequence of str
        Names of layers, or ``re:`` and a regular expression. Other tensors are left alone, byte for
        byte.
    damping : float, optional
        As in `factorize`; only with a calibration.
    random_state : int, RandomState, Generator or None, default=0
        Seed of the methods that draw.
    suffix : {".safetensors", ".npz"}, default=".safetensors"
        The format of the file that the budget is for; the other one names and aligns its arrays
        differently, and takes a little more or less.
    n_threads : int, optional
        Threads over candidates; None means the cores this process was given. The result does not
        depend on it.
    progress : callable, optional
        Called with the number of candidates done and the number of all so far known, by one thread
        at a time.

    Returns
    -------
    CompressedNetwork
        With `to_dense()`, `bits`, `ratio`, `report` and `write(path)`.

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
    check_real(budget, "budget", low=0, high=1, open_low=True)
    if calibration is None:
        check_unused("a compression without a calibration", damping=damping)
    seed = draw_seed(random_state)
    methods = _check_methods(methods)
    layers = _select(network, include, exclude)
    _check_moments(network, calibration=calibration, heldout=heldout)
    file_size(suffix, network, network.metadata)  # what cannot be stored is refused before the work
    grams = {layer.name: _gram(calibration, layer.name) for layer in layers}

    def fit(task: Task) -> Factorization:
        gram = grams[task.layer.name]
        return factorize(
            network.weight(task.layer),
            task.method,
            budget=task.share,
            gram=gram,
            damping=None if gram is None else damping,
            **({"random_state": seed} if task.method == "dictionary" else {}),
        )

    def price(task: Task) -> Candidate | None:
        name = task.layer.name
        try:
            form = fit(task)
        except (BudgetError, RangeError):
            return None
        except ValueError as error:
            raise ValueError(f"the layer {name!r}: {error}; mend or exclude it") from error
        lost = output_error(network.weight(name), form.to_dense(), grams[name])
        return Candidate(task, form.bits().total, stored_bits(name, form), lost)

    search = Search(network, layers, budget, suffix, fit)
    n_threads, counter = check_n_threads(n_threads), _Counter(progress)
    for tasks in search.stages(methods):
        search.add(map_tiles(counter.counted(price, len(tasks)), tasks, n_threads))
    compressed = search.best
    rows = [
        _row(network, name, form, (calibration, heldout))
        for name, form in compressed.factorizations.items()
    ]
    return with_report(compressed, tuple(rows), budget, search.allocation)


def _select(
    network: Network, include: str | Sequence[str], exclude: str | Sequence[str]
) -> tuple[Layer, ...]:
    layers = network.select(include, exclude)
    if METADATA_KEY in network.metadata:
        raise ValueError("the network is compressed: pass read_compressed(path).to_dense()")
    if not layers and network.layers:
        raise ValueError(f"exclude leaves none of the {len(network.layers)} layers to compress")
    if not layers:
        raise ValueError("the network has no layer to compress: no 2-D floating array")
    return layers


def _check_moments(network: Network, **given: Calibration | None) -> None:
    for name, moments in given.items():
        if moments is None:
            continue
        if not isinstance(moments, Calibration):
            raise TypeError(
                f"{name} has to be a Calibration, got {type(moments).__name__}; "
                "Calibration.from_arrays makes one of a mapping of inputs"
            )
        moments.check(network)


def _check_methods(methods: str | Sequence[str]) -> list[str]:
    names = [methods] if isinstance(methods, str) else list(methods)
    if names == ["all"]:
        names = [name for name in FAMILIES if name != "dense"]
    if not names:
        raise ValueError("methods is empty; name at least one, or 'all'")
    return [check_option(name, "methods", FAMILIES) for name in dict.fromkeys(names)]


def _gram(calibration: Calibration | None, name: str) -> np.ndarray | None:
    return calibration.gram(name) if calibration is not None and name in calibration else None


class _Counter:
    """Tells how many candidates are done, one call at a time, over all stages."""

    def __init__(self, progress: Callable[[int, int], None] | None) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._done = self._total = 0

    def counted(self, work: Callable[[Task], Any], n_tasks: int) -> Callable[[Task], Any]:
        self._total += n_tasks

        def counting(task: Task) -> Any:
            answer = work(task)
            with self._lock:
                self._done += 1
                if self._progress is not None:
                    self._progress(self._done, self._total)
            return answer

        return counting


def _row(
    network: Network, name: str, form: Factorization, moments: Sequence[Calibration | None]
) -> LayerRow:
    weight, dense = network.weight(name), form.to_dense()
    grams = [_gram(calibration, name) for calibration in moments]
    errors = [None if gram is None else output_error(weight, dense, gram) for gram in grams]
    return LayerRow(
        name=name,
        form=form.kind,
        summary=form.summary,
        shape=form.shape,
        bits=form.bits(),
        weight_error=output_error(weight, dense),
        calibration_error=errors[0],
        heldout_error=errors[1],
    )
