"""The pipeline: candidates for every layer, bits over layers, a network that takes that many."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import check_int, check_option, check_real
from sparsecode.layers.allocation import Choice, allocate
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
from sparsecode.layers.network import Layer, Network, as_network
from sparsecode.layers.report import LayerRow

__all__ = ["compress"]

# Shares of a layer's bits that are tried, relative to the global budget.
GRID = (0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2)


class Candidate(NamedTuple):
    """One way to store one layer."""

    layer: Layer
    factorization: Factorization
    error: float


def compress(
    network: Network | Mapping[str, Any],
    budget: float = 0.25,
    *,
    methods: str | Sequence[str] = "all",
    calibration: Calibration | None = None,
    heldout: Calibration | None = None,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    damping: float = 0.01,
    random_state: int = 0,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CompressedNetwork:
    r"""Store a network in a fraction of its bits, with the least damage to its layers' outputs.

    .. math:: \min \sum_\ell
              \frac{\mathrm{tr}\bigl((W_\ell - W'_\ell) H_\ell (W_\ell - W'_\ell)^T\bigr)}
                   {\mathrm{tr}(W_\ell H_\ell W_\ell^T)}
              \quad \text{s.t.} \quad \mathrm{bits} \le \mathrm{budget} \cdot \mathrm{bits}_0

    over the families and sizes of the layers' factorizations. Each layer is fitted by every method
    at several sizes, and `allocate` chooses one of them for each layer, or leaves it as it is.

    Parameters
    ----------
    network : Network or mapping of str to array
        The arrays of the network. Its 2-D floating arrays are the layers.
    budget : float, default=0.25
        The size of the ``.safetensors`` file, container and untouched tensors included, as a
        fraction of the bytes of the original tensors; in (0, 1].
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
    damping : float, default=0.01
        As in `factorize`.
    random_state : int, default=0
        Seed of the methods that draw.
    n_threads : int, optional
        Threads over candidates; None means the cores this process was given. The result does not
        depend on it.
    progress : callable, optional
        Called with the number of candidates done and the number of all, by one thread at a time.

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
    check_int(random_state, "random_state", low=0, high=2**32 - 1)
    check_real(damping, "damping", low=0)
    methods = _check_methods(methods)
    layers = _select(network, include, exclude)
    _check_moments(network, calibration=calibration, heldout=heldout)
    grams = {layer.name: _gram(calibration, layer.name) for layer in layers}

    def fit(task: tuple[Layer, str, float]) -> Candidate | None:
        layer, method, share = task
        weight = network.weight(layer)
        options = {"random_state": random_state} if method == "dictionary" else {}
        try:
            form = factorize(
                weight, method, budget=share, gram=grams[layer.name], damping=damping, **options
            )
        except (BudgetError, RangeError):
            return None
        except ValueError as error:
            raise ValueError(f"the layer {layer.name!r}: {error}; mend or exclude it") from error
        return Candidate(layer, form, output_error(weight, form.to_dense(), grams[layer.name]))

    tasks = list(_tasks(layers, methods, budget))
    counted = _counting(fit, len(tasks), progress)
    candidates = [c for c in map_tiles(counted, tasks, check_n_threads(n_threads)) if c is not None]
    compressed = _within_budget(network, layers, candidates, budget)
    rows = [
        _row(network, name, form, (calibration, heldout))
        for name, form in compressed.factorizations.items()
    ]
    return with_report(compressed, tuple(rows), budget)


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


def _tasks(
    layers: Sequence[Layer], methods: Sequence[str], budget: float
) -> Iterator[tuple[Layer, str, float]]:
    """Every layer as it is, and by every method at several shares of its bits."""
    for layer in layers:
        yield layer, "dense", 1.0
        for method in methods:
            for factor in GRID:
                if method != "dense" and budget * factor < 1:
                    yield layer, method, budget * factor


def _counting(
    fit: Callable[[Any], Any], total: int, progress: Callable[[int, int], None] | None
) -> Callable[[Any], Any]:
    if progress is None:
        return fit
    done, lock = itertools.count(1), threading.Lock()

    def counted(task: Any) -> Any:
        answer = fit(task)
        with lock:  # one call at a time, and the numbers in order
            progress(next(done), total)
        return answer

    return counted


def _within_budget(
    network: Network, layers: Sequence[Layer], candidates: Sequence[Candidate], budget: float
) -> CompressedNetwork:
    """Choose, weigh the file, and choose again with less until names and shapes fit as well."""
    by_layer = [[c for c in candidates if c.layer == layer] for layer in layers]
    choices = [
        [Choice(stored_bits(c.layer.name, c.factorization), c.error) for c in forms]
        for forms in by_layer
    ]
    smallest = [layer.index(min(layer)) for layer in choices]
    least = sum(layer[j].bits for layer, j in zip(choices, smallest, strict=True))
    compressed = _assembled(network, by_layer, smallest)
    allowed = int(budget * network.n_bytes) * 8
    if compressed.bits > allowed:
        raise ValueError(_too_small(compressed, allowed, budget))
    available = allowed - (compressed.bits - least)
    while True:
        compressed = _assembled(network, by_layer, allocate(choices, available).chosen)
        excess = compressed.bits - allowed
        if excess <= 0:
            return compressed
        available = max(available - excess, least)  # at the least, the smallest are chosen


def _assembled(
    network: Network, by_layer: Sequence[Sequence[Candidate]], chosen: Sequence[int]
) -> CompressedNetwork:
    picked = [forms[j] for forms, j in zip(by_layer, chosen, strict=True)]
    forms = {c.layer.name: c.factorization for c in picked}
    kept = Network(
        {name: array for name, array in network.items() if name not in forms},
        metadata=network.metadata,
        source=network.source,
        orientation=network.orientation,
    )
    return CompressedNetwork(forms, kept, tuple(network), 8 * network.n_bytes)


def _too_small(smallest: CompressedNetwork, allowed: int, budget: float) -> str:
    items = smallest.itemized_bits
    forms = smallest.factorizations.values()
    packed = sum(form.bits().total for form in forms)
    dense = sum(math.prod(form.shape) * form.dtype.itemsize * 8 for form in forms)
    # At a budget b the grid holds, for each layer, a share of at most `step` times that of the form
    # found here, or 0.2 b; so this solves rest + step * packed + 0.2 * b * dense = b * original.
    step = max(high / low for low, high in itertools.pairwise(GRID))
    rest = smallest.bits - packed
    enough = (rest + step * packed) / (smallest.original_bits - GRID[0] * dense)
    enough = math.ceil(1000 * enough) / 1000
    advice = f"budget={enough:g} is" if enough <= 1 else "a larger budget or other methods may be"
    return (
        f"budget={budget:g} allows {allowed // 8:,} bytes, and the smallest file found takes "
        f"{smallest.bits // 8:,}: {packed // 8:,} for the layers, {items.container // 8:,} for "
        f"names and shapes, {smallest.network.n_bytes:,} for tensors left alone; {advice} enough"
    )


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
