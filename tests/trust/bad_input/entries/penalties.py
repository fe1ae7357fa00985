"""Penalties: each constructor, and each formula of each of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from bad_input.arguments import Argument, Data, Number, Thing
from bad_input.entry import Entry, entry
from sparsecode import penalties

ROOM = "penalties"
rng = np.random.default_rng(8)
X = 2 * rng.standard_normal((6, 3))
GROUPS = [0, 1, 0, 2, 1, 0]
WEIGHTS = Data(
    value=np.linspace(0.5, 2, 6), ndim=(1,), optional=True, nonnegative=True, constrained=True
)

# What is constructed, and the arguments of the constructor.
PARAMETERS: dict[str, dict[str, Argument]] = {
    "L1": {"weights": WEIGHTS},
    "ElasticNet": {"l1_ratio": Number(value=0.5, low=0, high=1, open_high=True)},
    "GroupL1": {
        "groups": Thing(value=GROUPS),
        "weights": Data(value=np.array([0.5, 1, 2]), ndim=(1,), optional=True, grows=(),
                        nonnegative=True, constrained=True),
    },
    "L21": {"weights": WEIGHTS},
    "MCP": {"gamma": Number(value=3.0, low=1, open_low=True),
            "threshold": Number(value=1.0, low=0, open_low=True)},
    "SCAD": {"gamma": Number(value=3.7, low=2, open_low=True),
             "threshold": Number(value=1.0, low=0, open_low=True)},
    "L0": {}, "LHalf": {}, "NuclearNorm": {},
}  # fmt: skip
# By which power of s the value grows when x does; of the others it is not one.
DEGREES = {"L1": 1, "GroupL1": 1, "L21": 1, "NuclearNorm": 1, "L0": 0, "LHalf": 0.5}
# Those that see the places of the entries, and how many axes an x has for them.
COUPLING = {"GroupL1": (1, 2), "L21": (1, 2), "NuclearNorm": (2,)}


def constructed(name: str) -> Any:
    given = {n: a.value for n, a in PARAMETERS[name].items() if n in ("groups", "gamma")}
    return getattr(penalties, name)(**given)


def kept(penalty: Any) -> dict[str, Any]:
    """What a constructor made: its value at a point tells its parameters."""
    size = 6 if getattr(penalty, "weights", None) is None else len(penalty.weights)
    size = len(getattr(penalty, "groups", range(size)))
    return {"it": penalty.value(np.arange(1.0, size + 1))}


def values(name: str, degree: float | None) -> Data:
    finite = name == "NuclearNorm"
    return Data(
        value=X, complex=True, empty=True, nan=not finite, inf=not finite,
        ndim=COUPLING.get(name, tuple(range(1, 9))), grows=(1,) if name == "GroupL1" else (0, 1),
        degrees=None if degree is None else {"it": degree},
    )  # fmt: skip


def formulas(name: str) -> Iterator[Entry]:
    penalty, degree = constructed(name), DEGREES.get(name)
    signs = {"value": degree, "polar": 1, "vanishing": 1, "conjugate": None, "prox": None}
    for method, power in signs.items():
        if not hasattr(penalty, method):
            continue
        first, *others = inspect.signature(getattr(penalty, method)).parameters
        given: dict[str, Any] = {first: values(name, power)}
        if others:
            given["step"] = Number(value=0.7, low=0)
        yield entry(f"penalties.{name}.{method}", ROOM, given=given, may_be_infinite=True,
                    call=getattr(penalty, method))  # fmt: skip
    unit = Number(value=2.0, low=0, infinite=True)
    yield entry(f"penalties.{name}.in_units", ROOM, given={"unit": unit}, may_be_infinite=True,
                call=penalty.in_units, answers=lambda pair: {"it": pair[0]})  # fmt: skip


ENTRIES = [
    entry(f"penalties.{name}", ROOM, given=given, answers=kept)
    for name, given in PARAMETERS.items()
    if given
]
ENTRIES += [one for name in PARAMETERS for one in formulas(name)]
