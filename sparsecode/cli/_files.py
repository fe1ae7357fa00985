"""The files a command names: settled before any work is done."""

from __future__ import annotations

import argparse
import filecmp
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sparsecode._files import refuse_same_file, writable_target
from sparsecode._locks import beside, claimed

if TYPE_CHECKING:
    from sparsecode.layers import Calibration, CompressedNetwork, Network


@contextmanager
def claimed_files(inputs: Sequence[str], outputs: Sequence[str], *, force: bool) -> Iterator[None]:
    """As `check_files`, and in here no other run of a command writes these outputs."""
    check_files(inputs, outputs, force=force)
    with ExitStack() as claims:
        for path in outputs:
            claims.enter_context(claimed(path))
        check_files(inputs, outputs, force=force)  # a run that has just ended may have written them
        yield


def write_unless_other(
    path: str, write: Callable[[str], None], spare: Path, *, force: bool
) -> None:
    """``write(path)``; without `force`, a file of other bytes that is there already stays.

    One of the same bytes comes of a run that was killed before it had written all its outputs.
    `spare` is a folder for what is compared.
    """
    if force or not Path(path).exists():
        write(path)
        return
    spare.mkdir(exist_ok=True)
    twin = beside(spare / Path(path).name, Path(path).suffix)
    write(str(twin))
    same = filecmp.cmp(path, twin, shallow=False)
    twin.unlink()
    if not same:
        raise FileExistsError(
            f"{path} exists, and is not what an interrupted run of this command wrote; "
            "add --force to replace it, or use another name"
        )


def path_name(word: str) -> str:
    """A word of the command line that can be the name of a file."""
    if not word.strip() or "\0" in word:
        raise argparse.ArgumentTypeError(f"has to name a file, got {word!r}")
    return word


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


def check_formats(*paths: str, model: bool = False) -> None:
    """Suffixes of formats that can be written, perhaps that of a model."""
    from sparsecode.layers.formats import MODEL, file_size

    for path in paths:
        if not (model and Path(path).suffix.lower() == MODEL):
            file_size(path, {})


def check_ending(path: str | None, ending: str, option: str) -> None:
    """The suffix of an output that has only one format."""
    if path is not None and Path(path).suffix.lower() != ending:
        raise ValueError(f"{option} has to name a file that ends in {ending}, got {path}")


def _check_input(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; check the name and the folder")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path} may not be read; ask for read permission")


def _check_output(path: Path, force: bool) -> None:
    target = writable_target(path)
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; add --force to replace it, or use another name")
    if not os.access(target.parent, os.W_OK):
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


def read_moments(
    path: str | None, network: Network, n_threads: int | None = None
) -> Calibration | None:
    """The second moments of what enters the network's layers.

    The file holds that by the names of layers; for a model, or else what enters the model.
    """
    from sparsecode.layers import Calibration, calibrate
    from sparsecode.layers.calibration import check_widths
    from sparsecode.layers.formats import read_tensors

    if path is None:
        return None
    inputs, _ = read_tensors(path)
    try:
        if not inputs:
            raise ValueError("it holds no arrays; give one of shape (n_samples, n_inputs) a layer")
        if _are_of_the_model(set(inputs), network):
            return calibrate(network, inputs, n_threads=n_threads)
        # First: a moment is the square of its width, whatever the size of the file.
        check_widths(network, {name: X.shape[-1] for name, X in inputs.items() if X.ndim > 1})
        return Calibration.from_arrays(inputs)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _are_of_the_model(names: set[str], network: Network) -> bool:
    """Whether these are the inputs of an ONNX model, and not those of its layers."""
    if network.graph is None:
        return False
    from sparsecode.layers.onnx.recording import model_inputs

    layers, wanted = {layer.name for layer in network.layers}, model_inputs(network)
    if names == set(wanted):
        return True
    if not names & layers:
        raise ValueError(
            f"its arrays are named {', '.join(sorted(names)[:5])}; name them as the model's inputs "
            f"are, {', '.join(wanted[:5])}, or, for the inputs of layers, as the layers"
        )
    return False
