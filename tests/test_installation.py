"""As it is installed: what a beginning costs, where nothing may be written, licences."""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

import sparsecode

ROOT = Path(__file__).parents[1]
N_TRIALS = 3  # of which the best counts: a busy machine only ever adds


def ratios(code: str, **environment: str) -> list[float]:
    """The numbers that new processes print, the least of each."""
    command = [sys.executable, "-c", code]
    env = os.environ | environment
    texts = [
        subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
        for _ in range(N_TRIALS)
    ]
    return [
        min(column) for column in zip(*(map(float, text.split()) for text in texts), strict=True)
    ]


IMPORTS = """
from time import process_time as now
a = now()
import numpy, scipy.sparse.linalg, scipy.linalg
b = now()
import sparsecode
c = now()
import numba, sklearn.base, sklearn.utils.validation
d = now()
import sparsecode.solvers, sparsecode.estimators
e = now()
print((c - b) / (b - a), (e - d) / (d - a))
"""


def test_an_import_costs_little_beside_what_it_imports() -> None:
    bare, everything = ratios(IMPORTS)
    assert bare < 0.1
    assert everything < 0.5


FIRST_CALL = """
from time import process_time as now
import numpy as np
a = now()
import numba, sklearn.base
b = now()
from sparsecode.solvers import sparse_encode
rng = np.random.default_rng(0)
D = rng.standard_normal((8, 6))
X = rng.standard_normal((4, 6))
c = now()
sparse_encode(X, D, n_nonzero_coefs=2)
sparse_encode(X, D, algorithm="lasso", alpha=0.1)
d = now()
print((d - c) / (b - a))
"""


def test_the_first_call_of_a_cached_kernel_costs_no_more_than_importing_numba(tmp_path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    (first,) = ratios(FIRST_CALL, **cache)  # one of the trials compiles, the others do not
    assert any(tmp_path.rglob("*.nbc"))
    assert first < 1


READ_ONLY = """
import numpy as np
import sparsecode
from sparsecode.solvers import sparse_encode
print(sparsecode.__file__)
D = np.array([[3.0, 4.0], [0.0, 2.0]])
print(sparse_encode(np.array([[5.0, 7.0]]), D, n_nonzero_coefs=1).sum())
try:
    open(sparsecode.__file__, "a")
except OSError:
    print("read-only")
"""


@pytest.mark.skipif(os.name == "nt", reason="permissions of folders are those of POSIX")
def test_it_works_where_nothing_can_be_written(tmp_path) -> None:
    copy = tmp_path / "site" / "sparsecode"
    shutil.copytree(
        Path(sparsecode.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    command = [sys.executable, "-W", "error", "-c", READ_ONLY]
    if os.geteuid() == 0:  # who may write everywhere, unless what allows it is taken away
        if not shutil.which("setpriv"):
            pytest.skip("setpriv, which takes its privileges from root, is not there")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    kept = ("PATH", "LANG", "LD_LIBRARY_PATH")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env |= {"HOME": str(tmp_path / "site" / "home"), "PYTHONPATH": str(copy.parent)}
    files = {p: p.stat().st_mtime_ns for p in copy.parent.rglob("*")}
    folders = [copy.parent, *(p for p in copy.parent.rglob("*") if p.is_dir())]
    try:
        for path in files:
            path.chmod(0o555 if path.is_dir() else 0o444)
        copy.parent.chmod(0o555)
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=copy.parent)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert done.stderr == ""
    where, total, written = done.stdout.split()
    assert where == str(copy / "__init__.py")
    assert written == "read-only"
    assert float(total) == pytest.approx(43 / 25)  # of the first atom, which correlates most
    assert {p: p.stat().st_mtime_ns for p in copy.parent.rglob("*")} == files


def test_the_page_of_licences_lists_every_dependency() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        licences = import_module("licences")
    finally:
        sys.path.pop(0)
    rows = licences.read(licences.TABLE.read_text(encoding="utf-8"))
    direct = {
        k: ", ".join(by) for k, by in licences.dependencies().items() if by != ["brought along"]
    }
    assert {k: by for k, (_, by) in rows.items() if by != "brought along"} == direct
    for name, (said, groups) in rows.items():
        assert said != "not stated", name
        if re.search("GPL|General Public", said):
            assert groups == "bench", name
    for name in direct:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if re.search("GPL|General Public", licences.licence(name)):
            assert direct[name] == "bench", name
