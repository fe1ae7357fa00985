"""Displays: what they hold, and where they draw."""

from __future__ import annotations

import functools
import inspect
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np

from bad_input.arguments import OMITTED, Data, Flag, Number, Option, Thing
from bad_input.entry import Entry, entry
from sparsecode import KSVD, RobustPCA, plotting
from sparsecode.solvers import ksvd, principal_component_pursuit
from sparsecode.theory import PhaseTransition

ROOM = "plotting"
M = np.outer(np.arange(1.0, 5), np.ones(6))
ATOMS = np.eye(3, 4) + 0.1
SPECTRUM = np.array([3.0, 2.0, 1.0])
SIGNALS = np.random.default_rng(11).standard_normal((12, 4))
HISTORY = {"n_iter": [1, 2], "seconds": [0.1, 0.2], "certificate": [1.0, 0.1]}
FOUND = PhaseTransition(
    n=10, deltas=np.array([0.5]), rhos=np.array([[0.2, 0.4]]),
    n_successes=np.array([[2, 1]]), n_trials=2, midpoints=np.array([0.3]),
    lows=np.array([0.2]), highs=np.array([0.4]),
)  # fmt: skip
CURVES = {"sparse": (np.array([0.1, 0.5]), np.array([0.3, 0.1]))}


def display(cls: str, holds: dict[str, Any], **drawn: Any) -> list[Entry]:
    """A class and its `plot`."""
    made = getattr(plotting, cls)

    def plot(**arguments: Any) -> Any:
        from matplotlib import pyplot as plt

        try:
            return made(**values).plot(**arguments)
        finally:
            plt.close("all")

    values = {name: a.value for name, a in holds.items() if a.value is not OMITTED}
    there = next(iter(values))
    return [
        entry(f"plotting.{cls}", ROOM, given=holds, call=lambda **given: held(made(**given))),
        entry(f"plotting.{cls}.plot", ROOM, given={"ax": Thing(none=True), **drawn}, call=plot,
              answers=lambda display: {"holds": len(getattr(display, there))}),
    ]  # fmt: skip


def held(made: Any) -> int:
    """How many attributes it has."""
    return len(vars(made))


@functools.cache
def fitted() -> dict[str, Any]:
    """Estimators and results of each kind, made where they are asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # three iterations bring nothing to an end
        return {
            "learner": KSVD(3, n_nonzero_coefs=1, max_iter=2, random_state=0).fit(SIGNALS),
            "robust": RobustPCA(max_iter=3).fit(SIGNALS),
            "dictionary": ksvd(SIGNALS, 3, n_nonzero_coefs=1, max_iter=2, random_state=0),
            "split": principal_component_pursuit(SIGNALS, max_iter=3),
        }


def made_from(cls: str, what: str, kind: str | None, **given: Any) -> Entry:
    """A class method; its first argument is of a kind that takes a while to make."""
    function = getattr(getattr(plotting, cls), what)
    first = next(iter(inspect.signature(function).parameters))

    def call(**arguments: Any) -> Any:
        if kind is not None:
            arguments.setdefault(first, fitted()[kind])
        return held(function(**arguments))

    if kind is not None:
        given = {first: Thing(), **given}
    return entry(
        f"plotting.{cls}.{what}", ROOM, given=given, call=call, sklearn="X" in given,
        aliases={"result": ("transitions", "low_rank"), "results": ("transitions",)},
    )  # fmt: skip


LABEL = Thing(strings=True)
ROWS = Data(value=SIGNALS, grows=(0,), optional=True)
ENTRIES = [
    made_from("ConvergenceDisplay", "from_result", "dictionary", label=LABEL),
    made_from("ConvergenceDisplay", "from_estimator", "learner",
              label=Thing(none=True, strings=True)),
    made_from("ConvergenceDisplay", "from_results", None,
              results=Thing(value={"a": SimpleNamespace(history=HISTORY)})),
    made_from("DecompositionDisplay", "from_result", "split",
              X=Data(value=SIGNALS, optional=True)),
    made_from("DecompositionDisplay", "from_estimator", "robust", X=ROWS),
    made_from("DictionaryDisplay", "from_result", "dictionary", patch_shape=Thing(none=True)),
    made_from("DictionaryDisplay", "from_estimator", "learner", patch_shape=Thing(none=True),
              X=ROWS),
    made_from("PhaseTransitionDisplay", "from_result", None, result=Thing(value=FOUND),
              label=LABEL, positive=Flag()),
    made_from("PhaseTransitionDisplay", "from_results", None, results=Thing(value={"a": FOUND}),
              positive=Flag()),
    made_from("SpectrumDisplay", "from_matrix", None, W=Data(value=M), label=LABEL),
    made_from("SpectrumDisplay", "from_estimator", "robust",
              label=Thing(none=True, strings=True)),
    *display("CompressionDisplay", {"layers": Thing(value={"a": (0.5, 0.1)})}),
    *display("ConvergenceDisplay", {"histories": Thing(value={"a": HISTORY})}, against=Option()),
    *display("DecompositionDisplay",
             {name: Data(value=M, grows=()) for name in ("matrix", "low_rank", "sparse")},
             limit=Number(low=0, open_low=True, none=True), cmap=Option()),
    *display("DictionaryDisplay",
             {"atoms": Data(value=ATOMS), "patch_shape": Thing(value=(2, 2)),
              "usage": Data(value=np.arange(3.0), ndim=(1,), grows=(), optional=True)},
             cmap=Option()),
    *display("FrontierDisplay", {"curves": Thing(value=CURVES)},
             budget=Number(low=0, open_low=True, none=True)),
    *display("PhaseTransitionDisplay",
             {"transitions": Thing(value={"a": FOUND}), "positive": Flag()}),
    *display("SpectrumDisplay", {"singular_values": Thing(value={"a": SPECTRUM})},
             cumulative=Flag()),
]  # fmt: skip
