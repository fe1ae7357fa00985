r"""Approximate message passing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from sparsecode._phase import minimax_threshold
from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._systems import check_system
from sparsecode._validation import as_array, check_callable, check_int, check_real, check_unused
from sparsecode.objectives._formulas import duality_gap
from sparsecode.operators import adjoint
from sparsecode.penalties import L1
from sparsecode.solvers._problem import answer_dtype, divided, size_of_matrix
from sparsecode.solvers._result import Result
from sparsecode.solvers._run import Callback, run, warn_not_gaussian

__all__ = ["MessagePassingResult", "amp"]

# Of a signal in noise, and the standard deviation of the noise: the signal, and the mean of the
# derivatives of its entries, each by its own entry.
Denoiser = Callable[[np.ndarray, float], tuple[np.ndarray, float]]

PROBES = 8  # random vectors by which a matrix is told from a Gaussian one


class _Message(NamedTuple):
    x: np.ndarray
    noise: float  # that the denoiser saw
    residual: np.ndarray  # y - A x
    correlation: np.ndarray  # A^T (y - A x)
    weight: float  # of the last corrected residual in this one
    change: float  # of x, relative


@dataclass(frozen=True)
class SoftThreshold:
    """Soft thresholding at `theta` times the noise, and the lasso that its fixed point solves."""

    theta: float
    penalty: L1

    def __call__(self, v: np.ndarray, noise: float) -> tuple[np.ndarray, float]:
        # What diverges is told by its certificate, not by an infinite threshold.
        threshold, largest = self.theta * noise, float(np.finfo(v.dtype).max)
        x = self.penalty.prox(v, v.dtype.type(threshold if threshold <= largest else largest))
        return x, np.count_nonzero(x) / x.size

    def alpha(self, last: _Message) -> float:
        """At a fixed point ``A^T z = A^T r / (1 - weight)`` is `theta * noise` on the support."""
        return self.theta * last.noise * (1 - last.weight)

    def gap(self, last: _Message) -> float:
        """The duality gap of that lasso; infinite while its alpha is not positive."""
        alpha = self.alpha(last)
        if not alpha > 0:
            return np.inf if last.residual.any() else 0.0
        return float(duality_gap(last.residual, last.correlation, last.x, alpha, self.penalty))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MessagePassingResult(Result):
    """What message passing ended with.

    Attributes
    ----------
    x : ndarray of shape (n,)
        The coefficients.
    noise : float
        The standard deviation of the noise that the denoiser saw in the last iteration, in the
        units of `x`.
    alpha : float
        The weight of the l1 norm in the lasso that `x` solves, in the units of ``A^T y``; NaN with
        a denoiser of the caller's.
    dual_gap : float
        Of that lasso, in the units of the objective; NaN with a denoiser of the caller's.
    """

    x: np.ndarray
    noise: float
    alpha: float
    dual_gap: float


def amp(
    A: Any,
    y: Any,
    *,
    threshold: float | None = None,
    denoiser: Denoiser | None = None,
    positive: bool = False,
    damping: float = 0.0,
    tol: float = 1e-6,
    max_iter: int = 500,
    callback: Callback | None = None,
) -> MessagePassingResult:
    r"""Approximate message passing: soft thresholding that knows how much noise it sees.

    .. math:: x \leftarrow \eta(x + A^T z;\, \theta \tau), \qquad
              z \leftarrow y - A x + \tfrac{n}{m} \langle \eta' \rangle\, z, \qquad
              \tau = \|z\|_2 / \sqrt m

    For a matrix with independent entries of mean zero, :math:`x + A^T z` is the signal in Gaussian
    noise of standard deviation :math:`\tau`, because of the last term of `z` (Onsager's). So each
    iteration denoises, and its error is known beforehand: see `state_evolution`. A fixed point
    minimises :math:`\tfrac12 \|y - A x\|_2^2 + \alpha \|x\|_1` with the `alpha` that is returned.
    Noiseless signals are recovered up to the Donoho-Tanner curve,
    `sparsecode.theory.phase_transition`.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        Real, with independent entries of mean zero and one variance, whatever it is: the columns
        are divided by the root mean square of their norms. Another matrix is warned of.
    y : array of shape (m,)
        The measurements, real.
    threshold : float, optional
        :math:`\theta`, in units of the noise, positive. By default the one that bears the most
        nonzeros at this :math:`m / n`, which has to be below 1.
    denoiser : callable, optional
        Instead of soft thresholding: ``denoiser(v, tau)`` returns the signal in `v`, which has
        noise of standard deviation `tau` in each entry, and the mean of the derivatives of its
        entries, each by its own entry of `v`. All in the units of the answer.
    positive : bool, default=False
        Coefficients that are not negative.
    damping : float, default=0.0
        The part of the last iterate that stays, at least 0 and below 1. It slows down, and may hold
        together what diverges for other matrices.
    tol : float, default=1e-6
        Stop when the duality gap of that lasso is at most `tol` times ``0.5 * ||y||^2``; with a
        `denoiser`, when an iteration changes `x` by at most `tol`, relative to its norm.
    max_iter : int, default=500
        Iterations at the most.
    callback : callable, optional
        Called after each iteration with the named numbers of the history, `noise` among them; a
        true answer stops.

    Returns
    -------
    MessagePassingResult
        `x`, `noise`, `alpha`, `objective` (of the lasso; with a `denoiser` half the squared
        residual), `dual_gap`, `certificate`, `n_iter`, `status`, `converged` and `history`.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN, infinite or complex, or a parameter is out of range
        or not used.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first, or `A` does not look like a matrix of independent entries:
        its columns have other norms, or its spectrum another spread.

    References
    ----------
    Donoho, Maleki and Montanari, "Message-passing algorithms for compressed sensing", 2009; Bayati
    and Montanari, "The LASSO risk for Gaussian matrices", 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.operators import gaussian
    >>> from sparsecode.solvers import amp
    >>> A, x = gaussian(250, 500, random_state=0), np.zeros(500)
    >>> x[:40] = 1.0
    >>> result = amp(A, A @ x)
    >>> result.converged, bool(np.abs(result.x - x).max() < 1e-3)
    (True, True)
    """
    given = as_array(y, "y").dtype
    A, y = check_system(A, y)
    if y.ndim != 1 or np.iscomplexobj(y) or np.iscomplexobj(A):
        raise ValueError("amp is for one real signal: y has to be 1-D, and A and y real")
    damping = check_real(damping, "damping", low=0, high=1, open_high=True)
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    if denoiser is None:
        theta = best_threshold(threshold, A.shape[0] / A.shape[1], positive)
        lasso = SoftThreshold(theta, L1(positive=positive))
    else:
        check_callable(denoiser, "denoiser")
        check_unused("a denoiser", threshold=threshold, positive=positive or None)
        lasso = None
    matrix_unit, unit = unit_of(size_of_matrix(A), y.dtype), unit_of(magnitude(y), y.dtype)
    A, y = divided(A, matrix_unit), to_units(y, unit)
    norm = _column_norm(A)
    per_x = unit / (matrix_unit * norm)  # what one unit of x is
    energy = 0.5 * float(y @ y)

    def measure(last: _Message) -> dict[str, float]:
        objective = 0.5 * float(last.residual @ last.residual)
        gap, certificate = np.nan, last.change
        if lasso is not None:
            objective += max(lasso.alpha(last), 0.0) * float(np.abs(last.x).sum())
            gap = lasso.gap(last)
            certificate = gap / energy if energy > 0 else 0.0
        return {
            "objective": objective * unit * unit,
            "certificate": certificate,
            "dual_gap": gap * unit * unit,
            "noise": last.noise * per_x,
        }

    def in_the_callers_units(v: np.ndarray, noise: float) -> tuple[np.ndarray, float]:
        assert denoiser is not None
        x, slope = denoiser(v * per_x, noise * per_x)
        return np.asarray(x, dtype=v.dtype) / v.dtype.type(per_x), float(slope)

    last, ending = run(
        _messages(A, y, norm, lasso or in_the_callers_units, damping),
        measure,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        name="amp",
    )
    x = from_units(last.x / norm, unit, 1 / matrix_unit, name="x")
    return MessagePassingResult(
        x=x.astype(answer_dtype(given, y.dtype), copy=False),
        noise=last.noise * per_x,
        alpha=np.nan if lasso is None else lasso.alpha(last) * unit * (matrix_unit * norm),
        dual_gap=float(ending["history"]["dual_gap"][-1]),
        **ending,
    )


def _messages(
    A: Any, y: np.ndarray, norm: float, denoise: Denoiser, damping: float
) -> Iterator[_Message]:
    AT, (m, n) = adjoint(A), A.shape
    x, z = np.zeros(n, dtype=y.dtype), y
    back = (AT @ z) / norm
    while True:
        noise = float(np.linalg.norm(z)) / np.sqrt(m)
        denoised, slope = denoise(x + back, noise)
        x_old, x = x, (1 - damping) * denoised + damping * x
        # A Python number: NumPy's own would make float32 into float64, and the matrix with it.
        residual, weight = y - (A @ x) / norm, n / m * float(slope)
        z = (1 - damping) * (residual + weight * z) + damping * z
        back_old, back = back, (AT @ z) / norm
        # The adjoint of the residual, from those of `z` before and after.
        correlation = (back - damping * back_old) / (1 - damping) - weight * back_old
        size = float(np.linalg.norm(x))
        change = float(np.linalg.norm(x - x_old)) / size if size > 0 else 0.0
        yield _Message(x, noise, residual, correlation, weight, change)


def best_threshold(threshold: float | None, delta: float, positive: bool) -> float:
    """The threshold that is given, or else the minimax one at this share of measurements."""
    if threshold is not None:
        return check_real(threshold, "threshold", low=0, open_low=True)
    if delta >= 1:
        raise ValueError(
            "with as many measurements as unknowns no threshold is best for all signals; "
            "give threshold"
        )
    return minimax_threshold(delta, positive=positive)


def _column_norm(A: Any) -> float:
    """The root mean square of the norms of the columns; a warning where `A` is not Gaussian.

    With ``E ||A^T u||^2 = ||A||_F^2`` for white `u`. Independent entries have, with unit columns
    and ``c = n / m``, the eigenvalues ``c + c^2`` for the mean square of those of ``A A^T``.
    """
    m, n = A.shape
    U = np.random.RandomState(0).standard_normal((m, PROBES)).astype(A.dtype)
    V = adjoint(A) @ U
    AV = A @ V
    square = float(np.vdot(V, V).real) / (n * PROBES)
    if square == 0:
        return 1.0
    spread = float(np.vdot(AV, AV).real) / (m * PROBES) / square**2
    expected = n / m + (n / m) ** 2
    tolerance = 0.1 + 6 / np.sqrt(m * PROBES)
    if abs(spread / expected - 1) > tolerance:
        warn_not_gaussian(
            "amp",
            f"the eigenvalues of A A^T have the mean square {spread:.3g} where such a matrix "
            f"has {expected:.3g}",
        )
    if isinstance(A, LinearOperator):
        # Columns that are longer than thought make the iteration diverge, shorter ones do not:
        # two standard deviations to be safe.
        return float(np.sqrt(square * (1 + 2 * np.sqrt(2 / (m * PROBES)))))
    squares = A.power(2).sum(axis=0) if sp.issparse(A) else np.einsum("ij,ij->j", A, A)
    if squares.max() > (1.5 + 6 / np.sqrt(m)) ** 2 * squares.mean():
        warn_not_gaussian("amp", "a column of A has a much larger norm than others")
    return float(np.sqrt(squares.mean(dtype=np.float64)))
