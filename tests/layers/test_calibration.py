"""Calibration: the moment of all inputs, however they come."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse as sp

from sparsecode.layers import calibration as module
from sparsecode.layers.calibration import Calibration, unscaled_gram
from sparsecode.layers.network import Network


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def exact_moment(X):
    """The mean of x x^T in rational arithmetic, each entry rounded once."""
    rows = [[Fraction(float(v)) for v in row] for row in X]
    d = len(rows[0])
    mean = [[sum(r[i] * r[j] for r in rows) / len(rows) for j in range(d)] for i in range(d)]
    return np.array([[float(v) for v in row] for row in mean])


def assert_relative(found, expected, tol=1e-14):
    assert found.dtype == np.float64
    assert np.abs(found - expected).max() <= tol * np.abs(expected).max()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (9, 1), (3, 7), (40, 6)])
def test_the_gram_is_the_exact_mean_and_symmetric(rng, shape):
    X = rng.standard_normal(shape)
    H = Calibration.from_arrays({"fc": X}).gram("fc")
    assert_relative(H, exact_moment(X))
    np.testing.assert_array_equal(H, H.T)
    assert np.linalg.eigvalsh(H)[0] >= -1e-15


@pytest.mark.parametrize("tile", [1, 7, 50, 1 << 22])
def test_streams_and_tiles_and_merges_agree(rng, monkeypatch, tile):
    X = rng.standard_normal((57, 5)) * np.logspace(-3, 3, 57)[:, None]
    expected = exact_moment(X)
    monkeypatch.setattr(module, "_TILE", tile)
    streamed = Calibration()
    for part in np.array_split(X, [1, 20, 21]):
        streamed.update("fc", part)
    one, two = Calibration.from_arrays({"fc": X[:30]}), Calibration.from_arrays({"fc": X[30:]})
    two.update("other", X)
    one.merge(two)
    for calibration in (streamed, one, Calibration.from_arrays({"fc": X})):
        assert calibration.n_samples("fc") == 57
        assert_relative(calibration.gram("fc"), expected)
    assert one.names == ("fc", "other")
    assert two.n_samples("fc") == 27


def test_merging_leaves_the_other_alone_and_may_be_with_itself(rng):
    X = rng.standard_normal((8, 3))
    one, two = Calibration(), Calibration.from_arrays({"fc": X})
    before = two.gram("fc")
    one.merge(two)
    one.update("fc", 100 * X)
    np.testing.assert_array_equal(two.gram("fc"), before)
    two.merge(two)
    assert two.n_samples("fc") == 16
    assert_relative(two.gram("fc"), before)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e-60, 1e60, 1e150, 1e300])
def test_huge_and_tiny_inputs_keep_their_relative_moments(rng, scale):
    X = rng.standard_normal((20, 4))
    plain = Calibration.from_arrays({"fc": X}).gram("fc")
    H = Calibration.from_arrays({"fc": X * scale}).gram("fc")
    assert np.isfinite(H).all()
    assert_relative(H / H.max(), plain / plain.max())
    if 1e-77 < scale < 1e77:
        assert_relative(H, plain * scale**2)
    else:  # divided by a power of four only
        factor = np.log2(np.sqrt(H[0, 0] / plain[0, 0])) - np.log2(scale)
        assert abs(factor) > 100
        assert factor == pytest.approx(round(factor), abs=1e-9)


def test_scales_may_come_in_any_order(rng):
    X = rng.standard_normal((6, 3))
    scales = [1e-200, 1e-10, 0.0, 1e12, 1.0, 1e-300]
    forward, backward = Calibration(), Calibration()
    for scale in scales:
        forward.update("fc", X * scale)
    for scale in scales[::-1]:
        backward.update("fc", X * scale)
    assert_relative(forward.gram("fc"), backward.gram("fc"))
    tiny = Calibration.from_arrays({"fc": np.zeros((2, 3))})
    tiny.update("fc", X * 1e-200)  # zeros first do not make what follows vanish
    assert tiny.gram("fc").max() > 0
    big = Calibration.from_arrays({"fc": X * 1e-200})
    big.merge(Calibration.from_arrays({"fc": X * 1e200}))
    other = Calibration.from_arrays({"fc": X * 1e200})
    other.merge(Calibration.from_arrays({"fc": X * 1e-200}))
    np.testing.assert_array_equal(big.gram("fc"), other.gram("fc"))


def test_dead_inputs_and_zeros_are_ordinary():
    H = Calibration.from_arrays({"fc": np.array([[1.0, 0.0], [2.0, 0.0]])}).gram("fc")
    np.testing.assert_array_equal(H, [[2.5, 0], [0, 0]])
    zero = Calibration.from_arrays({"fc": np.zeros((4, 2))})
    np.testing.assert_array_equal(zero.gram("fc"), np.zeros((2, 2)))
    assert zero.n_samples("fc") == 4


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.int8, bool])
def test_every_dtype_is_summed_in_float64(rng, dtype):
    X = (3 * rng.standard_normal((50, 4))).astype(dtype)
    assert_relative(Calibration.from_arrays({"fc": X}).gram("fc"), exact_moment(X))


def test_many_float16_inputs_lose_nothing():
    X = np.full((5000, 2), 0.1, np.float16)
    expected = float(np.float16(0.1)) ** 2
    H = Calibration.from_arrays({"fc": X}).gram("fc")
    np.testing.assert_allclose(H, expected, rtol=1e-14)


def test_leading_axes_are_flattened_and_layouts_do_not_matter(rng):
    X = rng.standard_normal((3, 5, 4))
    expected = Calibration.from_arrays({"fc": X.reshape(15, 4)})
    frozen = X.copy()
    frozen.flags.writeable = False
    for same in (X, np.asfortranarray(X), X[::-1], frozen, X.tolist(), X.astype(">f8")):
        calibration = Calibration.from_arrays({"fc": same})
        assert calibration.n_samples("fc") == 15
        assert_relative(calibration.gram("fc"), expected.gram("fc"))


def test_a_memmap_is_read_in_tiles(tmp_path, rng, monkeypatch):
    X = rng.standard_normal((1000, 4)).astype(np.float32)
    X.tofile(tmp_path / "X.bin")
    mapped = np.memmap(tmp_path / "X.bin", np.float32, "r", shape=X.shape)
    largest = []
    check_array = module.check_array
    monkeypatch.setattr(module, "_TILE", 64)
    monkeypatch.setattr(
        module, "check_array", lambda X, *a, **k: largest.append(X.size) or check_array(X, *a, **k)
    )
    H = Calibration.from_arrays({"fc": mapped}).gram("fc")
    assert_relative(H, exact_moment(X))
    assert max(largest) == 64


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.array([[1.0, np.nan]]), ValueError, "inputs of 'fc', contains NaN"),
        (np.array([[1.0, 2.0], [np.inf, 0.0]]), ValueError, "inputs of 'fc', contains infinity"),
        (np.zeros((0, 2)), ValueError, "is empty"),
        (np.zeros((2, 0)), ValueError, "is empty"),
        (np.ones(2), ValueError, r"got the shape \(2,\)"),
        (np.ones((2, 3)), ValueError, "have 3 columns, earlier ones had 2"),
        (np.ones((2, 2), complex), ValueError, "is complex"),
        (np.array([["a", "b"]]), ValueError, "has to be numeric"),
        (sp.eye_array(2), TypeError, "sparse"),
        (np.ma.masked_equal([[1.0, 2.0]], 1.0), ValueError, "masked"),
    ],
)
def test_inputs_that_are_refused_count_for_nothing(monkeypatch, X, error, message):
    monkeypatch.setattr(module, "_TILE", 2)
    calibration = Calibration.from_arrays({"fc": np.eye(2)})
    before = calibration.gram("fc")
    with pytest.raises(error, match=message):
        calibration.update("fc", X)
    assert calibration.n_samples("fc") == 2
    np.testing.assert_array_equal(calibration.gram("fc"), before)


@pytest.mark.parametrize("inputs", [np.eye(2), None, [np.eye(2)]])
def test_arrays_come_by_the_names_of_layers(inputs):
    with pytest.raises(TypeError, match="inputs has to be a mapping of layers' names to arrays"):
        Calibration.from_arrays(inputs)


def test_a_refused_first_update_leaves_no_name():
    calibration = Calibration()
    with pytest.raises(ValueError, match="NaN"):
        calibration.update("fc", [[np.nan, 1.0]])
    assert calibration.names == ()
    with pytest.raises(TypeError, match="name of a layer has to be a string, got 3"):
        calibration.update(3, np.eye(2))


def test_names_and_unknown_names():
    calibration = Calibration.from_arrays({"fc1": np.eye(2), "fc2": np.eye(3)})
    assert calibration.names == ("fc1", "fc2")
    assert "fc1" in calibration
    assert "fc3" not in calibration
    assert repr(calibration) == "Calibration({'fc1': 2, 'fc2': 3})"
    for call in (calibration.gram, calibration.n_samples):
        with pytest.raises(ValueError, match="no inputs of 'fc3'; did you mean 'fc2' or 'fc1'"):
            call("fc3")


def test_merging_other_widths_changes_nothing():
    one = Calibration.from_arrays({"b": np.eye(3)})
    two = Calibration.from_arrays({"a": np.eye(2), "b": np.eye(2)})
    with pytest.raises(ValueError, match="have 2 columns in one calibration and 3 in the other"):
        one.merge(two)
    assert one.names == ("b",)


def test_a_gram_is_a_copy():
    calibration = Calibration.from_arrays({"fc": np.eye(2)})
    calibration.gram("fc")[:] = 7
    np.testing.assert_array_equal(calibration.gram("fc"), np.eye(2) / 2)


def test_check_against_a_network():
    net = {"fc.weight": np.ones((3, 5)), "fc.bias": np.ones(3), "square": np.ones((4, 4))}
    Calibration().check(net)
    Calibration.from_arrays({"fc.weight": np.ones((2, 5)), "square": np.ones((2, 4))}).check(net)
    for name, width, message in (
        ("fc.wieght", 5, r"'fc\.wieght' is no layer of the network; did you mean 'fc\.weight'"),
        ("fc.bias", 3, r"it is a tensor of shape \(3,\)"),
        ("fc.weight", 4, r"have 4 columns, but the layer takes 5 inputs and gives 3 outputs$"),
        ("fc.weight", 3, 'gives 3 outputs; read the network with orientation="in_out"'),
    ):
        with pytest.raises(ValueError, match=message):
            Calibration.from_arrays({name: np.ones((2, width))}).check(net)
    turned = Network(net, orientation="in_out")
    Calibration.from_arrays({"fc.weight": np.ones((2, 3))}).check(turned)
    with pytest.raises(ValueError, match='orientation="out_in"'):
        Calibration.from_arrays({"fc.weight": np.ones((2, 5))}).check(turned)


def test_the_gram_gives_the_error_of_the_outputs(rng):
    X, W, V = rng.standard_normal((30, 6)), rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    H = Calibration.from_arrays({"fc": X}).gram("fc")
    error = np.mean(np.sum((X @ W.T - X @ V.T) ** 2, axis=1))
    assert np.trace((W - V) @ H @ (W - V).T) == pytest.approx(error, rel=1e-13)


def test_the_moment_without_a_scale_is_not_copied_and_not_written_to():
    calibration = Calibration.from_arrays({"fc": np.array([[1.0, 2.0], [0.0, 1e200], [3.0, 1.0]])})
    unscaled, gram = unscaled_gram(calibration, "fc"), calibration.gram("fc")
    np.testing.assert_allclose(unscaled / unscaled.max(), gram / gram.max(), rtol=1e-14)
    assert np.shares_memory(unscaled, unscaled_gram(calibration, "fc"))
    assert not unscaled.flags.writeable
    before = unscaled.copy()
    calibration.update("fc", np.eye(2))
    np.testing.assert_array_equal(unscaled, before)
