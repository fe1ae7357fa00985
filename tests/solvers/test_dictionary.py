"""K-SVD: the laws of a sweep, an exact update against the SVD, and a dictionary known before."""

import functools

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.exceptions import ConvergenceWarning

from sparsecode.datasets import make_sparse_coded_signals
from sparsecode.operators import overcomplete_dct
from sparsecode.solvers import Status, ksvd, mod, sparse_encode
from sparsecode.solvers._learning import Coding, Learner, Signals, repaired
from sparsecode.solvers.dictionary import _swept


def signals(seed=0, n=200, m=8, K=12, k=2, **options):
    return make_sparse_coded_signals(
        n, n_components=K, n_features=m, n_nonzero_coefs=k, random_state=seed, **options
    ).X


def rank_one(E):
    U, s, Vt = np.linalg.svd(E, full_matrices=False)
    return s[0] * np.outer(U[:, 0], Vt[0])


def plain_sweep(X, D, C, order):
    """Aharon, Elad and Bruckstein (2006), with a full SVD for every atom."""
    D, C = D.copy(), C.copy()
    for k in order:
        users = np.flatnonzero(C[:, k])
        if users.size == 0:
            continue
        E = X[users] - C[users] @ D + np.outer(C[users, k], D[k])
        U, s, Vt = np.linalg.svd(E, full_matrices=False)
        sign = np.sign(Vt[0] @ D[k])
        D[k], C[users, k] = sign * Vt[0], sign * s[0] * U[:, 0]
    return D, C


def one_sweep(X, D, codes, n_passes, seed=0, alpha=None, positive=False):
    """The updated atoms, codes and energies, and the order of the updates."""
    missing = np.nan if np.isnan(X).any() else None
    coding = Coding(2, None, alpha, positive)
    signals, rng = Signals.checked(X, missing), np.random.RandomState(seed)
    learner = Learner(signals, coding, D, np.zeros(len(X), bool), rng, 1)
    order = np.random.RandomState(seed).permutation(len(D))
    return _swept(learner, D, codes.copy(), n_passes), order


@pytest.mark.parametrize("seed", range(5))
def test_the_exact_update_is_the_full_svds(seed) -> None:
    X = signals(seed, n=60, m=6, K=8, noise=0.1)
    D = ksvd(X, 8, n_nonzero_coefs=2, max_iter=3, random_state=seed).dictionary
    codes = sparse_encode(X, D, n_nonzero_coefs=2)
    updated, order = one_sweep(X, D, codes, 100_000, seed)
    expected_D, expected_C = plain_sweep(X, D, codes.toarray(), order)
    energies = np.sum((X - updated.codes @ updated.D) ** 2, axis=1)
    np.testing.assert_allclose(updated.energies, energies, atol=1e-12)
    exact_error = np.sum((X - expected_C @ expected_D) ** 2)
    assert updated.energies.sum() == pytest.approx(exact_error, rel=1e-6)
    np.testing.assert_allclose(updated.D, expected_D, atol=2e-3)
    np.testing.assert_allclose(updated.codes.toarray(), expected_C, atol=2e-2)


@pytest.mark.parametrize("update", ["approximate", "exact"])
@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize(("alpha", "positive"), [(None, False), (0.4, False), (0.4, True)])
def test_a_sweep_with_fixed_supports_lowers_the_objective(
    update, kind, holes, alpha, positive
) -> None:
    X = signals(1, noise=0.2).astype(kind)
    rng = np.random.default_rng(1)
    D = rng.standard_normal((12, 8)).astype(kind)
    if positive:
        X, D = np.abs(X), np.abs(D)
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    seen = rng.random(X.shape) > 0.2 * holes
    full, X = X, np.where(seen, X, np.nan).astype(kind)
    coding = Coding(None if alpha else 2, None, alpha, positive)
    for seed in range(6):
        codes = coding.codes(X, D, 1, missing=holes)

        def objective(codes, D, codes_of=coding):
            energy = np.sum((np.where(seen, full, 0) - (codes @ D) * seen) ** 2, dtype="d")
            return codes_of.objective(energy, codes)

        before = objective(codes, D)
        n_passes = 1 if update == "approximate" else 100
        updated, _ = one_sweep(X, D, codes, n_passes, seed, alpha, positive)
        after = objective(updated.codes, updated.D)
        # Where entries are missing an atom's norm counts on each signal as far as that is observed,
        # so that the l1 term knows no exact step: then the squares alone fall for certain.
        if not (holes and alpha):
            assert after <= before * (1 + 1e-6)
        np.testing.assert_array_equal(updated.codes.indices, codes.indices)
        np.testing.assert_allclose(np.linalg.norm(updated.D, axis=1), 1, rtol=1e-5)
        if positive:
            assert updated.D.min() >= 0
            assert updated.codes.data.min() >= 0
        D = updated.D
    assert after < 0.9 * 0.5 * np.sum(np.where(seen, full, 0) ** 2)


def test_the_exact_sweep_is_at_least_as_good_as_the_approximate_one_on_one_atom() -> None:
    X = signals(2, noise=0.3)
    D = np.random.default_rng(2).standard_normal((1, 8))
    D /= np.linalg.norm(D)
    codes = sparse_encode(X, D, n_nonzero_coefs=1)
    energies = [one_sweep(X, D, codes, passes)[0].energies.sum() for passes in (1, 3, 100)]
    best = np.sum((X - rank_one(X)) ** 2)
    assert energies == sorted(energies, reverse=True)
    assert energies[-1] == pytest.approx(best, rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("update", ["approximate", "exact"])
def test_a_known_dictionary_is_found_again(update) -> None:
    """As Aharon et al. do: 20 x 50, 1,500 signals of 3 atoms, hits where |<d, d'>| > 0.99."""
    data = make_sparse_coded_signals(
        1500, n_components=50, n_features=20, n_nonzero_coefs=3, random_state=0
    )
    result = ksvd(data.X, 50, n_nonzero_coefs=3, max_iter=80, update=update, random_state=0)
    coherence = np.abs(data.dictionary @ result.dictionary.T)
    rows, columns = linear_sum_assignment(-coherence)
    assert np.mean(coherence[rows, columns] > 0.99) >= 0.85
    assert result.history["relative_error"][-1] < 0.15


def test_history_and_result_fit_together() -> None:
    X = signals(3, noise=0.1)
    result = ksvd(X, 12, n_nonzero_coefs=2, max_iter=7, random_state=0)
    assert result.status is Status.COMPLETED
    assert result.n_iter == 7
    assert set(result.history) == {
        "n_iter", "seconds", "objective", "certificate", "relative_error", "n_nonzero",
        "coherence", "n_replaced",
    }  # fmt: skip
    error = np.sum((X - result.codes @ result.dictionary) ** 2)
    assert result.objective == pytest.approx(0.5 * error, rel=1e-10)
    relative = result.history["relative_error"]
    assert relative[-1] == pytest.approx(np.sqrt(error / np.sum(X**2)), rel=1e-10)
    changes = np.abs(np.diff(relative**2)) / relative[:-1] ** 2
    np.testing.assert_allclose(result.history["certificate"][1:], changes, rtol=1e-8)
    assert relative[-1] < relative[0]
    assert result.history["n_nonzero"][-1] == result.codes.nnz / 200
    alike = np.abs(result.dictionary @ result.dictionary.T) - np.eye(12)
    assert result.history["coherence"][-1] == pytest.approx(alike.max(), rel=1e-10)
    assert result.codes.shape == (200, 12)
    assert np.diff(result.codes.indptr).max() <= 2
    np.testing.assert_allclose(np.linalg.norm(result.dictionary, axis=1), 1, rtol=1e-12)


def test_tol_stops_and_max_iter_warns() -> None:
    X = signals(4, noise=0.1)
    result = ksvd(X, 12, n_nonzero_coefs=2, max_iter=500, tol=1e-3, random_state=0)
    assert result.status is Status.CONVERGED
    assert result.n_iter < 500
    assert result.certificate <= 1e-3
    with pytest.warns(ConvergenceWarning, match="ksvd did not converge"):
        ksvd(X, 12, n_nonzero_coefs=2, max_iter=2, tol=1e-12, random_state=0)


@pytest.mark.parametrize("update", ["approximate", "exact"])
def test_the_bits_follow_the_seed_and_not_the_threads(update) -> None:
    X = signals(5, n=700)
    options = {"n_nonzero_coefs": 3, "max_iter": 3, "update": update}
    one = ksvd(X, 20, random_state=7, n_threads=1, **options)
    for other in (
        ksvd(X, 20, random_state=7, n_threads=2, **options),
        ksvd(X, 20, random_state=np.random.RandomState(7), n_threads=3, **options),
        ksvd(np.asfortranarray(X), 20, random_state=7, **options),
    ):
        assert other.dictionary.tobytes() == one.dictionary.tobytes()
        assert other.codes.data.tobytes() == one.codes.data.tobytes()
    different = ksvd(X, 20, random_state=8, **options)
    assert different.dictionary.tobytes() != one.dictionary.tobytes()
    assert ksvd(X, 20, random_state=np.random.default_rng(7), **options).n_iter == 3


def test_an_unused_and_a_duplicate_atom_become_the_worst_coded_signals() -> None:
    rng = np.random.default_rng(6)
    X, D = rng.standard_normal((10, 5)), np.eye(5)
    D[3] = D[1]  # a duplicate, its sign turned
    D[3] *= -1
    R = 0.01 * rng.standard_normal((10, 5))
    R[[2, 7]] *= 1000
    R[2] *= 2
    taken = np.zeros(10, dtype=bool)
    uses = np.array([3, 3, 3, 3, 0])
    energies = np.sum(R * R, axis=1)
    new, taken, n_replaced, coherence = repaired(X, D, energies, uses, taken, False)
    assert n_replaced == 2
    assert coherence == 1
    np.testing.assert_array_equal(new[:3], D[:3])
    np.testing.assert_allclose(new[3:], X[[2, 7]] / np.linalg.norm(X[[2, 7]], axis=1)[:, None])
    np.testing.assert_array_equal(np.flatnonzero(taken), [2, 7])
    np.testing.assert_array_equal(D[4], np.eye(5)[4])  # the iterate handed out is left alone
    again = repaired(X, D, energies, uses, taken, False)[0]  # a signal becomes an atom once
    assert not np.allclose(np.abs(again[3]), np.abs(new[3]))


def test_dead_atoms_come_to_life() -> None:
    X = signals(7, n=300)
    init = np.tile(X[:1], (12, 1))  # twelve times the same atom
    result = ksvd(X, 12, n_nonzero_coefs=2, max_iter=30, init=init, random_state=0)
    assert result.history["n_replaced"].sum() >= 11
    assert np.unique(result.codes.indices).size == 12
    assert result.history["relative_error"][-1] < 0.5


def test_where_it_starts() -> None:
    X = signals(8)
    for init in (None, "data", "dct", overcomplete_dct(12, 8), 5.0 * overcomplete_dct(12, 8)):
        result = ksvd(X, 12, n_nonzero_coefs=2, max_iter=2, init=init, random_state=0)
        assert result.dictionary.shape == (12, 8)
    given, named = (
        ksvd(X, 12, n_nonzero_coefs=2, max_iter=2, init=init, random_state=0)
        for init in (overcomplete_dct(12, 8), "dct")
    )
    np.testing.assert_allclose(given.dictionary, named.dictionary, atol=1e-12)


@pytest.mark.parametrize("exponent", [-500, -60, 60, 500])
def test_a_power_of_two_changes_no_bit(exponent) -> None:
    X = signals(9)
    plain = ksvd(X, 12, n_nonzero_coefs=2, max_iter=3, random_state=0)
    scaled = ksvd(np.ldexp(X, exponent), 12, n_nonzero_coefs=2, max_iter=3, random_state=0)
    assert scaled.dictionary.tobytes() == plain.dictionary.tobytes()
    np.testing.assert_array_equal(scaled.codes.data, np.ldexp(plain.codes.data, exponent))


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize(
    "X",
    [
        np.zeros((5, 4)),
        np.ones((1, 4)),
        np.ones((6, 1)),
        np.ones((7, 3)),
        np.vstack([np.zeros((3, 4)), np.eye(4)]),
    ],
    ids=["zero", "one sample", "one feature", "constant", "few signals"],
)
def test_degenerate_data(X, kind) -> None:
    result = ksvd(X.astype(kind), 6, n_nonzero_coefs=2, max_iter=4, random_state=0)
    assert result.dictionary.dtype == result.codes.dtype == kind
    np.testing.assert_allclose(np.linalg.norm(result.dictionary, axis=1), 1, rtol=1e-5)
    assert np.all(np.isfinite(result.codes.data))
    np.testing.assert_allclose(result.codes @ result.dictionary, X, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_nonzero_coefs": 13}, ValueError, "n_nonzero_coefs has to be between 1 and 12, got 13"),
        ({"update": "fast"}, ValueError, "update has to be one of"),
        ({"init": "random"}, ValueError, "init has to be one of 'data', 'dct', 'svd'"),
        ({"n_nonzero_coefs": None}, ValueError, "give n_nonzero_coefs, residual_tol"),
        ({"alpha": 0.1}, ValueError, "n_nonzero_coefs is not used by codes by alpha"),
        ({"residual_tol": -1.0}, ValueError, "residual_tol has to be"),
        ({"missing_values": 0}, ValueError, "missing_values has to be np.nan or None"),
        ({"init": np.ones((3, 8))}, ValueError, r"init has shape \(3, 8\); it has to be \(12, 8\)"),
        ({"init": np.eye(12, 8)}, ValueError, "init has a zero atom"),
        ({"max_iter": 0}, ValueError, "max_iter"),
        ({"tol": -1.0}, ValueError, "tol"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"X": np.full((3, 8), np.nan)}, ValueError, "X contains NaN"),
        ({"X": np.ones(8)}, ValueError, "X has to be 2-D"),
    ],
)
def test_bad_input_is_one_clear_error(options, error, message) -> None:
    arguments = {"X": signals(), "n_nonzero_coefs": 2, **options}
    with pytest.raises(error, match=message):
        ksvd(arguments.pop("X"), 12, **arguments)


def test_the_callback_stops() -> None:
    result = ksvd(signals(), 12, n_nonzero_coefs=2, callback=lambda row: row["n_iter"] == 2)
    assert (result.status, result.n_iter) == (Status.CALLBACK, 2)


LEARNERS = {
    "approximate": ksvd,
    "exact": functools.partial(ksvd, update="exact"),
    "mod": mod,
}
every_learner = pytest.mark.parametrize("learn", LEARNERS.values(), ids=LEARNERS)


@every_learner
@pytest.mark.parametrize("source", [0, "generator"])
@pytest.mark.parametrize("holes", [False, True])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(learn, source, holes) -> None:
    X = signals(10, noise=0.1)
    options = {"n_nonzero_coefs": 2, "init": np.tile(X[:1], (12, 1))}
    if holes:
        X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
        options["missing_values"] = np.nan

    def seed():
        return np.random.default_rng(3) if source else 3

    whole = learn(X, 12, max_iter=6, random_state=seed(), **options)
    part = learn(X, 12, max_iter=2, random_state=seed(), **options)
    rest = learn(X, 12, max_iter=4, **{**options, "init": part})
    assert rest.dictionary.tobytes() == whole.dictionary.tobytes()
    assert rest.codes.data.tobytes() == whole.codes.data.tobytes()
    np.testing.assert_array_equal(rest.history["objective"], whole.history["objective"][2:])


@every_learner
def test_a_result_of_other_data_is_no_place_to_go_on_from(learn) -> None:
    part = learn(signals(), 12, n_nonzero_coefs=2, max_iter=1)
    with pytest.raises(ValueError, match="init comes from 200 signals; X has 100"):
        learn(signals(n=100), 12, n_nonzero_coefs=2, init=part)
    with pytest.raises(ValueError, match="of shape"):
        learn(signals(), 13, n_nonzero_coefs=2, init=part)


@every_learner
@pytest.mark.parametrize("coding", [{"residual_tol": 0.5}, {"alpha": 0.1},
                                    {"residual_tol": 0.3, "n_nonzero_coefs": 3}])  # fmt: skip
def test_codes_by_an_error_target_or_an_l1_weight(learn, coding) -> None:
    X = signals(11, noise=0.05)
    result = learn(X, 12, max_iter=15, random_state=0, **coding)
    residuals = np.linalg.norm(X - result.codes @ result.dictionary, axis=1)
    penalty = coding.get("alpha", 0) * np.abs(result.codes.data).sum()
    assert result.objective == pytest.approx(0.5 * np.sum(residuals**2) + penalty)
    if "alpha" in coding:
        assert result.history["objective"][-1] < 0.9 * result.history["objective"][0]
    else:
        assert result.history["n_nonzero"][-1] < result.history["n_nonzero"][0]


@pytest.mark.slow
@every_learner
def test_a_dictionary_is_recovered_with_a_third_of_the_entries_missing(learn) -> None:
    """Of the size of the K-SVD authors' protocol, but for the number of signals."""
    data = make_sparse_coded_signals(
        3000, n_components=50, n_features=20, n_nonzero_coefs=3, random_state=1
    )
    X = np.where(np.random.default_rng(1).random(data.X.shape) < 0.3, np.nan, data.X)
    result = learn(X, 50, n_nonzero_coefs=3, max_iter=100, missing_values=np.nan, random_state=0)
    coherence = np.abs(data.dictionary @ result.dictionary.T)
    rows, columns = linear_sum_assignment(-coherence)
    assert np.mean(coherence[rows, columns] > 0.99) >= 0.9


# Not all signals are in reach of few atoms, and signals that became atoms may nearly be one.
@pytest.mark.filterwarnings("ignore:(omp did not reach|lasso did not converge)")
@every_learner
@pytest.mark.parametrize("coding", [{"n_nonzero_coefs": 2}, {"residual_tol": 1.0}, {"alpha": 0.1}])
@pytest.mark.parametrize("holes", [False, True])
def test_atoms_and_codes_without_negative_entries(learn, coding, holes) -> None:
    rng = np.random.default_rng(13)
    X = (rng.random((150, 6)) * (rng.random((150, 6)) < 0.3)) @ rng.random((6, 8))
    if holes:
        X[rng.random(X.shape) < 0.1] = np.nan
    X = X[~np.isnan(X).all(axis=1)]
    missing = {"missing_values": np.nan} if holes else {}
    result = learn(X, 6, max_iter=8, positive=True, random_state=0, **coding, **missing)
    assert result.dictionary.min() >= 0
    assert result.codes.data.min() >= 0
    assert result.history["relative_error"][-1] < 0.6


@every_learner
def test_the_first_atoms_may_be_singular_vectors(learn) -> None:
    X = signals(12)
    result = learn(X, 12, n_nonzero_coefs=2, max_iter=1, init="svd", random_state=0)
    Vt = np.linalg.svd(X)[2]
    given = np.vstack([Vt, np.random.RandomState(0).standard_normal((4, 8))])
    other = learn(X, 12, n_nonzero_coefs=2, max_iter=1, init=given, random_state=0)
    signs = np.abs(np.sum(result.dictionary[:8] * other.dictionary[:8], axis=1))
    assert np.median(signs) > 0.5  # the random ones may differ in how they are drawn


@pytest.mark.parametrize("seed", range(3))
def test_mod_is_the_least_squares_fit(seed) -> None:
    X = signals(seed, noise=0.1)
    D = ksvd(X, 12, n_nonzero_coefs=2, max_iter=2, random_state=0).dictionary
    codes = sparse_encode(X, D, n_nonzero_coefs=2).toarray()
    best = np.sum((X - codes @ np.linalg.pinv(codes) @ X) ** 2)
    result = mod(X, 12, n_nonzero_coefs=2, max_iter=1, init=D)
    assert 2 * result.objective == pytest.approx(best, rel=1e-8)
    np.testing.assert_allclose(np.linalg.norm(result.dictionary, axis=1), 1, rtol=1e-12)
