"""Sparse codes in a dictionary that is given, under scikit-learn's names."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import check_is_fitted

from sparsecode._dask import is_dask
from sparsecode._threads import check_n_jobs
from sparsecode._validation import check_array, check_bool, check_int, check_option, check_unused
from sparsecode.estimators._base import (
    Transformer,
    all_or_nothing,
    check_codes,
    check_samples_in_blocks,
    in_blocks,
    inverse_of_blocks,
    synthesize,
    validated,
)
from sparsecode.operators import overcomplete_dct
from sparsecode.solvers import sparse_encode

__all__ = ["SparseCoder"]

# scikit-learn's name of an algorithm, ours, and the parameters that it uses.
ALGORITHMS = {
    "omp": ("omp", {"n_nonzero_coefs", "residual_tol", "positive"}),
    "ols": ("ols", {"n_nonzero_coefs", "residual_tol"}),
    "gradient_pursuit": ("gradient_pursuit", {"n_nonzero_coefs"}),
    "iht": ("iht", {"n_nonzero_coefs", "tol", "max_iter"}),
    "lasso_cd": ("lasso", {"alpha", "positive", "tol", "max_iter"}),
    "lasso_lars": ("lars", {"alpha", "positive", "max_iter"}),
    "lars": ("lars", {"n_nonzero_coefs", "residual_tol", "positive", "max_iter"}),
    "threshold": ("threshold", {"alpha", "positive"}),
}
FROM_THE_DICTIONARY = ("components_", "n_components_", "n_features_in_")


class SparseCoder(Transformer):
    r"""Sparse codes ``C`` with ``X ~ C @ dictionary``; takes the place of scikit-learn's.

    ``"omp"`` and ``"ols"``: :math:`\min_c \|x - c D\|_2^2` subject to
    :math:`\|c\|_0 \le` `transform_n_nonzero_coefs`, or the fewest atoms with
    :math:`\|x - c D\|_2 \le` `transform_residual_tol`, greedily, for each row `x`.
    ``"gradient_pursuit"`` and ``"iht"``: the first of these by steps along the gradient on the
    atoms taken so far, or by iterative hard thresholding.

    ``"lasso_cd"`` and ``"lasso_lars"``:
    :math:`\min_c \tfrac12 \|x - c D\|_2^2 + \alpha \|c\|_1`, by coordinate descent or by homotopy.

    ``"lars"``: the path of the lasso from its first atom down to where one atom more than
    `transform_n_nonzero_coefs` joins (scikit-learn's least angle regression differs from it where
    a coefficient changes its sign).

    ``"threshold"``: :math:`c = \mathrm{soft}(x D^T, \alpha)`.

    The code of a row depends neither on the other rows nor on the number of threads, to the bit.
    With an array for a dictionary there is nothing to fit, and `transform` works at once.

    Parameters
    ----------
    dictionary : {"dct", "identity"} or array of shape (n_components, n_features), default="dct"
        Atoms, one a row, of any norm; or cosines; or the unit vectors.
    n_components : int, optional
        How many cosines (more than features make the dictionary overcomplete) or unit vectors; as
        many as features by default. Leave it out where `dictionary` is an array.
    transform_algorithm : str, default="omp"
        The problem, as above: "omp", "ols", "gradient_pursuit", "iht", "lasso_cd",
        "lasso_lars", "lars" or "threshold". A parameter that it does not use is an error.
    transform_n_nonzero_coefs : int, optional
        For `omp`, `ols`, `gradient_pursuit`, `iht` and `lars`: at most so many atoms a signal. By
        default a tenth of the features, at least one, when `transform_residual_tol` is not given;
        no limit when it is.
    transform_residual_tol : float, optional
        For `omp`, `ols` and `lars`: stop once the l2 norm of the residual (not squared) is at most
        this.
    transform_alpha : float, optional
        For `lasso_cd`, `lasso_lars` and `threshold`: the weight of the l1 norm, positive; 1 by
        default.
    split_sign : bool, default=False
        Codes of twice the width: the positive parts, then the sizes of the negative ones.
    positive_code : bool, default=False
        For `omp`, `lasso_cd`, `lasso_lars`, `lars` and `threshold`: only coefficients that are not
        negative.
    transform_tol : float, optional
        For `lasso_cd`: duality gap over the objective at zero, of each signal; for `iht`: change in
        an iteration over the size. 1e-6 by default.
    transform_max_iter : int, optional
        For `lasso_cd`: sweeps over the coordinates at the most; for `iht`: iterations; 10,000 by
        default. For `lasso_lars` and `lars`: steps of the path, as many as it takes by default.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, each signal is coded on its observed entries, those that are not NaN.
    sparse_output : bool, default=False
        Codes as CSR, whose memory grows with the nonzeros alone.
    n_jobs : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker. Negative as
        in joblib: -1 means all of these cores, -2 all but one.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The atoms, one a row, in the dtype of the data.
    n_components_ : int
        Their number.
    n_iter_ : int
        1: `fit` has nothing to iterate, `transform_max_iter` limits the coding.
    n_features_in_ : int
        Features seen by `fit`, or those of the dictionary.

    Raises
    ------
    ValueError
        From `fit`, if a parameter is out of range, not used by the algorithm, or does not fit the
        data; and if an entry of the data is NaN or infinite.

    See Also
    --------
    KSVD : Learns the dictionary.
    sparsecode.solvers.sparse_encode : The solver.

    References
    ----------
    Rubinstein, Zibulevsky and Elad, "Efficient implementation of the K-SVD algorithm using batch
    orthogonal matching pursuit", 2008; Friedman, Hastie and Tibshirani, "Regularization paths for
    generalized linear models via coordinate descent", 2010; Osborne, Presnell and Turlach, "A new
    approach to variable selection in least squares problems", 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import SparseCoder
    >>> X = np.cos(np.pi * 3 / 16 * (np.arange(16) + 0.5))[None, :]
    >>> coder = SparseCoder("dct", transform_n_nonzero_coefs=1)
    >>> codes = coder.fit_transform(X)
    >>> np.flatnonzero(codes), np.allclose(coder.inverse_transform(codes), X)
    (array([3]), True)
    """

    def __init__(
        self,
        dictionary: Any = "dct",
        *,
        n_components: int | None = None,
        transform_algorithm: str = "omp",
        transform_n_nonzero_coefs: int | None = None,
        transform_residual_tol: float | None = None,
        transform_alpha: float | None = None,
        split_sign: bool = False,
        positive_code: bool = False,
        transform_tol: float | None = None,
        transform_max_iter: int | None = None,
        missing_values: float | None = None,
        sparse_output: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.dictionary = dictionary
        self.n_components = n_components
        self.transform_algorithm = transform_algorithm
        self.transform_n_nonzero_coefs = transform_n_nonzero_coefs
        self.transform_residual_tol = transform_residual_tol
        self.transform_alpha = transform_alpha
        self.split_sign = split_sign
        self.positive_code = positive_code
        self.transform_tol = transform_tol
        self.transform_max_iter = transform_max_iter
        self.missing_values = missing_values
        self.sparse_output = sparse_output
        self.n_jobs = n_jobs

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and make the dictionary; the values of `X` change nothing.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        SparseCoder
            The estimator itself.
        """
        if is_dask(X):  # its blocks are checked by `transform`
            X = check_samples_in_blocks(self, X, reset=True)
        else:
            X = self._samples(X, reset=True)
        self.components_ = self._atoms(X.shape[1]).astype(X.dtype)
        self.n_components_ = self.components_.shape[0]
        self.n_iter_ = 1
        # Coding the zero signal costs little and checks every parameter.
        self._encode(np.zeros((1, X.shape[1]), X.dtype), np.zeros_like(self.components_))
        return self

    def transform(self, X: Any, y: Any = None) -> Any:
        """Code each row.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row; a Dask array is coded block by block.
        y : None
            Ignored; it is there because scikit-learn's has it.

        Returns
        -------
        ndarray, csr_array or dask.array.Array of shape (n_samples, n_components)
            The codes, twice as wide if `split_sign`; CSR if `sparse_output`. Of a Dask array a Dask
            array of such blocks.
        """
        check_is_fitted(self)
        if is_dask(X):
            return in_blocks(self, self.transform, X)
        X = self._samples(X, reset=False)
        codes = self._encode(X, self.components_.astype(X.dtype, copy=False))
        if not self.split_sign:
            return codes
        if sp.issparse(codes):
            return sp.hstack([codes.maximum(0), (-codes).maximum(0)], format="csr")
        return np.hstack([np.maximum(codes, 0), np.maximum(-codes, 0)])

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Signals of given codes, ``codes @ components_``.

        Parameters
        ----------
        X : array or sparse array of shape (n_samples, n_components)
            Codes, one signal's a row; twice as wide if `split_sign`.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The signals.
        """
        check_is_fitted(self)
        if is_dask(X):
            return inverse_of_blocks(self.inverse_transform, X)
        if self.split_sign:
            n = self.n_components_
            X = check_codes(X, "codes", 2 * n)
            X = X[:, :n] - X[:, n:]
        return synthesize(X, self.components_)

    def _samples(self, X: Any, *, reset: bool) -> np.ndarray:
        finite = True if self.missing_values is None else "allow-nan"
        dtypes = (np.float64, np.float32)
        X = validated(self, X, dtype=dtypes, reset=reset, ensure_all_finite=finite)
        return X

    def _atoms(self, n_features: int) -> np.ndarray:
        if not isinstance(self.dictionary, str):
            check_unused("a dictionary that is an array", n_components=self.n_components)
            atoms = check_array(self.dictionary, "dictionary")
            if atoms.shape[1] != n_features:
                raise ValueError(
                    "Dictionary and X have different numbers of features: "
                    f"X has {n_features} features but dictionary has {atoms.shape[1]}; "
                    "both hold one signal or atom a row"
                )
            return atoms
        kind = check_option(self.dictionary, "dictionary", ("dct", "identity"))
        size = n_features
        if self.n_components is not None:
            most = n_features if kind == "identity" else None
            size = check_int(self.n_components, "n_components", high=most)
        return overcomplete_dct(size, n_features) if kind == "dct" else np.eye(size, n_features)

    def _encode(self, X: np.ndarray, dictionary: np.ndarray) -> Any:
        check_bool(self.split_sign, "split_sign")
        return sparse_encode(
            X,
            dictionary,
            missing_values=self.missing_values,
            sparse_output=self.sparse_output,
            n_threads=check_n_jobs(self.n_jobs),
            **self._options(dictionary.shape),
        )

    def _options(self, shape: tuple[int, int]) -> dict[str, Any]:
        """What the solver is asked for, under its names."""
        method = check_option(self.transform_algorithm, "transform_algorithm", ALGORITHMS)
        algorithm, used = ALGORITHMS[method]
        given = {
            "n_nonzero_coefs": self.transform_n_nonzero_coefs,
            "residual_tol": self.transform_residual_tol,
            "alpha": self.transform_alpha,
            "tol": self.transform_tol,
            "max_iter": self.transform_max_iter,
        }
        if method == "omp" and self.transform_alpha is not None:
            raise ValueError(
                "transform_alpha is not used by omp (for scikit-learn it is a squared error "
                "there); give transform_residual_tol, the norm of the residual, instead"
            )
        unused = {f"transform_{name}": given[name] for name in given if name not in used}
        positive = check_bool(self.positive_code, "positive_code")
        if "positive" not in used:
            unused["positive_code"] = positive or None
        check_unused(method, **unused)
        if "alpha" in used and self.transform_alpha is None:
            given["alpha"] = 1.0
        counted = method in ("gradient_pursuit", "iht", "lars")
        if counted and given["n_nonzero_coefs"] is given["residual_tol"] is None:
            given["n_nonzero_coefs"] = min(max(1, shape[1] // 10), shape[0])
        return {"algorithm": algorithm, "positive": positive, **given}

    def __getattr__(self, name: str) -> Any:
        # What an array for a dictionary says without `fit`.
        dictionary = self.__dict__.get("dictionary", "dct")
        if name not in FROM_THE_DICTIONARY or isinstance(dictionary, str):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        atoms = check_array(dictionary, "dictionary")
        return dict(zip(FROM_THE_DICTIONARY, (atoms, *atoms.shape), strict=True))[name]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "components_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = isinstance(self.dictionary, str)
        tags.input_tags.allow_nan = self.missing_values is not None
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_components_ * (2 if self.split_sign else 1)
