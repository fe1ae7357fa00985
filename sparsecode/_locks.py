"""Claims on files between processes; the system lifts those of a process that is killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows: nobody is kept out there)
    fcntl = None  # type: ignore[assignment]


def beside(target: Path, ending: str) -> Path:
    """A hidden name of the package's own in the folder of `target`, always the same one."""
    return (
        target.parent / f".sparsecode-{sha256(os.fsencode(target.name)).hexdigest()[:16]}{ending}"
    )


def lock(path: Path, *, create: bool = False) -> int | None:
    """A descriptor that holds the lock of a file until it is closed; None where there are no locks.

    Raises
    ------
    BlockingIOError
        Another holder has it, or had it until now and took the file away.
    """
    if fcntl is None:  # pragma: no cover
        return None
    descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = os.path.samestat(os.fstat(descriptor), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        there = False
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    if not there:
        os.close(descriptor)
        raise BlockingIOError(f"{path} is locked by another process")
    return descriptor


@contextlib.contextmanager
def claimed(path: str | os.PathLike[str]) -> Iterator[None]:
    """In here no other run claims the file `path`, which need not exist.

    A hidden file beside it stands for the claim. A run that is killed leaves it behind, and the
    next claim takes it away.

    Raises
    ------
    BlockingIOError
        Another run has claimed the file.

    Examples
    --------
    >>> import tempfile
    >>> from sparsecode._locks import claimed
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with claimed(f"{folder}/a"), claimed(f"{folder}/b"):
    ...         print("mine")
    mine
    """
    mark = beside(Path(path).resolve(), ".lock")
    try:
        descriptor = lock(mark, create=True)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"another run is writing {path}; wait until it ends, or name another output"
        ) from error
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)  # while it is held: the next one makes its own
        if descriptor is not None:
            os.close(descriptor)
