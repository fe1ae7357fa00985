r"""Reweighted l1 norms: a few convex problems in turn, for a penalty that favours large entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sparsecode._systems import check_system
from sparsecode._validation import as_array, check_int, check_real, check_unused
from sparsecode.penalties import L1
from sparsecode.solvers._constrained_problem import ConstrainedProblem, certificate
from sparsecode.solvers._problem import Iterate, PenalizedLeastSquares, answer_dtype
from sparsecode.solvers._products import Point, largest, norm
from sparsecode.solvers._result import Result
from sparsecode.solvers._run import Callback, run, without_warnings
from sparsecode.solvers.constrained import bpdn
from sparsecode.solvers.newton import semismooth_newton
from sparsecode.solvers.proximal import fista

__all__ = ["ReweightedResult", "reweighted_l1"]

INNER_TOL = 0.1  # of the tolerance: what each of the convex problems may leave
INNER_ITER = 5000  # of each; what it leaves then is seen in the certificate
LEAST = 1e-3  # of the largest coefficient: the smallest epsilon that is chosen
LEAST_WEIGHT = 1e-12  # below, what is large costs nothing in double precision

SHOWN = ("residual", "dual_gap", "infeasibility")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ReweightedResult(Result):
    """Coefficients after the last reweighting, and how far they are from being at rest.

    Attributes
    ----------
    x : ndarray of shape (n,)
        The coefficients.
    residual : float
        ``||y - A x||_2``.
    dual_gap : float
        That of `x` in the convex problem of its own `weights`, in the units of its objective.
    infeasibility : float
        By how much the residual exceeds `sigma`, relative; 0 with an `alpha`.
    weights : ndarray of shape (n,)
        ``epsilon / (epsilon + |x|)``.
    epsilon : float
        As given, or as chosen from the first solution.
    """

    x: np.ndarray
    residual: float
    dual_gap: float
    infeasibility: float
    weights: np.ndarray
    epsilon: float


class _Round(NamedTuple):
    """The answer of one convex problem."""

    x: np.ndarray
    dual: np.ndarray  # for the weights of the problem, before it is scaled for those of `x`
    epsilon: float

    @property
    def weights(self) -> np.ndarray:
        """The slopes of the penalty at `x`: those of the next problem."""
        size = np.abs(self.x)
        if self.epsilon == 0:  # the first solution is zero
            return np.ones_like(size)
        if self.epsilon < LEAST_WEIGHT * size.max():
            raise ValueError(
                f"epsilon={self.epsilon:.3g} cannot be told from 0 beside coefficients of up to "
                f"{size.max():.3g}; give a larger one"
            )
        return (self.epsilon / (self.epsilon + size)).astype(size.dtype, copy=False)

    @property
    def penalty(self) -> float:
        """``epsilon * sum log(1 + |x| / epsilon)``."""
        if self.epsilon == 0:
            return 0.0
        return self.epsilon * float(np.sum(np.log1p(np.abs(self.x) / self.epsilon)))


def reweighted_l1(
    A: Any,
    y: Any,
    *,
    sigma: float | None = None,
    alpha: float | None = None,
    alpha_ratio: float | None = None,
    epsilon: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 20,
    callback: Callback | None = None,
) -> ReweightedResult:
    r"""Reweighted l1 norms: nearer to counting nonzeros than the l1 norm, by convex problems.

    .. math:: \min_x g(x) \quad \text{subject to} \quad \|y - A x\|_2 \le \sigma,
              \qquad \text{or} \qquad \min_x \tfrac12 \|y - A x\|_2^2 + \alpha\, g(x),
              \qquad g(x) = \epsilon \sum_i \log(1 + |x_i| / \epsilon)

    Each iteration solves the problem with the weighted l1 norm that touches `g` from above at the
    last `x`, :math:`w_i = \epsilon / (\epsilon + |x_i|)`, by `bpdn`, or by `semismooth_newton`
    (`fista` where data are complex). The first one has the l1 norm itself. So the objective never
    rises, and large coefficients are shrunk ever less. Signals with entries of different sizes are
    recovered from fewer measurements than by `basis_pursuit`; those with entries of one size are
    hardly.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        The matrix, real or complex: only products with it and with its adjoint are needed.
    y : array of shape (m,)
        The measurements of one signal.
    sigma : float, optional
        The largest residual, not squared, in the units of `y`. With no `alpha` either, 0: exact
        data.
    alpha : float, optional
        Instead of `sigma`: the weight of the penalty, positive, in the units of ``A^* y``.
    alpha_ratio : float, optional
        Instead of `alpha`: a fraction of the smallest alpha at which the lasso has a zero code.
    epsilon : float, optional
        What counts as small in `x`, positive. By default that entry of the first solution which has
        the rank :math:`m / (4 \log(n / m))` by size (at most half of the entries are larger), and
        at least a thousandth of the largest one.
    tol : float, default=1e-6
        Stop when the certificate is at most this.
    max_iter : int, default=20
        Convex problems at the most. A few are often enough, long before the last digits settle.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    ReweightedResult
        `x`, `objective`, `residual`, `infeasibility`, `weights`, `epsilon`, `dual_gap`,
        `certificate`, `n_iter`, `status`, `converged` and `history`. The certificate is that of
        `x` in the convex problem of its own `weights`: the duality gap over the objective (with an
        `alpha` over the objective at zero), and the infeasibility. At zero `x` is a stationary
        point of the problem above; it is not convex, and of other points nothing is certified.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, a parameter is out of range or not used,
        or no `x` has so small a residual; the message has the least one.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    References
    ----------
    Candes, Wakin and Boyd, "Enhancing sparsity by reweighted l1 minimization", 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import basis_pursuit, reweighted_l1
    >>> rng = np.random.default_rng(0)
    >>> A, x = rng.standard_normal((40, 100)), np.zeros(100)
    >>> x[:13] = rng.standard_normal(13)
    >>> y = A @ x
    >>> bool(np.abs(basis_pursuit(A, y).x - x).max() < 1e-4)
    False
    >>> bool(np.abs(reweighted_l1(A, y).x - x).max() < 1e-4)
    True
    """
    dtype = as_array(y, "y").dtype
    A, y = check_system(A, y)
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    if epsilon is not None:
        epsilon = check_real(epsilon, "epsilon", low=0, open_low=True)
    form: _Within | _Penalized
    if alpha is None and alpha_ratio is None:
        form = _Within.from_arguments(A, y, 0.0 if sigma is None else sigma, tol)
    else:
        check_unused("the form with an alpha or alpha_ratio", sigma=sigma)
        form = _Penalized.from_arguments(A, y, alpha, alpha_ratio, tol)
    last, ending = run(
        _rounds(form, epsilon),
        form.measure,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        name="reweighted_l1",
    )
    numbers: dict[str, Any] = {name: float(ending["history"][name][-1]) for name in SHOWN}
    return ReweightedResult(
        x=last.x.astype(answer_dtype(dtype, y.dtype), copy=False),
        weights=last.weights,
        epsilon=last.epsilon,
        **numbers,
        **ending,
    )


def _rounds(form: _Within | _Penalized, epsilon: float | None) -> Iterator[_Round]:
    """One convex problem after the other, each with the weights of the answer before it."""
    last = None
    while True:
        with without_warnings():
            x, dual = form.solve(last)
        if epsilon is None:
            epsilon = _epsilon(x, form.y.size)
        last = _Round(x, dual, epsilon)
        yield last


def _epsilon(x: np.ndarray, m: int) -> float:
    """A size between those of the entries that are there and those that are not."""
    n, sizes = x.size, np.sort(np.abs(x))[::-1]
    rank = m / (4 * np.log(n / m)) if n > m else n
    place = max(1, min(round(rank), n // 2)) - 1
    return float(max(sizes[place], LEAST * sizes[0]))


@dataclass(frozen=True)
class _Within:
    """The least penalty within a residual."""

    A: Any
    y: np.ndarray
    sigma: float
    tol: float
    problem: ConstrainedProblem  # the same in units

    @classmethod
    def from_arguments(cls, A: Any, y: np.ndarray, sigma: Any, tol: float) -> _Within:
        problem = ConstrainedProblem.from_arguments(A, y, None)
        return cls(A, y, check_real(sigma, "sigma", low=0), tol, problem)

    def solve(self, last: _Round | None) -> tuple[np.ndarray, np.ndarray]:
        weights = None if last is None else last.weights
        tol = INNER_TOL * self.tol
        found = bpdn(self.A, self.y, self.sigma, weights=weights, tol=tol, max_iter=INNER_ITER)
        return found.x, found.dual

    def measure(self, now: _Round) -> dict[str, float]:
        problem, weights = self.problem, now.weights
        x, dual = problem.initial(now.x), now.dual * problem.as_given(1.0, 0, 1)
        peak = largest(problem.A.backward(dual) / weights)
        residual = problem.y - problem.A.forward(x)
        point = Point(weights * x, residual, dual / max(peak, 1.0), x)
        sigma = problem.in_units(self.sigma, 1, 0)
        found = problem.numbers_as_given(certificate(point, problem.y, sigma, self.tol))
        return {**found, "objective": now.penalty}


@dataclass(frozen=True)
class _Penalized:
    """Least squares and the penalty."""

    A: Any
    y: np.ndarray
    alpha: float
    tol: float
    problem: PenalizedLeastSquares  # the same in units

    @classmethod
    def from_arguments(
        cls, A: Any, y: np.ndarray, alpha: Any, alpha_ratio: Any, tol: float
    ) -> _Penalized:
        if y.ndim != 1:
            raise ValueError(f"y has to be 1-D, one signal, got shape {y.shape}; loop over columns")
        problem = PenalizedLeastSquares.from_arguments(A, y, alpha, alpha_ratio, None)
        return cls(A, y, problem.given_alpha, tol, problem)

    def solve(self, last: _Round | None) -> tuple[np.ndarray, np.ndarray]:
        solver = fista if np.iscomplexobj(self.y) else semismooth_newton
        penalty, init = (None, None) if last is None else (L1(weights=last.weights), last.x)
        tol = INNER_TOL * self.tol
        found = solver(self.A, self.y, self.alpha, penalty=penalty, tol=tol, init=init)
        return found.x, found.x  # the dual point is the residual, which the measure has anyway

    def measure(self, now: _Round) -> dict[str, float]:
        problem = replace(self.problem, penalty=L1(weights=now.weights))
        x = problem.initial(now.x)
        residual = norm(problem.y - problem.A @ x) * problem.signal_unit
        with np.errstate(over="ignore", under="ignore"):
            objective = 0.5 * residual * residual + self.alpha * now.penalty
        found = problem.measure(Iterate(x))
        return {**found, "objective": objective, "residual": residual, "infeasibility": 0.0}
