"""What two networks give a layer, the original and the compressed one, of the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from sparsecode._threads import check_n_threads
from sparsecode._validation import check_array, check_int, check_unused, draw_seed
from sparsecode.layers.network import Network
from sparsecode.layers.patterns import near_misses
from sparsecode.layers.recording import Recorder, batches_of, is_batch, running

MAX_POSITIONS = 2**14  # of a convolution, in one batch


class Pair(NamedTuple):
    """Moments of what the teacher's layer and the student's see of the same samples."""

    cross: np.ndarray  # E x_t x_s^T
    student: np.ndarray  # E x_s x_s^T

    def missed(self, W: np.ndarray, V: np.ndarray) -> float:
        """``E ||W x_t - V x_s||^2`` but for ``E ||W x_t||^2``, which no `V` changes."""
        return float(np.sum((V @ self.student) * V) - 2 * np.sum((W @ self.cross) * V))


PairOf = Callable[[str, Network], Pair]  # of a layer, and a network that is the student


def watched(network: Network, inputs: Any, **options: Any) -> tuple[list[str], PairOf]:
    """The layers in the order in which they are computed, and the pair of each.

    `inputs` is a function that gives the inputs of a network's layers, or the inputs of a network
    that can be run, `options` of which say how.
    """
    if callable(inputs):
        check_unused("a function that gives the inputs of layers", **options)
        teacher = _checked(inputs(network), network)

        def pair_of(name: str, student: Network) -> Pair:
            given = _checked(inputs(student), network)
            if name not in given:
                raise ValueError(f"inputs gives those of {name!r} for one network and not another")
            return _Sums().add(teacher[name], given[name], name).pair()

        return list(teacher), pair_of
    if network.graph is None and network.module is None:
        raise ValueError(
            "the network is arrays alone, which cannot be run: inputs has to be a function that "
            f"gives what enters its layers, got {type(inputs).__name__}"
        )
    return _run(network, inputs, **options)


def _run(
    network: Network,
    inputs: Any,
    *,
    batch_size: int | None,
    max_positions: int | None,
    random_state: Any,
    n_threads: int | None,
) -> tuple[list[str], PairOf]:
    """The pairs of two networks that are run side by side, batch by batch."""
    if batch_size is not None:
        check_int(batch_size, "batch_size")
    most = MAX_POSITIONS if max_positions is None else check_int(max_positions, "max_positions")
    seed, n_threads = draw_seed(random_state or 0), check_n_threads(n_threads)
    again = inputs if is_batch(inputs) or not isinstance(inputs, Iterable) else list(inputs)
    order = _Order(most, seed)
    with running(network, order, n_threads) as (run, fixed):
        run(next(batches_of(again, batch_size, fixed)))

    def pair_of(name: str, student: Network) -> Pair:
        teacher_rows, student_rows, sums = _Rows(most, seed, name), _Rows(most, seed, name), _Sums()
        with (  # a module that is copied for the student has no hooks of the teacher's yet
            running(student, student_rows, n_threads) as (run_student, _),
            running(network, teacher_rows, n_threads) as (run_teacher, _),
        ):
            for batch in batches_of(again, batch_size, fixed):
                run_student(batch)
                run_teacher(batch)
                taken = teacher_rows.taken(), student_rows.taken()
                if len(taken[0]) or len(taken[1]):  # a batch may pass the layer by
                    sums.add(*taken, name)
        return sums.pair()

    return list(order.names), pair_of


class _Order(Recorder):
    """Notes which layer comes when."""

    def __init__(self, most: int, seed: int) -> None:
        super().__init__(most, seed)
        self.names: dict[str, None] = {}

    def rows(self, name: str, X: np.ndarray) -> None:
        """The name alone."""
        if X.size:
            self.names.setdefault(name)

    def convolution(self, name: str, X: np.ndarray, geometry: Any) -> None:
        """The name alone."""
        if X.size:
            self.names.setdefault(name)


class _Rows(Recorder):
    """Takes the inputs of one layer; which ones of a convolution, only the seed says."""

    def __init__(self, most: int, seed: int, name: str) -> None:
        super().__init__(most, seed)
        self._name, self._tiles = name, list[np.ndarray]()

    def wanted(self, name: str) -> bool:
        """Only the layer that is watched."""
        return name == self._name

    def take(self, name: str, X: np.ndarray) -> None:
        """Keep the rows for a moment."""
        self._tiles.append(check_array(X.reshape(-1, X.shape[-1]), f"inputs of {name!r}"))

    def left_out(self, name: str, n: int) -> None:
        """Those that were not drawn are drawn in neither network."""

    def taken(self) -> np.ndarray:
        """The rows since the last call, perhaps none."""
        rows, self._tiles = np.concatenate(self._tiles or [np.empty((0, 0))]), []
        return rows


class _Sums:
    """A pair, streamed."""

    def __init__(self) -> None:
        self._sums: list[np.ndarray] | None = None
        self._count = 0

    def add(self, x_t: np.ndarray, x_s: np.ndarray, name: str) -> _Sums:
        """Some more samples."""
        if len(x_t) != len(x_s):
            raise ValueError(
                f"inputs gave {len(x_t)} samples for {name!r} and then {len(x_s)}; it has to give "
                "the same ones each time"
            )
        x_t, x_s = (x.astype(np.float64, copy=False) for x in (x_t, x_s))
        new = [x_t.T @ x_s, x_s.T @ x_s]
        self._sums = (
            new if self._sums is None else [a + b for a, b in zip(self._sums, new, strict=True)]
        )
        self._count += len(x_t)
        return self

    def pair(self) -> Pair:
        """The means."""
        assert self._sums is not None
        return Pair(*(total / self._count for total in self._sums))


def _checked(inputs: Any, network: Network) -> dict[str, np.ndarray]:
    """What a function says enters the layers."""
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs has to give a mapping of names to arrays, got {inputs!r}")
    names = [layer.name for layer in network.layers]
    for name, X in inputs.items():
        if name not in names:
            raise ValueError(f"inputs names {name!r}, no layer{near_misses(name, names)}")
        width = network.layer(name).n_inputs
        if np.ndim(X) != 2 or np.shape(X)[1] != width:
            raise ValueError(
                f"the inputs of {name!r} have shape {np.shape(X)}; they have to be "
                f"(n_samples, {width})"
            )
    return {name: check_array(X, f"inputs of {name!r}") for name, X in inputs.items()}
