"""What other packages of dictionary learning get wrong, each a test of ours.

The defects were read in, and seen of, scikit-learn 1.9.1, SPAMS 2.6.14, PyPI ksvd 0.0.3, spm-image,
sparselandtools and KSVD.jl. What is wrong with their coders is tested where ours are.
"""

import functools
import tracemalloc
import warnings

import numpy as np
import pytest

from sparsecode import KSVD, MOD, OnlineDictionaryLearning
from sparsecode.datasets import make_sparse_coded_signals
from sparsecode.solvers import ksvd, mod, online_dictionary_learning

LEARNERS = {
    "approximate": ksvd,
    "exact": functools.partial(ksvd, update="exact"),
    "mod": mod,
    "online": functools.partial(online_dictionary_learning, batch_size=64),
}
every_learner = pytest.mark.parametrize("learn", LEARNERS.values(), ids=LEARNERS)
every_estimator = pytest.mark.parametrize("Learner", [KSVD, MOD, OnlineDictionaryLearning])


def signals(seed=0, n=300, m=8, K=12, k=2, **options):
    return make_sparse_coded_signals(
        n, n_components=K, n_features=m, n_nonzero_coefs=k, random_state=seed, **options
    )


def learned(learn, X, K=12, **options):
    if not {"alpha", "n_nonzero_coefs", "residual_tol"} & set(options):
        options["n_nonzero_coefs"] = 2
    return learn(X, K, **{"max_iter": 3, "random_state": 0} | options)


@every_learner
def test_the_first_atoms_that_are_given_are_those_it_starts_from(learn) -> None:
    """scikit-learn ignores `dict_init` without `code_init`."""
    data = signals(m=16)
    result = learned(learn, data.X, init=data.dictionary, max_iter=1)
    np.testing.assert_allclose(result.dictionary, data.dictionary, atol=0.05)
    assert result.history["relative_error"][-1] < 0.1


@every_learner
@pytest.mark.parametrize("coding", [{"n_nonzero_coefs": 2}, {"alpha": 0.1}], ids=str)
def test_the_sign_of_a_signal_is_no_matter(learn, coding) -> None:
    """PyPI ksvd updates an atom from its positive coefficients alone."""
    X, init = signals(noise=0.1).X, np.random.default_rng(0).standard_normal((12, 8))
    turned = np.where(np.arange(len(X)) % 3 == 0, -1.0, 1.0)[:, None]
    plain, other = (learned(learn, Y, init=init, **coding) for Y in (X, turned * X))
    np.testing.assert_allclose(other.dictionary, plain.dictionary, atol=1e-9)
    np.testing.assert_allclose((other.codes * turned).toarray(), plain.codes.toarray(), atol=1e-9)


def test_an_atom_of_everybody_takes_no_square_of_the_signals() -> None:
    """spm-image and sparselandtools decompose the users' errors in full: 30,000 x 30,000 here."""
    X = np.random.default_rng(0).standard_normal((30_000, 4)) + 5
    learned(ksvd, X[:100], 1, n_nonzero_coefs=1, update="exact")  # compiles
    tracemalloc.start()
    try:
        result = learned(ksvd, X, 1, n_nonzero_coefs=1, update="exact", max_iter=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * X.nbytes
    leading = np.linalg.svd(X, full_matrices=False)[2][0]
    assert abs(result.dictionary[0] @ leading) > 1 - 1e-9


@every_learner
@pytest.mark.parametrize("holes", [False, True])
def test_the_data_are_left_as_they_were(learn, holes) -> None:
    """spm-image fills masked entries in place; scikit-learn failed on memory it may not write."""
    X = signals(noise=0.1).X
    if holes:
        X[np.random.default_rng(0).random(X.shape) < 0.05] = np.nan
    before = X.copy()
    X.flags.writeable = False
    learned(learn, X, missing_values=np.nan if holes else None)
    np.testing.assert_array_equal(X, before)


@every_learner
def test_many_atoms_the_same_come_apart(learn) -> None:
    """PyPI ksvd, spm-image and sparselandtools leave an atom that nobody uses as it is."""
    X = signals().X
    result = learned(learn, X, init=np.tile(X[:1], (12, 1)), max_iter=15)
    assert np.unique(result.codes.indices).size == 12
    assert result.history["n_replaced"].sum() >= 11
    assert result.history["coherence"][-1] < 0.99


@every_learner
def test_nothing_is_printed(learn, capfd) -> None:
    """SPAMS writes a line an iteration, from C++, by default."""
    learned(learn, signals().X)
    assert capfd.readouterr() == ("", "")


@every_learner
@pytest.mark.parametrize("coding", [{"n_nonzero_coefs": 2}, {"alpha": 0.1}], ids=str)
def test_zero_signals_and_plain_data_raise_no_warning(learn, coding) -> None:
    """scikit-learn warns of each zero signal, and of each lasso short of a gap that it hides."""
    X = signals(noise=0.1).X
    X[::7] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = learned(learn, X, **coding)
    assert np.diff(result.codes.indptr)[::7].max() == 0


@every_learner
def test_more_atoms_a_signal_than_it_has_entries(learn) -> None:
    """scikit-learn refuses that; there the residual is zero before the count is reached."""
    X = signals(m=4).X
    result = learned(learn, X, n_nonzero_coefs=8, max_iter=2)
    assert result.history["relative_error"][-1] < 1e-12  # in the atoms that the codes were found in
    assert np.diff(result.codes.indptr).max() == 4


@every_estimator
@pytest.mark.parametrize("sparse_output", [False, True])
@pytest.mark.parametrize("coding", [{"n_nonzero_coefs": 2}, {"alpha": 0.1}], ids=str)
def test_single_precision_stays_on_two_threads(Learner, sparse_output, coding) -> None:
    """scikit-learn's codes of more than one job are double."""
    X = signals(n=1200).X.astype("f")
    learner = Learner(
        12, max_iter=2, n_threads=2, sparse_output=sparse_output, random_state=0, **coding
    )
    codes = learner.fit_transform(X)
    assert codes.dtype == learner.components_.dtype == np.float32


@every_estimator
def test_a_second_fit_begins_anew(Learner) -> None:
    """spm-image goes on from the atoms of the first one, asked or not."""
    X = signals(noise=0.1).X
    learner = Learner(12, n_nonzero_coefs=2, max_iter=2, random_state=0)
    first = learner.fit(X).components_.tobytes()
    learner.fit(signals(1).X)
    assert learner.fit(X).components_.tobytes() == first


@every_estimator
def test_an_error_target_holds_for_every_signal(Learner) -> None:
    """scikit-learn's learners know none, and sparselandtools' denoiser compares other units."""
    X = signals(noise=0.02).X
    learner = Learner(12, residual_tol=0.3, max_iter=5, random_state=0).fit(X)
    rest = np.linalg.norm(X - learner.inverse_transform(learner.transform(X)), axis=1)
    assert rest.max() <= 0.3 * (1 + 1e-9)
    assert rest.max() > 0.3**2  # a target that was squared would stop there


@every_learner
@pytest.mark.parametrize("init", ["data", "svd", "dct"])
def test_neither_threads_nor_their_number_change_a_bit(learn, init) -> None:
    """SPAMS has batches of 256 a thread, so that its answer changes with the machine."""
    X = signals(n=700, noise=0.1).X
    options = {} if learn is not LEARNERS["online"] else {"batch_size": None}
    one, two = (learned(learn, X, init=init, n_threads=n, **options) for n in (1, 2))
    assert one.dictionary.tobytes() == two.dictionary.tobytes()
    assert one.codes.data.tobytes() == two.codes.data.tobytes()


@every_learner
def test_every_seed_is_heeded(learn) -> None:
    """SPAMS cannot be seeded, and spm-image does not use its seed."""
    X = signals(noise=0.1).X
    one, same, other = (learned(learn, X, random_state=seed).dictionary for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()
