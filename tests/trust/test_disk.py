"""Disks that are full, files that may not be large, folders that cannot be written, shared names.

In each case there is one sentence that names the file, and everything that was there still is.
"""

import contextlib
import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from sparsecode import layers
from sparsecode._files import write_json
from sparsecode._locks import beside, claimed
from sparsecode._phase_cells import Cells
from sparsecode.cli import main
from sparsecode.datasets._networks import _write_network
from sparsecode.layers.checkpoint import Checkpoint
from sparsecode.layers.formats import write_tensors
from sparsecode.layers.html import write_page

resource = pytest.importorskip("resource")
ROOM = 8192  # bytes of the small disk, and of the largest file
LARGE = 40_000  # bytes at least of what is written to it


def tensors():
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal((64, 80)).astype(np.float32) for name in "ab"}


def small():
    return layers.compress(tensors(), 0.5, methods="uniform")


def cells(path):
    found = Cells(None, (1, 2, 3), 0.5)
    found.path = path
    found.counts = {(m, 1): 1 for m in range(LARGE // 8)}
    found.add((0, 0), 1)


# A new thing that writes a file is tested by being listed: a suffix, and how.
WRITERS = {
    "tensors, npz": (".npz", lambda path: write_tensors(path, tensors())),
    "tensors, safetensors": (".safetensors", lambda path: write_tensors(path, tensors())),
    "network": (".npz", lambda path: layers.Network(tensors()).write(path)),
    "compressed, npz": (".npz", lambda path: small().write(path)),
    "compressed, safetensors": (".safetensors", lambda path: small().write(path)),
    "json": (".json", lambda path: write_json(path, ["x" * LARGE])),
    "page": (".html", lambda path: write_page(path, "x" * LARGE)),
    "phase transition": (".json", cells),
}


@contextlib.contextmanager
def disk(folder, options):
    """A small file system in memory, mounted there; skipped without the right to do so."""
    folder.mkdir()
    run = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    )
    if run.returncode:
        pytest.skip("may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def nothing_larger(n_bytes):
    """A limit on the size of files, which any user can have."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def check_kept(folder, path, write, words):
    """The error is a sentence that names the file, whose old bytes stay, with nothing beside it."""
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=words) as raised:
        write(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(folder) == [path.name]


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_larger_than_the_limit_is_said_and_nothing_is_lost(tmp_path, name):
    suffix, write = WRITERS[name]

    def limited(path):
        with nothing_larger(ROOM):
            write(path)

    check_kept(tmp_path, tmp_path / f"a{suffix}", limited, r"File too large.*ulimit -f")


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path):
    with disk(tmp_path / "disk", f"size={ROOM}") as folder:
        for suffix, write in WRITERS.values():
            path = folder / f"a{suffix}"
            check_kept(folder, path, write, r"No space left.*make room in")
            path.unlink()
        _write_network(folder / "cache.npz", tensors())  # a cache is not worth an error
        assert os.listdir(folder) == []


def test_a_disk_that_is_read_only_is_said(tmp_path):
    with disk(tmp_path / "disk", "size=1m") as folder:
        (folder / "old").write_bytes(b"old")
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        for suffix, write in WRITERS.values():
            with pytest.raises(PermissionError, match="read-only; use another"):
                write(folder / f"a{suffix}")
        with pytest.raises(OSError, match=r"ead-only"):
            Checkpoint(folder / "checkpoint")
        with pytest.raises(PermissionError, match="is a read-only folder; name another"):
            Checkpoint(folder)
        _write_network(folder / "cache.npz", tensors())
        assert os.listdir(folder) == ["old"]


def test_a_checkpoint_that_is_a_file_is_refused_before_the_work(tmp_path):
    (tmp_path / "c").write_bytes(b"mine")
    with pytest.raises(NotADirectoryError, match="is a file; name a folder"):
        layers.compress(tensors(), 0.5, methods="low_rank", checkpoint=tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == b"mine"


# The commands

COMMANDS = {
    "compress": ["compress", "net.npz", "--method", "uniform", "--budget", "0.5", "-o"],
    "expand": ["expand", "small.npz", "-o"],
    "frontier": ["frontier", "net.npz", "--method", "uniform", "-o"],
    "decompose": ["decompose", "M.npy", "-o"],
}
SUFFIXES = {"frontier": ".html"}
INPUTS = ["net.npz", "small.npz", "M.npy"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with inputs of all commands."""
    write_tensors(tmp_path / "net.npz", tensors())
    small().write(tmp_path / "small.npz")
    M = np.outer(np.arange(1.0, 61), np.ones(60))
    M[3, 4] += 50
    np.save(tmp_path / "M.npy", M)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def refused(capsys, argv, *words):
    """The command fails with one line that says so, and no file comes, goes or changes."""
    status = main([str(word) for word in argv])
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line and "..." not in line]
    assert status == 2
    assert len(lines) == 1, err
    for word in words:
        assert str(word) in lines[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_on_a_disk_without_room(capsys, folder, name):
    before = contents(folder)
    out = f"out{SUFFIXES.get(name, '.npz')}"
    with nothing_larger(4096):
        refused(capsys, [*COMMANDS[name], out], "File too large", "out")
    assert contents(folder) == before
    assert main([*COMMANDS[name], out]) == 0  # with room again
    assert not list(folder.glob(".sparsecode-*"))
    assert set(contents(folder)) - set(before) <= {out, f"{out}.manifest.json"}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_writes_its_input_under_any_name(capsys, folder, name):
    argv = COMMANDS[name]
    source = folder / argv[1]
    (folder / "link").symlink_to(source)
    (folder / "sub").mkdir()
    os.link(source, folder / "hard")
    before = contents(folder)
    for path in (source.name, source, folder / "sub" / ".." / source.name, "link", "hard"):
        refused(capsys, [*argv, path, "--force"], "write to another name")
    if name == "compress":
        for option in ("--report", "--manifest"):
            refused(capsys, [*argv, "out.npz", option, "hard", "--force"], "another name")
    assert contents(folder) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_that_another_run_writes_is_refused(capsys, folder, name):
    out, before = f"out{SUFFIXES.get(name, '.npz')}", contents(folder)
    (folder / f"link{out}").symlink_to(out)
    with claimed(folder / out):
        refused(capsys, [*COMMANDS[name], out, "--force"], "another run is writing", out)
        refused(capsys, [*COMMANDS[name], f"link{out}", "--force"], "another run is writing")
        with claimed(folder / "other"):  # which keeps nobody from other files
            pass
    assert contents(folder) == before


def test_what_a_killed_run_claimed_is_free(folder):
    mark = beside(folder / "out.npz", ".lock")
    mark.touch()
    with claimed(folder / "out.npz"):
        assert mark.exists()
    assert not mark.exists()


def test_a_file_system_without_locks_keeps_no_claim(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("sparsecode._locks.fcntl.flock", refuse)
    with claimed(tmp_path / "out.npz"):
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []


def test_a_symlinked_output_stays_a_link(capsys, folder):
    (folder / "real").mkdir()
    (folder / "out.npz").symlink_to(folder / "real" / "there.npz")
    assert main([*COMMANDS["compress"], "out.npz"]) == 0
    assert (folder / "out.npz").is_symlink()
    assert os.listdir(folder / "real") == ["there.npz"]
    assert not list(folder.glob("*.checkpoint"))
    layers.read_compressed(folder / "real" / "there.npz")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_in_no_folder_is_refused_before_the_work(capsys, folder, name):
    before = contents(folder)
    refused(capsys, [*COMMANDS[name], "none/out.npz"], "there is no folder", "create it first")
    (folder / "dangling").symlink_to("none/out.npz")
    refused(capsys, [*COMMANDS[name], "dangling"], "there is no folder")
    assert contents(folder) == before


def test_a_file_that_came_while_it_worked_is_not_replaced(capsys, folder, monkeypatch):
    """By another program, which claims nothing: what it wrote is not lost without --force."""
    (folder / "out.npz.checkpoint").mkdir()  # a run was killed, so what exists may be its own
    (folder / "out.npz").write_bytes(b"mine")
    refused(capsys, [*COMMANDS["compress"], "out.npz"], "out.npz exists, and is not what")
    assert (folder / "out.npz").read_bytes() == b"mine"
    assert any((folder / "out.npz.checkpoint").iterdir())  # with --force nothing is fitted again
    assert main([*COMMANDS["compress"], "out.npz", "--force"]) == 0
    assert not (folder / "out.npz.checkpoint").exists()


def test_a_wrong_command_does_not_lose_what_an_interrupted_one_did(capsys, folder):
    kept = folder / "out.npz.checkpoint"
    kept.mkdir()
    work = kept / f"{'0' * 64}.json"
    work.write_bytes(b"of hours")
    refused(capsys, [*COMMANDS["compress"], "out.npz", "--exclude", "nobody"], "nobody")
    assert work.read_bytes() == b"of hours"


@pytest.mark.slow
def test_two_processes_at_once_on_one_output(folder):
    argv = [sys.executable, "-m", "sparsecode", *COMMANDS["compress"], "out.npz"]
    runs = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [run.communicate()[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 2], errors
    (told,) = [text for text, run in zip(errors, runs, strict=True) if run.returncode == 2]
    assert "another run is writing" in told or "exists; add --force" in told
    assert not list(folder.glob(".sparsecode-*"))
    layers.read_compressed(folder / "out.npz")
