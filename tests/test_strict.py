"""JSON and TOML of files that are not trusted."""

import sys

import pytest

from sparsecode._strict import JSON_LIMIT, LONGEST, strict_json, strict_toml


def test_json_is_not_trusted(monkeypatch):
    assert strict_json('{"é": [1, {"b": null}]}'.encode()) == {"é": [1, {"b": None}]}
    for hostile in (b'{"a": {"b": 1, "b": 1}}', b"\xff", b"{", b"[" * 100_000, b""):
        with pytest.raises(ValueError):  # noqa: PT011 (each has its own words)
            strict_json(hostile)
    monkeypatch.setattr("sparsecode._strict.JSON_LIMIT", 10)
    with pytest.raises(ValueError, match="over the limit of 10"):
        strict_json(b'"123456789"')
    assert JSON_LIMIT == 100_000_000


def test_toml_is_not_trusted():
    assert strict_toml('a = [1, {b = "é"}]'.encode()) == {"a": [1, {"b": "é"}]}
    for hostile in (b"a = 1\na = 2", b"\xff", b"a = ", b"a = " + b"[" * 100_000):
        with pytest.raises(ValueError):  # noqa: PT011 (each has its own words)
            strict_toml(hostile)


@pytest.mark.parametrize("digits", [LONGEST + 1, 5000])
def test_a_long_integer_is_told_in_our_words(digits):
    """Whatever the process allows Python to convert."""
    with pytest.raises(ValueError, match=f"JSON text has an integer of {digits} digits; at most"):
        strict_json(b'{"a": [' + b"1" * digits + b"]}")
    for number in (b"1" * 5000, b"0x" + b"f" * 5000, b"0x" + b"f" * 600):
        with pytest.raises(ValueError, match=r"^its TOML text has an integer of more than 640 d"):
            strict_toml(b"a = [{b = " + number + b"}]")
    assert strict_json(b"9" * LONGEST) == strict_toml(b"a = " + b"9" * LONGEST)["a"]
    assert LONGEST == 640 < sys.int_info.default_max_str_digits
