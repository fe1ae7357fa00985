"""One pair, decided: what came of it, and whether that is what had to come."""

from __future__ import annotations

import copy
import itertools
import math
import re
import warnings
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from sparsecode._text import printable

from .arguments import OMITTED, Data, Path, Word
from .cases import Case, Expect
from .entry import Entry


class Outcome(StrEnum):
    """What came of a pair; the first three are what is asked for."""

    RIGHT = "right"
    ERROR = "clear error"
    TOLD = "told"  # not right, and a ConvergenceWarning says so
    REFUSED = "refused"  # a clear error where there is an answer
    UNCLEAR = "unclear error"
    SILENT = "silent"
    CRASH = "crash"
    HANG = "hang"


GOOD = (Outcome.RIGHT, Outcome.ERROR, Outcome.TOLD)
# scikit-learn's own words for its one argument X, which its common checks ask for.
SKLEARN = re.compile(
    r"^(Found array with|Expected 2D array|Complex data not supported|Found input variables with "
    r"inconsistent|X has \d+ features|Input [Xy] contains|Sparse data was passed|"
    r"dtype='numeric' is not compatible|Unable to convert array of bytes)",
)

# What is said of an answer, not of an argument: that no float holds it.
OUT_OF_RANGE = re.compile(r"exceeds? the range of .*rescale|cannot be told from 0")


@dataclass
class Call:
    """An answer or an error, and whether it came with a warning."""

    answers: dict[str, Any] | None = None
    error: BaseException | None = None
    warned: bool = False
    mutated: list[str] = field(default_factory=list)


def call(entry: Entry, arguments: dict[str, Any]) -> Call:
    """Call it, and look whether it left its arguments alone."""
    before = {name: _fingerprint(value) for name, value in arguments.items()}
    made = Call()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made.answers = entry.answers(entry.call(**arguments))
        except Exception as error:
            made.error = error
    made.warned = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    made.mutated = [n for n, value in arguments.items() if _fingerprint(value) != before[n]]
    return made


def _fingerprint(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.shape, value.dtype.str, value.tobytes()
    if sp.issparse(value):
        return value.data.tobytes()
    return None


def values_of(entry: Entry) -> dict[str, Any]:
    """The ordinary arguments, as copies."""
    given = {name: a.value for name, a in entry.arguments.items() if a.value is not OMITTED}
    return {n: copy.deepcopy(v) if isinstance(v, np.ndarray) else v for n, v in given.items()}


def judge(entry: Entry, name: str, case: Case) -> tuple[Outcome, str]:
    """What came of a pair, and a word about it."""
    argument = entry.arguments[name]
    given, plain = case.given(argument)
    arguments = values_of(entry) | {name: given}
    if case.scale != 1 and isinstance(argument, Data) and argument.degrees is not None:
        for other, power in argument.along.items():
            with np.errstate(all="ignore"):
                arguments[other] = arguments[other] * np.float64(case.scale) ** power
            if not np.all(np.isfinite(arguments[other])) or not np.any(arguments[other]):
                return Outcome.ERROR, "the law leaves the range"
    made = call(entry, arguments)
    # A file is named by its path.
    is_file = isinstance(argument, Path) or (isinstance(argument, Word) and argument.path)
    words = (str(given), printable(str(given))) if is_file and given else ()
    if made.mutated:
        return Outcome.SILENT, f"changed {', '.join(made.mutated)} in place"
    expected = case.expected(argument)
    if isinstance(argument, Data) and argument.typed and _is_short(given):
        expected = Expect.CHECK
    if made.error is not None:
        outcome = _of_error(entry, name, made.error, expected, words)
        if outcome[0] is Outcome.REFUSED:  # the same numbers may have no answer
            plainly = call(entry, arguments | {name: plain})
            if plainly.error is not None:
                return _of_error(entry, name, made.error, Expect.CHECK, words)
        return outcome
    assert made.answers is not None
    if expected is Expect.ERROR:
        return Outcome.SILENT, f"accepted: {_short(made.answers)}"
    wrong = _wrong(entry, name, case, expected, arguments, plain, made.answers)
    if wrong is None:
        return Outcome.RIGHT, ""
    if made.warned:
        return Outcome.TOLD, wrong
    return Outcome.SILENT, wrong


def _is_short(given: Any) -> bool:
    return isinstance(given, np.ndarray) and given.dtype in (np.float16, np.float32)


def _of_error(
    entry: Entry, name: str, error: BaseException, expected: Expect, words: tuple[str, ...]
) -> tuple[Outcome, str]:
    message = str(error)
    said = f"{type(error).__name__}: {message}"[:300]
    kinds: tuple[type[BaseException], ...] = (ValueError, TypeError, MemoryError)
    if isinstance(entry.arguments[name], Path):
        kinds = (*kinds, OSError)
    # Where the argument is legal by itself, the fault may lie in how it goes with another.
    others: tuple[str, ...] = ()
    if expected is not Expect.ERROR:
        others = (*entry.arguments, *itertools.chain(*entry.aliases.values()))
    names = (name, *entry.aliases.get(name, ()), *others, *words)
    named = any(re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", message) for word in names)
    if entry.sklearn:
        named = named or bool(SKLEARN.search(message))
    if expected is Expect.SCALED and OUT_OF_RANGE.search(message):
        return Outcome.ERROR, said
    if not isinstance(error, kinds) or isinstance(error, np.linalg.LinAlgError) or not named:
        return Outcome.UNCLEAR, said
    if expected is Expect.SAME and not entry.may_refuse:
        return Outcome.REFUSED, said
    return Outcome.ERROR, said


def _wrong(
    entry: Entry, name: str, case: Case, expected: Expect, arguments: Any, plain: Any, got: Any
) -> str | None:
    """None if it is the right answer, or what is wrong with it."""
    argument = entry.arguments[name]
    tolerance = max(entry.rtol, case.loose)
    lawful = isinstance(argument, Data) and argument.degrees is not None
    if expected is Expect.SCALED and lawful:
        reference = base(entry)
        degrees = argument.degrees
        return _compared(got, reference, tolerance, lambda n: degrees.get(n, 0.0), case.scale)
    plainly = arguments | {name: plain}
    if expected is Expect.SAME and not (entry.branching and case.loose):
        if plain is argument.value or not isinstance(argument, Data):
            reference = base(entry)
        else:
            other = call(entry, values_of(entry) | {name: plain})
            if other.answers is None:
                return f"the same numbers in float64 are an error: {other.error}"[:300]
            reference = other.answers
        return _compared(got, reference, tolerance)
    finite = entry.finite(got)
    return finite or (entry.check(plainly, got, tolerance) if entry.check else None)


_bases: dict[str, dict[str, Any]] = {}


def base(entry: Entry) -> dict[str, Any]:
    """The answer of the ordinary arguments."""
    if entry.name not in _bases:
        made = call(entry, values_of(entry))
        if made.answers is None:
            raise RuntimeError(f"{entry.name} fails on ordinary input") from made.error
        _bases[entry.name] = made.answers
    return _bases[entry.name]


def _compared(
    got: dict[str, Any], reference: dict[str, Any], tolerance: float, degree: Any = None,
    scale: float = 1.0,
) -> str | None:  # fmt: skip
    for key, expected in reference.items():
        if key.startswith("_"):  # for the check alone
            continue
        if key not in got:
            return f"no {key}"
        wrong = _differs(got[key], expected, tolerance, scale, degree(key) if degree else 0.0)
        if wrong:
            return f"{key}: {wrong}"
    return None


def _differs(
    value: Any, expected: Any, tolerance: float, scale: float, degree: float
) -> str | None:
    if not isinstance(expected, np.ndarray | np.generic | float | int | complex):
        return None if value == expected else f"{value!r}, not {expected!r}"[:200]
    value, expected = np.asarray(value), np.asarray(expected)
    if value.shape != expected.shape:
        return f"shape {value.shape}, not {expected.shape}"
    if value.dtype.kind not in "fciub" or expected.dtype.kind not in "fciub":
        return None if np.array_equal(value, expected) else "not equal"
    wide = np.clongdouble if "c" in (value.dtype.kind, expected.dtype.kind) else np.longdouble
    factor = np.longdouble(scale) ** np.longdouble(degree)
    value, expected, dtype = value.astype(wide), expected.astype(wide) * factor, value.dtype
    if not expected.size:
        return None
    if not np.array_equal(np.isnan(value), np.isnan(expected)):
        return "NaN"
    size = np.nanmax(np.abs(np.where(np.isfinite(expected), expected, 0)), initial=0)
    least = np.finfo(dtype).smallest_subnormal if dtype.kind in "fc" else 0
    if dtype.kind in "fc":  # infinity is the nearest float of what is beyond them all
        with np.errstate(over="ignore"):
            expected = np.where(np.isinf(expected.astype(dtype)), expected.astype(dtype), expected)
    with np.errstate(invalid="ignore"):
        error = np.nanmax(np.where(value == expected, 0, np.abs(value - expected)), initial=0)
    if error <= tolerance * size + 4 * np.longdouble(least) or (size == 0 and error < 1e-12):
        return None
    relative = error / size if size else math.inf
    return f"off by {float(relative):.2g} of {float(size):.2g} (allowed {tolerance:g})"


def _short(answers: dict[str, Any]) -> str:
    return " ".join(f"{k}={np.asarray(v).ravel()[:3]}" for k, v in answers.items())[:160]
