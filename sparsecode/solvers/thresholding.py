r"""Gradient steps of which k entries stay, for :math:`\min_x \|y - A x\|_2` with k atoms."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from sparsecode._docs import documented
from sparsecode._validation import check_bool, check_option
from sparsecode.objectives._formulas import inner
from sparsecode.operators import adjoint
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback
from sparsecode.solvers._support import (
    Algorithm,
    Iterate,
    Point,
    change,
    fitted,
    largest,
    point,
    size_of,
    smaller,
    solve_each,
)

__all__ = ["htp", "iht"]


@documented
def htp(
    A: Any,
    y: Any,
    *,
    n_nonzero_coefs: int,
    residual_tol: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
    positive: bool = False,
    callback: Callback | None = None,
) -> CodeResult:
    r"""Hard thresholding pursuit: a gradient step names the support, least squares fits over it.

    .. math:: S \leftarrow \mathrm{supp}\, H_k(x + \mu A^* r), \qquad
              x \leftarrow \arg\min_{\mathrm{supp}\, z \subseteq S} \|y - A z\|_2

    :math:`H_k` keeps the k largest entries, with `positive` the k largest positive ones. The step
    :math:`\mu` starts at four times the best one along the k largest entries of :math:`A^* r` and
    is halved, down to :math:`1 / \|A\|_2^2`, until the residual gets smaller. If it does not, the
    iteration is at a fixed point, which it reaches after finitely many exchanges, because no `S`
    comes back.

    Parameters
    ----------
    %(atoms_and_signals)s
    %(sparse_least_squares)s
    max_iter : int, default=1000
        At most so many iterations.
    positive : bool, default=False
        Only coefficients that are not negative: an exact nonnegative least squares fit over the
        support. Real data only.
    %(sparse_least_squares_result)s

    References
    ----------
    Foucart, "Hard thresholding pursuit: an algorithm for compressive sensing", 2011; the step is
    that of Cevher, "An ALPS view of sparse recovery", 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers.thresholding import htp
    >>> rng = np.random.default_rng(0)
    >>> A, x = rng.standard_normal((30, 60)), np.zeros(60)
    >>> x[[3, 14, 15]] = [1.0, -2.0, 3.0]
    >>> np.flatnonzero(htp(A, A @ x, n_nonzero_coefs=3).x)
    array([ 3, 14, 15])
    """
    algorithm = partial(_htp, positive=check_bool(positive, "positive"))
    return solve_each(
        algorithm, "htp", A, y, n_nonzero_coefs, residual_tol, tol, max_iter, callback,
        positive=positive,
    )  # fmt: skip


def _htp(A: Any, y: np.ndarray, k: int, step: float, *, positive: bool) -> Iterator[Iterate]:
    def allowed(u: np.ndarray) -> np.ndarray:
        return np.maximum(u, 0) if positive else u

    AH = adjoint(A)
    now = fitted(A, y, largest(allowed(AH @ y), k), positive=positive)
    yield Iterate(now.x, now.residual, 1.0)
    while True:
        last, gradient = now, AH @ now.residual
        # Nothing is left to gain on the support itself, where the gradient is zero. The best step
        # is a timid one, for it does not know of the fit that follows.
        trial = 4 * _best_step(A, _hard(allowed(gradient), k), step)
        while True:
            support = largest(allowed(last.x + trial * gradient), k)
            if np.array_equal(support, last.support):
                break
            now = smaller(last, fitted(A, y, support, positive=positive))
            if now is not last or trial == step:
                break
            trial = max(trial / 2, step)
        yield Iterate(now.x, now.residual, change(now.x, last.x))


@documented
def iht(
    A: Any,
    y: Any,
    *,
    n_nonzero_coefs: int,
    residual_tol: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 10_000,
    variant: str = "normalized",
    callback: Callback | None = None,
) -> CodeResult:
    r"""Iterative hard thresholding: a gradient step, of which the k largest entries stay.

    .. math:: x \leftarrow H_k(x + \mu A^* (y - A x))

    No variant ever makes the residual larger. ``"plain"``: :math:`\mu = 1 / \|A\|_2^2`.
    ``"normalized"``: the best step on the support of `x` (at first that of
    :math:`H_k(A^* y)`), made shorter where the support changes until the residual must fall.
    ``"accelerated"``: after that step, the best point on the line from the iterate before the last
    one, if its k largest entries have no larger residual; on a support that stays, the method of
    conjugate gradients.

    Parameters
    ----------
    %(atoms_and_signals)s
    %(sparse_least_squares)s
    max_iter : int, default=10000
        At most so many iterations.
    variant : {"normalized", "plain", "accelerated"}, default="normalized"
        The step, as above.
    %(sparse_least_squares_result)s

    References
    ----------
    Blumensath and Davies, "Iterative hard thresholding for compressed sensing", 2009, and
    "Normalized iterative hard thresholding: guaranteed stability and performance", 2010;
    Blumensath, "Accelerated iterative hard thresholding", 2012; Cevher, "An ALPS view of sparse
    recovery", 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers.thresholding import iht
    >>> rng = np.random.default_rng(0)
    >>> A, x = rng.standard_normal((30, 60)), np.zeros(60)
    >>> x[[3, 14, 15]] = [1.0, -2.0, 3.0]
    >>> np.flatnonzero(iht(A, A @ x, n_nonzero_coefs=3, variant="accelerated").x)
    array([ 3, 14, 15])
    """
    algorithm = VARIANTS[check_option(variant, "variant", VARIANTS)]
    return solve_each(
        algorithm, "iht", A, y, n_nonzero_coefs, residual_tol, tol, max_iter, callback
    )


def _plain_iht(A: Any, y: np.ndarray, k: int, step: float) -> Iterator[Iterate]:
    AH, x, r = adjoint(A), np.zeros(A.shape[1], dtype=y.dtype), y
    while True:
        last, x = x, _hard(x + step * (AH @ r), k)
        r = y - A @ x
        yield Iterate(x, r, change(x, last))


def _normalized_iht(
    A: Any, y: np.ndarray, k: int, step: float, *, accelerated: bool = False
) -> Iterator[Iterate]:
    AH = adjoint(A)
    before = last = now = Point(np.zeros(A.shape[1], dtype=y.dtype), largest(AH @ y, k), y)
    while True:
        before, last = last, now
        gradient = AH @ last.residual
        trial = _best_step(A, _on(last.support, gradient), step)
        while True:
            support = largest(last.x + trial * gradient, k)
            now = point(A, y, support, (last.x + trial * gradient)[support])
            # On the same support the step is the best one; on another it may be too long.
            if np.array_equal(support, last.support) or trial <= 0.99 * _bound(now, last):
                break
            if trial == step:  # short enough for any support
                break
            trial = max(trial / 2, step)
        if accelerated:
            now = _overshot(A, y, now, before, k)
        yield Iterate(now.x, now.residual, change(now.x, last.x))


def _bound(now: Point, last: Point) -> float:
    """The longest step with which the residual is known to fall: ``||d||^2 / ||A d||^2``."""
    return _ratio(now.x - last.x, now.residual - last.residual) or np.inf


def _overshot(A: Any, y: np.ndarray, now: Point, before: Point, k: int) -> Point:
    """The best point on the line from `before` through `now`, its k largest entries, if better.

    Parallel tangents: with exact steps on a fixed support these are conjugate gradients.
    """
    direction = now.x - before.x
    image = A @ direction  # the difference of the residuals has cancelled near the end
    size = np.linalg.norm(image)
    if size == 0:
        return now
    length = float(inner(image / size, now.residual) / size)
    beyond = now.x + length * direction
    support = largest(beyond, k)
    there = point(A, y, support, beyond[support])
    # Near the end the residuals differ by rounding errors only, and the line search knows better.
    slack = 1 + 4 * np.finfo(y.dtype).eps
    return there if size_of(there) <= slack * size_of(now) else now


VARIANTS: dict[str, Algorithm] = {
    "plain": _plain_iht,
    "normalized": _normalized_iht,
    "accelerated": partial(_normalized_iht, accelerated=True),
}


def _best_step(A: Any, direction: np.ndarray, shortest: float) -> float:
    """The step along a part of the gradient that reduces the residual most, or the shortest."""
    return max(_ratio(direction, A @ direction), shortest)


def _ratio(direction: np.ndarray, image: np.ndarray) -> float:
    """``||d||^2 / ||A d||^2``; 0 where ``A d`` vanishes."""
    size = np.linalg.norm(image)
    return float(np.linalg.norm(direction) / size) ** 2 if size > 0 else 0.0


def _on(support: np.ndarray, u: np.ndarray) -> np.ndarray:
    """`u`, and zero outside the support."""
    v = np.zeros_like(u)
    v[support] = u[support]
    return v


def _hard(u: np.ndarray, k: int) -> np.ndarray:
    return _on(largest(u, k), u)
