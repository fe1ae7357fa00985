"""A subspace that gross corruption does not move, and new rows seen in it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sparsecode._validation import check_option, check_real, check_unused
from sparsecode.estimators._base import Transformer, check_samples, synthesize
from sparsecode.solvers import (
    SplitResult,
    alternating_projections,
    principal_component_pursuit,
    robust_projection,
)

__all__ = ["RobustPCA"]

METHODS = ("pcp", "alternating_projections")

# The certificate bounds the square of the error in the fitted part of a row, so that 1e-14 makes
# that part right to 1e-7 of the row, whichever rows are solved together with it.
TRANSFORM_TOL = 1e-14


class RobustPCA(Transformer):
    r"""Robust principal component analysis: low rank plus sparse.

    `fit` splits the data by principal component pursuit,

    .. math:: \min_{L + S = X} \|L\|_* + \alpha \|S\|_1,

    or, with ``method="alternating_projections"``, into a matrix of given rank plus outliers, which
    is faster and bears more outliers where the rank is known, but comes without a bound. It keeps
    orthonormal rows :math:`V` that span the rows of :math:`L`. `transform` is robust as well: for
    each new row `x` it solves

    .. math:: \min_{z, s} \tfrac12 \|x - z V - s\|_2^2 + \alpha_t \|s\|_1

    and returns the coordinates :math:`z`, which grossly corrupted entries hardly move. Nothing is
    centred: where the mean matters, put a scaler in front.

    Parameters
    ----------
    method : {"pcp", "alternating_projections"}, default="pcp"
        How `fit` splits the data.
    rank : int, optional
        The rank of the low-rank part: `alternating_projections` needs it, `pcp` finds it.
    alpha : float, optional
        The weight of the l1 norm in `fit` by `pcp`; ``1 / sqrt(max(X.shape))`` by default, which
        needs no tuning under the conditions of Candes et al.
    transform_alpha : float, optional
        :math:`\alpha_t`, in the units of the data: residuals well above it count as corruption,
        and each corrupted entry pulls with this force, no more. By default a hundredth of the
        root mean square of `low_rank_` (of the data, if that is zero; 1.0, if those are zero too):
        in the protocol of Candes et al. (n = 500, rank 25, 5 % of the entries corrupted) this
        leaves the low-rank part as a whole where `fit` put it to 5.6e-4 of its norm, single rows
        to 1.1e-3 of theirs. Smaller values leave less, and take more iterations. Give the level of
        the noise if the data are noisy.
    tol : float, default=1e-7
        When `fit` stops, as the solver of the method says. For noisy data, and
        `alternating_projections`, the noise over the low-rank part.
    max_iter : int, default=1000
        Iterations of `fit` at the most.

    Attributes
    ----------
    low_rank_, sparse_ : ndarray of shape (n_samples, n_features)
        The two parts of the data.
    components_ : ndarray of shape (rank, n_features)
        Orthonormal rows that span the rows of `low_rank_`.
    singular_values_ : ndarray of shape (rank,)
        Those of `low_rank_`.
    rank_ : int
        The rank of `low_rank_`; it may be 0, and codes then have no columns.
    alpha_ : float
        The weight of the l1 norm that was used, NaN where there is none.
    transform_alpha_ : float
        The weight of `transform`.
    n_iter_ : int
        Iterations of `fit`.
    dual_gap_ : float
        Relative: no split of the data has an objective below ``1 - dual_gap_`` times that of
        ``(low_rank_, X - low_rank_)``. NaN by `alternating_projections`.
    n_features_in_ : int
        Features seen by `fit`.

    Raises
    ------
    ValueError
        If a parameter is out of range or an entry of the data is NaN or infinite.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first; or, from `transform`, if the certificate (a relative
        duality gap, for every row) is not down to 1e-14 after 10,000 iterations.

    See Also
    --------
    sparsecode.solvers.principal_component_pursuit : The solver of `fit` by `pcp`.
    sparsecode.solvers.alternating_projections : The solver of the other method.
    sparsecode.solvers.robust_projection : The solver of `transform`.

    Notes
    -----
    `transform` gives back the split of the training rows only as far as they are low rank plus
    sparse. Where they are not, `fit` also shrinks the low-rank part, which `transform` does not.

    `fit` computes in the precision of its input. `transform` computes in float64 whatever it is
    given, and returns that dtype: in float32 no certificate could promise that the answer of a row
    owes nothing to the rows beside it.

    References
    ----------
    Candes, Li, Ma and Wright, "Robust principal component analysis?", 2011; Huber, "Robust
    estimation of a location parameter", 1964.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import RobustPCA
    >>> from sparsecode.datasets import make_low_rank_plus_sparse
    >>> X, low_rank, sparse = make_low_rank_plus_sparse(60, rank=2, density=0.05, random_state=0)
    >>> model = RobustPCA().fit(X)
    >>> model.rank_, np.allclose(model.low_rank_, low_rank, atol=1e-4)
    (2, True)
    >>> clean = low_rank[:1].copy()
    >>> corrupted = clean.copy()
    >>> corrupted[0, 7] += 100
    >>> np.allclose(model.inverse_transform(model.transform(corrupted)), clean, atol=1e-2)
    True
    """

    def __init__(
        self,
        *,
        method: str = "pcp",
        rank: int | None = None,
        alpha: float | None = None,
        transform_alpha: float | None = None,
        tol: float = 1e-7,
        max_iter: int = 1000,
    ) -> None:
        self.method = method
        self.rank = rank
        self.alpha = alpha
        self.transform_alpha = transform_alpha
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any = None) -> Self:
        """Split the data into low rank plus sparse.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The data, one sample a row.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        RobustPCA
            The estimator itself.
        """
        X = check_samples(self, X, reset=True)
        weight = self.transform_alpha
        if weight is not None:
            weight = check_real(weight, "transform_alpha", low=0, open_low=True)
        result = self._split(X)
        self.low_rank_ = result.low_rank
        self.sparse_ = result.sparse
        self.components_ = result.components
        self.singular_values_ = result.singular_values
        self.rank_ = result.rank
        self.n_iter_ = result.n_iter
        self.dual_gap_ = result.dual_gap
        if weight is None:
            weight = 1e-2 * (_root_mean_square(self.low_rank_) or _root_mean_square(X)) or 1.0
        self.transform_alpha_ = weight
        return self

    def _split(self, X: np.ndarray) -> SplitResult:
        common: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter}
        if check_option(self.method, "method", METHODS) == "pcp":
            check_unused("pcp", rank=self.rank)
            self.alpha_ = float(1 / np.sqrt(max(X.shape))) if self.alpha is None else self.alpha
            return principal_component_pursuit(X, alpha=self.alpha_, **common)
        check_unused(self.method, alpha=self.alpha)
        if self.rank is None:
            raise ValueError(
                "method='alternating_projections' needs rank, that of the low-rank part; "
                "method='pcp' finds it"
            )
        self.alpha_ = np.nan
        return alternating_projections(X, self.rank, **common)

    def transform(self, X: Any) -> np.ndarray:
        """Coordinates of rows in the subspace, each with its own corruption set aside.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Rows, of the training data or new.

        Returns
        -------
        ndarray of shape (n_samples, rank)
            The coordinates :math:`z`.
        """
        return self._project(X)[1]

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows of given coordinates, ``z @ components_``.

        Parameters
        ----------
        X : array of shape (n_samples, rank)
            Coordinates, one row's a row.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The rows, free of corruption.
        """
        check_is_fitted(self)
        return synthesize(X, self.components_)

    def decompose(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """The two parts of rows, of the training data or new.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        low_rank : ndarray of shape (n_samples, n_features)
            What the subspace explains, ``z @ components_``.
        sparse : ndarray of shape (n_samples, n_features)
            The corruption; no entry of ``X - low_rank - sparse`` exceeds `transform_alpha_`.
        """
        _, z, sparse = self._project(X)
        return z @ self.components_.astype(z.dtype, copy=False), sparse

    def score_samples(self, X: Any) -> np.ndarray:
        """How well the subspace explains rows: the lower, the more outlying.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            The objective of `transform` with its sign changed, at most 0: a residual counts by its
            square, and by its size where it is beyond `transform_alpha_`.
        """
        X, z, sparse = self._project(X)
        size = float(np.max(np.abs(X))) or 1.0  # in units of it no square leaves the range
        noise = (X - z @ self.components_.astype(z.dtype, copy=False) - sparse) / size
        alpha = self.transform_alpha_ / size
        squares = 0.5 * np.sum(np.square(noise, dtype=np.float64), axis=1)
        absolutes = alpha * np.sum(np.abs(sparse / size, dtype=np.float64), axis=1)
        return -(squares + absolutes) * size * size

    def _project(self, X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows as they were checked, their coordinates and their corruption."""
        check_is_fitted(self)
        X = check_samples(self, X, reset=False)
        z, result = robust_projection(
            X.astype(np.float64, copy=False),
            self.components_,
            self.transform_alpha_,
            tol=TRANSFORM_TOL,
        )
        return X, z.astype(X.dtype, copy=False), result.x.T.astype(X.dtype, copy=False)

    @property
    def _n_features_out(self) -> int:
        return self.rank_


def _root_mean_square(X: np.ndarray) -> float:
    size = float(np.max(np.abs(X)))  # in units of it no square leaves the range
    return size * float(np.sqrt(np.mean(np.square(X / size, dtype=np.float64)))) if size else 0.0
