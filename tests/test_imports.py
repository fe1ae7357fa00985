"""Imports point down only, and a few names stay out of the package: read from the source itself."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sparsecode

PACKAGE = Path(sparsecode.__file__).parent

# From the ground up. A room may import what stands on a lower line, never on its own or above.
# The root modules with an underscore lie under all of them, and rest on nothing of ours but
# each other. `datasets` rests on nothing of ours either, so it is on the ground.
LEVELS = [
    {"penalties", "operators", "datasets"},
    {"objectives"},
    {"solvers", "theory"},
    {"images"},
    {"plotting"},
    {"layers"},
    {"estimators"},
    {"cli"},
    {"__init__", "__main__"},
]
HEIGHT = {room: height for height, rooms in enumerate(LEVELS) for room in rooms}

# The libraries of the rooms that are held to a few; the others take what design and cost allow.
LIBRARIES = {
    "_kernels": {"numpy", "numba"},
    "datasets": {"numpy", "scipy", "sklearn"},
    "penalties": {"numpy", "scipy"},
    "objectives": {"numpy", "scipy"},
    "operators": {"numpy", "scipy", "pywt"},
}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported; `from a import b` is ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def height(room: str) -> int:
    return -1 if room.startswith("_") and room not in HEIGHT else HEIGHT[room]


def import_faults(path: Path, tree: ast.AST) -> Iterator[str]:
    """`path` is relative to the package."""
    room = path.parts[0].removesuffix(".py")
    in_kernels = "_kernels" in path.parts
    libraries = LIBRARIES.get("_kernels" if in_kernels else room)
    for line, name in imports(tree):
        top, *rest = name.split(".")
        where = f"{path}:{line}: {name}"
        if name.startswith("."):
            yield f"{where} is relative"
        elif top == "sklearn" and any(p.startswith("_") and not p.endswith("__") for p in rest):
            yield f"{where} is private to scikit-learn"
        elif top == "sparsecode":
            yield from (f"{where} {fault}" for fault in own_faults(room, rest, in_kernels))
        elif libraries is not None and top not in libraries | sys.stdlib_module_names:
            yield f"{where} is not one of {sorted(libraries)}"


def own_faults(room: str, rest: list[str], in_kernels: bool) -> Iterator[str]:
    # A name that is no room is an attribute of the lazy top level; `__version__` costs nothing.
    named = rest[0] if rest else "__init__"
    target = named if named in HEIGHT or named.startswith("_") else "__init__"
    if in_kernels:
        # A callee edited in another file leaves a stale cache; the decorator is in the package.
        kernels = {file.stem for file in (PACKAGE / "solvers/_kernels").glob("*.py")}
        if rest[:2] != ["solvers", "_kernels"] or len(rest) != 3 or rest[2] in kernels:
            yield "is not the kernels' own decorator"
    elif room == "__init__" or rest == ["__version__"]:
        return
    elif target != room and height(target) >= height(room) >= 0:
        yield f"points up or sideways from {room}"
    elif height(room) < 0 <= height(target):
        yield f"points up from {room}, which lies under every room"


def word_faults(path: Path, tree: ast.AST) -> Iterator[str]:
    """What reads pickles, and numba's threads, which abort under Python's and hang after a fork."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "parallel"):
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield f"{path}:{node.lineno}: {node.arg} may only be False"
        elif isinstance(node, ast.alias | ast.Attribute | ast.Name):
            fields = (getattr(node, field, "") for field in ("name", "attr", "id"))
            if any(str(field).split(".")[-1] == "prange" for field in fields):
                yield f"{path}:{node.lineno}: prange"


def faults(path: Path, source: str) -> list[str]:
    tree = ast.parse(source)
    return [*import_faults(path, tree), *word_faults(path, tree)]


SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_point_down(path: Path) -> None:
    assert faults(path, (PACKAGE / path).read_text(encoding="utf-8")) == []


def test_every_room_has_a_place() -> None:
    rooms = {path.parts[0].removesuffix(".py") for path in SOURCES}
    assert {room for room in rooms if not room.startswith("_")} <= set(HEIGHT)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("penalties.py", "from sparsecode.solvers import omp"),
        ("penalties.py", "def f():\n    import sparsecode.solvers.greedy"),
        ("penalties.py", "from sparsecode import operators"),
        ("penalties.py", "import numba"),
        ("plotting/convergence.py", "from sparsecode import KSVD"),
        ("plotting/convergence.py", "import sparsecode"),
        ("plotting/convergence.py", "from sparsecode.layers.network import Network"),
        ("layers/compress.py", "from sparsecode.estimators import LayerCompressor"),
        ("solvers/greedy.py", "from . import proximal"),
        ("solvers/_kernels/greedy.py", "import scipy.sparse"),
        ("solvers/_kernels/greedy.py", "import sparsecode.solvers._kernels"),
        ("solvers/_kernels/greedy.py", "from sparsecode._threads import tiles"),
        ("solvers/_kernels/greedy.py", "from sparsecode.solvers._kernels.coordinate import f"),
        ("solvers/_kernels/greedy.py", "from sparsecode.solvers._kernels import coordinate"),
        ("solvers/_kernels/greedy.py", "@njit(parallel=True)\ndef f(): pass"),
        ("solvers/_kernels/greedy.py", "from numba import prange"),
        ("solvers/_kernels/greedy.py", "import numba\nnumba.prange(3)"),
        ("datasets/_images.py", "import matplotlib"),
        ("datasets/_images.py", "from sparsecode.solvers import omp"),
        ("_files.py", "from sparsecode.operators import dct"),
        ("estimators/ksvd.py", "from sklearn.utils._param_validation import Interval"),
        ("estimators/ksvd.py", "from sklearn.base import _fit_context"),
        ("layers/formats/npz.py", "np.load(file, allow_pickle=True)"),
    ],
)
def test_a_fault_is_found(path: str, source: str) -> None:
    assert len(faults(Path(path), source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("solvers/greedy.py", "from sparsecode.solvers._kernels.greedy import f"),
        ("solvers/_kernels/greedy.py", "from sparsecode.solvers._kernels import compiled"),
        ("layers/report.py", "from sparsecode import __version__"),
        ("cli.py", "from sparsecode.layers import compress\nimport rich, argparse"),
        ("estimators/ksvd.py", "import sklearn\nsklearn.__version__"),
        ("_files.py", "from sparsecode._validation import check_int"),
        ("layers/formats/npz.py", "np.load(file, allow_pickle=False)"),
    ],
)
def test_what_points_down_passes(path: str, source: str) -> None:
    assert faults(Path(path), source) == []
