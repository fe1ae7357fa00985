"""Everything that reads a file: as all who would, held to what they promise of any bytes."""

from __future__ import annotations

import contextlib
import io
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sparsecode import layers
from sparsecode.cli import decompose, main
from sparsecode.cli._files import read_moments
from sparsecode.datasets import _networks
from sparsecode.layers.checkpoint import Checkpoint
from sparsecode.layers.formats import read_tensors, write_tensors

from . import corpus

LIMIT = 10_000_000  # bytes


class Reader(NamedTuple):
    """What reads the file of that suffix, and whether it says so where the file is damaged."""

    suffix: Callable[[bytes], str]
    use: Callable[[Path], None]
    refuses: bool = True  # or goes on as if there were no file


def emptied(folder: Path) -> Path:
    """The folder with nothing in it but what a model in it asks for."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / corpus.BESIDE).write_bytes(corpus.beside())
    return folder


def check(reader: str, data: bytes, folder: Path) -> bool:
    """Read these bytes in an empty folder: an answer that holds, or True after a clear error."""
    suffix, use, _ = READERS[reader]
    path = folder / f"bad{suffix(data)}"
    path.write_bytes(data)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.filterwarnings("ignore", message="Reading `.npy`")  # headers it has to repair
        try:
            use(path)
        except (ValueError, OSError) as error:
            message = str(error)
            assert message, "an error without a word"
            assert "\n" not in message, message
            assert path.name in message, message
            return True
    return False


def _network(path: Path) -> None:
    if path.suffix != ".onnx":
        tensors, metadata = read_tensors(path, max_bytes=LIMIT)
        write_tensors(path.with_stem("again"), tensors, metadata)
    network = layers.read(path, max_bytes=LIMIT)
    if "sparsecode.compressed" in network.metadata:
        _compressed(path)
        return
    network.write(path.with_stem("net"))
    assert layers.read(path.with_stem("net")) == network
    for layer in network.layers:
        assert network.weight(layer).shape == layer.shape


def _compressed(path: Path) -> None:
    small = layers.read_compressed(path, max_bytes=LIMIT)
    small.write(path.with_stem("small"))
    again = layers.read_compressed(path.with_stem("small"))
    assert again.factorizations == small.factorizations
    assert small.bits == 8 * path.with_stem("small").stat().st_size
    assert str(small.report)
    small.to_dense().write(path.with_stem("dense"))


def _recipe(path: Path) -> None:
    recipe = layers.Recipe.from_file(path)
    assert layers.Recipe.from_mapping(recipe.as_mapping()) == recipe


def _inputs(path: Path) -> None:
    calibration = read_moments(str(path), corpus.NETWORK)
    assert calibration is not None
    for name in calibration.names:
        H = calibration.gram(name)
        assert np.array_equal(H, H.T)
        assert np.isfinite(H).all()


def _checkpoint(path: Path) -> None:
    key = Checkpoint(path.parent)._key(corpus.JOB)
    for name, data in corpus.honest("checkpoint").items():
        (path.parent / name).write_bytes(data)
    kind = ".json" if path.suffix == ".json" else "-0.npz"
    path.rename(path.parent / f"{key}{kind}")
    for candidate in Checkpoint(path.parent).get(corpus.JOB) or ():
        assert candidate.task in corpus.JOB.tasks
        assert candidate.packed >= 0
        assert candidate.stored >= candidate.packed
        assert candidate.error >= 0
        assert candidate.form is not None
        assert candidate.form.shape == corpus.JOB.weight.shape


def _matrix(path: Path) -> None:
    kept = decompose.MAPPED
    try:
        whole = decompose.read_matrix(str(path), max_bytes=LIMIT)
        decompose.MAPPED = -1
        mapped = decompose.read_matrix(str(path), max_bytes=LIMIT)
        assert whole.ndim == 2
        assert np.array_equal(whole, mapped, equal_nan=True)
    finally:
        decompose.MAPPED = kept


def _cells(path: Path) -> None:
    found = corpus.recovered(path)
    assert found.n_successes.min() >= 0
    assert found.n_successes.max() <= found.n_trials


def _digits(path: Path) -> None:
    network = _networks._read_network(path)
    if network is not None:
        assert {n: a.shape for n, a in network.items()} == _networks._shapes()
        assert all(np.isfinite(a).all() for a in network.values())


def inspect(path: Path) -> None:
    """As the command line shows it, whose errors are one line."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main(["inspect", str(path)]) in (0, 2)


def _is(suffix: str) -> Callable[[bytes], str]:
    return lambda data: suffix


def _json_or(suffix: str) -> Callable[[bytes], str]:
    return lambda data: ".json" if data.lstrip()[:1] in (b"{", b"[") else suffix


READERS: dict[str, Reader] = {
    "npz": Reader(_is(".npz"), _network),
    "safetensors": Reader(_is(".safetensors"), _network),
    "onnx": Reader(_is(".onnx"), _network),
    "recipe": Reader(_json_or(".toml"), _recipe),
    "inputs": Reader(_is(".npz"), _inputs),
    "checkpoint": Reader(_json_or(".npz"), _checkpoint, refuses=False),
    "matrix": Reader(_is(".npy"), _matrix),
    "cells": Reader(_is(".json"), _cells),
    "digits": Reader(_is(".npz"), _digits, refuses=False),
}
