"""The digits network: accurate, consistent with an independent forward pass, safely cached."""

import io
import os
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from sparsecode.datasets import (
    digits_network_accuracy,
    digits_network_predict,
    load_digits_network,
)

SHAPES = {
    "hidden1.weight": (128, 64),
    "hidden1.bias": (128,),
    "hidden2.weight": (64, 128),
    "hidden2.bias": (64,),
    "output.weight": (10, 64),
    "output.bias": (10,),
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSECODE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_digits_network()


@pytest.fixture
def kept(digits, tmp_path, monkeypatch):
    """A cache folder that holds the network already, and the file in it."""
    with os.scandir(os.environ["SPARSECODE_CACHE"]) as entries:
        (source,) = [Path(entry) for entry in entries]
    file = tmp_path / source.name
    file.write_bytes(source.read_bytes())
    monkeypatch.setenv("SPARSECODE_CACHE", str(tmp_path))
    return file


@pytest.fixture
def trainings(digits, monkeypatch):
    """Training takes no time here: the answer is known. The list grows by one each time."""
    seen = []

    def fit(self, X, y):
        arrays = list(digits.network.values())
        self.coefs_, self.intercepts_ = [w.T for w in arrays[::2]], arrays[1::2]
        seen.append(self)
        return self

    monkeypatch.setattr(MLPClassifier, "fit", fit)
    return seen


def same_bits(first, second):
    return list(first) == list(second) and all(
        first[name].tobytes() == second[name].tobytes() for name in first
    )


def test_names_shapes_and_dtypes(digits):
    assert {name: array.shape for name, array in digits.network.items()} == SHAPES
    assert list(digits.network) == list(SHAPES)
    assert all(array.dtype == np.float32 for array in digits.network.values())
    assert all(array.flags.c_contiguous for array in digits.network.values())


def test_accuracy_on_images_that_took_no_part_in_training(digits):
    assert digits.accuracy >= 0.96
    assert digits_network_accuracy(digits.network, digits.X_train, digits.y_train) >= 0.99
    assert digits.accuracy == np.mean(
        digits_network_predict(digits.network, digits.X_test) == digits.y_test
    )


def test_train_and_test_are_a_stratified_partition_of_the_bundled_digits(digits):
    X, y = load_digits(return_X_y=True)
    both = np.vstack([digits.X_train, digits.X_test]) * 16
    labels = np.concatenate([digits.y_train, digits.y_test])
    assert len(digits.X_train) == 1257
    rows = sorted(map(tuple, np.column_stack([both, labels])))
    assert rows == sorted(map(tuple, np.column_stack([X, y])))
    share = np.bincount(digits.y_train) / np.bincount(y)
    assert np.all(np.abs(share - 0.7) < 0.01)
    assert both.max() == 16
    assert digits.X_test.dtype == np.float32


def test_the_network_is_what_scikit_learn_trained(monkeypatch):
    models = []
    fit = MLPClassifier.fit

    def recorded(self, X, y):
        models.append(fit(self, X, y))
        return models[-1]

    monkeypatch.setattr(MLPClassifier, "fit", recorded)
    digits = load_digits_network(random_state=1, cache=False)
    (model,) = models
    assert model.n_iter_ < model.max_iter
    np.testing.assert_array_equal(
        digits_network_predict(digits.network, digits.X_test), model.predict(digits.X_test)
    )
    assert digits.accuracy == model.score(digits.X_test, digits.y_test)


@pytest.mark.parametrize("part", ["calibration", "heldout"])
def test_layer_inputs_are_those_of_the_forward_pass(digits, part):
    inputs = getattr(digits, f"{part}_inputs")
    X = digits.X_train[:512] if part == "calibration" else digits.X_test
    assert list(inputs) == ["hidden1.weight", "hidden2.weight", "output.weight"]
    expected = X.astype(np.float64)
    for name, given in inputs.items():
        assert given.dtype == np.float32
        assert given.shape[1] == digits.network[name].shape[1]
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)
        weight = digits.network[name].astype(np.float64)
        bias = digits.network[name.replace("weight", "bias")]
        expected = np.einsum("oi,ni->no", weight, expected) + bias
        expected = np.where(expected > 0, expected, 0)


def test_any_mapping_of_these_names_can_be_run(digits):
    half = {name: array.astype(np.float16) for name, array in digits.network.items()}
    brain = {name: array.astype(ml_dtypes.bfloat16) for name, array in digits.network.items()}
    double = {name: array.astype(np.float64) for name, array in digits.network.items()}
    for network in (half, brain, double):
        accuracy = digits_network_accuracy(network, digits.X_test, digits.y_test)
        assert accuracy == pytest.approx(digits.accuracy, abs=0.02)
    # Permuting the units of a hidden layer changes nothing, nor does an array of another name.
    order = np.random.default_rng(0).permutation(128)
    permuted = {**digits.network, "more": np.zeros(3)}
    permuted["hidden1.weight"] = digits.network["hidden1.weight"][order]
    permuted["hidden1.bias"] = digits.network["hidden1.bias"][order]
    permuted["hidden2.weight"] = digits.network["hidden2.weight"][:, order]
    np.testing.assert_array_equal(
        digits_network_predict(permuted, digits.X_test),
        digits_network_predict(digits.network, digits.X_test),
    )
    constant = {name: np.zeros_like(array) for name, array in digits.network.items()}
    constant["output.bias"] = np.eye(10)[7]
    assert set(digits_network_predict(constant, digits.X_test)) == {7}


def test_a_network_that_does_not_fit_is_refused(digits):
    lacking = {name: a for name, a in digits.network.items() if name != "hidden2.bias"}
    with pytest.raises(ValueError, match=r"no 'hidden2.bias'; it has 'hidden1.weight'"):
        digits_network_predict(lacking, digits.X_test)
    turned = {**digits.network, "hidden2.weight": digits.network["hidden2.weight"].T}
    with pytest.raises(ValueError, match=r"hidden2.weight \(128, 64\).*\(out, in\)"):
        digits_network_predict(turned, digits.X_test)
    with pytest.raises(ValueError, match=r"hidden1.weight .* do not fit inputs of shape \(2, 3\)"):
        digits_network_predict(digits.network, np.ones((2, 3)))
    broken = {**digits.network, "output.bias": np.full(10, np.nan)}
    with pytest.raises(ValueError, match=r"output.bias contains NaN"):
        digits_network_predict(broken, digits.X_test)
    with pytest.raises(ValueError, match="X has 540 rows but y has 539"):
        digits_network_accuracy(digits.network, digits.X_test, digits.y_test[:-1])


# --- randomness


def test_training_again_gives_the_same_bits(digits):
    again = load_digits_network(random_state=0, cache=False)
    assert same_bits(digits.network, again.network)
    np.testing.assert_array_equal(digits.X_test, again.X_test)


@pytest.mark.parametrize("source", [np.random.RandomState, np.random.default_rng])
def test_random_sources_are_taken_and_never_cached(source, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSECODE_CACHE", str(tmp_path / "cache"))
    digits = load_digits_network(random_state=source(0))
    assert digits.accuracy >= 0.96
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"random_state": -1}, ValueError, "random_state"),
        ({"random_state": "0"}, TypeError, "random_state"),
        ({"cache": "no"}, TypeError, "cache has to be True or False"),
    ],
)
def test_bad_arguments_are_named(options, error, message):
    with pytest.raises(error, match=message):
        load_digits_network(**options)


# --- the cache


def test_a_cache_hit_trains_nothing_and_gives_the_same_bits(digits, kept, trainings):
    again = load_digits_network()
    assert trainings == []
    assert same_bits(digits.network, again.network)
    assert same_bits(digits.calibration_inputs, again.calibration_inputs)
    assert digits.accuracy == again.accuracy


def test_cache_false_neither_reads_nor_writes(digits, kept, trainings):
    before = kept.read_bytes()
    kept.write_bytes(b"")
    load_digits_network(cache=False)
    assert len(trainings) == 1
    assert kept.read_bytes() == b"" != before


def _huge_header(path):
    """An npz of a few hundred bytes whose first array says it has 2^43 entries."""
    header = io.BytesIO()
    shape = (2**40, 2**3)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hidden1.weight.npy", header.getvalue())


def _flip_a_weight(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def _other_shapes(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **{**arrays, "hidden1.weight": arrays["hidden1.weight"][:, :63]})


def _not_finite(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["output.bias"][0] = np.nan
    np.savez(path, **arrays)


def _objects(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **{**arrays, "output.bias": np.array([{}] * 10, dtype=object)})


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a zip archive"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:40_000]),
    "flipped": _flip_a_weight,
    "huge": _huge_header,
    "shapes": _other_shapes,
    "nan": _not_finite,
    "objects": _objects,
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_trained_anew_and_replaced(digits, kept, trainings, damage):
    DAMAGES[damage](kept)
    again = load_digits_network()
    assert len(trainings) == 1
    assert same_bits(digits.network, again.network)
    assert os.listdir(kept.parent) == [kept.name]
    load_digits_network()
    assert len(trainings) == (2 if damage == "folder" else 1)


def test_a_folder_that_cannot_be_made_is_not_an_error(digits, tmp_path, monkeypatch, trainings):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SPARSECODE_CACHE", str(tmp_path / "file" / "cache"))
    assert same_bits(digits.network, load_digits_network().network)
    assert len(trainings) == 1


def test_an_interrupted_write_leaves_no_file(digits, tmp_path, monkeypatch, trainings):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("SPARSECODE_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "replace", full)
    assert same_bits(digits.network, load_digits_network().network)
    assert len(trainings) == 1
    assert os.listdir(tmp_path) == []


def test_where_the_cache_is(kept, tmp_path, monkeypatch, trainings):
    monkeypatch.delenv("SPARSECODE_CACHE")
    for folder in (tmp_path / "xdg" / "sparsecode", tmp_path / "home" / ".cache" / "sparsecode"):
        folder.mkdir(parents=True)
        (folder / kept.name).write_bytes(kept.read_bytes())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load_digits_network()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    load_digits_network()
    assert trainings == []


def test_another_seed_or_version_has_another_file(kept, monkeypatch, trainings):
    load_digits_network(random_state=2)
    monkeypatch.setattr("sklearn.__version__", "0.0")
    load_digits_network()
    assert len(trainings) == 2
    assert len(os.listdir(kept.parent)) == 3


def test_what_exceeds_single_precision_is_refused(digits) -> None:
    with pytest.raises(ValueError, match=r"exceeds the range of float32.*rescale X"):
        digits_network_predict(digits.network, 1e300 * digits.X_test.astype(float))
    with pytest.raises(TypeError, match="network has to be a mapping"):
        digits_network_predict(3.5, digits.X_test)
