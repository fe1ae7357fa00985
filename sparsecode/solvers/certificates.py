"""How good given codes are, whoever computed them; rows are signals."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from sparsecode._scaling import from_units, magnitude, to_units, unit_of, units_of
from sparsecode._systems import check_operator
from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import check_array, check_bool, check_missing_values, check_real
from sparsecode.objectives._formulas import duality_gap
from sparsecode.penalties import L1
from sparsecode.solvers._batches import (
    check_dictionary,
    check_signals,
    read,
)
from sparsecode.solvers._tiles import TILE

__all__ = ["code_certificates"]

FLOAT64 = np.dtype(np.float64)


def code_certificates(
    X: Any,
    dictionary: Any,
    codes: Any,
    *,
    alpha: float | None = None,
    positive: bool = False,
    missing_values: float | None = None,
    n_threads: int | None = None,
) -> np.ndarray:
    r"""How far each code can be from the best one, from the data alone; no solver is trusted.

    With `alpha`, the duality gap of :math:`P(c) = \tfrac12 \|x - c D\|_2^2 + \alpha \|c\|_1` over
    :math:`P(0)`, which bounds :math:`(P(c) - \min P) / P(0)`. Without, the relative residual

    .. math:: \|x - c D\|_2 \,/\, \|x\|_2 .

    All is computed in double precision, in tiles: the memory does not grow with the signals. The
    rounding error of a gap is about 1e-16; codes in float32 have gaps of about 1e-7 of their own.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Signals; a `np.memmap` is read in tiles.
    dictionary : array of shape (n_components, n_features)
        Atoms, one a row.
    codes : array or sparse array of shape (n_samples, n_components)
        The codes, one signal's a row.
    alpha : float, optional
        The weight of the l1 norm, positive. Without it the residual is measured.
    positive : bool, default=False
        With `alpha`: the coefficients must not be negative; the gap of a code that has a negative
        one is infinite.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, only the observed entries of each signal count, those that are not NaN.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker.

    Returns
    -------
    ndarray of shape (n_samples,)
        One number a signal, float64. That of a zero signal with a zero code is 0, with another code
        infinity.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, a parameter is out of range, or
        `positive` is given without `alpha`.

    See Also
    --------
    sparsecode.solvers.sparse_encode : Computes codes.
    sparsecode.objectives.duality_gap : The gap of one problem.

    References
    ----------
    Ndiaye et al., "Gap safe screening rules for sparsity enforcing penalties", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers.certificates import code_certificates
    >>> X, D = np.array([[3.0, 0.0, 4.0]]), np.eye(3)
    >>> code_certificates(X, D, [[3.0, 0.0, 0.0]])
    array([0.8])
    >>> code_certificates(X, D, [[2.0, 0.0, 3.0]], alpha=1.0)
    array([0.])
    """
    positive, missing = check_bool(positive, "positive"), check_missing_values(missing_values)
    if positive and alpha is None:
        raise ValueError("positive is not used without alpha; leave it out")
    weight = None if alpha is None else check_real(alpha, "alpha", low=0, open_low=True)
    X, _ = check_signals(X)
    D = check_dictionary(dictionary, X, FLOAT64)
    codes = _checked_codes(codes, (X.shape[0], len(D)))
    atom_unit = unit_of(magnitude(D), FLOAT64)
    D = to_units(D, atom_unit)

    def certify(start: int) -> np.ndarray:
        rows = slice(start, min(start + TILE, X.shape[0]))
        x, c = np.zeros((TILE, D.shape[1])), np.zeros((TILE, len(D)))
        n = rows.stop - rows.start
        x[:n] = read(X, rows, FLOAT64, missing=missing)
        c[:n] = codes[rows].toarray() if sp.issparse(codes) else codes[rows]
        observed = ~np.isnan(x)
        x = np.where(observed, x, 0)
        units = units_of(np.max(np.abs(x), axis=1, keepdims=True), FLOAT64)
        x, c = to_units(x, units), from_units(c, 1 / units, atom_unit, name="codes")
        with np.errstate(over="ignore", invalid="ignore"):  # what leaves the range is infinite
            residual = np.where(observed, x - c @ D, 0)
            if weight is None:
                return _over(_norms(residual), _norms(x))[:n]
            alphas = np.maximum(weight / units[:, 0] / atom_unit, np.finfo(FLOAT64).tiny)
            penalty, correlation = L1(positive=positive), residual @ D.T
            gaps = duality_gap(residual.T, correlation.T, c.T, alphas, penalty)  # type: ignore[arg-type]
            return _over(gaps, 0.5 * _norms(x) ** 2)[:n]

    return np.concatenate(
        map_tiles(certify, range(0, X.shape[0], TILE), check_n_threads(n_threads))
    )


def _checked_codes(codes: Any, shape: tuple[int, int]) -> Any:
    if sp.issparse(codes):
        codes = check_operator(codes, "codes", allow_complex=False)
    else:
        codes = check_array(codes, "codes")
    if codes.shape != shape:
        raise ValueError(
            f"codes has shape {codes.shape}; X and dictionary ask for (n_samples, n_components) "
            f"= {shape}"
        )
    return codes


def _norms(u: np.ndarray) -> np.ndarray:
    size = np.abs(u).max(axis=1, keepdims=True, initial=np.finfo(u.dtype).tiny)
    return size[:, 0] * np.sqrt(np.sum((u / size) ** 2, axis=1))


def _over(numbers: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The ratios; 0 / 0 is 0, and what is left of a zero signal, or of no number, infinity."""
    numbers = np.where(np.isnan(numbers), np.inf, numbers)
    beyond = np.where(numbers > 0, np.inf, 0.0)
    return np.divide(numbers, sizes, where=sizes > 0, out=beyond)
