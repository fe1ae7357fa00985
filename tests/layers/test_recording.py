"""Moments of what enters the layers of an ONNX model while onnxruntime runs it."""

import numpy as np
import pytest

from sparsecode.layers import Calibration, Network, calibrate, factorize, read
from sparsecode.layers.patches import Geometry, patch_rows, same_padding

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as models  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.standard_normal((10, 3, 9, 8)).astype(np.float32)


@pytest.fixture
def net(tmp_path):
    return read(models.saved(tmp_path / "model.onnx"))


def rows_by_hand(net):
    """The inputs of every layer, from the model's own intermediate values."""
    made = models.model()
    names = ["f", "g1", "g2", "t1", "t2", "s2", "s3"]
    made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    found = dict(zip(names, models.run(made.SerializeToString(), {"x": X}, names), strict=True))
    rows = {"gemm.w": "f", "turned.w": "g1", "right.w": "g2", "const": "s3"}
    inputs = {layer: found[name] for layer, name in rows.items()}
    inputs["left.w"] = found["t1"].T
    inputs["shared.w"] = np.concatenate([found["t2"], found["s2"]])
    return inputs


def assert_same(one, two):
    assert set(one.names) == set(two.names)
    for name in one.names:
        assert one.n_samples(name) == two.n_samples(name)
        scale = np.abs(two.gram(name)).max()
        np.testing.assert_allclose(one.gram(name), two.gram(name), rtol=1e-5, atol=1e-6 * scale)


def test_every_layer_sees_its_inputs(net):
    moments = calibrate(net, X)
    moments.check(net)
    assert set(moments.names) == set(models.LAYERS)
    by_hand = Calibration.from_arrays(rows_by_hand(net))
    only = Calibration()
    only._moments = {n: m for n, m in moments._moments.items() if n != "conv.w"}
    assert_same(only, by_hand)


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": X},
        (X,),
        [X[:3], X[3:]],
        iter([{"x": X[:3]}, (X[3:],)]),
        X.astype(np.float64),
    ],
    ids=["mapping", "tuple", "list", "iterator", "float64"],
)
def test_inputs_come_in_many_ways(net, inputs):
    assert_same(calibrate(net, inputs), calibrate(net, X))


def test_parts_add_up(net):
    whole = calibrate(net, X)
    assert_same(calibrate(net, X, batch_size=3), whole)
    assert_same(calibrate(net, [X[:4], X[4:]], batch_size=2, n_threads=2), whole)


def test_a_model_of_a_fixed_batch_is_run_as_it_asks(tmp_path):
    fixed = models.model(inputs={"x": [5, 3, 9, 8]})
    net = read(models.saved(tmp_path / "fixed.onnx", fixed))
    moments = calibrate(net, X)
    assert moments.n_samples("gemm.w") == 10
    with pytest.raises(ValueError, match="takes 5 inputs at a time, and 8 were given"):
        calibrate(net, X[:8])


def conv_model(tmp_path, kernel, attributes, channels=3, x=None):
    W = RNG.standard_normal((4, channels, *kernel)).astype(np.float32)
    shape = [None, channels, *(None for _ in kernel)]
    made = models.model(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"], **attributes)],
        {"w": W},
        inputs={"x": shape},
    )
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return read(models.saved(tmp_path / "conv.onnx", made)), made


GEOMETRIES = {
    "plain": ((3, 2), {}),
    "strides": ((3, 3), {"strides": [2, 3], "pads": [1, 0, 2, 1]}),
    "dilations": ((2, 3), {"dilations": [2, 1], "pads": [0, 1, 1, 0], "strides": [1, 2]}),
    "same upper": ((4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 1]}),
    "same lower": ((4, 2), {"auto_pad": "SAME_LOWER"}),
    "valid": ((2, 2), {"auto_pad": "VALID", "pads": [0, 0, 0, 0]}),
    "1-D": ((3,), {"pads": [2, 0]}),
    "3-D": ((2, 1, 3), {"strides": [1, 2, 1]}),
    "1x1": ((1, 1), {"strides": [2, 2]}),
}


@pytest.mark.parametrize("case", GEOMETRIES)
def test_the_error_in_the_moments_is_that_of_the_convolutions_outputs(tmp_path, case):
    """tr((W - W') H (W - W')^T) is the mean squared difference, by the runtime itself."""
    kernel, attributes = GEOMETRIES[case]
    if case == "valid":
        del attributes["pads"]
    net, _ = conv_model(tmp_path, kernel, attributes)
    x = RNG.standard_normal((6, 3, *(9, 8, 7)[: len(kernel)])).astype(np.float32)
    moments = calibrate(net, x)
    W = net.weight("w").astype(float)
    V = W + 0.1 * RNG.standard_normal(W.shape)
    outputs = []
    for weight in (W, V):
        net.with_weights({"w": weight}).write(tmp_path / "other.onnx")
        outputs.append(models.run(tmp_path / "other.onnx", {"x": x})[0].astype(float))
    difference = outputs[0] - outputs[1]
    n = difference.size // 4
    assert moments.n_samples("w") == n
    by_moments = np.trace((W - V) @ moments.gram("w") @ (W - V).T)
    assert by_moments == pytest.approx(np.sum(difference**2) / n, rel=1e-4)


def test_many_positions_are_sampled_and_said_so(tmp_path):
    net, _ = conv_model(tmp_path, (3, 3), {})
    x = RNG.standard_normal((8, 3, 30, 30)).astype(np.float32)
    whole, some = calibrate(net, x), calibrate(net, x, max_positions=500)
    assert whole.sampled == {}
    assert some.sampled == {"w": (500, 8 * 28 * 28)}
    again = calibrate(net, x, max_positions=500)
    np.testing.assert_array_equal(again.gram("w"), some.gram("w"))
    other = calibrate(net, x, max_positions=500, random_state=1)
    assert not np.array_equal(other.gram("w"), some.gram("w"))
    off = np.linalg.norm(some.gram("w") - whole.gram("w")) / np.linalg.norm(whole.gram("w"))
    assert off < 0.5  # of noise: about sqrt(27 / 500)
    two = calibrate(net, [x, x], max_positions=500)
    assert two.sampled == {"w": (1000, 2 * 8 * 28 * 28)}


def test_positions_are_drawn_without_replacement():
    x = np.arange(24.0).reshape(1, 1, 4, 6)
    plain = Geometry((1, 1), (1, 1), (1, 1), (0, 0), (0, 0))
    tiles, total = patch_rows(x, plain, 23, np.random.default_rng(0))
    values = np.concatenate(list(tiles)).ravel()
    assert total == 24
    assert len(np.unique(values)) == len(values) == 23


def test_same_padding_keeps_the_ceiling_of_the_size():
    for side in range(1, 12):
        for k in range(1, 6):
            for s in range(1, 4):
                (less,), (more,) = same_padding((side,), (k,), (s,), (1,))
                padded = side + less + more
                assert 0 <= more - less <= 1
                assert padded >= k
                assert (padded - k) // s + 1 == -(-side // s)


def test_dead_channels_and_few_inputs_are_ordinary(tmp_path):
    net, _ = conv_model(tmp_path, (3, 3), {})
    x = RNG.standard_normal((1, 3, 4, 4)).astype(np.float32)
    x[:, 1] = 0
    moments = calibrate(net, x)
    assert moments.n_samples("w") == 4 < 27
    form = factorize(net.weight("w"), "low_rank", budget=0.8, gram=moments.gram("w"))
    assert np.isfinite(form.to_dense()).all()


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({"y": X}, ValueError, "has no input 'y'; there are 'x'|did you mean"),
        ({}, ValueError, "the model's input 'x' is missing"),
        ((X, X), ValueError, "has 1 inputs, x, and 2 were given"),
        ([], ValueError, "inputs is empty"),
        (X[:, :2], ValueError, "onnxruntime cannot run the model: .*"),
        (3, TypeError, "inputs has to be an array"),
        ("x", TypeError, "inputs has to be an array"),
        (X.astype(complex), ValueError, "onnxruntime cannot run the model"),
        (np.full_like(X, np.nan), ValueError, "the inputs of 'conv.w'.* NaN"),
    ],
)
def test_inputs_that_do_not_fit_are_one_error(net, inputs, error, message):
    with pytest.raises(error, match=message) as caught:
        calibrate(net, inputs)
    assert "\n" not in str(caught.value)


def test_a_network_of_arrays_cannot_be_run():
    with pytest.raises(ValueError, match="arrays alone, which cannot be run"):
        calibrate(Network({"w": np.eye(3)}), X)
    with pytest.raises(TypeError, match="a network has to be a Network or a module, got int"):
        calibrate(3, X)


def test_a_model_that_the_runtime_does_not_know_is_one_error(tmp_path):
    made = models.single(
        "MatMul", {"w": np.eye(3, dtype=np.float32)}, inputs={"x": [1, 3]}, order=["x", "w"]
    )
    made.graph.node.append(onnx.helper.make_node("Nothing", ["y"], ["z"], domain="no.where"))
    net = read(models.saved(tmp_path / "m.onnx", made))
    with pytest.raises(ValueError, match="onnxruntime cannot load the model"):
        calibrate(net, np.ones((1, 3)))


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("on_the_left", [False, True])
def test_the_inputs_of_every_gemm(tmp_path, trans_a, trans_b, on_the_left):
    """Rows of ``op(A)`` where the layer is on the right, columns of ``op(B)`` on the left."""
    w, x = RNG.standard_normal((2, 6, 6)).astype(np.float32)
    order = ["w", "x"] if on_the_left else ["x", "w"]
    switches = {"transA": trans_a, "transB": trans_b}
    made = models.single("Gemm", {"w": w}, inputs={"x": [6, 6]}, order=order, **switches)
    net = read(models.saved(tmp_path / "m.onnx", made))
    W, moments = net.weight("w").astype(float), calibrate(net, x)
    y = models.run(tmp_path / "m.onnx", {"x": x})[0].astype(float)
    by_moments = np.trace(W @ moments.gram("w") @ W.T)
    assert by_moments == pytest.approx(np.sum(y**2) / 6, rel=1e-5)
    V = np.diag(np.arange(6.0)) @ W  # which only the outputs' own order tells from W
    net.with_weights({"w": V}).write(tmp_path / "other.onnx")
    y = models.run(tmp_path / "other.onnx", {"x": x})[0].astype(float)
    by_moments = np.trace(V @ moments.gram("w") @ V.T)
    assert by_moments == pytest.approx(np.sum(y**2) / 6, rel=1e-5)
