"""Parameter descriptions that several docstrings share, written once."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])
Class = TypeVar("Class", bound=type)

PENALIZED_LEAST_SQUARES = """
Parameters
----------
A : array, sparse array or LinearOperator of shape (m, n)
    The matrix; float32, float64, complex64 or complex128.
y : array of shape (m,) or (m, n_signals)
    One signal, or one a column. Each column is a problem of its own.
alpha : float, optional
    The weight of the penalty, positive, in the units of ``A^* y``.
alpha_ratio : float, optional
    Instead of `alpha`: a fraction of the smallest alpha at which a signal has a zero code, for
    each signal its own.
penalty : Penalty, default=L1()
    What `alpha` multiplies.
tol : float, default=1e-6
    Stop when the duality gap is at most `tol` times the objective at zero, for every signal.
    Without a gap (a penalty that is not convex) the certificate is the relative change that one
    more proximal step would make: it certifies a stationary point, not a minimum.
max_iter : int
    At most so many iterations.
init : array of the shape of the answer, optional
    Where to start; zero by default.
callback : callable, optional
    Called at each check with the named numbers of the history; a true answer stops the solver.

Returns
-------
CodeResult
    `x`, `objective`, `dual_gap` (in the units of the objective), `certificate` (relative),
    `n_iter`, `status`, `converged` and `history`.

Raises
------
ValueError
    If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.

Warns
-----
ConvergenceWarning
    If `max_iter` was reached first.
"""

ATOMS_AND_SIGNALS = """
A : array, sparse array or LinearOperator of shape (m, n)
    Atoms in columns, of any norm; zero and duplicate atoms are legal. Real or complex.
y : array of shape (m,) or (m, n_signals)
    One signal, or one a column. Each column is a problem of its own.
"""

PURSUIT = """
n_nonzero_coefs : int, optional
    At most so many atoms a signal. If neither this nor `residual_tol` is given, a tenth of
    the columns of `A`, at least one.
residual_tol : float, optional
    Stop once ``||y - A x||_2`` (not squared) is at most this.
positive : bool, default=False
    Only coefficients that are not negative: an exact nonnegative least squares fit over the
    support. Real data only.

Returns
-------
CodeResult
    `x`; `objective`, half the squared residual; `certificate`, the largest residual norm over
    the norm of its signal; `status`, EXHAUSTED if a residual target was out of reach.
    `dual_gap` is NaN: the problem is not convex.

Raises
------
ValueError
    If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.
"""

SPARSE_LEAST_SQUARES = """
n_nonzero_coefs : int
    At most so many atoms a signal.
residual_tol : float, optional
    A signal is settled once its ``||y - A x||_2`` (not squared) is at most this.
tol : float, default=1e-6
    A signal is settled, too, once the last iteration changed its coefficients by at most this,
    relative to their l2 norm.
"""

SPARSE_LEAST_SQUARES_RESULT = """
callback : callable, optional
    Called after each iteration with the named numbers of the history; a true answer stops.

Returns
-------
CodeResult
    `x`; `objective`, half the squared residual; `certificate`, the relative change of the last
    iteration, of the worst signal whose residual is above `residual_tol`: it certifies a fixed
    point of the iteration, not the best support. `dual_gap` is NaN: the problem is not convex.
    The history also has ``"residual"``, the largest residual norm over the norm of its signal.

Raises
------
ValueError
    If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.

Warns
-----
ConvergenceWarning
    If `max_iter` was reached first.
"""

DICTIONARY_LEARNING = """
Parameters
----------
X : array of shape (n_samples, n_features)
    Signals, one a row.
n_components : int
    Atoms.
n_nonzero_coefs : int, optional
    Atoms a signal at the most, by orthogonal matching pursuit. Give this, `residual_tol` or both,
    or `alpha`.
residual_tol : float, optional
    A signal takes no more atoms once the l2 norm of its residual (not squared) is at most this.
alpha : float, optional
    The weight of the l1 norm of the codes, which are those of the lasso then.
"""

DICTIONARY_LEARNING_ITERATIONS = """
max_iter : int, default=20
    Iterations at the most: one coding of all signals and one update of all atoms each.
init : {"data", "svd", "dct"}, array of shape (n_components, n_features) or DictionaryResult, \
optional
    The first atoms: different signals that are not zero ("data", the default), right singular
    vectors and random ones behind them, cosines, or those given. From a result of the same learner
    and data the run goes on as if it had not ended, to the bit, if `random_state` is None.
tol : float, optional
    Stop when an iteration changes the objective by less than this fraction; by default
    all `max_iter` iterations are done. The problem is not convex: a small change certifies
    no more than that the descent has come to rest.
missing_values : {None, np.nan}, default=None
    With `np.nan`, entries that are NaN are unknown, and the objective is over the others.
positive : bool, default=False
    Atoms and codes without negative entries.
random_state : int, RandomState, Generator or None, default=None
    Draws the first atoms, and the order of the updates where there is one.
n_threads : int, optional
    Threads of the coding step. The result does not depend on it.
callback : callable, optional
    Called after each iteration with the named numbers of the history and the atoms so far,
    `"dictionary"`; a true answer stops.

Returns
-------
DictionaryResult
    `dictionary`, `codes` (CSR), `objective`, `certificate` (the last relative change of the
    objective), `n_iter`, `status`, `converged` and `history`, which also has `"relative_error"`,
    ``||X - C D||_F / ||X||_F``, `"n_nonzero"`, the mean over the signals, `"coherence"`, the
    largest of two atoms, and `"n_replaced"`: atoms that were used less than 0.3 times as often as
    the mean, or nearly equal to another one, replaced by the worst-coded signals, none of them
    twice.

Raises
------
ValueError
    If shapes do not fit, an entry is NaN or infinite, or a parameter is out of range.

Warns
-----
ConvergenceWarning
    If `tol` was given and `max_iter` was reached first.
"""

DICTIONARY_LEARNER = """
Parameters
----------
n_components : int, optional
    Atoms; the number of features by default.
n_nonzero_coefs : int, optional
    Atoms a signal at the most, :math:`k`, by orthogonal matching pursuit. By default a tenth of the
    features, at least one, where neither `residual_tol` nor `alpha` is given.
residual_tol : float, optional
    A signal takes no more atoms once the l2 norm of its residual (not squared) is at most this.
alpha : float, optional
    The weight of the l1 norm of the codes, which are those of the lasso then.
"""

DICTIONARY_LEARNER_REST = """
max_iter : int, default=20
    Iterations at the most: one coding of all signals and one update of all atoms each.
init : {"data", "svd", "dct"}, array of shape (n_components, n_features) or DictionaryResult, \
default="data"
    The first atoms: different signals that are not zero, right singular vectors and random ones
    behind them, cosines, those given, or those of a result to go on from.
tol : float, optional
    Stop when an iteration changes the objective by less than this fraction; by default
    all `max_iter` iterations are done. The problem is not convex: a small change certifies
    no more than that the descent has come to rest.
missing_values : {None, np.nan}, default=None
    With `np.nan`, entries that are NaN are unknown, in `fit` and in `transform`.
positive : bool, default=False
    Atoms and codes without negative entries.
sparse_output : bool, default=False
    Codes as CSR, whose memory grows with the nonzeros alone.
random_state : int, RandomState, Generator or None, default=None
    Draws the first atoms, and the order of the updates where there is one; the same integer gives
    the same bits.
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
    Iterations done.
error_ : float
    ``||X - C D||_F / ||X||_F`` after the last iteration.
history_ : dict of str to ndarray
    One entry an iteration: ``"objective"``, ``"relative_error"``, ``"n_nonzero"``,
    ``"coherence"``, ``"n_replaced"`` and more, as the solver describes them.
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
"""

ONE_SIGNAL = """
Parameters
----------
A : array, sparse array or LinearOperator of shape (m, n)
    The matrix, real or complex: only products with it and with its adjoint are needed.
y : array of shape (m,)
    The measurements of one signal.
"""

CONSTRAINED = """
weights : array of shape (n,), optional
    Positive weights :math:`w`; all ones by default.
method : {"auto", "spg", "homotopy"}, default="auto"
    "spg" is the spectral projected gradient, for any matrix. "homotopy" follows the path of the
    lasso to the constraint: exact, for real matrices whose entries are known. By default small ones
    go that way. Where ``A A^* = c I``, orthogonal message passing comes first; basis pursuit brings
    dense rows into that form, goes on by an interior point method (real dense rows) or by
    Douglas-Rachford splitting if it does not settle, and ends by least squares on a support once
    that is certified. The answer does not depend on it.
tol : float, default=1e-6
    Stop when the certificate is at most this: the duality gap over the objective (for
    `lasso_constrained` over the objective at zero), and the infeasibility.
max_iter : int, optional
    Iterations at the most, 20,000 by default, of one product with `A` and one with its adjoint
    each. Not for "homotopy", nor are `init` and `callback`.
init : array of shape (n,), optional
    Where to start; zero by default.
callback : callable, optional
    Called after each iteration with the named numbers of the history; a true answer stops.

Returns
-------
ConstrainedResult
    `x`, `objective`, `residual`, `dual_gap` (in the units of the objective), `infeasibility`,
    `certificate`, `dual`, `n_products`, `n_iter`, `status`, `converged` and `history`. The
    infeasibility is what the residual has above `sigma`, relative to `sigma` (to the norm of `y`
    for a smaller `sigma` than `tol` times that).

Raises
------
ValueError
    If shapes do not fit, an entry is NaN or infinite, a parameter is out of range, or no `x`
    obeys the constraint; the message has the least residual.

Warns
-----
ConvergenceWarning
    If `max_iter` was reached first.
"""

SECTIONS = {
    "one_signal": ONE_SIGNAL,
    "constrained": CONSTRAINED,
    "dictionary_learner_rest": DICTIONARY_LEARNER_REST,
    "dictionary_learner": DICTIONARY_LEARNER,
    "dictionary_learning_iterations": DICTIONARY_LEARNING_ITERATIONS,
    "dictionary_learning": DICTIONARY_LEARNING,
    "penalized_least_squares": PENALIZED_LEAST_SQUARES,
    "atoms_and_signals": ATOMS_AND_SIGNALS,
    "pursuit": PURSUIT,
    "sparse_least_squares": SPARSE_LEAST_SQUARES,
    "sparse_least_squares_result": SPARSE_LEAST_SQUARES_RESULT,
}


def documented(function: Function) -> Function:
    """Put the shared sections where the docstring names them, as ``%(name)s``."""
    function.__doc__ = _filled(function.__doc__)
    return function


def documented_class(cls: Class) -> Class:
    """The same for a class."""
    cls.__doc__ = _filled(cls.__doc__)
    return cls


def _filled(doc: str | None) -> str | None:
    if not doc:  # python -OO
        return doc
    doc = inspect.cleandoc(doc)
    for name, text in SECTIONS.items():
        doc = doc.replace(f"%({name})s", textwrap.dedent(text).strip())
    return doc
