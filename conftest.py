"""For the tests and for the doctests of the package alike: caches, and processes to run in.

The whole suite, `pytest` without a path, runs in as many processes as there are cores, at most
four: each imports and compiles for itself. `-n 0`, a path, or no pytest-xdist: in this one.
"""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# Before anything imports matplotlib or asks for the cache folder. A child process inherits both.
os.environ["MPLBACKEND"] = "Agg"
_cache = tempfile.TemporaryDirectory(prefix="sparsecode-tests-", ignore_cleanup_errors=True)
os.environ["SPARSECODE_CACHE"] = str(Path(_cache.name))

if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # and before anything loads BLAS or numba
    share = CORES // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))
    # Two processes that add to one index of numba's at once may both write the same file.
    kernels = os.environ.get("NUMBA_CACHE_DIR", Path(__file__).parent / ".pytest_cache" / "numba")
    os.environ["NUMBA_CACHE_DIR"] = str(Path(kernels, worker))


@pytest.hookimpl(tryfirst=True)  # before that of xdist, which reads these
def pytest_cmdline_main(config: pytest.Config) -> None:
    if (
        config.pluginmanager.has_plugin("xdist")
        and not hasattr(config, "workerinput")
        and config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and config.option.numprocesses is None
        and config.option.dist == "no"
        and not config.option.usepdb
    ):
        config.option.numprocesses = min(4, CORES)
        config.option.dist = "worksteal"


# Files without tests that import what an extra installs; they would be read for doctests.
collect_ignore = [
    path
    for library, path in (
        ("torch", "sparsecode/layers/torch/_modules.py"),
        ("onnx", "tests/helpers/onnx_models.py"),
    )
    if not find_spec(library)
]
collect_ignore.append("tests/trust/fuzzing/engine.py")  # instruments whatever it imports
