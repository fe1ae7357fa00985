"""The estimators: each constructor with `fit`, and each method that takes data."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from bad_input import checks
from bad_input.arguments import (
    OMITTED,
    Argument,
    Count,
    Data,
    Flag,
    Labels,
    Limit,
    Number,
    Option,
    Thing,
    Threads,
)
from bad_input.entry import Answers, Check, Entry, _dense, arguments_of, itself, public

from .learning import X as SIGNALS
from .low_rank import HOLES
from .low_rank import X as CORRUPTED

ROOM = "estimators"
rng = np.random.default_rng(4)
DESIGN = rng.standard_normal((14, 5))
TARGET = DESIGN @ np.array([2.0, 0, -1, 0, 0.5]) + 0.1 * rng.standard_normal(14) + 3
CLASSES = np.arange(12) % 2
IMAGES = rng.standard_normal((3, 36))

# The words of scikit-learn's parameters that the solvers know by shorter ones.
WORDS = {
    f"transform_{n}": (n,)
    for n in ("n_nonzero_coefs", "residual_tol", "alpha", "tol", "max_iter", "algorithm")
} | {
    "n_jobs": ("n_threads",), "sample_shape": ("X",), "positive_code": ("positive",),
    "n_measurements": ("m",), "X": ("codes", "measurements"),
}  # fmt: skip


def estimator(
    name: str,
    given: Mapping[str, Any],
    data: Mapping[str, Argument],
    attributes: tuple[str, ...],
    check: Check | None = None,
    **options: Any,
) -> Entry:
    """A class: its parameters and what `fit` takes."""
    full, _, variant = f"sparsecode.{name}".partition(", ")
    cls = public(full)
    parameters = arguments_of(full, cls, given)

    def fit(**arguments: Any) -> Any:
        fitted = [arguments.pop(n) for n in data if n in arguments]
        return cls(**arguments).fit(*fitted)

    def answers(fitted: Any) -> Answers:
        return {n: _dense(getattr(fitted, n)) for n in attributes}

    return Entry(
        name=f"{full}, {variant}" if variant else full,
        room=ROOM, covers=full, arguments={**data, **parameters}, call=fit, answers=answers,
        check=check, sklearn=True, aliases=WORDS, **options,
    )  # fmt: skip


def method(name: str, of: Entry, data: Mapping[str, Argument], **options: Any) -> Entry:
    """A method of what the ordinary arguments fit."""
    fitted = functools.cache(lambda: of.call(**_values(of)))
    # What goes on learning starts from the same each time.
    begun = (lambda: copy.deepcopy(fitted())) if name == "partial_fit" else fitted
    options.setdefault("answers", itself)
    full = f"{of.covers}.{name}"
    return Entry(
        name=of.name.replace(of.covers, full), room=ROOM, covers=full, arguments=dict(data),
        call=lambda **arguments: getattr(begun(), name)(**arguments),
        sklearn=True, aliases=WORDS, **options,
    )  # fmt: skip


def _values(of: Entry) -> dict[str, Any]:
    return {
        n: a.value.copy() if isinstance(a.value, np.ndarray) else a.value
        for n, a in of.arguments.items()
        if a.value is not OMITTED
    }


def codes_of(name: str, shape: tuple[int, int]) -> Mapping[str, Argument]:
    """An argument of `inverse_transform`."""
    codes = rng.standard_normal(shape) * (rng.random(shape) < 0.5)
    return {"X": Data(value=codes, sparse=True, grows=(0,), degrees={"it": 1})}


# Fitted data of any width; new data of the width that was fitted.
def samples(value: np.ndarray, degrees: Any = None, **more: Any) -> dict[str, Argument]:
    return {"X": Data(value=value, degrees=degrees, **more)}


def rows(value: np.ndarray, degree: float | None = 1, **more: Any) -> dict[str, Argument]:
    degrees = None if degree is None else {"it": degree, "0": degree, "1": degree}
    return {"X": Data(value=value, degrees=degrees, grows=(0,), **more)}


def learner(name: str, **more: Any) -> list[Entry]:
    given = {
        "n_components": Count(value=4, none=True), "max_iter": 3, "random_state": 0,
        "n_nonzero_coefs": Count(value=2, none=True),
        "tol": Number(low=0, none=True), "init": Option(other=True, none=True),
    }  # fmt: skip
    cls = estimator(
        name, given | more, samples(SIGNALS, {"components_": 0}), ("components_",),
        rtol=1e-4, branching=True,
    )  # fmt: skip
    return [
        cls,
        method("transform", cls, rows(SIGNALS)),
        method("inverse_transform", cls, codes_of(name, (3, 4))),
    ]


def regressor(name: str, **more: Any) -> list[Entry]:
    design = Data(value=DESIGN, sparse=True, grows=(1,), degrees=None)
    target = Data(value=TARGET, ndim=(1, 2), grows=(),
                  degrees=more.pop("degrees", {"coef_": 1, "intercept_": 1}),
                  along=more.pop("along", {}))  # fmt: skip
    weights = Data(value=np.ones(14), ndim=(0, 1), grows=(), optional=True, nonnegative=True)
    data: dict[str, Argument] = {"X": design, "y": target}
    if name != "OrthogonalMatchingPursuit":
        data["sample_weight"] = weights
    cls = estimator(name, more, data, ("coef_", "intercept_"), rtol=1e-3)
    score: dict[str, Argument] = {
        "X": Data(value=DESIGN, sparse=True, grows=()),
        "y": Data(value=TARGET, ndim=(1, 2), grows=()),
        "sample_weight": weights,
    }  # fmt: skip
    return [
        cls,
        method("predict", cls, {"X": Data(value=DESIGN, sparse=True, grows=(0,))}, rtol=1e-3),
        method("score", cls, score, rtol=1e-3),
    ]


KSVD = learner("KSVD", update=Option())
MOD = learner("MOD")
ONLINE = learner("OnlineDictionaryLearning", batch_size=Count(value=4, none=True))
ONLINE.append(
    method("partial_fit", ONLINE[0], rows(SIGNALS, None), answers=lambda e: {"c": e.components_})
)

LC = estimator(
    "LabelConsistentKSVD",
    {"n_components": Count(value=4, none=True), "n_nonzero_coefs": Count(value=2, none=True),
     "label_weight": Number(low=0), "classifier_weight": Number(low=0), "max_iter": 3,
     "random_state": 0},
    {"X": Data(value=SIGNALS, degrees={"components_": 0}), "y": Labels(value=CLASSES)},
    ("components_",), rtol=1e-4, branching=True,
)  # fmt: skip
LABELLED = [
    LC,
    method("transform", LC, rows(SIGNALS)),
    method("inverse_transform", LC, codes_of("LC", (3, 4))),
    method("predict", LC, rows(SIGNALS, None)),
    method("decision_function", LC, rows(SIGNALS)),
    method("score", LC, {"X": Data(value=SIGNALS, grows=()), "y": Labels(value=CLASSES)}),
]

CODER = estimator(
    "SparseCoder",
    {"dictionary": Option(other=True), "n_components": Count(none=True),
     "transform_algorithm": Option(), "transform_n_nonzero_coefs": Count(value=2, none=True),
     "transform_residual_tol": Number(low=0, none=True), "split_sign": Flag(),
     "transform_alpha": Number(low=0, open_low=True, none=True),
     "positive_code": Flag(), "transform_tol": Number(low=0, none=True),
     "transform_max_iter": Limit(none=True), "n_jobs": Threads(minus_one=True)},
    samples(SIGNALS), ("components_",),
)  # fmt: skip
CODERS = [
    CODER,
    method("transform", CODER, rows(SIGNALS)),
    method("inverse_transform", CODER, codes_of("", (3, 6))),
]

CONVOLUTIONAL = estimator(
    "ConvolutionalDictionaryLearning",
    {"n_components": Count(value=2), "atom_shape": Count(value=(3, 3), lengths=True, none=True),
     "sample_shape": Count(value=(6, 6), lengths=True, none=True), "alpha": 0.5,
     "max_iter": 3, "tol": Number(low=0, none=True), "transform_tol": Number(low=0),
     "transform_max_iter": Limit(), "init": Thing(none=True), "random_state": 0},
    {"X": Data(value=IMAGES, grows=(0,), degrees={"components_": 0}, along={"alpha": 1})},
    ("components_",), rtol=1e-3, branching=True,
)  # fmt: skip
IMAGERS = [
    CONVOLUTIONAL,
    method("transform", CONVOLUTIONAL, rows(IMAGES, None), rtol=1e-3),
    method("inverse_transform", CONVOLUTIONAL, rows(rng.standard_normal((3, 72)))),
]

SENSING = estimator(
    "CompressedSensing",
    {"n_measurements": Count(value=4, none=True), "sensing": Option(other=True),
     "basis": Option(other=True), "solver": Option(none=True),
     "n_nonzero_coefs": Count(none=True), "sigma": Number(low=0, none=True),
     "random_state": 0, "tol": Number(low=0, none=True), "max_iter": Limit(none=True)},
    samples(SIGNALS), ("sensing_matrix_",),
)  # fmt: skip
SENSORS = [
    SENSING,
    method("transform", SENSING, rows(SIGNALS)),
    method("inverse_transform", SENSING, rows(rng.standard_normal((3, 4)))),
]

ROBUST = estimator(
    "RobustPCA",
    {"method": Option(), "rank": Count(none=True), "sigma": Number(low=0, none=True),
     "n_outliers": Count(low=0, none=True), "forgetting": Number(low=0, high=1, none=True),
     "batch_size": Count(none=True), "transform_alpha": Number(low=0, open_low=True, none=True),
     "tol": Number(value=1e-7, low=0, none=True), "max_iter": Limit(none=True)},
    samples(CORRUPTED, {"low_rank_": 1, "sparse_": 1}), ("low_rank_", "sparse_"),
    lambda a, r, t: checks.split(a, {"low_rank": r["low_rank_"], "sparse": r["sparse_"]}, t),
    rtol=1e-3, branching=True,
)  # fmt: skip
ONLINE_ROBUST = estimator(
    "RobustPCA, online",
    {"method": Option(value="online"), "rank": Count(value=2, none=True),
     "sigma": Number(low=0, none=True), "n_outliers": Count(low=0, none=True),
     "forgetting": Number(low=0, high=1, open_low=True, none=True), "batch_size": Count(none=True),
     "transform_alpha": Number(low=0, open_low=True, none=True), "tol": Number(low=0, none=True),
     "max_iter": Limit(value=60, none=True)},
    samples(CORRUPTED, {"components_": 0}), ("components_",), rtol=1e-3, branching=True,
)  # fmt: skip
PROJECTED = {"rtol": 1e-3}
SPLITTERS = [
    ROBUST,
    ONLINE_ROBUST,
    method("partial_fit", ONLINE_ROBUST, rows(CORRUPTED, None),
           answers=lambda e: {"_components": e.components_}),
    method("transform", ROBUST, rows(CORRUPTED, None), **PROJECTED),
    method("decompose", ROBUST, rows(CORRUPTED, None), **PROJECTED),
    method("score_samples", ROBUST, rows(CORRUPTED, None), **PROJECTED),
    method("inverse_transform", ONLINE_ROBUST, codes_of("", (3, 2))),
]  # fmt: skip

COMPLETION = estimator(
    "MatrixCompletion", {"alpha_ratio": 0.1, "tol": 1e-7},
    samples(HOLES, {"singular_values_": 1, "alpha_": 1}, nan=True),
    ("singular_values_", "alpha_"), rtol=1e-3,
)  # fmt: skip
QUANTIZER = estimator(
    "DynamicQuantizer", {"bits": Count(value=8, low=2, high=16), "symmetric": Flag()},
    samples(SIGNALS), ("n_features_in_",),
)  # fmt: skip
COMPRESSOR = estimator(
    "LayerCompressor",
    {"method": Option(value="low_rank"), "budget": Thing(value=0.5, none=True)}
    | {n: Thing(none=True) for n in (
        "damping", "metric", "form", "kernel_shape", "criterion", "pattern", "keep", "of",
        "block_shape", "threshold", "n_stages", "refit", "refit_tol", "low_rank_share",
        "start",
        "atoms_per_nonzero", "learning", "bits", "rounding", "subvector", "rows_per_codebook",
        "group_size", "symmetric", "n_rounds", "value_bits")},
    samples(CORRUPTED, {"error_": 0}), ("error_",),
)  # fmt: skip

ENTRIES = [
    *KSVD, *MOD, *ONLINE, *LABELLED, *CODERS, *IMAGERS, *SENSORS, *SPLITTERS,
    *regressor("Lasso", alpha=Number(value=0.1, low=0, open_low=True), tol=1e-8,
               along={"alpha": 1}),
    *regressor("ElasticNet", alpha=Number(value=0.1, low=0, open_low=True), tol=1e-8,
               l1_ratio=Number(low=0, high=1), degrees=None),
    *regressor("LassoCV", eps=Number(low=2e-16, high=1),
               alphas=Thing(value=5, none=True), cv=Thing(value=2, none=True),
               n_jobs=Threads(minus_one=True), tol=1e-6),
    *regressor("OrthogonalMatchingPursuit", n_nonzero_coefs=Count(value=2, high=5, none=True),
               tol=Number(low=0, none=True)),
    COMPLETION,
    method("transform", COMPLETION, rows(HOLES, None, nan=True)),
    QUANTIZER,
    method("transform", QUANTIZER, rows(SIGNALS), rtol=1e-2),
    method("quantize", QUANTIZER, rows(SIGNALS, None), answers=lambda q: {"codes": q.codes,
           "scales": q.scales}),
    method("score", QUANTIZER, rows(SIGNALS, 0)),
    COMPRESSOR,
    method("transform", COMPRESSOR, rows(CORRUPTED)),
    method("score", COMPRESSOR, rows(CORRUPTED, 0)),
]  # fmt: skip
