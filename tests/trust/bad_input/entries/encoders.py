"""Codes of many signals in one dictionary."""

from __future__ import annotations

from typing import Any

import numpy as np

from bad_input import checks
from bad_input.arguments import Count, Data, Limit, Number, Option
from bad_input.entry import Entry, entry, itself

ROOM = "solvers: many signals"
rng = np.random.default_rng(1)
ATOMS = rng.standard_normal((9, 6))
X = (rng.standard_normal((5, 9)) * (rng.random((5, 9)) < 0.3)) @ ATOMS
X += 0.1 * rng.standard_normal(X.shape)


def encoder(algorithm: str, check: Any, *, alpha: bool, **more: Any) -> Entry:
    along: dict[str, float] = {"alpha": 1} if alpha else {}
    given = {
        "X": Data(value=X, degrees={"it": 1}, grows=(0,), along=along),
        "dictionary": Data(value=ATOMS, degrees={"it": 1 if algorithm == "threshold" else -1},
                           grows=(0,), along=along),
        "algorithm": Option(value=algorithm),
        "n_nonzero_coefs": Count(high=9, none=True),
        "tol": Number(low=0, none=True),
        "max_iter": Limit(none=True),
    }  # fmt: skip
    given |= {"alpha": 0.5} if alpha else {"n_nonzero_coefs": Count(value=2, high=9, none=True)}
    return entry(
        f"solvers.sparse_encode, {algorithm}", ROOM, given=given | more,
        check=checks.of_rows(check), branching=True, rtol=1e-3 if algorithm == "lasso" else 1e-6,
    )  # fmt: skip


def soft(arguments: Any, answers: Any, tolerance: float) -> str | None:
    X, D = checks.wide(arguments["X"]), checks.wide(arguments["dictionary"])
    correlation = X @ D.T
    right = np.sign(correlation) * np.maximum(np.abs(correlation) - arguments["alpha"], 0)
    size = np.abs(correlation).max(initial=0)
    error = np.abs(right - checks.wide(answers["it"])).max(initial=0)
    return None if error <= max(tolerance, 1e-9) * size else f"off by {float(error):.2g}"


def certificate(arguments: Any, answers: Any, tolerance: float) -> str | None:
    """The residual over the signal, or the gap over the objective at zero."""
    X, D, C = (checks.wide(arguments[n]) for n in ("X", "dictionary", "codes"))
    size, R = checks.norms(X.T), X - C @ D
    if arguments.get("alpha") is None:
        right, whole = checks.norms(R.T), size
    else:
        alpha = np.longdouble(arguments["alpha"])
        polar = np.abs(R @ D.T).max(axis=1)
        shrink = np.where(polar > alpha, alpha / np.where(polar > 0, polar, 1), 1)[:, None]
        primal = np.sum(R**2, axis=1) / 2 + alpha * np.abs(C).sum(axis=1)
        right = primal - np.sum(shrink * R * X - (shrink * R) ** 2 / 2, axis=1)
        whole = size**2 / 2
    got = checks.wide(answers["it"])
    if got.shape != right.shape or np.any(np.isnan(got)):
        return f"{got}"
    beyond = right > whole * np.finfo(np.float64).max  # infinity is the nearest number
    with np.errstate(invalid="ignore"):
        near = np.abs(got * whole - right) <= max(tolerance, 1e-6) * (whole + right)
    fits = np.where(whole > 0, near | beyond & np.isinf(got), (right == 0) == (got == 0))
    return None if np.all(fits) else "another certificate"


CODES = np.round(rng.standard_normal((5, 9)) * (rng.random((5, 9)) < 0.3), 2)

ENTRIES = [
    encoder("omp", checks.fitted_pursuit, alpha=False),
    encoder("ols", checks.fitted_pursuit, alpha=False),
    encoder("gradient_pursuit", checks.pursuit, alpha=False),
    encoder("iht", checks.pursuit, alpha=False),
    encoder("lasso", checks.lasso, alpha=True, tol=Number(value=1e-9, low=0, none=True)),
    encoder("lars", checks.lasso, alpha=True),
    entry("solvers.sparse_encode, threshold", ROOM,
          given={"X": Data(value=X, grows=(0,)), "dictionary": Data(value=ATOMS, grows=(0,)),
                 "algorithm": Option(value="threshold"), "alpha": 0.5,
                 "n_nonzero_coefs": Count(high=9, none=True), "tol": Number(low=0, none=True),
                 "max_iter": Limit(none=True)},
          check=soft),
    entry("solvers.code_certificates", ROOM,
          given={"X": Data(value=X, grows=(), degrees=None),
                 "dictionary": Data(value=ATOMS, grows=()),
                 "codes": Data(value=CODES, grows=(), sparse=True)},
          check=certificate, answers=itself, may_be_infinite=True),
]  # fmt: skip
