"""Second moments of the inputs of layers, recorded while a network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from sparsecode._threads import at_most_cores, check_n_threads
from sparsecode._validation import check_int, draw_seed, without_mask
from sparsecode.layers.calibration import Calibration
from sparsecode.layers.network import Network

__all__ = ["calibrate"]

Run = Callable[[Any], None]  # one batch through the network


def calibrate(
    network: Any,
    inputs: Any,
    *,
    batch_size: int | None = None,
    max_positions: int = 2**16,
    random_state: Any = 0,
    n_threads: int | None = None,
) -> Calibration:
    r"""Run a network on inputs, and gather the second moments of what enters its layers.

    .. math:: H_\ell = \frac{1}{N_\ell} \sum_{i=1}^{N_\ell} x_{\ell,i}\, x_{\ell,i}^T

    in float64. The inputs of a linear layer are its rows; those of a convolution are the patches
    under its kernel, one an output position, as `torch.nn.functional.unfold` gives them. Where a
    batch has more than `max_positions` of them, that many are drawn without replacement;
    `Calibration.sampled` says for which layers.

    Parameters
    ----------
    network : Network or torch.nn.Module
        What `read` gives for an ONNX model, which is run by onnxruntime; or a module, or what
        `from_torch` gives for it, which is run in evaluation mode and left as it was.
    inputs : array, tuple, mapping or iterable of these
        The network's inputs: an array for one input, a tuple of arrays in order, or a mapping of
        names to arrays; anything else is an iterable of such batches.
    batch_size : int, optional
        Run that many at a time, along the first axis of every input. By default as many as are
        given, or as an ONNX model takes if it says how many.
    max_positions : int, default=65536
        The most output positions of a convolution that count in one batch.
    random_state : int, RandomState, Generator or None, default=0
        Seed of the draw.
    n_threads : int, optional
        Threads of onnxruntime or torch; None means the cores this process was given.

    Returns
    -------
    Calibration
        Moments of every layer that data went through.

    Raises
    ------
    ValueError
        There is nothing to run or no input, an input does not fit the network, or what enters a
        layer has NaN or infinite entries.
    ImportError
        onnx and onnxruntime, or torch, are not installed.

    Examples
    --------
    >>> from sparsecode import layers
    >>> layers.calibrate(layers.Network({"w": [[1.0, 2.0], [3.0, 4.0]]}), [[1.0, 1.0]])
    Traceback (most recent call last):
        ...
    ValueError: the network is arrays alone, which cannot be run; ...
    """
    if batch_size is not None:
        check_int(batch_size, "batch_size")
    check_int(max_positions, "max_positions")
    recorder = Recorder(max_positions, draw_seed(random_state))
    with running(network, recorder, check_n_threads(n_threads)) as (run, fixed):
        for batch in batches_of(inputs, batch_size, fixed):
            run(batch)
    if isinstance(network, Network):  # what enters no node before the layer is not checked by it
        recorder.calibration.check(network)
    return recorder.calibration


@contextmanager
def running(network: Any, recorder: Recorder, n_threads: int) -> Iterator[tuple[Run, int | None]]:
    """What runs one batch through a network while the recorder looks on; how many it has to be."""
    n_threads = at_most_cores(n_threads)
    module = network.module if isinstance(network, Network) else network
    if module is not None and hasattr(module, "named_modules"):
        from sparsecode.layers.torch.recording import runner

        with runner(network, recorder, n_threads) as run:
            yield run, None
    elif isinstance(network, Network) and network.graph is not None:
        from sparsecode.layers.onnx.recording import OnnxRunner

        onnx_runner = OnnxRunner(network, recorder, n_threads)
        yield onnx_runner, onnx_runner.batch_size
    elif isinstance(network, (Network, Mapping)):
        raise ValueError(
            "the network is arrays alone, which cannot be run; read a model from .onnx or with "
            "from_torch, or give the inputs of layers to Calibration.from_arrays"
        )
    else:
        raise TypeError(f"a network has to be a Network or a module, got {type(network).__name__}")


class Recorder:
    """What takes in the inputs of layers."""

    def __init__(self, max_positions: int, seed: int) -> None:
        self.calibration = Calibration()
        self._most, self._rng = max_positions, np.random.default_rng(seed)

    def rows(self, name: str, X: np.ndarray) -> None:
        """Inputs (..., n_inputs) of a linear layer."""
        if X.size:
            self.take(name, X if X.ndim > 1 else X[None])

    def wanted(self, name: str) -> bool:
        """Whether the inputs of this layer are to be fetched; asked before anything runs."""
        return True

    def take(self, name: str, X: np.ndarray) -> None:
        """Take in rows (..., n_inputs)."""
        self.calibration.update(name, X)

    def convolution(self, name: str, X: np.ndarray, geometry: Any) -> None:
        """Inputs (N, C, *sides) of a convolution."""
        from sparsecode.layers.patches import patch_rows

        if X.ndim == 1 + len(geometry.kernel):  # torch takes one input without a batch
            X = X[None]
        tiles, total = patch_rows(X, geometry, self._most, self._rng)
        for tile in tiles:
            self.take(name, tile)
        self.left_out(name, max(total - self._most, 0))

    def left_out(self, name: str, n: int) -> None:
        """Note that `n` more rows were there."""
        self.calibration.leave_out(name, n)


def batches_of(inputs: Any, batch_size: int | None, fixed: int | None) -> Iterator[Any]:
    """The inputs of a network, so many at a time, or as many as it takes; never none."""
    n_batches = 0
    for batch in _batches(inputs, batch_size, fixed):
        yield batch
        n_batches += 1
    if not n_batches:
        raise ValueError("inputs is empty; give at least one batch")


def is_batch(inputs: Any) -> bool:
    return isinstance(inputs, (Mapping, tuple)) or hasattr(inputs, "__array__")


def _batches(inputs: Any, batch_size: int | None, fixed: int | None) -> Iterator[Any]:
    if not is_batch(inputs):
        if isinstance(inputs, str) or not isinstance(inputs, Iterable):
            raise TypeError(
                "inputs has to be an array, a tuple, a mapping of names to arrays, or an iterable "
                f"of these, got {type(inputs).__name__}"
            )
        for batch in inputs:
            yield from _parts(batch if is_batch(batch) else np.asarray(batch), batch_size, fixed)
        return
    yield from _parts(inputs, batch_size, fixed)


def _parts(batch: Any, batch_size: int | None, fixed: int | None) -> Iterator[Any]:
    """The batch in pieces along the first axis."""
    arrays = [without_mask(array, "inputs") for array in _arrays(batch)]
    lengths = {array.shape[0] if getattr(array, "shape", ()) else 0 for array in arrays}
    size = batch_size or fixed
    if size is None or (lengths == {size} and batch_size is None):
        yield batch
        return
    if len(lengths) != 1:
        raise ValueError(
            f"the inputs have {sorted(lengths)} entries along their first axes, so they cannot be "
            f"run {size} at a time; give an iterable of batches"
        )
    (n,) = lengths
    if fixed is not None and (size % fixed or n % fixed):
        raise ValueError(f"the model takes {fixed} inputs at a time, and {n} were given in {size}s")
    for start in range(0, n, size):
        yield _part(batch, slice(start, start + size))


def _arrays(batch: Any) -> list[Any]:
    if isinstance(batch, Mapping):
        return list(batch.values())
    return list(batch) if isinstance(batch, tuple) else [batch]


def _part(batch: Any, rows: slice) -> Any:
    if isinstance(batch, Mapping):
        return {name: array[rows] for name, array in batch.items()}
    return tuple(array[rows] for array in batch) if isinstance(batch, tuple) else batch[rows]
