"""What the common suite does not know of atoms at every place."""

import numpy as np
import pytest

from sparsecode import ConvolutionalDictionaryLearning
from sparsecode.solvers import convolutional_synthesis


def test_pictures_in_rows_are_learned_from_and_coded_as_pictures() -> None:
    rng = np.random.default_rng(0)
    atom = np.array([[1.0, -1.0], [1.0, -1.0]]) / 2
    codes = rng.standard_normal((6, 1, 9, 7)) * (rng.random((6, 1, 9, 7)) < 0.05)
    X = convolutional_synthesis(codes, atom[None]).reshape(6, -1)
    learner = ConvolutionalDictionaryLearning(
        1, 2, image_shape=(9, 7), alpha=0.01, max_iter=100, init=[[[1.0, -0.5], [0.3, -1.0]]]
    )
    found = learner.fit_transform(X)
    assert found.shape == (6, 63)
    assert learner.atom_shape_ == (2, 2)
    assert np.abs(learner.components_[0] @ atom.ravel()) > 0.99
    back = learner.inverse_transform(found)
    assert np.linalg.norm(back - X) < 0.1 * np.linalg.norm(X)


@pytest.mark.parametrize("image_shape", [(8, 8), (63,), (3, 3, 7)])
def test_an_image_shape_that_does_not_fit_is_an_error(image_shape) -> None:
    with pytest.raises(ValueError, match="is not that of rows with 63 features"):
        ConvolutionalDictionaryLearning(image_shape=image_shape).fit(np.ones((2, 63)))
