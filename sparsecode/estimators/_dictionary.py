"""A dictionary learned from signals, and their codes in it."""

from __future__ import annotations

from typing import Any, Self

from sparsecode._dask import is_dask
from sparsecode._docs import documented_class
from sparsecode.estimators._base import all_or_nothing, check_samples_in_blocks
from sparsecode.estimators._callbacks import with_callbacks
from sparsecode.estimators._dictionary_base import DictionaryLearner
from sparsecode.solvers import ksvd, mod

__all__ = ["KSVD", "MOD"]


@documented_class
class KSVD(DictionaryLearner):
    r"""Dictionary learning by K-SVD: atoms in which each signal needs only a few.

    .. math:: \min_{C, D} \tfrac12 \|X - C D\|_F^2 \quad \text{s.t.} \quad
              \|c_i\|_0 \le k, \; \|d_j\|_2 = 1

    or with the fewest atoms whose residual is at most `residual_tol`, or with
    :math:`\alpha \|C\|_1` beside the squares. `fit` learns the atoms :math:`D`, `transform` codes
    signals in them, `inverse_transform` returns ``codes @ components_``.

    %(dictionary_learner)s
    update : {"approximate", "exact"}, default="approximate"
        How well an atom is fitted to the signals that use it: one power iteration, or enough of
        them for the leading singular pair.
    %(dictionary_learner_rest)s

    See Also
    --------
    MOD : All atoms at once, by least squares.
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
        residual_tol: float | None = None,
        alpha: float | None = None,
        update: str = "approximate",
        max_iter: int = 20,
        init: Any = "data",
        tol: float | None = None,
        missing_values: float | None = None,
        positive: bool = False,
        sparse_output: bool = False,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_nonzero_coefs = n_nonzero_coefs
        self.residual_tol = residual_tol
        self.alpha = alpha
        self.update = update
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
        self._fitted(X, ksvd, update=self.update, **_iterations(self))
        return self


@documented_class
class MOD(DictionaryLearner):
    r"""Dictionary learning by the method of optimal directions: all atoms at once.

    .. math:: \min_{C, D} \tfrac12 \|X - C D\|_F^2 \quad \text{s.t.} \quad
              \|c_i\|_0 \le k, \; \|d_j\|_2 = 1

    with codes as in `KSVD`, and atoms by least squares.

    %(dictionary_learner)s
    %(dictionary_learner_rest)s

    See Also
    --------
    KSVD : Atom by atom, with the coefficients.
    sparsecode.solvers.mod : The solver.

    References
    ----------
    Engan, Aase and Husoy, "Method of optimal directions for frame design", 1999.

    Examples
    --------
    >>> from sparsecode import MOD
    >>> from sparsecode.datasets import make_sparse_coded_signals
    >>> data = make_sparse_coded_signals(
    ...     300, n_components=12, n_features=8, n_nonzero_coefs=2, random_state=0
    ... )
    >>> learner = MOD(12, n_nonzero_coefs=2, random_state=0).fit(data.X)
    >>> learner.transform(data.X).shape
    (300, 12)
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_nonzero_coefs: int | None = None,
        residual_tol: float | None = None,
        alpha: float | None = None,
        max_iter: int = 20,
        init: Any = "data",
        tol: float | None = None,
        missing_values: float | None = None,
        positive: bool = False,
        sparse_output: bool = False,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_nonzero_coefs = n_nonzero_coefs
        self.residual_tol = residual_tol
        self.alpha = alpha
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
        """Learn the dictionary.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row; of a Dask array the blocks stay where they are.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        MOD
            The estimator itself.
        """
        self._fitted(X, mod, **_iterations(self))
        return self

    def _training(self, X: Any) -> Any:
        if is_dask(X):
            return check_samples_in_blocks(self, X, reset=True)
        return super()._training(X)


def _iterations(learner: KSVD | MOD) -> dict[str, Any]:
    names = ("max_iter", "init", "random_state")
    return {name: getattr(learner, name) for name in names}
