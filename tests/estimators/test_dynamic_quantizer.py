"""Dynamic quantization as a transformer: rows apart, and its error."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sparsecode import DynamicQuantizer
from sparsecode.layers import output_error, quantize_dynamic


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((30, 12))


@pytest.mark.parametrize("symmetric", [True, False])
def test_transform_gives_the_values_of_the_codes(X, symmetric):
    model = DynamicQuantizer(bits=5, symmetric=symmetric).fit(X)
    codes = quantize_dynamic(X, bits=5, symmetric=symmetric)
    assert model.transform(X).tobytes() == codes.dequantize().tobytes()
    assert model.quantize(X).codes.tobytes() == codes.codes.tobytes()
    assert model.error_ == output_error(X, model.transform(X)) == -model.score(X)


def test_a_row_stays_what_it_is_beside_an_outlier(X):
    model = DynamicQuantizer().fit(X)
    loud = X.copy()
    loud[0] *= 1e6
    assert model.transform(loud)[1:].tobytes() == model.transform(X)[1:].tobytes()


def test_a_bit_more_is_a_quarter_of_the_error(X):
    errors = [DynamicQuantizer(bits).fit(X).error_ for bits in range(4, 12)]
    np.testing.assert_allclose(np.log2(errors[0] / errors[-1]), 2 * 7, rtol=0.1)


def test_affine_grids_suit_what_is_not_negative(X):
    relu = np.maximum(X, 0)
    affine, symmetric = (DynamicQuantizer(4, symmetric=s).fit(relu).error_ for s in (False, True))
    assert affine < 0.4 * symmetric  # one bit more, but for the range: 49/225 of it


def test_short_floats_stay_short(X):
    model = DynamicQuantizer().fit(X.astype(np.float16))
    assert model.transform(X.astype(np.float16)).dtype == np.float16


def test_a_search_finds_how_many_bits_a_classifier_needs():
    X, y = load_digits(n_class=4, return_X_y=True)
    pipeline = make_pipeline(DynamicQuantizer(), RidgeClassifier())
    search = GridSearchCV(pipeline, {"dynamicquantizer__bits": [2, 8]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [({"bits": 1}, "bits has to be between"), ({"symmetric": 2}, "symmetric has to be True")],
)
def test_what_is_wrong_is_said_by_fit(X, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        DynamicQuantizer(**options).fit(X)


def test_bad_input(X):
    with pytest.raises(NotFittedError):
        DynamicQuantizer().transform(X)
    with pytest.raises(ValueError, match=r"X has 5 features, but .* expecting 12"):
        DynamicQuantizer().fit(X).transform(np.ones((2, 5)))
