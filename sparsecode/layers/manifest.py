"""What was made of what, by whom: the record of a compression."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sparsecode import __version__
from sparsecode._files import check_path
from sparsecode.layers.compressed import CompressedNetwork

__all__ = ["manifest"]

FORMAT = 1
PACKAGES = ("numpy", "scipy", "numba", "scikit-learn")


def manifest(
    small: CompressedNetwork,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    **inputs: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """The record of a compression: hashes of files, versions, the recipe, bits and errors.

    Parameters
    ----------
    small : CompressedNetwork
        What `compress` gave.
    source, output : path-like
        The file it was read from, and the one it was written to.
    **inputs : path-like or None
        Other files that took part, such as ``calibration="inputs.npz"``.

    Returns
    -------
    dict
        For JSON. Its ``"recipe"`` makes the same network again from the same inputs, and
        `Recipe.from_file` reads it.

    Raises
    ------
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     source, output = f"{folder}/net.npz", f"{folder}/small.npz"
    ...     layers.Network({"w": np.eye(64)}).write(source)
    ...     small = layers.compress(layers.read(source), 0.5, methods="sparse", suffix=".npz")
    ...     small.write(output)
    ...     layers.manifest(small, source, output)["layers"][0]["form"]
    'sparse'
    """
    if not isinstance(small, CompressedNetwork):
        raise TypeError(f"small has to be a CompressedNetwork, got {type(small).__name__}")
    given = {"input": check_path(source, "source"), "output": check_path(output, "output")}
    others = {what: path for what, path in inputs.items() if path is not None}
    files = given | {what: check_path(path, what) for what, path in others.items()}
    report = small.report
    return {
        "manifest": FORMAT,
        "files": {what: _file(path) for what, path in files.items()},
        "versions": {
            "sparsecode": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
        "machine": platform.machine(),
        "budget": report.budget,
        "original_bits": report.original_bits,
        "bits": {name: count for name, count in report.bits.items().items() if count},
        "allocation": None
        if report.allocation is None
        else {name: getattr(report.allocation, name) for name in ("bits", "error", "bound")},
        "recipe": None if small.recipe is None else small.recipe.as_mapping(),
        "layers": [
            {
                "name": row.name,
                "form": row.form,
                "summary": row.summary,
                "shape": list(row.shape),
                "bits": {name: count for name, count in row.bits.items().items() if count},
                "weight_error": row.weight_error,
                "calibration_error": row.calibration_error,
                "heldout_error": row.heldout_error,
            }
            for row in report.rows
        ],
        "failures": dict(report.failures),
    }


def _file(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
