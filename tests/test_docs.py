"""Shared sections of docstrings, and that the docstrings of solvers hold no unfilled one."""

import inspect

import pytest

from sparsecode import solvers
from sparsecode._docs import SECTIONS, documented


def test_a_section_is_put_where_it_is_named() -> None:
    @documented
    def solve() -> None:
        """Solve.

        %(penalized_least_squares)s

        References
        ----------
        None.
        """

    assert solve.__doc__ is not None
    assert SECTIONS["penalized_least_squares"].strip() in solve.__doc__
    assert "\nReferences\n----------" in solve.__doc__


def test_a_function_without_docstring_stays_without() -> None:
    @documented
    def solve() -> None: ...

    assert solve.__doc__ is None


@pytest.mark.parametrize(
    "name", [n for n in solvers.__all__ if inspect.isfunction(getattr(solvers, n))]
)
def test_no_section_is_left_open(name) -> None:
    doc = inspect.getdoc(getattr(solvers, name))
    assert doc
    assert "%(" not in doc
