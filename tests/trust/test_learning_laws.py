"""The laws of dictionary learning, over all learners and all kinds of codes, on drawn data."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparsecode.solvers import (
    convolutional_dictionary_learning,
    convolutional_synthesis,
    ksvd,
    label_consistent_ksvd,
    mod,
    online_dictionary_learning,
    sparse_encode,
)

few = settings(max_examples=6, deadline=None, derandomize=True, database=None)
# Of data that nothing was told about, some cannot be coded as closely as was asked for.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
M, K = 5, 6  # features and atoms


def labelled(X, n_components, **options):
    """Each second signal of a class of its own."""
    return label_consistent_ksvd(X, np.arange(len(X)) % 2, n_components, **options)


BATCH = {"ksvd": ksvd, "ksvd, exact": functools.partial(ksvd, update="exact"), "mod": mod}
LEARNERS = BATCH | {"online": online_dictionary_learning}
CODINGS = {
    "count": {"n_nonzero_coefs": 2},
    "error": {"residual_tol": 0.5},
    "both": {"n_nonzero_coefs": 2, "residual_tol": 0.5},
    "lasso": {"alpha": 0.2},
}
ALL = {
    f"{name}, {coding}": functools.partial(learn, **options)
    for name, learn in LEARNERS.items()
    for coding, options in CODINGS.items()
} | {"label consistent, count": functools.partial(labelled, n_nonzero_coefs=2)}
every = pytest.mark.parametrize("name", ALL)
from_a_start = pytest.mark.parametrize("name", [name for name in ALL if "label" not in name])
batch = pytest.mark.parametrize("name", [n for n in ALL if n.split(", ")[0] in ("ksvd", "mod")])
numbers = st.floats(-100, 100, width=32)
# Zeros and equals of all kinds: rows, columns, all.
data = st.integers(3, 12).flatmap(lambda n: arrays(np.float64, (n, M), elements=numbers))
seeds = st.integers(0, 2**32 - 1)


def generic(seed, n=24):
    """Signals of few atoms and the atoms to start from; no two scores of them are equal."""
    rng = np.random.default_rng(seed)
    D, C = rng.standard_normal((K, M)), rng.standard_normal((n, K))
    X = (C * (rng.random((n, K)) < 0.4)) @ D + 0.05 * rng.standard_normal((n, M))
    start = D + 0.3 * rng.standard_normal((K, M))
    return X, start / np.linalg.norm(start, axis=1, keepdims=True)


def energy(X, D, codes):
    return float(np.sum((X - codes @ D) ** 2))


def same(result, dictionary, codes):
    np.testing.assert_allclose(result.dictionary, dictionary, atol=1e-6)
    np.testing.assert_allclose(result.codes.toarray(), codes, atol=1e-5)


@few
@every
@given(X=data, seed=seeds)
def test_atoms_are_of_unit_norm_and_codes_as_sparse_as_was_asked(name, X, seed) -> None:
    result = ALL[name](X, K, max_iter=3, random_state=seed)
    D, codes = result.dictionary, result.codes.toarray()
    norms = np.linalg.norm(D, axis=1)
    if name.startswith("label"):  # an atom of labels alone is none for signals
        norms = norms[norms > 0]
    np.testing.assert_allclose(norms, 1, rtol=1e-12)
    assert np.all(np.isfinite(codes))
    assert np.all(np.count_nonzero(codes, axis=1) <= ALL[name].keywords.get("n_nonzero_coefs", K))
    assert energy(X, D, codes) <= np.sum(X * X) * (1 + 1e-9)


@few
@batch  # the others tell one of the atoms as they were, or of the labels too
@given(X=data, seed=seeds)
def test_the_objective_that_is_told_is_that_of_the_answer(name, X, seed) -> None:
    result = ALL[name](X, K, max_iter=2, random_state=seed)
    l1 = ALL[name].keywords.get("alpha", 0.0) * np.abs(result.codes.data).sum()
    expected = 0.5 * energy(X, result.dictionary, result.codes) + l1
    assert result.objective == pytest.approx(expected, rel=1e-7, abs=1e-9 * np.sum(X * X))


@few
@every
@given(X=data, seed=seeds, exponent=st.sampled_from([-300, -7, 9, 300]))
def test_a_power_of_two_changes_no_bit(name, X, seed, exponent) -> None:
    def learned(by):
        grown = {"alpha", "residual_tol"} & set(ALL[name].keywords)
        options = {option: np.ldexp(ALL[name].keywords[option], by) for option in grown}
        return ALL[name](np.ldexp(X, by), K, max_iter=3, random_state=seed, **options)

    plain, other = learned(0), learned(exponent)
    np.testing.assert_array_equal(other.dictionary, plain.dictionary)
    np.testing.assert_array_equal(other.codes.toarray(), np.ldexp(plain.codes.toarray(), exponent))


@few
@from_a_start
@given(seed=seeds)
def test_the_negative_of_the_data_has_the_negative_codes(name, seed) -> None:
    X, start = generic(seed)
    plain, other = (ALL[name](Y, K, max_iter=3, random_state=0, init=start) for Y in (X, -X))
    signs = np.sign(np.sum(other.dictionary * plain.dictionary, axis=1))  # one may be a signal
    same(other, signs[:, None] * plain.dictionary, -signs * plain.codes.toarray())


@few
@from_a_start
@given(seed=seeds)
def test_turned_features_turn_the_atoms(name, seed) -> None:
    X, start = generic(seed)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((M, M)))[0]
    plain, other = (
        ALL[name](Y, K, max_iter=2, random_state=0, init=D)
        for Y, D in ((X, start), (X @ Q, start @ Q))
    )
    same(other, plain.dictionary @ Q, plain.codes.toarray())


@few
@from_a_start
@given(seed=seeds, place=st.integers(0, M))
def test_a_feature_that_is_always_zero_changes_nothing(name, seed, place) -> None:
    X, start = generic(seed)
    plain = ALL[name](X, K, max_iter=2, random_state=0, init=start)
    wider = [np.insert(part, place, 0.0, axis=1) for part in (X, start)]
    other = ALL[name](wider[0], K, max_iter=2, random_state=0, init=wider[1])
    same(other, np.insert(plain.dictionary, place, 0.0, axis=1), plain.codes.toarray())
    assert not other.dictionary[:, place].any()


@few
@batch
@given(seed=seeds)
def test_the_order_of_the_signals_is_that_of_the_codes(name, seed) -> None:
    X, start = generic(seed)
    turn = np.random.default_rng(seed).permutation(len(X))
    plain, other = (ALL[name](Y, K, max_iter=2, random_state=0, init=start) for Y in (X, X[turn]))
    same(other, plain.dictionary, plain.codes.toarray()[turn])


@few
@pytest.mark.parametrize("coding", CODINGS)
@given(seed=seeds)
def test_the_order_of_the_atoms_is_that_of_the_first(coding, seed) -> None:
    X, start = generic(seed)
    turn = np.random.default_rng(seed).permutation(K)
    plain, other = (mod(X, K, max_iter=2, init=D, **CODINGS[coding]) for D in (start, start[turn]))
    same(other, plain.dictionary[turn], plain.codes.toarray()[:, turn])


@few
@batch
@given(seed=seeds)
def test_signals_that_come_twice_count_twice(name, seed) -> None:
    X, start = generic(seed)
    plain, other = (
        ALL[name](Y, K, max_iter=1, random_state=0, init=start) for Y in (X, np.vstack([X, X]))
    )
    same(other, plain.dictionary, np.vstack([plain.codes.toarray()] * 2))
    assert other.objective == pytest.approx(2 * plain.objective, rel=1e-9)


@few
@batch
@given(X=data, seed=seeds)
def test_an_update_is_no_worse_than_the_codes_it_began_with(name, X, seed) -> None:
    if "mod, lasso" in name:
        return  # its fit is of the squares alone
    start, options = generic(seed)[1], dict(ALL[name].keywords)
    result = ALL[name](X, K, max_iter=1, random_state=0, init=start)
    alpha = options.get("alpha", 0.0)
    algorithm = "lasso" if alpha else "omp"
    tol = {"tol": 1e-6} if alpha else {}
    options.pop("update", None)
    before = sparse_encode(X, start, algorithm=algorithm, **options, **tol)
    worse = 0.5 * energy(X, start, before) + alpha * np.abs(before.data).sum()
    assert result.objective <= worse * (1 + 1e-9) + 1e-9 * np.sum(X * X)


@few
@pytest.mark.parametrize("update", ["approximate", "exact"])
@given(X=data, seed=seeds)
def test_ksvd_with_an_l1_weight_never_climbs(update, X, seed) -> None:
    result = ksvd(X, K, alpha=0.2, update=update, max_iter=6, init=generic(seed)[1])
    history = result.history["objective"]
    kept = result.history["n_replaced"][1:] == 0  # atoms that are new begin anew
    slack = 1e-5 * 0.5 * np.sum(X * X)  # the duality gap that codes are asked for
    assert np.all(np.diff(history)[kept] <= slack)


@few
@every
@given(seed=seeds)
def test_single_precision_stays_single_and_close(name, seed) -> None:
    X = generic(seed)[0].astype("f")
    result = ALL[name](X, K, max_iter=2, random_state=0)
    D, codes = result.dictionary, result.codes
    assert D.dtype == codes.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(D.astype("d"), axis=1), 1, rtol=1e-5)
    if name.startswith(("ksvd", "mod")):
        l1 = ALL[name].keywords.get("alpha", 0.0) * np.abs(codes.data).sum(dtype="d")
        expected = 0.5 * energy(X.astype("d"), D.astype("d"), codes.astype("d")) + l1
        assert result.objective == pytest.approx(
            expected, rel=1e-4, abs=1e-5 * float(np.sum(X * X))
        )


images = arrays(np.float64, (2, 8), elements=numbers)


@few
@given(X=images, seed=seeds, exponent=st.sampled_from([-300, -7, 9, 300]))
def test_convolutional_atoms_at_any_scale(X, seed, exponent) -> None:
    plain, other = (
        convolutional_dictionary_learning(
            np.ldexp(X, by), 2, 3, alpha=np.ldexp(1.0, by), max_iter=20, random_state=seed
        )
        for by in (0, exponent)
    )
    np.testing.assert_array_equal(other.dictionary, plain.dictionary)
    np.testing.assert_array_equal(other.codes, np.ldexp(plain.codes, exponent))


@few
@given(X=images, seed=seeds, share=st.floats(0, 1))
def test_convolutional_codes_are_as_good_as_their_gap_says(X, seed, share) -> None:
    result = convolutional_dictionary_learning(X, 2, 3, alpha=1.0, max_iter=20, random_state=seed)

    def objective(codes):
        R = X - convolutional_synthesis(codes, result.dictionary)
        return 0.5 * float(np.sum(R * R)) + float(np.abs(codes).sum())

    size = 1e-9 * float(np.sum(X * X))
    assert np.all(np.linalg.norm(result.dictionary, axis=1) <= 1 + 1e-12)
    assert result.objective == pytest.approx(objective(result.codes), rel=1e-9, abs=size)
    assert objective(share * result.codes) >= result.objective - result.dual_gap - size
