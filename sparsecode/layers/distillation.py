r"""Distillation as far as it is convex: outputs matched layer by layer, soft targets at the last.

Whatever needs a training loop through the network is not here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import (
    check_array,
    check_gram,
    check_int,
    check_real,
    check_semidefinite,
)
from sparsecode.solvers import Result, Status
from sparsecode.solvers._run import as_history, warn_not_converged

__all__ = ["HeadResult", "distill_head", "match_outputs"]


def match_outputs(W: Any, cross: Any, gram: Any, *, damping: float = 1e-6) -> np.ndarray:
    r"""The weights that give a teacher's outputs from the inputs a student sees.

    .. math:: \min_{V} \mathrm{E}\,\|W x_t - V x_s\|_2^2 + \lambda \|V - W\|_F^2, \qquad
              V = (W C + \lambda W)(H + \lambda I)^{-1}

    with :math:`C = \mathrm{E}\, x_t x_s^T` and :math:`H = \mathrm{E}\, x_s x_s^T`. Every other
    weight :math:`V'` misses the teacher's outputs by what `V` does, and
    :math:`\mathrm{tr}((V - V') H (V - V')^T)` more: to compress a layer that follows
    compressed ones, factorize `V` in the metric of `H`.

    Parameters
    ----------
    W : array of shape (n_outputs, n_inputs)
        The teacher's weights.
    cross : array of shape (n_inputs, n_inputs)
        :math:`C`, the mean of ``outer(x_t, x_s)`` over samples that both have seen.
    gram : array of shape (n_inputs, n_inputs)
        :math:`H`, the second moment of the student's inputs; it may be singular.
    damping : float, default=1e-6
        :math:`\lambda` over the mean of the diagonal of `H`: in directions that the student's
        inputs do not show the weights stay the teacher's. Positive.

    Returns
    -------
    ndarray of shape (n_outputs, n_inputs)
        :math:`V`, in float64.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, `gram` is no second moment, or `damping`
        is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers import match_outputs
    >>> x_t = np.random.default_rng(0).standard_normal((100, 3))
    >>> x_s = 0.5 * x_t  # the layers before lost half of the signal
    >>> V = match_outputs(np.eye(3), x_t.T @ x_s / 100, x_s.T @ x_s / 100)
    >>> np.round(V, 3) + 0.0
    array([[2., 0., 0.],
           [0., 2., 0.],
           [0., 0., 2.]])
    """
    W = check_array(W, "W").astype(np.float64)
    n_inputs = W.shape[1]
    C, H = check_array(cross, "cross").astype(np.float64), check_gram(gram, n_inputs)
    if C.shape != H.shape:
        raise ValueError(f"cross has shape {C.shape}; the layer has {n_inputs} inputs")
    share = check_real(damping, "damping", low=0, open_low=True)
    unit, size = unit_of(magnitude(W), W.dtype), unit_of(magnitude(H), H.dtype)
    H = to_units(H, size)
    mean = float(np.trace(H)) / n_inputs
    if mean <= 0:  # the student sees nothing
        return W
    H = H / mean
    with np.errstate(over="ignore", invalid="ignore"):
        moved = to_units(W, unit) @ (to_units(C, size) / mean - H)
        V = to_units(W, unit) + _without_moment(moved, H, share)
    if not np.all(np.isfinite(V)):
        raise ValueError(
            "cross is so large beside gram that the weights exceed the range of float64; rescale "
            "both alike, or raise damping"
        )
    return from_units(V, unit, name="the matched weights")


def _without_moment(B: np.ndarray, H: np.ndarray, share: float) -> np.ndarray:
    """``B (H + share I)^-1``, and nothing in directions that cannot be told from none of `H`."""
    eps = np.finfo(np.float64).eps
    if share > np.sqrt(eps):  # what rounding leaves in such directions then stays small
        try:
            damped = scipy.linalg.cho_factor(H + share * np.eye(len(H)), check_finite=False)
            return scipy.linalg.cho_solve(damped, B.T, check_finite=False).T
        except np.linalg.LinAlgError:
            pass  # a negative eigenvalue: how large it is is seen below
    values, Q = np.linalg.eigh(H)
    check_semidefinite(values[0], values[-1])
    kept = values > len(H) * eps * values[-1]
    return (B @ Q[:, kept] / (values[kept] + share)) @ Q[:, kept].T


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class HeadResult(Result):
    """The last linear layer, fitted to a teacher's soft targets.

    Attributes
    ----------
    weight : ndarray of shape (n_classes, n_inputs)
        The weights.
    bias : ndarray of shape (n_classes,)
        The bias.
    divergence : float
        The mean Kullback-Leibler divergence from the teacher at the temperature, without the pull
        to the start.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers import distill_head
    >>> distill_head(np.eye(3), 2 * np.eye(3)).weight.shape
    (3, 3)
    """

    weight: np.ndarray
    bias: np.ndarray
    divergence: float


def distill_head(
    X: Any,
    teacher_logits: Any,
    *,
    weight: Any = None,
    bias: Any = None,
    temperature: float = 2.0,
    damping: float = 1e-4,
    tol: float = 1e-8,
    max_iter: int = 200,
) -> HeadResult:
    r"""The last linear layer by soft targets: a convex problem.

    .. math:: \min_{W, b} \frac{T^2}{n} \sum_i
              \mathrm{KL}\bigl(\mathrm{softmax}(t_i / T) \,\big\|\,
              \mathrm{softmax}((W x_i + b) / T)\bigr)
              + \frac{\lambda}{2} \bigl(\|W - W_0\|_F^2 + s^2 \|b - b_0\|_2^2\bigr)

    with the teacher's logits :math:`t_i`, and :math:`s^2` the mean square of an input, so that the
    answer does not depend on the scale of the inputs. By Newton's method in a trust region.

    Parameters
    ----------
    X : array of shape (n_samples, n_inputs)
        What the last layer of the compressed network sees.
    teacher_logits : array of shape (n_samples, n_classes)
        What the original network gives for the same samples.
    weight : array of shape (n_classes, n_inputs), optional
        :math:`W_0`, where to start and what to stay near; zero by default.
    bias : array of shape (n_classes,), optional
        :math:`b_0`; zero by default.
    temperature : float, default=2.0
        :math:`T`: the higher, the more the small probabilities count; from 1e-6 to 1e6.
    damping : float, default=1e-4
        :math:`\lambda / s^2`, positive: it makes the answer unique.
    tol : float, default=1e-8
        Stop when the duality gap is at most `tol` times the objective at the start.
    max_iter : int, default=200
        Newton steps at the most.

    Returns
    -------
    HeadResult
        `weight`, `bias`, `divergence`; `certificate` is the duality gap over the objective at the
        start: with the dual point that the probabilities are, the gap of a point with gradient
        :math:`g` is :math:`\|g\|^2 / 2 \lambda`.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.layers import distill_head
    >>> rng = np.random.default_rng(0)
    >>> X, W = rng.standard_normal((500, 4)), rng.standard_normal((3, 4))
    >>> result = distill_head(X, X @ W.T, damping=1e-9)
    >>> result.converged, result.divergence < 1e-6
    (True, True)
    """
    X = check_array(X, "X").astype(np.float64)
    logits = check_array(teacher_logits, "teacher_logits").astype(np.float64)
    if len(X) != len(logits):
        raise ValueError(f"X has {len(X)} samples but teacher_logits has {len(logits)}")
    shape = (logits.shape[1], X.shape[1])
    W0 = _start(weight, "weight", shape)
    b0 = _start(bias, "bias", shape[:1])
    T = check_real(temperature, "temperature", low=1e-6, high=1e6)
    share = check_real(damping, "damping", low=0, open_low=True)
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    # In units of `s` the input of the bias is one like the others, and lambda is the damping.
    peak = float(np.abs(X).max()) or 1.0
    s = peak * (float(np.sqrt(np.mean(np.square(X / peak)))) or 1.0)
    inputs = np.column_stack([X / s, np.ones(len(X))])
    start = np.column_stack([W0 * s, b0])
    head = _Head(inputs, softmax(logits / T, axis=1), start, T, share)
    began = time.perf_counter()
    first = head.objective(start.ravel())
    found = minimize(
        head.objective,
        start.ravel(),
        jac=head.gradient,
        hessp=head.curvature,
        method="trust-ncg",
        options={"maxiter": max_iter, "gtol": np.sqrt(2 * share * tol * first)},
    )
    theta = found.x.reshape(start.shape)
    gradient = head.gradient(found.x)
    certificate = float(gradient @ gradient) / (2 * share * first) if first > 0 else 0.0
    status = Status.CONVERGED if certificate <= tol else Status.MAX_ITER
    if status is Status.MAX_ITER:
        warn_not_converged("distill_head", certificate, tol, max_iter)
    row = {
        "n_iter": int(found.nit),
        "objective": float(found.fun),
        "certificate": certificate,
        "seconds": time.perf_counter() - began,
    }
    with np.errstate(over="ignore"):
        moved = theta[:, :-1] / s
    if not np.all(np.isfinite(moved)):
        raise ValueError("weight exceeds the range of float64 at the scale of X; rescale X")
    return HeadResult(
        weight=moved,
        bias=theta[:, -1],
        divergence=head.divergence(theta),
        objective=row["objective"],
        certificate=certificate,
        n_iter=int(found.nit),
        status=status,
        history=as_history([row]),
    )


class _Head:
    """The objective of `distill_head` and its derivatives."""

    def __init__(
        self, X: np.ndarray, targets: np.ndarray, start: np.ndarray, T: float, damping: float
    ) -> None:
        self.X, self.targets, self.start, self.T, self.damping = X, targets, start, T, damping
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(targets > 0, targets * np.log(targets), 0)
        self.entropy = float(terms.sum()) / len(X)

    def divergence(self, theta: np.ndarray) -> float:
        """The mean KL divergence."""
        scores = log_softmax(self.X @ theta.T / self.T, axis=1)
        return max(self.entropy - float(np.sum(self.targets * scores)) / len(self.X), 0.0)

    def objective(self, flat: np.ndarray) -> float:
        theta = flat.reshape(self.start.shape)
        pull = 0.5 * self.damping * float(np.sum((theta - self.start) ** 2))
        return self.T**2 * self.divergence(theta) + pull

    def gradient(self, flat: np.ndarray) -> np.ndarray:
        theta = flat.reshape(self.start.shape)
        excess = softmax(self.X @ theta.T / self.T, axis=1) - self.targets
        pull = self.damping * (theta - self.start)
        return (self.T / len(self.X) * excess.T @ self.X + pull).ravel()

    def curvature(self, flat: np.ndarray, along: np.ndarray) -> np.ndarray:
        """The Hessian times a direction."""
        p = softmax(self.X @ flat.reshape(self.start.shape).T / self.T, axis=1)
        moved = self.X @ along.reshape(self.start.shape).T
        inner = p * (moved - np.sum(p * moved, axis=1, keepdims=True))
        return (inner.T @ self.X / len(self.X)).ravel() + self.damping * along


def _start(given: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if given is None:
        return np.zeros(shape)
    array = check_array(given, name, ndim=len(shape)).astype(np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; it has to be {shape}")
    return array
