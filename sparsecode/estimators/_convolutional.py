"""Atoms at every place of whole signals and pictures."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sparsecode._validation import check_int
from sparsecode.estimators._base import Transformer, check_codes, check_samples
from sparsecode.solvers import (
    convolutional_dictionary_learning,
    convolutional_sparse_encode,
    convolutional_synthesis,
)

__all__ = ["ConvolutionalDictionaryLearning"]


class ConvolutionalDictionaryLearning(Transformer):
    r"""Small atoms that whole signals or pictures are made of, wherever these stand.

    .. math:: \min_{c, D} \sum_i \tfrac12 \Big\| x_i - \sum_k d_k * c_{ik} \Big\|_2^2
              + \alpha \sum_{ik} \|c_{ik}\|_1 \quad \text{s.t.} \quad \|d_k\|_2 \le 1

    A sample is one whole signal, a row of `X`, or one whole picture, its pixels in a row with
    `image_shape` to say how high and wide it is: so that rows are samples here as everywhere, and
    pipelines and splits hold whole signals apart. Its features in the output are the coefficients
    of all atoms at all places. The convolution is periodic.

    Parameters
    ----------
    n_components : int, default=8
        Atoms.
    atom_shape : int or tuple of int, optional
        The size of an atom, or its height and width; an integer is a square. By default 8, or all
        of a side that is shorter.
    image_shape : tuple of int, (height, width), optional
        What a row is; by default a signal.
    alpha : float, default=0.1
        The weight of the l1 norm.
    max_iter : int, default=50
        Iterations of learning at the most.
    tol : float, optional
        Stop learning when an iteration changes the objective by less than this fraction; by default
        all `max_iter` iterations are done.
    transform_tol : float, default=1e-3
        For `transform`: duality gap over the objective at zero, of the worst signal.
    transform_max_iter : int, default=2000
        Iterations of `transform` at the most.
    init : array with one atom of `atom_shape` a row, optional
        The first atoms; by default pieces of the signals.
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
        Their shape.
    n_iter_ : int
        Iterations done.
    history_ : dict of str to ndarray
        One entry an iteration: ``"objective"``, ``"certificate"``, ``"n_nonzero"`` and more.
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
        image_shape: tuple[int, int] | None = None,
        alpha: float = 0.1,
        max_iter: int = 50,
        tol: float | None = None,
        transform_tol: float = 1e-3,
        transform_max_iter: int = 2000,
        init: Any = None,
        positive: bool = False,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.atom_shape = atom_shape
        self.image_shape = image_shape
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.transform_tol = transform_tol
        self.transform_max_iter = transform_max_iter
        self.init = init
        self.positive = positive
        self.random_state = random_state
        self.n_threads = n_threads

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
        X = check_samples(self, X, reset=True)
        grid = self._grid
        result = convolutional_dictionary_learning(
            X.reshape(-1, *grid),
            self.n_components,
            tuple(min(8, side) for side in grid) if self.atom_shape is None else self.atom_shape,
            alpha=self.alpha,
            max_iter=self.max_iter,
            tol=self.tol,
            init=self.init,
            positive=self.positive,
            random_state=self.random_state,
            n_threads=self.n_threads,
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
        ndarray of shape (n_samples, n_components * n_features)
            The codes: all places of the first atom, then of the next.
        """
        check_is_fitted(self)
        X = check_samples(self, X, reset=False)
        result = convolutional_sparse_encode(
            X.reshape(-1, *self._grid),
            self._atoms.astype(X.dtype, copy=False),
            self.alpha,
            positive=self.positive,
            tol=self.transform_tol,
            max_iter=self.transform_max_iter,
            n_threads=self.n_threads,
        )
        return result.x.reshape(len(X), -1)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Signals of given codes.

        Parameters
        ----------
        X : array of shape (n_samples, n_components * n_features)
            Codes, one sample's a row.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The signals.
        """
        check_is_fitted(self)
        codes = check_codes(X, "codes", self._n_features_out)
        codes = codes.reshape(-1, len(self.components_), *self._grid)
        atoms = self._atoms.astype(codes.dtype, copy=False)
        signals = convolutional_synthesis(codes, atoms, n_threads=self.n_threads)
        return signals.reshape(len(signals), -1)

    @property
    def _atoms(self) -> np.ndarray:
        return self.components_.reshape(-1, *self.atom_shape_)

    @property
    def _grid(self) -> tuple[int, ...]:
        if self.image_shape is None:
            return (self.n_features_in_,)
        grid = tuple(check_int(side, "image_shape") for side in self.image_shape)
        if len(grid) != 2 or math.prod(grid) != self.n_features_in_:
            raise ValueError(
                f"image_shape={self.image_shape!r} is not that of rows with {self.n_features_in_} "
                "features"
            )
        return grid

    @property
    def _n_features_out(self) -> int:
        return len(self.components_) * self.n_features_in_
