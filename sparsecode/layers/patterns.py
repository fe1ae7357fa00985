"""Names of layers: patterns that choose them, and what to say of a name that is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def near_misses(name: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    """Return the end of a message about an unknown name: the known ones that come near it."""
    known = list(names)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    if not known:
        return "; there are none"
    more = ", ..." if len(known) > 3 else ""
    return f"; there are {', '.join(map(repr, known[:3]))}{more}"


def check_patterns(argument: str, given: Any) -> list[str]:
    """One pattern or several, as a list of strings."""
    patterns = [given] if isinstance(given, str) or not isinstance(given, Iterable) else [*given]
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(
            f"{argument} has to be a pattern or a sequence of patterns, which are strings, "
            f"got {given!r}"
        )
    return patterns


def matches(pattern: str, name: str, argument: str) -> bool:
    """Whether the exact name, or the expression behind ``re:``, is that of the layer."""
    if not pattern.startswith("re:"):
        return pattern == name
    try:
        return re.fullmatch(pattern[3:], name) is not None
    except re.error as error:
        raise ValueError(
            f"the {argument} pattern {pattern!r} is not a regular expression: {error}"
        ) from error


def captured(pattern: str, name: str) -> tuple[str | None, ...]:
    """The groups of the expression in a name that it matches; none of an exact name."""
    found = re.fullmatch(pattern[3:], name) if pattern.startswith("re:") else None
    return () if found is None else found.groups()
