"""Linear regression on few features, chosen greedily."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import MultiOutputMixin

from sparsecode._validation import check_bool, check_real
from sparsecode.estimators._base import all_or_nothing
from sparsecode.estimators._linear_base import LinearRegressor, centre, check_regression
from sparsecode.solvers import Status, omp
from sparsecode.solvers._run import warn

__all__ = ["OrthogonalMatchingPursuit"]


class OrthogonalMatchingPursuit(MultiOutputMixin, LinearRegressor):
    r"""Least squares on few features: at each step the one that correlates most with what is left.

    .. math:: \min_{w, b} \|y - X w - b\|_2^2 \quad \text{s.t.} \quad \|w\|_0 \le k

    A drop-in for scikit-learn's class of that name, with two differences. A column may have any
    norm: the correlation is divided by it, where scikit-learn takes it for 1. And
    `n_nonzero_coefs` beside `tol` is an error, where scikit-learn ignores it. Its `precompute`,
    which only chooses an implementation, is left out.

    Parameters
    ----------
    n_nonzero_coefs : int, optional
        At most so many features a target. If neither this nor `tol` is given, a tenth of the
        features, at least one.
    tol : float, optional
        Instead: the fewest features with ``||y - X w - b||^2 <= tol``. As in scikit-learn, and
        unlike everywhere else here, this is the squared norm of the residual.
    fit_intercept : bool, default=True
        Whether there is an intercept `b`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        The coefficients, in the dtype of the data.
    sparse_coef_ : csr_array of shape (n_targets, n_features)
        The same as CSR.
    intercept_ : float or ndarray of shape (n_targets,)
        The intercept; 0.0 without one.
    n_nonzero_coefs_ : int or None
        The limit; None if `tol` is given.
    n_iter_ : int or ndarray of shape (n_targets,)
        Features in use.
    n_features_in_ : int
        Features seen by `fit`.

    Raises
    ------
    ValueError
        From `fit`, if a parameter is out of range, both `n_nonzero_coefs` and `tol` are given, the
        data do not fit each other, or an entry is NaN or infinite.

    Warns
    -----
    ConvergenceWarning
        From `fit`, if no further feature reduces a residual that is still above `tol`.

    See Also
    --------
    Lasso : The convex way, with a bound on how far from the best choice it is.
    sparsecode.solvers.omp : The solver.

    References
    ----------
    Pati, Rezaiifar and Krishnaprasad, "Orthogonal matching pursuit", 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import OrthogonalMatchingPursuit
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> y = X @ [3.0, 0.1] + 5.0
    >>> model = OrthogonalMatchingPursuit(n_nonzero_coefs=1).fit(X, y)
    >>> np.round(model.coef_, 12), round(float(model.intercept_), 12)
    (array([3., 0.]), 5.0)
    """

    def __init__(
        self,
        *,
        n_nonzero_coefs: int | None = None,
        tol: float | None = None,
        fit_intercept: bool = True,
    ) -> None:
        self.n_nonzero_coefs = n_nonzero_coefs
        self.tol = tol
        self.fit_intercept = fit_intercept

    @all_or_nothing
    def fit(self, X: Any, y: Any) -> Self:
        """Choose features, and fit the coefficients and the intercept.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Samples, one a row; float32 and float64 stay as they are, a sparse one stays sparse.
        y : array of shape (n_samples,) or (n_samples, n_targets)
            One target, or one a column. Each is a problem of its own.

        Returns
        -------
        OrthogonalMatchingPursuit
            The estimator itself.
        """
        residual_tol = None
        if self.tol is not None:
            if self.n_nonzero_coefs is not None:
                raise ValueError(
                    "give n_nonzero_coefs or tol, not both: the number of features follows from tol"
                )
            residual_tol = np.sqrt(check_real(self.tol, "tol", low=0))  # tol is the norm squared
        fit_intercept = check_bool(self.fit_intercept, "fit_intercept")
        X, y = check_regression(self, X, y, multi_output=True)
        data = centre(X, y, None, fit_intercept)
        limit = self.n_nonzero_coefs
        if limit is None and self.tol is None:
            limit = max(1, X.shape[1] // 10)
        result = omp(data.A, data.y, n_nonzero_coefs=limit, residual_tol=residual_tol)
        if result.status is Status.EXHAUSTED:
            warn(
                f"OrthogonalMatchingPursuit did not reach tol={self.tol:g}: no further feature "
                "reduces the residual; raise tol"
            )
        coef = np.atleast_2d(result.x.T)
        self._keep(data, coef)
        self.n_nonzero_coefs_ = limit
        n_iter = np.count_nonzero(coef, axis=1)
        self.n_iter_ = int(n_iter[0]) if len(coef) == 1 else n_iter
        return self
