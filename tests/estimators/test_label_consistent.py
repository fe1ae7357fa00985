"""A classifier by label consistent K-SVD."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline

from sparsecode import KSVD, LabelConsistentKSVD
from sparsecode.solvers import label_consistent_ksvd

X, Y = load_digits(return_X_y=True)


def test_digits_are_told_apart_better_than_without_labels() -> None:
    options = {"n_nonzero_coefs": 6, "max_iter": 8, "random_state": 0}
    labelled = LabelConsistentKSVD(100, **options).fit(X[:1000], Y[:1000])
    plain = make_pipeline(KSVD(100, **options), RidgeClassifier()).fit(X[:1000], Y[:1000])
    accuracy = labelled.score(X[1000:], Y[1000:])
    assert accuracy > plain.score(X[1000:], Y[1000:])
    assert accuracy > 0.9


@pytest.mark.parametrize("sparse_output", [False, True])
def test_two_classes_by_name(sparse_output) -> None:
    few, names = X[Y < 2], np.array(["ring", "bar"])[Y[Y < 2]]
    model = LabelConsistentKSVD(8, max_iter=2, sparse_output=sparse_output, random_state=0)
    scores = model.fit(few, names).decision_function(few)
    assert scores.shape == (len(few),)
    np.testing.assert_array_equal(model.predict(few), np.where(scores > 0, "ring", "bar"))
    assert model.score(few, names) > 0.95
    assert sp.issparse(model.transform(few)) == sparse_output
    expected = [f"labelconsistentksvd{i}" for i in range(8)]
    assert list(model.get_feature_names_out()) == expected


def test_one_class_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="y has one class alone"):
        LabelConsistentKSVD(4).fit(X[:20], np.zeros(20))


def test_a_missing_probability_can_be_calibrated() -> None:
    model = CalibratedClassifierCV(LabelConsistentKSVD(12, max_iter=2, random_state=0), cv=2)
    shares = model.fit(X[Y < 3], Y[Y < 3]).predict_proba(X[Y < 3])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert np.mean(shares.argmax(axis=1) == Y[Y < 3]) > 0.9


def test_fit_is_the_solver_and_labels_may_be_names() -> None:
    names = np.array(["zero", "one", "two"])[Y[Y < 3]]
    model = LabelConsistentKSVD(12, max_iter=3, n_nonzero_coefs=2, random_state=0)
    model.fit(X[Y < 3], names)
    labels = np.unique(names, return_inverse=True)[1]
    result = label_consistent_ksvd(
        X[Y < 3], labels, 12, max_iter=3, n_nonzero_coefs=2, random_state=0
    )
    np.testing.assert_array_equal(model.components_, result.dictionary)
    np.testing.assert_array_equal(model.classifier_, result.classifier)
    assert list(model.component_classes_) == ["one"] * 4 + ["two"] * 4 + ["zero"] * 4
    scores = model.transform(X[Y < 3]) @ model.classifier_
    np.testing.assert_allclose(model.decision_function(X[Y < 3]), scores)
    np.testing.assert_array_equal(model.predict(X[Y < 3]), model.classes_[scores.argmax(axis=1)])
    assert model.score(X[Y < 3], names) > 0.9
