"""Text that others wrote, made safe to show."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with escapes for what a terminal or a page would obey, hide or reorder.

    Examples
    --------
    >>> from sparsecode._text import printable
    >>> print(printable("layer\x1b[2J\n"))
    layer\x1b[2J\n
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
