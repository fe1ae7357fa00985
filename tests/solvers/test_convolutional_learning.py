"""Atoms at every place: found again, with holes and at borders; and the laws of the learner."""

import pickle

import numpy as np
import pytest
import scipy.signal
from sklearn.exceptions import ConvergenceWarning

from sparsecode.penalties import L1
from sparsecode.solvers import (
    Status,
    convolutional_dictionary_learning,
    convolutional_sparse_encode,
    convolutional_synthesis,
)
from sparsecode.solvers._convolution import Convolution, Domain
from sparsecode.solvers._convolutional_atoms import improved, repaired, worst_pieces
from sparsecode.solvers._convolutional_coding import Coding, Samples

# Shapes of signals and atoms, and whether their last axes are channels.
SHAPES = {
    "signals": ((3, 12), (2, 4), False),
    "pictures": ((2, 6, 5), (3, 3, 2), False),
    "signals of 3 sensors": ((2, 11, 3), (4, 3, 3), True),
    "pictures in colour": ((2, 5, 6, 3), (2, 2, 3, 3), True),
}
every_shape = pytest.mark.parametrize(
    ("shape", "atoms", "multichannel"), SHAPES.values(), ids=SHAPES
)
every_boundary = pytest.mark.parametrize("boundary", ["periodic", "valid", "full"])


def noise(shape, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal(shape)
    return np.where(rng.random(shape) < missing, np.nan, X)


def learned(X, atoms, multichannel, **options):
    size = atoms[1:-1] if multichannel else atoms[1:]
    options = {"alpha": 0.3, "max_iter": 20, "random_state": 0, **options}
    return convolutional_dictionary_learning(
        X, atoms[0], size, multichannel=multichannel, **options
    )


def norms(D):
    return np.sqrt(np.sum(D * D, axis=tuple(range(1, D.ndim))))


def pulses(seed=0, n_samples=8, n=200, boundary="periodic"):
    """Two known pulses at random places."""
    rng = np.random.default_rng(seed)
    t = np.arange(12)
    D = np.array([np.exp(-t / 3.0), np.sin(t * np.pi / 3) * np.hanning(12)])
    D /= norms(D)[:, None]
    codes = rng.standard_normal((n_samples, 2, n)) * (rng.random((n_samples, 2, n)) < 0.02)
    return convolutional_synthesis(codes, D, boundary=boundary), D


def likeness(atom, D):
    """The cosine between an atom and the most similar row, at any shift."""
    return max(np.abs(scipy.signal.correlate(d, atom)).max() for d in D)


@pytest.mark.parametrize(
    ("seed", "missing", "boundary"),
    [(0, 0, "periodic"), (1, 0, "periodic"), (2, 0, "valid"), (3, 0.2, "valid")],
)
def test_known_pulses_are_found_again(seed, missing, boundary) -> None:
    X, D = pulses(seed, boundary=boundary)
    X[np.random.default_rng(9).random(X.shape) < missing] = np.nan
    result = convolutional_dictionary_learning(
        X, 4, 16, alpha=0.02, max_iter=500, random_state=seed, boundary=boundary,
        missing_values=np.nan,
    )  # fmt: skip
    for atom in D:
        assert likeness(atom, result.dictionary) > 0.95


def test_what_channels_have_in_common_is_found_with_its_weights() -> None:
    """Two sources seen by four sensors, each source with a strength of its own in each."""
    rng = np.random.default_rng(0)
    _, D = pulses()
    strengths = rng.standard_normal((2, 4))
    strengths /= norms(strengths)[:, None]
    atoms = D[:, :, None] * strengths[:, None, :]
    codes = rng.standard_normal((8, 2, 200)) * (rng.random((8, 2, 200)) < 0.02)
    X = convolutional_synthesis(codes, atoms, multichannel=True)
    result = convolutional_dictionary_learning(
        X, 4, 16, alpha=0.02, max_iter=500, random_state=0, multichannel=True
    )
    assert result.dictionary.shape == (4, 16, 4)
    for atom in atoms:
        shifted = [
            np.abs(sum(scipy.signal.correlate(d[:, c], atom[:, c]) for c in range(4))).max()
            for d in result.dictionary
        ]
        assert max(shifted) > 0.95


@every_boundary
@every_shape
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_update_of_the_atoms_never_raises_the_objective(
    shape, atoms, multichannel, boundary, missing
) -> None:
    samples = Samples.checked(noise(shape, missing=missing), multichannel, np.nan)
    D = noise(atoms, 1)
    D = np.moveaxis(D, -1, 1) if multichannel else D[:, None]
    D /= norms(D).reshape(-1, *(1,) * (D.ndim - 1))
    domain = Domain.checked(samples.X.shape[2:], D.shape[2:], boundary)
    y, observed = samples.on_grid(domain)
    coding, rng, L = Coding(y, observed, L1(), 0.1, 1.0), np.random.default_rng(4), 0.0
    seen = np.ones(y.shape) if observed is None else observed
    for _ in range(4):
        A = Convolution(D, domain, 1)
        x = rng.standard_normal((A.shape[1], y.shape[1])) * (rng.random((A.shape[1], 1)) < 0.5)
        x = A.allowed(x)
        before = np.sum((seen * (y - A @ x)) ** 2)
        D, energy, L = improved(A, coding, D, x, L)
        after = np.sum((seen * (y - Convolution(D, domain, 1) @ x)) ** 2)
        assert energy == pytest.approx(after)
        assert energy < before
        assert np.all(norms(D) <= 1 + 1e-12)


def test_the_update_of_the_atoms_goes_on_to_their_minimum() -> None:
    """With codes held it is a constrained least-squares problem: cvxpy's answer."""
    import cvxpy as cp

    X, atoms = noise((2, 10)), noise((2, 3), 1)
    codes = noise((2, 2, 10), 2) * (noise((2, 2, 10), 3) > 0.7)
    unit = np.eye(6).reshape(6, 2, 3)
    M = np.stack([convolutional_synthesis(codes, d).ravel() for d in unit], axis=1)
    d = cp.Variable(6)
    inside = [cp.norm(d[:3]) <= 1, cp.norm(d[3:]) <= 1]
    best = cp.Problem(cp.Minimize(cp.sum_squares(X.ravel() - M @ d)), inside).solve()
    domain = Domain.checked((10,), (3,), "periodic")
    samples = Samples.checked(X, False, None)
    y, _ = samples.on_grid(domain)
    D, L = (atoms / norms(atoms)[:, None])[:, None], 0.0
    for _ in range(100):
        A = Convolution(D, domain, 1)
        x = domain.on_grid(codes, domain.region)
        D, energy, L = improved(A, Coding(y, None, L1(), 0.1, 1.0), D, x, L)
    assert energy == pytest.approx(best, rel=1e-6)


@every_boundary
@every_shape
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_result_and_history_fit_together(shape, atoms, multichannel, boundary, missing) -> None:
    X = noise(shape, 5, missing)
    where = {"boundary": boundary, "multichannel": multichannel}
    options = {"boundary": boundary, "missing_values": np.nan}
    result = learned(X, atoms, multichannel, max_iter=35, **options)
    assert result.dictionary.shape == atoms
    residual = X - convolutional_synthesis(result.codes, result.dictionary, **where)
    objective = 0.5 * np.nansum(residual**2) + 0.3 * np.abs(result.codes).sum()
    assert result.objective == pytest.approx(objective)
    assert list(result.history["n_iter"]) == [10, 20, 30, 35]
    assert result.history["objective"][-1] < result.history["objective"][0]
    assert result.history["n_nonzero"][-1] == np.count_nonzero(result.codes) / len(X)
    assert np.all(norms(result.dictionary) <= 1 + 1e-12)
    best = convolutional_sparse_encode(
        X, result.dictionary, 0.3, tol=1e-9, max_iter=20_000, missing_values=np.nan, **where
    )
    assert -1e-9 <= result.objective - best.objective <= result.dual_gap + 1e-9
    rest = learned(
        X, atoms, multichannel, init=result.dictionary, tol=1e-4, max_iter=2000, **options
    )
    assert rest.status is Status.CONVERGED
    assert rest.objective < result.objective * 1.01


@every_boundary
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("done", [1, 10, 17])
def test_a_result_goes_on_to_the_bit(boundary, missing, done) -> None:
    X, atoms, multichannel = noise((2, 11, 3), 5, missing), (6, 3, 3), True
    options = {"boundary": boundary, "missing_values": np.nan, "alpha": 1.5}
    whole = learned(X, atoms, multichannel, max_iter=47, **options)
    part = learned(X, atoms, multichannel, max_iter=done, **options)
    part = pickle.loads(pickle.dumps(part))
    rest = learned(X, atoms, multichannel, max_iter=47 - done, init=part, n_threads=2, **options)
    assert rest.dictionary.tobytes() == whole.dictionary.tobytes()
    assert rest.codes.tobytes() == whole.codes.tobytes()
    assert (rest.objective, rest.dual_gap) == (whole.objective, whole.dual_gap)


def test_a_result_of_something_else_is_no_start() -> None:
    result = learned(noise((2, 11)), (2, 3), False)
    for other, atoms, message in (
        (noise((2, 11)), (3, 3), "that of this function for as many atoms"),
        (noise((3, 11)), (2, 3), "their number, shape and boundary"),
        (noise((2, 12)), (2, 3), "their number, shape and boundary"),
        (noise((2, 11), missing=0.5), (2, 3), "their number, shape and boundary"),
    ):
        with pytest.raises(ValueError, match=message):
            learned(other, atoms, False, init=result, missing_values=np.nan)


def test_atoms_that_nothing_uses_are_replaced_by_what_the_others_leave() -> None:
    X, D = pulses()
    start = np.vstack([np.pad(D[:1], ((0, 0), (0, 4))), np.zeros((1, 16))])
    result = convolutional_dictionary_learning(X, 2, 16, alpha=0.02, max_iter=300, init=start)
    assert result.history["n_replaced"].sum() == 1
    assert likeness(D[1], result.dictionary) > 0.95
    nothing = convolutional_dictionary_learning(X, 2, 16, alpha=100.0, max_iter=30, random_state=0)
    assert not nothing.codes.any()
    assert nothing.history["n_replaced"].sum() == 0  # no piece would be used, either


def test_a_replaced_atom_is_the_worst_piece_and_changes_no_objective() -> None:
    X, D = pulses()
    domain = Domain.checked((200,), (12,), "valid")
    y, observed = Samples.checked(X, False, None).on_grid(domain)
    atoms = np.stack([D[:1], np.zeros((1, 12)), np.zeros((1, 12))])
    A, coding = Convolution(atoms, domain, 1), Coding(y, observed, L1(), 0.02, 1.0)
    at = coding.start(A, np.zeros((A.shape[1], len(X))))
    for _ in range(20):
        at = coding.step(A, at)
    new, state, n = repaired(A, coding, atoms, at)
    assert n == 2
    assert new[0].tobytes() == atoms[0].tobytes()
    np.testing.assert_allclose(norms(new), 1)
    np.testing.assert_array_equal(state.z, at.z)
    rest = X - convolutional_synthesis(
        domain.off_grid(at.z[: A.shape[1]], domain.region), atoms[:, 0], boundary="valid"
    )
    pieces = np.lib.stride_tricks.sliding_window_view(rest, 12, axis=1)
    sizes = np.linalg.norm(pieces, axis=-1)
    worst = np.unravel_index(np.argmax(sizes), sizes.shape)
    np.testing.assert_allclose(new[1, 0] * sizes[worst], pieces[worst], atol=1e-12)
    assert (
        coding.step(Convolution(new, domain, 1), state).z[: A.shape[1]].reshape(3, -1).any(1).all()
    )


def test_the_worst_pieces_do_not_overlap() -> None:
    X = noise((2, 1, 9, 8))
    pieces = worst_pieces(X, (3, 2), 0.0, 50)
    assert 10 < len(pieces) < 50
    assert all(np.linalg.norm(piece) == pytest.approx(1) for piece in pieces)
    windows = np.lib.stride_tricks.sliding_window_view(X[:, 0], (3, 2), axis=(1, 2))
    flat = windows.reshape(-1, 6) / np.linalg.norm(windows.reshape(-1, 6), axis=1, keepdims=True)
    places = [int(np.argmax(flat @ piece.ravel())) for piece in pieces]
    corners = np.array(np.unravel_index(places, windows.shape[:3])).T
    for i, one in enumerate(corners):
        for other in corners[:i]:
            assert one[0] != other[0] or abs(one[1] - other[1]) >= 3 or abs(one[2] - other[2]) >= 2
    assert worst_pieces(X, (3, 2), 1e3, 50) == []


@pytest.mark.parametrize("kind", ["f", "d"])
def test_the_same_seed_gives_the_same_bits_on_any_threads(kind) -> None:
    X = noise((3, 14, 12, 2)).astype(kind)
    options = {"random_state": 3, "boundary": "valid"}
    one = learned(X, (4, 3, 3, 2), True, n_threads=1, **options)
    two = learned(np.asfortranarray(X), (4, 3, 3, 2), True, n_threads=2, **options)
    assert one.dictionary.dtype == one.codes.dtype == kind
    assert one.dictionary.tobytes() == two.dictionary.tobytes()
    assert one.codes.tobytes() == two.codes.tobytes()


def test_single_precision_learns_the_same() -> None:
    X, D = pulses()
    result = convolutional_dictionary_learning(
        X.astype("f"), 4, 16, alpha=0.02, max_iter=500, random_state=0
    )
    assert all(likeness(atom, result.dictionary) > 0.95 for atom in D)


def test_positive_codes() -> None:
    result = learned(noise((2, 15)), (2, 4), False, positive=True)
    assert result.codes.min() == 0
    assert result.codes.any()


@every_boundary
@pytest.mark.parametrize("exponent", [-400, 400])
def test_the_scale_of_the_signals_does_not_change_the_atoms(exponent, boundary) -> None:
    X, options = noise((3, 12)), {"max_iter": 15, "boundary": boundary}
    plain = learned(X, (2, 4), False, **options)
    alpha = np.ldexp(0.3, exponent)
    scaled = learned(np.ldexp(X, exponent), (2, 4), False, alpha=alpha, **options)
    np.testing.assert_allclose(scaled.dictionary, plain.dictionary, rtol=1e-9)
    np.testing.assert_allclose(scaled.codes, np.ldexp(plain.codes, exponent), rtol=1e-9)
    if exponent < 0:
        return
    assert scaled.dual_gap == pytest.approx(np.ldexp(plain.dual_gap, 2 * exponent), rel=1e-6)


@every_boundary
def test_degenerate_signals_are_learned_from(boundary) -> None:
    for X in (np.zeros((2, 9)), np.ones((1, 1)), np.ones((3, 4)), np.zeros((1, 3, 3))):
        result = convolutional_dictionary_learning(
            X, 2, 1, alpha=0.1, max_iter=13, random_state=0, boundary=boundary
        )
        assert np.all(np.isfinite(result.dictionary))
        assert np.all(np.isfinite(result.codes))
        assert result.dual_gap >= 0


def test_a_callback_sees_every_tenth_iteration_and_may_stop() -> None:
    seen = []

    def callback(numbers):
        seen.append(numbers["n_iter"])
        return len(seen) == 2

    result = learned(noise((2, 15)), (2, 4), False, max_iter=100, callback=callback)
    assert seen == [10, 20]
    assert result.status is Status.CALLBACK
    with pytest.warns(ConvergenceWarning, match="convolutional_dictionary_learning did not"):
        learned(noise((2, 15)), (2, 4), False, max_iter=10, tol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components has to be"),
        ({"atom_shape": 13}, "does not fit"),
        ({"atom_shape": (3, 3)}, "does not fit"),
        ({"alpha": 0.0}, "alpha has to be"),
        ({"init": np.ones((2, 5))}, r"init has shape \(2, 5\); it has to be \(2, 4\)"),
        ({"init": np.ones((2, 4, 3))}, "one signal alone is X.None."),
        ({"boundary": "zero"}, "boundary has to be one of"),
        ({"multichannel": True}, "X has to be 3-D or 4-D"),
        ({"tol": -1.0}, "tol has to be"),
        ({"max_iter": 0}, "max_iter has to be"),
    ],
)
def test_bad_arguments(options, message) -> None:
    arguments = {"n_components": 2, "atom_shape": 4, "alpha": 0.1, **options}
    with pytest.raises(ValueError, match=message):
        convolutional_dictionary_learning(np.ones((3, 12)), **arguments)
    with pytest.raises(ValueError, match=r"init has shape .*; it has to be \(2, 4, 3\)"):
        convolutional_dictionary_learning(
            np.ones((3, 12, 3)), 2, 4, alpha=0.1, multichannel=True, init=np.ones((2, 5, 3))
        )
