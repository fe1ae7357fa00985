"""What a compression cost and what it lost, as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sparsecode._text import printable
from sparsecode._validation import check_option, check_string, check_strings
from sparsecode.layers.allocation import Allocation
from sparsecode.layers.factorizations import Bits

__all__ = ["CompressionReport", "LayerRow", "text_table"]

ERRORS = ("weight_error", "calibration_error", "heldout_error", "error")


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer of a compressed network.

    Attributes
    ----------
    name, form, summary : str
        The layer's tensor, the kind of its factorization and the sizes that matter.
    shape : tuple of int
        ``(n_outputs, n_inputs)``.
    bits : Bits
        What the packed arrays take.
    original_bits : int
        What the layer took.
    weight_error, calibration_error, heldout_error : float or None
        ``tr((W - W') H (W - W')^T) / tr(W H W^T)`` with the identity, the moments of the
        calibration inputs and those of held-out inputs for `H`; None where that is not known.
    """

    name: str
    form: str
    summary: str
    shape: tuple[int, int]
    bits: Bits
    original_bits: int = 0
    weight_error: float | None = None
    calibration_error: float | None = None
    heldout_error: float | None = None

    @property
    def error(self) -> float | None:
        """That of the outputs on the calibration inputs, or else of the weights."""
        return self.weight_error if self.calibration_error is None else self.calibration_error


@dataclass(frozen=True)
class CompressionReport:
    """Bits and errors of a compressed network, layer by layer; ``print`` it.

    Attributes
    ----------
    rows : tuple of LayerRow
        The layers.
    bits : Bits
        Of the whole file, container and untouched tensors included.
    original_bits : int
        Of the tensors of the original network.
    budget : float or None
        What was asked for, as a fraction of the latter.
    allocation : Allocation or None
        The choice among all forms that were tried: its total `error`, the sum of the layers'
        relative output errors times their weights, and the `bound` that no choice among them can
        be below (of a network of a given error, the bits instead).
    failures : mapping of str to str
        Layers that a method failed on, and why; one that all failed on is kept as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import layers
    >>> small = layers.compress({"w": np.eye(64)}, budget=0.5, methods="sparse")
    >>> small.report.original_bits, small.report.rows[0].form
    (262144, 'sparse')
    """

    rows: tuple[LayerRow, ...] = ()
    bits: Bits = field(default_factory=Bits)
    original_bits: int = 0
    budget: float | None = None
    allocation: Allocation | None = None
    failures: Mapping[str, str] = field(default_factory=dict)

    def mean_error(self, name: str) -> float | None:
        """The mean over the layers of one of a row's errors; None unless all have it.

        Raises
        ------
        ValueError
            `name` is none of a row's errors.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsecode import layers
        >>> small = layers.compress({"w": np.eye(64)}, budget=0.5, methods="sparse")
        >>> small.report.mean_error("weight_error")
        0.0
        """
        check_option(name, "name", ERRORS)
        errors = [getattr(row, name) for row in self.rows]
        known = [error for error in errors if error is not None]
        return sum(known) / len(known) if known and len(known) == len(errors) else None

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The header and a row a layer, as text.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsecode import layers
        >>> small = layers.compress({"w": np.eye(64)}, budget=0.5, methods="sparse")
        >>> header, rows = small.report.table()
        >>> rows[0][:3]
        ['w', 'sparse', '64x64']
        """
        errors = ["weights", "calibration", "held-out"]
        rows = [
            [
                printable(row.name),
                row.form,
                f"{row.shape[0]}x{row.shape[1]}",
                f"{row.bits.total // 8:,}",
                f"{row.bits.total / max(self.original_bits, 1):.1%}",
                format_error(row.weight_error),
                format_error(row.calibration_error),
                format_error(row.heldout_error),
                row.summary,
            ]
            for row in self.rows
        ]
        return ["layer", "form", "shape", "bytes", "share", *errors, "sizes"], rows

    def summary(self) -> str:
        """What the whole file takes, and what the errors are, in two lines."""
        share = self.bits.total / max(self.original_bits, 1)
        items = self.bits.items().items()
        parts = ", ".join(f"{name} {count // 8:,}" for name, count in items if count)
        size, original = self.bits.total // 8, self.original_bits // 8
        return (
            f"{size:,} bytes, {share:.1%} of {original:,} ({parts})\n"
            "errors: squared, of the weights and of the layers' outputs, relative to the original"
        )

    def certificate(self) -> str:
        """How far the choice can be from the best among the forms that were tried; empty if read.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsecode import layers
        >>> small = layers.compress({"w": np.eye(64)}, budget=0.5, methods="sparse")
        >>> small.report.certificate().partition("; ")[2]
        'none among the forms that were tried gets below 0 within the limits of the layers'
        """
        if self.allocation is None:
            return ""
        _, bits, error, bound = self.allocation
        of_all, within = "none among the forms that were tried", "within the limits of the layers"
        if self.budget is not None:
            found = f"choice: weighted errors sum to {error:.3g}"
            return f"{found}; {of_all} gets below {bound:.3g} {within}"
        least = math.ceil(bound / 8)
        return (
            f"choice: layers take {bits // 8:,} bytes; {of_all} takes less than {least:,} {within}"
        )

    def to_html(self, title: str = "A compressed network") -> str:
        """One self-contained page; names in it can do no harm."""
        from sparsecode.layers.html import report_page

        check_string(title, "title")
        return report_page(self, title)

    def __str__(self) -> str:
        lines = [text_table(*self.table()), self.summary(), self.certificate()]
        return "\n".join(filter(None, lines))


def format_error(error: float | None) -> str:
    """Three digits, or a dash for what is not known."""
    return "-" if error is None else f"{error:.3g}"


def is_numeric(cells: Sequence[str]) -> bool:
    """Whether these cells of a column are numbers, to be set flush right."""
    return all(not cell or cell[0] in "-0123456789" for cell in cells)


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of plain text; those of numbers to the right.

    Parameters
    ----------
    header : sequence of str
        The names of the columns.
    rows : sequence of sequences of str
        The cells.

    Returns
    -------
    str
        Lines, without the last line's end.

    Examples
    --------
    >>> from sparsecode.layers.report import text_table
    >>> print(text_table(["name", "bytes"], [["a", "1,024"], ["bc", "8"]]))
    name  bytes
    a     1,024
    bc        8
    """
    check_strings(header, "header")
    if isinstance(rows, str) or not isinstance(rows, Sequence):
        raise TypeError(f"rows has to be a sequence of rows, got {rows!r}")
    for row in rows:
        if len(check_strings(row, "rows")) != len(header):
            raise ValueError(f"rows has one of {len(row)} cells beside {len(header)} columns")
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [is_numeric(column[1:]) for column in columns]
    lines = []
    for row in [header, *rows]:
        cells = [
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
