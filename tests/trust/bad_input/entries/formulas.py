"""Formulas: objectives, penalties, theory, operators."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bad_input import checks
from bad_input.arguments import Argument, Count, Data, Function, Number, Option, Path, Thing
from bad_input.entries.low_rank import X as CORRUPTED
from bad_input.entries.solvers import MATRIX, SIGNAL
from bad_input.entry import Entry, entry
from sparsecode import penalties

rng = np.random.default_rng(6)
X = rng.standard_normal(9)
RESIDUAL = SIGNAL - MATRIX @ X
CORRELATION = MATRIX.T @ RESIDUAL


def vector(value: np.ndarray, **more: Any) -> Data:
    return Data(**({"value": value, "ndim": (1, 2), "complex": True, "grows": ()} | more))


A = Data(value=MATRIX, complex=True, sparse=True, grows=())


def number(result: Any) -> dict[str, Any]:
    return {"it": np.asarray(result)}


def matrix(operator: Any) -> dict[str, Any]:
    """What an operator is, both ways."""
    m, n = operator.shape
    return {"it": operator @ np.eye(n), "adjoint": operator.H @ np.eye(m)}


PENALTY = Thing(none=True)
WEIGHT = Number(value=0.5, low=0, open_low=True)
OBJECTIVES = "objectives"
objectives = [
    entry("objectives.alpha_max", OBJECTIVES,
          given={"A": dataclasses.replace(A, grows=(1,)),
                 "y": vector(SIGNAL, degrees={"it": 1}), "penalty": PENALTY}),
    entry("objectives.least_squares", OBJECTIVES,
          given={"residual": vector(RESIDUAL, degrees={"it": 2}, grows=(0, 1))},
          may_be_infinite=True),
    entry("objectives.lasso_objective", OBJECTIVES,
          given={"A": A, "y": vector(SIGNAL), "x": vector(X),
                 "alpha": Number(value=0.5, low=0), "penalty": PENALTY}, may_be_infinite=True),
    entry("objectives.dual_point", OBJECTIVES,
          given={"residual": vector(RESIDUAL, grows=(0,)),
                 "correlation": vector(CORRELATION, grows=(0,)), "alpha": WEIGHT,
                 "penalty": Thing(value=penalties.L1(), none=True)}),
    entry("objectives.duality_gap", OBJECTIVES,
          given={"residual": vector(RESIDUAL, grows=(0,)), "correlation": vector(CORRELATION),
                 "x": vector(X), "alpha": WEIGHT, "penalty": PENALTY}, may_be_infinite=True),
    entry("objectives.pcp_objective", OBJECTIVES,
          given={"low_rank": Data(value=CORRUPTED, grows=(), degrees={"it": 1},
                                  along={"sparse": 1}),
                 "sparse": Data(value=CORRUPTED, grows=(), degrees={"it": 1},
                                along={"low_rank": 1}),
                 "alpha": Number(value=0.5, low=0),
                 "weights": Data(value=np.ones(CORRUPTED.shape), ndim=(0, 1, 2), grows=(),
                                 nonnegative=True, optional=True)}),
    entry("objectives.pcp_duality_gap", OBJECTIVES,
          given={"X": Data(value=CORRUPTED, grows=()), "low_rank": Data(value=0.5 * CORRUPTED,
                 grows=()), "dual": Data(value=0.1 * CORRUPTED, grows=()), "alpha": WEIGHT,
                 "weights": Data(value=np.ones(CORRUPTED.shape), ndim=(0, 1, 2), grows=(),
                                 nonnegative=True, optional=True),
                 "sparse": Data(value=0.5 * CORRUPTED, grows=(), optional=True),
                 "radius": Number(low=0)}),
]  # fmt: skip


def coherence(arguments: Any, answers: Any, tolerance: float) -> str | None:
    A = checks.wide(arguments["A"])
    lengths = checks.norms(A)
    A = A[:, lengths > 0] / lengths[lengths > 0]
    right = np.abs(A.conj().T @ A - np.diag(checks.norms(A) ** 2)).max(initial=0)
    return None if abs(answers["it"] - right) <= max(tolerance, 1e-9) else f"not {float(right)}"


THEORY = "theory"


def nearest(A: Any, y: Any, k: int) -> Any:
    return np.linalg.lstsq(A, y, rcond=None)[0]


theory = [
    entry("theory.mutual_coherence", THEORY,
          given={"A": Data(value=MATRIX, complex=True, degrees={"it": 0})}, check=coherence),
    entry("theory.recovery_guarantee", THEORY,
          given={"A": Data(value=MATRIX, complex=True, degrees={"0": 0, "1": 0})}),
    entry("theory.phase_transition", THEORY,
          given={"delta": Data(value=np.array([0.2, 0.5, 0.9]), ndim=tuple(range(9)),
                               nonnegative=True, constrained=True)}),
    entry("theory.empirical_phase_transition", THEORY,
          given={"solver": Function(value=nearest, none=False), "n": Count(value=12),
                 "deltas": Data(value=np.array([0.5]), ndim=(1,), nonnegative=True,
                                constrained=True),
                 "rhos": Data(value=np.array([0.1, 0.9]), ndim=(1, 2), nonnegative=True,
                              constrained=True, optional=True),
                 "n_trials": Count(value=2, high=1_000_000), "success_tol": Number(low=0),
                 "random_state": Count(value=0, low=0), "n_jobs": Thing(none=True),
                 "path": Path(none=True)},
          answers=lambda found: {"successes": found.n_successes}),
]  # fmt: skip

OPERATORS = "operators"
ROWS: Argument = Thing(value=[0, 3, 5])
LENGTHS = Count(value=8, lengths=True)


def transform(name: str, **more: Any) -> Entry:
    return entry(
        f"operators.{name}", OPERATORS, given={"shape": LENGTHS} | more, answers=matrix,
    )  # fmt: skip


operators = [
    transform("dct"),
    transform("finite_differences"),
    transform("mask", rows=ROWS),
    transform("subsampled_dct", rows=ROWS),
    transform("subsampled_fft", rows=ROWS),
    transform("subsampled_hadamard", rows=ROWS),
    transform("wavelet_synthesis", wavelet=Option(), level=Count(none=True, low=0)),
    transform("blur", kernel=Data(value=np.array([0.2, 0.5, 0.3]), ndim=(1,), complex=True,
              degrees={"it": 1, "adjoint": 1}), boundary=Option()),
    entry("operators.random_convolution", OPERATORS, answers=matrix,
          given={"n": Count(value=8), "rows": ROWS, "random_state": 0}),
    entry("operators.gaussian", OPERATORS, answers=matrix,
          given={"m": Count(value=3), "n": Count(value=5), "random_state": 0}),
    entry("operators.bernoulli", OPERATORS, answers=matrix,
          given={"m": Count(value=3), "n": Count(value=5), "random_state": 0}),
    entry("operators.overcomplete_dct", OPERATORS,
          given={"n_components": Count(value=5), "n_features": Count(value=4)}),
    entry("operators.spectral_norm", OPERATORS,
          given={"A": Data(value=MATRIX, complex=True, sparse=True, degrees={"it": 1}),
                 "tolerance": Number(low=0)}),
    entry("operators.adjoint", OPERATORS,
          given={"A": Data(value=MATRIX, complex=True, sparse=True, nan=True, inf=True,
                           empty=True, degrees={"it": 1})}, may_be_infinite=True),
    entry("operators.as_real", OPERATORS, answers=matrix,
          given={"A": Data(value=MATRIX, complex=True, sparse=True,
                           degrees={"it": 1, "adjoint": 1})}),
    entry("operators.centered", OPERATORS, answers=matrix,
          given={"A": Data(value=MATRIX, sparse=True, grows=(0,)),
                 "offsets": Data(value=np.ones(9), ndim=(1,), grows=()),
                 "row_weights": Data(ndim=(1,), optional=True, value=np.ones(6), grows=())}),
    entry("operators.projection_onto_complement", OPERATORS, answers=matrix,
          given={"basis": Data(value=np.linalg.qr(MATRIX.T)[0].T[:2].copy(), complex=True,
                               constrained=True, empty=True, grows=())}),
    entry("operators.concatenation", OPERATORS, answers=matrix,
          given={"operators": Thing(value=[MATRIX, np.eye(6)])}),
]  # fmt: skip
ENTRIES = [*objectives, *theory, *operators]
