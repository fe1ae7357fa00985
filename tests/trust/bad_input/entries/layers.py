"""Layers of networks: moments, factorizations, allocation, distillation, other codes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from bad_input import checks
from bad_input.arguments import (
    Argument,
    Count,
    Data,
    Flag,
    Number,
    Option,
    Thing,
)
from bad_input.entries.encoders import ATOMS
from bad_input.entries.encoders import X as SIGNALS
from bad_input.entry import Answers, Entry, entry
from sparsecode import layers

ROOM = "layers"
rng = np.random.default_rng(5)
W = rng.standard_normal((8, 12))
INPUTS = rng.standard_normal((30, 12))
GRAM = INPUTS.T @ INPUTS
CROSS = GRAM + 0.1 * rng.standard_normal((12, 12))
NETWORK = {"a.weight": W, "b.weight": rng.standard_normal((12, 8))}


def weights(**more: Any) -> Data:
    return Data(**({"value": W, "grows": (0,), "degrees": {"dense": 1}} | more))


def gram(**more: Any) -> Data:
    standard = {"value": GRAM, "constrained": True, "grows": (), "optional": True}
    return Data(**(standard | {"degrees": {"dense": 0, "it": 0}} | more))


def dense(form: Any) -> Answers:
    return {"dense": form.to_dense()}


def within(arguments: dict[str, Any], answers: Answers, tolerance: float) -> str | None:
    """A matrix of the shape of the layer, no further from it than a layer of zeros (in gram)."""
    W, V = checks.wide(arguments["W"]), checks.wide(answers["dense"])
    if V.shape != W.shape:
        return f"shape {V.shape}"
    H = checks.wide(np.eye(W.shape[1]) if arguments.get("gram") is None else arguments["gram"])
    size, left = np.trace(W @ H @ W.T), np.trace((W - V) @ H @ (W - V).T)
    return None if left <= size * (1 + max(tolerance, 1e-3)) else "worse than zeros"


def family(method: str, **options: Any) -> Entry:
    given: dict[str, Argument | Any] = {
        "W": weights(), "gram": gram(), "method": Option(value=method),
        "budget": Number(value=0.6, low=0, high=1, open_low=True),
        "damping": Number(low=0, none=True),
    }  # fmt: skip
    return entry(
        f"layers.factorize, {method}", ROOM, given=given | options, answers=dense, check=within,
        branching=True, rtol=1e-3,
    )  # fmt: skip


def moments(X: Any) -> Any:
    calibration = layers.Calibration()
    calibration.update("a.weight", X)
    return calibration


@functools.cache
def compressed() -> Any:
    return layers.compress(NETWORK, 0.6, methods="low_rank")


def of_network(result: Any) -> Answers:
    return {name: np.asarray(tensor) for name, tensor in result.to_dense().items()}


SAE = layers.SparseAutoencoder(
    encoder=ATOMS, encoder_bias=np.full(9, -0.3), dictionary=ATOMS, bias=np.zeros(6)
)
LAYER = [layers.Choice(10, 1.0), layers.Choice(20, 0.1), layers.Choice(40, 0.0)]

ENTRIES = [
    family("dense", budget=Number(value=1.0, low=0, high=1, open_low=True)),
    family("low_rank"),
    family("sparse"),
    family("low_rank+sparse"),
    family("dictionary", random_state=0),
    family("codebook", random_state=0),
    family("uniform"),
    entry("layers.factorize_shared", ROOM,
          given={"Ws": Thing(value=[W, W[:4]]), "gram": gram(),
                 "budget": Number(value=0.6, low=0, high=1, open_low=True), "random_state": 0},
          answers=lambda s: {"dense": s.forms[0].to_dense()}, branching=True, rtol=1e-3),
    entry("layers.output_error", ROOM,
          given={"W": weights(grows=(), degrees={"it": 0}, along={"approximation": 1}),
                 "approximation": weights(value=W + 0.1, grows=(), degrees={"it": 0},
                                          along={"W": 1}),
                 "gram": gram()},
          may_be_infinite=True),
    entry("layers.match_outputs", ROOM,
          given={"W": weights(degrees={"it": 1}),
                 "cross": Data(value=CROSS, grows=(), degrees={"it": 0}, along={"gram": 1}),
                 "gram": gram(optional=False, along={"cross": 1}),
                 "damping": Number(low=0, open_low=True)}),
    entry("layers.refit", ROOM,
          given={"W": weights(degrees={"it": 1}, grows=()),
                 "support": Data(value=(rng.random(W.shape) < 0.5).astype(float),
                                 constrained=True, grows=()),
                 "gram": gram(), "tol": Number(low=0, none=True)},
          rtol=1e-4, may_refuse=True),
    entry("layers.distill_head", ROOM,
          given={"X": Data(value=INPUTS[:, :4], grows=(1,)),
                 "teacher_logits": Data(value=INPUTS[:, :4] @ rng.standard_normal((4, 3)),
                                        grows=(1,)),
                 "weight": Data(value=np.zeros((3, 4)), grows=(), optional=True),
                 "bias": Data(value=np.zeros(3), ndim=(1,), grows=(), optional=True),
                 "temperature": Number(low=0, open_low=True),
                 "damping": Number(low=0, open_low=True), "max_iter": 200},
          answers=lambda r: {"weight": r.weight}, rtol=1e-3),
    entry("layers.quantize_dynamic", ROOM,
          given={"X": Data(value=SIGNALS, degrees={"codes": 0, "scales": 1}),
                 "bits": Count(value=8, low=2, high=16), "symmetric": Flag()},
          answers=lambda q: {"codes": q.codes, "scales": q.scales}, rtol=1e-2, branching=True),
    entry("layers.reencode", ROOM,
          given={"X": Data(value=SIGNALS, ndim=(1, 2), mapping=True, degrees={"codes": 1},
                           grows=(0,)),
                 "dictionary": Data(value=ATOMS, degrees={"codes": -1}, grows=(0,)),
                 "n_nonzero_coefs": Count(value=2, high=9, none=True),
                 "bias": Data(value=np.zeros(6), ndim=(1,), grows=(), optional=True),
                 "include": Thing(none=True, strings=True),
                 "exclude": Thing(none=True, strings=True)},
          answers=lambda r: {"codes": r.codes.toarray()}, branching=True),
    entry("layers.compare_encoders", ROOM,
          given={"X": Data(value=SIGNALS, grows=(0,)), "autoencoder": Thing(value=SAE),
                 "algorithms": Thing(value=("omp",))},
          answers=lambda rows: {"error": np.array([row.error for row in rows])}),
    entry("layers.allocate", ROOM,
          given={"choices": Thing(value=[LAYER, LAYER]), "budget": Count(value=45, low=0)},
          answers=lambda a: {"chosen": np.array(a.chosen)}),
    entry("layers.allocate_within_error", ROOM,
          given={"choices": Thing(value=[LAYER, LAYER]), "max_error": Number(value=0.15, low=0)},
          answers=lambda a: {"chosen": np.array(a.chosen)}),
    entry("layers.as_network", ROOM, given={"network": Thing(value=NETWORK)},
          answers=lambda n: {"a": np.asarray(n["a.weight"])}),
    entry("layers.compress", ROOM,
          given={"network": Thing(value=NETWORK), "budget": Thing(value=0.6, none=True),
                 "max_error": Number(low=0, open_low=True, none=True),
                 "methods": Option(value="low_rank", other=True),
                 "calibration": Thing(value=moments(INPUTS), none=True),
                 "heldout": Thing(none=True), "include": Thing(strings=True),
                 "exclude": Thing(strings=True), "rules": Thing(),
                 "damping": Number(low=0, none=True), "suffix": Option(), "keep_failed": Flag(),
                 "checkpoint": Thing(none=True, strings=True), "random_state": 0},
          answers=of_network, rtol=1e-3, branching=True),
    entry("layers.frontier", ROOM,
          given={"W": weights(degrees={"error": 0}, mapping=True),
                 "gram": gram(degrees={"error": 0}),
                 "methods": Option(value="low_rank", other=True),
                 "shares": Thing(value=(0.3, 0.6)), "calibration": Thing(none=True),
                 "include": Thing(strings=True), "exclude": Thing(strings=True),
                 "damping": Number(low=0, none=True), "random_state": 0},
          answers=lambda f: {"error": np.array([p.error for p in f.points])}, rtol=1e-3),
    entry("layers.distill", ROOM,
          given={"compressed": Thing(value=compressed()), "network": Thing(value=NETWORK),
                 "inputs": Thing(value=lambda net: {"a.weight": INPUTS}),
                 "max_positions": Count(none=True),
                 "damping": Number(value=0.01, low=0, open_low=True)},
          answers=of_network, rtol=1e-3),
    entry("layers.Calibration.update", ROOM,
          given={"name": Thing(value="a", strings=True),
                 "X": Data(value=INPUTS, ndim=tuple(range(2, 17)), degrees={"gram": 2})},
          call=lambda name, X: _updated(name, X), answers=lambda c: {"gram": c.gram("a")}),
]  # fmt: skip


def _updated(name: Any, X: Any) -> Any:
    calibration = layers.Calibration()
    calibration.update(name, X)
    return calibration
