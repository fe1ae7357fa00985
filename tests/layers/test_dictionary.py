"""Dictionary: a layer made of few atoms is found again, and the metric of the inputs counts."""

import numpy as np
import pytest

from sparsecode.layers import factorize, output_error, unpack


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
