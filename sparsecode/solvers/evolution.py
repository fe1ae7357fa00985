r"""State evolution: what message passing will do, known before it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecode._validation import (
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
        check_unused("a denoiser", threshold=threshold, positive=positive or None)
    n_samples = check_int(n_samples, "n_samples")
    X = np.asarray(prior_sampler(rng, n_samples), dtype=np.float64)
    if X.shape != (n_samples,):
        raise ValueError(f"prior_sampler gave shape {X.shape}; asked for ({n_samples},)")
    Z = rng.standard_normal(n_samples)
    mse, noise = [float(np.mean(X * X))], []
    while True:
        noise.append(float(np.sqrt(sigma * sigma + mse[-1] / delta)))
        if len(noise) > n_iter:
            return StateEvolution(np.array(noise), np.array(mse), theta)
        error = denoise(X + noise[-1] * Z, noise[-1])[0] - X
        mse.append(float(np.mean(error * error)))
