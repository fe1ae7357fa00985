"""What the common suite does not know of atoms at every place."""

import numpy as np
import pytest

from sparsecode import ConvolutionalDictionaryLearning
from sparsecode.solvers import (
    convolutional_dictionary_learning,
    convolutional_sparse_encode,
    convolutional_synthesis,
)

SHAPES = [
    ((20,), 5, False),
    ((12, 3), 4, True),
    ((7, 9), (2, 3), False),
    ((6, 5, 3), 2, True),
]


def test_pictures_in_rows_are_learned_from_and_coded_as_pictures() -> None:
    rng = np.random.default_rng(0)
    atom = np.array([[1.0, -1.0], [1.0, -1.0]]) / 2
    codes = rng.standard_normal((6, 1, 9, 7)) * (rng.random((6, 1, 9, 7)) < 0.05)
    X = convolutional_synthesis(codes, atom[None]).reshape(6, -1)
    learner = ConvolutionalDictionaryLearning(
        1, 2, sample_shape=(9, 7), alpha=0.01, init=[[[1.0, -0.5], [0.3, -1.0]]]
    )
    found = learner.fit_transform(X)
    assert found.shape == (6, 63)
    assert learner.atom_shape_ == (2, 2)
    assert np.abs(learner.components_[0] @ atom.ravel()) > 0.99
    back = learner.inverse_transform(found)
    assert np.linalg.norm(back - X) < 0.1 * np.linalg.norm(X)


@pytest.mark.parametrize("boundary", ["periodic", "valid", "full"])
@pytest.mark.parametrize(("shape", "size", "multichannel"), SHAPES)
def test_the_estimator_is_the_solvers(shape, size, multichannel, boundary) -> None:
    X = np.random.default_rng(0).standard_normal((4, *shape))
    X[0, 0] = np.nan
    options = {"boundary": boundary, "multichannel": multichannel, "missing_values": np.nan}
    learner = ConvolutionalDictionaryLearning(
        3, size, sample_shape=shape, alpha=0.2, max_iter=12, random_state=0, **options
    )
    rows = X.reshape(4, -1)
    codes = learner.fit(rows).transform(rows)
    result = convolutional_dictionary_learning(
        X, 3, size, alpha=0.2, max_iter=12, random_state=0, **options
    )
    np.testing.assert_array_equal(learner.components_, result.dictionary.reshape(3, -1))
    assert learner.atom_shape_ == result.dictionary.shape[1:]
    expected = np.vstack(
        [
            convolutional_sparse_encode(
                x[None], result.dictionary, 0.2, tol=1e-3, max_iter=2000, **options
            ).x
            for x in X
        ]
    )
    np.testing.assert_array_equal(codes, expected.reshape(4, -1))
    assert len(learner.get_feature_names_out()) == codes.shape[1]
    del options["missing_values"]
    signals = convolutional_synthesis(expected, result.dictionary, **options)
    np.testing.assert_array_equal(learner.inverse_transform(codes), signals.reshape(4, -1))


@pytest.mark.parametrize(
    ("sample_shape", "multichannel"),
    [((8, 8), False), ((62,), False), ((3, 3, 7), False), ((63,), True), ((9, 8), True)],
)
def test_a_shape_that_does_not_fit_is_an_error(sample_shape, multichannel) -> None:
    learner = ConvolutionalDictionaryLearning(sample_shape=sample_shape, multichannel=multichannel)
    with pytest.raises(ValueError, match="is not that of rows with 63 features"):
        learner.fit(np.ones((2, 63)))
