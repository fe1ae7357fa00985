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
    Mask,
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
SUPPORT = rng.random(W.shape) < 0.5
THE_LAYER = {"W": ("the layer",)}
THE_TENSOR = {"network": ("the tensor",), "W": ("the tensor", "the layer")}
NETWORK = {"a.weight": W, "b.weight": rng.standard_normal((12, 8))}


def weights(**more: Any) -> Data:
    return Data(**({"value": W, "grows": (0,), "degrees": {"dense": 1}, "typed": True} | more))


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


def matched(arguments: dict[str, Any], answers: Answers, tolerance: float) -> str | None:
    """Of the damped least squares that the docstring states, as far as `gram` shows directions.

    The gain over the teacher's weights of a minimum on any subspace is the square of the step.
    """
    W, V = checks.wide(arguments["W"]), checks.wide(answers["it"])
    C, H = (checks.wide(arguments[name]) for name in ("cross", "gram"))
    if V.shape != W.shape:
        return f"shape {V.shape}"
    damping = np.longdouble(arguments.get("damping", 1e-6)) * np.trace(H) / len(H)
    step = V - W
    gain, square = np.sum(step * (W @ (C - H))), np.sum(step * (step @ H + damping * step))
    size = np.sqrt(np.sum(step**2)) * np.sqrt(np.sum((W @ (C - H)) ** 2))
    return None if abs(gain - square) <= max(tolerance, 1e-6) * size else "not the minimum"


def refitted(arguments: dict[str, Any], answers: Answers, tolerance: float) -> str | None:
    """Zero off the support, and no gradient on it to speak of."""
    W, V, on = checks.wide(arguments["W"]), checks.wide(answers["it"]), arguments["support"]
    if V.shape != W.shape or np.any(V[~np.asarray(on)]):
        return f"shape {V.shape}, or entries off the support"
    H = np.eye(W.shape[1]) if arguments.get("gram") is None else checks.wide(arguments["gram"])
    left, first = ((M @ H)[np.asarray(on)] for M in (W - V, W * ~np.asarray(on)))
    asked = arguments.get("tol")
    allowed = max(tolerance, 1e-4, 0.0 if asked is None else asked)
    size = np.sqrt(np.sum(first**2)) + 1e-12 * np.sqrt(np.sum((W @ H) ** 2))
    return None if np.sqrt(np.sum(left**2)) <= allowed * 10 * size else "a gradient is left"


def errors_fall(arguments: dict[str, Any], answers: Answers, tolerance: float) -> str | None:
    """Errors between those of a copy and of zeros."""
    error = answers["error"]
    return None if np.all((error >= 0) & (error <= 1 + max(tolerance, 1e-3))) else "out of range"


def of_moments(calibration: Any) -> Answers:
    """Beyond 1e77 the moment is that of inputs in other units, so it is compared in its own."""
    H = calibration.gram("a")
    return {"in units": H / (np.abs(H).max() or 1.0), "_gram": H}


def mean_of_squares(arguments: dict[str, Any], answers: Answers, tolerance: float) -> str | None:
    """Of inputs whose squares are in range: the mean of x x^T."""
    X = checks.wide(arguments["X"])
    X, H = X.reshape(-1, X.shape[-1]), checks.wide(answers["_gram"])
    off = np.abs(H - X.T @ X / len(X)).max()
    return None if off <= tolerance * np.abs(H).max() else f"off by {float(off):.2g}"


def family(method: str, **options: Any) -> Entry:
    given: dict[str, Argument | Any] = {
        "W": weights(), "gram": gram(), "method": Option(value=method),
        "budget": Number(value=0.6, low=0, high=1, open_low=True),
        "damping": Number(low=0, none=True),
    }  # fmt: skip
    return entry(
        f"layers.factorize, {method}", ROOM, given=given | options, answers=dense, check=within,
        branching=True, rtol=1e-3, aliases=THE_LAYER,
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
          given={"W": weights(grows=(), degrees={"it": 0}, typed=False, along={"approximation": 1}),
                 "approximation": weights(value=W + 0.1, grows=(), degrees={"it": 0}, typed=False,
                                          along={"W": 1}),
                 "gram": gram()},
          may_be_infinite=True, aliases=THE_LAYER),
    entry("layers.match_outputs", ROOM,
          given={"W": weights(degrees={"it": 1}, typed=False),
                 "cross": Data(value=CROSS, grows=(), degrees={"it": 0}, along={"gram": 1}),
                 "gram": gram(optional=False, along={"cross": 1}),
                 "damping": Number(low=0, open_low=True)},
          check=matched, aliases=THE_LAYER),
    entry("layers.refit", ROOM,
          given={"W": weights(degrees={"it": 1}, grows=(0, 1)),
                 "support": Mask(value=SUPPORT),
                 "gram": gram(), "tol": Number(low=0, none=True)},
          check=refitted, rtol=1e-4),
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
          answers=lambda n: {"a": np.asarray(n["a.weight"])}, aliases=THE_TENSOR),
    entry("layers.compress", ROOM,
          given={"network": Thing(value=NETWORK), "budget": Thing(value=0.6, none=True),
                 "max_error": Number(low=0, open_low=True, none=True),
                 "methods": Option(value="low_rank", other=True),
                 "calibration": Thing(value=moments(INPUTS), none=True),
                 "heldout": Thing(none=True), "include": Thing(strings=True),
                 "exclude": Thing(strings=True), "rules": Thing(),
                 "damping": Number(low=0, none=True), "suffix": Option(), "keep_failed": Flag(),
                 "checkpoint": Thing(none=True, strings=True), "random_state": 0},
          answers=of_network, rtol=1e-3, branching=True, aliases=THE_TENSOR),
    entry("layers.frontier", ROOM,
          given={"W": weights(degrees={"error": 0}, mapping=True),
                 "gram": gram(degrees={"error": 0}),
                 "methods": Option(value="low_rank", other=True),
                 "shares": Thing(value=(0.3, 0.6)), "calibration": Thing(none=True),
                 "include": Thing(strings=True), "exclude": Thing(strings=True),
                 "damping": Number(low=0, none=True), "random_state": 0},
          answers=lambda f: {"error": np.array([p.error for p in f.points])}, rtol=1e-3,
          check=errors_fall, aliases=THE_TENSOR),
    entry("layers.distill", ROOM,
          given={"compressed": Thing(value=compressed()), "network": Thing(value=NETWORK),
                 "inputs": Thing(value=lambda net: {"a.weight": INPUTS}),
                 "max_positions": Count(none=True),
                 "damping": Number(value=0.01, low=0, open_low=True)},
          answers=of_network, rtol=1e-3, aliases=THE_TENSOR),
    entry("layers.Calibration.update", ROOM,
          given={"name": Thing(value="a", strings=True),
                 "X": Data(value=INPUTS, ndim=tuple(range(2, 17)), degrees={"in units": 0})},
          call=lambda name, X: _updated(name, X), answers=of_moments, check=mean_of_squares),
]  # fmt: skip


def _updated(name: Any, X: Any) -> Any:
    calibration = layers.Calibration()
    calibration.update(name, X)
    return calibration
