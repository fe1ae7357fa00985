"""Reports as one page of HTML that loads nothing: tables, pictures inside it, no remote assets."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, BinaryIO

from sparsecode import __version__
from sparsecode._files import atomic_write, check_path
from sparsecode._text import printable
from sparsecode._validation import check_string, check_strings
from sparsecode.layers.report import CompressionReport, is_numeric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "Table", "png", "render_page", "report_page", "write_page"]

DOTS_PER_INCH = 150
MOST_BARS = 48  # of the largest layers


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a page; columns of numbers are set flush right.

    Attributes
    ----------
    caption : str
        What it shows, and how to read it.
    header : sequence of str
        The names of the columns.
    rows : sequence of sequences of str
        The cells. What a row stands out for has to be said in a cell, too.
    highlighted : frozenset of int
        Rows with a tinted ground.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    highlighted: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of a page.

    Attributes
    ----------
    title : str
        Its heading.
    caption : str
        What to see in it.
    alt : str
        The same for those who do not see it.
    png : bytes
        The picture itself, see `png`.
    """

    title: str
    caption: str
    alt: str
    png: bytes


def png(figure: Figure) -> bytes:
    """Draw a matplotlib figure, whatever the backend is.

    Parameters
    ----------
    figure : matplotlib Figure
        What to draw.

    Returns
    -------
    bytes
        A PNG file.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sparsecode.layers.html import png
    >>> png(Figure(figsize=(1, 1)))[1:4]
    b'PNG'
    """
    if not hasattr(figure, "savefig"):
        raise TypeError(f"figure has to be a matplotlib Figure, got {type(figure).__name__}")
    file = io.BytesIO()
    # Without the name and version of the software equal figures are equal files.
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return file.getvalue()


def render_page(
    *,
    title: str,
    summary: Sequence[str],
    table: Table,
    findings: Sequence[str] = (),
    pictures: Sequence[Picture] = (),
    commands: Sequence[str] = (),
) -> str:
    """Lay out a page: what was done, the table, what follows from it, pictures, how to go on.

    Parameters
    ----------
    title : str
        The title and heading.
    summary : sequence of str
        Paragraphs before the table.
    table : Table
        The numbers.
    findings : sequence of str
        Paragraphs after it.
    pictures : sequence of Picture
        Each with its heading and caption.
    commands : sequence of str
        What to type next.

    Returns
    -------
    str
        HTML. Every text in it is escaped, and it refers to nothing outside itself.

    Examples
    --------
    >>> from sparsecode.layers.html import Table, render_page
    >>> table = Table(caption="Sizes", header=["name", "bytes"], rows=[["<w>", "8"]])
    >>> page = render_page(title="Report", summary=["One layer."], table=table)
    >>> "&lt;w&gt;" in page
    True
    """
    check_string(title, "title")
    for name, texts in {"summary": summary, "findings": findings, "commands": commands}.items():
        check_strings(texts, name)
    if not isinstance(table, Table):
        raise TypeError(f"table has to be a Table, got {type(table).__name__}")
    if not isinstance(pictures, Sequence) or not all(isinstance(p, Picture) for p in pictures):
        raise TypeError(f"pictures has to be a sequence of Picture, got {pictures!r}")
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    text = resources.files("sparsecode.layers").joinpath("report.html.j2").read_text("utf-8")
    columns = list(zip(*table.rows, strict=True))
    return environment.from_string(text).render(
        title=title,
        summary=summary,
        table=table,
        numeric=[is_numeric(column) for column in columns] or [False] * len(table.header),
        findings=findings,
        pictures=pictures,
        commands=commands,
        version=__version__,
    )


def report_page(report: CompressionReport, title: str) -> str:
    """Lay out what a compression cost and what it lost.

    Parameters
    ----------
    report : CompressionReport
        Of a compressed network.
    title : str
        The title and heading.

    Returns
    -------
    str
        HTML, see `render_page`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> from sparsecode.layers.html import report_page
    >>> small = layers.compress({"w": np.eye(64)}, budget=0.5, methods="sparse")
    >>> "64x64" in report_page(small.report, "Eye")
    True
    """
    if not isinstance(report, CompressionReport):
        raise TypeError(f"report has to be a CompressionReport, got {type(report).__name__}")
    header, rows = report.table()
    size, errors = report.summary().split("\n")
    asked = (
        "" if report.budget is None else f"At most {report.budget:.1%} of the bits were asked for. "
    )
    n_layers = "One layer" if len(rows) == 1 else f"{len(rows)} layers"
    kept = (
        f"{n_layers} could be replaced by structures that take fewer bits; a layer whose form is "
        "“dense” was kept as it is."
    )
    found = report.certificate()
    chosen = [f"{found[0].upper()}{found[1:]}."] if found else []
    failed = [
        f"The layer {name}: {reason}. One that all methods fail on is kept as it is."
        for name, reason in report.failures.items()
    ]
    return render_page(
        title=title,
        summary=[f"{asked}The file takes {size}.", kept, *chosen, *failed],
        table=Table(
            caption=f"The layers. Bytes and share are of the whole network. "
            f"{errors[0].upper()}{errors[1:]}; “-” is not known.",
            header=header,
            rows=rows,
        ),
        pictures=_pictures(report),
    )


def _pictures(report: CompressionReport) -> list[Picture]:
    """Bits and errors of the largest layers; none of a file that was read back, without errors."""
    from matplotlib.figure import Figure

    from sparsecode.plotting import CompressionDisplay

    known = [row for row in report.rows if row.error is not None and row.original_bits]
    largest = sorted(known, key=lambda row: -row.original_bits)[:MOST_BARS]
    if not largest:
        return []
    layers = {
        printable(row.name): (row.bits.total / row.original_bits, row.error)
        for row in known
        if row in largest
    }
    figure = Figure(figsize=(9, 1.2 + 0.24 * len(layers)), layout="constrained")
    CompressionDisplay(layers).plot(figure.subplots(1, 2))
    return [
        Picture(
            title="Where the bits went, and what was lost",
            caption="Each layer's bits over those it took before (left), and the error of its "
            "outputs on the calibration inputs, or of its weights where there are none (right, "
            "logarithmic; no bar means no error). The allocation gives bits where they save most.",
            alt="Two bar charts side by side, a bar a layer: share of bits, and relative error.",
            png=png(figure),
        )
    ]


def write_page(path: str | os.PathLike[str], page: str) -> None:
    """Write a page, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file.
    page : str
        HTML.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sparsecode.layers.html import write_page
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_page(f"{folder}/page.html", "<!doctype html>")
    ...     Path(f"{folder}/page.html").read_text()
    '<!doctype html>'
    """

    path, text = check_path(path), check_string(page, "page").encode()

    def write_to(file: BinaryIO) -> None:
        file.write(text)

    atomic_write(path, write_to)


def _visible(value: Any) -> Any:
    """Nothing in a text can reorder or hide what is around it."""
    return printable(value) if isinstance(value, str) else value


def _data_uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
