"""Online dictionary learning: its laws, the same bits every way, and a dictionary known before."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsecode.datasets import load_image_patches, make_sparse_coded_signals
from sparsecode.solvers import Status, ksvd, online_dictionary_learning, sparse_encode

CODINGS = [{"alpha": 0.1}, {"n_nonzero_coefs": 2}, {"residual_tol": 0.3}]


def signals(seed=0, n=600, m=8, K=12, k=2, **options):
    return make_sparse_coded_signals(
        n, n_components=K, n_features=m, n_nonzero_coefs=k, random_state=seed, **options
    )


def learned(X, K=12, **options):
    if not {"alpha", "n_nonzero_coefs", "residual_tol"} & set(options):
        options["alpha"] = 0.1
    return online_dictionary_learning(X, K, **{"batch_size": 64, "random_state": 0} | options)


def same_bits(one, two):
    assert one.dictionary.tobytes() == two.dictionary.tobytes()
    assert one.codes.toarray().tobytes() == two.codes.toarray().tobytes()


def lasso_objective(X, D, alpha=0.1):
    C = sparse_encode(X, D, algorithm="lasso", alpha=alpha)
    return 0.5 * np.sum((X - C @ D) ** 2) + alpha * np.abs(C.data).sum()


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_the_sums_are_those_of_the_codes_after_two_passes(coding):
    X = signals(noise=0.1).X
    result = learned(X, max_iter=3, **coding)
    C, state = result.codes.toarray(), result.state
    C = C * (state.memory.born < state.memory.n_passes * 10 - 10)  # all older than a pass
    np.testing.assert_allclose(state.A, C.T @ C, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(state.B, C.T @ X, rtol=1e-9, atol=1e-9)


def test_in_the_first_pass_old_rows_fade():
    X = signals(n=192).X
    result = learned(X, max_iter=1)
    C = result.codes.toarray()
    weights = np.repeat([(64 / 192) ** 4, (128 / 192) ** 4, 1], 64)[:, None]
    np.testing.assert_allclose(result.state.A, C.T @ (weights * C), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["f", "d"])
@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("positive", [False, True])
def test_a_dictionary_is_learned_for_every_kind_of_code(kind, coding, positive):
    X = signals(noise=0.05).X.astype(kind)
    X = np.abs(X) if positive else X
    if positive and "residual_tol" in coding:
        pytest.skip("positive codes do not reach every residual")
    result = learned(X, max_iter=8, positive=positive, **coding)
    assert result.dictionary.dtype == result.codes.dtype == X.dtype
    np.testing.assert_allclose(np.linalg.norm(result.dictionary, axis=1), 1, rtol=1e-5)
    history = result.history
    if "residual_tol" in coding:
        assert history["n_nonzero"][-1] < 0.9 * history["n_nonzero"][0]
    else:
        assert history["objective"][-1] < 0.9 * history["objective"][0]
    if positive:
        assert result.dictionary.min() >= 0
        assert result.codes.data.min() >= 0
    if "n_nonzero_coefs" in coding:
        assert np.diff(result.codes.indptr).max() <= 2


def test_the_objective_falls_from_pass_to_pass():
    X = load_image_patches(2000, random_state=0)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-3)
    history = learned(X, 100, max_iter=8, batch_size=128).history
    assert np.all(np.diff(history["objective"]) < 0)
    change = -np.diff(history["objective"]) / history["objective"][:-1]
    np.testing.assert_allclose(history["certificate"][1:], change, rtol=1e-8)


def test_it_learns_what_batch_learning_does():
    data = signals(n=1500, noise=0.05)
    train, test = data.X[:1000], data.X[1000:]
    online = learned(train, max_iter=20)
    batch = ksvd(train, 12, alpha=0.1, max_iter=40, random_state=0)
    ours, theirs = (lasso_objective(test, r.dictionary) for r in (online, batch))
    assert ours <= 1.02 * theirs


def test_the_number_of_threads_changes_no_bit():
    X = signals().X.astype("f")
    same_bits(*(learned(X, batch_size=200, max_iter=3, n_threads=n) for n in (1, 2)))


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("coding", CODINGS[:2], ids=str)
def test_a_resumed_run_is_the_uninterrupted_one(holes, coding):
    X = signals().X[:200]
    if holes:
        X[np.random.default_rng(0).random(X.shape) < 0.02] = np.nan
    options = coding | {"missing_values": np.nan if holes else None}
    whole = learned(X, max_iter=5, **options)
    half = learned(X, max_iter=2, **options)
    same_bits(whole, learned(X, max_iter=3, init=half, **options))
    same_bits(half, learned(X, max_iter=2, **options))  # it is as it was


@pytest.mark.parametrize("coding", CODINGS[:2], ids=str)
def test_batch_after_batch_is_one_pass(coding):
    X = signals(n=300).X
    whole = learned(X, max_iter=1, **coding)
    result = learned(X[:64], max_iter=1, **coding)
    codes = [result.codes]
    for start in range(64, 300, 64):
        result = online_dictionary_learning(X[start : start + 64], state=result.state, max_iter=1)
        codes.append(result.codes)
    assert result.dictionary.tobytes() == whole.dictionary.tobytes()
    together = np.vstack([c.toarray() for c in codes])
    assert together.tobytes() == whole.codes.toarray().tobytes()


@pytest.mark.parametrize("scale", [2.0**-500, 2.0**500])
def test_the_scale_of_the_data_changes_no_atom(scale):
    X = signals(n=200).X
    plain = learned(X, max_iter=3)
    scaled = learned(X * scale, max_iter=3, alpha=0.1 * scale)
    assert plain.dictionary.tobytes() == scaled.dictionary.tobytes()
    np.testing.assert_array_equal(plain.codes.toarray() * scale, scaled.codes.toarray())


def test_a_file_is_read_in_batches(tmp_path):
    X = signals(n=300).X
    X.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", dtype=X.dtype, shape=X.shape, mode="r")
    same_bits(learned(X, max_iter=2), learned(mapped, max_iter=2))


@pytest.mark.slow
def test_a_dictionary_is_recovered_with_a_third_of_the_entries_missing():
    data = make_sparse_coded_signals(
        3000, n_components=50, n_features=20, n_nonzero_coefs=3, random_state=1
    )
    X = np.where(np.random.default_rng(1).random(data.X.shape) < 0.3, np.nan, data.X)
    result = online_dictionary_learning(
        X, 50, n_nonzero_coefs=3, max_iter=100, missing_values=np.nan, random_state=0
    )
    assert np.mean(np.abs(data.dictionary @ result.dictionary.T).max(axis=1) > 0.99) >= 0.9


def test_missing_entries_are_learned_around():
    data = signals(n=1500)
    X = data.X.copy()
    holes = np.random.default_rng(0).random(X.shape) < 0.15
    X[holes] = np.nan
    result = learned(X, n_nonzero_coefs=2, missing_values=np.nan, max_iter=25)
    filled = result.codes @ result.dictionary
    rest = np.linalg.norm((filled - data.X)[holes]) / np.linalg.norm(data.X[holes])
    assert rest < 0.6
    with pytest.raises(ValueError, match="missing_values"):
        learned(X)


def test_twins_and_unused_atoms_are_replaced():
    data = signals(n=640, k=3)
    D = data.dictionary.copy()
    D[3] = D[4]
    result = learned(data.X, n_nonzero_coefs=3, init=D, max_iter=4)
    assert result.history["n_replaced"][0] >= 1
    assert result.history["coherence"][-1] < 0.99
    rest = data.X - sparse_encode(data.X, D, n_nonzero_coefs=3) @ D
    broken = np.linalg.norm(rest) / np.linalg.norm(data.X)
    assert result.history["relative_error"][-1] < 0.9 * broken


@pytest.mark.parametrize("coding", CODINGS[:2], ids=str)
@pytest.mark.parametrize("holes", [False, True])
def test_an_atom_of_hardly_any_row_is_replaced(coding, holes):
    """Two odd rows hold an atom for themselves, and an atom that all others need is missing."""
    data = signals(n=640, m=16, K=12)
    X, D = np.hstack([data.X, np.zeros((640, 2))]), np.hstack([data.dictionary, np.zeros((12, 2))])
    X[[5, 9]] = [0] * 16 + [1, 2]
    D[3] = X[5]
    missing = {}
    if holes:
        X[np.random.default_rng(0).random(X.shape) < 0.02] = np.nan
        missing = {"missing_values": np.nan}
    result = learned(X, init=D, max_iter=12, **coding, **missing)
    assert result.history["n_replaced"][0] == 0
    assert 1 <= result.history["n_replaced"].sum() <= 3
    found = np.abs(result.dictionary[:, :16] @ data.dictionary.T).max(axis=0)
    assert found.min() > 0.98


def test_few_rows_zero_rows_and_one_column():
    assert learned(np.zeros((5, 3)), 4, max_iter=2).codes.nnz == 0
    for X in (np.ones((1, 3)), np.ones((7, 1)), np.eye(3)):
        result = learned(np.asfortranarray(X), 2, max_iter=3)
        assert np.all(np.isfinite(result.dictionary))
        assert result.codes.shape == (len(X), 2)


def test_the_end_is_announced():
    X = signals(n=100).X
    assert learned(X, max_iter=2).status is Status.COMPLETED
    assert learned(X, max_iter=300, tol=1e-3).status is Status.CONVERGED
    with pytest.warns(ConvergenceWarning, match="online_dictionary_learning did not converge"):
        learned(X, max_iter=2, tol=1e-12)
    assert learned(X, callback=lambda row: True).status is Status.CALLBACK


def test_a_wrong_argument_is_named():
    X = signals(n=100).X
    result = learned(X, max_iter=1)
    with pytest.raises(ValueError, match="give n_components"):
        online_dictionary_learning(X, alpha=0.1)
    with pytest.raises(ValueError, match="give n_nonzero_coefs"):
        online_dictionary_learning(X, 3)
    with pytest.raises(ValueError, match="alpha is not used by a state"):
        online_dictionary_learning(X, alpha=0.1, state=result.state)
    with pytest.raises(ValueError, match="X has 5 features but state has 8"):
        online_dictionary_learning(X[:, :5], state=result.state)
    with pytest.raises(ValueError, match="X is float32 but state comes from float64"):
        online_dictionary_learning(X.astype("f"), state=result.state)
    with pytest.raises(TypeError, match="state has to be that of a result"):
        online_dictionary_learning(X, state=result)
    with pytest.raises(ValueError, match="init is a result for other rows or arguments"):
        learned(X[:50], init=result)
    with pytest.raises(ValueError, match="init is a result of another learner"):
        learned(X, init=ksvd(X, 12, alpha=0.1, max_iter=1, random_state=0))
    with pytest.raises(ValueError, match="batch learner"):
        ksvd(X, 12, alpha=0.1, init=result)
    with pytest.raises(ValueError, match="batch_size has to be at least 1"):
        learned(X, batch_size=0)
