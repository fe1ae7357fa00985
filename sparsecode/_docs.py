"""Parameter descriptions that several docstrings share, written once."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])

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
    Instead of `alpha`: a fraction of the smallest alpha at which all signals have a zero code.
penalty : Penalty, default=L1()
    What `alpha` multiplies.
tol : float, default=1e-6
    Stop when the duality gap is at most `tol` times the objective at zero, for every signal.
    Without a gap (a penalty that is not convex) the certificate is the relative change that one
    more proximal step would make: it certifies a stationary point, not a minimum.
max_iter : int, default=10000
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

SECTIONS = {"penalized_least_squares": PENALIZED_LEAST_SQUARES}


def documented(function: Function) -> Function:
    """Put the shared sections where the docstring names them, as ``%(name)s``."""
    if function.__doc__:
        doc = inspect.cleandoc(function.__doc__)
        for name, text in SECTIONS.items():
            doc = doc.replace(f"%({name})s", textwrap.dedent(text).strip())
        function.__doc__ = doc
    return function
