"""The methods of robust PCA: which solver each is, and which parameters it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sparsecode._validation import check_option, check_unused
from sparsecode.solvers import (
    alternating_projections,
    godec,
    online_robust_pca,
    principal_component_pursuit,
    stable_pcp,
)


class Method(NamedTuple):
    """A solver that splits a matrix, and the parameters it takes beside `tol` and `max_iter`."""

    solver: Callable[..., Any]
    takes: dict[str, bool]  # whether it cannot do without


METHODS = {
    "pcp": Method(principal_component_pursuit, {"alpha": False}),
    "stable": Method(stable_pcp, {"sigma": True, "alpha": False}),
    "alternating_projections": Method(alternating_projections, {"rank": False}),
    "godec": Method(godec, {"rank": True, "n_outliers": True}),
    "online": Method(
        online_robust_pca, {"rank": True, "alpha": False, "forgetting": False, "batch_size": False}
    ),
}
OWN = ("batch_size",)  # of the estimator, not of a solver


def method_of(method: Any, **given: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The solver, and those of the parameters given that it is called with.

    Raises
    ------
    ValueError
        A parameter is given that the method does not use, or one it needs is not.
    """
    solver, takes = METHODS[check_option(method, "method", METHODS)]
    check_unused(method, **{name: value for name, value in given.items() if name not in takes})
    for name, needed in takes.items():
        if needed and given[name] is None:
            raise ValueError(f"method={method!r} needs {name}")
    used = {name: given[name] for name in takes if name not in OWN}
    return solver, {name: value for name, value in used.items() if value is not None}
