"""The package as a whole: version, types, what an import costs, and the docstrings of all names."""

import dataclasses
import enum
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import sparsecode

ROOT = Path(__file__).parents[1]


def public_modules() -> Iterator[ModuleType]:
    yield sparsecode
    for found in pkgutil.walk_packages(sparsecode.__path__, "sparsecode."):
        if not any(part.startswith("_") for part in found.name.split(".")):
            yield importlib.import_module(found.name)


LISTED = {
    f"{module.__name__}.{name}": (module, name)
    for module in public_modules()
    for name in getattr(module, "__all__", ())
}


def public_objects() -> Iterator[tuple[str, object]]:
    """Each class and function once, under the first name it is listed by, and its own methods."""
    seen = set()
    for full_name, (module, name) in LISTED.items():
        value = getattr(module, name, None)
        if not (inspect.isclass(value) or inspect.isfunction(value)) or id(value) in seen:
            continue
        seen.add(id(value))
        yield full_name, value
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield f"{full_name}.{method}", function


OBJECTS = dict(public_objects())

# Documented at all, with a summary; every parameter there, none that is not, in order, with a type
# and a description; what is returned or yielded, and what it is. The codes are numpydoc's.
EVERYWHERE = {"GL08", "SS01", "SS06", "YD01", "RT02", "RT03"}
PARAMETERS = {"PR01", "PR02", "PR03", "PR04", "PR07", "RT01"}
EXAMPLE = {"EX01"}


def is_record(value: object) -> bool:
    """A result, a named tuple, an enum, an exception, a protocol: what no user constructs."""
    if not inspect.isclass(value):
        return False
    methods = [n for n, f in vars(value).items() if inspect.isfunction(f) and n[0] != "_"]
    plain = dataclasses.is_dataclass(value) and not methods
    protocol = getattr(value, "_is_protocol", False) or inspect.isabstract(value)
    return plain or protocol or issubclass(value, tuple | enum.Enum | Exception)


def required_codes(full_name: str) -> set[str]:
    """Methods that many classes share (`prox`, `apply`) are described once, by their protocol."""
    if is_record(OBJECTS[full_name]):
        return EVERYWHERE
    owner = OBJECTS.get(full_name.rpartition(".")[0])
    if dataclasses.is_dataclass(OBJECTS[full_name]):
        return EVERYWHERE | EXAMPLE  # its fields have a test of their own
    if owner is None:
        return EVERYWHERE | PARAMETERS | EXAMPLE
    return EVERYWHERE | PARAMETERS if hasattr(owner, "fit") else EVERYWHERE


def test_the_version_is_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]
    assert metadata.version("sparsecode") == sparsecode.__version__


def test_the_citation_names_this_version_and_licence() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    fields = dict(re.findall(r"^([a-z-]+): (.+)$", citation, flags=re.MULTILINE))
    assert fields["version"] == sparsecode.__version__
    assert fields["license"] == metadata.metadata("sparsecode")["License-Expression"]
    assert fields["cff-version"] == "1.2.0"


def test_the_types_are_for_everybody() -> None:
    assert (Path(sparsecode.__file__).parent / "py.typed").is_file()


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys; old = set(sys.modules); import sparsecode; print(*set(sys.modules) - old)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "sparsecode" in loaded
    assert loaded - {"sparsecode"} <= sys.stdlib_module_names


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Ksvd'; it has .*KSVD.*solvers"):
        sparsecode.Ksvd  # noqa: B018


def test_the_top_level_lists_what_it_has() -> None:
    assert dir(sparsecode) == sorted(sparsecode.__all__)


@pytest.mark.parametrize("full_name", LISTED)
def test_a_listed_name_exists(full_name: str) -> None:
    module, name = LISTED[full_name]
    assert getattr(module, name) is not None


@pytest.mark.parametrize("module", [m for m in public_modules() if hasattr(m, "__all__")], ids=str)
def test_all_lists_a_name_once(module: ModuleType) -> None:
    assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("full_name", OBJECTS)
def test_the_docstring_is_complete(full_name: str) -> None:
    required = required_codes(full_name)
    errors = validate(full_name)["errors"]
    assert [f"{code}: {message}" for code, message in errors if code in required] == []


@pytest.mark.parametrize(
    "full_name", [n for n, v in OBJECTS.items() if dataclasses.is_dataclass(v)]
)
def test_the_fields_of_a_dataclass_are_documented(full_name: str) -> None:
    documented = set()
    for ancestor in inspect.getmro(OBJECTS[full_name]):
        doc = NumpyDocString(inspect.cleandoc(vars(ancestor).get("__doc__") or ""))
        for entry in [*doc["Parameters"], *doc["Attributes"]]:
            documented.update(re.split(r",\s*", entry.name))
    fields = {f.name for f in dataclasses.fields(OBJECTS[full_name]) if f.name[0] != "_"}
    assert fields <= documented
