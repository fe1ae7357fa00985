"""Low rank, gross errors and missing entries."""

from __future__ import annotations

from typing import Any

import numpy as np

from bad_input import checks
from bad_input.arguments import Count, Data, Function, Number, Thing
from bad_input.entry import Entry, answers_of, entry

ROOM = "solvers: low rank"
rng = np.random.default_rng(3)
LOW = rng.standard_normal((10, 2)) @ rng.standard_normal((2, 8))
SPARSE = 5 * rng.standard_normal(LOW.shape) * (rng.random(LOW.shape) < 0.08)
X = LOW + SPARSE
V = np.linalg.qr(rng.standard_normal((8, 2)))[0].T.copy()
HOLES = np.where(rng.random(LOW.shape) < 0.15, np.nan, LOW)
GRAM = (lambda Z: Z.T @ Z)(rng.standard_normal((20, 8)))
PARTS = {"low_rank": 1, "sparse": 1}


def robust(name: str, check: Any = checks.split, *, _without: Any = (), **more: Any) -> Entry:
    given = {
        "X": Data(value=X, degrees=PARTS),
        "weights": Data(ndim=(0, 1, 2), value=np.ones((10, 8)), optional=True, grows=(),
                        nonnegative=True),
        "tol": 1e-7,
    }  # fmt: skip
    given |= more

    given = {n: a for n, a in given.items() if n not in _without}
    return entry(
        f"solvers.{name}", ROOM, given=given, answers=answers_of("low_rank", "sparse"),
        check=check, rtol=1e-3, branching=True,
    )  # fmt: skip


def svd_answers(result: Any) -> dict[str, Any]:
    product = result.U * result.singular_values @ result.Vt
    return {"singular_values": result.singular_values, "product": product}


def spectrum_answers(result: Any) -> dict[str, Any]:
    return {"energies": result.energies}


def factors_answers(result: Any) -> dict[str, Any]:
    return {"product": result.left @ result.right}


SVD = {"singular_values": 1, "product": 1}
MOMENT = Data(value=GRAM, constrained=True, grows=(), optional=True, degrees={"product": 0,
              "energies": 1})  # fmt: skip

ENTRIES = [
    robust("principal_component_pursuit"),
    robust("alternating_projections", _without=("weights",), rank=Count(value=2, high=8, none=True),
           decay=Number(low=0, high=1, open_low=True, open_high=True)),
    robust("stable_pcp", sigma=Number(value=0.5, low=0),
           X=Data(value=X, degrees=PARTS, along={"sigma": 1})),
    robust("godec", _without=("weights",), rank=Count(value=2, high=8),
           n_outliers=Count(value=8, low=0, high=80)),
    robust("online_robust_pca", None, _without=("weights",),
           rank=Count(value=2, high=8, none=True), state=Thing(none=True),
           forgetting=Number(low=0, high=1, open_low=True, none=True), max_iter=60),
    entry("solvers.robust_projection", ROOM,
          given={"X": Data(value=X, degrees={"z": 1, "x": 1}, along={"alpha": 1}, grows=(0,)),
                 "components": Data(value=V, constrained=True, empty=True, grows=()),
                 "alpha": Number(value=0.5, low=0, open_low=True)},
          answers=lambda r: {"z": r[0], "x": r[1].x}, rtol=1e-4),
    entry("solvers.complete", ROOM,
          given={"X": Data(value=HOLES, degrees={"matrix": 1}, nan=True), "alpha_ratio": 0.1,
                 "tol": 1e-7},
          answers=answers_of("matrix"), rtol=1e-3),
    entry("solvers.complete_rows", ROOM,
          given={"X": Data(value=HOLES, nan=True, degrees={"it": 1},
                           along={"alpha": 1, "singular_values": 1}, grows=(0,)),
                 "components": Data(value=V, empty=True, grows=()),
                 "singular_values": Data(value=np.array([3.0, 2.0]), ndim=(1,), empty=True,
                                         nonnegative=True, grows=()),
                 "alpha": Number(value=0.5, low=0, open_low=True)}),
    entry("solvers.truncated_svd", ROOM,
          given={"X": Data(value=X, degrees=SVD), "rank": Count(value=2, high=8, none=True),
                 "energy": Number(low=0, high=1, open_low=True, none=True),
                 "relative_error": Number(low=0, high=1, none=True), "random_state": 0},
          answers=svd_answers, check=checks.svd),
    entry("solvers.singular_value_threshold", ROOM,
          given={"X": Data(value=X, degrees=SVD, along={"threshold": 1}),
                 "threshold": Number(value=2.0, low=0)},
          answers=svd_answers),
    entry("solvers.effective_rank", ROOM,
          given={"singular_values": Data(value=np.array([4.0, 2.0, 1.0]), ndim=(1,),
                                         constrained=True, degrees={"it": 0})}),
    entry("solvers.weighted_svd", ROOM,
          given={"W": Data(value=X, degrees={"product": 1}), "gram": MOMENT,
                 "rank": Count(value=2, high=8)},
          answers=factors_answers, rtol=1e-5),
    entry("solvers.weighted_spectrum", ROOM,
          given={"W": Data(value=X, degrees={"energies": 2}), "gram": MOMENT},
          answers=spectrum_answers, rtol=1e-5),
    entry("solvers.state_evolution", ROOM,
          given={"delta": Number(value=0.5, low=0, open_low=True),
                 "prior_sampler": Function(
                     value=lambda rng, n: rng.standard_normal(n) * (rng.random(n) < 0.1),
                     none=False),
                 "sigma": Number(value=0.1, low=0), "n_iter": Count(value=3),
                 "threshold": Number(value=1.5, low=0, open_low=True, none=True),
                 "denoiser": Thing(none=True), "n_samples": Count(value=500), "random_state": 0}),
]  # fmt: skip
