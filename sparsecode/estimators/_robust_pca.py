"""A subspace that gross corruption does not move, and new rows seen in it."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils.metaestimators import available_if

from sparsecode._dask import is_dask
from sparsecode._mapped import row_tiles
from sparsecode._scaling import magnitude
from sparsecode._validation import check_int, check_matrix, check_real
from sparsecode.estimators._base import all_or_nothing, check_samples_in_blocks
from sparsecode.estimators._robust_subspace import FITTED, RobustSubspace
from sparsecode.estimators._splits import method_of

__all__ = ["RobustPCA"]


def _is_online(model: RobustPCA) -> bool:
    if model.method != "online":
        raise AttributeError(
            f"partial_fit needs method='online'; method={model.method!r} splits all rows at once"
        )
    return True


class RobustPCA(RobustSubspace):
    r"""Robust principal component analysis: low rank plus sparse.

    `fit` splits the data, :math:`X = L + S` and perhaps noise, and keeps orthonormal rows :math:`V`
    that span the rows of the low-rank part :math:`L`. The methods:

    - ``"pcp"``, principal component pursuit: :math:`\min_{L + S = X} \|L\|_* + \alpha \|S\|_1`;
      convex, it needs no rank, and has a duality gap.
    - ``"stable"``, the same with dense noise of standard deviation `sigma` beside the two parts.
    - ``"alternating_projections"``, a matrix of low rank plus outliers: faster, above all where the
      rank is given, and it bears more outliers, but without a bound.
    - ``"godec"``, a matrix of given rank plus as many outliers as are told, the rest noise.
    - ``"online"``, batches of rows, each of which is read once: for streams, video, and what does
      not fit into memory; `partial_fit` takes the next batch.

    `transform` is robust as well: for each new row `x` it solves

    .. math:: \min_{z, s} \tfrac12 \|x - z V - s\|_2^2 + \alpha_t \|s\|_1

    and returns the coordinates :math:`z`, which grossly corrupted entries hardly move. Nothing is
    centred: where the mean matters, put a scaler in front.

    Parameters
    ----------
    method : {"pcp", "stable", "alternating_projections", "godec", "online"}, default="pcp"
        How `fit` splits the data. A parameter that the method does not use is an error.
    rank : int, optional
        The rank of the low-rank part: `godec` and `online`, where it is the largest allowed, need
        it; `alternating_projections` is faster with it; the others find it.
    alpha : float, optional
        The weight of the l1 norm in `fit`. By `pcp` and `stable` over the weight of the nuclear
        norm, by default ``1 / sqrt(max(X.shape))``, which needs no tuning under the conditions of
        Candes et al.; by `online` in the units of the data, by default a fifth of the median size
        of the entries of the first rows.
    sigma : float, optional
        The standard deviation of the noise in an entry: `stable` needs it.
    n_outliers : int, optional
        The number of entries that are wrong: `godec` needs it.
    forgetting : float, optional
        By `online`, the weight of a row over that of the next; 1 by default. Below 1 a subspace
        that changes is followed.
    batch_size : int, optional
        By `online`, rows that `fit` takes at once; ``max(100, 20 * rank)`` by default.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown, in `fit` and in new rows: a row is
        projected on those it has. Where they do not determine its coordinates, these are the ones
        of least norm: zero for a row with nothing observed. In `fit` such a row is an error.
    transform_alpha : float, optional
        :math:`\alpha_t`, in the units of the data: residuals well above it count as corruption,
        and each corrupted entry pulls with this force, no more. By default `sigma` by `stable`
        (unless that is 0), and `alpha_` by `online`. By the others, for data without noise, a
        hundredth of the root mean square of `low_rank_` (of the data, if that is zero; 1.0, if
        those are zero too): in the protocol of Candes et al. (n = 500, rank 25, 5 % of the entries
        corrupted) this leaves the low-rank part as a whole where `pcp` put it to 5.6e-4 of its
        norm, single rows to 1.1e-3 of theirs. Smaller values leave less, and take more iterations.
        By `godec`, at least the root mean square of the noise it left. Give the level of the noise
        if the data are noisy.
    tol : float, optional
        When `fit` stops, and its default, is what the solver of the method says. For noisy data,
        and `alternating_projections`, the noise over the low-rank part.
    max_iter : int, optional
        Iterations of `fit` at the most, by `online` for each batch; the solver's default if None.

    Attributes
    ----------
    low_rank_, sparse_ : ndarray of shape (n_samples, n_features)
        The two parts of the data; not by `online`, which keeps no rows: `decompose` has them.
    components_ : ndarray of shape (rank, n_features)
        Orthonormal rows that span the rows of the low-rank part.
    singular_values_ : ndarray of shape (rank,)
        Those of the low-rank part; by `online`, of all rows so far with their weights.
    rank_ : int
        The rank of the low-rank part; it may be 0, and codes then have no columns.
    alpha_ : float
        The weight of the l1 norm that was used, NaN where there is none.
    transform_alpha_ : float
        The weight of `transform`.
    n_iter_ : int
        Iterations of `fit`; by `online`, passes over batches.
    dual_gap_ : float
        Relative: by `pcp` and `stable`, no split of the data has an objective below
        ``1 - dual_gap_`` times that of this one; by `online`, the same of the rows of the last
        batch in the basis there was, each over what it costs without a sparse part. NaN by
        `alternating_projections` and `godec`.
    n_samples_seen_ : int
        Rows seen by `online`.
    n_features_in_ : int
        Features seen by `fit`.

    Raises
    ------
    ValueError
        If a parameter is out of range, missing, or not used by the method; if an entry of the data
        is infinite, or NaN and `missing_values` does not announce it; or, in `fit`, if a row or a
        column has no observed entry.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` was reached first; or, from `transform`, if the certificate (a relative
        duality gap, for every row) is not down to 1e-14 after 10,000 iterations.

    See Also
    --------
    sparsecode.solvers.principal_component_pursuit : The solver of `fit` by `pcp`.
    sparsecode.solvers.stable_pcp : The solver of `fit` by `stable`.
    sparsecode.solvers.alternating_projections : The solver of the method of that name.
    sparsecode.solvers.godec : The solver of the method of that name.
    sparsecode.solvers.online_robust_pca : The solver of `fit` and `partial_fit` by `online`.
    sparsecode.solvers.robust_projection : The solver of `transform`.

    Notes
    -----
    `transform` gives back the split of the training rows only as far as they are low rank plus
    sparse. Where they are not, `fit` also shrinks the low-rank part, which `transform` does not; so
    does `online` always, the less the more rows it has seen.

    `fit` by `online` is `partial_fit` over the rows in batches of `batch_size`, to the bit.

    `fit` computes in the precision of its input (`online` in float64). `transform` computes in
    float64 whatever it is given, and returns that dtype: in float32 no certificate could promise
    that the answer of a row owes nothing to the rows beside it.

    A tall matrix in a `np.memmap` may be larger than memory: what `fit` makes of its size becomes a
    file beside it (not by `godec`), and rows are transformed in tiles.

    References
    ----------
    Candes, Li, Ma and Wright, "Robust principal component analysis?", 2011; Feng, Xu and Yan,
    "Online robust PCA via stochastic optimization", 2013; Huber, "Robust estimation of a location
    parameter", 1964.

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
        sigma: float | None = None,
        n_outliers: int | None = None,
        forgetting: float | None = None,
        batch_size: int | None = None,
        missing_values: float | None = None,
        transform_alpha: float | None = None,
        tol: float | None = None,
        max_iter: int | None = None,
    ) -> None:
        self.method = method
        self.rank = rank
        self.alpha = alpha
        self.sigma = sigma
        self.n_outliers = n_outliers
        self.forgetting = forgetting
        self.batch_size = batch_size
        self.missing_values = missing_values
        self.transform_alpha = transform_alpha
        self.tol = tol
        self.max_iter = max_iter

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Split the data into low rank plus sparse.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The data, one sample a row. A tall Dask array is split where its blocks are, by "pcp".
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        RobustPCA
            The estimator itself.
        """
        if is_dask(X):
            if self.method != "pcp":
                raise ValueError(
                    f"method={self.method!r} needs the array in memory; Dask arrays are split by "
                    "method='pcp'"
                )
            X = check_samples_in_blocks(self, X, reset=True)
        else:
            X = self._checked(X, reset=True)
        solver, used, common = self._method()
        for name in FITTED:
            self.__dict__.pop(name, None)
        if self.method == "online":
            check_matrix(X, self.missing_values)
            rank = check_int(self.rank, "rank", high=X.shape[1])
            size = max(100, 20 * rank) if self.batch_size is None else self.batch_size
            for rows in gen_batches(len(X), check_int(size, "batch_size")):
                self._advance(X[rows])
            return self
        result = solver(X, **used, **common)
        self._keep(result)
        self.n_iter_ = result.n_iter
        self.low_rank_, self.sparse_ = result.low_rank, result.sparse
        self.alpha_ = np.nan
        if self.method in ("pcp", "stable"):
            self.alpha_ = float(1 / np.sqrt(max(X.shape))) if self.alpha is None else self.alpha
        self.transform_alpha_ = self.transform_alpha or self.sigma or self._weight_of_fit(X)
        return self

    def _weight_of_fit(self, X: np.ndarray) -> float:
        """Small beside the low-rank part, but not beside the noise that the split left."""
        if is_dask(X):  # the norm of the low-rank part is that of its singular values
            size = float(np.linalg.norm(self.singular_values_.astype(np.float64)))
            return 1e-2 * size / math.sqrt(math.prod(X.shape)) or 1.0
        least = 1e-2 * (_root_mean_square(self.low_rank_) or _root_mean_square(X))
        if self.method == "godec":
            least = max(least, _root_mean_square(X - self.low_rank_ - self.sparse_))
        return least or 1.0

    @available_if(_is_online)
    @all_or_nothing
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Go on with the next batch of rows.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The rows.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        RobustPCA
            The estimator itself.
        """
        X = self._checked(X, reset=not hasattr(self, "_online"))
        return self._advance(X)

    def _advance(self, X: np.ndarray) -> Self:
        solver, used, common = self._method()
        state, began_with = getattr(self, "_online", (None, used))
        if used != began_with:
            raise ValueError(f"the first batch had {began_with}, this one {used}; fit begins anew")
        if state is not None:
            used = {"state": state}
        result = solver(X, **used, **common)
        self._keep(result)
        self.n_iter_ = getattr(self, "n_iter_", 0) + result.n_iter if state else result.n_iter
        self.alpha_, self.n_samples_seen_ = result.alpha, result.state.n_rows
        self.transform_alpha_ = self.transform_alpha or self.alpha_
        self._online = result.state, began_with
        return self

    def _method(self) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """The solver, what this method tells it, and what every method does."""
        solver, used = method_of(
            self.method,
            rank=self.rank,
            alpha=self.alpha,
            sigma=self.sigma,
            n_outliers=self.n_outliers,
            forgetting=self.forgetting,
            batch_size=self.batch_size,
        )
        if self.transform_alpha is not None:
            check_real(self.transform_alpha, "transform_alpha", low=0, open_low=True)
        common = {"tol": self.tol, "max_iter": self.max_iter}
        common = {name: value for name, value in common.items() if value is not None}
        return solver, used, common | {"missing_values": self.missing_values}

    def _keep(self, result: Any) -> None:
        self.components_ = result.components
        self.singular_values_ = result.singular_values
        self.rank_ = result.rank
        self.dual_gap_ = result.dual_gap

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing_values is not None
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.rank_


def _root_mean_square(X: np.ndarray) -> float:
    """Over the entries that are there."""
    size = magnitude(X)  # in units of it no square leaves the range
    if size == 0:
        return 0.0
    energy = sum(float(np.nansum(np.square(X[r] / size, dtype=np.float64))) for r in row_tiles(X))
    n_entries = sum(int(np.count_nonzero(~np.isnan(X[r]))) for r in row_tiles(X))
    return size * float(np.sqrt(energy / n_entries))
