"""Rows seen in a subspace, each with its own corruption set aside."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sparsecode._dask import is_dask
from sparsecode._mapped import Rows
from sparsecode._validation import check_missing_values
from sparsecode.estimators._base import (
    Transformer,
    check_samples,
    in_blocks,
    inverse_of_blocks,
    synthesize,
)
from sparsecode.solvers.projection import Keep, RobustRows, project_rows

# The certificate bounds the square of the error in the fitted part of a row, so that 1e-14 makes
# that part right to 1e-7 of the row, whichever rows are solved together with it.
TRANSFORM_TOL = 1e-14
TRANSFORM_MAX_ITER = 10_000
FITTED = ("low_rank_", "sparse_", "_online", "n_samples_seen_")  # by some methods, not by others


class RobustSubspace(Transformer):
    """What a fitted subspace makes of rows."""

    components_: np.ndarray
    rank_: int
    transform_alpha_: float
    missing_values: float | None

    def transform(self, X: Any) -> np.ndarray:
        """Coordinates of rows in the subspace, each with its own corruption set aside.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Rows, of the training data or new; those of a Dask array block by block.

        Returns
        -------
        ndarray of shape (n_samples, rank)
            The coordinates :math:`z`.
        """
        if is_dask(X):
            return in_blocks(self, self._lean().transform, X)
        X = self._rows(X)
        z = np.empty((len(X), self.rank_), X.dtype)

        def keep(rows: Rows, part: RobustRows) -> None:
            z[rows] = part.z

        self._project(X, keep)
        return z

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
        if is_dask(X):
            return inverse_of_blocks(partial(synthesize, components=self.components_), X)
        return synthesize(X, self.components_)

    def decompose(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """The two parts of rows, of the training data or new.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The rows; those of a Dask array block by block.

        Returns
        -------
        low_rank : ndarray of shape (n_samples, n_features)
            What the subspace explains, ``z @ components_``.
        sparse : ndarray of shape (n_samples, n_features)
            The corruption; no entry of ``X - low_rank - sparse`` exceeds `transform_alpha_`. Zero
            where an entry is missing, for which `low_rank` has a value.
        """
        if is_dask(X):
            lean, n_features = self._lean(), X.shape[1]
            both = in_blocks(self, lambda block: np.hstack(lean.decompose(block)), X)
            return both[:, :n_features], both[:, n_features:]
        X = self._rows(X)
        low_rank, sparse = np.empty(X.shape, X.dtype), np.empty(X.shape, X.dtype)

        def keep(rows: Rows, part: RobustRows) -> None:
            low_rank[rows], sparse[rows] = part.low_rank, part.sparse

        self._project(X, keep)
        return low_rank, sparse

    def score_samples(self, X: Any) -> np.ndarray:
        """How well the subspace explains rows: the lower, the more outlying.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            The rows; those of a Dask array block by block.

        Returns
        -------
        ndarray of shape (n_samples,)
            The objective of `transform` with its sign changed, at most 0: a residual counts by its
            square, and by its size where it is beyond `transform_alpha_`; a missing entry does not
            count.
        """
        if is_dask(X):
            return in_blocks(self, self._lean().score_samples, X)
        X = self._rows(X)
        scores = np.empty(len(X))

        def keep(rows: Rows, part: RobustRows) -> None:
            scores[rows] = -part.objectives

        self._project(X, keep)
        if not np.all(np.isfinite(scores)):
            raise ValueError(
                "the score of rows of X exceeds the range of float64, beside a transform_alpha_ of "
                f"{self.transform_alpha_:.3g}; rescale X as the training data were"
            )
        return scores

    def _lean(self) -> Self:
        """Without what is known of the training data alone: it would travel with every task."""
        check_is_fitted(self)
        lean = copy.copy(self)
        for name in FITTED:
            lean.__dict__.pop(name, None)
        return lean

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._checked(X, reset=False)

    def _project(self, X: np.ndarray, keep: Keep) -> None:
        """Hand the projections of tiles of rows to `keep`."""
        project_rows(
            X,
            self.components_,
            self.transform_alpha_,
            keep,
            tol=TRANSFORM_TOL,
            max_iter=TRANSFORM_MAX_ITER,
            missing=check_missing_values(self.missing_values),
        )

    def _checked(self, X: Any, *, reset: bool) -> np.ndarray:
        return check_samples(self, X, reset=reset, missing=self.missing_values is not None)
