"""What the linear regressors share: checks, weights and intercept, prediction."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sparsecode._scaling import to_units, units_of
from sparsecode._validation import as_array, check_array, check_real
from sparsecode.estimators._base import check_kind, validated
from sparsecode.operators import centered


class Centred(NamedTuple):
    """A weighted regression with an intercept, as one of `y` on `A` that has neither."""

    A: Any  # diag(sqrt(weights)) (X - 1 X_mean^T)
    y: np.ndarray
    X_mean: np.ndarray | None  # None where there is no intercept
    y_mean: Any
    n_samples: int  # with a weight; the weights sum to it

    def intercept(self, coef: np.ndarray) -> Any:
        """The best one for coefficients (n_features,), or (n_targets, n_features)."""
        if self.X_mean is None:
            return 0.0
        return np.asarray(self.y_mean - coef @ self.X_mean).astype(self.y.dtype)[()]


def centre(X: Any, y: np.ndarray, weights: np.ndarray | None, fit_intercept: bool) -> Centred:
    """Move the weights and the intercept into the data; a sparse `X` stays sparse.

    A sample without weight is left out. The others' weights are scaled to a mean of 1, which leaves
    `alpha` its meaning.
    """
    roots = None
    if weights is not None:
        kept = np.flatnonzero(weights)
        if kept.size == 0:
            raise ValueError(
                "sample_weight is zero for every sample of the data, or of one fold of them; "
                "give some a positive weight"
            )
        X, y, weights = X[kept], y[kept], weights[kept] / weights.max()
        weights *= kept.size / weights.sum()
        roots = np.sqrt(weights).astype(X.dtype)
    n_samples = X.shape[0]
    means: tuple[Any, Any] = (None, None)
    with np.errstate(over="ignore", invalid="ignore"):
        if fit_intercept:
            shares = (np.ones(n_samples) if weights is None else weights) / n_samples
            means = (_means(X, shares), _means(y, shares))
        A, y = (
            _shifted(values, mean, roots, X.dtype)
            for values, mean in zip((X, y), means, strict=True)
        )
    for name, values in (("X", A), ("y", y)):
        if isinstance(values, np.ndarray) and not np.all(np.isfinite(values)):
            raise ValueError(f"{name} is too large to be centred in {X.dtype}; rescale it")
    return Centred(A, y, *means, n_samples)


def _means(X: Any, shares: np.ndarray) -> np.ndarray:
    """Weighted means of the columns, in double precision; a constant column's is exact."""
    least, most = (
        bound.toarray().ravel() if sp.issparse(bound) else bound
        for bound in (X.min(axis=0), X.max(axis=0))
    )
    return np.where(least == most, most, shares @ X)


def _shifted(X: Any, mean: Any, roots: np.ndarray | None, dtype: np.dtype) -> Any:
    """``diag(roots) (X - 1 mean^T)``."""
    if sp.issparse(X):
        if mean is not None:
            return centered(X, mean.astype(dtype), roots)
        return X if roots is None else sp.csr_array(sp.diags_array(roots) @ X)
    if mean is None and roots is None:
        return X.astype(dtype, copy=False)
    shifted = np.empty(X.shape, dtype=dtype, order="F")  # solvers take columns
    np.subtract(X, 0 if mean is None else mean, out=shifted, casting="same_kind")
    if roots is not None:
        shifted.T[...] *= roots
    return shifted


def check_regression(
    estimator: BaseEstimator, X: Any, y: Any, *, multi_output: bool
) -> tuple[Any, np.ndarray]:
    """`X` dense or CSR, in float32 or float64; `y` one target, or with `multi_output` several."""
    X, y = validated(
        estimator,
        X,
        None if y is None else _check_target(y),
        accept_sparse="csr",
        dtype=(np.float64, np.float32),
        multi_output=multi_output,
        y_numeric=True,
    )
    return sp.csr_array(X) if sp.issparse(X) else X, check_array(y, "y", ndim=(1, 2))


def _check_target(y: Any) -> np.ndarray:
    """What scikit-learn says of `y` it says without its name."""
    y = as_array(check_kind(y, "y"), "y")
    if y.ndim == 0:
        raise ValueError("y has to be 1-D or 2-D, one number a sample, got a single one")
    if y.dtype.kind in "OU":
        try:
            y = y.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y holds objects that are not real numbers: {error}") from error
    return y


def check_weights(sample_weight: Any, n_samples: int) -> np.ndarray | None:
    """One nonnegative weight a sample; None, and one number for all, are equal weights."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, numbers.Real):
        check_real(sample_weight, "sample_weight", low=0, open_low=True)
        return None
    weights = check_array(sample_weight, "sample_weight", ndim=1).astype(np.float64)
    if weights.size != n_samples:
        raise ValueError(f"sample_weight has {weights.size} entries for {n_samples} samples of X")
    if weights.min() < 0:
        raise ValueError(f"sample_weight has to be nonnegative, got {weights.min():g}")
    return weights


def attainable(tol: Any, dtype: np.dtype) -> float:
    """A tolerance below 32 roundings counts as these: single precision allows no smaller gap."""
    return max(check_real(tol, "tol", low=0), 32 * float(np.finfo(dtype).eps))


def check_alpha(alpha: Any, name: str = "alpha") -> float:
    """A positive number; least squares is the work of another estimator."""
    if check_real(alpha, name, low=0) == 0:
        raise ValueError(
            f"{name}=0 is least squares, whose answer is not sparse; "
            "use sklearn.linear_model.LinearRegression, or give a positive one"
        )
    return float(alpha)


class LinearRegressor(RegressorMixin, BaseEstimator):
    """Prediction from `coef_` and `intercept_`; dense and sparse data."""

    coef_: np.ndarray
    intercept_: Any

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def predict(self, X: Any) -> np.ndarray:
        """The targets that the model expects, ``X @ coef_.T + intercept_``.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Samples, one a row.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            The predictions.
        """
        check_is_fitted(self)
        X = validated(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        return X @ self.coef_.T + self.intercept_

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The coefficient of determination of the prediction, as scikit-learn defines it.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_features)
            Samples, one a row; at least two.
        y : array of shape (n_samples,) or (n_samples, n_targets)
            The true targets.
        sample_weight : float or array of shape (n_samples,), optional
            Nonnegative; those of one number are equal.

        Returns
        -------
        float
            At most 1, and 0 for a model that always predicts the mean; the mean over the targets.
        """
        from sklearn.metrics import r2_score

        predicted = self.predict(X)
        y = check_array(_check_target(y), "y", ndim=(1, 2)).astype(np.float64)
        n_samples = predicted.shape[0]
        if n_samples < 2:
            raise ValueError(
                "X has a single sample, of which there is no score; give at least 2 samples"
            )
        y, predicted = y.reshape(len(y), -1), predicted.reshape(n_samples, -1).astype(np.float64)
        if y.shape != predicted.shape:
            raise ValueError(
                f"y has {len(y)} samples of {y.shape[1]} targets; of X are predicted "
                f"{n_samples} of {predicted.shape[1]}"
            )
        weights = check_weights(sample_weight, n_samples)
        if weights is not None:
            if not weights.any():
                raise ValueError("sample_weight is zero for every sample; give some a positive one")
            weights = weights / weights.max()
        # The score has no scale: each target is in units of its own.
        units = units_of(np.abs(y).max(axis=0), np.float64)
        y, predicted = to_units(y, units), to_units(predicted, units)
        score = np.inf
        if np.all(np.isfinite(predicted)):
            with np.errstate(over="ignore", invalid="ignore"):
                score = float(r2_score(y, predicted, sample_weight=weights))
        if not np.isfinite(score):
            raise ValueError(
                "the score of X and y exceeds the range of float64: what is predicted of X is "
                "beyond all y; rescale X"
            )
        return score

    @property
    def sparse_coef_(self) -> sp.csr_array:
        """`coef_` as CSR of shape (n_targets, n_features)."""
        check_is_fitted(self)
        return sp.csr_array(np.atleast_2d(self.coef_))

    def _keep(self, data: Centred, coef: np.ndarray) -> None:
        """`coef` has one row a target."""
        self.coef_ = coef[0] if coef.shape[0] == 1 else coef
        self.intercept_ = data.intercept(self.coef_)
