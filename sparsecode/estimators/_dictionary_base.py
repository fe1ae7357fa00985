"""What the dictionary learners share: their parameters, their codes, and what they keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sparsecode._dask import is_dask
from sparsecode._validation import check_bool, check_int, check_missing_values
from sparsecode.estimators._base import (
    Transformer,
    check_samples_in_blocks,
    inverse_of_blocks,
    synthesize,
    validated,
)
from sparsecode.estimators._callbacks import CallbackSupportMixin, watched_iterations
from sparsecode.solvers import DictionaryResult, sparse_encode
from sparsecode.solvers._learning import coding_tol

Learn = Callable[..., DictionaryResult]
CODING = ("n_nonzero_coefs", "residual_tol", "alpha", "positive")


class DictionaryLearner(CallbackSupportMixin, Transformer):
    """`transform` codes rows in the learned atoms as `fit` did; `inverse_transform` sums them."""

    n_components: int | None
    n_nonzero_coefs: int | None
    residual_tol: float | None
    alpha: float | None
    positive: bool
    tol: float | None
    missing_values: float | None
    sparse_output: bool
    n_threads: int | None
    components_: np.ndarray
    n_features_in_: int

    def _fitted(self, X: Any, learn: Learn, max_iter: Any, **options: Any) -> DictionaryResult:
        """Run a learner under the callbacks of the estimator, and keep what it found."""
        X, max_iter = self._training(X), check_int(max_iter, "max_iter")
        with watched_iterations(self, X, max_iter, self.tol, self._as_of) as callback:
            return self._learned(
                X, learn, max_iter=max_iter, tol=self.tol, callback=callback, **options
            )

    def _training(self, X: Any) -> Any:
        return self._checked(X, reset=True)

    def _learned(self, X: np.ndarray, learn: Learn, **options: Any) -> DictionaryResult:
        check_bool(self.sparse_output, "sparse_output")
        coding = {name: getattr(self, name) for name in CODING}
        coding["n_nonzero_coefs"] = self._count
        result = learn(
            X,
            self._n_atoms,
            missing_values=self.missing_values,
            n_threads=self.n_threads,
            **coding,
            **options,
        )
        self.n_nonzero_coefs_ = coding["n_nonzero_coefs"]
        self._keep(result)
        return result

    @property
    def _n_atoms(self) -> int:
        if self.n_components is None:
            return self.n_features_in_
        return check_int(self.n_components, "n_components")

    @property
    def _count(self) -> int | None:
        """Atoms a signal at the most: by default a tenth of the features."""
        if any(getattr(self, name) is not None for name in CODING[:3]):
            return self.n_nonzero_coefs
        return min(max(1, self.n_features_in_ // 10), self._n_atoms)

    def _keep(self, result: DictionaryResult) -> None:
        self.components_ = result.dictionary
        self.n_iter_ = result.n_iter
        self.history_ = dict(result.history)
        self.error_ = float(self.history_["relative_error"][-1])

    def _as_of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes of a fit that ended with this iteration."""
        return {
            "components_": row["dictionary"],
            "n_nonzero_coefs_": self._count,
            "n_iter_": row["n_iter"],
            "error_": row["relative_error"],
        }

    def transform(self, X: Any) -> Any:
        """Code each row in the learned dictionary.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row; a Dask array is coded block by block.

        Returns
        -------
        ndarray, csr_array or dask.array.Array of shape (n_samples, n_components)
            The codes; CSR if `sparse_output`. Of a Dask array a Dask array of such blocks.
        """
        check_is_fitted(self)
        if is_dask(X):
            X = check_samples_in_blocks(self, X, reset=False)
        else:
            X = self._checked(X, reset=False)
        return sparse_encode(
            X,
            self.components_.astype(X.dtype, copy=False),
            algorithm="omp" if self.alpha is None else "lasso",
            n_nonzero_coefs=self.n_nonzero_coefs_,
            residual_tol=self.residual_tol,
            alpha=self.alpha,
            positive=self.positive,
            tol=None if self.alpha is None else coding_tol(X.dtype),
            missing_values=self.missing_values,
            sparse_output=self.sparse_output,
            n_threads=self.n_threads,
        )

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Signals of given codes, ``codes @ components_``.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_components)
            Codes, one signal's a row.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The signals.
        """
        check_is_fitted(self)
        if is_dask(X):
            return inverse_of_blocks(partial(synthesize, components=self.components_), X)
        return synthesize(X, self.components_)

    def _checked(self, X: Any, *, reset: bool) -> np.ndarray:
        missing = check_missing_values(self.missing_values)
        return validated(
            self,
            X,
            dtype=(np.float64, np.float32),
            ensure_all_finite="allow-nan" if missing else True,
            reset=reset,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing_values is not None
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]
