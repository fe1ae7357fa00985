"""Solvers of recovery: reweighted norms, shared supports, total variation, and what follows one."""

from __future__ import annotations

from typing import Any

import numpy as np

from bad_input import checks
from bad_input.arguments import Count, Data, Flag, Number, Option, Thing
from bad_input.entry import Entry, answers_of, entry

from .solvers import A, N, one, pursuit, y

ROOM = "solvers: recovery"
rng = np.random.default_rng(9)
CODE = np.where(np.arange(N) % 4 == 1, 1.5, 0.0)
SHAPE = (3, 3)
PICTURE = np.repeat([[1.0, 3.0, 0.0]], 3, axis=0) + 0.1 * rng.standard_normal(SHAPE)


def on_support(arguments: Any, answers: Any, tolerance: float) -> str | None:
    """Zero elsewhere, and the residual is orthogonal to the columns there."""
    M, X = checks.wide(arguments["A"]), checks.columns(answers["x"])
    Y, support = checks.columns(arguments["y"]), np.asarray(arguments["support"])
    kept = (support != 0).reshape(len(X), -1) if support.size else np.zeros(X.shape, bool)
    meant = [kept]
    if support.ndim == 1 and np.all(support == np.round(support.real)):  # integers are places
        meant.append(np.isin(np.arange(len(X)), support)[:, None])
    tolerance = max(tolerance, 1e-6, arguments.get("tol") or 0.0)
    bound = tolerance * checks.norms(checks.norms(M)) * checks.norms(Y)
    steep = np.abs(M.conj().T @ (Y - M @ X)) > bound
    right = any(not np.any(np.where(kept, steep, X != 0)) for kept in meant)
    return None if right else "not least squares on the support"


def reweighted(arguments: Any, answers: Any, tolerance: float) -> str | None:
    """Within sigma, if there is one."""
    M, x, Y = (checks.wide(v) for v in (arguments["A"], answers["x"], arguments["y"]))
    sigma = arguments.get("sigma")
    if sigma is None or arguments.get("alpha_ratio") is not None:
        return None
    left, tolerance = checks.norms(Y - M @ x), max(tolerance, 1e-4, arguments.get("tol") or 0.0)
    return None if left <= sigma + tolerance * checks.norms(Y) else "outside the constraint"


def differences(x: Any) -> Any:
    """Along each axis, and none across the last edge."""
    return np.stack([np.diff(x, axis=a, append=np.take(x, [-1], a)) for a in range(x.ndim)])


def adjoint_differences(p: Any) -> Any:
    total = np.zeros(p.shape[1:], p.dtype)
    for axis, part in enumerate(p):
        inner = np.moveaxis(part, axis, 0)[:-1]
        moved = np.moveaxis(total, axis, 0)  # a view
        moved[:-1] -= inner
        moved[1:] += inner
    return total


def variation(arguments: Any, answers: Any, tolerance: float) -> str | None:
    """The gap to the value of the dual point that came along, in extended precision."""
    x, q, p = (checks.wide(answers[n]) for n in ("x", "_dual", "_field"))
    Y = checks.wide(arguments["y"]).ravel()
    M = np.eye(x.size) if arguments["A"] is None else checks.wide(arguments["A"])
    alpha, sigma = (np.longdouble(arguments.get(n) or 0.0) for n in ("alpha", "sigma"))
    tolerance = max(tolerance, 1e-4, arguments.get("tol") or 0.0)
    lengths_of = checks.norms if arguments.get("isotropic", True) else np.abs
    lengths = lengths_of(differences(x))
    R, left, size = np.sum(lengths), checks.norms(Y - M @ x.ravel()), checks.norms(Y)
    matched = adjoint_differences(p).ravel() - M.conj().T @ q
    if checks.norms(matched) > tolerance * checks.norms(M.conj().T @ Y):
        return "the dual point and its field do not match"
    if lengths_of(p).max() > (alpha or 1) * (1 + tolerance):
        return "the field is longer than it may be"
    pairing = np.sum((np.conj(Y) * q).real)
    if alpha:
        value, bound, whole = left**2 / 2 + alpha * R, pairing - checks.norms(q) ** 2 / 2, size**2
    else:
        value, bound, whole = R, pairing - sigma * checks.norms(q), R
        if left > sigma + tolerance * size:
            return "outside the constraint"
    return None if value - bound <= tolerance * whole else "far from its dual bound"


def variation_answers(result: Any) -> dict[str, Any]:
    return {"x": result.x, "_dual": result.dual, "_field": result.dual_field}


def total_variation(name: str, **given: Any) -> Entry:
    common = {"shape": Count(value=SHAPE, lengths=True), "sigma": Number(low=0),
              "wavelet_weight": Number(low=0, open_low=True, none=True),
              "wavelet": Thing(none=True), "isotropic": Flag(), "real": Flag(),
              "boundary": Option(), "tol": 1e-7, "max_iter": 4000}  # fmt: skip
    return entry(
        f"solvers.{name}", ROOM, given=common | given, answers=variation_answers, check=variation,
        rtol=1e-3,
    )  # fmt: skip


ENTRIES = [
    entry("solvers.debias", ROOM,
          given={"A": A(), "y": y(), "tol": 1e-10, "max_iter": 200,
                 "support": Data(value=CODE, ndim=(1, 2), complex=True, empty=True, grows=(),
                                 constrained=True)},
          answers=answers_of("x"), check=on_support),
    entry("solvers.estimate_noise", ROOM,
          given={"x": Data(value=rng.standard_normal((5, 7)), complex=True,
                           ndim=tuple(range(1, 9)), degrees={"it": 1}),
                 "axes": Thing(none=True)}),
    entry("solvers.reweighted_l1", ROOM,
          given={"A": A(), "y": one(y()), "alpha_ratio": 0.2, "sigma": Number(low=0, none=True),
                 "epsilon": Number(low=0, open_low=True, none=True), "tol": 1e-6,
                 "max_iter": 4},
          answers=answers_of("x"), check=reweighted, rtol=1e-3, branching=True),
    entry("solvers.reweighted_l1, sigma", ROOM,
          given={"A": A(), "y": one(y(sigma=1)), "sigma": Number(value=0.3, low=0, none=True),
                 "epsilon": Number(low=0, open_low=True, none=True), "tol": 1e-6,
                 "max_iter": 4},
          answers=answers_of("x"), check=reweighted, rtol=1e-3, branching=True),
    pursuit("simultaneous_omp"),
    total_variation("total_variation",
                    A=A(alpha=1), y=one(y(alpha=1)), alpha=0.3),
    total_variation("total_variation, sigma", A=Thing(value=None, none=True),
                    y=Data(value=PICTURE, ndim=(1, 2), complex=True, grows=(), degrees={"x": 1},
                           along={"sigma": 1}),
                    sigma=Number(value=0.3, low=0)),
]  # fmt: skip

REFERENCE = "solvers: reference"
CORRUPTED = np.outer(np.arange(1.0, 5), [1.0, -1, 2]) + np.diag([5.0, 0, 0, 0])[:, :3]
SPLIT = {
    "alpha": Number(value=0.5, low=0, open_low=True, none=True),
    "weights": Data(value=np.ones((4, 3)), ndim=(0, 1, 2), optional=True, grows=(),
                    nonnegative=True),
}  # fmt: skip
WEIGHTS = Data(value=np.ones(N), ndim=(1,), optional=True, grows=(), nonnegative=True)
WEIGHTS_AND_TAU = Data(value=np.ones(N), ndim=(1,), optional=True, grows=(), nonnegative=True,
                       degrees={"x": 0}, along={"tau": 1})  # fmt: skip


def points(result: Any) -> dict[str, Any]:
    return {"x": result}


def least_norm(arguments: Any, answers: Any, tolerance: float) -> str | None:
    M, x, Y = (checks.wide(v) for v in (arguments["A"], answers["x"], arguments["y"]))
    left, tolerance = checks.norms(Y - M @ x), max(tolerance, 1e-4)
    inside = left <= arguments["sigma"] + tolerance * checks.norms(Y)
    return None if inside else "outside the constraint"


def within(arguments: Any, answers: Any, tolerance: float) -> str | None:
    """In the ball, with a residual that is no longer than without any atom."""
    M, x, Y = (checks.wide(v) for v in (arguments["A"], answers["x"], arguments["y"]))
    weights = arguments.get("weights")
    size = np.sum(np.abs(x) * checks.wide(np.ones(x.size) if weights is None else weights))
    if size > np.longdouble(arguments["tau"]) * (1 + tolerance):
        return "outside the ball"
    longer = checks.norms(Y - M @ x) > checks.norms(Y) * (1 + tolerance)
    return "the residual is longer than the signal" if longer else None


def split(arguments: Any, answers: Any, tolerance: float) -> str | None:
    X, L, S = (checks.wide(v) for v in (arguments["X"], answers["low_rank"], answers["sparse"]))
    size, left = np.sqrt(np.sum(X**2)), np.sqrt(np.sum((X - L - S) ** 2))
    allowed = np.longdouble(arguments.get("radius", 0.0)) + max(tolerance, 1e-5) * size
    return None if left <= allowed else "the parts miss the data"


ENTRIES += [
    entry("solvers.reference.lasso", REFERENCE,
          given={"A": A(alpha=1), "y": y(alpha=1),
                 "alpha": Number(value=0.5, low=0, open_low=True)},
          answers=answers_of("x"), check=checks.lasso, rtol=1e-4),
    entry("solvers.reference.bpdn", REFERENCE,
          given={"A": A(), "y": one(y(sigma=1)), "sigma": Number(value=0.3, low=0),
                 "weights": WEIGHTS},
          answers=points, check=least_norm, rtol=1e-4),
    entry("solvers.reference.lasso_constrained", REFERENCE,
          given={"A": A(-1, tau=-1), "y": one(y(tau=1)), "tau": Number(value=1.5, low=0),
                 "weights": WEIGHTS_AND_TAU},
          answers=points, check=within, rtol=1e-4),
    entry("solvers.reference.principal_component_pursuit", REFERENCE,
          given={"X": Data(value=CORRUPTED, degrees={"low_rank": 1, "sparse": 1})} | SPLIT,
          answers=answers_of("low_rank", "sparse"), check=split, rtol=1e-4),
    entry("solvers.reference.stable_pcp", REFERENCE,
          given={"X": Data(value=CORRUPTED, degrees={"low_rank": 1, "sparse": 1},
                           along={"radius": 1}),
                 "radius": Number(value=1.0, low=0)} | SPLIT,
          answers=answers_of("low_rank", "sparse"), check=split, rtol=1e-3),
]  # fmt: skip
