"""Write ``user_guide/licences.inc``: the licences of the dependencies in ``pyproject.toml``.

``python docs/licences.py``, where all extras are installed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

DOCS = Path(__file__).resolve().parent
TABLE = DOCS / "user_guide" / "licences.inc"
_HEAD = ".. list-table::\n   :header-rows: 1\n\n"
UNSTATED = {"atheris": "Apache-2.0"}  # by the text that comes with it, not by its metadata
_NAME = re.compile(r"[\w.-]+")


def dependencies() -> dict[str, list[str]]:
    """Each one by name, with the extras that bring it; ``required`` for those of everybody."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, list[str]] = {}
    groups = {"required": project["dependencies"], **project["optional-dependencies"]}
    for group, requirements in groups.items():
        for requirement in requirements:
            found.setdefault(_name(requirement), []).append(group)
    for name in brought_along(found):
        found.setdefault(name, []).append("brought along")
    return found


def brought_along(found: dict[str, list[str]]) -> Iterator[str]:
    """What the required ones require themselves, here, where it is installed."""
    from packaging.requirements import Requirement

    todo, seen = [name for name, groups in found.items() if "required" in groups], set[str]()
    while todo:
        for text in metadata.requires(todo.pop()) or ():
            requirement = Requirement(text)
            name = requirement.name
            if name.lower() in seen or not (
                requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            ):
                continue
            seen.add(name.lower())
            todo.append(name)
            if name.lower() not in map(str.lower, found):
                yield name


def licence(name: str) -> str:
    """What the installed distribution says, shortest first: an expression, classifiers, or text."""
    about = metadata.metadata(name)
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in about.get_all("Classifier", [])
        if text.startswith("License :: OSI Approved ::")
    ]
    said = about.get("License-Expression") or ", ".join(classifiers) or about.get("License")
    return (said or UNSTATED.get(name, "not stated")).strip().splitlines()[0]


def table(rows: dict[str, tuple[str, str]]) -> str:
    """The rows as reStructuredText."""
    lines = [("package", "licence", "needed by"), *((name, *row) for name, row in rows.items())]
    return _HEAD + "".join("   * - {}\n     - {}\n     - {}\n".format(*line) for line in lines)


def read(text: str) -> dict[str, tuple[str, str]]:
    """The inverse of `table`."""
    rows = re.findall(r"   \* - (.*)\n     - (.*)\n     - (.*)\n", text)[1:]
    return {name: (said, groups) for name, said, groups in rows}


def _name(requirement: str) -> str:
    found = _NAME.match(requirement)
    assert found is not None
    return found[0]


if __name__ == "__main__":
    found = dependencies().items()
    TABLE.write_text(table({name: (licence(name), ", ".join(by)) for name, by in found}), "utf-8")
