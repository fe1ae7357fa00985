"""What a user builds by hand: forms from their parts, and objects from arrays, files, results."""

from __future__ import annotations

from typing import Any

import numpy as np

from bad_input.arguments import Argument, Count, Data, Option, Path, Thing
from bad_input.entries.encoders import ATOMS
from bad_input.entries.layers import INPUTS, dense
from bad_input.entries.networks import folder, place
from bad_input.entry import Entry, entry
from sparsecode import layers

ROOM = "made by hand"
rng = np.random.default_rng(14)
LEFT, RIGHT = rng.standard_normal((6, 3)), rng.standard_normal((3, 8))
SUPPORT = rng.random((6, 8)) < 0.4
VALUES = rng.standard_normal(int(SUPPORT.sum()))
SPARSE, LOW = layers.Sparse(VALUES, SUPPORT), layers.LowRank(LEFT, RIGHT)
CODES = layers.Sparse(rng.standard_normal(18), np.ones((6, 3), bool))
VERTICAL, HORIZONTAL = rng.standard_normal((2, 3, 3)), rng.standard_normal((4, 2, 3))
OUTPUT, CORE, INPUT = (rng.standard_normal(s) for s in ((5, 2), (2, 3, 3, 3), (3, 4)))
POINTS = (layers.FrontierPoint("sparse", 0.5, 0.1), layers.FrontierPoint("low_rank", 0.4, 0.3))
RECIPE = '{"methods": ["low_rank"], "budget": 0.5}'


def stored(value: np.ndarray, **more: Any) -> Data:
    """Numbers that a form holds as they are: NaN and infinity are for it to keep."""
    return Data(value=value, ndim=(value.ndim,), nan=True, inf=True, **({"grows": ()} | more))


def form(name: str, **given: Argument) -> Entry:
    return entry(
        f"layers.{name}", ROOM, given=given, answers=dense, may_refuse=True, may_be_infinite=True,
        rtol=1e-5,
    )  # fmt: skip


def recipe(text: Any) -> Any:
    (folder() / "recipe.json").write_text(RECIPE)
    return text


ENTRIES = [
    form("Dense", weight=stored(LEFT, degrees={"dense": 1}, grows=(0, 1))),
    form("LowRank", left=stored(LEFT, degrees={"dense": 1}, grows=(0,)),
         right=stored(RIGHT, grows=(1,))),
    form("Sparse", values=stored(VALUES, degrees={"dense": 1}), support=Thing(value=SUPPORT)),
    form("Dictionary", codes=Thing(value=CODES),
         dictionary=stored(RIGHT, degrees={"dense": 1}, grows=(1,))),
    form("LowRankPlusSparse", low_rank=Thing(value=LOW), sparse=Thing(value=SPARSE)),
    form("Spatial", vertical=stored(VERTICAL, degrees={"dense": 1}),
         horizontal=stored(HORIZONTAL, grows=(0,))),
    form("Tucker", output=stored(OUTPUT, grows=(0,)), core=stored(CORE, degrees={"dense": 1}),
         input=stored(INPUT, grows=(1,))),
    form("Sum", parts=Thing(value=(LOW, SPARSE))),
    form("Chain", parts=Thing(value=(layers.Dense(LEFT), layers.Dense(RIGHT)))),
    entry("layers.Frontier", ROOM, given={"points": Thing(value=POINTS)},
          answers=lambda front: {"n": len(front.points)}),
    entry("layers.Calibration.from_arrays", ROOM, given={"inputs": Thing(value={"a": INPUTS})},
          answers=lambda calibration: {"gram": calibration.gram("a")},
          aliases={"inputs": ("the inputs of 'a'", "X")}),
    entry("layers.SparseAutoencoder.from_arrays", ROOM,
          given={"arrays": Thing(value={"W_enc": ATOMS.T, "b_enc": np.zeros(len(ATOMS)),
                                        "W_dec": ATOMS, "b_dec": np.zeros(ATOMS.shape[1])}),
                 "convention": Option(none=True), "k": Count(none=True, high=len(ATOMS))},
          answers=lambda sae: {"dictionary": sae.dictionary}),
    entry("layers.Recipe.from_mapping", ROOM,
          given={"mapping": Thing(value={"budget": 0.5, "methods": ["low_rank"]})},
          answers=lambda made: {"budget": made.budget}, aliases={"mapping": ("a recipe",)}),
    entry("layers.Recipe.from_file", ROOM, given={"path": Path(value=place("recipe.json"))},
          call=lambda path: layers.Recipe.from_file(recipe(path)),
          answers=lambda made: {"budget": made.budget}),
]  # fmt: skip
