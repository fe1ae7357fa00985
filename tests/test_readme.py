"""The README's code runs, and CONTRIBUTING quotes code that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(2))
def test_readme_code_runs(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(code) == 2
    exec(compile(code[number], "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_contributing_quotes_real_code():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    quotes = re.findall(r"<!-- from (\S+) -->\n```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(quotes) == len(blocks(text)) > 0
    for path, code in quotes:
        assert code in (ROOT / path).read_text(encoding="utf-8"), f"{path} has changed:\n{code}"
