"""Writing whole or not at all, under every kind of interruption."""

import os
import stat

import pytest

from sparsecode import _files
from sparsecode._files import atomic_write, refuse_same_file
from sparsecode._locks import beside


def put(content):
    return lambda file: file.write(content) and None


def test_a_new_file_and_a_replaced_one(tmp_path):
    path = tmp_path / "a.bin"
    atomic_write(path, put(b"one"))
    assert path.read_bytes() == b"one"
    atomic_write(str(path), put(b"two"))
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, OSError])
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("stage", ["write", "verify", "fsync", "replace"])
def test_an_interruption_leaves_the_old_file_or_none(tmp_path, monkeypatch, error, exists, stage):
    path = tmp_path / "a.bin"
    if exists:
        path.write_bytes(b"old")

    def fail(*args):
        raise error("interrupted")

    def write_half(file):
        file.write(b"half")
        file.flush()
        fail()

    if stage in ("fsync", "replace"):
        monkeypatch.setattr(os, stage, fail)
    with pytest.raises(error, match="interrupted"):
        atomic_write(
            path,
            write_half if stage == "write" else put(b"new"),
            verify=fail if stage == "verify" else None,
        )
    assert os.listdir(tmp_path) == (["a.bin"] if exists else [])
    assert not exists or path.read_bytes() == b"old"


def test_verify_sees_the_finished_bytes_before_the_name_is_taken(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    seen = []

    def verify(new):
        seen.append((new.parent, new.read_bytes(), path.read_bytes()))

    atomic_write(path, put(b"new"), verify=verify)
    assert seen == [(tmp_path.resolve(), b"new", b"old")]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_of_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / "a.bin", put(b"x"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o666 & ~umask


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "private.bin"
    path.write_bytes(b"old")
    path.chmod(0o600)
    atomic_write(path, put(b"new"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a.bin")
    for content in (b"one", b"two"):  # a dangling link first
        atomic_write(tmp_path / "link", put(content))
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "a.bin").read_bytes() == content
    assert os.listdir(tmp_path / "real") == ["a.bin"]


def test_what_cannot_be_written_is_said_clearly(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*create it first"):
        atomic_write(tmp_path / "none" / "a.bin", put(b"x"))
    with pytest.raises(IsADirectoryError, match="it is a folder; name a file inside it"):
        atomic_write(tmp_path, put(b"x"))
    with pytest.raises(OSError, match="not a regular file"):
        atomic_write(os.devnull, put(b"x"))
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match=r"loop|Too many levels"):
        atomic_write(tmp_path / "a", put(b"x"))


def test_a_read_only_file_or_folder_is_respected(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="it is read-only"):
        atomic_write(path, put(b"new"))
    assert path.read_bytes() == b"old"

    def refuse(*args, **kwargs):  # a superuser may write into any folder, so the system is played
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError, match=r"the folder .* is read-only; use another"):
        atomic_write(tmp_path / "b.bin", put(b"x"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, PermissionError])
def test_the_new_file_of_another_process_stays(tmp_path, monkeypatch, error):
    """Whatever happens while it is found out whose it is; another user's may not be opened."""
    theirs = beside(tmp_path.resolve() / "a.bin", ".tmp")
    theirs.write_bytes(b"theirs")

    def fail(path):
        raise error(13, "Permission denied")

    monkeypatch.setattr(_files, "lock", fail)
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            atomic_write(tmp_path / "a.bin", put(b"ours"))
    else:
        atomic_write(tmp_path / "a.bin", put(b"ours"))
        assert (tmp_path / "a.bin").read_bytes() == b"ours"
    assert theirs.read_bytes() == b"theirs"
    assert set(os.listdir(tmp_path)) <= {theirs.name, "a.bin"}


def test_a_folder_that_may_not_be_listed_can_be_written(tmp_path, monkeypatch):
    def listless(path, *args, **kwargs):  # a superuser may list any folder
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    opened = os.open
    monkeypatch.setattr(os, "open", listless)
    for content in (b"one", b"two"):
        atomic_write(tmp_path / "a.bin", put(content))
        assert (tmp_path / "a.bin").read_bytes() == content


def test_one_file_under_any_name_is_refused(tmp_path):
    source = tmp_path / "a.bin"
    source.write_bytes(b"x")
    (tmp_path / "link").symlink_to(source)
    os.link(source, tmp_path / "hard")
    (tmp_path / "folder").mkdir()
    for target in (source, tmp_path / "link", tmp_path / "hard", tmp_path / "folder/../a.bin"):
        with pytest.raises(ValueError, match="write to another name"):
            refuse_same_file(source, target)
    (tmp_path / "copy").write_bytes(b"x")
    refuse_same_file(source, tmp_path / "copy")
    refuse_same_file(source, tmp_path / "new")
