"""Solvers of one system: ``A x ~ y``."""

from __future__ import annotations

from typing import Any

import numpy as np

from bad_input import checks
from bad_input.arguments import Count, Data, Limit, Number, Option, Thing
from bad_input.entry import Entry, answers_of, entry

M, N = 6, 9
rng = np.random.default_rng(0)
MATRIX = rng.standard_normal((M, N))
SIGNAL = MATRIX @ np.where(np.arange(N) % 4 == 1, 1.5, 0) + 0.1 * rng.standard_normal(M)


def A(degree: float = -1, **along: float) -> Data:
    return Data(value=MATRIX, complex=True, sparse=True, grows=(1,), degrees={"x": degree,
                "alphas": 1}, along=along)  # fmt: skip


def y(**along: float) -> Data:
    ndim = along.pop("ndim", (1, 2))
    return Data(value=SIGNAL, complex=True, ndim=ndim, grows=(),
                degrees={"x": 1, "alphas": 1}, along=along)  # fmt: skip


def real(data: Data) -> Data:
    import dataclasses

    return dataclasses.replace(data, complex=False)


def one(data: Data) -> Data:
    import dataclasses

    return dataclasses.replace(data, ndim=(1,))


def entries_only(data: Data) -> Data:
    import dataclasses

    return dataclasses.replace(data, sparse=False)


def penalised(name: str, **more: Any) -> Entry:
    given = {"A": A(), "y": y(), "alpha_ratio": 0.2, "tol": 1e-8, "max_iter": 4_000}
    return entry(
        f"solvers.{name}", "solvers: one system", given=given | more, answers=answers_of("x"),
        check=checks.lasso, rtol=1e-3,
    )  # fmt: skip


def pursuit(name: str, check: Any = checks.fitted_pursuit, **more: Any) -> Entry:
    given = {"A": A(), "y": y(), "n_nonzero_coefs": Count(value=2, high=N, none=True)}
    return entry(
        f"solvers.{name}", "solvers: one system", given=given | more, answers=answers_of("x"),
        check=check, branching=True,
    )  # fmt: skip


WEIGHTS = Data(value=np.linspace(0.5, 1.5, N), ndim=(1,), optional=True, grows=(),
               nonnegative=True)  # fmt: skip


def constrained_answers(result: Any) -> dict[str, Any]:
    return {"x": result.x, "_dual": result.dual}


def constrained(name: str, check: Any, **more: Any) -> Entry:
    given = {
        "A": A(), "y": one(y()), "method": Option(none=False),
        "weights": Data(value=np.ones(N), ndim=(1,), optional=True, grows=(), nonnegative=True),
        "max_iter": Limit(value=300, none=True), "tol": 1e-8,
    }  # fmt: skip
    return entry(
        f"solvers.{name}", "solvers: one system", given=given | more, answers=constrained_answers,
        check=check, rtol=1e-3,
    )  # fmt: skip


def of_result(**attributes: str) -> Any:
    return lambda result: {name: getattr(result, a) for name, a in attributes.items()}


ENTRIES = [
    penalised("ista"),
    penalised("fista", step=Option()),
    penalised("semismooth_newton", A=real(A()), y=one(real(y())), max_iter=20),
    penalised("coordinate_descent", A=real(A()), y=one(real(y())), max_iter=20),
    penalised("admm", rho=Number(low=0, open_low=True, none=True),
              over_relaxation=Number(low=1, high=2, open_high=True)),
    entry("solvers.lars", "solvers: one system",
          given={"A": real(A()), "y": one(real(y())), "alpha_ratio": 0.2,
                 "max_iter": Limit(none=True)},
          answers=answers_of("x", "alphas"), check=checks.path),
    entry("solvers.lasso_path", "solvers: one system",
          given={"A": real(A()), "y": one(real(y())),
                 "alphas": Count(value=4, lengths=True), "tol": 1e-10,
                 "alpha_ratio": 0.1, "max_iter": 20},
          answers=answers_of("x", "alphas"), check=checks.path, rtol=1e-3),
    pursuit("matching_pursuit", checks.pursuit, max_iter=Limit(value=1000, none=True)),
    pursuit("omp"),
    pursuit("ols"),
    pursuit("cosamp", checks.pursuit),
    pursuit("subspace_pursuit"),
    pursuit("iht", checks.pursuit, variant=Option()),
    pursuit("htp"),
    constrained("basis_pursuit", checks.constrained),
    constrained("bpdn", checks.constrained, sigma=Number(value=0.3, low=0),
                y=one(y(sigma=1))),
    constrained("lasso_constrained", checks.ball, tau=Number(value=1.5, low=0),
                A=A(-1, tau=-1), y=one(y(tau=1))),
    entry("solvers.amp", "solvers: one system",
          given={"A": real(A()), "y": one(real(y())),
                 "threshold": Number(value=2.0, low=0, open_low=True, none=True),
                 "denoiser": Thing(none=True),
                 "damping": Number(value=0.3, low=0, high=1, open_high=True), "max_iter": 300},
          answers=answers_of("x"), rtol=1e-3),
]  # fmt: skip
