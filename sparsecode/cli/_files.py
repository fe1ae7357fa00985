"""The files a command names: settled before any work is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sparsecode._files import refuse_same_file

if TYPE_CHECKING:
    from sparsecode.layers import Calibration, CompressedNetwork, Network


def check_files(inputs: Sequence[str], outputs: Sequence[str], *, force: bool) -> None:
    """Inputs that are there, outputs that can be written and are none of the inputs."""
    for path in inputs:
        _check_input(Path(path))
    for i, path in enumerate(outputs):
        for source in inputs:
            refuse_same_file(source, path)
        if any(os.path.realpath(path) == os.path.realpath(other) for other in outputs[:i]):
            raise ValueError(f"{path} is named for two outputs; give each a file of its own")
        _check_output(Path(path), force)


def check_formats(*paths: str) -> None:
    """Suffixes of formats that can be written."""
    from sparsecode.layers.formats import file_size

    for path in paths:
        file_size(path, {})


def _check_input(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; check the name and the folder")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path} may not be read; ask for read permission")


def _check_output(path: Path, force: bool) -> None:
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; name a file inside it")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"cannot write {path}: there is no folder {path.parent}; create it first"
        )
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; add --force to replace it, or use another name")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: the folder is read-only; use another")


def read_any(path: str, orientation: str | None = None) -> Network | CompressedNetwork:
    """A network, compressed or not."""
    from sparsecode.layers import read, read_compressed
    from sparsecode.layers.compressed import METADATA_KEY

    network = read(path, orientation=orientation)
    if METADATA_KEY not in network.metadata:
        return network
    if orientation is not None:
        raise ValueError(
            f"--orientation is not used by {path}, a compressed file that records its own; "
            "leave it out"
        )
    del network  # before its arrays are read once more: only one copy of them is ever held
    return read_compressed(path)


def read_moments(path: str | None, network: Network) -> Calibration | None:
    """The second moments of arrays of inputs, which have to be those of the network's layers."""
    from sparsecode.layers import Calibration
    from sparsecode.layers.formats import read_tensors

    if path is None:
        return None
    inputs, _ = read_tensors(path)
    try:
        if not inputs:
            raise ValueError("it holds no arrays; give one of shape (n_samples, n_inputs) a layer")
        calibration = Calibration.from_arrays(inputs)
        calibration.check(network)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return calibration
