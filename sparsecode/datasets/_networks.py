"""A small network trained on scikit-learn's bundled digits: something real to compress."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sparsecode._files import atomic_write
from sparsecode._threads import single_threaded_blas
from sparsecode._validation import check_array, check_bool, check_random_state

LAYERS = ("hidden1", "hidden2", "output")
KINDS = {"weight": 2, "bias": 1}
SIZES = (64, 128, 64, 10)
TRAIN_SIZE = 0.7
N_CALIBRATION = 512
# Training stops by itself long before; see `tol` and `n_iter_no_change` of MLPClassifier.
MAX_ITER = 1000


@dataclass(frozen=True, eq=False)
class DigitsNetwork:
    """A trained classifier of 8 x 8 digits and the data around it; see `load_digits_network`.

    Attributes
    ----------
    network : dict of str to float32 ndarray
        "hidden1.weight", "hidden1.bias", "hidden2.weight", ..., "output.bias", in this order.
        Weights are (out, in), as PyTorch has them: `x -> relu(x @ W.T + b)`, no relu on the output.
    calibration_inputs : dict of str to float32 ndarray of shape (512, in)
        For each weight, what enters its layer on the first 512 training images.
    heldout_inputs : dict of str to float32 ndarray of shape (540, in)
        The same on the test images.
    X_train, X_test : float32 ndarray of shape (1257, 64) and (540, 64)
        Images, one a row, pixels in [0, 1].
    y_train, y_test : int64 ndarray of shape (1257,) and (540,)
        The digits 0 to 9.
    accuracy : float
        Fraction of the test images that `network` classifies correctly.
    """

    network: dict[str, np.ndarray]
    calibration_inputs: dict[str, np.ndarray]
    heldout_inputs: dict[str, np.ndarray]
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    accuracy: float


def load_digits_network(*, random_state: Any = 0, cache: bool = True) -> DigitsNetwork:
    """Train a perceptron 64-128-64-10 on 70 % of scikit-learn's digits; it takes a few seconds.

    The network is `h1 = relu(W1 x + b1)`, `h2 = relu(W2 h1 + b2)`, `logits = W3 h2 + b3`,
    trained in float32 by `sklearn.neural_network.MLPClassifier` (Adam on the cross-entropy) until
    the loss stalls. The split is stratified by digit.

    Parameters
    ----------
    random_state : int, None, RandomState or Generator, default=0
        Decides the split and the training.
    cache : bool, default=True
        Whether to keep the trained weights for the next call. Only networks from an integer
        `random_state` are kept. The folder is `$SPARSECODE_CACHE`, or `$XDG_CACHE_HOME/sparsecode`,
        or `~/.cache/sparsecode`. A file that is damaged, or made by another recipe or another
        version of scikit-learn, is not used; a folder that cannot be written is not an error.

    Returns
    -------
    DigitsNetwork
        The weights, the data, and the inputs of every layer. Its `accuracy` is measured on images
        that took no part in the training.

    Raises
    ------
    TypeError, ValueError
        If `random_state` is none of the above.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Cascading Classifiers", Kybernetika 34(4), 1998: the data, whose test
    part scikit-learn bundles.

    Examples
    --------
    >>> from sparsecode.datasets import load_digits_network
    >>> digits = load_digits_network()
    >>> digits.network["hidden1.weight"].shape, digits.accuracy > 0.96
    ((128, 64), True)
    """
    check_bool(cache, "cache")
    seed, reproducible = _seed(random_state)
    X_train, X_test, y_train, y_test = _digits(seed)
    path = _cache_path(seed) if cache and reproducible else None
    network = None if path is None else _read_network(path)
    if network is None:
        network = _train(X_train, y_train, seed)
        if path is not None:
            _write_network(path, network)
    return DigitsNetwork(
        network=network,
        calibration_inputs=_forward(network, X_train[:N_CALIBRATION])[0],
        heldout_inputs=_forward(network, X_test)[0],
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        accuracy=digits_network_accuracy(network, X_test, y_test),
    )


def digits_network_predict(network: Mapping[str, Any], X: Any) -> np.ndarray:
    """Classify by `argmax(W3 relu(W2 relu(W1 x + b1) + b2) + b3)`, with any weights of these names.

    Parameters
    ----------
    network : mapping of str to array
        The names of `DigitsNetwork.network`; values of any float dtype, computed in float32.
        The hidden layers may have any width. Further names are not used.
    X : array-like of shape (n_samples, n_features)
        Images, one a row, pixels in [0, 1].

    Returns
    -------
    ndarray of shape (n_samples,), int64
        The digits.

    Raises
    ------
    ValueError
        If a name is missing, or shapes do not fit together.

    Examples
    --------
    >>> from sparsecode.datasets import digits_network_predict, load_digits_network
    >>> digits = load_digits_network()
    >>> digits_network_predict(digits.network, digits.X_test).shape
    (540,)
    """
    if not isinstance(network, Mapping):
        raise TypeError(f"network has to be a mapping of names to arrays, got {network!r}")
    with np.errstate(over="ignore", invalid="ignore"):
        logits = _forward(network, check_array(X, "X").astype(np.float32, copy=False))[1]
    if not np.all(np.isfinite(logits)):
        raise ValueError(
            "what network makes of X exceeds the range of float32: pixels are in [0, 1]; rescale X"
        )
    return logits.argmax(axis=1)


def digits_network_accuracy(network: Mapping[str, Any], X: Any, y: Any) -> float:
    """The fraction of samples with `digits_network_predict(network, X) == y`.

    Parameters
    ----------
    network : mapping of str to array
        See `digits_network_predict`.
    X : array-like of shape (n_samples, n_features)
        Images, one a row, pixels in [0, 1].
    y : array-like of shape (n_samples,)
        The digits 0 to 9.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If a name is missing, or shapes do not fit together.

    Examples
    --------
    >>> from sparsecode.datasets import digits_network_accuracy, load_digits_network
    >>> digits = load_digits_network()
    >>> digits_network_accuracy(digits.network, digits.X_test, digits.y_test) == digits.accuracy
    True
    """
    predicted = digits_network_predict(network, X)
    y = check_array(y, "y", ndim=1)
    if y.shape != predicted.shape:
        raise ValueError(f"X has {len(predicted)} rows but y has {len(y)} entries")
    return float(np.mean(predicted == y))


def _forward(network: Mapping[str, Any], X: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The float32 inputs of every layer, by the name of its weight, and the logits."""
    inputs = {}
    for layer in LAYERS:
        weight, bias = (_tensor(network, f"{layer}.{kind}", ndim) for kind, ndim in KINDS.items())
        if weight.shape[1] != X.shape[1] or bias.shape[0] != weight.shape[0]:
            raise ValueError(
                f"network does not fit X: {layer}.weight {weight.shape} and {layer}.bias "
                f"{bias.shape} do not fit inputs of shape {X.shape}; a weight is (out, in) and its "
                "bias (out,)"
            )
        inputs[f"{layer}.weight"] = X
        logits = X @ weight.T + bias
        X = np.maximum(logits, 0)
    return inputs, logits


def _tensor(network: Mapping[str, Any], name: str, ndim: int) -> np.ndarray:
    if name not in network:
        raise ValueError(f"network has no {name!r}; it has {', '.join(map(repr, network))}")
    return check_array(network[name], name, ndim=ndim).astype(np.float32, copy=False)


def _seed(random_state: Any) -> tuple[int, bool]:
    """The seed of the split and the training, and whether the caller could ask for it again."""
    rng = check_random_state(random_state)
    if random_state is None or rng is random_state:
        return int(rng.random() * 2**32), False
    return int(random_state), True


def _digits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return train_test_split(
        X, y.astype(np.int64), train_size=TRAIN_SIZE, stratify=y, random_state=seed
    )


def _train(X: np.ndarray, y: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(hidden_layer_sizes=SIZES[1:-1], max_iter=MAX_ITER, random_state=seed)
    # Products this small gain nothing by threads, which crawl on a busy machine.
    with single_threaded_blas():
        model.fit(X, y)
    network = {}
    for layer, weight, bias in zip(LAYERS, model.coefs_, model.intercepts_, strict=True):
        network[f"{layer}.weight"] = np.ascontiguousarray(weight.T, dtype=np.float32)
        network[f"{layer}.bias"] = np.ascontiguousarray(bias, dtype=np.float32)
    return network


def _cache_path(seed: int) -> Path | None:
    """Where this network is kept: another recipe or another scikit-learn has another name."""
    import sklearn

    recipe = [SIZES, TRAIN_SIZE, MAX_ITER, seed]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]
    try:
        folder = _cache_folder()
    except RuntimeError:  # There is no home.
        return None
    return folder / f"digits-network-{sklearn.__version__}-{key}.npz"


def _cache_folder() -> Path:
    if own := os.environ.get("SPARSECODE_CACHE"):
        return Path(own)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "sparsecode"
    return Path.home() / ".cache" / "sparsecode"


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, n_in, n_out in zip(LAYERS, SIZES, SIZES[1:], strict=False):
        shapes[f"{layer}.weight"] = (n_out, n_in)
        shapes[f"{layer}.bias"] = (n_out,)
    return shapes


def _read_network(path: Path) -> dict[str, np.ndarray] | None:
    """The kept network, or None if there is none that can be trusted."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _read_member(archive, name, shape) for name, shape in _shapes().items()}
    except (OSError, EOFError, LookupError, ValueError, RuntimeError):
        return None
    except (zipfile.BadZipFile, struct.error):
        return None


def _read_member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    # Size and header have to be those of the file we write before NumPy parses or allocates.
    written = io.BytesIO()
    np.save(written, np.zeros(shape, dtype=np.float32))
    expected = written.getvalue()
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != len(expected):
        raise ValueError(f"{name} is not the float32 array of shape {shape} that was written")
    data = archive.read(info)  # checks the CRC
    n_header = len(expected) - 4 * math.prod(shape)
    if data[:n_header] != expected[:n_header]:
        raise ValueError(f"{name} is not the float32 array of shape {shape} that was written")
    return check_array(np.load(io.BytesIO(data), allow_pickle=False), name, ndim=len(shape))


def _write_network(path: Path, network: dict[str, np.ndarray]) -> None:
    whole = io.BytesIO()  # on a full disk older NumPy leaves an archive half open
    np.savez(whole, allow_pickle=False, **network)

    def write_to(file: BinaryIO) -> None:
        file.write(whole.getbuffer())

    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, write_to)
