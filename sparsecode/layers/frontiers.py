"""Error against bits: every family on one layer, at equal bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsecode._threads import check_n_threads
from sparsecode._validation import (
    check_array,
    check_callable,
    check_real,
    check_unused,
    draw_seed,
    without_mask,
)
from sparsecode.layers.calibration import Calibration, check_moments
from sparsecode.layers.factorizations import FAMILIES
from sparsecode.layers.layout import Layer
from sparsecode.layers.network import Network, as_network
from sparsecode.layers.patterns import check_patterns
from sparsecode.layers.pricing import Failure, Job, as_task, priced
from sparsecode.layers.recipe import check_methods

__all__ = ["Frontier", "FrontierPoint", "frontier"]

SHARES = (0.03, 0.045, 0.07, 0.1, 0.14, 0.19, 0.25, 0.33, 0.45, 0.6, 0.8)


class FrontierPoint(NamedTuple):
    """One form of a layer."""

    method: str
    share: float  # of the layer's bits, as they are packed
    error: float  # of the outputs, squared, relative


@dataclass(frozen=True)
class Frontier:
    """What the families make of a layer's bits.

    Attributes
    ----------
    points : tuple of FrontierPoint
        All forms that were fitted.
    curves : dict of str to tuple of two ndarray
        Of each method the shares of the bits, ascending, and the errors, of points that no smaller
        one of the method matches: what `plotting.FrontierDisplay` draws.

    Examples
    --------
    >>> from sparsecode.layers import Frontier, FrontierPoint
    >>> points = (FrontierPoint("sparse", 0.5, 0.1), FrontierPoint("low_rank", 0.4, 0.3))
    >>> Frontier(points).best(0.5).method
    'sparse'
    """

    points: tuple[FrontierPoint, ...]

    def __post_init__(self) -> None:
        points = self.points
        if not (isinstance(points, tuple) and all(isinstance(p, FrontierPoint) for p in points)):
            raise TypeError(f"points has to be a tuple of FrontierPoint, got {points!r:.80}")

    @property
    def curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Shares and errors of each method."""
        methods = dict.fromkeys(point.method for point in self.points)
        return {method: _columns(_undominated(self._of(method))) for method in methods}

    def best(self, share: float) -> FrontierPoint | None:
        """The form of the least error that takes at most a share of the bits; None if none does."""
        check_real(share, "share", low=0)
        fitting = [point for point in self.points if point.share <= share]
        return min(fitting, key=lambda point: point.error, default=None)

    def hull(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower convex hull of all points: what a Lagrangian can choose among."""
        corners: list[FrontierPoint] = []
        for point in sorted(self.points, key=lambda p: (p.share, p.error)):
            if corners and point.error >= corners[-1].error:
                continue
            while len(corners) > 1 and _above(corners[-2], corners[-1], point):
                corners.pop()
            corners.append(point)
        return _columns(corners)

    def _of(self, method: str) -> list[FrontierPoint]:
        return sorted((p for p in self.points if p.method == method), key=lambda p: p.share)


def frontier(
    W: Any,
    gram: Any = None,
    *,
    methods: str | Sequence[str] = "all",
    shares: Sequence[float] = SHARES,
    calibration: Calibration | None = None,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    damping: float | None = None,
    random_state: Any = 0,
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Any:
    r"""The error of every family against the bits that it takes, on one layer or on each of many.

    .. math:: \mathrm{share} \mapsto \min_{W'} \frac{\mathrm{tr}((W - W') H (W - W')^T)}
              {\mathrm{tr}(W H W^T)} \quad \text{s.t.} \quad
              \mathrm{bits}(W') \le \mathrm{share} \cdot \mathrm{bits}(W)

    as far as each family's fit attains it.

    Parameters
    ----------
    W : array of shape (n_outputs, n_inputs), Network or mapping of str to array
        The weights of a layer, or a network.
    gram : array of shape (n_inputs, n_inputs), optional
        Of a layer: the second moment of its inputs; None means the identity.
    methods : "all" or str or sequence of str, default="all"
        Families, as `FAMILIES` names them.
    shares : sequence of float
        Shares of a layer's bits, in (0, 1].
    calibration : Calibration, optional
        Of a network: the moments of its layers' inputs.
    include, exclude : str or sequence of str
        Of a network: names of layers, or ``re:`` and a regular expression.
    damping : float, optional
        As in `factorize`.
    random_state : int, RandomState, Generator or None, default=0
        Seed of the methods that draw.
    n_threads : int, optional
        Threads; None means the cores this process was given.
    progress : callable, optional
        Called with the number of jobs done, a layer by a method each, and of all.

    Returns
    -------
    Frontier or dict of str to Frontier
        Of an array one; of a network one for each layer, by name.

    Raises
    ------
    ValueError
        If an argument is out of range or does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> W = np.random.default_rng(0).standard_normal((32, 64))
    >>> front = layers.frontier(W, methods=["low_rank", "sparse"])
    >>> front.best(0.5).method
    'low_rank'
    """
    families, seed = check_methods(methods), draw_seed(random_state)
    if isinstance(shares, str) or not isinstance(shares, Iterable):
        raise TypeError(f"shares has to be a sequence of numbers in (0, 1], got {shares!r}")
    shares = [check_real(share, "shares", low=0, high=1, open_low=True) for share in shares]
    n_threads = check_n_threads(n_threads)
    check_callable(progress, "progress")
    if isinstance(W, Network | Mapping):
        check_unused("frontier of a network", gram=gram)
        network = as_network(W)
        check_moments(network, calibration=calibration)
        found = network.select(include, exclude)
        weights = {layer.name: network.weight(layer) for layer in found}
        grams = {layer.name: _moment(calibration, layer) for layer in found}
    else:
        chosen = {"include": include, "exclude": exclude}
        patterns = {name: check_patterns(name, given) or None for name, given in chosen.items()}
        check_unused("frontier of one layer", calibration=calibration, **patterns)
        check_array(W, "W")
        weights, grams = {"": np.asarray(without_mask(W, "W"))}, {"": gram}
    if all(moment is None for moment in grams.values()):
        check_unused("frontier without moments", damping=damping)
    jobs = [
        Job(
            tuple(
                as_task(name, method, options, share)
                for options in FAMILIES[method].variants
                for share in shares
            ),
            weight,
            grams[name],
            damping,
            seed,
            rough=True,
        )
        for name, weight in weights.items()
        for method in families
    ]
    done = [0]

    def count(job: Job, answer: Any) -> None:
        done[0] += 1
        if progress is not None:
            progress(done[0], len(jobs))

    answers = priced(jobs, n_threads, lambda job: None, count)
    points: dict[str, list[FrontierPoint]] = {name: [] for name in weights}
    for answer in answers:
        if isinstance(answer, Failure):
            where = f"the layer {answer.layer!r}: " if answer.layer else ""
            raise ValueError(f"{where}{answer.reason}")
        for task, packed, _, error, _ in answer:
            weight = weights[task.layer]
            share = packed / (8 * weight.size * weight.dtype.itemsize)
            points[task.layer].append(FrontierPoint(task.method, share, error))
    fronts = {name: Frontier(tuple(dict.fromkeys(found))) for name, found in points.items()}
    return fronts if isinstance(W, Network | Mapping) else fronts[""]


def _moment(calibration: Calibration | None, layer: Layer) -> np.ndarray | None:
    known = calibration is not None and layer.name in calibration
    return calibration.gram(layer.name) if calibration is not None and known else None


def _columns(points: Sequence[FrontierPoint]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p.share for p in points]), np.array([p.error for p in points])


def _undominated(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """Of points by ascending share, those of a smaller error than all before."""
    kept: list[FrontierPoint] = []
    for point in points:
        if not kept or point.error < kept[-1].error:
            kept.append(point)
    return kept


def _above(a: FrontierPoint, b: FrontierPoint, c: FrontierPoint) -> bool:
    """Whether `b` is on or above the line from `a` to `c`."""
    slope = (c.error - a.error) * (b.share - a.share)
    return (b.error - a.error) * (c.share - a.share) >= slope
