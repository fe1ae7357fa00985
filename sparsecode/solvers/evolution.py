r"""State evolution: what message passing will do, known before it does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecode._memory import check_fits
from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._validation import (
    check_array,
    check_callable,
    check_int,
    check_random_state,
    check_real,
    check_unused,
)
from sparsecode.penalties import L1
from sparsecode.solvers.message_passing import Denoiser, SoftThreshold, best_threshold

__all__ = ["StateEvolution", "state_evolution"]


@dataclass(frozen=True, eq=False)
class StateEvolution:
    """What message passing is predicted to do.

    Attributes
    ----------
    noise : ndarray of shape (n_iter + 1,)
        The standard deviation of the noise that the denoiser sees in each iteration, and after.
    mse : ndarray of shape (n_iter + 1,)
        The mean squared error of an entry, before the first iteration and after each.
    threshold : float
        Of soft thresholding, in units of the noise; NaN with a denoiser of the caller's.
    """

    noise: np.ndarray
    mse: np.ndarray
    threshold: float


def state_evolution(
    delta: float,
    prior_sampler: Callable[[Any, int], np.ndarray],
    sigma: float,
    n_iter: int,
    *,
    threshold: float | None = None,
    denoiser: Denoiser | None = None,
    positive: bool = False,
    n_samples: int = 1_000_000,
    random_state: int = 0,
) -> StateEvolution:
    r"""The error of `amp` in each iteration, as it is for large matrices of independent entries.

    .. math:: \tau_{t+1}^2 = \sigma^2 + \tfrac1\delta\,
              \mathbb E\, \bigl[\eta(X + \tau_t Z;\, \theta \tau_t) - X\bigr]^2,
              \qquad \tau_0^2 = \sigma^2 + \tfrac1\delta\, \mathbb E\, X^2

    with `X` an entry of the signal and `Z` standard normal; the means are over samples.

    Parameters
    ----------
    delta : float
        Measurements over unknowns, positive.
    prior_sampler : callable
        ``prior_sampler(rng, size)`` draws so many entries of the signal.
    sigma : float
        The standard deviation of the noise in a measurement, for columns of unit norm.
    n_iter : int
        How many iterations.
    threshold : float, optional
        As of `amp`.
    denoiser : callable, optional
        As of `amp`.
    positive : bool, default=False
        As of `amp`.
    n_samples : int, default=1000000
        The relative error of a mean is about ``1 / sqrt(n_samples)`` times a few.
    random_state : int, default=0
        Of the samples.

    Returns
    -------
    StateEvolution
        `noise`, `mse` and `threshold`.

    References
    ----------
    Bayati and Montanari, "The dynamics of message passing on dense graphs, with applications to
    compressed sensing", 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import state_evolution
    >>> def signs(rng, size):
    ...     return np.where(rng.random_sample(size) < 0.1, 1.0, 0.0)
    >>> predicted = state_evolution(0.5, signs, 0.0, 50)
    >>> bool(predicted.mse[50] < 1e-6 * predicted.mse[0])
    True
    """
    delta = check_real(delta, "delta", low=0, open_low=True)
    sigma, n_iter = check_real(sigma, "sigma", low=0), check_int(n_iter, "n_iter")
    rng = check_random_state(check_int(random_state, "random_state", low=0))
    theta, denoise = np.nan, denoiser
    if denoise is None:
        theta = best_threshold(threshold, delta, positive)
        denoise = SoftThreshold(theta, L1(positive=positive))
    else:
        check_callable(denoiser, "denoiser")
        check_unused("a denoiser", threshold=threshold, positive=positive or None)
    n_samples = check_int(n_samples, "n_samples")
    check_fits(4 * 8 * n_samples, f"means over n_samples={n_samples} samples")
    check_fits(2 * 8 * n_iter, f"the errors of n_iter={n_iter} iterations")
    X = _drawn(prior_sampler, rng, n_samples)
    Z = rng.standard_normal(n_samples)
    errors, noise = [_root_mean_square(X)], []  # not squared: no scale leaves the range
    while True:
        noise.append(_finite(math.hypot(sigma, errors[-1] / math.sqrt(delta))))
        if len(noise) > n_iter:
            mse = np.array([_finite(error * error) for error in errors])
            return StateEvolution(np.array(noise), mse, theta)
        with np.errstate(over="ignore", invalid="ignore"):
            error = denoise(X + noise[-1] * Z, noise[-1])[0] - X
        errors.append(_root_mean_square(error))


def _drawn(prior_sampler: Any, rng: Any, n_samples: int) -> np.ndarray:
    if not callable(prior_sampler):
        raise TypeError(f"prior_sampler has to be callable, as (rng, size), got {prior_sampler!r}")
    X = check_array(prior_sampler(rng, n_samples), "what prior_sampler gave", ndim=1)
    if X.size != n_samples:
        raise ValueError(f"prior_sampler gave {X.size} samples; asked for {n_samples}")
    return X.astype(np.float64, copy=False)


def _root_mean_square(X: np.ndarray) -> float:
    unit = unit_of(magnitude(X), X.dtype)
    return math.sqrt(float(np.mean(np.square(to_units(X, unit))))) * unit


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(
            "an error exceeds the range of float64 at this sigma and delta and this scale of "
            "prior_sampler; rescale them"
        )
    return value
