"""The lasso with its alpha chosen by cross-validation."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from sparsecode._scaling import magnitude, to_units, unit_of
from sparsecode._threads import check_n_jobs
from sparsecode._validation import check_array, check_bool, check_int, check_real, check_unused
from sparsecode.estimators._base import all_or_nothing
from sparsecode.estimators._linear import Lasso
from sparsecode.estimators._linear_base import (
    LinearRegressor,
    attainable,
    centre,
    check_alpha,
    check_regression,
    check_weights,
)
from sparsecode.objectives._formulas import alpha_max
from sparsecode.penalties import L1
from sparsecode.solvers import lasso_path

__all__ = ["LassoCV"]

EPS = 1e-3


class LassoCV(LinearRegressor):
    r"""The lasso, with the alpha whose predictions are best on data that were held out.

    .. math:: \min_{w, b} \frac{1}{2 n} \|y - X w - b\|_2^2 + \alpha \|w\|_1

    On each fold a path of certified solutions, each started from the one before; then the `Lasso`
    on all data, at the alpha with the least mean squared error over the folds. A drop-in for
    scikit-learn's class of that name; its options that only choose an implementation
    (`precompute`, `copy_X`, `selection`, `random_state`, `verbose`) are left out.

    Parameters
    ----------
    eps : float, default=1e-3
        The least alpha of the grid over the largest, in (0, 1]. Not used by an array of alphas.
    alphas : int or array of shape (n_alphas,), default=100
        So many alphas in a geometric grid, down from the least at which all coefficients are
        zero; or the alphas themselves, positive.
    fit_intercept : bool, default=True
        Whether there is an intercept `b`; it is not penalised.
    positive : bool, default=False
        Only coefficients that are not negative.
    tol : float, default=1e-6
        Stop when the duality gap is at most `tol` times the objective at ``w = 0``, for each
        alpha; scikit-learn's is relative to twice that objective.
    max_iter : int, default=100
        Working sets at the most, for each alpha; not sweeps as in scikit-learn.
    cv : int, splitter or iterable, optional
        The folds, as everywhere in scikit-learn; None means 5. Where a splitter needs groups, give
        ``list(splitter.split(X, y, groups))``.
    n_jobs : int, optional
        Folds at the same time, on threads; None means 1 unless in a joblib context.

    Attributes
    ----------
    alpha_ : float
        The chosen alpha, the largest of the best ones.
    alphas_ : ndarray of shape (n_alphas,)
        The grid, in descending order.
    mse_path_ : ndarray of shape (n_alphas, n_folds)
        The weighted mean squared error on each fold's held-out samples.
    coef_ : ndarray of shape (n_features,)
        The coefficients, in the dtype of the data.
    sparse_coef_ : csr_array of shape (1, n_features)
        The same as CSR.
    intercept_ : float
        The intercept; 0.0 without one.
    dual_gap_ : float
        The certificate: the objective at `alpha_` is within this of the least possible one.
    n_iter_ : int
        Working sets solved, at `alpha_` on all data.
    n_features_in_ : int
        Features seen by `fit`.

    Raises
    ------
    ValueError
        From `fit`, if a parameter is out of range, the data do not fit each other, or an entry is
        NaN or infinite.

    Warns
    -----
    ConvergenceWarning
        From `fit`, if `max_iter` was reached first.

    See Also
    --------
    Lasso : For a given alpha.
    sparsecode.solvers.lasso_path : The solver.

    References
    ----------
    Friedman, Hastie and Tibshirani, "Regularization paths for generalized linear models via
    coordinate descent", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import LassoCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((40, 5))
    >>> y = 2 * X[:, 1] + 0.1 * rng.standard_normal(40)
    >>> model = LassoCV(alphas=20, cv=4).fit(X, y)
    >>> int(np.argmax(model.coef_)), model.mse_path_.shape
    (1, (20, 4))
    """

    def __init__(
        self,
        *,
        eps: float = EPS,
        alphas: Any = 100,
        fit_intercept: bool = True,
        positive: bool = False,
        tol: float = 1e-6,
        max_iter: int = 100,
        cv: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.tol = tol
        self.max_iter = max_iter
        self.cv = cv
        self.n_jobs = n_jobs

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose alpha, and find the coefficients and the intercept.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Samples, one a row; float32 and float64 stay as they are, a sparse one stays sparse.
        y : array of shape (n_samples,)
            The target.
        sample_weight : float or array of shape (n_samples,), optional
            Nonnegative weights of the squares, in the fits and in the errors on held-out samples.
            Each fold counts the same, whatever its weights.

        Returns
        -------
        LassoCV
            The estimator itself.
        """
        from joblib import Parallel, delayed

        fit_intercept = check_bool(self.fit_intercept, "fit_intercept")
        penalty = L1(positive=check_bool(self.positive, "positive"))
        X, y = check_regression(self, X, y, multi_output=False)
        weights = check_weights(sample_weight, X.shape[0])
        self.alphas_ = self._grid(X, y, weights, fit_intercept, penalty)
        solver = {
            "penalty": penalty,
            "tol": attainable(self.tol, y.dtype),
            "max_iter": self.max_iter,
        }
        folds = _folds(self.cv, X, y)
        jobs = check_n_jobs(self.n_jobs)
        unit = unit_of(magnitude(y), y.dtype)  # in which no square of a residual leaves the range
        errors: Iterable[np.ndarray] = Parallel(jobs and min(jobs, len(folds)), prefer="threads")(
            delayed(_errors)(X, y, weights, *fold, self.alphas_, fit_intercept, solver, unit)
            for fold in folds
        )
        in_units = np.stack(list(errors), axis=1)
        self.alpha_ = float(self.alphas_[np.argmin(in_units.mean(axis=1))])
        with np.errstate(over="ignore", under="ignore"):
            self.mse_path_ = in_units * unit * unit
        best = Lasso(
            self.alpha_,
            fit_intercept=fit_intercept,
            positive=self.positive,
            tol=self.tol,
            max_iter=self.max_iter,
        ).fit(X, y, sample_weight=weights)
        self.coef_, self.intercept_ = best.coef_, best.intercept_
        self.dual_gap_, self.n_iter_ = best.dual_gap_, best.n_iter_
        return self

    def _grid(
        self, X: Any, y: np.ndarray, weights: np.ndarray | None, fit_intercept: bool, penalty: L1
    ) -> np.ndarray:
        if not isinstance(self.alphas, numbers.Integral):
            check_unused("an array of alphas", eps=None if self.eps == EPS else self.eps)
            alphas = check_array(self.alphas, "alphas", ndim=1).astype(np.float64)
            check_alpha(float(alphas.min()), "alphas")
            return np.sort(alphas)[::-1]
        n_alphas = check_int(self.alphas, "alphas")
        eps = check_real(self.eps, "eps", low=float(np.finfo(y.dtype).eps), high=1)
        data = centre(X, y, weights, fit_intercept)
        largest = float(alpha_max(data.A, data.y, penalty)) / data.n_samples
        if largest == 0:  # all coefficients are zero at any alpha; scikit-learn's choice
            return np.full(n_alphas, np.finfo(np.float64).resolution)
        return np.geomspace(largest, eps * largest, n_alphas)


def _folds(cv: Any, X: Any, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import check_cv

    try:
        return [(train, test) for train, test in check_cv(cv).split(X, y)]
    except (TypeError, ValueError) as error:
        raise ValueError(f"cv={cv!r} gives no folds of the samples: {error}") from error


def _errors(
    X: Any,
    y: np.ndarray,
    weights: np.ndarray | None,
    train: np.ndarray,
    test: np.ndarray,
    alphas: np.ndarray,
    fit_intercept: bool,
    solver: dict[str, Any],
    unit: float,
) -> np.ndarray:
    """The mean squared error on `test`, in squared units, of the path on `train`, one an alpha."""
    data = centre(X[train], y[train], None if weights is None else weights[train], fit_intercept)
    solver_alphas = data.n_samples * alphas
    coef = lasso_path(data.A, data.y, solver_alphas, **solver).x  # one column an alpha
    residuals = to_units(y[test, None] - (X[test] @ coef + data.intercept(coef.T)), unit)
    if weights is None:
        return np.mean(residuals**2, axis=0)
    if not np.any(weights[test]):
        raise ValueError("sample_weight is zero for all held-out samples of a fold; change cv")
    return np.average(residuals**2, axis=0, weights=weights[test])
