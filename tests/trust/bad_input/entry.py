"""What the registry says of a public callable; the rest follows from its signature."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from . import arguments as kinds
from .arguments import Argument, Flag, Function, Limit, Missing, Number, Option, Seed, Threads

Answers = dict[str, Any]
Check = Callable[[dict[str, Any], Answers, float], str | None]

# One name has one meaning in the whole package, so its kind is stated once.
COMMON: dict[str, Argument] = {
    "tol": Number(low=0),
    "max_iter": Limit(),
    "n_threads": Threads(),
    "random_state": Seed(),
    "positive": Flag(),
    "missing_values": Missing(),
    "sparse_output": Flag(),
    "warm_start": Flag(),
    "fit_intercept": Flag(),
    "callback": Function(),
    "progress": Function(),
    "alpha": Number(low=0, open_low=True, none=True),
    "alpha_ratio": Number(low=0, high=1, open_low=True, none=True),
    "residual_tol": Number(low=0, none=True),
    "algorithm": Option(),
    "boundary": Option(),
    "multichannel": Flag(),
    "batch_size": kinds.Count(none=True),
    "method": Option(),
    "penalty": kinds.Thing(none=True),
    "init": kinds.Thing(none=True),
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A public callable, its arguments, and how its answer is judged.

    `check` gets the arguments (plain arrays), the answers and a tolerance, and says what is wrong.
    `branching`: rounding may lead to another answer that is as good, so cases that lose digits are
    checked, not compared. `aliases`: other words by which a message may name an argument.
    `may_refuse`: it takes nothing but what it says, so a clear error is as good as the answer.
    """

    name: str
    room: str
    covers: str
    arguments: dict[str, Argument]
    call: Callable[..., Any]
    answers: Callable[[Any], Answers]
    check: Check | None = None
    rtol: float = 1e-6
    branching: bool = False
    sklearn: bool = False
    may_refuse: bool = False
    may_be_infinite: bool = False
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def finite(self, answers: Answers) -> str | None:
        """An answer with NaN or infinity is none."""
        if self.may_be_infinite:
            return None
        for key, value in answers.items():
            value = np.asarray(value)
            if value.dtype.kind in "fc" and not np.all(np.isfinite(value)):
                return f"{key} is not finite"
        return None


def public(name: str) -> Any:
    """The object of a dotted name, a method too."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            value = getattr(value, part)
        return value
    raise AttributeError(name)


def answers_of(*names: str) -> Callable[[Any], Answers]:
    """Attributes of the result; dotted names go deeper."""

    def read(result: Any) -> Answers:
        answers = {}
        for name in names:
            value = result
            for part in name.split("."):
                value = getattr(value, part)
            answers[name] = _dense(value)
        return answers

    return read


def itself(result: Any) -> Answers:
    """The result, an array, a number or a tuple of such."""
    if dataclasses.is_dataclass(result):
        result = tuple(getattr(result, f.name) for f in dataclasses.fields(result))
    if isinstance(result, tuple):
        return {str(i): _dense(value) for i, value in enumerate(result)}
    return {"it": _dense(result)}


def _dense(value: Any) -> Any:
    return value.toarray() if sp.issparse(value) else value


def entry(name: str, room: str, *, given: Mapping[str, Any], **options: Any) -> Entry:
    """An entry of the registry; `given` names the arguments that the common table does not.

    What follows a comma in the name tells apart several entries of one callable.
    """
    full, _, variant = f"sparsecode.{name}".partition(", ")
    function = public(full)
    arguments = arguments_of(full, function, given)
    options.setdefault("answers", itself)
    options.setdefault("call", function)
    return Entry(
        name=f"{full}, {variant}" if variant else full,
        room=room,
        covers=full,
        arguments=arguments,
        **options,
    )


def arguments_of(name: str, function: Any, given: Mapping[str, Any]) -> dict[str, Argument]:
    """Every parameter of the signature, by the registry or by its name; none is left out."""
    parameters = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name != "self"
    ]
    unknown = [p.name for p in parameters if p.name not in given and p.name not in COMMON]
    if unknown:
        raise LookupError(f"{name} has arguments the registry knows nothing of: {unknown}")
    listed = {p.name: given.get(p.name, COMMON.get(p.name)) for p in parameters}
    extra = {n: a for n, a in given.items() if n not in listed}
    arguments = {}
    for n, a in (listed | extra).items():
        if isinstance(a, Argument):
            arguments[n] = a
        elif a is not None:  # an ordinary value of a common name
            common = COMMON[n]
            arguments[n] = common.with_value(a)
    return arguments
