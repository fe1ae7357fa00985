"""What `.ci/run` asks of files, one function a question; each raises SystemExit with the answer."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_command() -> None:
    """Print the command between the README's `test-command` comments, the one readers copy."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(
        r"<!-- test-command -->\s*```\w*\n(.+?)\n```\s*<!-- /test-command -->", readme, re.DOTALL
    )
    if block is None:
        raise SystemExit("README.md has no fenced block between the test-command comments")
    print(block[1])


def lowest() -> None:
    """Print every required and test dependency pinned to its lower bound in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in project["dependencies"] + project["optional-dependencies"]["test"]:
        pinned = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
        if pinned is None:
            raise SystemExit(f"{requirement!r} in pyproject.toml is not of the form name>=version")
        print(f"{pinned[1]}=={pinned[2]}")


def wheel(path: str) -> None:
    """The wheel holds every tracked file of the package, its metadata, and nothing else."""
    packed = set(zipfile.ZipFile(path).namelist())
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "sparsecode"]
    tracked = set(subprocess.check_output(listing, text=True).split("\0")) - {""}
    strangers = {n for n in packed if not re.match(r"sparsecode(-[^/]+\.dist-info)?/", n)}
    missing = (tracked | {"sparsecode/py.typed"}) - packed
    tests = {n for n in packed if re.search(r"/(tests?/|test_|conftest)", n)}
    if strangers or missing or tests:
        raise SystemExit(f"{path}: should not be in it {strangers | tests}, is missing {missing}")


def report(path: str) -> None:
    """The HTML report is one file: whatever it loads is inside it."""
    html = Path(path).read_text(encoding="utf-8")
    loads = r"""(?:\b(?:src|srcset|href|data|poster|action)\s*=\s*|\burl\(\s*|@import\s+)["']?\s*"""
    remote = re.findall(loads + r"((?:https?:)?//[^\s\"')>]+)", html, re.IGNORECASE)
    if remote:
        raise SystemExit(f"{path} loads remote assets: {', '.join(sorted(set(remote)))}")


def light_import(path: str) -> None:
    """A `python -X importtime` log names no module that takes long to import."""
    imported = re.findall(
        r"\|\s*([\w.]+)$", Path(path).read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    heavy = {name.partition(".")[0] for name in imported} & {"numba", "sklearn"}
    if heavy or not any(name.partition(".")[0] == "sparsecode" for name in imported):
        raise SystemExit(f"the command line imported {sorted(heavy) or 'nothing of sparsecode'}")


if __name__ == "__main__":
    {f.__name__: f for f in (test_command, lowest, wheel, report, light_import)}[sys.argv[1]](
        *sys.argv[2:]
    )
