"""Atoms at every place of whole signals and pictures."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sparsecode._threads import check_n_threads, map_tiles
from sparsecode._validation import check_bool, check_int, check_missing_values, check_real
from sparsecode.estimators._base import Transformer, all_or_nothing, check_codes, check_samples
from sparsecode.estimators._callbacks import (
    CallbackSupportMixin,
    watched_iterations,
    with_callbacks,
)
from sparsecode.solvers import (
    convolutional_dictionary_learning,
    convolutional_sparse_encode,
    convolutional_synthesis,
)
from sparsecode.solvers._convolution import Domain
from sparsecode.solvers.convolutional_learning import CHECK_EVERY

__all__ = ["ConvolutionalDictionaryLearning"]


class ConvolutionalDictionaryLearning(CallbackSupportMixin, Transformer):
    r"""Small atoms that whole signals or pictures are made of, wherever these stand.

    .. math:: \min_{c, D} \sum_i \tfrac12 \Big\| x_i - \sum_k d_k * c_{ik} \Big\|_2^2
              + \alpha \sum_{ik} \|c_{ik}\|_1 \quad \text{s.t.} \quad \|d_k\|_2 \le 1

    A sample is one whole signal, a row of `X`, or one whole picture, its pixels in a row with
    `sample_shape` to say what it is: so that rows are samples here as everywhere, and pipelines and
    splits hold whole signals apart. Its features in the output are the coefficients of all atoms at
    all places.

    Parameters
    ----------
    n_components : int, default=8
        Atoms.
    atom_shape : int or tuple of int, optional
        The size of an atom, or its height and width; an integer is a square. By default 8, or all
        of a side that is shorter.
    sample_shape : tuple of int, optional
        What a row is, in C order: ``(n,)`` or ``(height, width)``, with `multichannel` and the
        number of channels behind. By default a signal without channels.
    multichannel : bool, default=False
        The last axis of `sample_shape` are channels: atoms have them, too, and one map of
        coefficients.
    boundary : {"periodic", "valid", "full"}, default="periodic"
        An atom that leaves at one border comes in at the other; atoms may hang over every border;
        or they lie inside: see `solvers.convolutional_sparse_encode`.
    alpha : float, default=0.1
        The weight of the l1 norm.
    max_iter : int, default=200
        Iterations of learning at the most.
    tol : float, optional
        Stop learning when ten iterations change the objective by less than this fraction; by
        default all `max_iter` iterations are done.
    transform_tol : float, default=1e-3
        For `transform`: duality gap over the objective at zero, of each signal.
    transform_max_iter : int, default=2000
        Iterations of `transform` at the most.
    init : array with one atom of `atom_shape` a row, optional
        The first atoms; by default pieces of the signals.
    missing_values : {None, np.nan}, default=None
        With `np.nan`, entries that are NaN are unknown; `inverse_transform` of the codes has values
        for them.
    positive : bool, default=False
        Only coefficients that are not negative.
    random_state : int, RandomState, Generator or None, default=None
        Draws the first atoms.
    n_threads : int, optional
        Threads of the transforms, which change no bit; None means the cores this process was given,
        1 inside a joblib worker.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, size of an atom)
        The atoms, one a row, of norm at most one.
    atom_shape_ : tuple of int
        Their shape, with the number of channels if there are any.
    n_iter_ : int
        Iterations done.
    history_ : dict of str to ndarray
        One entry for ten iterations: ``"objective"``, ``"certificate"``, ``"n_nonzero"`` and more.
    n_features_in_ : int
        Features seen by `fit`.

    Raises
    ------
    ValueError
        From `fit`, if a parameter is out of range or an entry of the data is NaN or infinite.

    Warns
    -----
    ConvergenceWarning
        If `transform_max_iter` was reached, or `max_iter` where `tol` was given.

    See Also
    --------
    KSVD : Atoms as large as the samples.
    sparsecode.solvers.convolutional_dictionary_learning : The solver.

    References
    ----------
    Garcia-Cardona and Wohlberg, "Convolutional dictionary learning: a comparative review and new
    algorithms", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode import ConvolutionalDictionaryLearning
    >>> X = np.random.default_rng(0).standard_normal((6, 40))
    >>> learner = ConvolutionalDictionaryLearning(2, 5, max_iter=3, random_state=0).fit(X)
    >>> learner.components_.shape, learner.transform(X).shape
    ((2, 5), (6, 80))
    """

    def __init__(
        self,
        n_components: int = 8,
        atom_shape: int | tuple[int, ...] | None = None,
        *,
        sample_shape: tuple[int, ...] | None = None,
        multichannel: bool = False,
        boundary: str = "periodic",
        alpha: float = 0.1,
        max_iter: int = 200,
        tol: float | None = None,
        transform_tol: float = 1e-3,
        transform_max_iter: int = 2000,
        init: Any = None,
        missing_values: float | None = None,
        positive: bool = False,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.atom_shape = atom_shape
        self.sample_shape = sample_shape
        self.multichannel = multichannel
        self.boundary = boundary
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.transform_tol = transform_tol
        self.transform_max_iter = transform_max_iter
        self.init = init
        self.missing_values = missing_values
        self.positive = positive
        self.random_state = random_state
        self.n_threads = n_threads

    @all_or_nothing
    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the atoms.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals or pictures, one a row.
        y : None
            Ignored; it is there for pipelines.

        Returns
        -------
        ConvolutionalDictionaryLearning
            The estimator itself.
        """
        X = self._checked(X, reset=True)
        grid = X.shape[1:-1] if self.multichannel else X.shape[1:]
        max_iter = check_int(self.max_iter, "max_iter")
        check_real(self.transform_tol, "transform_tol", low=0)
        check_int(self.transform_max_iter, "transform_max_iter")
        atom = tuple(min(8, side) for side in grid) if self.atom_shape is None else self.atom_shape
        with watched_iterations(self, X, max_iter, self.tol, None, CHECK_EVERY) as callback:
            result = convolutional_dictionary_learning(
                X,
                self.n_components,
                atom,
                alpha=self.alpha,
                max_iter=max_iter,
                tol=self.tol,
                init=self.init,
                random_state=self.random_state,
                callback=callback,
                **self._problem,
            )
        self.components_ = result.dictionary.reshape(len(result.dictionary), -1)
        self.atom_shape_ = result.dictionary.shape[1:]
        self.n_iter_ = result.n_iter
        self.history_ = dict(result.history)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Code each row in the learned atoms.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals or pictures, one a row.

        Returns
        -------
        ndarray of shape (n_samples, n_components * n_places)
            The codes: all places of the first atom, then of the next.
        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        codes = np.empty((len(X), self._n_features_out), dtype=X.dtype)
        atoms, n_threads = self._atoms.astype(X.dtype, copy=False), check_n_threads(self.n_threads)
        options = self._problem | {"n_threads": n_threads if len(X) == 1 else 1}

        def code(i: int) -> None:  # alone, so that its code does not depend on the others
            codes[i] = convolutional_sparse_encode(
                X[i : i + 1],
                atoms,
                self.alpha,
                tol=self.transform_tol,
                max_iter=self.transform_max_iter,
                **options,
            ).x.ravel()

        map_tiles(code, range(len(X)), n_threads)
        return codes

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Signals of given codes.

        Parameters
        ----------
        X : array of shape (n_samples, n_components * n_places)
            Codes, one sample's a row.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The signals.
        """
        check_is_fitted(self)
        codes = check_codes(X, "codes", self._n_features_out)
        codes = codes.reshape(-1, len(self.components_), *self._places)
        atoms = self._atoms.astype(codes.dtype, copy=False)
        options = {name: self._problem[name] for name in ("boundary", "multichannel", "n_threads")}
        signals = convolutional_synthesis(codes, atoms, **options)
        return signals.reshape(len(signals), -1)

    @property
    def _problem(self) -> dict[str, Any]:
        names = ("boundary", "multichannel", "missing_values", "positive", "n_threads")
        return {name: getattr(self, name) for name in names}

    def _checked(self, X: Any, *, reset: bool) -> np.ndarray:
        missing = check_missing_values(self.missing_values)
        check_bool(self.multichannel, "multichannel")
        X = check_samples(self, X, reset=reset, missing=missing)
        return X.reshape(-1, *self._shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing_values is not None
        return tags

    @property
    def _atoms(self) -> np.ndarray:
        return self.components_.reshape(-1, *self.atom_shape_)

    @property
    def _shape(self) -> tuple[int, ...]:
        """That of one sample."""
        if self.sample_shape is None:
            return (self.n_features_in_, 1) if self.multichannel else (self.n_features_in_,)
        if not isinstance(self.sample_shape, tuple | list):
            raise TypeError(
                f"sample_shape has to be a tuple of lengths, or None, got {self.sample_shape!r}"
            )
        shape = tuple(check_int(side, "sample_shape") for side in self.sample_shape)
        dims = (2, 3) if self.multichannel else (1, 2)
        if len(shape) not in dims or math.prod(shape) != self.n_features_in_:
            raise ValueError(
                f"sample_shape={self.sample_shape!r} with multichannel={self.multichannel} is not "
                f"that of rows with {self.n_features_in_} features, as X has"
            )
        return shape

    @property
    def _places(self) -> tuple[int, ...]:
        """Where an atom may stand."""
        sides = slice(None, -1) if self.multichannel else slice(None)
        return Domain(self._shape[sides], self.atom_shape_[sides], self.boundary).places

    @property
    def _n_features_out(self) -> int:
        return len(self.components_) * math.prod(self._places)
