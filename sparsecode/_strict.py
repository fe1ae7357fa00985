"""Text of files that are not trusted: JSON and TOML, or one sentence that says what it is not."""

from __future__ import annotations

import json
import sys
import tomllib
from typing import Any

JSON_LIMIT = 100_000_000  # bytes; the limit safetensors sets for its header
LONGEST = sys.int_info.str_digits_check_threshold  # digits that Python converts in any setting


def strict_json(data: bytes) -> Any:
    """Parse UTF-8 JSON of at most 100 MB from a file that is not trusted; a key twice is an error.

    Raises
    ------
    ValueError
        The text is too long, not UTF-8, not JSON, too deeply nested, has an integer of more than
        640 digits, or repeats a key.

    Examples
    --------
    >>> from sparsecode._strict import strict_json
    >>> strict_json(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
        ...
    ValueError: the JSON key 'a' occurs twice
    """
    if len(data) > JSON_LIMIT:
        raise ValueError(f"its JSON text has {len(data)} bytes, over the limit of {JSON_LIMIT}")
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_int=_integer)
    except RecursionError as error:
        raise ValueError("its JSON text is nested too deeply") from error


def strict_toml(data: bytes) -> dict[str, Any]:
    """Parse UTF-8 TOML from a file that is not trusted.

    Raises
    ------
    ValueError
        The text is not UTF-8, not TOML, too deeply nested, or has an integer of more than 640
        digits.

    Examples
    --------
    >>> from sparsecode._strict import strict_toml
    >>> strict_toml(b"a = 1")
    {'a': 1}
    """
    text = data.decode()
    try:
        content = tomllib.loads(text)
        _check_integers(content)
    except RecursionError as error:
        raise ValueError("its TOML text is nested too deeply") from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # of `int`, too, whose digits the parser does not count
        raise ValueError(f"its TOML text has an integer of more than {LONGEST} digits") from error
    return content


def _integer(digits: str) -> int:
    if len(digits) > LONGEST:
        raise ValueError(
            f"its JSON text has an integer of {len(digits)} digits; at most {LONGEST} are read"
        )
    return int(digits)


def _check_integers(value: Any) -> None:
    """None that Python reads, of hexadecimal digits, but may not print."""
    if isinstance(value, int) and abs(value) >= 10**LONGEST:
        raise ValueError
    parts = value.values() if isinstance(value, dict) else value
    for part in parts if isinstance(value, (dict, list)) else ():
        _check_integers(part)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the JSON key {key[:80]!r} occurs twice")
        found[key] = value
    return found
