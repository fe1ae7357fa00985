"""Convolutional codes against cvxpy on the explicit matrix, whatever happens at the border."""

import numpy as np
import pytest
import scipy.signal
from sklearn.exceptions import ConvergenceWarning

from sparsecode.objectives import lasso_objective
from sparsecode.solvers import (
    Status,
    convolutional_sparse_encode,
    convolutional_synthesis,
    reference,
)
from sparsecode.solvers._convolution import Convolution, Domain

# Shapes of signals and atoms, and whether their last axes are channels.
SHAPES = {
    "signals": ((3, 12), (2, 4), False),
    "pictures": ((2, 6, 5), (3, 3, 2), False),
    "signals of 3 sensors": ((2, 11, 3), (4, 3, 3), True),
    "pictures in colour": ((2, 5, 6, 3), (2, 2, 3, 3), True),  # more channels than atoms
    "as large as the atoms": ((1, 5), (2, 5), False),
}
every_shape = pytest.mark.parametrize(
    ("shape", "atoms", "multichannel"), SHAPES.values(), ids=SHAPES
)
every_boundary = pytest.mark.parametrize("boundary", ["periodic", "valid", "full"])


def arrays(shape, atoms, seed=0, kind="d"):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape).astype(kind), rng.standard_normal(atoms).astype(kind)


def plain_sum(codes, D, boundary):
    pairs = zip(codes, D, strict=True)
    return sum(scipy.signal.convolve(code, d, boundary, "direct") for code, d in pairs)


def plain_synthesis(codes, D, boundary, multichannel):
    """The sum of `scipy.signal.convolve`, channel by channel."""
    if multichannel:
        channels = [plain_synthesis(codes, D[..., c], boundary, False) for c in range(D.shape[-1])]
        return np.stack(channels, axis=-1)
    if boundary != "periodic":
        return np.array([plain_sum(sample, D, boundary) for sample in codes])
    signals = np.zeros((len(codes), *codes.shape[2:]))
    for k, atom in enumerate(D):
        for place in np.ndindex(atom.shape):
            axes = tuple(range(1, signals.ndim))
            signals += atom[place] * np.roll(codes[:, k], place, axes)
    return signals


def places(shape, atoms, boundary, multichannel):
    """The shape of the codes."""
    grid, size = (shape[1:-1], atoms[1:-1]) if multichannel else (shape[1:], atoms[1:])
    more = {"periodic": 0, "valid": 1, "full": -1}[boundary]
    return (shape[0], atoms[0], *(n + more * (a - 1) for n, a in zip(grid, size, strict=True)))


def plain_matrix(D, shape, boundary, multichannel):
    """One column a coefficient: what it makes of a signal."""
    codes = places(shape, D.shape, boundary, multichannel)[1:]
    each = np.eye(np.prod(codes)).reshape(-1, *codes)
    return plain_synthesis(each, D, boundary, multichannel).reshape(len(each), -1).T


@every_boundary
@every_shape
def test_synthesis_is_that_of_scipy(shape, atoms, multichannel, boundary) -> None:
    D = arrays(shape, atoms)[1]
    codes = np.random.default_rng(1).standard_normal(places(shape, atoms, boundary, multichannel))
    options = {"boundary": boundary, "multichannel": multichannel}
    found = convolutional_synthesis(codes, D, **options)
    assert found.shape == shape
    np.testing.assert_allclose(found, plain_synthesis(codes, D, boundary, multichannel), atol=1e-12)


@every_boundary
@every_shape
def test_the_half_in_the_fourier_domain_is_that_of_the_matrix(
    shape, atoms, multichannel, boundary
) -> None:
    D = arrays(shape, atoms)[1]
    D = np.moveaxis(D, -1, 1) if multichannel else D[:, None]
    grid = shape[1:-1] if multichannel else shape[1:]
    A = Convolution(D, Domain.checked(grid, D.shape[2:], boundary), 1)
    M = A.columns(A.summed(A.transformed(np.eye(A.shape[1]))))  # periodic on the whole grid
    np.testing.assert_allclose(A.energy, np.trace(M @ M.T) / len(M), rtol=1e-10)
    y, v = (np.random.default_rng(2).standard_normal((side, 4)) for side in A.shape)
    expected = np.linalg.solve(M.T @ M + 0.7 * np.eye(M.shape[1]), M.T @ y + 0.7 * v)
    found, fitted = A.nearest(v, A.transformed(y), 0.7)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(A.columns(fitted), M @ expected, atol=1e-10)
    np.testing.assert_allclose(A.H @ np.eye(A.shape[0]), (A @ np.eye(A.shape[1])).T, atol=1e-12)


def cvxpys(X, D, alpha, boundary, multichannel):
    """The objectives of the best codes, on the entries that are not NaN."""
    M = plain_matrix(D, X.shape, boundary, multichannel)
    best = 0.0
    for x in X.reshape(len(X), -1):
        seen = ~np.isnan(x)
        best += reference.lasso(M[seen], x[seen], alpha).objective
    return best


@every_boundary
@every_shape
@pytest.mark.parametrize("missing", [False, True])
def test_the_codes_are_cvxpys(shape, atoms, multichannel, boundary, missing) -> None:
    X, D = arrays(shape, atoms)
    options = {"boundary": boundary, "multichannel": multichannel}
    if missing:
        X[np.random.default_rng(3).random(shape) < 0.3] = np.nan
        options["missing_values"] = np.nan
    result = convolutional_sparse_encode(X, D, alpha=0.8, tol=1e-9, max_iter=20_000, **options)
    assert result.status is Status.CONVERGED
    assert result.x.shape == places(shape, atoms, boundary, multichannel)
    best = cvxpys(X, D, 0.8, boundary, multichannel)
    assert result.objective == pytest.approx(best, rel=1e-7)
    assert 0 <= result.dual_gap < 1e-7 * result.objective
    residual = X - plain_synthesis(result.x, D, boundary, multichannel)
    objective = 0.5 * np.nansum(residual**2) + 0.8 * np.abs(result.x).sum()
    assert result.objective == pytest.approx(objective, rel=1e-10)


@every_boundary
@every_shape
@pytest.mark.parametrize("positive", [False, True])
def test_the_gap_bounds_the_error_of_a_run_that_was_cut_short(
    shape, atoms, multichannel, boundary, positive
) -> None:
    X, D = arrays(shape, atoms, 3)
    options = {"alpha": 0.5, "positive": positive, "boundary": boundary}
    options["multichannel"] = multichannel
    best = convolutional_sparse_encode(X, D, tol=1e-10, max_iter=20_000, **options).objective
    with pytest.warns(ConvergenceWarning, match="convolutional_sparse_encode did not converge"):
        short = convolutional_sparse_encode(X, D, tol=1e-10, max_iter=7, **options)
    assert -1e-9 <= short.objective - best <= short.dual_gap
    M = plain_matrix(D, X.shape, boundary, multichannel)
    codes, signals = short.x.reshape(len(X), -1).T, X.reshape(len(X), -1).T
    assert short.objective == pytest.approx(np.sum(lasso_objective(M, signals, codes, 0.5)))
    if positive:
        assert short.x.min() >= 0


@every_boundary
@every_shape
def test_alpha_ratio_is_relative_to_the_zero_code(shape, atoms, multichannel, boundary) -> None:
    X, D = arrays(shape, atoms)
    options = {"boundary": boundary, "multichannel": multichannel}
    largest = convolutional_sparse_encode(X, D, alpha_ratio=1.0, **options).x
    assert np.abs(largest).max() < 1e-5
    codes = convolutional_sparse_encode(X, D, alpha_ratio=0.9, **options).x
    assert np.all(codes.reshape(len(X), -1).any(axis=1))


def test_a_window_on_a_longer_signal_has_its_codes_where_the_period_has_others() -> None:
    """An atom that the border cuts is still that atom; wrapped round, it is none."""
    atom = np.array([[1.0, 2.0, 3.0, 2.0, 1.0]])
    longer = np.zeros((1, 1, 24))
    longer[0, 0, [2, 12, 20]] = 1, -1, 1
    X = convolutional_synthesis(longer, atom, boundary="valid")  # two of the three are cut
    valid = convolutional_sparse_encode(X, atom, 1e-3, boundary="valid", tol=1e-10, max_iter=9999)
    np.testing.assert_allclose(valid.x, longer, atol=1e-2)
    periodic = convolutional_sparse_encode(X, atom, 1e-3, tol=1e-8, max_iter=9999)
    assert periodic.objective > 2 * valid.objective


def test_missing_pixels_are_filled_in_by_the_atoms_around_them() -> None:
    rng = np.random.default_rng(0)
    D = rng.standard_normal((2, 4, 4, 3))
    codes = (rng.random((1, 2, 20, 22)) < 0.03) * rng.uniform(1, 2, (1, 2, 20, 22))
    X = convolutional_synthesis(codes, D, multichannel=True)
    holed = np.where(rng.random(X.shape) < 0.4, np.nan, X)
    found = convolutional_sparse_encode(
        holed, D, 0.01, multichannel=True, missing_values=np.nan, tol=1e-7, max_iter=9999
    )
    filled = convolutional_synthesis(found.x, D, multichannel=True)
    assert np.abs(filled - X).max() < 0.1 * np.abs(X).max()
    with pytest.raises(ValueError, match="pass missing_values"):
        convolutional_sparse_encode(holed, D, 0.01, multichannel=True)


def test_signals_of_several_lengths_are_those_of_one_with_unknown_ends() -> None:
    X, D = arrays((2, 20), (2, 4))
    X[1, 13:] = np.nan
    options = {"boundary": "valid", "tol": 1e-10, "max_iter": 20_000}
    both = convolutional_sparse_encode(X, D, 0.5, missing_values=np.nan, **options)
    alone = convolutional_sparse_encode(X[1:, :13], D, 0.5, **options)
    np.testing.assert_allclose(both.x[1, :, :16], alone.x[0], atol=1e-4)
    assert not both.x[1, :, 16:].any()


def test_one_channel_is_none_and_grey_is_colour_without_colours() -> None:
    X, D = arrays((2, 8, 9), (3, 3, 3))
    plain = convolutional_sparse_encode(X, D, 0.5)
    one = convolutional_sparse_encode(X[..., None], D[..., None], 0.5, multichannel=True)
    assert one.x.tobytes() == plain.x.tobytes()
    grey, atoms = np.repeat(X[..., None], 3, axis=-1), np.repeat(D[..., None], 3, axis=-1)
    three = convolutional_sparse_encode(
        grey / np.sqrt(3), atoms / np.sqrt(3), 0.5, multichannel=True, tol=1e-9, max_iter=9999
    )
    best = convolutional_sparse_encode(X, D, 0.5, tol=1e-9, max_iter=9999)
    assert three.objective == pytest.approx(best.objective, rel=1e-7)
    np.testing.assert_allclose(three.x, best.x, atol=1e-3)


@every_boundary
@pytest.mark.parametrize("kind", ["f", "d"])
def test_threads_and_start_and_order_change_nothing(kind, boundary) -> None:
    X, D = arrays((4, 30, 28), (5, 4, 4), kind=kind)
    options = {"alpha_ratio": 0.2, "boundary": boundary}
    one = convolutional_sparse_encode(X, D, n_threads=1, **options)
    two = convolutional_sparse_encode(
        np.asfortranarray(X), np.asfortranarray(D), n_threads=2, **options
    )
    assert one.x.dtype == kind
    assert one.x.tobytes() == two.x.tobytes()
    warm = convolutional_sparse_encode(X, D, init=one.x, **options)
    assert warm.n_iter == 10
    assert warm.objective == pytest.approx(one.objective, rel=1e-3)
    for array in (X, D):
        array.flags.writeable = False
    convolutional_sparse_encode(X, D, **options)


@every_boundary
@pytest.mark.parametrize("exponent", [-400, 400])
def test_scales_of_signals_and_atoms_do_not_matter(exponent, boundary) -> None:
    X, D = arrays((3, 12), (2, 4))
    plain = convolutional_sparse_encode(X, D, alpha=0.5, boundary=boundary)
    signals = convolutional_sparse_encode(
        np.ldexp(X, exponent), D, alpha=np.ldexp(0.5, exponent), boundary=boundary
    )
    np.testing.assert_allclose(signals.x, np.ldexp(plain.x, exponent), rtol=1e-9)
    atoms = convolutional_sparse_encode(
        X, np.ldexp(D, exponent), alpha=np.ldexp(0.5, exponent), boundary=boundary
    )
    np.testing.assert_allclose(atoms.x, np.ldexp(plain.x, -exponent), rtol=1e-9)


@every_boundary
def test_zero_signals_and_zero_atoms_have_zero_codes(boundary) -> None:
    X, D = arrays((3, 12), (2, 4))
    X[1] = 0
    D[0] = 0
    codes = convolutional_sparse_encode(X, D, alpha=0.1, boundary=boundary).x
    assert not codes[1].any()
    assert not codes[:, 0].any()
    assert codes[0, 1].any()
    assert not convolutional_sparse_encode(X, 0 * D, alpha=0.1, boundary=boundary).x.any()


def test_a_sample_of_which_nothing_is_known_has_zero_codes() -> None:
    X, D = arrays((2, 12), (2, 4))
    X[0] = np.nan
    codes = convolutional_sparse_encode(X, D, alpha=0.1, missing_values=np.nan).x
    assert not codes[0].any()
    assert codes[1].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dictionary": np.ones((2, 13))}, r"atom of shape \(13,\) does not fit .* shape \(12,\)"),
        ({"dictionary": np.ones((2, 2, 2))}, "both hold signals, one a row, or both pictures"),
        ({"X": np.ones((3, 12, 2)), "multichannel": True}, "one signal alone is X.None."),
        ({"X": np.ones((3, 9, 9, 3))}, "where the last are channels say multichannel=True"),
        (
            {
                "X": np.ones((3, 12, 2)),
                "dictionary": np.ones((2, 4, 3)),
                "multichannel": True,
            },
            "X has 2 channels but the atoms have 3",
        ),
        ({"boundary": "zero"}, "boundary has to be one of 'full', 'periodic', 'valid', got 'zero'"),
        ({"missing_values": 0.0}, "missing_values has to be np.nan or None"),
        ({"alpha": None}, "exactly one of alpha, alpha_ratio"),
        ({"alpha": 0.0}, "alpha has to be"),
        ({"tol": -1.0}, "tol has to be"),
        ({"max_iter": 0}, "max_iter has to be"),
        ({"init": np.ones((3, 2, 11))}, r"init has shape .* codes have shape \(3, 2, 12\)"),
        ({"X": np.full((3, 12), np.nan)}, "X contains NaN"),
        ({"X": np.full((3, 12), np.inf), "missing_values": np.nan}, "X contains infinity"),
    ],
)
def test_bad_input_is_one_clear_error(options, message) -> None:
    arguments = {"X": np.ones((3, 12)), "dictionary": np.ones((2, 4)), "alpha": 0.1, **options}
    with pytest.raises(ValueError, match=message):
        convolutional_sparse_encode(
            arguments.pop("X"), arguments.pop("dictionary"), arguments.pop("alpha"), **arguments
        )


def test_codes_that_do_not_fit_the_atoms() -> None:
    with pytest.raises(ValueError, match="codes are for 3 atoms; dictionary has 2"):
        convolutional_synthesis(np.ones((1, 3, 8)), np.ones((2, 4)))
    with pytest.raises(
        ValueError, match=r"codes at \(3,\) places are too few for atoms of .*valid"
    ):
        convolutional_synthesis(np.ones((1, 2, 3)), np.ones((2, 4)), boundary="valid")
