"""Work that is done is not done again: candidates in a folder, by what they were made of."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from sparsecode import __version__
from sparsecode._files import write_json
from sparsecode._strict import strict_json
from sparsecode._validation import check_int, check_real
from sparsecode.layers.factorizations import Factorization, unpack
from sparsecode.layers.formats import read_tensors, write_tensors
from sparsecode.layers.pricing import Candidate, Failure, Job

META = "sparsecode.form"
# What is in a checkpoint: rows, forms, and what the package hides while it writes and compares.
_OURS = re.compile(r"[0-9a-f]{64}(\.json|-\d+\.npz)|\.sparsecode-.+")


class Checkpoint:
    """A folder of what came of jobs, named by hashes of weights, moments and tasks.

    Nothing in it is executed, and a file that is damaged counts as one that is not there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"checkpoint={folder} is a file; name a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder, os.W_OK):
            raise PermissionError(f"checkpoint={folder} is a read-only folder; name another")
        self._digests: dict[int, tuple[Any, str]] = {}  # of arrays that are still there

    def get(self, job: Job) -> list[Candidate] | None:
        """The candidates of a job that was done before; with their forms, unless it is rough."""
        key = self._key(job)
        try:
            rows = strict_json((self.folder / f"{key}.json").read_bytes())
            return [self._candidate(job, key, *row) for row in rows]
        except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError):
            return None

    def _candidate(
        self, job: Job, key: str, place: int, packed: int, stored: int, error: float
    ) -> Candidate:
        """What a row says, once it agrees with the job and with the form beside it."""
        task = job.tasks[check_int(place, "place", low=0)]
        packed = check_int(packed, "packed", low=0)
        stored = check_int(stored, "stored", low=packed)
        error = check_real(error, "error", low=0)
        form = None if job.rough else self._form(f"{key}-{place}")
        if form is not None and (form.shape, form.bits().total) != (job.weight.shape, packed):
            raise ValueError("the form is of another layer")
        return Candidate(task, packed, stored, error, form)

    def put(self, job: Job, candidates: list[Candidate] | Failure) -> None:
        """Keep the candidates of a job; a failure is tried again."""
        if isinstance(candidates, Failure):
            return
        key, places = self._key(job), {task: place for place, task in enumerate(job.tasks)}
        for candidate in candidates:
            if candidate.form is not None:
                arrays, meta = candidate.form.pack()
                path = self.folder / f"{key}-{places[candidate.task]}.npz"
                write_tensors(path, arrays, {META: json.dumps(meta)})
        rows = [[places[c.task], c.packed, c.stored, c.error] for c in candidates]
        write_json(self.folder / f"{key}.json", rows)  # last: then its forms are all there

    def _form(self, name: str) -> Factorization:
        arrays, metadata = read_tensors(self.folder / f"{name}.npz")
        return unpack(arrays, strict_json(metadata[META].encode()))

    def _key(self, job: Job) -> str:
        tasks = [[t.layer, t.method, list(map(list, t.options)), t.share] for t in job.tasks]
        told = [__version__, tasks, job.damping, job.seed, job.rough]
        digest = hashlib.sha256(json.dumps(told, default=repr).encode())
        for array in (job.weight, job.gram):
            digest.update(self._digest(array).encode())
        return digest.hexdigest()

    def _digest(self, array: np.ndarray | None) -> str:
        if array is None:
            return "none"
        if id(array) not in self._digests:
            digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            # The array is held, so that no other takes its place.
            self._digests[id(array)] = array, digest.hexdigest()
        return self._digests[id(array)][1]


def check_ours(folder: Path) -> None:
    """Refuse a folder to work in, and take away, that holds what no checkpoint put there."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{folder} is a file, where what is done would lie; move it, or use another output"
        )
    if others := sorted(path.name for path in folder.iterdir() if not _is_ours(path)):
        raise FileExistsError(
            f"{folder} holds {others[0]!r}, which no interrupted run left there; move the folder "
            "away, or use another output"
        )


def remove(folder: Path) -> None:
    """Take away the files of a checkpoint, and the folder if nothing else is in it."""
    with suppress(OSError):
        for path in filter(_is_ours, list(folder.iterdir())):
            path.unlink()
        folder.rmdir()


def _is_ours(path: Path) -> bool:
    return _OURS.fullmatch(path.name) is not None and path.is_file()
