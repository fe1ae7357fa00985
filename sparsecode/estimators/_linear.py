"""Linear models with few coefficients, under scikit-learn's names and with its objective."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import MultiOutputMixin

from sparsecode import penalties
from sparsecode._validation import check_bool, check_real
from sparsecode.estimators._base import all_or_nothing
from sparsecode.estimators._linear_base import (
    LinearRegressor,
    attainable,
    centre,
    check_alpha,
    check_regression,
    check_weights,
)
from sparsecode.solvers import semismooth_newton

__all__ = ["ElasticNet", "Lasso"]


class PenalizedRegressor(MultiOutputMixin, LinearRegressor):
    """Least squares with a penalty, by semismooth Newton, one target after the other."""

    alpha: float
    fit_intercept: bool
    tol: float
    max_iter: int
    warm_start: bool

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the coefficients and the intercept.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Samples, one a row; float32 and float64 stay as they are, a sparse one stays sparse.
        y : array of shape (n_samples,) or (n_samples, n_targets)
            One target, or one a column. Each is a problem of its own.
        sample_weight : float or array of shape (n_samples,), optional
            Nonnegative weights of the squares, scaled to a mean of 1. A whole number counts as so
            many copies of the sample, zero as none.

        Returns
        -------
        PenalizedRegressor
            The estimator itself.
        """
        alpha, penalty = check_alpha(self.alpha), self._penalty()
        fit_intercept = check_bool(self.fit_intercept, "fit_intercept")
        warm_start = check_bool(self.warm_start, "warm_start")
        X, y = check_regression(self, X, y, multi_output=True)
        data = centre(X, y, check_weights(sample_weight, X.shape[0]), fit_intercept)
        targets = np.atleast_2d(data.y.T)
        starts = self._starts(len(targets), X.shape[1]) if warm_start else [None] * len(targets)
        solver_alpha = data.n_samples * alpha  # scikit-learn has 1 / (2 n) where the solver has 1/2
        results = [
            semismooth_newton(
                data.A,
                target,
                solver_alpha,
                penalty=penalty,
                tol=attainable(self.tol, data.y.dtype),
                max_iter=self.max_iter,
                init=start,
            )
            for target, start in zip(targets, starts, strict=True)
        ]
        self._keep(data, np.stack([result.x for result in results]))
        gaps = np.array([result.dual_gap / data.n_samples for result in results])
        n_iter = np.array([result.n_iter for result in results])
        one = len(results) == 1
        self.dual_gap_ = float(gaps[0]) if one else gaps
        self.n_iter_ = int(n_iter[0]) if one else n_iter
        return self

    def _penalty(self) -> penalties.Penalty:
        raise NotImplementedError

    def _starts(self, n_targets: int, n_features: int) -> Any:
        """The coefficients of the last fit, one row a target; zero before the first."""
        if not hasattr(self, "coef_"):
            return [None] * n_targets
        coef = np.atleast_2d(self.coef_)
        if coef.shape != (n_targets, n_features):
            raise ValueError(
                f"warm_start=True starts from the coefficients of the last fit, of {coef.shape[0]} "
                f"targets and {coef.shape[1]} features, but the data have {n_targets} and "
                f"{n_features}; set warm_start=False"
            )
        return coef


class Lasso(PenalizedRegressor):
    r"""Least squares with the l1 norm: few features that predict, and how good a choice they are.

    .. math:: \min_{w, b} \frac{1}{2 n} \|y - X w - b\|_2^2 + \alpha \|w\|_1

    with `n` samples, as in scikit-learn: a drop-in for its class of that name, with a certificate.
    With weights, the first term is half the weighted mean of the squares. Its options that only
    choose an implementation (`precompute`, `copy_X`, `selection`, `random_state`) are left out.

    Parameters
    ----------
    alpha : float, default=1.0
        The weight of the l1 norm, positive.
    fit_intercept : bool, default=True
        Whether there is an intercept `b`; it is not penalised.
    positive : bool, default=False
        Only coefficients that are not negative.
    tol : float, default=1e-6
        Stop when the duality gap is at most `tol` times the objective at ``w = 0``; one below 32
        roundings of the data's dtype counts as these;
        scikit-learn's is relative to twice that objective.
    max_iter : int, default=100
        Working sets at the most; not sweeps as in scikit-learn.
    warm_start : bool, default=False
        Start from the coefficients of the last fit.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        The coefficients, in the dtype of the data.
    sparse_coef_ : csr_array of shape (n_targets, n_features)
        The same as CSR.
    intercept_ : float or ndarray of shape (n_targets,)
        The intercept; 0.0 without one.
    dual_gap_ : float or ndarray of shape (n_targets,)
        The certificate: the objective above is within this of the least possible one.
    n_iter_ : int or ndarray of shape (n_targets,)
        Working sets solved.
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
    LassoCV : Finds `alpha` by cross-validation.
    sparsecode.solvers.semismooth_newton : The solver.

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the Lasso", 1996.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import Lasso
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> y = X @ [3.0, 0.1] + 5.0
    >>> model = Lasso(alpha=0.5).fit(X, y)
    >>> model.coef_, float(model.intercept_), bool(model.dual_gap_ <= 1e-6)
    (array([2., 0.]), 5.0, True)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        positive: bool = False,
        tol: float = 1e-6,
        max_iter: int = 100,
        warm_start: bool = False,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def _penalty(self) -> penalties.Penalty:
        return penalties.L1(positive=check_bool(self.positive, "positive"))


class ElasticNet(PenalizedRegressor):
    r"""Least squares with the l1 norm and the squared l2 norm: correlated features come together.

    .. math:: \min_{w, b} \frac{1}{2 n} \|y - X w - b\|_2^2
              + \alpha \rho \|w\|_1 + \frac{\alpha (1 - \rho)}{2} \|w\|_2^2

    with `n` samples and the `l1_ratio` :math:`\rho`, as in scikit-learn: a drop-in for its class of
    that name, with a certificate. With weights, the first term is half the weighted mean of the
    squares. Its options that only choose an implementation (`precompute`, `copy_X`, `selection`,
    `random_state`) are left out.

    Parameters
    ----------
    alpha : float, default=1.0
        The weight of the penalty, positive.
    l1_ratio : float, default=0.5
        The share of the l1 norm, in (0, 1]; 1 is the `Lasso`.
    fit_intercept : bool, default=True
        Whether there is an intercept `b`; it is not penalised.
    positive : bool, default=False
        Only coefficients that are not negative.
    tol : float, default=1e-6
        Stop when the duality gap is at most `tol` times the objective at ``w = 0``; one below 32
        roundings of the data's dtype counts as these;
        scikit-learn's is relative to twice that objective.
    max_iter : int, default=100
        Working sets at the most; not sweeps as in scikit-learn.
    warm_start : bool, default=False
        Start from the coefficients of the last fit.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        The coefficients, in the dtype of the data.
    sparse_coef_ : csr_array of shape (n_targets, n_features)
        The same as CSR.
    intercept_ : float or ndarray of shape (n_targets,)
        The intercept; 0.0 without one.
    dual_gap_ : float or ndarray of shape (n_targets,)
        The certificate: the objective above is within this of the least possible one.
    n_iter_ : int or ndarray of shape (n_targets,)
        Working sets solved.
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
    sparsecode.solvers.semismooth_newton : The solver.

    References
    ----------
    Zou and Hastie, "Regularization and variable selection via the elastic net", 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import ElasticNet
    >>> X = np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, 2.0], [-2.0, -2.0]])
    >>> coef = ElasticNet(alpha=0.5, tol=1e-12).fit(X, X[:, 0]).coef_
    >>> bool(np.isclose(coef[0], coef[1])), np.round(coef, 3)
    (True, array([0.429, 0.429]))
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        positive: bool = False,
        tol: float = 1e-6,
        max_iter: int = 100,
        warm_start: bool = False,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def _penalty(self) -> penalties.Penalty:
        l1_ratio = check_real(self.l1_ratio, "l1_ratio", low=0, high=1)
        if l1_ratio == 0:
            raise ValueError(
                "l1_ratio=0 is ridge regression, whose answer is not sparse; use "
                "sklearn.linear_model.Ridge(alpha=n_samples * alpha), or give a positive one"
            )
        positive = check_bool(self.positive, "positive")
        if l1_ratio == 1:
            return penalties.L1(positive=positive)
        return penalties.ElasticNet(l1_ratio, positive)
