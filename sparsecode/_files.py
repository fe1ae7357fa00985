"""Files: written whole or not at all, and never over their source."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sparsecode._locks import beside, lock


def check_path(path: Any, name: str = "path") -> Path:
    """The path that a string or path-like names, or an error that names the argument."""
    try:
        text = os.fsdecode(path)
    except TypeError as error:
        raise TypeError(f"{name} has to be a string or pathlib.Path, got {path!r}") from error
    if not text or "\0" in text:
        raise ValueError(f"{name} has to name a file or folder, got {path!r}")
    return Path(text)


def atomic_write(
    path: str | os.PathLike[str],
    write_to: Callable[[BinaryIO], None],
    *,
    verify: Callable[[Path], None] | None = None,
) -> None:
    """Write a file whole or not at all.

    ``write_to(file)`` fills a new file in the folder of `path`; its bytes are forced to the disk,
    ``verify(new)`` may read them back and raise, and only then does the new file take the name.
    After an exception or an interrupt at any point, `path` is as it was and nothing else is left.
    A process that is killed, or interrupted before its new file is known to be its own, leaves
    that file, ``.sparsecode-*.tmp``; the next one that writes `path` takes it away, unless there
    are no locks, or another was writing `path` at the same time.
    A symbolic link stays a link: the file it points to is replaced. A file that is replaced hands
    its permissions on; a new one gets those of the process's umask.

    Parameters
    ----------
    path : path-like
        The file to write.
    write_to : callable
        Called once with a seekable binary file, open for reading and writing.
    verify : callable or None
        Called once with the path of the finished new file, before it takes the name.

    Raises
    ------
    OSError
        `path` cannot be written: a missing folder (`FileNotFoundError`), a folder
        (`IsADirectoryError`), a device or a pipe, a write-protected file or folder
        (`PermissionError`), a full disk.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sparsecode._files import atomic_write
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "answer.bin"
    ...     atomic_write(target, lambda file: file.write(b"42") and None)
    ...     target.read_bytes()
    b'42'
    """
    target = writable_target(path)
    with _new_file(target, path) as (temporary, file):
        with file:
            if target.exists():
                shutil.copymode(target, temporary)
            write_to(file)
            file.flush()
            os.fsync(file.fileno())
        if verify is not None:
            verify(temporary)
        os.replace(temporary, target)
    _sync_folder(target.parent)


@contextlib.contextmanager
def _new_file(target: Path, path: str | os.PathLike[str]) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file beside `target`, which is renamed in here, or else taken away.

    Its name is always the same, so that what a killed process left is found and goes. A lock tells
    that from a file that another process is writing now; beside that one it has a name of its own.
    """
    temporary, holder, ours = beside(target, ".tmp"), None, False
    try:
        holder = _taken(temporary)
        if holder is None:
            temporary = beside(target, f"-{secrets.token_hex(8)}.tmp")
        ours = True
        with open(temporary, "x+b" if holder is None else "r+b") as file:
            yield temporary, file
    except BaseException as error:
        if ours:  # before that, the file of this name may be another process's
            with contextlib.suppress(OSError):  # where it could not be made, it need not go
                temporary.unlink()
        told = _told(error, path, temporary.parent)
        if told is error:
            raise
        raise told from error
    finally:
        if holder is not None:
            os.close(holder)


def _taken(temporary: Path) -> int | None:
    """What holds the lock of this file, which is new; None where another process or user has it."""
    with contextlib.suppress(BlockingIOError, FileExistsError, FileNotFoundError, PermissionError):
        if temporary.exists() and (stale := lock(temporary)) is not None:
            try:
                temporary.unlink()
            finally:
                os.close(stale)
        open(temporary, "xb").close()
        if (holder := lock(temporary)) is None:  # nobody could tell it from what was left
            temporary.unlink()
        return holder
    return None


def _told(error: BaseException, path: str | os.PathLike[str], folder: Path) -> BaseException:
    """The error in words that say what to do, where its cause is one that is known."""
    if not isinstance(error, OSError):
        return error
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermissionError(
            f"cannot write {path}: the folder {folder} is read-only; use another"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OSError(
            error.errno,
            f"cannot write {path}: {os.strerror(error.errno)}; make room in {folder}, or use "
            "another",
        )
    if error.errno == errno.EFBIG:
        return OSError(
            error.errno,
            f"cannot write {path}: {os.strerror(error.errno)} for this process or file system; "
            "raise its limit (ulimit -f), or use another folder",
        )
    return error


def writable_target(path: str | os.PathLike[str]) -> Path:
    """The real file that `path` names, once it is known that a file can be written there."""
    try:
        target = check_path(path).resolve()
    except RuntimeError as error:  # Python 3.11 and 3.12 on a loop of symbolic links
        raise OSError(f"cannot write {path}: its symbolic links form a loop") from error
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; name a file inside it")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"cannot write {path}: there is no folder {target.parent}; create it first"
        )
    if target.exists():
        if not target.is_file():
            raise OSError(f"cannot write {path}: it is not a regular file; choose another name")
        # os.replace asks the folder only, so a protected file has to be respected here.
        if not target.stat().st_mode & 0o222 or not os.access(target, os.W_OK):
            raise PermissionError(
                f"cannot write {path}: it is read-only; make it writable or use another name"
            )
    return target


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk, where the system lets this folder be synchronised."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # one that may not be listed cannot be opened either
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def refuse_same_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Refuse to write the file that is being read, under whatever name, link or hard link.

    Raises
    ------
    ValueError
        `source` and `target` are one file.

    Examples
    --------
    >>> from sparsecode._files import refuse_same_file
    >>> refuse_same_file("model.npz", "folder/../model.npz")
    Traceback (most recent call last):
        ...
    ValueError: the output folder/../model.npz is the input model.npz; write to another name
    """
    try:
        same = os.path.samefile(source, target)
    except OSError:  # one of them does not exist yet
        same = os.path.realpath(source) == os.path.realpath(target)
    if same:
        raise ValueError(f"the output {target} is the input {source}; write to another name")


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write JSON, whole or not at all; what is no number of JSON's is an error."""
    text = json.dumps(content, indent=1, allow_nan=False).encode()

    def write_to(file: BinaryIO) -> None:
        file.write(text)

    atomic_write(path, write_to)
