"""Sparse codes in a dictionary that is given."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sparsecode._validation import check_array, check_int, check_option, check_unused
from sparsecode.estimators._base import Transformer, check_samples, synthesize
from sparsecode.operators import overcomplete_dct
from sparsecode.solvers import sparse_encode

__all__ = ["SparseCoder"]


class SparseCoder(Transformer):
    r"""Sparse codes ``C`` with ``X ~ C @ dictionary`` in a fixed dictionary.

    ``"omp"`` and ``"ols"``: :math:`\min_c \|x - c D\|_2^2` subject to
    :math:`\|c\|_0 \le` `n_nonzero_coefs`, or the fewest atoms with
    :math:`\|x - c D\|_2 \le` `residual_tol`, greedily, for each row `x`.

    ``"lasso"``: :math:`\min_c \tfrac12 \|x - c D\|_2^2 + \alpha \|c\|_1`.

    ``"threshold"``: :math:`c = \mathrm{soft}(x D^T, \alpha)`.

    The code of a row depends neither on the other rows nor on the number of threads, to the bit.

    Parameters
    ----------
    dictionary : {"dct", "identity"} or array of shape (n_components, n_features), default="dct"
        Atoms, one a row, of any norm; or cosines; or the unit vectors.
    n_components : int, optional
        How many cosines (more than features make the dictionary overcomplete) or unit vectors; as
        many as features by default. Leave it out where `dictionary` is an array.
    algorithm : {"omp", "ols", "lasso", "threshold"}, default="omp"
        The problem, as above. A parameter that it does not use is an error.
    n_nonzero_coefs : int, optional
        For `omp` and `ols`: at most so many atoms a signal. By default a tenth of the features,
        at least one, when `residual_tol` is not given either; no limit when it is.
    residual_tol : float, optional
        For `omp` and `ols`: stop once the l2 norm of the residual (not squared) is at most this.
    alpha : float, optional
        For `lasso` and `threshold`, which need it: the weight of the l1 norm, positive.
    positive : bool, default=False
        For `lasso` and `threshold`: only coefficients that are not negative.
    sparse_output : bool, default=False
        Codes as CSR, whose memory grows with the nonzeros alone.
    tol : float, optional
        For `lasso`: duality gap over the objective at zero, of each signal; 1e-6 by default.
    max_iter : int, optional
        For `lasso`: sweeps over the coordinates at the most; 10,000 by default.
    n_threads : int, optional
        Threads; None means the cores this process was given, 1 inside a joblib worker.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The atoms, one a row, in the dtype of the data.
    n_components_ : int
        Their number.
    n_iter_ : int
        1: `fit` has nothing to iterate, `max_iter` limits the coding.
    n_features_in_ : int
        Features seen by `fit`.

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
    generalized linear models via coordinate descent", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import SparseCoder
    >>> X = np.cos(np.pi * 3 / 16 * (np.arange(16) + 0.5))[None, :]
    >>> coder = SparseCoder("dct", n_nonzero_coefs=1)
    >>> codes = coder.fit_transform(X)
    >>> np.flatnonzero(codes), np.allclose(coder.inverse_transform(codes), X)
    (array([3]), True)
    """

    def __init__(
        self,
        dictionary: Any = "dct",
        *,
        n_components: int | None = None,
        algorithm: str = "omp",
        n_nonzero_coefs: int | None = None,
        residual_tol: float | None = None,
        alpha: float | None = None,
        positive: bool = False,
        sparse_output: bool = False,
        tol: float | None = None,
        max_iter: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.dictionary = dictionary
        self.n_components = n_components
        self.algorithm = algorithm
        self.n_nonzero_coefs = n_nonzero_coefs
        self.residual_tol = residual_tol
        self.alpha = alpha
        self.positive = positive
        self.sparse_output = sparse_output
        self.tol = tol
        self.max_iter = max_iter
        self.n_threads = n_threads

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
        X = check_samples(self, X, reset=True)
        self.components_ = self._atoms(X.shape[1]).astype(X.dtype)
        self.n_components_ = self.components_.shape[0]
        self.n_iter_ = 1
        # Coding the zero signal costs little and checks every parameter.
        self._encode(np.zeros((1, 1), X.dtype), np.zeros((self.n_components_, 1), X.dtype))
        return self

    def transform(self, X: Any) -> Any:
        """Code each row.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row.

        Returns
        -------
        ndarray or csr_array of shape (n_samples, n_components)
            The codes; CSR if `sparse_output`.
        """
        check_is_fitted(self)
        X = check_samples(self, X, reset=False)
        return self._encode(X, self.components_.astype(X.dtype, copy=False))

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
        return synthesize(X, self.components_)

    def _atoms(self, n_features: int) -> np.ndarray:
        if not isinstance(self.dictionary, str):
            check_unused("a dictionary that is an array", n_components=self.n_components)
            atoms = check_array(self.dictionary, "dictionary")
            if atoms.shape[1] != n_features:
                raise ValueError(
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
        return sparse_encode(
            X,
            dictionary,
            algorithm=self.algorithm,
            n_nonzero_coefs=self.n_nonzero_coefs,
            residual_tol=self.residual_tol,
            alpha=self.alpha,
            positive=self.positive,
            sparse_output=self.sparse_output,
            tol=self.tol,
            max_iter=self.max_iter,
            n_threads=self.n_threads,
        )

    @property
    def _n_features_out(self) -> int:
        return self.n_components_
