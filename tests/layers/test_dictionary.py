"""Dictionary: a layer made of few atoms is found again, and the metric of the inputs counts."""

import json

import numpy as np
import pytest

from sparsecode.layers import (
    SharedDictionary,
    factorize,
    factorize_shared,
    output_error,
    unpack,
)
from sparsecode.layers.factorizations._atoms import LEARNERS, Sizes, by_lasso, by_rotation


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def combinations(m, n, n_atoms, n_nonzero, rng):
    """Outputs that each combine a few of some atoms."""
    codes = np.zeros((m, n_atoms))
    for row in codes:
        chosen = rng.choice(n_atoms, n_nonzero, replace=False)
        row[chosen] = rng.uniform(1, 2, n_nonzero) * rng.choice([-1, 1], n_nonzero)
    return codes @ rng.standard_normal((n_atoms, n))


def correlated(n, rng):
    X = rng.standard_normal((6 * n, n)) @ (np.eye(n) + 0.3 * rng.standard_normal((n, n)))
    X *= np.logspace(0.5, -0.5, n)
    return X.T @ X / len(X)


def test_a_layer_of_sparse_combinations_is_recovered(rng):
    W = combinations(300, 24, 8, 2, rng)
    f = factorize(W, "dictionary", budget=0.15, atoms_per_nonzero=4.0)
    assert f.dictionary.shape == (8, 24)
    assert f.codes.values.size <= 2 * 300
    low_rank = factorize(W, "low_rank", budget=0.15)
    error = output_error(W, f.to_dense())
    assert error < 0.02
    assert error < 0.1 * output_error(W, low_rank.to_dense())


def test_whitening_helps_on_correlated_inputs(rng):
    W, H = rng.standard_normal((60, 40)), correlated(40, rng)
    plain = factorize(W, "dictionary", budget=0.4)
    white = factorize(W, "dictionary", budget=0.4, gram=H)
    assert output_error(W, white.to_dense(), H) < 0.8 * output_error(W, plain.to_dense(), H)
    assert output_error(W, plain.to_dense()) < output_error(W, white.to_dense())


def test_the_error_in_the_metric_is_that_in_the_white_space(rng):
    """K-SVD of W H^(1/2), done here by hand with a symmetric root, gives an error as small."""
    from sparsecode.solvers import ksvd

    W, H = rng.standard_normal((60, 20)), correlated(20, rng)
    f = factorize(W, "dictionary", budget=0.5, gram=H, damping=0)
    values, vectors = np.linalg.eigh(H)
    white = W @ (vectors * np.sqrt(values)) @ vectors.T
    n_nonzero = int((f.codes.support.sum(axis=1)).max())
    learned = ksvd(
        white,
        len(f.dictionary),
        n_nonzero_coefs=n_nonzero,
        max_iter=30,
        update="exact",
        random_state=0,
    )
    rest = white - learned.codes @ learned.dictionary
    by_hand = np.sum(rest**2) / np.sum(white**2)
    np.testing.assert_allclose(output_error(W, f.to_dense(), H), by_hand, rtol=0.1)


def test_a_singular_metric_leaves_no_noise_in_the_atoms(rng):
    """Directions that no input shows are not blown up: the atoms stay the size of the weights."""
    X = rng.standard_normal((10, 40))
    W = rng.standard_normal((50, 40))
    f = factorize(W, "dictionary", budget=0.5, gram=X.T @ X, damping=0)
    assert np.abs(f.to_dense()).max() < 2 * np.abs(W).max()
    assert output_error(W, f.to_dense(), X.T @ X) < 0.01  # 7 of 14 atoms for rank 10


@pytest.mark.parametrize("atoms_per_nonzero", [1.0, 2.0, 4.0])
def test_sizes(rng, atoms_per_nonzero):
    W = rng.standard_normal((60, 40)).astype(np.float32)
    f = factorize(W, "dictionary", budget=0.4, atoms_per_nonzero=atoms_per_nonzero, n_rounds=2)
    per_output = f.codes.support.sum(axis=1).max()
    assert len(f.dictionary) == round(atoms_per_nonzero * per_output)
    assert f.bits().codebook == 32 * f.dictionary.size
    arrays, meta = f.pack()
    assert meta["shape"] == [60, len(f.dictionary)]
    assert unpack(arrays, meta) == f


def test_the_seed(rng):
    W = rng.standard_normal((40, 30))
    one, again, other = (
        factorize(W, "dictionary", budget=0.5, random_state=s, n_rounds=2) for s in (0, 0, 1)
    )
    assert one == again
    assert one != other


def decaying(shape, power, rng):
    """A spectrum that falls as a power, between random bases."""
    U, _, Vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    return (U * np.arange(1, min(shape) + 1) ** -power) @ Vt


@pytest.mark.parametrize("learning", LEARNERS)
def test_every_way_to_learn_beats_low_rank_on_sparse_combinations(rng, learning):
    W = combinations(300, 24, 8, 2, rng)
    f = factorize(W, "dictionary", budget=0.15, learning=learning, n_rounds=10)
    low_rank = factorize(W, "low_rank", budget=0.15)
    assert f.bits().total <= 0.15 * 64 * W.size
    better = 0.9 if learning == "orthogonal" else 0.3  # the atoms here are not orthogonal
    assert output_error(W, f.to_dense()) < better * output_error(W, low_rank.to_dense())


@pytest.mark.parametrize("learning", LEARNERS)
def test_every_way_to_learn_sees_the_metric(rng, learning):
    W, H = rng.standard_normal((40, 30)), correlated(30, rng)
    options = {"budget": 0.5, "learning": learning, "n_rounds": 6}
    blind, seeing = factorize(W, "dictionary", **options), None
    seeing = factorize(W, "dictionary", gram=H, **options)
    assert output_error(W, seeing.to_dense(), H) < output_error(W, blind.to_dense(), H)


@pytest.mark.parametrize("init", [None, "random"])
def test_no_round_of_the_orthogonal_dictionary_is_worse(rng, init):
    X, sizes = rng.standard_normal((50, 20)), Sizes(16, 5)
    start = None if init is None else np.linalg.qr(rng.standard_normal((20, 16)))[0].T
    rounds = [by_rotation(X, sizes, k, 0, start) for k in range(1, 12)]
    errors = [each.error for each in rounds]
    assert np.all(np.diff(errors) <= 1e-12 * errors[0])
    assert errors[-1] < 0.98 * errors[0]
    for each in rounds:
        np.testing.assert_allclose(each.atoms @ each.atoms.T, np.eye(16), atol=1e-12)
        assert np.count_nonzero(each.codes) == 5 * 50
        np.testing.assert_allclose(np.sum((X - each.codes @ each.atoms) ** 2), each.error)


def test_codes_of_the_orthogonal_dictionary_are_the_best_there_are(rng):
    """Brute force over all supports of one signal."""
    import itertools

    X = rng.standard_normal((1, 7))
    found = by_rotation(X, Sizes(6, 3), 1, 0, np.linalg.qr(rng.standard_normal((7, 6)))[0].T)
    best = min(
        np.linalg.lstsq(found.atoms[list(s)].T, X[0], rcond=None)[1].sum()
        for s in itertools.combinations(range(len(found.atoms)), min(3, len(found.atoms)))
    )
    assert found.error <= best + 1e-12


def test_lasso_codes_have_the_number_that_is_asked_for_and_are_least_squares(rng):
    X = rng.standard_normal((60, 20))
    found = by_lasso(X, Sizes(30, 5), 4, 0, None)
    count = np.count_nonzero(found.codes)
    assert 0.95 * 300 <= count <= 300
    assert len(set(np.count_nonzero(found.codes, axis=1))) > 1  # as many as each is worth
    gradient = found.codes.T @ (X - found.codes @ found.atoms)
    assert np.abs(gradient).max() < 1e-8  # of the atoms, which come last
    worse = by_lasso(X, Sizes(30, 5), 1, 0, None)
    assert found.error < worse.error


def test_the_automatic_ratio_is_no_worse_than_a_fixed_one(rng):
    """Few atoms and many codes on a decaying spectrum, more atoms where signals differ."""
    for W in (decaying((64, 96), 0.7, rng), combinations(300, 24, 24, 2, rng)):
        chosen = output_error(W, factorize(W, "dictionary", budget=0.35).to_dense())
        fixed = [
            output_error(W, factorize(W, "dictionary", budget=0.35, atoms_per_nonzero=r).to_dense())
            for r in (1.25, 2.0, 4.0)
        ]
        assert chosen <= 1.05 * min(fixed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning": "online"}, "learning has to be one of"),
        ({"learning": "orthogonal", "random_state": 0}, "random_state is not used"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        factorize(np.eye(8), "dictionary", budget=1.0, **options)


def relative_error(W, method, keep, **options):
    f = factorize(W.astype(np.float16), method, budget=keep, **options)
    return np.sqrt(output_error(W, f.to_dense()))


@pytest.mark.parametrize("seed", range(2))
def test_which_family_wins_at_equal_bits(seed):
    """16-bit values and all positions paid for: pruning wins on layers without structure,
    dictionaries at high compression of decaying spectra."""
    rng = np.random.default_rng(seed)
    for shape, learning in [((768, 64), "orthogonal"), ((128, 128), "ksvd")]:
        gaussian = rng.standard_normal(shape)
        prune, svd = (relative_error(gaussian, method, 0.8) for method in ("sparse", "low_rank"))
        assert prune < 0.8 * relative_error(gaussian, "dictionary", 0.8, learning=learning)
        assert prune < 0.5 * svd
    for learning in ("orthogonal", "ksvd"):
        spectrum = decaying((768, 64), 0.6, rng)
        prune, svd = (relative_error(spectrum, method, 0.4) for method in ("sparse", "low_rank"))
        atoms = relative_error(spectrum, "dictionary", 0.4, learning=learning)
        assert atoms < 0.8 * svd < 0.8 * prune


def layers_with_something_in_common(rng):
    atoms = rng.standard_normal((6, 24))
    layers = []
    for m in (100, 60, 140):
        codes = np.where(rng.random((m, 6)) < 0.4, rng.standard_normal((m, 6)), 0)
        layers.append((codes @ atoms).astype(np.float32))
    return layers


def test_a_shared_dictionary_is_counted_once(rng):
    Ws = layers_with_something_in_common(rng)
    shared = factorize_shared(Ws, budget=0.25)
    total = sum(8 * W.nbytes for W in Ws)
    assert [f.shape for f in shared.forms] == [W.shape for W in Ws]
    assert shared.bits().total <= 0.25 * total
    assert shared.bits().codebook == 32 * shared.forms[0].dictionary.size
    assert all(f.dictionary is shared.forms[0].dictionary for f in shared.forms)
    arrays, meta = shared.pack()
    assert 8 * sum(array.nbytes for array in arrays.values()) == shared.bits().total
    again = SharedDictionary.unpack(arrays, json.loads(json.dumps(meta)))
    assert again == shared
    assert again.forms[0].dictionary is again.forms[2].dictionary


def test_sharing_pays_where_layers_have_atoms_in_common(rng):
    Ws, H = layers_with_something_in_common(rng), correlated(24, rng)
    shared = factorize_shared(Ws, budget=0.25, gram=H)
    for W, form in zip(Ws, shared.forms, strict=True):
        alone = factorize(W, "dictionary", budget=0.25, gram=H)
        assert output_error(W, form.to_dense(), H) < output_error(W, alone.to_dense(), H)


@pytest.mark.parametrize("value_bits", [3, 4, 8, 16, "bfloat16"])
@pytest.mark.parametrize("correlated_inputs", [False, True])
def test_a_shared_dictionary_in_few_bits(value_bits, correlated_inputs, rng):
    Ws = layers_with_something_in_common(rng)
    H = correlated(24, rng) if correlated_inputs else None
    shared = factorize_shared(Ws, budget=0.12, gram=H, value_bits=value_bits)
    assert shared.bits().total <= 0.12 * sum(8 * W.nbytes for W in Ws)
    arrays, meta = shared.pack()
    assert 8 * sum(array.nbytes for array in arrays.values()) == shared.bits().total
    again = SharedDictionary.unpack(arrays, json.loads(json.dumps(meta)))
    assert again == shared
    assert all(f.dictionary is again.forms[0].dictionary for f in again.forms)
    name = "dictionary.codes" if isinstance(value_bits, int) and value_bits <= 8 else "dictionary"
    for broken in (
        {key: array for key, array in arrays.items() if key != name},
        arrays | {name: arrays[name][:-1]},
    ):
        with pytest.raises(ValueError, match=r"packed|fit"):
            SharedDictionary.unpack(broken, meta)


def test_few_bits_pay_in_a_shared_dictionary_too(rng):
    Ws, H = layers_with_something_in_common(rng), correlated(24, rng)
    full, few = (
        factorize_shared(Ws, budget=0.12, gram=H, value_bits=bits).forms for bits in (None, 8)
    )
    for W, wide, narrow in zip(Ws, full, few, strict=True):
        assert output_error(W, narrow.to_dense(), H) < output_error(W, wide.to_dense(), H)


def test_damaged_shared_dictionaries_are_refused(rng):
    arrays, meta = factorize_shared(layers_with_something_in_common(rng), budget=0.3).pack()
    for broken, described in [
        ({k: a for k, a in arrays.items() if k != "dictionary"}, meta),
        ({k: a for k, a in arrays.items() if k != "1.values"}, meta),
        (arrays | {"3.values": arrays["0.values"]}, meta),
        (arrays | {"dictionary": arrays["dictionary"][:-1]}, meta),
        (arrays, {}),
        (arrays, {"layers": []}),
        (arrays, {"layers": [1, 2, 3]}),
        (arrays, {"layers": meta["layers"][:2]}),
    ]:
        with pytest.raises(ValueError, match=r"packed|fit|does not use"):
            SharedDictionary.unpack(broken, described)


@pytest.mark.parametrize(
    ("Ws", "message"),
    [
        ([], "Ws is empty"),
        ([np.ones(4)], "has to be 2-D"),
        ([np.ones((4, 4)), np.ones((4, 5))], "share their inputs and dtype"),
        ([np.ones((4, 4)), np.ones((4, 4), np.float32)], "share their inputs and dtype"),
    ],
)
def test_layers_that_cannot_share_are_refused(Ws, message):
    with pytest.raises(ValueError, match=message):
        factorize_shared(Ws, budget=0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("damping", [0.0, 0.01])
def test_a_wide_layer_needs_no_root_of_the_moment(rng, dtype, damping, monkeypatch):
    """Its own square has the same dictionary in it, of a singular moment too."""
    X = rng.standard_normal((30, 40)) @ correlated(40, rng)
    W, H = combinations(12, 40, 6, 2, rng).astype(dtype), X.T @ X
    options = {"budget": 0.5, "gram": H, "damping": damping, "random_state": 0}
    expected = output_error(W, factorize(W, "dictionary", **options), H)
    monkeypatch.setattr("sparsecode.layers.factorizations.LARGE", 100)  # in the layer's precision
    monkeypatch.setattr("sparsecode.layers.factorizations.dictionary.ORDINARY", 8)
    monkeypatch.setattr("sparsecode.solvers.weighted.TILE", 7)
    found = factorize(W, "dictionary", **options)
    assert found.dtype == dtype
    assert output_error(W, found, H) <= 1.05 * expected + (1e-12 if dtype == np.float64 else 1e-6)


def test_a_wide_layer_of_zeros(monkeypatch):
    monkeypatch.setattr("sparsecode.layers.factorizations.dictionary.ORDINARY", 8)
    found = factorize(np.zeros((4, 20)), "dictionary", budget=0.9, gram=np.eye(20))
    np.testing.assert_array_equal(found.to_dense(), 0)
