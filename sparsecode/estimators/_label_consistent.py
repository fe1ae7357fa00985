"""A dictionary learned from signals and their labels, which classifies new signals."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from sparsecode._validation import as_array, check_bool, check_int
from sparsecode.estimators._base import all_or_nothing, check_kind, validated
from sparsecode.estimators._callbacks import watched_iterations, with_callbacks
from sparsecode.estimators._dictionary_base import DictionaryLearner
from sparsecode.solvers import label_consistent_ksvd

__all__ = ["LabelConsistentKSVD"]


class LabelConsistentKSVD(ClassifierMixin, DictionaryLearner):
    r"""A classifier by sparse codes: label consistent K-SVD (LC-KSVD2).

    .. math:: \min_{C, D, A, W} \|X - C D\|_F^2 + s^2 a \|Q - C A\|_F^2
              + s^2 b \|H - C W\|_F^2 \quad \text{s.t.} \quad \|c_i\|_0 \le k, \;
              \|d_j\|_2 = 1

    with :math:`H` the one-hot labels, :math:`Q` which atoms are meant for the class of a signal,
    and :math:`s` the root mean square norm of a signal. `fit` learns the atoms :math:`D` and the
    classifier :math:`W` together; `transform` codes signals in the atoms, `predict` takes the
    class with the largest entry of ``codes @ W``. For features with labels; there is no intercept,
    and the scores are no probabilities: `sklearn.calibration.CalibratedClassifierCV` makes some.

    Parameters
    ----------
    n_components : int, optional
        Atoms, equally many for each class; by default the number of features, or four for each
        class if these are more.
    n_nonzero_coefs : int, optional
        Atoms a signal at the most, :math:`k`; by default a tenth of the features, at least one.
    label_weight : float, default=0.03
        :math:`a`: what it costs that a signal uses atoms of other classes, relative to the
        signals' energy.
    classifier_weight : float, default=0.03
        :math:`b`: what it costs that the classifier is wrong. Only the sum of the two matters. The
        defaults were chosen by validation on digits, and are not critical.
    max_iter : int, default=20
        Iterations of K-SVD.
    sparse_output : bool, default=False
        Codes as CSR, whose memory grows with the nonzeros alone.
    random_state : int, RandomState, Generator or None, default=None
        Draws the first atoms, and the order of the updates; the same integer gives the same bits.
    n_threads : int, optional
        Threads of the coding, which change no bit; None means the cores this process was given,
        1 inside a joblib worker.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    components_ : ndarray of shape (n_components, n_features)
        The atoms, one a row, of unit norm.
    classifier_ : ndarray of shape (n_components, n_classes)
        :math:`W`.
    component_classes_ : ndarray of shape (n_components,)
        The class that each atom was meant for.
    n_nonzero_coefs_ : int
        Atoms a signal at the most.
    n_iter_ : int
        Iterations done.
    error_ : float
        The root of the sum above over its value at zero.
    history_ : dict of str to ndarray
        One entry an iteration, as `solvers.ksvd` describes them.
    n_features_in_ : int
        Features seen by `fit`.

    See Also
    --------
    KSVD : Without labels.
    sparsecode.solvers.label_consistent_ksvd : The solver.

    References
    ----------
    Jiang, Lin and Davis, "Label consistent K-SVD: learning a discriminative dictionary for
    recognition", 2013.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sparsecode import LabelConsistentKSVD
    >>> X, y = load_digits(return_X_y=True)
    >>> model = LabelConsistentKSVD(100, n_nonzero_coefs=6, max_iter=5, random_state=0)
    >>> bool(model.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.85)
    True
    """

    residual_tol, alpha, positive, missing_values = None, None, False, None  # of the coding

    def __init__(
        self,
        n_components: int | None = None,
        *,
        n_nonzero_coefs: int | None = None,
        label_weight: float = 0.03,
        classifier_weight: float = 0.03,
        max_iter: int = 20,
        sparse_output: bool = False,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_nonzero_coefs = n_nonzero_coefs
        self.label_weight = label_weight
        self.classifier_weight = classifier_weight
        self.max_iter = max_iter
        self.sparse_output = sparse_output
        self.random_state = random_state
        self.n_threads = n_threads

    @all_or_nothing
    @with_callbacks
    def fit(self, X: Any, y: Any) -> Self:
        """Learn the dictionary and the classifier.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row.
        y : array of shape (n_samples,)
            Their labels.

        Returns
        -------
        LabelConsistentKSVD
            The estimator itself.
        """
        X, y = validated(self, X, y, dtype=(np.float64, np.float32))
        check_classification_targets(y)
        check_bool(self.sparse_output, "sparse_output")
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class alone, {self.classes_[0]!r}; there have to be two at least"
            )
        n_components = max(X.shape[1], 4 * len(self.classes_))
        if self.n_components is not None:
            n_components = check_int(self.n_components, "n_components")
        self.n_nonzero_coefs_ = min(max(1, X.shape[1] // 10), n_components)
        if self.n_nonzero_coefs is not None:
            self.n_nonzero_coefs_ = self.n_nonzero_coefs
        max_iter = check_int(self.max_iter, "max_iter")
        with watched_iterations(self, X, max_iter, None, None) as callback:
            result = label_consistent_ksvd(
                X,
                labels,
                n_components,
                n_nonzero_coefs=self.n_nonzero_coefs_,
                label_weight=self.label_weight,
                classifier_weight=self.classifier_weight,
                max_iter=max_iter,
                random_state=self.random_state,
                n_threads=self.n_threads,
                callback=callback,
            )
        self._keep(result)
        self.classifier_ = result.classifier
        self.component_classes_ = self.classes_[result.atom_labels]
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """The scores of the classes, ``transform(X) @ classifier_``.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            For two, the score of the second less that of the first.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The class with the largest score.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        check_is_fitted(self)
        return self.classes_[self._scores(X).argmax(axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of the signals that are given their own label.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Signals, one a row.
        y : array of shape (n_samples,)
            Their labels.
        sample_weight : array of shape (n_samples,), optional
            What each signal counts; the same by default.

        Returns
        -------
        float
            The accuracy.
        """
        y = as_array(check_kind(y, "y"), "y")
        if y.ndim != 1:
            raise ValueError(f"y has to be 1-D, a label for each row of X, got shape {y.shape}")
        return float(super().score(X, y, sample_weight))

    def _scores(self, X: Any) -> np.ndarray:
        codes = self.transform(X)
        return codes @ self.classifier_.astype(codes.dtype, copy=False)
