r"""Images of least total variation: of those that fit the data, or with a weight beside the fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecode._scaling import from_units
from sparsecode._systems import check_operator, check_system
from sparsecode._validation import (
    as_array,
    check_array,
    check_bool,
    check_exactly_one,
    check_int,
    check_option,
    check_real,
    check_unused,
)
from sparsecode.operators import adjoint, as_real, wavelet_synthesis
from sparsecode.operators._base import check_shape, operator
from sparsecode.solvers._consistency import Inconsistent
from sparsecode.solvers._problem import answer_dtype, in_range
from sparsecode.solvers._result import Result
from sparsecode.solvers._run import Callback, run
from sparsecode.solvers._variation import Grid, Variation
from sparsecode.solvers._variation_admm import Image, Method
from sparsecode.solvers._variation_problem import Constrained, Data, Dual, Penalized

__all__ = ["VariationResult", "total_variation"]

BOUNDARIES = ("periodic", "symmetric")
CHECK_EVERY = 10
NUMBERS = ("dual_gap", "residual", "infeasibility")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class VariationResult(Result):
    """An image of least total variation, and what proves that no other has less.

    Attributes
    ----------
    x : ndarray of the shape of the image
        The image; ``A @ x.ravel()`` is what it measures.
    residual : float
        ``||y - A x||_2``.
    dual_gap : float
        In the units of the objective: what separates it from the value of the dual at `dual`. Where
        `x` obeys the constraint, its objective is within this of the best possible one.
    infeasibility : float
        By how much `sigma` is exceeded, relative; 0 where it is obeyed, and with `alpha`.
    dual : ndarray of shape (m,)
        The dual point of the fit.
    dual_field : ndarray of shape (d, ...)
        That of the variation, nowhere larger than 1 (than `alpha`): an array like the image for
        each axis, and one for the basis if there is one. ``K^* dual_field = A^* dual``, by which
        all this can be checked.
    n_products : int
        Products with `A` and its adjoint, one vector each.
    """

    x: np.ndarray
    residual: float
    dual_gap: float
    infeasibility: float
    dual: np.ndarray
    dual_field: np.ndarray
    n_products: int


def _system(A: Any, y: Any, shape: tuple[int, ...]) -> tuple[Any, np.ndarray]:
    """The matrix and the measurements; without a matrix they are an image."""
    n = math.prod(shape)
    if A is not None:
        A, y = check_system(A, y)
        if y.ndim != 1:
            raise ValueError(f"y has to be 1-D, one image, got shape {y.shape}; loop over columns")
        if A.shape[1] != n:
            raise ValueError(
                f"A has {A.shape[1]} columns, but an image of shape {shape} has {n} pixels"
            )
        return A, y
    y = check_array(y, "y", ndim=tuple({1, len(shape)}), allow_complex=True)
    if y.shape not in (shape, (n,)):
        raise ValueError(f"y has shape {y.shape}; without A it is the image itself, {shape}")
    return operator((n, n), _itself, _itself, y.dtype), y.ravel()


def _itself(x: np.ndarray) -> np.ndarray:
    return x


def _basis(
    weight: float | None, wavelet: Any, shape: tuple[int, ...], dtype: np.dtype
) -> tuple[Any, float]:
    """The synthesis of an orthonormal basis, and the weight of its coefficients."""
    if weight is None:
        check_unused("total_variation without wavelet_weight", wavelet=wavelet)
        return None, 0.0
    weight = check_real(weight, "wavelet_weight", low=0, open_low=True)
    if wavelet is None or isinstance(wavelet, str):
        basis = wavelet_synthesis(shape, wavelet or "db4")
        impulse = np.zeros(basis.shape[0])
        impulse[0] = 1
        if np.count_nonzero(basis @ impulse) == 1:
            raise ValueError(
                f"an image of shape {shape} is too small or odd for wavelet={wavelet or 'db4'!r}: "
                "its lengths have to be even, and as long as the filter"
            )
        return basis, weight
    basis, n = check_operator(wavelet, "wavelet"), math.prod(shape)
    if basis.shape != (n, n):
        raise ValueError(f"wavelet has shape {basis.shape}; a basis of images has {(n, n)}")
    if np.issubdtype(basis.dtype, np.complexfloating) and dtype.kind == "f":
        raise ValueError("wavelet is complex, but the image is real")
    v = np.random.RandomState(0).standard_normal(n)
    if not np.allclose(basis @ (adjoint(basis) @ v), v, rtol=0, atol=1e-5):
        raise ValueError("wavelet has to be an orthonormal basis: its adjoint is not its inverse")
    return basis, weight


def _initial(init: Any, data: Data) -> np.ndarray | None:
    """Where to start, in units."""
    shape, dtype = data.variation.shape, data.y.dtype
    if init is None:
        return None
    init = check_array(init, "init", ndim=len(shape), allow_complex=dtype.kind == "c")
    if init.shape != shape:
        raise ValueError(f"init has shape {init.shape}; the image has shape {shape}")
    x = from_units(init.astype(dtype), 1 / data.signal_unit, data.matrix_unit, name="init")
    return x - data.constant


def _problem(
    data: Data, alpha: float | None, sigma: float | None, tol: float
) -> Penalized | Constrained:
    """The form whose number is given, in units."""
    if sigma is not None:
        return Constrained(data, data.in_units(check_real(sigma, "sigma", low=0), 1, 0), tol)
    alpha = check_real(alpha, "alpha", low=0, open_low=True)
    return Penalized(data, in_range(data.in_units(alpha, 1, 1), alpha, data.y.dtype))


def _method(problem: Penalized | Constrained, init: np.ndarray | None, tol: float) -> Method:
    """The quickest method, or an error in the caller's units where nothing fits."""
    try:
        return Method.of(problem, init, tol)
    except Inconsistent as error:
        least, wanted = (
            problem.data.as_given(length, 1, 0) for length in (error.args[0], problem.sigma or 0.0)
        )
        raise ValueError(
            f"no image has a residual ||y - A x||_2 of at most {wanted:.6g}: the least residual is "
            f"{least:.6g}; give a sigma above that"
        ) from None


def _result(
    problem: Penalized | Constrained,
    image: Image,
    dual: Dual,
    given: np.dtype,
    joined: bool,
    ending: dict[str, Any],
) -> VariationResult:
    """The answer in the caller's units. `joined`: real parts, then imaginary ones."""
    data, (per_q, per_p) = problem.data, problem.dual_units
    x = from_units(image.x + data.constant, data.signal_unit, 1 / data.matrix_unit, name="x")
    q = dual.q
    if joined:
        q = q[: q.size // 2] + 1j * q[q.size // 2 :]
    numbers: dict[str, Any] = {name: float(ending["history"][name][-1]) for name in NUMBERS}
    return VariationResult(
        x=x.astype(answer_dtype(given, x.dtype), copy=False),
        dual=q * data.as_given(1.0, *per_q),
        dual_field=dual.p * data.as_given(1.0, *per_p),
        n_products=data.A.count,
        **numbers,
        **ending,
    )


def total_variation(
    A: Any,
    y: Any,
    shape: int | tuple[int, ...],
    *,
    alpha: float | None = None,
    sigma: float | None = None,
    isotropic: bool = True,
    boundary: str = "symmetric",
    wavelet_weight: float | None = None,
    wavelet: Any = None,
    real: bool = False,
    tol: float = 1e-4,
    max_iter: int = 10_000,
    init: Any = None,
    callback: Callback | None = None,
) -> VariationResult:
    r"""The image of least total variation: of those that fit, or beside a weighted fit.

    .. math:: \min_x R(x) \ \text{ subject to } \ \|y - A x\|_2 \le \sigma
              \qquad \text{or} \qquad
              \min_x \tfrac12 \|y - A x\|_2^2 + \alpha R(x)

    The variation :math:`R` is the sum over the pixels of the length of the vector of differences,
    one along each axis (isotropic), or the sum of their absolute values (anisotropic). With a
    `wavelet_weight` :math:`w`, :math:`w \|W^* x\|_1` is added to it, the l1 norm of coefficients in
    an orthonormal basis. Piecewise constant images are recovered exactly from few measurements;
    without `A` this is denoising.

    The alternating direction method of multipliers. Where a cosine or Fourier transform
    diagonalises ``A^* A`` as it does the differences (no `A`, chosen frequencies, periodic blur),
    an iteration is a few transforms, and every iterate obeys the constraint. Where the rows are
    orthogonal and of one norm (masks, Hadamard transforms), or a side of a matrix is at most 2000,
    it takes a projection, too, and for all others a few conjugate gradients. Which it is, products
    with fixed vectors tell.

    Parameters
    ----------
    A : array, sparse array or LinearOperator of shape (m, n), or None
        The matrix, real or complex, that acts on images in C order; None is the identity.
    y : array of shape (m,)
        The measurements; without `A` an image of that shape.
    shape : int or tuple of int
        Of the signal, image or volume; `n` is their product.
    alpha : float, optional
        The weight of the variation, positive, in the units of ``A^* y``.
    sigma : float, optional
        Instead: the largest residual, not squared, at least 0, in the units of `y`. With 0 the fit
        is exact.
    isotropic : bool, default=True
        Which of the two variations.
    boundary : {"symmetric", "periodic"}, default="symmetric"
        Whether there is no difference across the edges, or one to the other side.
    wavelet_weight : float, optional
        The weight :math:`w`, positive, beside the 1 of the differences; none by default.
    wavelet : str or LinearOperator of shape (n, n), optional
        With `wavelet_weight`: the name of an orthogonal wavelet ("db4" by default), for which
        PyWavelets is needed, or the synthesis of any orthonormal basis, as
        `sparsecode.operators.wavelet_synthesis` makes one.
    real : bool, default=False
        Whether the image is known to be real. It matters where `A` or `y` is complex.
    tol : float, default=1e-4
        Stop when the certificate is at most this. With `alpha` it is the duality gap over the
        objective of the best constant image (of zero, with a basis); with `sigma` the larger of the
        gap over the objective and the infeasibility.
    max_iter : int, default=10000
        Iterations at the most; the certificate is evaluated after every tenth.
    init : array of the shape of the image, optional
        Where to start; zero by default.
    callback : callable, optional
        Called at each check with the named numbers of the history; a true answer stops the solver.

    Returns
    -------
    VariationResult
        `x`, of the shape of the image, `objective`, `residual`, `dual_gap` (in the units of the
        objective), `infeasibility`, `certificate`, `dual`, `dual_field`, `n_products`, `n_iter`,
        `status`, `converged` and `history`. The gap is that of the best dual point so far. The
        infeasibility is what the residual has above `sigma`, relative to `sigma` (for a `sigma`
        below `tol` times it, to the residual of the best constant image).

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, a parameter is out of range, or no image
        obeys the constraint; the message has the least residual.
    ImportError
        If a wavelet is named and PyWavelets is not there.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    References
    ----------
    Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal algorithms", 1992;
    Candes, Romberg and Tao, "Robust uncertainty principles: exact signal reconstruction from highly
    incomplete frequency information", 2006; Wang, Yang, Yin and Zhang, "A new alternating
    minimization algorithm for total variation image reconstruction", 2008; Goldstein and Osher,
    "The split Bregman method for L1-regularized problems", 2009.

    Examples
    --------
    A step in noise, whose two levels come nearer to each other by ``alpha * (1 / 3 + 1 / 3)``:

    >>> import numpy as np
    >>> from sparsecode.solvers import total_variation
    >>> y = np.array([0.1, -0.1, 0.0, 2.0, 2.1, 1.9])
    >>> total_variation(None, y, 6, alpha=0.3, tol=1e-9).x.round(3)
    array([0.1, 0.1, 0.1, 1.9, 1.9, 1.9])
    """
    check_exactly_one(alpha=alpha, sigma=sigma)
    given, shape = as_array(y, "y").dtype, check_shape(shape)
    A, y = _system(A, y, shape)
    joined = check_bool(real, "real") and np.iscomplexobj(y)
    if joined:
        A, y = as_real(A), np.concatenate([y.real, y.imag])
    boundary = check_option(boundary, "boundary", BOUNDARIES)
    basis, weight = _basis(wavelet_weight, wavelet, shape, y.dtype)
    grid = Grid(shape, boundary, y.dtype)
    isotropic = check_bool(isotropic, "isotropic")
    data = Data.from_arguments(A, y, Variation(grid, boundary, isotropic, basis, weight))
    tol, max_iter = check_real(tol, "tol", low=0), check_int(max_iter, "max_iter")
    problem = _problem(data, alpha, sigma, tol)
    method = _method(problem, _initial(init, data), tol)
    best: list[Dual] = []

    def measure(image: Image) -> dict[str, float]:
        dual = problem.dual(*data.matched(*method.dual_points(image)))
        if not best or dual.value > best[0].value:
            best[:] = [dual]
        return problem.numbers(data.primal(image.x), best[0])

    image, ending = run(
        method.images,
        measure,
        tol=tol,
        max_iter=max_iter,
        check_every=CHECK_EVERY,
        callback=callback,
        name="total_variation",
    )
    return _result(problem, image, best[0], given, joined, ending)
