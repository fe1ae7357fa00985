"""What kinds of arguments there are: what a case may do to one follows from its kind alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

OMITTED: Any = type("Omitted", (), {"__repr__": lambda self: "OMITTED"})()


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One argument: an ordinary value of it, OMITTED for the default."""

    value: Any = OMITTED

    def with_value(self, value: Any) -> Argument:
        return dataclasses.replace(self, value=value)


@dataclass(frozen=True, kw_only=True)
class Data(Argument):
    """Numbers: an array, given as plain float64.

    `complex`: complex data have an answer. `ndim`: what is allowed. `empty`: so is no entry.
    `nan`: NaN has an answer. `nonnegative`: signs are an error. `degrees`: the law of scale, the
    power of s by which each answer grows when this argument and those in `along` (by their powers)
    do; None where there is none. `sparse`: SciPy's sparse arrays have an answer.
    `constrained`: no array but a few is legal (a symmetric one), so most changes may be refused.
    `mapping`: a network has an answer too. `typed`: the answer depends on the dtype, so in another
    one it is checked, not compared. `grows`: the axes along which another length may have
    an answer.
    """

    complex: bool = False
    ndim: tuple[int, ...] = (2,)
    empty: bool = False
    nan: bool = False
    inf: bool = False
    sparse: bool = False
    nonnegative: bool = False
    constrained: bool = False
    optional: bool = False
    mapping: bool = False
    typed: bool = False
    grows: tuple[int, ...] = (0, 1)
    degrees: Mapping[str, float] | None = None
    along: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Mask(Argument):
    """A boolean array of a shape that another argument has; nothing and everything are legal."""


@dataclass(frozen=True, kw_only=True)
class Labels(Argument):
    """Classes of the samples."""


@dataclass(frozen=True, kw_only=True)
class Number(Argument):
    """A real parameter in an interval."""

    low: float = -float("inf")
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False
    none: bool = False  # it may be given as None
    infinite: bool = False  # it may be infinity


@dataclass(frozen=True, kw_only=True)
class Count(Argument):
    """An integer parameter; beyond `high`, if there is one, it is an error."""

    low: int = 1
    high: int | None = None
    none: bool = False
    lengths: bool = False  # a tuple of lengths too


@dataclass(frozen=True, kw_only=True)
class Limit(Count):
    """A number of iterations at the most: a huge one has the answer of an ordinary one."""


@dataclass(frozen=True, kw_only=True)
class Threads(Argument):
    """A number of threads or jobs: what is legal has the answer of one."""

    minus_one: bool = False


@dataclass(frozen=True, kw_only=True)
class Seed(Argument):
    """A source of randomness."""


@dataclass(frozen=True, kw_only=True)
class Flag(Argument):
    """True or False."""


@dataclass(frozen=True, kw_only=True)
class Option(Argument):
    """One of a few names; `other`: other things are legal too, so only strings are wrong."""

    none: bool = False
    other: bool = False


@dataclass(frozen=True, kw_only=True)
class Missing(Argument):
    """The marker of missing entries."""


@dataclass(frozen=True, kw_only=True)
class Function(Argument):
    """A callable, or None."""

    none: bool = True


@dataclass(frozen=True, kw_only=True)
class Path(Argument):
    """A file."""

    none: bool = False


@dataclass(frozen=True, kw_only=True)
class Word(Argument):
    """A word of a command line; `legal` says of which there may be an answer, `path` of a file."""

    legal: Callable[[str], bool] = lambda word: False
    path: bool = False


@dataclass(frozen=True, kw_only=True)
class Thing(Argument):
    """An object of the package: a penalty, a network, a result. What is none is an error."""

    none: bool = False
    strings: bool = False  # a name, a title or a list of such is legal
