"""Data that a model keeps in other files: only regular ones in its own folder are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sparsecode.layers.formats import file_bytes


def outside_bytes(
    entries: Mapping[str, str],
    folder: Path,
    n_bytes: int | None,
    what: str,
    room: int | None = None,
) -> bytes:
    """The bytes of a tensor that are in another file of the model's folder.

    `entries` name the file, and where in it they begin and how many there are; `n_bytes` is how
    many there have to be, and `room` how many there may be.
    """
    path = _inside(entries.get("location", ""), folder, what)
    size = file_bytes(path)
    offset = _count(entries.get("offset", "0"), what)
    length = _count(entries.get("length", str(size - offset if n_bytes is None else n_bytes)), what)
    if n_bytes not in (None, length):
        raise ValueError(f"{what} takes {n_bytes} bytes and declares {length} outside the file")
    if offset + length > size:
        raise ValueError(f"{what} ends outside {path.name[:80]!r}, which has {size} bytes")
    if room is not None and length > room:
        raise ValueError(f"{what} brings it over the limit; raise max_bytes")
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


def _count(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ValueError(f"{what} has the offset or length {text[:80]!r}")
    return int(text)


def _inside(location: str, folder: Path, what: str) -> Path:
    """The file of that name in the folder: no link on the way to it, and nothing above."""
    parts = location.split("/")
    if (
        not location
        or any(part in ("", ".", "..") for part in parts)
        or any(character in location for character in "\\:\0")
    ):
        raise ValueError(
            f"{what} is in {location[:80]!r}, which is no plain path below the model's folder"
        )
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise ValueError(f"{what} is in {location[:80]!r}, which goes through a symbolic link")
    if not path.is_file():
        raise ValueError(f"{what} is in {location[:80]!r}, and there is no such file")
    return path
