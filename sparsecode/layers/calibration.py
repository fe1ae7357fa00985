"""Second moments of the inputs of layers, streamed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsecode._dask import is_dask, reduce_rows
from sparsecode._memory import check_fits
from sparsecode._validation import check_array, check_int
from sparsecode.layers.network import Network, as_network
from sparsecode.layers.patterns import near_misses

_TILE = 1 << 22  # entries of the inputs converted to float64 at a time: 32 MiB
_LOWEST_EXPONENT = -1074  # of the smallest positive float64
_PLAIN_EXPONENT = 256  # up to 2**256 either way, squares and their sums are far from the limits


@dataclass(eq=False)
class _Moment:
    """``total * 4**exponent`` is the sum of ``x x^T``; every ``|x|`` is at most ``2**exponent``."""

    total: np.ndarray
    exponent: int = _LOWEST_EXPONENT
    n_samples: int = 0
    n_left_out: int = 0

    def copy(self) -> _Moment:
        """One that may be added to while this one stays."""
        return replace(self, total=self.total.copy())

    def raise_exponent(self, exponent: int) -> None:
        """Restate the sum for inputs of up to ``2**exponent``; a power of two rounds nothing."""
        if exponent > self.exponent:
            self.total *= 2.0 ** (2 * (self.exponent - exponent))
            self.exponent = exponent


class Calibration:
    """The second moments ``H = mean of x x^T`` of the inputs of layers, streamed in float64.

    ``tr((W - W') H (W - W')^T)`` is the mean squared error of a layer's outputs when ``W'`` takes
    the place of ``W``; its value needs nothing else about the inputs.

    Memory is one (n_inputs, n_inputs) float64 matrix per layer, and two more and a tile of rows
    during an update, which counts when it is through; one that is interrupted does not count. Sums
    are kept with a power of two per layer, so that inputs as large as 1e300
    or as small as 1e-300 neither overflow nor vanish; what is 1e-150 times the largest input of its
    own layer does.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers.calibration import Calibration
    >>> calibration = Calibration()
    >>> calibration.update("fc", np.array([[1.0, 0.0], [0.0, 2.0]]))
    >>> calibration.update("fc", np.array([[1.0, 2.0], [0.0, 0.0]]))
    >>> calibration.n_samples("fc")
    4
    >>> calibration.gram("fc")
    array([[0.5, 0.5],
           [0.5, 2. ]])
    """

    def __init__(self) -> None:
        self._moments: dict[str, _Moment] = {}

    @classmethod
    def from_arrays(cls, inputs: Mapping[str, Any]) -> Calibration:
        """Return the calibration of one array of inputs per layer; see `update`.

        Raises
        ------
        TypeError
            `inputs` is no mapping of names to arrays.
        ValueError
            As for `update`.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsecode.layers.calibration import Calibration
        >>> Calibration.from_arrays({"fc": np.ones((5, 3))}).n_samples("fc")
        5
        """
        if not isinstance(inputs, Mapping):
            raise TypeError(
                "inputs has to be a mapping of layers' names to arrays, such as {'fc.weight': X}, "
                f"got {type(inputs).__name__}"
            )
        calibration = cls()
        for name, X in inputs.items():
            calibration.update(name, X)
        return calibration

    def update(self, name: str, X: Any) -> None:
        """Add inputs of one layer. All of `X` is checked before any of it counts.

        Parameters
        ----------
        name : str
            The layer's name in the network.
        X : array-like of shape (n_samples, n_inputs) or (..., n_inputs)
            Inputs, one per row; leading axes are flattened. Floats of any size, integers and
            booleans; a `numpy.memmap` is read in tiles of rows. Of a Dask array the moments of its
            blocks are computed where these are, and only they travel.

        Raises
        ------
        ValueError
            `X` is empty, 1-D, has NaN or infinite entries, is not numeric, or its width differs
            from that of earlier inputs of the layer.
        TypeError
            `name` is no string, or `X` is sparse.
        """
        _check_name(name)
        if is_dask(X):
            self.merge(_of_blocks(name, X))
            return
        X = _rows(X, name)
        width, seen = X.shape[1], self._moments.get(name)
        if seen is not None and width != len(seen.total):
            raise ValueError(
                f"the inputs of {name!r} have {width} columns, earlier ones had {len(seen.total)}"
            )
        check_fits(2 * 8 * width**2, f"the second moment of the {width} inputs of {name!r}")
        # A new one, which takes the place of the old one when all of X is in it.
        moment = _Moment(np.zeros((width, width))) if seen is None else seen.copy()
        peak = max(float(np.abs(tile).max()) for tile in _tiles(X, name))
        if peak > 0:
            moment.raise_exponent(math.frexp(peak)[1])
        for tile in _tiles(X, name):
            Y = np.ldexp(tile.astype(np.float64, copy=False), -moment.exponent)
            moment.total += Y.T @ Y
            moment.n_samples += len(Y)
        self._moments[name] = moment

    def merge(self, other: Calibration) -> None:
        """Add all that another calibration has seen, as if its inputs had come here.

        Raises
        ------
        ValueError
            A layer has another width there; nothing is added then.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsecode.layers.calibration import Calibration
        >>> one = Calibration.from_arrays({"fc": np.array([[1.0]])})
        >>> two = Calibration.from_arrays({"fc": np.array([[3.0]])})
        >>> one.merge(two)
        >>> one.gram("fc")
        array([[5.]])
        """
        if not isinstance(other, Calibration):
            raise TypeError(f"other has to be a Calibration, got {type(other).__name__}")
        for name, theirs in other._moments.items():
            if name in self and self._moments[name].total.shape != theirs.total.shape:
                raise ValueError(
                    f"the inputs of {name!r} have {len(theirs.total)} columns in one calibration "
                    f"and {len(self._moments[name].total)} in the other"
                )
        merged = {}
        for name, theirs in other._moments.items():
            seen = self._moments.get(name)
            ours = _Moment(np.zeros_like(theirs.total)) if seen is None else seen.copy()
            merged[name] = ours
            ours.raise_exponent(theirs.exponent)
            ours.total += theirs.total * 2.0 ** (2 * (theirs.exponent - ours.exponent))
            ours.n_samples += theirs.n_samples
            ours.n_left_out += theirs.n_left_out
        self._moments.update(merged)

    def gram(self, name: str) -> np.ndarray:
        """Return ``H`` (n_inputs, n_inputs), the mean of ``x x^T`` over a layer's inputs, float64.

        Exactly symmetric. Where the largest input entry lies outside 2**-256 to 2**256 (about 1e-77
        to 1e77), its square could leave the range of float64: ``H`` is then given divided by the
        power of four that brings that entry to the nearer end. Relative errors do not change.

        Raises
        ------
        ValueError
            There are no inputs of that layer.
        """
        moment = self._moment(name)
        exponent = max(-_PLAIN_EXPONENT, min(moment.exponent, _PLAIN_EXPONENT))
        return np.ldexp(moment.total / moment.n_samples, 2 * exponent)

    def n_samples(self, name: str) -> int:
        """Return how many inputs of the layer have been seen.

        Raises
        ------
        ValueError
            There are no inputs of that layer.
        """
        return self._moment(name).n_samples

    def leave_out(self, name: str, n: int) -> None:
        """Note that `n` more inputs of a layer were there, of which the others are a sample."""
        if check_int(n, "n", low=0):
            self._moment(name).n_left_out += n

    @property
    def sampled(self) -> dict[str, tuple[int, int]]:
        """For layers of which not all inputs count: how many do, and how many there were."""
        return {
            name: (moment.n_samples, moment.n_samples + moment.n_left_out)
            for name, moment in self._moments.items()
            if moment.n_left_out
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The layers there are inputs of, in the order they came."""
        return tuple(self._moments)

    def __contains__(self, name: object) -> bool:
        return name in self._moments

    def __repr__(self) -> str:
        seen = ", ".join(f"{name!r}: {self.n_samples(name)}" for name in self.names)
        return f"Calibration({{{seen}}})"

    def check(self, network: Network | Mapping[str, Any]) -> None:
        """Make sure that every name is a layer of the network and every width its number of inputs.

        Raises
        ------
        ValueError
            With the names that come near, or the orientation that would fit.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsecode.layers.calibration import Calibration
        >>> Calibration.from_arrays({"fc": np.ones((5, 3))}).check({"fc1": np.ones((2, 3))})
        Traceback (most recent call last):
            ...
        ValueError: calibration: 'fc' is no layer of the network; did you mean 'fc1'?
        """
        check_widths(network, {name: len(m.total) for name, m in self._moments.items()})

    def _moment(self, name: str) -> _Moment:
        _check_name(name)
        if name not in self._moments:
            raise ValueError(f"there are no inputs of {name!r}{near_misses(name, self.names)}")
        return self._moments[name]


def check_widths(network: Network | Mapping[str, np.ndarray], widths: Mapping[str, int]) -> None:
    """Layers of the network that take so many inputs, or an error that says what does not fit."""
    network = as_network(network)
    for name, width in widths.items():
        try:
            layer = network.layer(name)
        except ValueError as error:
            raise ValueError(f"calibration: {error}") from error
        if width == layer.n_inputs:
            continue
        other = "out_in" if layer.transposed else "in_out"
        turned = network.layout.declared is None and width == layer.n_outputs
        hint = f'; read the network with orientation="{other}"' if turned else ""
        raise ValueError(
            f"calibration: the inputs of {name!r} have {width} columns, but the layer takes "
            f"{layer.n_inputs} inputs and gives {layer.n_outputs} outputs{hint}"
        )


def unscaled_gram(calibration: Calibration, name: str) -> np.ndarray:
    """The `gram` times a number that is left open: the sum that is kept, not to be written to."""
    total = calibration._moment(name).total.view()
    total.flags.writeable = False
    return total


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the name of a layer has to be a string, got {name!r}")


def check_moments(network: Network, **given: Calibration | None) -> None:
    """Each named argument that is given fits the network, or an error says what it is instead."""
    for name, moments in given.items():
        if moments is None:
            continue
        if not isinstance(moments, Calibration):
            raise TypeError(
                f"{name} has to be a Calibration, got {type(moments).__name__}; "
                "Calibration.from_arrays makes one of a mapping of inputs"
            )
        moments.check(network)


def _of_blocks(name: str, X: Any) -> Calibration:
    """That of a Dask array, whose last axis is in one block."""
    X = X.rechunk({X.ndim - 1: -1}) if X.ndim > 1 else X
    empty = X.size == 0  # of `X` itself the function must not know: it would travel with it

    def look(block: np.ndarray) -> Calibration:
        return Calibration.from_arrays({name: block} if block.size or empty else {})

    return reduce_rows(look, _merged, X)


def _merged(calibrations: Sequence[Calibration]) -> Calibration:
    whole = Calibration()
    for each in calibrations:
        whole.merge(each)
    return whole


def _rows(X: Any, name: str) -> np.ndarray:
    """`X` as (n_samples, n_inputs), still in its own dtype and, for a memmap, still on the disk."""
    if not isinstance(X, np.ndarray):
        X = check_array(X, _what(name), ndim=tuple(range(2, 17)))
    if X.ndim < 2:
        raise ValueError(f"{_what(name)} has to be (n_samples, n_inputs), got the shape {X.shape}")
    if X.size == 0:
        raise ValueError(f"{_what(name)} is empty: its shape is {X.shape}")
    return X.reshape(-1, X.shape[-1])


def _tiles(X: np.ndarray, name: str) -> Iterator[np.ndarray]:
    """Finite float tiles of rows, of bounded size."""
    n_rows = max(1, _TILE // X.shape[1])
    for start in range(0, X.shape[0], n_rows):
        yield check_array(X[start : start + n_rows], _what(name))


def _what(name: str) -> str:
    return f"X, the inputs of {name!r},"
