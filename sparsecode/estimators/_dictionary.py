"""A dictionary learned from signals, and their codes in it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sparsecode._validation import check_bool, check_int
from sparsecode.estimators._base import Transformer, check_samples, synthesize
from sparsecode.solvers import ksvd, sparse_encode

__all__ = ["KSVD"]


class KSVD(Transformer):
    r"""Dictionary learning by K-SVD: atoms in which each signal needs only a few.

    .. math:: \min_{C, D} \tfrac12 \|X - C D\|_F^2 \quad \text{s.t.} \quad
              \|c_i\|_0 \le k, \; \|d_j\|_2 = 1

    `fit` learns the atoms :math:`D`, `transform` codes signals in them by orthogonal matching
    pursuit with at most :math:`k` atoms, `inverse_transform` returns ``codes @ components_``.

    Parameters
    ----------
    n_components : int, optional
        Atoms; the number of features by default.
    n_nonzero_coefs : int, optional
        Atoms a signal, :math:`k`. By default a tenth of the features, at least one.
    update : {"approximate", "exact"}, default="approximate"
        How well an atom is fitted to the signals that use it: one power iteration, or enough of
        them for the leading singular pair.
    max_iter : int, default=20
        Iterations at the most: one coding of all signals and one sweep over all atoms each.
    init : {"data", "dct"} or array of shape (n_components, n_features), optional
        The first atoms; different signals that are not zero by default ("data").
    tol : float, optional
        Stop when an iteration changes the objective by less than this fraction; by default
        all `max_iter` iterations are done. The problem is not convex: a small change certifies
        no more than that the descent has come to rest.
    sparse_output : bool, default=False
        Codes as CSR, whose memory grows with the nonzeros alone.
    random_state : int, RandomState, Generator or None, default=None
        Draws the first atoms and the order of the updates; the same integer gives the same bits.
    n_threads : int, optional
        Threads of the coding, which change no bit; None means the cores this process was given,
        1 inside a joblib worker.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The atoms, one a row, of unit norm.
    n_nonzero_coefs_ : int
        Atoms a signal.
    n_iter_ : int
        Iterations done.
    error_ : float
        ``||X - C D||_F / ||X||_F`` after the last iteration.
    history_ : dict of str to ndarray
        One entry an iteration: ``"objective"``, ``"relative_error"``, ``"n_replaced"`` and more, as
        `sparsecode.solvers.ksvd` describes them.
    n_features_in_ : int
        Features seen by `fit`.

    Raises
    ------
    ValueError
        From `fit`, if a parameter is out of range or an entry of the data is NaN or infinite.

    See Also
    --------
    SparseCoder : Codes in a dictionary that is given.
    sparsecode.solvers.ksvd : The solver.

    References
    ----------
    Aharon, Elad and Bruckstein, "K-SVD: an algorithm for designing overcomplete dictionaries for
    sparse representation", 2006; Rubinstein, Zibulevsky and Elad, "Efficient implementation of the
    K-SVD algorithm using batch orthogonal matching pursuit", 2008.

    Examples
    --------
    >>> from sparsecode import KSVD
    >>> from sparsecode.datasets import make_sparse_coded_signals
    >>> data = make_sparse_coded_signals(
    ...     300, n_components=12, n_features=8, n_nonzero_coefs=2, random_state=0
    ... )
    >>> learner = KSVD(12, n_nonzero_coefs=2, random_state=0).fit(data.X)
    >>> codes = learner.transform(data.X)
    >>> codes.shape, int((codes != 0).sum(axis=1).max()), learner.error_ < 0.5
    ((300, 12), 2, True)
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_nonzero_coefs: int | None = None,
        update: str = "approximate",
        max_iter: int = 20,
        init: Any = None,
        tol: float | None = None,
        sparse_output: bool = False,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_nonzero_coefs = n_nonzero_coefs
        self.update = update
        self.max_iter = max_iter
        self.init = init
        self.tol = tol
        self.sparse_output = sparse_output
        self.random_state = random_state
        self.n_threads = n_threads

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the dictionary.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        KSVD
            The estimator itself.
        """
        X = check_samples(self, X, reset=True)
        check_bool(self.sparse_output, "sparse_output")
        n_components = X.shape[1]
        if self.n_components is not None:
            n_components = check_int(self.n_components, "n_components")
        limit = self.n_nonzero_coefs
        if limit is None:
            limit = min(max(1, X.shape[1] // 10), n_components)
        result = ksvd(
            X,
            n_components,
            n_nonzero_coefs=limit,
            max_iter=self.max_iter,
            update=self.update,
            init=self.init,
            tol=self.tol,
            random_state=self.random_state,
            n_threads=self.n_threads,
        )
        self.components_ = result.dictionary
        self.n_nonzero_coefs_ = limit
        self.n_iter_ = result.n_iter
        self.history_ = dict(result.history)
        self.error_ = float(self.history_["relative_error"][-1])
        return self

    def transform(self, X: Any) -> Any:
        """Code each row by orthogonal matching pursuit in the learned dictionary.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row.

        Returns
        -------
        ndarray or csr_array of shape (n_samples, n_components)
            The codes, at most `n_nonzero_coefs_` nonzeros a row; CSR if `sparse_output`.
        """
        check_is_fitted(self)
        X = check_samples(self, X, reset=False)
        return sparse_encode(
            X,
            self.components_.astype(X.dtype, copy=False),
            n_nonzero_coefs=self.n_nonzero_coefs_,
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
        return synthesize(X, self.components_)

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]
