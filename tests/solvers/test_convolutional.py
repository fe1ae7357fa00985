"""Convolutional codes against cvxpy and SPORCO's problem, and the laws of learning."""

import numpy as np
import pytest
import scipy.signal
from sklearn.exceptions import ConvergenceWarning

from sparsecode.objectives import lasso_objective
from sparsecode.solvers import (
    Status,
    convolutional_dictionary_learning,
    convolutional_sparse_encode,
    convolutional_synthesis,
    reference,
)
from sparsecode.solvers._convolution import Convolution
from sparsecode.solvers.convolutional_learning import _improved

SHAPES = {"signals": ((3, 12), (2, 4)), "pictures": ((2, 6, 5), (3, 3, 2))}
every_shape = pytest.mark.parametrize(("shape", "atoms"), SHAPES.values(), ids=SHAPES)


def arrays(shape, atoms, seed=0, kind="d"):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape).astype(kind), rng.standard_normal(atoms).astype(kind)


def plain_matrix(D, grid):
    """One column a place of an atom: the atom there, going round at the border."""
    columns = []
    for atom in D:
        padded = np.zeros(grid)
        padded[tuple(slice(side) for side in atom.shape)] = atom
        for place in np.ndindex(grid):
            columns.append(np.roll(padded, place, tuple(range(len(grid)))).ravel())
    return np.array(columns).T


@every_shape
def test_synthesis_is_the_matrix_of_all_shifts(shape, atoms) -> None:
    D = arrays(shape, atoms)[1]
    codes = np.random.default_rng(1).standard_normal((shape[0], atoms[0], *shape[1:]))
    found = convolutional_synthesis(codes, D)
    expected = codes.reshape(shape[0], -1) @ plain_matrix(D, shape[1:]).T
    assert found.shape == shape
    np.testing.assert_allclose(found.reshape(shape[0], -1), expected, atol=1e-12)
    A = Convolution(D, shape[1:], 1)
    np.testing.assert_allclose(A @ np.eye(A.shape[1]), plain_matrix(D, shape[1:]), atol=1e-12)
    np.testing.assert_allclose(A.H @ np.eye(A.shape[0]), plain_matrix(D, shape[1:]).T, atol=1e-12)


@every_shape
def test_the_ridge_is_that_of_the_matrix(shape, atoms) -> None:
    X, D = arrays(shape, atoms)
    A, y = Convolution(D, shape[1:], 1), X.reshape(shape[0], -1).T
    M, v = plain_matrix(D, shape[1:]), np.random.default_rng(2).standard_normal((A.shape[1], 1))
    expected = np.linalg.solve(M.T @ M + 0.7 * np.eye(A.shape[1]), M.T @ y + 0.7 * v)
    np.testing.assert_allclose(A.ridge(y)(np.repeat(v, len(X), 1), 0.7), expected, atol=1e-10)


@every_shape
def test_the_codes_are_cvxpys(shape, atoms) -> None:
    X, D = arrays(shape, atoms)
    result = convolutional_sparse_encode(X, D, alpha=0.8, tol=1e-9, max_iter=5000)
    expected = reference.lasso(plain_matrix(D, shape[1:]), X.reshape(shape[0], -1).T, 0.8)
    assert result.status is Status.CONVERGED
    assert result.x.shape == (shape[0], atoms[0], *shape[1:])
    assert result.objective == pytest.approx(expected.objective, rel=1e-7)
    assert 0 <= result.dual_gap < 1e-7 * result.objective


@every_shape
@pytest.mark.parametrize("positive", [False, True])
def test_the_gap_bounds_the_error_of_a_run_that_was_cut_short(shape, atoms, positive) -> None:
    X, D = arrays(shape, atoms, 3)
    options = {"alpha": 0.5, "positive": positive}
    best = convolutional_sparse_encode(X, D, tol=1e-10, max_iter=20_000, **options).objective
    with pytest.warns(ConvergenceWarning, match="convolutional_sparse_encode did not converge"):
        short = convolutional_sparse_encode(X, D, tol=1e-10, max_iter=10, **options)
    assert -1e-9 <= short.objective - best <= short.dual_gap
    M = plain_matrix(D, shape[1:])
    codes, signals = short.x.reshape(len(X), -1).T, X.reshape(len(X), -1).T
    assert short.objective == pytest.approx(np.sum(lasso_objective(M, signals, codes, 0.5)))
    if positive:
        assert short.x.min() >= 0


@every_shape
def test_alpha_ratio_is_relative_to_the_zero_code(shape, atoms) -> None:
    X, D = arrays(shape, atoms)
    assert np.abs(convolutional_sparse_encode(X, D, alpha_ratio=1.0).x).max() < 1e-14
    codes = convolutional_sparse_encode(X, D, alpha_ratio=0.9).x
    assert np.all(codes.reshape(len(X), -1).any(axis=1))


@pytest.mark.parametrize("kind", ["f", "d"])
def test_threads_and_start_and_order_change_nothing(kind) -> None:
    X, D = arrays((4, 30, 28), (5, 4, 4), kind=kind)
    one = convolutional_sparse_encode(X, D, alpha_ratio=0.2, n_threads=1)
    two = convolutional_sparse_encode(
        np.asfortranarray(X), np.asfortranarray(D), alpha_ratio=0.2, n_threads=2
    )
    assert one.x.dtype == kind
    assert one.x.tobytes() == two.x.tobytes()
    warm = convolutional_sparse_encode(X, D, alpha_ratio=0.2, init=one.x)
    assert warm.n_iter == 10
    assert warm.objective == pytest.approx(one.objective, rel=1e-3)


@pytest.mark.parametrize("exponent", [-400, 400])
def test_scales_of_signals_and_atoms_do_not_matter(exponent) -> None:
    X, D = arrays((3, 12), (2, 4))
    plain = convolutional_sparse_encode(X, D, alpha=0.5)
    signals = convolutional_sparse_encode(np.ldexp(X, exponent), D, alpha=np.ldexp(0.5, exponent))
    np.testing.assert_allclose(signals.x, np.ldexp(plain.x, exponent), rtol=1e-9)
    atoms = convolutional_sparse_encode(X, np.ldexp(D, exponent), alpha=np.ldexp(0.5, exponent))
    np.testing.assert_allclose(atoms.x, np.ldexp(plain.x, -exponent), rtol=1e-9)


def test_zero_signals_and_zero_atoms_have_zero_codes() -> None:
    X, D = arrays((3, 12), (2, 4))
    X[1] = 0
    D[0] = 0
    codes = convolutional_sparse_encode(X, D, alpha=0.1).x
    assert not codes[1].any()
    assert not codes[:, 0].any()
    assert codes[0, 1].any()
    assert not convolutional_sparse_encode(X, 0 * D, alpha=0.1).x.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dictionary": np.ones((2, 13))}, r"atom of shape \(13,\) does not fit .* shape \(12,\)"),
        ({"dictionary": np.ones((2, 2, 2))}, "both hold signals, one a row, or both pictures"),
        ({"alpha": None}, "exactly one of alpha, alpha_ratio"),
        ({"alpha": 0.0}, "alpha has to be"),
        ({"tol": -1.0}, "tol has to be"),
        ({"max_iter": 0}, "max_iter has to be"),
        ({"init": np.ones((3, 2, 11))}, r"init has shape .* codes have shape \(3, 2, 12\)"),
        ({"X": np.full((3, 12), np.nan)}, "X contains NaN"),
    ],
)
def test_bad_input_is_one_clear_error(options, message) -> None:
    arguments = {"X": np.ones((3, 12)), "dictionary": np.ones((2, 4)), "alpha": 0.1, **options}
    with pytest.raises(ValueError, match=message):
        convolutional_sparse_encode(
            arguments.pop("X"), arguments.pop("dictionary"), arguments.pop("alpha"), **arguments
        )


def pulses(seed=0, n_samples=8, n=200):
    """Two known pulses at random places."""
    rng = np.random.default_rng(seed)
    t = np.arange(12)
    D = np.array([np.exp(-t / 3.0), np.sin(t * np.pi / 3) * np.hanning(12)])
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    codes = rng.standard_normal((n_samples, 2, n)) * (rng.random((n_samples, 2, n)) < 0.02)
    return convolutional_synthesis(codes, D), D


@pytest.mark.parametrize("seed", range(3))
def test_known_pulses_are_found_again(seed) -> None:
    X, D = pulses(seed)
    result = convolutional_dictionary_learning(
        X, 4, 16, alpha=0.02, max_iter=150, random_state=seed
    )
    for atom in D:  # at any shift
        likeness = [np.abs(scipy.signal.correlate(d, atom)).max() for d in result.dictionary]
        assert max(likeness) > 0.95


@every_shape
def test_the_update_of_the_atoms_never_raises_the_objective(shape, atoms) -> None:
    X, D = arrays(shape, atoms)
    D /= np.sqrt(np.sum(D * D, axis=tuple(range(1, D.ndim)), keepdims=True))
    Y, rng = X.reshape(shape[0], -1).T, np.random.default_rng(4)
    for _ in range(5):
        A = Convolution(D, shape[1:], 1)
        codes = rng.standard_normal((A.shape[1], shape[0])) * (rng.random(A.shape[1:] + (1,)) < 0.5)
        before = np.sum((Y - A @ codes) ** 2)
        D, energy = _improved(A, Y, D, codes)
        assert energy == pytest.approx(np.sum((Y - Convolution(D, shape[1:], 1) @ codes) ** 2))
        assert energy <= before
        assert np.all(np.sum(D * D, axis=tuple(range(1, D.ndim))) <= 1 + 1e-12)


@every_shape
def test_result_and_history_of_learning_fit_together(shape, atoms) -> None:
    X = arrays(shape, atoms, 5)[0]
    options = {"alpha": 0.3, "max_iter": 20, "random_state": 0}
    result = convolutional_dictionary_learning(X, atoms[0], atoms[1:], **options)
    assert result.dictionary.shape == atoms
    residual = X - convolutional_synthesis(result.codes, result.dictionary)
    objective = 0.5 * np.sum(residual**2) + 0.3 * np.abs(result.codes).sum()
    assert result.objective == pytest.approx(objective)
    assert result.history["objective"][-1] < result.history["objective"][0]
    assert np.all(np.sum(result.dictionary**2, axis=tuple(range(1, X.ndim))) <= 1 + 1e-12)
    again = convolutional_dictionary_learning(X, atoms[0], atoms[1:], n_threads=2, **options)
    assert again.dictionary.tobytes() == result.dictionary.tobytes()
    rest = convolutional_dictionary_learning(
        X, atoms[0], atoms[1:], alpha=0.3, init=result.dictionary, max_iter=500, tol=1e-4
    )
    assert rest.status is Status.CONVERGED
    assert rest.objective < result.objective * 1.01


@pytest.mark.parametrize("exponent", [-400, 400])
def test_the_scale_of_the_signals_does_not_change_the_atoms(exponent) -> None:
    X, options = arrays((3, 12), (2, 4))[0], {"max_iter": 5, "random_state": 0}
    plain = convolutional_dictionary_learning(X, 2, 4, alpha=0.3, **options)
    scaled = convolutional_dictionary_learning(
        np.ldexp(X, exponent), 2, 4, alpha=np.ldexp(0.3, exponent), **options
    )
    np.testing.assert_allclose(scaled.dictionary, plain.dictionary, rtol=1e-9)


def test_degenerate_signals_are_learned_from() -> None:
    for X in (np.zeros((2, 9)), np.ones((1, 1)), np.ones((3, 4)), np.zeros((1, 3, 3))):
        result = convolutional_dictionary_learning(X, 2, 1, alpha=0.1, max_iter=3, random_state=0)
        assert np.all(np.isfinite(result.dictionary))
        assert np.all(np.isfinite(result.codes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components has to be"),
        ({"atom_shape": 13}, "does not fit"),
        ({"atom_shape": (3, 3)}, "does not fit"),
        ({"alpha": 0.0}, "alpha has to be"),
        ({"init": np.ones((2, 5))}, r"init has shape \(2, 5\); it has to be \(2, 4\)"),
        ({"tol": -1.0}, "tol has to be"),
        ({"max_iter": 0}, "max_iter has to be"),
    ],
)
def test_bad_arguments_of_learning(options, message) -> None:
    arguments = {"n_components": 2, "atom_shape": 4, "alpha": 0.1, **options}
    with pytest.raises(ValueError, match=message):
        convolutional_dictionary_learning(np.ones((3, 12)), **arguments)
