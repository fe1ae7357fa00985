"""Runs that are killed, at any moment: nothing is lost, and the next run gives the same bytes."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sparsecode._files import atomic_write
from sparsecode._locks import beside
from sparsecode.layers.formats import write_tensors

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")

COMMAND = [
    "compress", "net.npz", "-o", "out.safetensors", "--calibration", "acts.npz",
    "--method", "low_rank,sparse", "--budget", "0.4", "--report", "page.html",
]  # fmt: skip
OUTPUTS = ("out.safetensors", "out.safetensors.manifest.json", "page.html")
KILLS = 100


@pytest.fixture
def folder(tmp_path):
    """A network and inputs of its layers."""
    rng = np.random.default_rng(0)
    source = tmp_path / "source"
    source.mkdir()
    names = [f"layer.{i}" for i in range(2)]
    net = {name: rng.standard_normal((32, 48)).astype(np.float32) for name in names}
    write_tensors(source / "net.npz", net)
    write_tensors(source / "acts.npz", {n: rng.standard_normal((64, 48)) for n in names})
    return source


def whole_or_absent(left, whole):
    """Nothing in the folder but whole files, and what the package hides or resumes from."""
    for name, found in left.items():
        hidden = name.startswith(".sparsecode-") and name.endswith((".tmp", ".lock"))
        if not hidden and name != "out.safetensors.checkpoint":
            assert found == whole[name], name
    assert {"net.npz", "acts.npz"} <= set(left)


def is_done(left):
    """Whether all that the run was to write is written, and its checkpoint is away."""
    return set(OUTPUTS) <= set(left) and "out.safetensors.checkpoint" not in left


def test_an_error_in_a_forked_run_ends_it(tmp_path):
    """It has a status that no run has, where it would otherwise go on as the process it left."""
    code = "import nursery as n; print(n.forked(n.Path('none'), [], n.nothing)); print('once')"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "70\nonce\n"


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing(folder):
    """The runs are forked from one process that has imported the package; see `nursery`."""
    nursery = [sys.executable, Path(__file__).parent / "nursery.py", folder, "0", str(KILLS)]
    run = subprocess.run([*nursery, *COMMAND], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    first, *lines = (json.loads(line) for line in run.stdout.splitlines())
    whole = first["whole"]
    assert set(whole) == {"net.npz", "acts.npz", *OUTPUTS}
    killed = [line for line in lines if "missed" not in line]
    assert all(line["status"] == 0 for line in lines if "missed" in line)
    assert len(killed) == KILLS
    for line in killed:
        whole_or_absent(line["left"], whole)
        if is_done(line["left"]):  # but for the claims: the command is refused without --force
            visible = {n: h for n, h in line["then"].items() if not n.startswith(".sparsecode-")}
            assert (line["status"], visible) == (2, whole), line
        else:
            assert (line["status"], line["then"]) == (0, whole), line
    begun = sum("out.safetensors.checkpoint" in line["left"] for line in killed)
    written = sum(any(name in line["left"] for name in OUTPUTS) for line in killed)
    print(f"{KILLS} kills, {begun} with a checkpoint, {written} with some of the outputs there")
    assert begun > KILLS / 2


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("n_files", [1, 12])
def test_a_process_of_its_own_is_killed_and_its_command_given_again(folder, n_files):
    """The whole command, from a shell's point of view, killed with work in the checkpoint."""
    argv = [sys.executable, "-m", "sparsecode", *COMMAND]
    checkpoint = folder / "out.safetensors.checkpoint"
    before = digests(folder)
    process = subprocess.Popen(argv, cwd=folder, stderr=subprocess.DEVNULL)
    while process.poll() is None and (
        not checkpoint.is_dir() or len(os.listdir(checkpoint)) < n_files
    ):
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    for name, digest in before.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    kept = {p.name for p in checkpoint.iterdir() if not p.name.startswith(".")}
    assert len(kept) >= n_files - 1
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    resumed = digests(folder)
    for name in OUTPUTS:
        (folder / name).unlink()
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    assert digests(folder) == resumed
    assert set(resumed) == {*before, *OUTPUTS}


KILLED = """
import os, signal, sys
from pathlib import Path
from sparsecode._files import atomic_write

def write_to(file):
    file.write(b"half of it")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

atomic_write(sys.argv[1], write_to)
"""


def test_what_a_killed_write_left_goes_with_the_next(tmp_path):
    path = tmp_path / "answer"
    path.write_bytes(b"old")
    run = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert run.returncode == -signal.SIGKILL
    left = beside(path, ".tmp")
    assert left.read_bytes() == b"half of it"
    assert path.read_bytes() == b"old"
    atomic_write(path, lambda file: file.write(b"new") and None)
    assert os.listdir(tmp_path) == ["answer"]
    assert path.read_bytes() == b"new"


def test_two_writers_of_one_file_at_once_do_not_disturb_each_other(tmp_path):
    """The name that leftovers are found by is taken; the other writer has one of its own."""
    path = tmp_path / "answer"

    def outer(file):
        file.write(b"outer")
        file.flush()
        atomic_write(path, lambda inner: inner.write(b"inner") and None)
        assert path.read_bytes() == b"inner"
        assert len(os.listdir(tmp_path)) == 2

    atomic_write(path, outer)
    assert path.read_bytes() == b"outer"
    assert os.listdir(tmp_path) == ["answer"]
