"""What a reader opens or changes outside the folder it was given."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod"}
RUNS = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect"}
ROOT = str(Path(__file__).resolve().parents[3])


class Guard:
    """Within `of(folder)`, an error where a file outside it is touched, or something is run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.on = folder, False
        self.inside = os.path.realpath(folder)
        self.code = tuple({ROOT, *map(os.path.realpath, (sys.prefix, sys.base_prefix, "/usr/lib"))})
        sys.addaudithook(self._heed)  # which cannot be taken away again

    @contextmanager
    def of(self, folder: Path) -> Iterator[None]:
        """Watch what is done in this block."""
        self.inside, self.on = os.path.realpath(folder), True
        try:
            yield
        finally:
            self.on = False

    def _heed(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in RUNS or (event in CHANGES and not self._inside(args[0])):
            raise AssertionError(f"{event} {args}")
        if event == "open" and isinstance(args[0], str | bytes) and not self._inside(args[0]):
            flags = args[2] if isinstance(args[2], int) else 0
            reads = flags & (os.O_WRONLY | os.O_RDWR) == 0
            if not reads or not self._is_code(args[0]):
                raise AssertionError(f"opened {args}")

    def _inside(self, path: Any) -> bool:
        return self._real(path).startswith(self.inside)

    def _is_code(self, path: Any) -> bool:
        return self._real(path).startswith((*self.code, "/proc", "/sys", "/etc/mime.types"))

    @staticmethod
    def _real(path: Any) -> str:
        return os.path.realpath(os.fsdecode(path)) if not isinstance(path, int) else ""
