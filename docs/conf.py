"""Sphinx configuration: `sphinx-build -W -n --keep-going -b html docs docs/_build/html`."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import warnings
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

import sparsecode

project = "sparsecode"
author = "The sparsecode developers"
copyright = author
version = release = sparsecode.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "code"  # docstrings write `x` for code
html_theme = "pydata_sphinx_theme"
html_title = f"sparsecode {release}"
html_show_sourcelink = False

# Types are in the numpydoc sections, in words; and nothing here needs a network to be built.
autodoc_typehints = "none"
numpydoc_show_class_members = False

plot_formats = [("png", 150)]
plot_html_show_formats = plot_html_show_source_link = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "ExampleTitleSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "min_reported_time": 1,
}
# An example that warns is an example that misleads.
warnings.simplefilter("error", UserWarning)


def public_names() -> dict[str, list[str]]:
    """Of every public module, the names in its `__all__` that none before it has shown.

    The top level comes first, so an estimator is shown where a user imports it from. A name that
    does not exist is for the tests to refuse, not for the pages.
    """
    found = (room.name for room in pkgutil.iter_modules(sparsecode.__path__, "sparsecode."))
    rooms = ["sparsecode", *(room for room in found if "._" not in room)]
    pages: dict[str, list[str]] = {}
    shown: set[int] = set()
    for room in rooms:
        module = importlib.import_module(room)
        listed = [n for n in getattr(module, "__all__", ()) if f"{room}.{n}" not in rooms]
        names = {n: getattr(module, n) for n in sorted(listed) if hasattr(module, n)}
        new = [n for n, value in names.items() if id(value) not in shown and n[0] != "_"]
        if new:
            pages[room] = new
            shown.update(map(id, names.values()))
    return pages


def write_api(app: Sphinx, config: Config) -> None:
    """Write `generated/NAME.rst` for each public module, and have autosummary read those."""
    folder = Path(app.srcdir) / "generated"
    shutil.rmtree(folder, ignore_errors=True)  # a name that has gone leaves no page behind
    folder.mkdir()
    config.autosummary_generate = []
    for room, names in public_names().items():
        page = folder / f"{room}.rst"
        table = "\n".join(f"   {name}" for name in names)
        page.write_text(
            f"{room}\n{'=' * len(room)}\n\n"
            f".. automodule:: {room}\n   :no-members:\n\n.. currentmodule:: {room}\n\n"
            f".. autosummary::\n   :toctree: names\n   :nosignatures:\n\n{table}\n",
            encoding="utf-8",
        )
        config.autosummary_generate.append(str(page))


def skip_metadata_requests(
    app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """scikit-learn's own methods refer to pages that are not here; its documentation has them."""
    inherited = name in ("set_output", "get_metadata_routing") or name.endswith("_request")
    return True if inherited else None


def setup(app: Sphinx) -> None:
    """Write the pages before autosummary looks for its tables."""
    app.connect("config-inited", write_api)
    app.connect("autodoc-skip-member", skip_metadata_requests)
