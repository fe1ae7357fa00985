"""Results: one type whatever was asked, frozen, short when printed."""

import dataclasses

import numpy as np
import pytest

from sparsecode import solvers
from sparsecode.solvers import (
    CodeResult,
    DictionaryResult,
    OnlineResult,
    PathResult,
    Result,
    SplitResult,
    Status,
    SVDResult,
)

RNG = np.random.default_rng(0)
A, y, X = RNG.standard_normal((6, 9)), RNG.standard_normal(6), RNG.standard_normal((12, 5))
MAKERS = {
    "ista": (CodeResult, lambda: solvers.ista(A, y, alpha_ratio=0.3)),
    "fista": (CodeResult, lambda: solvers.fista(A, y, alpha_ratio=0.3)),
    "admm": (CodeResult, lambda: solvers.admm(A, y, alpha_ratio=0.3)),
    "coordinate_descent": (
        CodeResult,
        lambda: solvers.coordinate_descent(A, y, alpha_ratio=0.3),
    ),
    "lars": (PathResult, lambda: solvers.lars(A, y, alpha_ratio=0.3)),
    "matching_pursuit": (CodeResult, lambda: solvers.matching_pursuit(A, y, n_nonzero_coefs=2)),
    "ols": (CodeResult, lambda: solvers.ols(A, y, n_nonzero_coefs=2)),
    "cosamp": (CodeResult, lambda: solvers.cosamp(A, y, n_nonzero_coefs=1)),
    "subspace_pursuit": (CodeResult, lambda: solvers.subspace_pursuit(A, y, n_nonzero_coefs=2)),
    "iht": (CodeResult, lambda: solvers.iht(A, y, n_nonzero_coefs=2)),
    "htp": (CodeResult, lambda: solvers.htp(A, y, n_nonzero_coefs=2)),
    "omp": (CodeResult, lambda: solvers.omp(A, y, n_nonzero_coefs=2)),
    "ksvd": (
        DictionaryResult,
        lambda: solvers.ksvd(X, 6, n_nonzero_coefs=2, max_iter=2, random_state=0),
    ),
    "pcp": (SplitResult, lambda: solvers.principal_component_pursuit(X)),
    "online": (OnlineResult, lambda: solvers.online_robust_pca(X, 2)),
    "svd": (SVDResult, lambda: solvers.truncated_svd(X, 2)),
    "robust_projection": (
        CodeResult,
        lambda: solvers.robust_projection(X, np.eye(5)[:2], 0.1)[1],
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_result_is_complete_and_frozen(name) -> None:
    kind, make = MAKERS[name]
    result = make()
    assert type(result) is kind
    assert isinstance(result, Result)
    assert isinstance(result.status, Status)
    assert result.converged
    assert type(result.objective) is type(result.certificate) is float
    assert type(result.n_iter) is int
    assert 0 <= result.certificate < np.inf
    if kind in (CodeResult, OnlineResult, SplitResult):
        assert type(result.dual_gap) is float
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.objective = 0.0
    for column in result.history.values():
        assert not column.flags.writeable


@pytest.mark.parametrize("name", MAKERS)
def test_a_result_prints_on_a_few_short_lines(name) -> None:
    text = repr(MAKERS[name][1]())
    assert len(text) < 500
    assert "\n" not in text
    assert "status=C" in text


def test_arrays_print_as_dtype_and_shape() -> None:
    assert "x=<float64 9>" in repr(solvers.omp(A, y))
    assert "codes=<float64 12x6>" in repr(MAKERS["ksvd"][1]())


def test_the_status_is_the_message() -> None:
    assert all(status.value and status.value[0].islower() for status in Status)


@pytest.mark.parametrize(
    ("status", "good"),
    [
        (Status.CONVERGED, True),
        (Status.COMPLETED, True),
        (Status.EXHAUSTED, False),
        (Status.MAX_ITER, False),
        (Status.CALLBACK, False),
    ],
)
def test_converged(status, good) -> None:
    result = Result(objective=0.0, certificate=0.0, n_iter=1, status=status, history={})
    assert result.converged is good
