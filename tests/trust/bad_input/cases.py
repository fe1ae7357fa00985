"""The table of cases: what is done to an argument, and what has to come of it.

What has to come of a pair follows from the case and from what the registry says of the argument:

SAME    the answer for the same numbers as plain float64 in C order
SCALED  the answer of the unscaled problem, scaled by the law of the callable, or a clear error
CHECK   an answer that the independent check of the callable accepts, or a clear error
ERROR   a clear error
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path as Folder
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from . import arguments as kinds
from .arguments import OMITTED, Argument, Data


class Expect(Enum):
    """What has to come of a pair."""

    SAME = "same"
    SCALED = "scaled"
    CHECK = "check"
    ERROR = "error"


@dataclass(frozen=True)
class Case:
    """What is done to the ordinary value of an argument of some kind.

    `change` gives what is passed, or that and the plain array with the same numbers. `applies` and
    `expect` may look at the argument. `loose`: numbers lose digits, so an answer may as well.
    """

    name: str
    kind: type[Argument]
    change: Callable[[Any], Any]
    expect: Callable[[Any], Expect] | Expect
    applies: Callable[[Any], bool] = lambda argument: True
    scale: float = 1.0
    loose: float = 0.0
    of_argument: bool = False  # `change` sees the argument itself

    @property
    def key(self) -> str:
        return f"{self.kind.__name__.lower()}: {self.name}"

    def given(self, argument: Argument) -> tuple[Any, Any]:
        """What is passed, and the plain array that holds the same numbers (or the same again)."""
        changed = self.change(argument if self.of_argument else argument.value)
        return changed if isinstance(changed, tuple) else (changed, changed)

    def expected(self, argument: Argument) -> Expect:
        return self.expect if isinstance(self.expect, Expect) else self.expect(argument)


def _plain(array: Any) -> np.ndarray:
    array = np.asarray(array)
    return np.ascontiguousarray(array, np.complex128 if array.dtype.kind == "c" else np.float64)


def _set(v: np.ndarray, where: Any, value: Any) -> np.ndarray:
    v = v.copy()
    v[where] = value
    return v


def _strided(v: np.ndarray) -> np.ndarray:
    wide = np.full(tuple(2 * n for n in v.shape), np.nan)
    view = wide[tuple(slice(None, None, 2) for _ in v.shape)]
    view[...] = v
    return view


def _reversed(v: np.ndarray) -> np.ndarray:
    turn = tuple(slice(None, None, -1) for _ in v.shape)
    return np.ascontiguousarray(v[turn])[turn]


def _unaligned(v: np.ndarray) -> np.ndarray:
    raw = np.zeros(v.nbytes + 1, np.uint8)
    view = raw[1:].view(np.float64).reshape(v.shape)
    view[...] = v
    return view


def _mapped(v: np.ndarray) -> np.ndarray:
    with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
        np.save(file, v)
    mapped = np.load(file.name, mmap_mode="r")
    Folder(file.name).unlink()
    return mapped


def _read_only(v: np.ndarray) -> np.ndarray:
    v = v.copy()
    v.flags.writeable = False
    return v


def _jagged(v: np.ndarray) -> list[Any]:
    return [[1.0, 2.0], [3.0]]


def _integers(v: np.ndarray, dtype: Any) -> np.ndarray:
    return np.round(4 * (np.abs(v) if np.dtype(dtype).kind == "u" else v)).astype(dtype)


def _masked(v: np.ndarray, mask: bool) -> Any:
    return np.ma.array(v, mask=_set(np.zeros(v.shape, bool), (0,) * v.ndim, mask))


def _masked_nowhere(v: np.ndarray) -> Any:
    return np.ma.array(v, mask=False)


def _strided_mask(v: np.ndarray) -> np.ndarray:
    return np.repeat(v, 2, 1)[:, ::2]


def _frame(v: np.ndarray) -> Any:
    return pd.DataFrame(v) if v.ndim == 2 else pd.Series(v)


def _as(convert: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], tuple[Any, np.ndarray]]:
    """Numbers that change with the type: the plain array holds what is left of them."""

    def change(v: np.ndarray) -> tuple[Any, np.ndarray]:
        given = convert(v)
        return given, _plain(given)

    return change


def _form(convert: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], tuple[Any, np.ndarray]]:
    return lambda v: (convert(v), v)


def _if(condition: Callable[[Any], bool], yes: Expect, no: Expect = Expect.ERROR) -> Any:
    return lambda argument: yes if condition(argument) else no


def _times(s: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda v: v * s


def _doubled(axis: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(v: np.ndarray) -> np.ndarray:
        v = np.moveaxis(v.copy(), axis, 0)
        v[1] = v[0]
        return np.moveaxis(v, 0, axis)

    return change


def _grown(axis: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda v: np.concatenate([v, np.take(v, [0], axis)], axis)


def _matrix(argument: Data) -> bool:
    return np.ndim(argument.value) == 2


def _lined(argument: Data) -> bool:
    return np.ndim(argument.value) >= 1 and np.shape(argument.value)[0] > 1


def _given(argument: Argument) -> bool:
    return argument.value is not OMITTED


SAME, SCALED, CHECK, ERROR = Expect.SAME, Expect.SCALED, Expect.CHECK, Expect.ERROR
FIRST = lambda v: (0,) * v.ndim  # noqa: E731
SCALES = (1e-300, 1e-200, 1e-150, 1e-30, 1e30, 1e150, 1e200, 1e300)


def _same_or_check(a: Data) -> Expect:
    return CHECK if a.constrained or a.nonnegative else SAME


VALUES = [
    Case("NaN", Data, lambda v: _set(v, FIRST(v), np.nan), _if(lambda a: a.nan, CHECK)),
    Case("all NaN", Data, lambda v: np.full(v.shape, np.nan), _if(lambda a: a.nan, CHECK)),
    Case("inf", Data, lambda v: _set(v, FIRST(v), np.inf), _if(lambda a: a.inf, CHECK)),
    Case("-inf", Data, lambda v: _set(v, FIRST(v), -np.inf), _if(lambda a: a.inf, CHECK)),
    Case("all zero", Data, np.zeros_like, CHECK),
    Case("constant", Data, np.ones_like, CHECK),
    Case("a zero row", Data, lambda v: _set(v, 0, 0.0), CHECK, _lined),
    Case("a zero column", Data, lambda v: _set(v, (..., 0), 0.0), CHECK, _matrix),
    Case("two equal rows", Data, _doubled(0), CHECK, _lined),
    Case("two equal columns", Data, _doubled(-1), CHECK, _matrix),
    Case("rank one", Data, lambda v: np.outer(v[:, 0], v[0]), CHECK, _matrix),
    Case("a constant column", Data, lambda v: _set(v, (..., 0), 2.0), CHECK, _matrix),
    Case("rows of unequal scale", Data, lambda v: _set(v, 0, v[0] * 1e-200), CHECK, _lined),
]
SHAPES = [
    Case("no row", Data, lambda v: v[:0], _if(lambda a: a.empty, CHECK)),
    Case("no column", Data, lambda v: v[..., :0], _if(lambda a: a.empty, CHECK), _matrix),
    Case("one row", Data, lambda v: v[:1], CHECK, _lined),
    Case("one column", Data, lambda v: v[..., :1], CHECK, _matrix),
    Case("one entry", Data, lambda v: v[(slice(1),) * v.ndim], CHECK),
    Case("a row more", Data, _grown(0), _if(lambda a: 0 in a.grows, CHECK)),
    Case("a column more", Data, _grown(-1), _if(lambda a: 1 in a.grows, CHECK), _matrix),
    Case("a number", Data, lambda v: 1.0, _if(lambda a: 0 in a.ndim, CHECK)),
    Case("flat", Data, np.ravel, _if(lambda a: 1 in a.ndim, CHECK), lambda a: np.ndim(a.value) > 1),
    Case("one axis more", Data, lambda v: v[..., None],
         lambda a: CHECK if np.ndim(a.value) + 1 in a.ndim else ERROR),
    Case("two axes more", Data, lambda v: v[..., None, None],
         lambda a: CHECK if np.ndim(a.value) + 2 in a.ndim else ERROR),
    Case("jagged list", Data, _jagged, ERROR),
]  # fmt: skip
FORMS = [
    Case("Fortran order", Data, _form(np.asfortranarray), SAME),
    Case("strided", Data, _form(_strided), SAME),
    Case("negative strides", Data, _form(_reversed), SAME),
    Case("read-only", Data, _form(_read_only), SAME),
    Case("unaligned", Data, _form(_unaligned), SAME),
    Case("byte-swapped", Data, _form(lambda v: v.astype(v.dtype.newbyteorder())), SAME),
    Case("memory map", Data, _form(_mapped), SAME),
    Case("broadcast", Data, lambda v: (np.broadcast_to(v[..., :1], v.shape),
                                       np.repeat(v[..., :1], v.shape[-1], -1)), CHECK),
    Case("nothing masked", Data, _form(lambda v: _masked(v, False)), SAME),
    Case("masked", Data, lambda v: _masked(v, True), _if(lambda a: a.nan, CHECK)),
    Case("data frame", Data, _form(_frame), SAME, lambda a: np.ndim(a.value) in (1, 2)),
    Case("list", Data, _form(lambda v: v.tolist()), SAME),
    Case("np.matrix", Data, _form(np.asmatrix), SAME, _matrix),
    Case("sparse", Data, _form(sp.csr_array), _if(lambda a: a.sparse, SAME), _matrix),
    Case("float32", Data, _as(lambda v: v.astype(np.float32)), SAME, loose=1e-4),
    Case("float16", Data, _as(lambda v: v.astype(np.float16)), SAME, loose=1e-2),
    Case("long double", Data, _form(lambda v: v.astype(np.longdouble)), SAME),
    Case("int64", Data, _as(lambda v: _integers(v, np.int64)), _same_or_check),
    Case("int8", Data, _as(lambda v: _integers(v, np.int8)), _same_or_check),
    Case("uint8", Data, _as(lambda v: _integers(v, np.uint8)), _same_or_check),
    Case("bool", Data, _as(lambda v: v > 0.3), _same_or_check),
    Case("objects that are numbers", Data, _form(lambda v: v.astype(object)), SAME),
    Case("objects", Data, lambda v: _set(v.astype(object), FIRST(v), "a"), ERROR),
    Case("None inside", Data, lambda v: _set(v.astype(object), FIRST(v), None),
         _if(lambda a: a.nan, CHECK)),
    Case("strings", Data, lambda v: np.full(v.shape, "a"), ERROR),
    Case("bytes", Data, lambda v: np.full(v.shape, b"1"), ERROR),
    Case("dates", Data, lambda v: np.full(v.shape, np.datetime64("2026-01-01")), ERROR),
    Case("records", Data, lambda v: np.zeros(v.shape, [("a", float), ("b", float)]), ERROR),
    Case("complex", Data, _as(lambda v: v + 0.5j * v[::-1]), _if(lambda a: a.complex, CHECK)),
    Case("complex without imaginary part", Data, lambda v: v + 0j,
         _if(lambda a: a.complex, CHECK)),
    Case("a string", Data, lambda v: "nonsense", ERROR),
    Case("an object", Data, lambda v: object(), ERROR),
    Case("a dictionary", Data, lambda v: {"a": 1}, _if(lambda a: a.mapping, CHECK)),
    Case("None", Data, lambda v: None, _if(lambda a: a.optional, CHECK)),
]  # fmt: skip
SCALED_DATA = [
    Case(f"times {s:g}", Data, _times(s), SCALED, scale=s) for s in SCALES
] + [
    Case("denormal", Data, _times(1e-310), SCALED, scale=1e-310, loose=1e-5),
    Case("float32 times 1e-30", Data, lambda v: (v * 1e-30).astype(np.float32), SCALED,
         scale=1e-30, loose=5e-3),
    Case("float32 times 1e30", Data, lambda v: (v * 1e30).astype(np.float32), SCALED,
         scale=1e30, loose=5e-3),
]  # fmt: skip


def _of(kind: type[Argument], wrong: dict[str, Any], **more: Any) -> list[Case]:
    return [Case(name, kind, lambda _, value=v: value, ERROR, **more) for name, v in wrong.items()]


def _inside(value: float) -> Callable[[Any], Expect]:
    def expect(a: kinds.Number) -> Expect:
        above = value > a.low if a.open_low else value >= a.low
        below = value < a.high if a.open_high else value <= a.high
        return CHECK if above and below else ERROR

    return expect


NUMBERS = [
    Case("inf", kinds.Number, lambda _: np.inf, _if(lambda a: a.infinite, CHECK)),
    *_of(kinds.Number, {"NaN": np.nan, "a string": "0.1", "True": True,
                        "complex": 0.1j, "an array": np.array([0.1, 0.2]), "an object": object()}),
    *(Case(f"{value:g}", kinds.Number, lambda _, v=value: v, _inside(value))
      for value in (-1.0, 0.0, -1e300, 5e-324, 1e-300, 1e300)),
    Case("an integer", kinds.Number, lambda v: 1, _inside(1.0)),
    Case("NumPy's float64", kinds.Number, np.float64, SAME, _given),
    Case("float32", kinds.Number, np.float32, SAME, _given, loose=1e-5),
    Case("None", kinds.Number, lambda _: None, _if(lambda a: a.none, CHECK),
         lambda a: a.none or _given(a)),
]  # fmt: skip
COUNTS = [
    *_of(kinds.Count, {"NaN": np.nan, "inf": np.inf, "a string": "3", "True": True, "-1": -1,
                       "complex": 1j, "an object": object(), "a fraction": 1.5}),
    Case("0", kinds.Count, lambda _: 0, _if(lambda a: a.low <= 0, CHECK)),
    Case("an array", kinds.Count, lambda _: np.array([1, 2]),
         _if(lambda a: a.lengths, CHECK)),
    Case("a whole float", kinds.Count, float, CHECK,
         lambda a: _given(a) and isinstance(a.value, int)),
    Case("NumPy's int64", kinds.Count, np.int64, SAME,
         lambda a: _given(a) and isinstance(a.value, int)),
    Case("one beyond", kinds.Count, lambda a: a.high + 1, ERROR, lambda a: a.high is not None,
         of_argument=True),
    Case("huge", kinds.Count, lambda _: 2**40, lambda a: CHECK if a.high is None else ERROR),
    Case("beyond int64", kinds.Count, lambda _: 2**70,
         lambda a: CHECK if a.high is None else ERROR),
    Case("None", kinds.Count, lambda _: None, _if(lambda a: a.none, CHECK),
         lambda a: a.none or _given(a)),
]  # fmt: skip
OTHERS = [
    *_of(kinds.Threads, {"0": 0, "NaN": np.nan, "a string": "2", "a fraction": 1.5, "True": True,
                         "-2**40": -(2**40), "an object": object()}),
    *(Case(str(n), kinds.Threads, lambda _, n=n: n, SAME) for n in (1, 2, 3)),
    Case("1000", kinds.Threads, lambda _: 1000, CHECK),
    Case("2**40", kinds.Threads, lambda _: 2**40, CHECK),
    Case("2**70", kinds.Threads, lambda _: 2**70, CHECK),
    Case("-1", kinds.Threads, lambda _: -1, _if(lambda a: a.minus_one, SAME)),
    Case("None", kinds.Threads, lambda _: None, SAME),
    *_of(kinds.Seed, {"-1": -1, "2**32": 2**32, "NaN": np.nan, "a string": "0", "True": True,
                      "a fraction": 1.5, "an array": np.arange(3), "an object": object()}),
    Case("a RandomState", kinds.Seed, lambda _: np.random.RandomState(0), CHECK),
    Case("a Generator", kinds.Seed, lambda _: np.random.default_rng(0), CHECK),
    Case("None", kinds.Seed, lambda _: None, CHECK),
    *_of(kinds.Flag, {"None": None, "2": 2, "NaN": np.nan, "a string": "yes", "an array": [True],
                      "an object": object()}),
    Case("NumPy's bool", kinds.Flag, lambda v: np.bool_(v is True), CHECK),
    *_of(kinds.Option, {"nonsense": "nonsense", "no letters": ""}),
    *_of(kinds.Option, {"a number": 1, "an object": object(), "a list": ["a"]},
         applies=lambda a: not a.other),
    Case("None", kinds.Option, lambda _: None, _if(lambda a: a.none, CHECK),
         lambda a: a.none or _given(a)),
    *_of(kinds.Missing, {"0.0": 0.0, "-1": -1, "a string": "NaN", "an object": object(),
                         "inf": np.inf}),
    Case("NaN", kinds.Missing, lambda _: np.nan, CHECK),
    *_of(kinds.Function, {"a number": 3, "a string": "f", "an object": object()}),
    *_of(kinds.Path, {"a number": 3, "an object": object(), "a list": ["a"], "NUL": "a\0b",
                      "no letters": "", "a folder": tempfile.gettempdir()}),
    Case("no such file", kinds.Path, lambda _: "/nowhere/file.npz", ERROR),
    Case("None", kinds.Path, lambda _: None, _if(lambda a: a.none, CHECK)),
    *_of(kinds.Thing, {"a number": 3.5, "an object": object(), "NaN": np.nan}),
    *_of(kinds.Thing, {"a string": "nonsense"}, applies=lambda a: not a.strings),
    *_of(kinds.Thing, {"a mapping": {"a": object()}}),
    Case("None", kinds.Thing, lambda _: None, _if(lambda a: a.none, CHECK)),
    *(Case(name, kinds.Mask, change, SAME)
      for name, change in {"Fortran order": np.asfortranarray, "strided": _strided_mask,
                           "read-only": _read_only, "memory map": _mapped,
                           "list": np.ndarray.tolist,
                           "np.matrix": np.asmatrix, "nothing masked": _masked_nowhere}.items()),
    Case("nothing", kinds.Mask, np.zeros_like, CHECK),
    Case("everything", kinds.Mask, np.ones_like, CHECK),
    Case("one row", kinds.Mask, lambda v: v[:1], ERROR),
    Case("a row more", kinds.Mask, _grown(0), ERROR),
    Case("a column more", kinds.Mask, _grown(-1), ERROR),
    Case("flat", kinds.Mask, np.ravel, ERROR),
    Case("masked", kinds.Mask, lambda v: _masked(v, True), ERROR),
    Case("sparse", kinds.Mask, sp.csr_array, ERROR),
    Case("float64", kinds.Mask, lambda v: v.astype(float), ERROR),
    Case("NaN inside", kinds.Mask, lambda v: np.where(v, np.nan, 0.0), ERROR),
    Case("2 and 0", kinds.Mask, lambda v: 2 * v, ERROR),
    Case("strings", kinds.Mask, lambda v: v.astype(str), ERROR),
    *_of(kinds.Mask, {"a number": 1, "True": True, "a string": "nonsense", "an object": object(),
                      "a jagged list": [[True], [True, False]], "a dictionary": {"a": True},
                      "None": None}),
    *_of(kinds.Labels, {"NaN": np.full(9, np.nan), "one fewer": np.arange(2), "a number": 1,
                        "2-D": np.zeros((3, 3)), "empty": [], "an object": object()}),
]  # fmt: skip

WORDS = [
    Case(name, kinds.Word, lambda _, word=word: word,
         lambda a, word=word: CHECK if a.legal(word) else ERROR)
    for name, word in {
        "no letters": "", "a blank": " ", "nonsense": "nonsense", "NaN": "nan", "inf": "inf",
        "-inf": "-inf", "-1": "-1", "0": "0", "0.0": "0.0", "1": "1", "1.5": "1.5",
        "1e-300": "1e-300", "1e300": "1e300", "beyond float64": "1e400", "True": "True",
        "None": "None", "complex": "1j", "beyond int64": str(2**70), "NUL": "a\0b",
        "not ASCII": "\N{SNOWMAN}", "half a character": "\udc80", "long": "a" * 5000,
        "a list": "1,2", "a size": "24 XB", "an expression": "re:(", "an option": "--nonsense",
        "a folder": tempfile.gettempdir(), "no such file": "/nowhere/file.npz",
    }.items()
]  # fmt: skip

CASES = [*VALUES, *SHAPES, *FORMS, *SCALED_DATA, *NUMBERS, *COUNTS, *OTHERS, *WORDS]


def cases_of(argument: Argument) -> list[Case]:
    """The cases of the table that concern an argument, by its kind and what it allows."""
    return [c for c in CASES if isinstance(argument, c.kind) and c.applies(argument)]
