r"""What the l1 norm takes off the coefficients that it keeps, given back; and what is noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._systems import check_system
from sparsecode._validation import as_array, check_array, without_mask
from sparsecode.operators import adjoint
from sparsecode.solvers._cgls import cgls
from sparsecode.solvers._problem import size_of_matrix
from sparsecode.solvers._result import CodeResult
from sparsecode.solvers._run import Callback
from sparsecode.solvers._support import Iterate, Signals

__all__ = ["debias", "estimate_noise"]

# The median of the absolute value of a standard normal number, and of a complex one of variance 1.
NORMAL_MEDIAN, COMPLEX_MEDIAN = 0.6744897501960817, float(np.sqrt(np.log(2)))


def debias(
    A: Any,
    y: Any,
    support: Any,
    *,
    tol: float = 1e-8,
    max_iter: int = 10_000,
    callback: Callback | None = None,
) -> CodeResult:
    r"""Least squares on a support: the coefficients without what a penalty took off them.

    .. math:: \min_x \tfrac12 \|y - A x\|_2^2 \quad \text{subject to} \quad
              x_i = 0 \ \text{ for } i \notin S

    By conjugate gradients on the normal equations: only products with `A` and its adjoint are
    needed. Of the minimisers with dependent columns the answer is that of least norm. It pays where
    the support is nearly right: coefficients that are only noise fit noise, so leave out those of a
    penalised solution that are not larger than that.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n)
        The matrix, real or complex.
    y : array of shape (m,) or (m, n_signals)
        One signal, or one a column. Each column is a problem of its own.
    support : array of shape (n,) or (n, n_signals), or of int of shape (k,)
        Coefficients, of which those that are not zero make the support, or a mask of bool; one for
        all signals, or one a column. A 1-D array of integers holds places from 0 to ``n - 1``.
    tol : float, default=1e-8
        Stop when the certificate is at most this.
    max_iter : int, default=10000
        At most so many iterations, of one product with `A` and one with its adjoint each.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    CodeResult
        `x`; `objective`, half the squared residual; `certificate`, the norm of the gradient on the
        support over that at zero, of the worst signal: 0 at the minimum. `dual_gap` is NaN. The
        history also has ``"residual"``, the largest residual norm over the norm of its signal.

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
    Figueiredo, Nowak and Wright, "Gradient projection for sparse reconstruction", 2007; Hestenes
    and Stiefel, "Methods of conjugate gradients for solving linear systems", 1952.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import debias, fista
    >>> A = np.random.default_rng(0).standard_normal((20, 40))
    >>> y = A[:, 3] - 2 * A[:, 17]
    >>> shrunk = fista(A, y, alpha_ratio=0.3)
    >>> debias(A, y, shrunk.x).x[[3, 17]].round(6)
    array([ 1., -2.])
    """
    given = as_array(y, "y").dtype
    A, y = check_system(A, y)
    masks = _masks(support, A.shape[1], y)
    signals = Signals.in_units(A, y, size_of_matrix(A), None, given)
    return signals.solve(
        [_on(signals.A, y, mask) for y, mask in zip(signals.y.T, masks.T, strict=True)],
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        name="debias",
    )


def _masks(support: Any, n: int, y: np.ndarray) -> np.ndarray:
    """Which coefficients (n, n_signals) may differ from zero."""
    n_signals = 1 if y.ndim == 1 else y.shape[1]
    given = as_array(without_mask(support, "support"), "support")
    if (given.ndim == 1 and given.dtype.kind in "iu") or given.shape == (0,):
        if given.size and (given.min() < 0 or given.max() >= n):
            raise ValueError(f"support has to hold places from 0 to {n - 1}")
        mask = np.zeros(n, dtype=bool)
        mask[given.astype(int)] = True
    else:
        mask = check_array(support, "support", ndim=(1, 2), allow_complex=True) != 0
        if mask.shape not in ((n,), (n, n_signals)):
            raise ValueError(
                f"support has shape {mask.shape}; the coefficients have {(n, *y.shape[1:])}"
            )
    return np.broadcast_to(mask.reshape(n, -1), (n, n_signals))


def _on(A: Any, y: np.ndarray, mask: np.ndarray) -> Iterator[Iterate]:
    """Conjugate gradients with `A` on the support alone."""
    AH = adjoint(A)
    for iterate in cgls(
        lambda x: (A @ x).astype(y.dtype, copy=False),
        lambda r: np.where(mask, AH @ r, 0).astype(y.dtype, copy=False),
        y,
    ):
        yield Iterate(*iterate)


def estimate_noise(x: Any, *, axes: int | tuple[int, ...] | None = None) -> float:
    r"""The standard deviation of white noise in a signal, image or volume, by the median rule.

    .. math:: \hat\sigma = \mathrm{median}_i |d_i| \, / \, 0.6745

    The `d` are the finest coefficients in Haar's wavelets, at all places: of differences along each
    of the axes, over :math:`\sqrt 2` each. What is smooth or piecewise constant is large in few of
    them, and the median does not see those; fine texture it takes for noise.

    Parameters
    ----------
    x : array
        The noisy signal, image or volume, real or complex, with as many axes as it likes.
    axes : int or tuple of int, optional
        The axes along which the signal changes little from one entry to the next, such as
        ``(0, 1)`` for an image with channels in its last axis; all by default.

    Returns
    -------
    float
        The estimate, in the units of `x`. Of complex noise it is the root of the mean of
        :math:`|e|^2`.

    Raises
    ------
    ValueError
        If an entry is NaN or infinite, or an axis has less than two entries.

    References
    ----------
    Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import estimate_noise
    >>> noise = np.random.default_rng(0).standard_normal(10_000)
    >>> round(estimate_noise(np.repeat([3.0, 1.0], 5000) + 0.5 * noise), 2)
    0.5
    """
    x = as_array(without_mask(x, "x"), "x")
    x = check_array(x, "x", ndim=max(x.ndim, 1), allow_complex=True)
    unit = unit_of(magnitude(x), x.dtype)
    d = to_units(x, unit)
    for axis in _axes(axes, x.shape):
        d = np.diff(d, axis=axis) / np.sqrt(2).astype(d.real.dtype)
    median = COMPLEX_MEDIAN if np.iscomplexobj(d) else NORMAL_MEDIAN
    return float(np.median(np.abs(d))) / median * unit


def _axes(axes: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Different axes, each of them with differences."""
    chosen = tuple(range(len(shape))) if axes is None else np.atleast_1d(axes).tolist()
    if not all(type(a) is int and -len(shape) <= a < len(shape) for a in chosen):
        raise ValueError(f"axes has to hold axes of x, which has {len(shape)}; got {axes!r}")
    chosen = tuple(a % len(shape) for a in chosen)
    if not chosen or len(set(chosen)) != len(chosen):
        raise ValueError(f"axes has to hold different axes, one at least; got {axes!r}")
    if any(shape[a] < 2 for a in chosen):
        raise ValueError(
            f"x has shape {shape}: there is no difference along an axis of one entry; leave it out "
            "of axes"
        )
    return chosen
