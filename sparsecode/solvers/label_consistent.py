r"""K-SVD on signals and their labels at once: atoms that code, belong to a class and classify."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from sparsecode._scaling import from_units, magnitude, to_units, unit_of
from sparsecode._validation import (
    RandomSource,
    as_array,
    check_array,
    check_int,
    check_n_components,
    check_random_state,
    check_real,
)
from sparsecode.solvers._result import DictionaryResult
from sparsecode.solvers._run import Callback
from sparsecode.solvers.dictionary import ksvd
from sparsecode.solvers.encoding import sparse_encode

__all__ = ["LabelResult", "label_consistent_ksvd"]

FIRST_PASSES = 5  # iterations of K-SVD on the signals of one class alone


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LabelResult(DictionaryResult):
    """A dictionary, codes, and what a code says of the label of its signal.

    Attributes
    ----------
    classifier : ndarray of shape (n_components, n_classes)
        The scores of the classes are ``codes @ classifier``; the largest one decides.
    atom_labels : ndarray of shape (n_components,)
        The class each atom was meant for.
    """

    classifier: np.ndarray
    atom_labels: np.ndarray


def label_consistent_ksvd(
    X: Any,
    labels: Any,
    n_components: int,
    *,
    n_nonzero_coefs: int,
    label_weight: float = 0.03,
    classifier_weight: float = 0.03,
    max_iter: int = 20,
    random_state: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> LabelResult:
    r"""LC-KSVD2: atoms, a map of codes to the atoms of the right class, and a linear classifier.

    .. math:: \min_{C, D, A, W} \|X - C D\|_F^2 + s^2 a \|Q - C A\|_F^2
              + s^2 b \|H - C W\|_F^2 \quad \text{s.t.} \quad \|c_i\|_0 \le k

    with :math:`H` the one-hot labels, :math:`Q_{ij}` one over the root of their number for the
    atoms :math:`j` meant for the class of signal :math:`i`, so that a row of each has norm one,
    and :math:`s` the root mean square norm of a signal, so that no scale matters. That is K-SVD of
    the three side by side. It starts from K-SVD on the signals of each class, and ridge regression
    on their codes. In the end the signals' part of each atom has norm one, or is zero if it has
    none, and the classifier is fitted anew, to codes in which the labels took no part, as in those
    of new signals.

    Since :math:`Q` and :math:`H` say the same, which class it is, only the sum of `a` and `b`
    matters, but for rounding; there are two because the authors have two.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Signals, one a row.
    labels : array of shape (n_samples,)
        Integers from 0 on, the class of each signal.
    n_components : int
        Atoms; each class has as many as the others, or one more.
    n_nonzero_coefs : int
        Atoms a signal at the most.
    label_weight, classifier_weight : float, default=0.03
        `a` and `b`, not negative: what it costs that a signal uses atoms of other classes, and
        that the classifier is wrong, relative to the signals' energy.
    max_iter : int, default=20
        Iterations of K-SVD.
    random_state : int, RandomState, Generator or None, default=None
        Draws the first atoms, and the order of the updates.
    n_threads : int, optional
        Threads of the coding step. The result does not depend on it.
    callback : callable, optional
        Called after each iteration with the named numbers of the history; a true answer stops.

    Returns
    -------
    LabelResult
        `dictionary`, `classifier`, `atom_labels`; `codes` of the signals without their labels;
        `objective`, half the sum above; and the rest as `ksvd` has it.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.

    References
    ----------
    Jiang, Lin and Davis, "Label consistent K-SVD: learning a discriminative dictionary for
    recognition", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsecode.solvers import label_consistent_ksvd, sparse_encode
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat([0, 1], 50)
    >>> X = np.eye(2)[labels] + 0.1 * rng.standard_normal((100, 2))
    >>> result = label_consistent_ksvd(X, labels, 4, n_nonzero_coefs=1, random_state=0)
    >>> scores = sparse_encode(X, result.dictionary, n_nonzero_coefs=1) @ result.classifier
    >>> float(np.mean(scores.argmax(axis=1) == labels))
    1.0
    """
    X = check_array(X, "X")
    labels = _check_labels(labels, len(X))
    n_components = check_n_components(n_components, X.shape[1])
    k = check_int(n_nonzero_coefs, "n_nonzero_coefs", high=n_components)
    weights = [
        check_real(weight, name, low=0)
        for weight, name in (
            (label_weight, "label_weight"),
            (classifier_weight, "classifier_weight"),
        )
    ]
    rng, m = check_random_state(random_state), X.shape[1]
    unit = unit_of(magnitude(X), X.dtype)
    X = to_units(X, unit)
    one_hot = np.eye(labels.max() + 1)
    atom_labels = np.sort(np.arange(n_components) % len(one_hot))
    meant = one_hot[:, atom_labels]
    meant /= np.sqrt(np.maximum(meant.sum(axis=1, keepdims=True), 1))
    size = magnitude(X) or 1.0
    scale = size * float(np.linalg.norm(X / size)) / np.sqrt(len(X)) or 1.0
    targets = scale * np.hstack(
        [np.sqrt(w) * t for w, t in zip(weights, (meant, one_hot), strict=True)]
    )
    targets = targets[labels].astype(X.dtype)

    D = _first_atoms(X, labels, atom_labels, k, rng, n_threads)
    codes = sparse_encode(X, D, n_nonzero_coefs=k, n_threads=n_threads)
    result = ksvd(
        np.hstack([X, targets]),
        n_components,
        n_nonzero_coefs=k,
        max_iter=max_iter,
        init=np.hstack([D, _ridge(codes, targets)]),
        random_state=rng,
        n_threads=n_threads,
        callback=callback,
    )
    norms = np.linalg.norm(result.dictionary[:, :m], axis=1)
    norms[norms == 0] = 1  # an atom of labels alone, which no new signal uses
    D = result.dictionary[:, :m] / norms[:, None]
    codes = sparse_encode(X, D, n_nonzero_coefs=k, n_threads=n_threads)
    W = _ridge(codes, one_hot[labels].astype(X.dtype))
    codes.data = from_units(codes.data, unit, name="codes")
    kept = {name: getattr(result, name) for name in ("certificate", "n_iter", "status")}
    history = dict(result.history)
    with np.errstate(over="ignore", under="ignore"):
        history["objective"] = history["objective"] * unit * unit
    return LabelResult(
        dictionary=D, codes=codes, classifier=from_units(W, 1 / unit, name="classifier"),
        atom_labels=atom_labels, objective=result.objective * unit * unit, history=history, **kept,
    )  # fmt: skip


def _check_labels(labels: Any, n_samples: int) -> np.ndarray:
    labels = as_array(labels, "labels")
    if labels.shape != (n_samples,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"labels has to hold {n_samples} integers from 0 on, the class of each signal; got an "
            f"array of {labels.dtype} and shape {labels.shape}"
        )
    return labels


def _first_atoms(
    X: np.ndarray, labels: np.ndarray, atom_labels: np.ndarray, k: int, rng: RandomSource,
    n_threads: int | None,
) -> np.ndarray:  # fmt: skip
    """Those of K-SVD on each class alone."""
    atoms = []
    for label, n_atoms in enumerate(np.bincount(atom_labels)):
        own = X[labels == label]
        if len(own) == 0:  # a class that nobody has: its atoms are free
            own = X
        learned = ksvd(
            own, int(n_atoms), n_nonzero_coefs=min(k, int(n_atoms)), max_iter=FIRST_PASSES,
            random_state=rng, n_threads=n_threads,
        )  # fmt: skip
        atoms.append(learned.dictionary)
    return np.vstack(atoms)


def _ridge(codes: Any, targets: np.ndarray) -> np.ndarray:
    """``min ||T - C M||^2 + r ||M||^2``, `r` a hundredth of the mean energy of an atom."""
    gram = (codes.T @ codes).toarray().astype(np.float64)
    ridge = 0.01 * np.trace(gram) / len(gram) or 1.0
    gram[np.diag_indices(len(gram))] += ridge
    fitted = scipy.linalg.solve(gram, codes.T @ targets, assume_a="pos")
    return fitted.astype(targets.dtype)
