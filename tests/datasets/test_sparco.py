"""The problems of the Sparco collection: what is known of them."""

import numpy as np
import pytest

from sparsecode.datasets import make_sparco_problem
from sparsecode.datasets._sparco import _daubechies, _synthesis
from sparsecode.solvers import basis_pursuit

SHAPES = {"cosspike": (1024, 2048), "gcosspike": (300, 2048), "p3poly": (600, 2048)}


@pytest.mark.parametrize("name", SHAPES)
def test_sizes_and_measurements(name) -> None:
    A, y, x, _ = make_sparco_problem(name, random_state=0)
    assert A.shape == SHAPES[name]
    np.testing.assert_allclose(A @ x, y, atol=1e-10 * np.abs(y).max())
    assert 0 < np.count_nonzero(x) < A.shape[0] / 2
    np.testing.assert_array_equal(make_sparco_problem(name, random_state=0).y, y)


def test_the_wavelets_are_orthonormal_and_do_not_see_cubics() -> None:
    low = _daubechies()
    assert low.size == 8
    assert low.sum() == pytest.approx(np.sqrt(2), rel=1e-12)
    step = _synthesis(64)
    np.testing.assert_allclose(step.T @ step, np.eye(64), atol=1e-12)
    seen = step[:, 32:].T @ np.linspace(0, 1, 64) ** 3
    assert np.abs(seen[:28]).max() < 1e-12


def test_cosines_and_spikes_are_told_apart() -> None:
    A, y, x, _ = make_sparco_problem("cosspike", random_state=0)
    result = basis_pursuit(A, y)
    assert result.converged
    np.testing.assert_allclose(result.x, x, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cosspike", "gcosspike"])
def test_no_higher_objective_than_spgl1(name) -> None:
    spgl1 = pytest.importorskip("spgl1")
    A, y, _, _ = make_sparco_problem(name, random_state=0)
    ours = basis_pursuit(A, y)
    other = spgl1.spg_bp(A, y, opt_tol=1e-6, bp_tol=1e-6, iter_lim=1000)[0]
    assert ours.converged
    assert ours.residual <= 1e-6 * np.linalg.norm(y)
    assert ours.objective <= np.abs(other).sum() * (1 + 1e-6)


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="name has to be one of"):
        make_sparco_problem("seismic")
