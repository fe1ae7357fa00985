"""scikit-learn's callbacks, an experimental API of 1.9: this is the one file that knows it.

Before 1.9 an estimator has no `set_callbacks`, and everything here does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sparsecode.solvers._run import Callback

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """The method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "watched_iterations", "with_callbacks"]


@contextmanager
def watched_iterations(
    estimator: Any,
    X: Any,
    max_iter: int,
    tol: float | None,
    fitted: Callable[[Mapping[str, Any]], dict[str, Any]] | None,
    each: int = 1,
) -> Iterator[Callback | None]:
    """A `callback` for the solver that calls those of the estimator; None if it has no such thing.

    For a `fit` that is decorated `with_callbacks`. The fit is one task, each of its iterations a
    task in it; a hook that answers True at the end of one stops the solver. `fitted` maps what the
    solver tells of an iteration to the attributes of an estimator fitted by then; with None the
    callbacks are told of no such estimator. A task may be `each` so many iterations.
    """
    if not hasattr(estimator, "_init_callback_context"):
        yield None
        return
    told: Mapping[str, Any] = {}

    def reconstructed() -> dict[str, Any] | None:
        return fitted(told) if fitted is not None and told else None

    attributes = None if fitted is None else reconstructed

    fit = estimator._init_callback_context(max_subtasks=-(-max_iter // each))
    fit.call_on_fit_task_begin(estimator=estimator, X=X)

    def begun() -> Any:
        return fit.subcontext("iteration").call_on_fit_task_begin(estimator=estimator, X=X)

    iteration = begun()

    def callback(row: Mapping[str, Any]) -> bool:
        nonlocal told, iteration
        told = row
        stop = bool(
            iteration.call_on_fit_task_end(
                estimator=estimator, X=X, reconstruction_attributes=attributes
            )
        )
        converged = tol is not None and row["certificate"] <= tol
        if not (stop or converged) and row["n_iter"] < max_iter:
            iteration = begun()
        return stop

    yield callback
    fit.call_on_fit_task_end(estimator=estimator, X=X, reconstruction_attributes=attributes)
