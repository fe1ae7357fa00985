"""Missing entries from those observed."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sparsecode.estimators._base import all_or_nothing, validated
from sparsecode.solvers import complete, complete_rows

__all__ = ["MatrixCompletion"]


class MatrixCompletion(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Fill missing entries by a matrix of low rank: nuclear norm minimisation.

    `fit` solves

    .. math:: \min_L \tfrac12 \sum_{(i, j)\ \mathrm{observed}} (X_{ij} - L_{ij})^2
              + \alpha \|L\|_*

    and keeps the singular values and the right singular vectors :math:`V` of :math:`L`. For each
    row, of the training data or new, `transform` solves

    .. math:: \min_z \tfrac12 \sum_{j\ \mathrm{observed}} (x_j - (z V)_j)^2
              + \tfrac{\alpha}{2} \sum_k z_k^2 / \sigma_k

    and fills what is missing with :math:`z V`; what was observed stays as it was. On the training
    rows that is `fit`'s own answer: the second problem is the first one with all else fixed.
    Nothing is centred: where the mean matters, put a scaler in front.

    Parameters
    ----------
    alpha : float, optional
        The weight of the nuclear norm, in the units of the data. Give this or `alpha_ratio`.
    alpha_ratio : float, optional
        `alpha` over the spectral norm of the observed part, at and above which all is filled with
        zeros; in (0, 1]. 0.01 if neither is given.
    tol : float, default=1e-5
        `fit` stops when the duality gap is at most this times the objective at zero.
    max_iter : int, default=1000
        Iterations of `fit` at the most.

    Attributes
    ----------
    components_ : ndarray of shape (rank, n_features)
        Orthonormal rows that span the rows of the low-rank matrix.
    singular_values_ : ndarray of shape (rank,)
        Its singular values.
    rank_ : int
        Its rank; it may be 0.
    alpha_ : float
        The weight that was used.
    n_iter_ : int
        Iterations of `fit`.
    certificate_ : float
        The duality gap of `fit` over the objective at zero.
    n_features_in_ : int
        Features seen by `fit`.

    Raises
    ------
    ValueError
        If a parameter is out of range, an entry is infinite, or, in `fit`, a row or a column has
        no observed entry.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first.

    See Also
    --------
    sparsecode.solvers.complete : The solver of `fit`.
    sparsecode.solvers.complete_rows : The solver of `transform`.

    References
    ----------
    Mazumder, Hastie and Tibshirani, "Spectral regularization algorithms for learning large
    incomplete matrices", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import MatrixCompletion
    >>> X = np.outer([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0])
    >>> model = MatrixCompletion(alpha_ratio=1e-4).fit(X)
    >>> np.round(model.transform([[5.0, np.nan, np.nan]]), 1)
    array([[ 5.,  5., 10.]])
    """

    def __init__(
        self,
        *,
        alpha: float | None = None,
        alpha_ratio: float | None = None,
        tol: float = 1e-5,
        max_iter: int = 1000,
    ) -> None:
        self.alpha = alpha
        self.alpha_ratio = alpha_ratio
        self.tol = tol
        self.max_iter = max_iter

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the matrix of low rank.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The data, NaN where an entry is missing.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        MatrixCompletion
            The estimator itself.
        """
        X = self._checked(X, reset=True)
        ratio = self.alpha_ratio
        if ratio is None and self.alpha is None:
            ratio = 0.01
        result = complete(
            X, alpha=self.alpha, alpha_ratio=ratio, tol=self.tol, max_iter=self.max_iter
        )
        self.components_ = result.components
        self.singular_values_ = result.singular_values
        self.rank_ = result.rank
        self.alpha_ = result.alpha
        self.n_iter_ = result.n_iter
        self.certificate_ = result.certificate
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Rows with their missing entries filled.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Rows, NaN where an entry is missing. One with nothing observed is filled with zeros.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The same rows, without NaN.
        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        return complete_rows(X, self.components_, self.singular_values_, self.alpha_)

    def _checked(self, X: Any, *, reset: bool) -> np.ndarray:
        return validated(
            self, X, dtype=(np.float64, np.float32), ensure_all_finite="allow-nan", reset=reset
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
