"""scikit-learn's own tests of its linear models, run on ours under the same names.

Its options that only choose an implementation are accepted here and do nothing, so that a test
which tries them, too, still says what it has to say about the answers.
"""

import inspect
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model.tests import test_coordinate_descent, test_omp

from sparsecode import ElasticNet, Lasso, LassoCV, OrthogonalMatchingPursuit

IMPLEMENTATION = {"precompute": False, "copy_X": True, "selection": "cyclic", "random_state": None}

SWEEPS = "max_iter and n_iter_ are of sweeps there, of working sets here"
MESSAGE = "another text; ours are tested beside the estimators"
DEPRECATED = "an older spelling, which ours never had"
DIGITS = "more digits than the gap of the default tol leaves; ours test the formula"
INTERNAL = "how scikit-learn does it, not what comes out"
NOT_RUN = {
    "test_cython_solver_equivalence": INTERNAL,
    "test_elasticnet_precompute_gram": INTERNAL,
    "test_elasticnet_precompute_gram_weighted_samples": INTERNAL,
    "test_elasticnet_precompute_incorrect_gram": INTERNAL,
    "test_overridden_gram_matrix": INTERNAL,
    "test_overrided_gram_matrix": INTERNAL,
    "test_lassoCV_does_not_set_precompute": INTERNAL,
    "test_check_input_false": INTERNAL,
    "test_enet_copy_X_True": INTERNAL,
    "test_enet_copy_X_False_check_input_False": INTERNAL,
    "test_enet_sample_weight_does_not_overwrite_sample_weight": INTERNAL,
    "test_enet_nonfinite_params": MESSAGE,
    "test_lassocv_alphas_validation": MESSAGE,
    "test_cv_estimators_reject_params_with_no_routing_enabled": MESSAGE,
    "test_enet_coordinate_descent_raises_convergence": MESSAGE,
    "test_lasso_toy": DIGITS,
    "test_enet_toy": DIGITS,
    "test_lasso_dual_gap": "expects more digits of a gap than a difference of objectives has",
    "test_1d_multioutput_lasso_and_multitask_lasso_cv": "seven digits of one that has four, theirs",
    "test_omp_cv": "tests OrthogonalMatchingPursuitCV",
    "test_estimator_n_nonzero_coefs": "n_nonzero_coefs beside tol is an error here",
    "test_enet_coordinate_descent": MESSAGE,
    "test_linear_model_cv_deprecated_n_alphas": DEPRECATED,
    "test_linear_model_cv_deprecated_alphas_none": DEPRECATED,
    "test_linear_model_cv_alphas_n_alphas_unset": DEPRECATED,
    "test_linear_model_cv_alphas": DEPRECATED,
    "test_model_pipeline_same_dense_and_sparse": "l1_ratio=0 is an error here",
    "test_lasso_alpha_warning": "alpha=0 is an error here",
    "test_enet_ols_consistency": "alpha=0 is an error here",
    "test_enet_ridge_consistency": "l1_ratio=0 is an error here",
    "test_warm_start": SWEEPS,
    "test_warm_start_convergence": SWEEPS,
    "test_warm_start_convergence_with_regularizer_decrement": SWEEPS,
}


def accepting(ours: type) -> type:
    """`ours` with the options above, so that `clone` and `set_params` know them."""
    signature = inspect.signature(ours)
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in IMPLEMENTATION.items()
    ]
    signature = signature.replace(parameters=[*signature.parameters.values(), *extra])

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        vars(self).update(given.arguments)

    init.__signature__ = signature  # type: ignore[attr-defined]
    return type(ours.__name__, (ours,), {"__init__": init})


OURS = {
    cls.__name__: accepting(cls) for cls in (ElasticNet, Lasso, LassoCV, OrthogonalMatchingPursuit)
}


def is_theirs(value: Any) -> bool:
    return value.__module__.startswith("sklearn.linear_model") and value.__name__ in OURS


def translated(value: Any) -> Any:
    """A parameter of a test, with their estimators replaced by ours."""
    if inspect.isclass(value) and is_theirs(value):
        return OURS[value.__name__]
    if isinstance(value, BaseEstimator) and is_theirs(type(value)):
        default = type(value)().get_params()
        params = {k: v for k, v in value.get_params().items() if v is not default[k]}
        return OURS[type(value).__name__](**params)
    return tuple(map(translated, value)) if isinstance(value, tuple) else value


def with_our_values(mark: Any) -> Any:
    """Only the values that name one of our estimators, if any does."""
    if mark.name != "parametrize":
        return mark
    names, values = mark.args
    pairs = [(value, translated(value)) for value in values]
    ours = [new for old, new in pairs if new is not old and new != old]
    return pytest.mark.parametrize(names, ours or list(values), **mark.kwargs).mark


def names_in(function: FunctionType) -> Iterator[str]:
    """What a test names in its body and in its parameters."""
    yield from function.__code__.co_names
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize":
            yield from (name for name in OURS if name in str(mark.args[1]))


def ours_of(module: ModuleType) -> dict[str, FunctionType]:
    """The tests of a module that name one of our estimators, with ours in its place."""
    tests = {}
    for name, function in vars(module).items():
        if not name.startswith("test_") or name in NOT_RUN or not {*names_in(function)} & {*OURS}:
            continue
        if function.__closure__ is not None:  # a decorator's: the test inside keeps its names
            continue
        scope = {**vars(module), **OURS}
        test = FunctionType(function.__code__, scope, name, function.__defaults__)
        test.pytestmark = [with_our_values(m) for m in getattr(function, "pytestmark", [])]
        tests[f"{name}_of_scikit_learn"] = test
    return tests


globals().update(ours_of(test_coordinate_descent) | ours_of(test_omp))


@pytest.fixture
def global_random_seed() -> int:
    return 42


def test_the_tests_are_found() -> None:
    assert len(ours_of(test_coordinate_descent)) >= 15
