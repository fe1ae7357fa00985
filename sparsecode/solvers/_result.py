"""What every solver returns: the answer, a certificate, and how it came about."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import scipy.sparse as sp

History = Mapping[str, np.ndarray]


class Status(enum.Enum):
    """Why a solver stopped; the value is the message."""

    CONVERGED = "the certificate is at most tol"
    COMPLETED = (
        "all the atoms or iterations that were asked for are done, or the residual is small enough"
    )
    EXHAUSTED = "no further atom reduces the residual"
    MAX_ITER = "max_iter was reached before the certificate was at most tol"
    INACCURATE = "rounding errors decided the answer; the certificate says how far it can be off"
    CALLBACK = "the callback asked to stop"


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """The part that all results share.

    Attributes
    ----------
    objective : float
        The value of the objective at the answer, as the solver's docstring states it.
    certificate : float
        Relative and dimensionless; the number that was compared with `tol`.
    n_iter : int
        Iterations done.
    status : Status
        Why the solver stopped.
    history : mapping of str to ndarray
        One entry for each time the certificate was evaluated; at least ``"n_iter"``,
        ``"objective"``, ``"certificate"`` and ``"seconds"`` for iterative solvers.
    """

    objective: float
    certificate: float
    n_iter: int
    status: Status
    history: History

    @property
    def converged(self) -> bool:
        """Whether the answer is as good as was asked for."""
        return self.status in (Status.CONVERGED, Status.COMPLETED)

    def __repr__(self) -> str:
        shown = {f.name: _short(getattr(self, f.name)) for f in fields(self) if f.repr}
        return f"{type(self).__name__}({', '.join(f'{key}={text}' for key, text in shown.items())})"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) or sp.issparse(value):
        return f"<{value.dtype} {'x'.join(map(str, value.shape))}>"
    if isinstance(value, Mapping):
        return f"<{', '.join(value)}>"
    return value.name if isinstance(value, Status) else repr(value)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CodeResult(Result):
    """Coefficients of one signal or of many.

    Attributes
    ----------
    x : ndarray of shape (n,) or (n, n_signals)
        The coefficients.
    dual_gap : float
        In the units of the objective: the objective is within this of the best possible one
        (summed over the signals). NaN where the problem is not convex and there is no gap.
    """

    x: np.ndarray
    dual_gap: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PathResult(Result):
    """Coefficients of one signal at each of several alphas.

    The `objective` is that of the last alpha, the `certificate` the worst of all.

    Attributes
    ----------
    alphas : ndarray of shape (n_alphas,)
        In descending order.
    x : ndarray of shape (n, n_alphas)
        The coefficients at each alpha.
    dual_gaps : ndarray of shape (n_alphas,)
        In the units of the objective: how far each can be from the best possible one.
    """

    alphas: np.ndarray
    x: np.ndarray
    dual_gaps: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DictionaryResult(Result):
    """A dictionary and the codes of the signals it was learned from.

    Attributes
    ----------
    dictionary : ndarray of shape (n_components, n_features)
        The atoms, one a row, of unit norm.
    codes : scipy.sparse.csr_array of shape (n_samples, n_components)
        ``X ~ codes @ dictionary``.
    state : object
        What a further call with this result for `init` goes on from.
    """

    dictionary: np.ndarray
    codes: sp.csr_array
    state: Any = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ConvolutionalResult(Result):
    """Atoms that stand at every place, and the codes of the signals they were learned from.

    Attributes
    ----------
    dictionary : ndarray of shape (n_components, size) or (n_components, height, width)
        The atoms, of norm at most one; with channels these are the last axis.
    codes : ndarray of shape (n_samples, n_components, n) or (n_samples, n_components, h, w)
        A signal is about the sum of its codes, each convolved with its atom.
    dual_gap : float
        In the units of the objective: with these atoms no codes have an objective below
        ``objective - dual_gap``.
    state : object
        What a further call with this result for `init` goes on from.
    """

    dictionary: np.ndarray
    codes: np.ndarray
    dual_gap: float
    state: Any = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SplitResult(Result):
    """A matrix split into low rank plus sparse.

    Attributes
    ----------
    low_rank, sparse : ndarray of shape (n_samples, n_features)
        The two parts.
    rank : int
        The rank of `low_rank`.
    singular_values : ndarray of shape (rank,)
        Those of `low_rank`.
    components : ndarray of shape (rank, n_features)
        Orthonormal rows that span the rows of `low_rank`.
    n_svd : int
        Singular value decompositions computed.
    dual_gap : float
        The duality gap of the exact split ``(low_rank, X - low_rank)``, relative to its objective.
    """

    low_rank: np.ndarray
    sparse: np.ndarray
    rank: int
    singular_values: np.ndarray
    components: np.ndarray
    n_svd: int
    dual_gap: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CompletionResult(Result):
    """A matrix whose missing entries have been found.

    Attributes
    ----------
    matrix : ndarray of shape (m, n)
        The low-rank estimate of every entry, observed or not.
    rank : int
        Its rank.
    singular_values : ndarray of shape (rank,)
        Its singular values.
    components : ndarray of shape (rank, n)
        Orthonormal rows that span its rows.
    alpha : float
        The weight of the nuclear norm.
    """

    matrix: np.ndarray
    rank: int
    singular_values: np.ndarray
    components: np.ndarray
    alpha: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SVDResult(Result):
    """Leading singular vectors and values.

    Attributes
    ----------
    U : ndarray of shape (m, rank)
        Left singular vectors.
    singular_values : ndarray of shape (rank,)
        In descending order.
    Vt : ndarray of shape (rank, n)
        Right singular vectors, one a row.
    error : float
        ``||X - U diag(s) Vt||_F``.
    """

    U: np.ndarray
    singular_values: np.ndarray
    Vt: np.ndarray
    error: float
