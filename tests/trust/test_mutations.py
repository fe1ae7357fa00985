"""The mutations of the kernels stand in the code; `kernel_mutations` says what tests make of them.

A mutation that is not made, or that does not compile, says nothing about the tests.
"""

import pytest

pytest.importorskip("resource")  # by which what is changed is kept from running for ever

from drawn_mutations import drawn
from kernel_mutations import MUTATIONS, changed


@pytest.mark.parametrize("kernels", MUTATIONS)
def test_each_mutation_stands_once_and_compiles(kernels):
    for mutation in MUTATIONS[kernels]:
        changed(kernels, mutation)


def test_what_is_drawn_stands_once_and_compiles_too() -> None:
    mutations = drawn(list(MUTATIONS), 10_000)
    for kernels, mutation in mutations:
        changed(kernels, mutation)
    assert {kernels for kernels, _ in mutations} == set(MUTATIONS)
    assert len(set(mutations)) == len(mutations) > 1000
    assert drawn(["grids"], 5) == drawn(["grids"], 9)[:5]


def test_what_stands_nowhere_or_twice_or_does_not_compile_is_no_mutation():
    for mutation in ("no such <<+|->> code", "ret<<urn|>> "):
        with pytest.raises(ValueError, match="does not stand once in coordinate"):
            changed("coordinate", mutation)
    with pytest.raises(SyntaxError):
        changed("coordinate", MUTATIONS["coordinate"][0].replace("1>>", "1 1>>"))
