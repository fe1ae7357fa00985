"""A dictionary learned from batches of signals, and their codes in it."""

from __future__ import annotations

from typing import Any, Self

from sparsecode._dask import is_dask
from sparsecode._docs import documented_class
from sparsecode.estimators._base import all_or_nothing, check_samples_in_blocks
from sparsecode.estimators._callbacks import with_callbacks
from sparsecode.estimators._dictionary_base import DictionaryLearner
from sparsecode.solvers import OnlineState, online_dictionary_learning

__all__ = ["OnlineDictionaryLearning"]


@documented_class
class OnlineDictionaryLearning(DictionaryLearner):
    r"""Dictionary learning in mini-batches: a step of all atoms after each batch.

    .. math:: \min_{C, D} \tfrac12 \|X - C D\|_F^2 + \alpha \|C\|_1
              \quad \text{s.t.} \quad \|d_j\|_2 = 1

    or without the l1 norm and with at most `n_nonzero_coefs` atoms a signal, or with the fewest
    whose residual is at most `residual_tol`. `fit` passes over the rows `max_iter` times,
    `partial_fit` once over new rows, which add to what those before have said; `fit` with one pass
    is `partial_fit` over its batches, to the bit.

    %(dictionary_learner)s
    batch_size : int, optional
        Rows between two steps of the atoms: by default 256, or of a Dask array eight times those
        of its largest block. Batches are of adjacent rows, so shuffle rows that are sorted.
    max_iter : int, default=10
        Passes of `fit` over the rows at the most.
    init : {"data", "svd", "dct"}, array or DictionaryResult, default="data"
        The first atoms: different signals of the first batch (or the first `n_components` rows)
        that are not zero, their right singular vectors and random ones behind them, cosines, those
        given, or those of a result to go on from.
    tol : float, optional
        Stop when a pass changes the objective by less than this fraction; by default all
        `max_iter` passes are done.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown, in `fit` and in `transform`.
    positive : bool, default=False
        Atoms and codes without negative entries.
    sparse_output : bool, default=False
        Codes as CSR, whose memory grows with the nonzeros alone.
    random_state : int, RandomState, Generator or None, default=None
        Draws the first atoms; the same integer gives the same bits.
    n_threads : int, optional
        Threads of the coding, which change no bit; None means the cores this process was given,
        1 inside a joblib worker.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The atoms, one a row, of unit norm.
    n_nonzero_coefs_ : int or None
        Atoms a signal at the most.
    n_iter_ : int
        Passes of `fit`, or calls of `partial_fit` since.
    error_ : float
        ``||X - C D||_F / ||X||_F`` in the last pass, over the rows of the last call.
    history_ : dict of str to ndarray
        One entry a pass of the last call, as the solver describes them.
    state_ : OnlineState
        What the rows so far have said.
    n_features_in_ : int
        Features seen by `fit`.

    Raises
    ------
    ValueError
        From `fit`, if a parameter is out of range or an entry of the data is NaN or infinite.

    Warns
    -----
    ConvergenceWarning
        If `tol` was given and `max_iter` was reached first, or `residual_tol` is out of reach.

    See Also
    --------
    KSVD : Atom by atom, over all signals at once.
    sparsecode.solvers.online_dictionary_learning : The solver.

    References
    ----------
    Mairal, Bach, Ponce and Sapiro, "Online learning for matrix factorization and sparse coding",
    2010.

    Examples
    --------
    >>> from sparsecode import OnlineDictionaryLearning
    >>> from sparsecode.datasets import make_sparse_coded_signals
    >>> data = make_sparse_coded_signals(
    ...     2000, n_components=12, n_features=8, n_nonzero_coefs=2, random_state=0
    ... )
    >>> learner = OnlineDictionaryLearning(12, alpha=0.1, random_state=0)
    >>> for start in range(0, 2000, 500):
    ...     learner = learner.partial_fit(data.X[start : start + 500])
    >>> learner.transform(data.X).shape, learner.error_ < 0.4
    ((2000, 12), True)
    """

    state_: OnlineState

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_nonzero_coefs: int | None = None,
        residual_tol: float | None = None,
        alpha: float | None = None,
        batch_size: int | None = None,
        max_iter: int = 10,
        init: Any = "data",
        tol: float | None = None,
        missing_values: float | None = None,
        positive: bool = False,
        sparse_output: bool = False,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.n_nonzero_coefs = n_nonzero_coefs
        self.residual_tol = residual_tol
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.init = init
        self.tol = tol
        self.missing_values = missing_values
        self.positive = positive
        self.sparse_output = sparse_output
        self.random_state = random_state
        self.n_threads = n_threads

    @all_or_nothing
    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the dictionary, from the beginning.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row; of a Dask array the blocks stay where they are.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        OnlineDictionaryLearning
            The estimator itself.
        """
        result = self._fitted(X, online_dictionary_learning, self.max_iter, **self._start)
        self.state_ = result.state.for_new_rows()
        return self

    @all_or_nothing
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from new rows, in one pass, on top of those before.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            New signals, one a row; in batches if there are more than `batch_size`. Of a Dask array
            the blocks stay where they are.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        OnlineDictionaryLearning
            The estimator itself.
        """
        if not hasattr(self, "state_"):
            X = self._checked(X, reset=True)
            result = self._learned(X, online_dictionary_learning, max_iter=1, **self._start)
            self.state_ = result.state.for_new_rows()
            return self
        X = self._checked(X, reset=False).astype(self.state_.dtype, copy=False)
        result = online_dictionary_learning(
            X,
            state=self.state_,
            max_iter=1,
            missing_values=self.missing_values,
            n_threads=self.n_threads,
        )
        n_iter = self.n_iter_ + 1
        self._keep(result)
        self.n_iter_, self.state_ = n_iter, result.state.for_new_rows()
        return self

    def _checked(self, X: Any, *, reset: bool) -> Any:
        if is_dask(X):
            return check_samples_in_blocks(self, X, reset=reset)
        return super()._checked(X, reset=reset)

    @property
    def _start(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("batch_size", "init", "random_state")}
